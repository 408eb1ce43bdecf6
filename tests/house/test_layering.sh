#!/usr/bin/env bash
# Calls go down only: every #include of src/ is held against tests/house/rooms. Fixtures prove that it can fail.
rooms=tests/house/rooms
n=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

headers=$(cd src && find . -name '*.h' -printf '%P ')

# violations ROOT: a line for each include below ROOT that is not allowed. In angle brackets only what is a header of
# src/ counts, since the system has rooms of the same name: <sys/mman.h>.
violations() {
    (cd "$1" && find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.inc' \) -printf '%P\n' | sort |
        xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include') | awk -v rooms="$rooms" -v headers="$headers" '
        BEGIN {
            n = split(headers, header, " ")
            for (i = 1; i <= n; i++) ours[header[i]] = 1
            while ((getline line < rooms) > 0) {
                if (line ~ /^#/) continue
                split(line, part, ":")
                known[part[1]] = 1
                n = split(part[2], may, " ")
                for (i = 1; i <= n; i++) allowed[part[1], may[i]] = 1
            }
        }
        {
            file = $0; sub(/:.*/, "", file)
            room = file; sub(/\/.*/, "", room)
            quoted = $0 ~ /include[ \t]*"/
            target = $0; sub(/^[^<"]*[<"]/, "", target); sub(/[>"].*/, "", target)
            to = target
            if (target == "lizzie_status.h" || (!quoted && target != "lizzie.h" && !(target in ours))) next
            if (target == "lizzie.h") to = "lizzie"
            else sub(/\/.*/, "", to)
            if (!(room in known)) print $0 ": the room " room " is not in " rooms
            else if (quoted && to == target) print $0 ": name the room of this header"
            else if (quoted && to != "lizzie" && !(to in known)) print $0 ": there is no room " to
            else if ((to == "lizzie" || to in known) && to != room && !((room, to) in allowed))
                print $0 ": " room " may not use " to
        }'
}

# expect FILE INCLUDE PATTERN NAME: a source of one line must be refused for PATTERN, or pass where that is empty.
expect() {
    rm -rf "$dir/src" && mkdir -p "$(dirname "$dir/src/$1")"
    printf '%s\n' "$2" >"$dir/src/$1"
    local found
    found=$(violations "$dir/src")
    if [ -z "$3" ] && [ -z "$found" ] || { [ -n "$3" ] && [[ $found == *"$3"* ]]; }; then
        echo "ok $((++n)) - $4"
    else
        echo "not ok $((++n)) - $4"
        echo "# found: $found"
    fi
}

echo 1..12
expect format/a.c '#include "base/buf.h"' '' 'downwards is allowed'
expect kernel/x86/a_avx2.c '#include "kernel/ops.h"' '' 'a room may use itself, from a folder too'
expect line/a.c '#include <lizzie.h>' '' 'the line may use the public header'
expect base/a.h '#include "lizzie_status.h"' '' 'everybody may use the status codes'
expect base/a.c '#include "sys/team.h"' 'base may not use sys' 'upwards is not'
expect line/a.c '  #  include "tensor/dtype.h"' 'line may not use tensor' 'the line sees no tensor'
expect line/a.c '#include <model/model.h>' 'line may not use model' 'nor through angle brackets'
expect kernel/a.c '#include <lizzie.h>' 'kernel may not use lizzie' 'the public header is for those above the engine'
expect base/a.c '#include <sys/mman.h>' '' 'the system may have folders named like rooms'
expect attic/a.c '#include "base/buf.h"' 'room attic is not in' 'a new room must be entered'
expect text/a.c '#include "vocab.h"' 'name the room' 'headers are named with their room'

found=$(violations src)
[ -n "$found" ] && echo "$found" | sed 's/^/# src\//'
n_files=$(find src -name '*.[ch]' | wc -l)
[ -z "$found" ] && [ "$n_files" -gt 20 ] || printf 'not '
echo "ok $((++n)) - the $n_files files of src/"
