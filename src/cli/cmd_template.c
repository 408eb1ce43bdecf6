/* cmd_template.c - lizzie template: what a chat template makes of messages, which is how one debugs it.
 *
 * Given by themselves, messages are brought into the form that the template takes, as `run` and `batch` do. With
 * --jsonl a line is all of the template's variables, just as they are. */
#include "cli/cli.h"

#include "line/line_record.h"

#include <inttypes.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 30 };

/* ---- Messages ----------------------------------------------------------------------------------- */

void cli_message_add(liz_buf *messages, const char *role, liz_str content)
{
    liz_json_open(messages, NULL, '{');
    liz_json_put_str(messages, "role", liz_str_of(role));
    liz_json_put_str(messages, "content", content);
    liz_buf_putc(messages, '}');
}

static liz_status render_array(const cli_args *args, const liz_template *t, liz_str messages, liz_rendered *out,
                               liz_error *err)
{
    liz_buf variables = {.len_max = TEXT_MAX};
    liz_buf_printf(&variables, "{\"messages\":[%.*s],\"add_generation_prompt\":true}", LIZ_STR_ARG(messages));
    liz_status status = liz_buf_failed(&variables) ? liz_fail(err, LIZ_E_MEMORY, "no memory for the messages")
                                                   : liz_template_render(t, variables.data, variables.len,
                                                                         args->line.now, LIZ_RENDER_CHAT, out, err);
    liz_buf_free(&variables);
    return status;
}

liz_status cli_messages_render(const cli_args *args, const liz_template *t, const liz_buf *messages, liz_rendered *out,
                               liz_error *err)
{
    *out = (liz_rendered){0};
    if (liz_buf_failed(messages))
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the messages");
    return render_array(args, t, liz_buf_str(messages), out, err);
}

/* ---- One conversation --------------------------------------------------------------------------- */

/* JSON of messages, or of all variables. */
static liz_status render_json(const cli_args *args, const liz_template *t, liz_str json, liz_rendered *out,
                              liz_error *err)
{
    while (json.n > 0 && strchr(" \t\r\n", *json.p) != NULL)
        json = (liz_str){json.p + 1, json.n - 1};
    while (json.n > 0 && strchr(" \t\r\n", json.p[json.n - 1]) != NULL)
        json.n--;
    if (json.n >= 2 && json.p[0] == '[' && json.p[json.n - 1] == ']')
        return render_array(args, t, (liz_str){json.p + 1, json.n - 2}, out, err);
    return liz_template_render(t, json.n ? json.p : "", json.n, args->line.now, LIZ_RENDER_CHAT, out, err);
}

static liz_status render_one(const cli_args *args, const liz_template *t, liz_rendered *out, liz_error *err)
{
    liz_buf text = {.len_max = TEXT_MAX};
    liz_status status = LIZ_OK;
    if (args->n_positional > 1) {
        if (args->line.system != NULL)
            cli_message_add(&text, "system", liz_str_of(args->line.system));
        status = cli_text_check("the prompt", liz_str_of(args->positional[1]), err);
        cli_message_add(&text, "user", liz_str_of(args->positional[1]));
        status = status ?: cli_messages_render(args, t, &text, out, err);
    } else if (args->messages != NULL) {
        status = render_json(args, t, liz_str_of(args->messages), out, err);
    } else if (isatty(STDIN_FILENO)) {
        status = liz_fail(err, LIZ_E_USAGE,
                          "template: no messages are given: lizzie template MODEL 'PROMPT', or pipe JSON in");
    } else {
        status = cli_read_stdin(&text, err);
        status = status ?: render_json(args, t, liz_buf_str(&text), out, err);
    }
    liz_buf_free(&text);
    return status;
}

static void write_line(const char *name, liz_str text, liz_buf *out)
{
    liz_buf_printf(out, "{\"%s\":", name);
    liz_json_write_string(out, text);
    liz_buf_puts(out, "}\n");
}

static liz_status print_one(const cli_args *args, const liz_template *t, liz_buf *out, liz_error *err)
{
    liz_rendered text = {0};
    liz_status status = render_one(args, t, &text, err);
    if (status == LIZ_OK && args->json)
        write_line("text", (liz_str){text.text, text.n_text}, out);
    else if (status == LIZ_OK)
        liz_buf_append(out, text.text, text.n_text);
    liz_rendered_free(&text);
    return status;
}

/* ---- --jsonl ------------------------------------------------------------------------------------ */

typedef struct lines {
    cli_args *args;
    const liz_template *t;
    liz_buf *out;
} lines;

/* Lines are answered at once, so that another program can talk to this one. */
static liz_status take_line(void *user, const liz_line_header *columns, const liz_line_cut *cut, liz_error *err)
{
    const lines *l = user;
    liz_rendered text = {0};
    liz_error why = {.text = "it is larger than 64 MiB"};
    (void)columns;
    liz_status status = cut->too_large
                            ? LIZ_E_LIMIT
                            : liz_template_render(l->t, cut->text.p, cut->text.n, l->args->line.now, 0, &text, &why);
    if (status == LIZ_E_MEMORY)
        return liz_fail(err, LIZ_E_MEMORY, "line %" PRIu64 ": no memory for its text", cut->line);
    if (status == LIZ_OK) {
        write_line("text", (liz_str){text.text, text.n_text}, l->out);
    } else {
        write_line("error", liz_str_of(why.text), l->out);
        l->args->exit_code = EXIT_ERROR_ROWS;
    }
    liz_rendered_free(&text);
    return cli_flush(l->out, err);
}

/* ---- The command -------------------------------------------------------------------------------- */

liz_status cli_template(cli_args *args, liz_buf *out, liz_error *err)
{
    liz_template *t = NULL;
    liz_rendered none = {0};
    if (args->jsonl + (args->n_positional > 1) + (args->messages != NULL) > 1)
        return liz_fail(err, LIZ_E_USAGE, "template: PROMPT, --messages and --jsonl exclude each other: give one");
    if (args->line.system != NULL && args->n_positional < 2)
        return liz_fail(err, LIZ_E_USAGE, "template: --system goes with PROMPT: write it into the messages");
    liz_status status = liz_template_open(&t, args->line.model_path, err);
    if (status == LIZ_OK && t == NULL)
        status = liz_fail(err, LIZ_E_UNSUPPORTED, "%s: has no chat template: name a template's own file",
                          args->line.model_path);
    if (status == LIZ_OK && liz_template_render(t, "{}", 2, args->line.now, 0, &none, err) == LIZ_E_USAGE)
        status = LIZ_E_USAGE; /* --now */
    liz_rendered_free(&none);
    if (status == LIZ_OK)
        status = args->jsonl ? liz_line_records_each("-", LIZ_LINE_INPUT_LINES, take_line, &(lines){args, t, out}, err)
                             : print_one(args, t, out, err);
    liz_template_close(t);
    return status;
}
