/* cli_complete.c - what a shell may complete a command line with.
 *
 * The shells' scripts (scripts/completion) know nothing themselves: they ask `lizzie --complete WORDS...`, which
 * answers from the tables of commands and options, so completion is never older than the program. */
#include "cli/cli.h"

static void candidate(const char *word, size_t n, const char *begun, const char *what)
{
    if (strncmp(word, begun, strlen(begun)) == 0)
        printf("%.*s\t%s\n", (int)n, word, what);
}

static void complete_command(const char *begun)
{
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        if (c->id != 0)
            candidate(c->name, strlen(c->name), begun, c->summary);
    candidate("--help", 6, begun, "list the commands");
    candidate("--version", 9, begun, "show the version");
}

static void complete_option(const cli_command *command, const char *begun)
{
    cli_option_text o;
    char name[64];
    for (int i = 0; cli_option_next(command, &i, &o);) {
        int n = snprintf(name, sizeof name, "--%s", o.name);
        candidate(name, (size_t)n, begun, o.help);
    }
}

/* The option that `word` is, when it wants a value. */
static bool wants_value(const cli_command *command, const char *word, cli_option_text *o)
{
    const char *letter =
        word[0] == '-' && word[1] != '-' && word[1] != '\0' && word[2] == '\0' ? cli_option_long(word[1]) : NULL;
    const char *name = letter != NULL ? letter : strncmp(word, "--", 2) == 0 ? word + 2 : "";
    for (int i = 0; cli_option_next(command, &i, o);)
        if (strcmp(o->name, name) == 0)
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

/* "on|off" names its values, "ID|TEXT" kinds of them; of others only files can be completed. */
static void complete_value(const cli_option_text *o, const char *begun)
{
    if (is_file(o->value))
        puts(":");
    if (strchr(o->value, '|') == NULL || (o->value[0] >= 'A' && o->value[0] <= 'Z'))
        return;
    for (const char *at = o->value; *at != '\0';) {
        size_t n = strcspn(at, "|");
        if (n >= strlen(begun))
            candidate(at, n, begun, o->help);
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
    if (n > 2 && wants_value(command, words[n - 2], &o))
        complete_value(&o, begun);
    else if (begun[0] == '-')
        complete_option(command, begun);
    else
        puts(":");
}
