# Completion of lizzie in bash. The program itself knows its commands and options: a line it prints is a candidate, then
# a tab and what it does; a line of one colon stands for file names.
_lizzie() {
    local candidate option='' words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    local begun=${COMP_WORDS[COMP_CWORD]} kept=''
    # --option=value is one word to the program, and three to bash where it cuts words at =, which it then keeps.
    if [[ ${COMP_LINE:0:COMP_POINT} =~ [[:space:]](--[a-z-]+=)([^[:space:]]*)$ ]]; then
        option=${BASH_REMATCH[1]} begun=${BASH_REMATCH[2]}
        words=("${COMP_WORDS[1]}" "$option$begun")
        [[ $COMP_WORDBREAKS == *=* ]] || kept=$option
    fi
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [ "$candidate" = : ]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r candidate; do COMPREPLY+=("$kept$candidate"); done < <(compgen -f -- "$begun")
        else
            COMPREPLY+=("$kept${candidate#"$option"}")
        fi
    done < <("${COMP_WORDS[0]}" --complete "${words[@]}" 2>/dev/null)
}
complete -F _lizzie lizzie
