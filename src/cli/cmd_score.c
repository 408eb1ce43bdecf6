/* cmd_score.c - lizzie score: how likely given text is under a model.
 *
 * A text is tokenised with BOS and EOS as the model asks; --tokens stand as they are. The first token has nothing
 * before it and is not scored. A text longer than the context is scored in consecutive windows of the context's
 * length, each on its own. A line is printed for each text: tokens, how many of them were scored, the sum of their
 * log-probabilities (natural logarithm) and the perplexity exp(-sum / scored). */
#include "cli/cli.h"

#include "base/json.h"
#include "base/status.h"
#include "cli/npy.h"
#include "line/line_input.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 30 };

typedef struct scorer {
    const cli_args *args;
    liz_engine *engine;
    liz_engine_info info;
    liz_buf out;
    uint64_t index;
    uint64_t n_bad, n_pairs, n_pairs_right;
    cli_npy npy;
    liz_status npy_status;
    liz_error npy_err;
} scorer;

typedef struct score {
    size_t n_tokens, n_scored;
    double logprob;
} score;

/* ---- One text ----------------------------------------------------------------------------------- */

static bool on_logits(void *user, size_t pos0, size_t n_pos, const float *logits)
{
    (void)pos0;
    scorer *s = user;
    s->npy_status = cli_npy_write(&s->npy, logits, n_pos * (size_t)s->info.n_vocab, &s->npy_err);
    return s->npy_status == LIZ_OK;
}

static liz_status score_window(scorer *s, const int32_t *tokens, size_t n, score *sum, liz_error *err)
{
    float *logprobs = malloc(n * sizeof *logprobs);
    if (logprobs == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "score: no memory for %zu tokens", n);
    bool with_logits = s->args->logits_path != NULL;
    liz_status status = liz_score(s->engine, tokens, n, logprobs, with_logits ? on_logits : NULL, s, err);
    if (s->npy_status != LIZ_OK) {
        *err = s->npy_err;
        status = s->npy_status;
    }
    for (size_t i = 1; status == LIZ_OK && i < n; i++)
        sum->logprob += (double)logprobs[i];
    sum->n_tokens += n;
    sum->n_scored += n - 1;
    free(logprobs);
    return status;
}

static liz_status score_tokens(scorer *s, const int32_t *tokens, size_t n, score *sum, liz_error *err)
{
    size_t n_ctx = (size_t)s->info.n_ctx;
    *sum = (score){0};
    if (n == 0)
        return LIZ_OK;
    if (s->args->logits_path != NULL && n > n_ctx)
        return liz_fail(err, LIZ_E_LIMIT,
                        "--logits: %zu tokens do not fit into the context of %zu: shorten the text or "
                        "raise --ctx-size",
                        n, n_ctx);
    liz_status status = LIZ_OK;
    if (s->args->logits_path != NULL)
        status = cli_npy_open(&s->npy, s->args->logits_path, n, (size_t)s->info.n_vocab, err);
    for (size_t at = 0; status == LIZ_OK && at < n; at += n_ctx)
        status = score_window(s, tokens + at, n - at < n_ctx ? n - at : n_ctx, sum, err);
    return status;
}

static liz_status score_text(scorer *s, liz_str text, score *sum, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    const liz_vocab *vocab = liz_engine_vocab(s->engine);
    if (vocab == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: has no vocabulary to read text with: give --tokens 1,2,3",
                        s->args->line.model_path);
    liz_status status = liz_tokenize(vocab, text.n ? text.p : "", text.n, LIZ_TOKENIZE_AFFIXES, &tokens, &n, err);
    if (status != LIZ_OK)
        return status;
    status = score_tokens(s, tokens, n, sum, err);
    liz_free(tokens);
    return status;
}

static double perplexity(const score *sum) { return sum->n_scored ? exp(-sum->logprob / (double)sum->n_scored) : NAN; }

static liz_status print_score(scorer *s, const score *sum, liz_error *err)
{
    liz_buf_clear(&s->out);
    if (s->args->json)
        liz_buf_printf(&s->out, "{\"index\":%" PRIu64 ",\"tokens\":%zu,\"scored\":%zu,\"logprob\":", s->index,
                       sum->n_tokens, sum->n_scored);
    else
        liz_buf_printf(&s->out, "%" PRIu64 "\t%zu\t%zu\t", s->index, sum->n_tokens, sum->n_scored);
    liz_json_write_double(&s->out, sum->logprob);
    liz_buf_puts(&s->out, s->args->json ? ",\"perplexity\":" : "\t");
    liz_json_write_double(&s->out, perplexity(sum));
    liz_buf_puts(&s->out, s->args->json ? "}\n" : "\n");
    s->index++;
    return cli_print(liz_buf_str(&s->out), err);
}

