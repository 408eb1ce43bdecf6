#compdef lizzie
# Completion of lizzie in zsh. The program itself knows its commands and options: a line it prints is a candidate, then a
# tab and what it does; a line of one colon stands for file names.
_lizzie() {
    local line
    local -a candidates
    for line in "${(@f)$("$words[1]" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == : ]]; then
            [[ $PREFIX == --*=* ]] && compset -P 1 '*=' # files behind --option= are words of their own
            _files
        elif [[ -n $line ]]; then
            candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done
    (($#candidates)) && _describe -o 'lizzie' candidates
}
_lizzie "$@"
