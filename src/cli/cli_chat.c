/* cli_chat.c - lizzie run on a terminal: a conversation.
 *
 * The conversation is kept as the JSON of its messages and rendered anew for each turn; the engine's prefix cache knows
 * all but the last turn already. Lines are edited by libedit. Ctrl-C stops an answer, which is kept as far as it came;
 * at the prompt it ends the program, as does the end of the input. */
#include "cli/cli.h"

#include "line/line_request.h"

#include <editline/readline.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGES_MAX = 1 << 30 };

typedef struct chat {
    cli_args *args;
    liz_engine *engine;
    const liz_template *template;
    liz_buf messages; /* JSON objects, commas between them; the system text is not among them */
    liz_buf system;
    bool over;
} chat;

static const char help_text[] =
    "  /system TEXT      instructions before the conversation; without TEXT: none\n"
    "  /set NAME VALUE   an option of generating; /set shows them. Those that may be repeated are\n"
    "                    added to; /set NAME takes all of such a one back\n"
    "  /clear            forget the conversation\n"
    "  /save FILE        write the conversation, as a JSON array of messages\n"
    "  /load FILE        go on with one\n"
    "  /exit             end; so does Ctrl-D\n"
    "A line that ends with \\ goes on in the next. Ctrl-C stops an answer.\n";

static void say(const char *text)
{
    liz_error err;
    if (liz_file_write(liz_files_system(), STDOUT_FILENO, "standard output", text, strlen(text), &err) != LIZ_OK)
        exit(EXIT_FAILED); /* the terminal is gone */
}

static void say_error(const liz_error *err) { fprintf(stderr, "lizzie: %s\n", err->text); }

/* ---- Turns -------------------------------------------------------------------------------------- */

/* Appends the system text and the messages as elements of an array. */
static void all_messages(const chat *c, liz_buf *out)
{
    if (c->system.len > 0)
        cli_message_add(out, "system", liz_buf_str(&c->system));
    if (c->messages.len > 0)
        liz_json_put(out, NULL, liz_buf_str(&c->messages));
}

/* LIZ_E_MEMORY where the conversation, or its system text, is not all there. */
static liz_status check_kept(const chat *c, liz_error *err)
{
    return liz_buf_failed(&c->messages) || liz_buf_failed(&c->system)
               ? liz_fail(err, LIZ_E_MEMORY, "no memory to keep that in the conversation")
               : LIZ_OK;
}

static liz_status answer(chat *c, liz_buf *text, liz_error *err)
{
    liz_buf messages = {.len_max = MESSAGES_MAX};
    liz_rendered rendered;
    int32_t *tokens = NULL;
    size_t n_tokens;
    all_messages(c, &messages);
    liz_status status = cli_messages_render(c->args, c->template, &messages, &rendered, err);
    status = status ?: liz_tokenize_rendered(liz_engine_vocab(c->engine), &rendered, &tokens, &n_tokens, err);
    status = status ?: cli_generate(c->args, c->engine, tokens, n_tokens, text, err);
    liz_free(tokens);
    liz_rendered_free(&rendered);
    liz_buf_free(&messages);
    return status;
}

/* A turn that fails is taken back, so that one can go on. */
static void take_turn(chat *c, const char *line)
{
    liz_buf text = {.len_max = MESSAGES_MAX};
    liz_error err;
    size_t before = c->messages.len;
    cli_message_add(&c->messages, "user", liz_str_of(line));
    cli_at_work = true; /* an interrupt stops this answer from here on */
    liz_status status = answer(c, &text, &err);
    cli_at_work = false;
    if (status == LIZ_OK)
        cli_message_add(&c->messages, "assistant", liz_buf_str(&text));
    status = status ?: check_kept(c, &err);
    if (status == LIZ_OK) {
        say(cli_stop ? "\n" : "");
    } else {
        liz_buf_cut(&c->messages, before);
        say_error(&err);
    }
    c->over = cli_stop != 0 && cli_stop != SIGINT;
    if (!c->over)
        cli_stop = 0;
    liz_buf_free(&text);
}

