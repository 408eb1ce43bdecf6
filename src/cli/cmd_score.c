/* cmd_score.c - lizzie score: how likely given text is under a model.
 *
 * A line is printed for each text: its tokens, how many of them were scored, the sum of their log-probabilities and
 * what follows from it: perplexity exp(-sum / n) for n the tokens scored, the bytes of the text, its words, and its
 * words and line ends together. The last is what papers call the perplexity of WikiText-2 and its like, where each
 * line end counts as a word, </s>; docs/line.md says how to compare. */
#include "cli/cli.h"

#include "cli/cli_score.h"
#include "line/line_record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 30, BLOCK = 256 };

/* All logits as a two-dimensional array of NumPy (format 1.0). The engine's thread writes them. */
typedef struct logits_file {
    const char *path;
    int fd;
    size_t n_vocab;
    liz_status status;
    liz_error err;
} logits_file;

typedef struct command {
    const cli_args *args;
    cli_scorer scorer;
    logits_file logits;
    liz_buf *out;
    uint64_t n_bad;
    bool is_begun; /* the names of the columns are printed */
    /* Texts of lines, scored together. */
    liz_arena arena, line; /* and the line at hand */
    cli_scored block[BLOCK];
    size_t n_block;
} command;

static bool on_logits(void *user, size_t pos0, size_t n_pos, const float *logits)
{
    (void)pos0;
    logits_file *file = user;
    file->status = liz_file_write(liz_files_system(), file->fd, file->path, logits,
                                  n_pos * file->n_vocab * sizeof *logits, &file->err);
    return file->status == LIZ_OK;
}

/* Magic, version 1.0, a Python dictionary padded to 64 bytes; the values follow in little endian. */
static liz_status logits_open(logits_file *file, size_t n_rows, liz_error *err)
{
    enum { HEADER_SIZE = 128, PREFIX_SIZE = 10, ROOM = HEADER_SIZE - PREFIX_SIZE };
    unsigned char header[HEADER_SIZE] = "\x93NUMPY\x01\x00";
    char *dict = (char *)header + PREFIX_SIZE;
    int n =
        snprintf(dict, ROOM, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_rows, file->n_vocab);
    memset(dict + n, ' ', ROOM - (size_t)n);
    header[8] = ROOM;
    header[HEADER_SIZE - 1] = '\n';
    return liz_file_open(liz_files_system(), file->path, O_WRONLY | O_CREAT | O_TRUNC, &file->fd, err)
               ?: liz_file_write(liz_files_system(), file->fd, file->path, header, sizeof header, err);
}

static liz_status logits_close(logits_file *file, liz_error *err)
{
    liz_status status = file->fd >= 0 ? liz_file_sync(liz_files_system(), file->fd, file->path, err) : LIZ_OK;
    liz_file_close(liz_files_system(), &file->fd);
    return status;
}

/* ---- What is printed ---------------------------------------------------------------------------- */