static liz_status print_header(const scorer *s, const char *columns, liz_error *err)
{
    return s->args->json ? LIZ_OK : cli_print(liz_str_of(columns), err);
}

static const char score_columns[] = "index\ttokens\tscored\tlogprob\tperplexity\n";

/* ---- Where texts come from ---------------------------------------------------------------------- */

static liz_status score_given_tokens(scorer *s, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    score sum;
    liz_status status = cli_ids_read(s->args->tokens, "tokens", &tokens, &n, err);
    if (status != LIZ_OK)
        return status;
    status = score_tokens(s, tokens, n, &sum, err);
    free(tokens);
    if (status == LIZ_OK)
        status = print_header(s, score_columns, err);
    return status == LIZ_OK ? print_score(s, &sum, err) : status;
}

static liz_status score_file(scorer *s, const char *path, liz_error *err)
{
    liz_buf text;
    score sum;
    liz_buf_init(&text, TEXT_MAX);
    liz_status status =
        strcmp(path, "-") == 0 ? cli_read_stdin(&text, err) : liz_file_read_whole(liz_files_system(), path, &text, err);
    if (status == LIZ_OK && liz_utf8_valid_prefix(text.data ? text.data : "", text.len) != text.len)
        status = liz_fail(err, LIZ_E_FORMAT, "%s: is not UTF-8 text: convert it", path);
    if (status == LIZ_OK)
        status = score_text(s, liz_buf_str(&text), &sum, err);
    liz_buf_free(&text);
    if (status == LIZ_OK)
        status = print_header(s, score_columns, err);
    return status == LIZ_OK ? print_score(s, &sum, err) : status;
}

/* A line without a text is reported and passed over. */
static void skip_line(scorer *s, const char *path, const liz_line_cut *cut, const char *why)
{
    fprintf(stderr, "lizzie: %s: line %" PRIu64 ": %s: left out\n", path, cut->line, why);
    s->n_bad++;
    s->index++;
}

static liz_status score_json_line(scorer *s, const char *path, const liz_line_cut *cut, liz_arena *arena,
                                  liz_error *err)
{
    liz_json *json;
    liz_error line_err;
    score sum;
    if (liz_json_read(&json, cut->text, arena, &line_err) != LIZ_OK) {
        skip_line(s, path, cut, line_err.text);
        return LIZ_OK;
    }
    const liz_json *text = liz_json_member(json, "text");
    if (text == NULL || text->type != LIZ_JSON_STRING) {
        skip_line(s, path, cut, "it wants {\"text\":string}");
        return LIZ_OK;
    }
    liz_status status = score_text(s, text->string, &sum, err);
    return status == LIZ_OK ? print_score(s, &sum, err) : status;
}

/* Splits a line at tabs into at most `n_max` columns; returns how many there are. */
static size_t split_tabs(liz_str line, liz_str *columns, size_t n_max)
{
    size_t n = 0;
    for (const char *p = line.p, *end = line.p + line.n;; p++) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        if (n < n_max)
            columns[n] = (liz_str){p, (size_t)((tab ? tab : end) - p)};
        n++;
        if (tab == NULL)
            return n;
        p = tab;
    }
}

static liz_status print_pair(scorer *s, const score *good, const score *bad, liz_error *err)
{
    bool right = good->logprob > bad->logprob;
    s->n_pairs++;
    s->n_pairs_right += right;
    liz_buf_clear(&s->out);
    liz_buf_printf(&s->out, s->args->json ? "{\"index\":%" PRIu64 ",\"good\":" : "%" PRIu64 "\t", s->index++);
    liz_json_write_double(&s->out, good->logprob);
    liz_buf_puts(&s->out, s->args->json ? ",\"bad\":" : "\t");
    liz_json_write_double(&s->out, bad->logprob);
    liz_buf_printf(&s->out, s->args->json ? ",\"likelier\":\"%s\"}\n" : "\t%s\n", right ? "good" : "bad");
    return cli_print(liz_buf_str(&s->out), err);
}

/* `where` says which columns are good and bad. */
static liz_status score_pair_line(scorer *s, const char *path, const liz_line_cut *cut, const size_t where[2],
                                  liz_error *err)
{
    liz_str columns[64];
    score good, bad;
    if (liz_utf8_valid_prefix(cut->text.p, cut->text.n) != cut->text.n) {
        skip_line(s, path, cut, "it is not UTF-8 text");
        return LIZ_OK;
    }
    size_t n = split_tabs(cut->text, columns, 64);
    if (n <= where[0] || n <= where[1]) {
        skip_line(s, path, cut, "it has too few columns");
        return LIZ_OK;
    }
    liz_status status = score_text(s, columns[where[0]], &good, err);
    if (status == LIZ_OK)
        status = score_text(s, columns[where[1]], &bad, err);
    return status == LIZ_OK ? print_pair(s, &good, &bad, err) : status;
}

