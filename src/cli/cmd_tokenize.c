/* cmd_tokenize.c - lizzie tokenize: text to ids and pieces, ids to text, and lines of JSON to lines of ids.
 *
 * Text given as such gets BOS and EOS where the model asks for them, as in a prompt; --jsonl adds neither. */
#include "cli/cli.h"

#include "line/line_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 30 };

/* ---- Text --------------------------------------------------------------------------------------- */

static void write_ids(const int32_t *ids, size_t n, liz_buf *out)
{
    liz_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++)
        liz_json_put_int(out, NULL, ids[i]);
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
        liz_json_key(out, NULL);
        status = liz_line_piece_write(vocab, ids[i], out, err);
    }
    liz_buf_puts(out, "]}\n");
    return status;
}

static liz_status read_text(const cli_args *args, liz_buf *text, liz_error *err)
{
    if (args->n_positional > 1)
        return cli_text_given(args->positional[1], text, err);
    if (isatty(STDIN_FILENO))
        return liz_fail(err, LIZ_E_USAGE, "tokenize: no text is given: lizzie tokenize MODEL 'TEXT', or pipe it in");
    return cli_read_stdin(text, err);
}

static liz_status tokenize_text(const cli_args *args, const liz_vocab *vocab, liz_buf *out, liz_error *err)
{
    liz_buf text = {.len_max = OUT_MAX};
    int32_t *ids = NULL;
    size_t n;
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
    LIZ_TRY(cli_ids_read(args->ids, "ids", &ids, &n, err));
    liz_status status = liz_detokenize(vocab, ids, n, args->special ? LIZ_TOKENIZE_SPECIAL : 0, &text, &n_text, err);
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

typedef struct lines {
    cli_args *args;
    const liz_vocab *vocab;
    liz_arena arena; /* of one line */
    liz_buf *out;
} lines;

/* Appends {"ids":[...]} for a line, or gives what is wrong with it, and its code. LIZ_E_MEMORY and the like end all. */
static liz_status line_ids(lines *l, const liz_line_cut *cut, const char **code, liz_error *why, liz_error *err)
{
    liz_json *json;
    int32_t *ids;
    size_t n;
    if (cut->too_large) {
        *code = "row_too_large";
        liz_fail(why, LIZ_E_LIMIT, "it is larger than 64 MiB");
        return LIZ_OK;
    }
    *code = "invalid_json";
    if (liz_json_read(&json, cut->text, &l->arena, why) != LIZ_OK)
        return LIZ_OK;
    const liz_json *text = liz_json_member(json, "text"), *special = liz_json_member(json, "special");
    bool parse = special != NULL && special->type == LIZ_JSON_TRUE;
    if (text == NULL || text->type != LIZ_JSON_STRING ||
        (special != NULL && !parse && special->type != LIZ_JSON_FALSE)) {
        *code = "invalid_row";
        liz_fail(why, LIZ_E_FORMAT, "it wants {\"text\":string,\"special\":bool}");
        return LIZ_OK;
    }
    *code = NULL;
    LIZ_TRY(liz_tokenize(l->vocab, text->string.n ? text->string.p : "", text->string.n,
                         parse ? LIZ_TOKENIZE_SPECIAL : 0, &ids, &n, err));
    liz_buf_puts(l->out, "{\"ids\":");
    write_ids(ids, n, l->out);
    liz_buf_puts(l->out, "}\n");
    liz_free(ids);
    return LIZ_OK;
}

/* Lines are answered at once, so that another program can talk to this one. */
static liz_status take_line(void *user, const liz_line_header *columns, const liz_line_cut *cut, liz_error *err)
{
    lines *l = user;
    const char *code;
    liz_error why;
    (void)columns;
    liz_arena_reset(&l->arena);
    liz_status status = line_ids(l, cut, &code, &why, err);
    if (status == LIZ_OK && code != NULL) {
        liz_buf_printf(l->out, "{\"error\":{\"code\":\"%s\",\"message\":", code);
        liz_json_write_string(l->out, liz_str_of(why.text));
        liz_buf_puts(l->out, "}}\n");
        l->args->exit_code = EXIT_ERROR_ROWS;
    }
    return status ?: cli_flush(l->out, err);
}

/* ---- The command -------------------------------------------------------------------------------- */

liz_status cli_tokenize(cli_args *args, liz_buf *out, liz_error *err)
{
    liz_vocab *vocab = NULL;
    if ((args->ids != NULL) + args->jsonl + (args->n_positional > 1) > 1)
        return liz_fail(err, LIZ_E_USAGE, "tokenize: TEXT, --ids and --jsonl exclude each other: give one");
    liz_status status = liz_vocab_open(&vocab, args->line.model_path, err);
    lines l = {args, vocab, {.size_max = (size_t)1 << 31}, out};
    if (status == LIZ_OK)
        status = args->jsonl         ? liz_line_records_each("-", LIZ_LINE_INPUT_LINES, take_line, &l, err)
                 : args->ids != NULL ? detokenize(args, vocab, out, err)
                                     : tokenize_text(args, vocab, out, err);
    liz_arena_free(&l.arena);
    liz_vocab_close(vocab);
    return status;
}
