# Completion of lizzie in fish. The program itself knows its commands and options: a line it prints is a candidate, then a
# tab and what it does; a line of one colon stands for file names.
function __lizzie_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :
            # What stands behind --option= is a path of its own.
            set -l option (string match -r '^--[a-z-]+=' -- "$current")
            for path in (__fish_complete_path (string replace -r '^--[a-z-]+=' '' -- "$current"))
                printf '%s\n' "$option$path"
            end
        else
            printf '%s\n' $line
        end
    end
end
complete -c lizzie -f -a '(__lizzie_complete)'
