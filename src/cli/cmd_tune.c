/* cmd_tune.c - lizzie tune: records of files to examples, and how the tuning goes.
 *
 * Without --prompt a record is an example as it stands (train/examples.h). With it, --prompt and --completion are
 * filled from a record's fields, and become a user's and an assistant's turn where the model has a chat template: just
 * what batch makes of the same --prompt. Whatever is wrong in a record ends the command, with its place. */
#include "cli/cli.h"

#include "line/line_prompt.h"

#include <inttypes.h>

enum { ROW_MAX = 1 << 30 };

typedef struct reader {
    cli_teller teller; /* first: it is what events are told to */
    const cli_args *args;
    liz_line_template *system, *prompt, *completion; /* NULL: none */
    liz_arena arena;                                 /* of a record */
    const char *path;                                /* of the file that is read */
    liz_examples *to;
    bool has_chat;
    uint64_t n_skipped; /* too long */
} reader;

/* ---- Filling ---- */

/* A field that the header or the first record lacks is a mistake in the command, as in batch. */
static liz_status fill(const reader *r, const liz_line_template *template, const liz_line_record *record, liz_buf *out,
                       const char *where, liz_error *err)
{
    liz_line_row row;
    liz_line_prompter prompter = {.template = template};
    liz_line_row_init(&row);
    liz_status status = liz_line_prompt_text(&prompter, record, &row, out, err);
    bool never_there = record->json == NULL || liz_examples_n(r->to) == 0;
    if (status == LIZ_OK && row.error_code != NULL)
        status = liz_fail(err, never_there ? LIZ_E_USAGE : LIZ_E_FORMAT, "%s: %s", where, row.error_message.data);
    liz_line_row_free(&row);
    return status;
}

/* {"messages"} where there is a chat template, else {"prompt", "completion"}. */
static liz_status put_filled(const reader *r, const liz_line_record *record, liz_buf *row, const char *where,
                             liz_error *err)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const liz_line_template *const parts[] = {r->system, r->prompt, r->completion};
    liz_buf texts[3];
    liz_status status = LIZ_OK;
    for (int i = 0; i < 3; i++) {
        liz_buf_init(&texts[i], ROW_MAX);
        if (status == LIZ_OK && parts[i] != NULL)
            status = fill(r, parts[i], record, &texts[i], where, err);
    }
    if (status == LIZ_OK && r->has_chat) {
        for (int i = 0; i < 3; i++)
            if (parts[i] != NULL)
                cli_message_add(row, roles[i], liz_buf_str(&texts[i]));
    } else if (status == LIZ_OK) {
        if (r->system != NULL) {
            liz_buf_puts(&texts[0], "\n\n");
            liz_buf_append_str(&texts[0], liz_buf_str(&texts[1]));
        }
        liz_buf_puts(row, "\"prompt\":");
        liz_json_write_string(row, liz_buf_str(&texts[r->system != NULL ? 0 : 1]));
        liz_buf_puts(row, ",\"completion\":");
        liz_json_write_string(row, liz_buf_str(&texts[2]));
    }
    for (int i = 0; i < 3; i++) {
        row->failed = row->failed || liz_buf_failed(&texts[i]);
        liz_buf_free(&texts[i]);
    }
    return status;
}

static liz_status add_filled(reader *r, const liz_line_record *record, const char *where, liz_error *err)
{
    liz_buf row = {.len_max = ROW_MAX};
    liz_buf members = {.len_max = ROW_MAX};
    liz_json *json;
    liz_status status = put_filled(r, record, &members, where, err);
    liz_buf_printf(&row, r->has_chat ? "{\"messages\":[" : "{");
    liz_buf_append_str(&row, liz_buf_str(&members));
    liz_buf_puts(&row, r->has_chat ? "]}" : "}");
    if (status == LIZ_OK && (liz_buf_failed(&members) || liz_buf_failed(&row)))
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for it", where);
    status = status ?: liz_json_read(&json, liz_buf_str(&row), &r->arena, err);
    status = status ?: liz_examples_add(r->to, json, where, err);
    liz_buf_free(&members);
    liz_buf_free(&row);
    return status;
}

/* ---- Records ---- */

