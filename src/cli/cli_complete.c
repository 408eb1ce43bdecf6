/* cli_complete.c - what a shell may complete a command line with.
 *
 * The shells' scripts (scripts/completion) know nothing themselves: they ask `lizzie --complete WORDS...`, which
 * answers from the tables of commands and options, so completion is never older than the program. */
#include "cli/cli.h"

/* A word [n] that takes the place of what is begun; `before` stands before both. */
static void candidate(liz_str before, const char *word, size_t n, const char *begun, const char *what)
{
    size_t n_begun = strlen(begun);
    if (n >= n_begun && strncmp(word, begun, n_begun) == 0)
        printf("%.*s%.*s\t%s\n", LIZ_STR_ARG(before), (int)n, word, what);
}

static void candidate_word(const char *word, const char *begun, const char *what)
{
    candidate((liz_str){"", 0}, word, strlen(word), begun, what);
}

static void complete_command(const char *begun)
{
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        if (c->id != 0)
            candidate_word(c->name, begun, c->summary);
    candidate_word("--help", begun, "list the commands");
    candidate_word("--version", begun, "show the version");
}

static void complete_option(const cli_command *command, const char *begun)
{
    cli_option_text o;
    char name[64];
    for (int i = 0; cli_option_next(command, &i, &o);) {
        snprintf(name, sizeof name, "--%s", o.name);
        candidate_word(name, begun, o.help);
    }
}

/* The option that `word` is, when it wants a value. */
static bool wants_value(const cli_command *command, liz_str word, cli_option_text *o)
{
    const char *letter = word.n == 2 && word.p[0] == '-' && word.p[1] != '-' ? cli_option_long(word.p[1]) : NULL;
    if (letter == NULL && !liz_str_starts(word, "--"))
        return false;
    liz_str name = letter != NULL ? liz_str_of(letter) : (liz_str){word.p + 2, word.n - 2};
    for (int i = 0; cli_option_next(command, &i, o);)
        if (liz_str_is(name, o->name))
            return o->value != NULL;
    return false;
}

static bool is_file(const char *value)
{
    static const char *const files[] = {
        "FILE", "FILE...", "MODEL", "OUT", "F.npy", "F.jsonl", "F.svg", "FILE[=SCALE]", "[NAME=]FILE[=SCALE]"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(value, files[i]) == 0)
            return true;
    return false;
}

/* "on|off" names its values, "ID|TEXT" kinds of them; of others only files can be completed. `before` is --OPTION=, or
 * nothing where the value is a word of its own. */
static void complete_value(const cli_option_text *o, liz_str before, const char *begun)
{
    if (is_file(o->value))
        puts(":");
    if (strchr(o->value, '|') == NULL || (o->value[0] >= 'A' && o->value[0] <= 'Z'))
        return;
    for (const char *at = o->value; *at != '\0';) {
        size_t n = strcspn(at, "|");
        candidate(before, at, n, begun, o->help);
        at += n + (at[n] == '|');
    }
}

void cli_complete(int n, char **words)
{
    cli_option_text o;
    const char *begun = n > 0 ? words[n - 1] : "";
    const cli_command *command = cli_commands;
    if (n <= 1) {
        complete_command(begun);
        return;
    }
    while (command->name != NULL && (command->id == 0 || strcmp(command->name, words[0]) != 0))
        command++;
    if (command->name == NULL)
        return;
    const char *equals = strncmp(begun, "--", 2) == 0 ? strchr(begun, '=') : NULL;
    if (equals != NULL && wants_value(command, (liz_str){begun, (size_t)(equals - begun)}, &o))
        complete_value(&o, (liz_str){begun, (size_t)(equals - begun) + 1}, equals + 1);
    else if (n > 2 && wants_value(command, liz_str_of(words[n - 2]), &o))
        complete_value(&o, (liz_str){"", 0}, begun);
    else if (begun[0] == '-')
        complete_option(command, begun);
    else
        puts(":");
}
