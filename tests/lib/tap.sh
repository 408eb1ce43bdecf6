# tap.sh - for shell tests: counts and prints TAP. `source tests/lib/tap.sh`, then ok/is/fails..., then tap_end.
tap_n=0
tap_failed=0

# ok STATUS NAME: passes when STATUS is 0.
ok() {
    tap_n=$((tap_n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_n - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_n - $2"
    fi
}

# is GOT WANTED NAME
is() {
    if [ "$1" = "$2" ]; then
        ok 0 "$3"
    else
        ok 1 "$3"
        printf '#   got: %s\n#  want: %s\n' "$1" "$2" | cut -c 1-600
    fi
}

# has TEXT PART NAME: TEXT holds PART.
has() {
    case "$1" in
    *"$2"*) ok 0 "$3" ;;
    *)
        ok 1 "$3"
        printf '#   got: %s\n#  want within: %s\n' "$1" "$2" | cut -c 1-600
        ;;
    esac
}

# skipped NAME WHY
skipped() {
    tap_n=$((tap_n + 1))
    echo "ok $tap_n - $1 # SKIP $2"
}

tap_end() {
    echo "1..$tap_n"
    [ "$tap_failed" -eq 0 ]
}

# A folder that goes away at the end, in memory where there is such a place.
tap_folder() {
    local base=/tmp
    [ -w /dev/shm ] && base=/dev/shm
    tap_dir=$(mktemp -d "$base/lizzie-test-XXXXXX")
    trap 'rm -rf "$tap_dir"' EXIT
}

# The tiers of this machine beside C; LIZZIE_TEST_AMX=software where the build brings the last (`make amx`).
tap_tiers() {
    grep -qw avx2 /proc/cpuinfo && echo avx2
    grep -qw avx512_vnni /proc/cpuinfo && echo avx512
    { grep -qw amx_int8 /proc/cpuinfo || [ -n "${LIZZIE_TEST_AMX-}" ]; } && echo amx
}