static liz_status find_pair_columns(liz_line_input *in, const char *path, size_t where[2], liz_error *err)
{
    liz_line_cut cut;
    liz_str columns[64];
    bool got, found[2] = {false, false};
    liz_status status = liz_line_input_next(in, &cut, &got, err);
    if (status != LIZ_OK)
        return status;
    size_t n = got ? split_tabs(cut.text, columns, 64) : 0;
    for (size_t i = 0; i < n && i < 64; i++)
        for (int k = 0; k < 2; k++)
            if (liz_str_is(columns[i], k == 0 ? "good" : "bad"))
                found[k] = true, where[k] = i;
    if (!found[0] || !found[1])
        return liz_fail(err, LIZ_E_USAGE, "%s: --pairs wants a first line that names columns good and bad, with tabs",
                        path);
    return LIZ_OK;
}

static liz_status score_lines(scorer *s, const char *path, liz_error *err)
{
    liz_line_input *in = NULL;
    liz_arena arena = {.size_max = (size_t)1 << 31};
    liz_line_cut cut;
    size_t where[2];
    bool got = true;
    liz_status status = liz_line_input_open(&in, liz_files_system(), path, LIZ_LINE_INPUT_JSONL, NULL, err);
    if (status == LIZ_OK && s->args->pairs)
        status = find_pair_columns(in, path, where, err);
    if (status == LIZ_OK)
        status = print_header(s, s->args->pairs ? "index\tgood\tbad\tlikelier\n" : score_columns, err);
    while (status == LIZ_OK) {
        status = liz_line_input_next(in, &cut, &got, err);
        if (status != LIZ_OK || !got)
            break;
        liz_arena_reset(&arena);
        if (cut.too_large)
            skip_line(s, path, &cut, "it is larger than 64 MiB");
        else if (s->args->pairs)
            status = score_pair_line(s, path, &cut, where, err);
        else
            status = score_json_line(s, path, &cut, &arena, err);
    }
    if (status == LIZ_OK && s->n_pairs > 0)
        fprintf(stderr, "pairs: %" PRIu64 ", good likelier in %.2f %%\n", s->n_pairs,
                100.0 * (double)s->n_pairs_right / (double)s->n_pairs);
    liz_arena_free(&arena);
    liz_line_input_close(in);
    return status;
}

/* ---- The command -------------------------------------------------------------------------------- */

static bool ends_in_jsonl(const char *path)
{
    size_t n = strlen(path);
    return n > 6 && strcmp(path + n - 6, ".jsonl") == 0;
}

static liz_status check(const cli_args *args, liz_error *err)
{
    bool has_in = args->n_positional > 1;
    if (has_in == (args->tokens != NULL))
        return liz_fail(err, LIZ_E_USAGE, "score: give either a text file IN or --tokens 1,2,3");
    if (args->logits_path != NULL && (args->pairs || (has_in && ends_in_jsonl(args->positional[1]))))
        return liz_fail(err, LIZ_E_USAGE, "--logits: works for one text: give a text file or --tokens");
    if (args->logits_path != NULL && (liz_file_is_same(args->logits_path, args->positional[0]) ||
                                      (has_in && liz_file_is_same(args->logits_path, args->positional[1]))))
        return liz_fail(err, LIZ_E_USAGE,
                        "--logits: %s: is the model or IN and would be overwritten: name another file",
                        args->logits_path);
    if (args->pairs && !has_in)
        return liz_fail(err, LIZ_E_USAGE, "--pairs: wants a TSV file IN with columns good and bad");
    return LIZ_OK;
}

static liz_status score_all(scorer *s, liz_error *err)
{
    const char *path = s->args->positional[1];
    if (s->args->tokens != NULL)
        return score_given_tokens(s, err);
    if (s->args->pairs || ends_in_jsonl(path))
        return score_lines(s, path, err);
    return score_file(s, path, err);
}

int cli_score(cli_args *args)
{
    scorer s = {.args = args, .npy = {.fd = -1}};
    liz_error err;
    liz_buf_init(&s.out, 1 << 16);
    liz_status status = check(args, &err);
    if (status == LIZ_OK)
        status = liz_engine_open(&s.engine, args->line.model_path, &args->line.engine, &err);
    if (status == LIZ_OK) {
        liz_engine_info_get(s.engine, &s.info);
        status = score_all(&s, &err);
    }
    liz_status closed = cli_npy_close(&s.npy, status == LIZ_OK ? &err : NULL);
    liz_engine_close(s.engine);
    liz_buf_free(&s.out);
    if (status != LIZ_OK || closed != LIZ_OK)
        return cli_fail(status != LIZ_OK ? status : closed, &err);
    return s.n_bad > 0 ? EXIT_ERROR_ROWS : EXIT_DONE;
}
