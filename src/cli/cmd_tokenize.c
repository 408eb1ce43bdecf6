/* cmd_tokenize.c - lizzie tokenize: text to ids and pieces, ids to text, and lines of JSON to lines of ids.
 *
 * Text given as such gets BOS and EOS where the model asks for them, as in a prompt; --jsonl adds neither. */
#include "cli/cli.h"

#include "base/json.h"
#include "base/status.h"
#include "line/line_input.h"
#include "line/line_row.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 30 };

/* ---- Text --------------------------------------------------------------------------------------- */

static void write_ids(const int32_t *ids, size_t n, liz_buf *out)
{
    liz_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++)
        liz_buf_printf(out, "%s%" PRId32, i ? "," : "", ids[i]);
    liz_buf_putc(out, ']');
}

static liz_status write_table(const liz_vocab *vocab, const int32_t *ids, size_t n, liz_buf *out, liz_error *err)
{
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        liz_buf_printf(out, "%" PRId32 "\t", ids[i]);
        status = liz_line_piece_write(vocab, ids[i], out, err);
        liz_buf_putc(out, '\n');
    }
    return status;
}

static liz_status write_json(const liz_vocab *vocab, const int32_t *ids, size_t n, liz_buf *out, liz_error *err)
{
    liz_status status = LIZ_OK;
    liz_buf_puts(out, "{\"ids\":");
    write_ids(ids, n, out);
    liz_buf_puts(out, ",\"pieces\":[");
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        liz_buf_puts(out, i ? "," : "");
        status = liz_line_piece_write(vocab, ids[i], out, err);
    }
    liz_buf_puts(out, "]}\n");
    return status;
}

static liz_status read_text(const cli_args *args, liz_buf *text, liz_error *err)
{
    if (args->n_positional > 1) {
        liz_buf_puts(text, args->positional[1]);
        return LIZ_OK;
    }
    if (isatty(STDIN_FILENO))
        return liz_fail(err, LIZ_E_USAGE, "tokenize: no text is given: lizzie tokenize MODEL 'TEXT', or pipe it in");
    return cli_read_stdin(text, err);
}

static liz_status tokenize_text(const cli_args *args, const liz_vocab *vocab, liz_buf *out, liz_error *err)
{
    liz_buf text;
    int32_t *ids = NULL;
    size_t n;
    liz_buf_init(&text, OUT_MAX);
    unsigned flags = LIZ_TOKENIZE_AFFIXES | (args->special ? LIZ_TOKENIZE_SPECIAL : 0u);
    liz_status status = read_text(args, &text, err);
    status = status ?: liz_tokenize(vocab, text.data ? text.data : "", text.len, flags, &ids, &n, err);
    status = status ?: (args->json ? write_json(vocab, ids, n, out, err) : write_table(vocab, ids, n, out, err));
    liz_free(ids);
    liz_buf_free(&text);
    return status;
}

static liz_status detokenize(const cli_args *args, const liz_vocab *vocab, liz_buf *out, liz_error *err)
{
    int32_t *ids;
    char *text = NULL;
    size_t n, n_text;
    liz_status status = cli_ids_read(args->ids, "ids", &ids, &n, err);
    if (status != LIZ_OK)
        return status;
    status = liz_detokenize(vocab, ids, n, args->special ? LIZ_TOKENIZE_SPECIAL : 0, &text, &n_text, err);
    free(ids);
    if (status != LIZ_OK)
        return status;
    if (args->json) {
        liz_buf_puts(out, "{\"text\":");
        liz_json_write_string(out, (liz_str){text, n_text});
        liz_buf_putc(out, '}');
    } else {
        liz_buf_append(out, text, n_text);
    }
    liz_buf_putc(out, '\n');
    liz_free(text);
    return LIZ_OK;
}

/* ---- --jsonl ------------------------------------------------------------------------------------ */

static void write_line_error(const char *code, const char *text, liz_buf *out)
{
    liz_buf_printf(out, "{\"error\":{\"code\":\"%s\",\"message\":", code);
    liz_json_write_string(out, liz_str_of(text));
    liz_buf_puts(out, "}}\n");
}