/* ---- Commands ----------------------------------------------------------------------------------- */

static liz_status save(chat *c, const char *path, liz_error *err)
{
    LIZ_TRY(cli_check_written(c->args, path, err));
    liz_buf out = {.len_max = MESSAGES_MAX};
    liz_buf_putc(&out, '[');
    all_messages(c, &out);
    liz_buf_puts(&out, "]\n");
    liz_status status = liz_file_write_text(liz_files_system(), path, O_TRUNC, &out, err);
    liz_buf_free(&out);
    return status;
}

/* Whether the template can show them. */
static liz_status check_messages(const chat *c, const liz_json *list, const char *path, liz_error *err)
{
    liz_buf messages = {.len_max = MESSAGES_MAX};
    liz_rendered rendered = {0};
    for (const liz_json *m = list->first_child; m != NULL; m = m->next)
        liz_json_put(&messages, NULL, m->source);
    liz_status status =
        list->n_children > 0 ? cli_messages_render(c->args, c->template, &messages, &rendered, err) : LIZ_OK;
    liz_rendered_free(&rendered);
    liz_buf_free(&messages);
    return status != LIZ_OK ? liz_fail_within(err, LIZ_E_FORMAT, "%s", path) : LIZ_OK;
}

/* Takes the messages of a JSON array over; a system text at its beginning becomes the chat's. */
static liz_status take_messages(chat *c, const liz_json *list, const char *path, liz_error *err)
{
    if (list->type != LIZ_JSON_ARRAY)
        return liz_fail(err, LIZ_E_FORMAT, "%s: is no JSON array of messages", path);
    LIZ_TRY(check_messages(c, list, path, err));
    const liz_json *m = list->first_child, *role = liz_json_member(m, "role"), *text = liz_json_member(m, "content");
    liz_buf_clear(&c->messages);
    liz_buf_clear(&c->system);
    if (role != NULL && liz_str_is(role->string, "system") && text != NULL && text->type == LIZ_JSON_STRING) {
        liz_buf_append_str(&c->system, text->string);
        m = m->next;
    }
    for (; m != NULL; m = m->next)
        liz_json_put(&c->messages, NULL, m->source);
    return check_kept(c, err);
}

static liz_status load(chat *c, const char *path, liz_error *err)
{
    liz_buf text = {.len_max = MESSAGES_MAX};
    liz_arena arena = {.size_max = (size_t)4 << 30};
    liz_json *list;
    liz_status status = liz_file_read_whole(liz_files_system(), path, &text, err);
    if (status == LIZ_OK && liz_json_read(&list, liz_buf_str(&text), &arena, err) != LIZ_OK)
        status = liz_fail_within(err, LIZ_E_FORMAT, "%s", path);
    status = status ?: take_messages(c, list, path, err);
    liz_arena_free(&arena);
    liz_buf_free(&text);
    return status;
}

/* Whether the next answer could be asked for: what /set is given is refused there and then, not at the next turn. */
static liz_status check_settings(const chat *c, liz_error *err)
{
    liz_line_ask ask;
    liz_engine_info info;
    int32_t stop_tokens[LIZ_LINE_STOP_MAX];
    liz_engine_info_get(c->engine, &info);
    LIZ_TRY(liz_line_choices_check(&c->args->line, err));
    return liz_line_ask_settle(&ask, &c->args->line, liz_engine_vocab(c->engine), &info, 0, 0, stop_tokens, err);
}

/* Takes a change back that would make every answer fail; where they fail already, it may be a step out of that. */
static liz_status change(chat *c, const char *name, const char *value, liz_error *err)
{
    const liz_line_opts before = c->args->line;
    bool works = check_settings(c, err) == LIZ_OK;
    LIZ_TRY(cli_option_change(c->args, name, value, err));
    liz_status status = works ? check_settings(c, err) : LIZ_OK;
    if (status != LIZ_OK)
        c->args->line = before;
    return status;
}

