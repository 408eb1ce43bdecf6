# Completion of lizzie in bash. The program itself knows its commands and options: a line it prints is a candidate, then
# a tab and what it does; a line of one colon stands for file names.
_lizzie() {
    local candidate
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [ "$candidate" = : ]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        else
            COMPREPLY+=("$candidate")
        fi
    done < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _lizzie lizzie