static liz_status add_record(reader *r, const liz_line_header *columns, const liz_line_cut *cut, liz_error *err)
{
    char where[512];
    liz_line_record record;
    liz_line_row row;
    liz_status status = LIZ_OK;
    liz_line_row_init(&row);
    liz_arena_reset(&r->arena);
    snprintf(where, sizeof where, "%.400s: line %" PRIu64, r->path, cut->line);
    if (!liz_line_record_read(&record, cut, columns, &r->arena, &row))
        status = r->arena.refused ? liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a row", r->path)
                                  : liz_fail(err, LIZ_E_FORMAT, "%s: %s", where, row.error_message.data);
    liz_line_row_free(&row);
    if (status != LIZ_OK)
        return status;
    if (r->prompt != NULL)
        return add_filled(r, &record, where, err);
    if (columns != NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: has columns: say with --prompt and --completion what they are", r->path);
    return liz_examples_add(r->to, record.json, where, err);
}

/* A liz_line_record_fn: adds an example, or counts it where it is too long and may be left out. */
static liz_status take_record(void *user, const liz_line_header *columns, const liz_line_cut *cut, liz_error *err)
{
    reader *r = user;
    liz_status status = add_record(r, columns, cut, err);
    bool skips = status == LIZ_E_LIMIT && r->args->skip_long;
    r->n_skipped += skips;
    return skips ? LIZ_OK : status;
}

static liz_status read_file(reader *r, const char *path, liz_error *err)
{
    size_t n_before = liz_examples_n(r->to);
    r->path = path;
    liz_status status = liz_line_records_each(path, LIZ_LINE_INPUT_GUESS, take_record, r, err);
    if (status == LIZ_OK && liz_examples_n(r->to) == n_before)
        status = liz_fail(err, LIZ_E_FORMAT, "%s: holds no rows", path);
    return status;
}

static liz_status read_files(void *user, liz_examples *to, bool valid, bool has_chat, liz_error *err)
{
    reader *r = user;
    const liz_paths *paths = valid ? &r->args->train.valid : &r->args->train.data;
    liz_status status = LIZ_OK;
    r->to = to;
    r->has_chat = has_chat;
    for (size_t i = 0; i < paths->n && status == LIZ_OK; i++)
        status = read_file(r, paths->v[i], err);
    if (valid && r->n_skipped > 0)
        fprintf(stderr, "lizzie: %" PRIu64 " rows are too long and left out\n", r->n_skipped);
    return status;
}

/* ---- The command ---- */

static liz_status check(const cli_args *args, liz_error *err)
{
    if (args->line.out_path == NULL)
        return liz_fail(err, LIZ_E_USAGE, "tune: no output is named: add -o ADAPTER.gguf");
    if (args->train.data.n == 0)
        return liz_fail(err, LIZ_E_USAGE, "tune: wants rows to learn from: --data FILE...");
    LIZ_TRY(cli_training_check(args, args->line.out_path, err));
    if ((args->line.prompt == NULL) != (args->completion == NULL))
        return liz_fail(err, LIZ_E_USAGE, "--prompt and --completion: one of them alone makes no example");
    if (args->line.system != NULL && args->line.prompt == NULL)
        return liz_fail(err, LIZ_E_USAGE, "--system: wants --prompt and --completion too");
    return LIZ_OK;
}

static liz_status compile(liz_line_template **out, const char *text, liz_error *err)
{
    return text != NULL ? liz_line_template_compile(out, NULL, text, err) : LIZ_OK;
}

liz_status cli_tune(cli_args *args, liz_buf *out, liz_error *err)
{
    (void)out;
    reader r = {.args = args, .arena.size_max = LIZ_LINE_RECORD_MAX * 8};
    liz_tune_opts *o = &args->tune;
    cli_training_begin(&r.teller, args, args->line.out_path);
    liz_tune_defaults(&args->train.common);
    o->common = &args->train.common;
    o->model = args->line.model_path;
    o->out = args->line.out_path;
    o->n_ctx = args->line.engine.n_ctx;
    o->raw = args->line.raw;
    liz_status status = check(args, err);
    status = status ?: compile(&r.system, args->line.system, err);
    status = status ?: compile(&r.prompt, args->line.prompt, err);
    status = status ?: compile(&r.completion, args->completion, err);
    status = status ?: liz_tune(o, liz_files_system(), read_files, cli_training_tell, &r, err);
    liz_line_template_free(r.system);
    liz_line_template_free(r.prompt);
    liz_line_template_free(r.completion);
    liz_arena_free(&r.arena);
    return cli_training_end(status, err);
}