static liz_status set(chat *c, char *rest, liz_error *err)
{
    char *name = strsep(&rest, " ");
    if (*name != '\0')
        return change(c, name, rest ? rest : "", err);
    liz_buf shown = {.len_max = 1 << 20};
    cli_options_show(c->args, &shown);
    liz_status status = cli_flush(&shown, err);
    liz_buf_free(&shown);
    return status;
}

/* A line that begins with "/". */
static void command(chat *c, char *line)
{
    liz_error err;
    char *rest = line;
    const char *name = strsep(&rest, " ");
    liz_status status = LIZ_OK;
    rest = rest ? rest + strspn(rest, " ") : line + strlen(line);
    if (strcmp(name, "/exit") == 0 || strcmp(name, "/quit") == 0 || strcmp(name, "/bye") == 0) {
        c->over = true;
    } else if (strcmp(name, "/help") == 0) {
        say(help_text);
    } else if (strcmp(name, "/system") == 0) {
        liz_buf_clear(&c->system);
        liz_buf_puts(&c->system, rest);
        status = check_kept(c, &err);
    } else if (strcmp(name, "/clear") == 0) {
        liz_buf_clear(&c->messages);
    } else if (strcmp(name, "/set") == 0) {
        status = set(c, rest, &err);
    } else if ((strcmp(name, "/save") == 0 || strcmp(name, "/load") == 0) && *rest != '\0') {
        status = name[1] == 's' ? save(c, rest, &err) : load(c, rest, &err);
    } else {
        status = liz_fail(&err, LIZ_E_USAGE, "%s: is not a command, or lacks something: /help lists them", name);
    }
    if (status != LIZ_OK)
        say_error(&err);
}

/* ---- Lines -------------------------------------------------------------------------------------- */

/* Gives a line of the user, or several joined by backslashes; NULL at the end of the input. */
static char *read_lines(void)
{
    char *all = NULL;
    for (const char *prompt = "> ";; prompt = ". ") {
        char *line = readline(prompt), *joined;
        if (line == NULL || all == NULL) {
            joined = line ? line : all;
        } else {
            if (asprintf(&joined, "%s\n%s", all, line) < 0)
                joined = NULL;
            free(line);
            free(all);
        }
        all = joined;
        size_t n = all ? strlen(all) : 0;
        if (line == NULL || n == 0 || all[n - 1] != '\\')
            return all;
        all[n - 1] = '\0';
    }
}

/* libedit reads characters by the locale, and drops without a word what is none there: in the C locale, which is what
 * remains where nothing is set, all but ASCII. What is typed must be UTF-8 anyway. */
static void settle_characters(void)
{
    setlocale(LC_CTYPE, ""); /* numbers stay as they are */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        fputs("lizzie: there is no UTF-8 locale here: of what is typed only ASCII arrives\n", stderr);
}

liz_status cli_chat(cli_args *args, liz_engine *engine, const liz_template *t, liz_error *err)
{
    chat c = {.args = args, .engine = engine, .template = t};
    char *line;
    (void)err;
    settle_characters();
    liz_buf_init(&c.messages, MESSAGES_MAX);
    liz_buf_init(&c.system, MESSAGES_MAX);
    liz_buf_puts(&c.system, args->line.system ? args->line.system : "");
    rl_readline_name = "lizzie";
    using_history();
    say("/help lists the commands.\n");
    while (!c.over && (line = read_lines()) != NULL) {
        if (*line != '\0')
            add_history(line);
        if (*line == '/')
            command(&c, line);
        else if (*line != '\0')
            take_turn(&c, line);
        free(line);
    }
    liz_buf_free(&c.messages);
    liz_buf_free(&c.system);
    return LIZ_OK;
}