/* One line in, one out; false when the line was no request. LIZ_E_MEMORY and the like end the work. */
static liz_status tokenize_line(const liz_vocab *vocab, const liz_line_cut *cut, liz_arena *arena, liz_buf *out,
                                bool *ok, liz_error *err)
{
    liz_json *json;
    liz_error line_err;
    *ok = false;
    if (cut->too_large || liz_json_read(&json, cut->text, arena, &line_err) != LIZ_OK) {
        write_line_error(cut->too_large ? "row_too_large" : "invalid_json",
                         cut->too_large ? "it is larger than 64 MiB" : line_err.text, out);
        return LIZ_OK;
    }
    const liz_json *text = liz_json_member(json, "text"), *special = liz_json_member(json, "special");
    if (text == NULL || text->type != LIZ_JSON_STRING ||
        (special != NULL && special->type != LIZ_JSON_TRUE && special->type != LIZ_JSON_FALSE)) {
        write_line_error("invalid_row", "it wants {\"text\":string,\"special\":bool}", out);
        return LIZ_OK;
    }
    int32_t *ids;
    size_t n;
    bool parse = special != NULL && special->type == LIZ_JSON_TRUE;
    liz_status status = liz_tokenize(vocab, text->string.n ? text->string.p : "", text->string.n,
                                     parse ? LIZ_TOKENIZE_SPECIAL : 0, &ids, &n, err);
    if (status != LIZ_OK)
        return status;
    liz_buf_puts(out, "{\"ids\":");
    write_ids(ids, n, out);
    liz_buf_puts(out, "}\n");
    liz_free(ids);
    *ok = true;
    return LIZ_OK;
}

/* Lines are answered at once, so that another program can talk to this one. */
static liz_status tokenize_lines(const liz_vocab *vocab, uint64_t *n_bad, liz_error *err)
{
    liz_line_input *in = NULL;
    liz_arena arena = {.size_max = (size_t)1 << 31};
    liz_buf out;
    liz_line_cut cut;
    bool got = true, ok;
    liz_buf_init(&out, (size_t)4 << 30);
    liz_status status = liz_line_input_open(&in, liz_files_system(), "-", LIZ_LINE_INPUT_JSONL, NULL, err);
    while (status == LIZ_OK && got) {
        status = liz_line_input_next(in, &cut, &got, err);
        if (status != LIZ_OK || !got)
            break;
        liz_arena_reset(&arena);
        liz_buf_clear(&out);
        status = tokenize_line(vocab, &cut, &arena, &out, &ok, err);
        *n_bad += !ok;
        if (status == LIZ_OK && liz_buf_failed(&out))
            status = liz_fail(err, LIZ_E_MEMORY, "line %" PRIu64 ": no memory for its ids", cut.line);
        status = status ?: cli_print(liz_buf_str(&out), err);
    }
    liz_buf_free(&out);
    liz_arena_free(&arena);
    liz_line_input_close(in);
    return status;
}

/* ---- The command -------------------------------------------------------------------------------- */

static liz_status check(const cli_args *args, liz_error *err)
{
    if ((args->ids != NULL) + args->jsonl + (args->n_positional > 1) > 1)
        return liz_fail(err, LIZ_E_USAGE, "tokenize: TEXT, --ids and --jsonl exclude each other: give one");
    return LIZ_OK;
}

int cli_tokenize(cli_args *args)
{
    liz_vocab *vocab = NULL;
    liz_buf out;
    liz_error err;
    uint64_t n_bad = 0;
    liz_buf_init(&out, (size_t)4 << 30);
    liz_status status = check(args, &err);
    status = status ?: liz_vocab_open(&vocab, args->line.model_path, &err);
    if (status == LIZ_OK && args->jsonl)
        status = tokenize_lines(vocab, &n_bad, &err);
    else if (status == LIZ_OK)
        status = args->ids != NULL ? detokenize(args, vocab, &out, &err) : tokenize_text(args, vocab, &out, &err);
    if (status == LIZ_OK && liz_buf_failed(&out))
        status = liz_fail(&err, LIZ_E_MEMORY, "tokenize: no memory for the result");
    if (status == LIZ_OK && out.len > 0)
        status = cli_print(liz_buf_str(&out), &err);
    liz_buf_free(&out);
    liz_vocab_close(vocab);
    if (status != LIZ_OK)
        return cli_fail(status, &err);
    return n_bad > 0 ? EXIT_ERROR_ROWS : EXIT_DONE;
}