static const char *const columns[] = {
    "index", "tokens",    "scored",          "logprob",         "perplexity",          "bytes",
    "words", "line_ends", "perplexity_byte", "perplexity_word", "perplexity_word_line"};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static uint64_t line_ends(liz_str text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

/* Fills `values` in the order of the columns; what is not known is NAN. */
static void values_of(const cli_scored *score, double values[N_COLUMNS])
{
    double n_bytes = (double)score->text.n, n_words = (double)liz_str_words(score->text);
    double n_lines = (double)line_ends(score->text), sum = score->logprob;
    double per[4] = {(double)score->n_scored, n_bytes, n_words, n_words + n_lines}, perplexity[4];
    for (int i = 0; i < 4; i++)
        perplexity[i] = score->n_scored > 0 && per[i] > 0 ? exp(-sum / per[i]) : NAN;
    const double all[N_COLUMNS] = {(double)score->index,
                                   (double)score->n_tokens,
                                   (double)score->n_scored,
                                   sum,
                                   perplexity[0],
                                   n_bytes,
                                   n_words,
                                   n_lines,
                                   perplexity[1],
                                   perplexity[2],
                                   perplexity[3]};
    memcpy(values, all, sizeof all);
}

static void begin(command *c)
{
    for (int i = 0; i < N_COLUMNS && !c->args->json && !c->is_begun; i++)
        liz_buf_printf(c->out, "%s%s", columns[i], i + 1 < N_COLUMNS ? "\t" : "\n");
    c->is_begun = true;
}

static void write_score(command *c, const cli_scored *score)
{
    double values[N_COLUMNS];
    values_of(score, values);
    begin(c);
    for (int i = 0; i < N_COLUMNS; i++) {
        liz_buf_puts(c->out, c->args->json ? (i ? "" : "{") : (i ? "\t" : ""));
        if (c->args->json)
            liz_json_key(c->out, columns[i]);
        if (i < 3 || (i >= 5 && i < 8)) /* counts */
            liz_buf_printf(c->out, "%.0f", values[i]);
        else
            liz_json_write_double(c->out, values[i]);
    }
    liz_buf_puts(c->out, c->args->json ? "}\n" : "\n");
}

/* ---- Where texts come from ---------------------------------------------------------------------- */

/* One text, `text` empty where only its tokens are known. */
static liz_status score_one(command *c, liz_str text, const int32_t *tokens, size_t n, liz_error *err)
{
    cli_scored score = {.text = text};
    size_t n_ctx = (size_t)c->scorer.info.n_ctx;
    liz_status status = LIZ_OK;
    if (c->args->logits_path != NULL && n > n_ctx)
        return liz_fail(err, LIZ_E_LIMIT,
                        "--logits: %zu tokens do not fit into the context of %zu: shorten the text or "
                        "raise --ctx-size",
                        n, n_ctx);
    if (c->args->logits_path != NULL && n > 0)
        status = logits_open(&c->logits, n, err);
    status = status ?: cli_score_tokens(&c->scorer, tokens, n, &score, err);
    if (c->logits.status != LIZ_OK) {
        *err = c->logits.err;
        return c->logits.status;
    }
    if (status == LIZ_OK)
        write_score(c, &score);
    return status;
}

static liz_status score_given_tokens(command *c, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    LIZ_TRY(cli_ids_read(c->args->tokens, "tokens", &tokens, &n, err));
    liz_status status = score_one(c, (liz_str){NULL, 0}, tokens, n, err);
    free(tokens);
    return status;
}

static liz_status score_file(command *c, const char *path, liz_error *err)
{
    liz_buf text = {.len_max = TEXT_MAX};
    int32_t *tokens = NULL;
    size_t n = 0;
    liz_status status =
        strcmp(path, "-") == 0 ? cli_read_stdin(&text, err) : liz_file_read_whole(liz_files_system(), path, &text, err);
    if (status == LIZ_OK && liz_utf8_valid_prefix(text.data ? text.data : "", text.len) != text.len)
        status = liz_fail(err, LIZ_E_FORMAT, "%s: is not UTF-8 text: convert it", path);
    status = status ?: cli_score_tokenize(&c->scorer, liz_buf_str(&text), &tokens, &n, err);
    status = status ?: score_one(c, liz_buf_str(&text), tokens, n, err);
    liz_free(tokens);
    liz_buf_free(&text);
    return status;
}

static liz_status score_block(command *c, liz_error *err)
{
    liz_status status = cli_score_texts(&c->scorer, c->block, c->n_block, err);
    begin(c);
    for (size_t i = 0; status == LIZ_OK && i < c->n_block; i++)
        write_score(c, &c->block[i]);
    c->n_block = 0;
    liz_arena_reset(&c->arena);
    return status ?: cli_flush(c->out, err);
}

static liz_status take_line(void *user, const liz_line_header *header, const liz_line_cut *cut, liz_error *err)
{
    command *c = user;
    liz_json *json;
    liz_error line_err;
    const char *path = c->args->positional[1], *why = NULL;
    (void)header;
    liz_arena_reset(&c->line);
    liz_status status = liz_json_read(&json, cut->text, &c->line, &line_err);
    const liz_json *text = status == LIZ_OK ? liz_json_member(json, "text") : NULL;
    if (status == LIZ_E_MEMORY)
        return liz_fail(err, status, "%s: no memory for line %" PRIu64, path, cut->line);
    if (cut->too_large)
        why = "it is larger than 64 MiB";
    else if (status != LIZ_OK)
        why = line_err.text;
    else if (text == NULL || text->type != LIZ_JSON_STRING)
        why = "it wants {\"text\":string}";
    if (why != NULL) {
        cli_score_skip(path, cut->line, why);
        c->n_bad++;
        return LIZ_OK;
    }
    liz_str copy = {liz_arena_strdup(&c->arena, text->string.p, text->string.n), text->string.n};
    if (copy.p == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for line %" PRIu64, path, cut->line);
    c->block[c->n_block++] = (cli_scored){.text = copy, .index = cut->index};
    return c->n_block == BLOCK ? score_block(c, err) : LIZ_OK;
}

/* ---- The command -------------------------------------------------------------------------------- */

static liz_status check(const cli_args *args, liz_error *err)
{
    bool has_in = args->n_positional > 1;
    if (has_in == (args->tokens != NULL))
        return liz_fail(err, LIZ_E_USAGE, "score: give either a text file IN or --tokens 1,2,3");
    if (args->logits_path != NULL &&
        (args->pairs || (has_in && liz_str_ends(liz_str_of(args->positional[1]), ".jsonl"))))
        return liz_fail(err, LIZ_E_USAGE, "--logits: works for one text: give a text file or --tokens");
    if (args->logits_path != NULL && (liz_file_is_same(args->logits_path, args->positional[0]) ||
                                      (has_in && liz_file_is_same(args->logits_path, args->positional[1]))))
        return liz_fail(err, LIZ_E_USAGE,
                        "--logits: %s: is the model or IN and would be overwritten: name another file",
                        args->logits_path);
    if (args->pairs && !has_in)
        return liz_fail(err, LIZ_E_USAGE, "--pairs: wants a TSV file IN with columns good and bad");
    if (args->group != NULL && !args->pairs)
        return liz_fail(err, LIZ_E_USAGE, "--group: names a column of --pairs: add that, or leave it out");
    return LIZ_OK;
}

static liz_status score_all(command *c, liz_error *err)
{
    const cli_args *args = c->args;
    const char *path = args->positional[1];
    if (args->tokens != NULL)
        return score_given_tokens(c, err);
    if (args->pairs)
        return cli_score_pairs(&c->scorer, path, args->group, args->json, &c->n_bad, c->out, err);
    if (!liz_str_ends(liz_str_of(path), ".jsonl"))
        return score_file(c, path, err);
    return liz_line_records_each(path, LIZ_LINE_INPUT_JSONL, take_line, c, err) ?: score_block(c, err);
}

liz_status cli_score(cli_args *args, liz_buf *out, liz_error *err)
{
    command c = {.args = args,
                 .out = out,
                 .logits = {args->logits_path, -1},
                 .arena.size_max = (size_t)1 << 31,
                 .line.size_max = (size_t)1 << 31};
    if (args->logits_path != NULL) {
        c.scorer.on_logits = on_logits;
        c.scorer.user = &c.logits;
    }
    liz_status status = check(args, err);
    status = status ?: cli_scorer_open(&c.scorer, args->line.model_path, &args->line.engine, args->stride, err);
    if (status == LIZ_OK) {
        c.logits.n_vocab = (size_t)c.scorer.info.n_vocab;
        status = score_all(&c, err);
    }
    liz_status closed = logits_close(&c.logits, status == LIZ_OK ? err : NULL);
    cli_scorer_close(&c.scorer);
    liz_arena_free(&c.arena);
    liz_arena_free(&c.line);
    args->exit_code = c.n_bad > 0 ? EXIT_ERROR_ROWS : EXIT_DONE;
    return status ?: closed;
}
