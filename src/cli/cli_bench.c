/* cli_bench.c - timing a model: opening, a prompt, sequences together, a whole line.
 *
 * Nothing here is a path of its own: sequences are submitted as any program submits them, the line is liz_line_run on
 * files, with greedy sampling, text, prefix cache and all. Prompts are random tokens behind one that counts them, so
 * that the cache has nothing to give, which is checked; tokens that end a text are forbidden, so that every sequence is
 * as long as asked; nothing is guessed ahead.
 * - prefill: from liz_submit to the first token of a prompt; a first one warms up.
 * - decode with n sequences: --steps steps in which all n generate, from the fourth on after the last of them began.
 *   The profile is of the same steps.
 * - line: rows of 100 tokens after 500 that they share, 40 tokens out; from the open model to the last row on disk. */
#include "cli/cli_bench.h"

#include "base/log.h"
#include "sys/clock.h"
#include "sys/memory.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_TOKENS = 500, SLACK_TOKENS = 32, LINE_SHARED = 500, LINE_ROW = 100, LINE_OUT = 40 };
enum { WARM_STEPS = 3, TRIES = 5 };

typedef struct bench {
    const cli_args *args;
    cli_bench_times *times;
    liz_engine *engine;
    liz_engine_opts opts;
    uint32_t random, n_prompts;
} bench;

/* The steps that are timed: all sequences generate, and did so for WARM_STEPS, in which each gets a page that no
 * earlier sequence had. The sequence that begins last is told last of a step, so its tokens bound the steps. */
typedef struct window {
    bench *b;
    int n_waiting; /* sequences without a token */
    const struct trace *last;
    double begin_s, end_s;
    cli_bench_profile before, after;
} window;

/* What a sequence's callback notes. Read after liz_seq_wait only. */
typedef struct trace {
    liz_seq *seq;
    window *together; /* of all traces, or NULL */
    double *at_s;     /* [n_at_max], of each token */
    int n_at, n_at_max;
    liz_error err;
} trace;

static double now_s(void) { return (double)liz_clock_us() * 1e-6; }

static uint32_t random_below(bench *b, uint32_t n)
{
    b->random = (uint32_t)(b->random * 48271ull % 2147483647u);
    return b->random % n;
}

static liz_status no_memory(liz_error *err) { return liz_fail(err, LIZ_E_MEMORY, "bench: no memory"); }

/* ---- Sequences --------------------------------------------------------------------------------- */

static void profile_now(bench *b, cli_bench_profile *p)
{
    liz_engine_stats stats;
    liz_engine_stats_get(b->engine, &stats);
    p->n_steps = stats.n_steps;
    p->n_parts = liz_engine_profile_get(b->engine, p->parts);
}

static void profile_add(const cli_bench_profile *before, const cli_bench_profile *after, cli_bench_profile *sum)
{
    sum->n_steps += after->n_steps - before->n_steps;
    sum->n_parts = after->n_parts;
    for (size_t i = 0; i < after->n_parts; i++) {
        sum->parts[i].name = after->parts[i].name;
        sum->parts[i].us += after->parts[i].us - before->parts[i].us;
        sum->parts[i].bytes += after->parts[i].bytes - before->parts[i].bytes;
    }
}

static void window_note(window *w, const trace *t)
{
    if (t->n_at == 1 && --w->n_waiting == 0)
        w->last = t;
    if (t != w->last)
        return;
    if (t->n_at == 1 + WARM_STEPS) {
        w->begin_s = t->at_s[t->n_at - 1];
        profile_now(w->b, &w->before);
    } else if (t->n_at == 1 + WARM_STEPS + w->b->args->bench.n_steps) {
        w->end_s = t->at_s[t->n_at - 1];
        profile_now(w->b, &w->after);
    }
}

static void on_event(void *user, const liz_event *event)
{
    trace *t = user;
    if (event->type == LIZ_EVENT_TOKEN && t->n_at < t->n_at_max) {
        t->at_s[t->n_at++] = now_s();
        if (t->together != NULL)
            window_note(t->together, t);
    }
    if (event->type == LIZ_EVENT_DONE && event->finish == LIZ_FINISH_FAILED)
        liz_fail(&t->err, event->status, "%s", event->message);
}

/* The first `n_shared` tokens are the same whenever they are asked for, the others random. */
static liz_status submit(bench *b, int n_shared, int n_prompt, int n_predict, window *together, trace *t,
                         liz_error *err)
{
    int32_t *tokens = calloc((size_t)n_prompt, sizeof *tokens);
    *t = (trace){.at_s = calloc((size_t)n_predict, sizeof *t->at_s), .n_at_max = n_predict, .together = together};
    liz_status status = tokens != NULL && t->at_s != NULL ? LIZ_OK : no_memory(err);
    uint32_t n = (uint32_t)(b->times->info.n_vocab < N_TOKENS ? b->times->info.n_vocab : N_TOKENS);
    for (int i = 0; status == LIZ_OK && i < n_shared; i++)
        tokens[i] = (int32_t)((uint32_t)i * 7919U % n);
    for (int i = n_shared; status == LIZ_OK && i < n_prompt; i++)
        tokens[i] = (int32_t)(i == n_shared ? b->n_prompts++ % n : random_below(b, n));
    liz_request request = {.tokens = tokens,
                           .n_tokens = (size_t)n_prompt,
                           .n_predict_max = n_predict,
                           .ignore_end = true,
                           .on_event = on_event,
                           .user = t};
    status = status ?: liz_submit(b->engine, &request, &t->seq, err);
    free(tokens);
    return status;
}

/* Waits for a sequence and checks that it generated all it was asked for. */
static liz_status collect(trace *t, liz_error *err)
{
    liz_seq_wait(t->seq);
    if (t->err.code != LIZ_OK)
        return liz_fail(err, t->err.code, "bench: a sequence failed: %s", t->err.text);
    if (t->n_at != t->n_at_max)
        return liz_fail(err, LIZ_E_STATE, "bench: a sequence ended before its time");
    return LIZ_OK;
}

static void trace_close(trace *t)
{
    liz_seq_free(t->seq);
    free(t->at_s);
}

/* Seconds from submitting a prompt to its first token. */
static liz_status time_prompt(bench *b, int n_shared, int n_prompt, double *took_s, liz_error *err)
{
    trace t;
    double begin = now_s();
    liz_status status = submit(b, n_shared, n_prompt, 1, NULL, &t, err);
    status = status ?: collect(&t, err);
    if (status == LIZ_OK)
        *took_s = t.at_s[0] - begin;
    trace_close(&t);
    return status;
}

static int prefill_chunk(const cli_args *args)
{
    const int n = args->line.engine.n_prefill_chunk;
    return n > 0 ? n : 512;
}

/* Tokens that one generates: in the steps that are timed and those before, until the last of `n` prompts is computed,
 * during which the others generate already. */
static int predict_together(const cli_args *args, int n)
{
    const cli_bench_args *set = &args->bench;
    return 1 + WARM_STEPS + set->n_steps + n * (set->n_depth - set->n_shared) / prefill_chunk(args) + n / 4 + 4;
}

/* Whether all ran in all the steps; of a small model the first may be done before the last is submitted. */
static bool ran_together(const window *w, const trace *traces, int n)
{
    long n_tokens = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < traces[i].n_at; k++)
            n_tokens += traces[i].at_s[k] > w->begin_s && traces[i].at_s[k] <= w->end_s;
    return n_tokens == (long)n * w->b->args->bench.n_steps;
}

static liz_status try_decode(bench *b, int n, window *w, trace *traces, bool *together, liz_error *err)
{
    const cli_bench_args *set = &b->args->bench;
    const int n_predict = predict_together(b->args, n);
    double took_s;
    liz_status status = LIZ_OK;
    *w = (window){.b = b, .n_waiting = n};
    memset(traces, 0, (size_t)n * sizeof *traces);
    if (set->n_shared > 0) /* leaves the pages that the others find */
        status = time_prompt(b, set->n_shared, set->n_depth, &took_s, err);
    for (int i = 0; status == LIZ_OK && i < n; i++)
        status = submit(b, set->n_shared, set->n_depth, n_predict, w, &traces[i], err);
    for (int i = 0; status == LIZ_OK && i < n; i++)
        status = collect(&traces[i], err);
    *together = status == LIZ_OK && ran_together(w, traces, n);
    for (int i = 0; i < n; i++)
        trace_close(&traces[i]);
    return status;
}

static liz_status time_decode(bench *b, int n, double *tok_s, cli_bench_profile *profile, liz_error *err)
{
    window w;
    bool together = false;
    trace *traces = calloc((size_t)n, sizeof *traces);
    liz_status status = traces != NULL ? LIZ_OK : no_memory(err);
    for (int i = 0; i < TRIES && status == LIZ_OK && !together; i++)
        status = try_decode(b, n, &w, traces, &together, err);
    free(traces);
    if (status != LIZ_OK)
        return status;
    if (!together)
        return liz_fail(err, LIZ_E_STATE, "--sequences %d: they did not run together in %d tries: ask for fewer", n,
                        TRIES);
    *tok_s = (double)n * b->args->bench.n_steps / (w.end_s - w.begin_s);
    profile_add(&w.before, &w.after, profile);
    return LIZ_OK;
}

/* ---- Rounds ------------------------------------------------------------------------------------- */

static liz_status check_stop(liz_error *err)
{
    return cli_stop ? liz_fail(err, LIZ_E_CANCELLED, "bench: interrupted") : LIZ_OK;
}

static liz_status open_once(bench *b, int round, liz_error *err)
{
    cli_bench_times *t = b->times;
    double begin = now_s();
    LIZ_TRY(liz_engine_open(&b->engine, b->args->line.model_path, &b->opts, err));
    t->open_s[round] = now_s() - begin;
    liz_engine_info_get(b->engine, &t->info);
    for (int i = 0; i < b->args->bench.n_counts; i++)
        if (b->args->bench.counts[i] > t->info.n_parallel)
            return liz_fail(err, LIZ_E_MEMORY, "--sequences: memory allows %d together: ask for fewer, or less --depth",
                            t->info.n_parallel);
    liz_status status = time_prompt(b, 0, 1, &t->first_token_s[round], err);
    t->first_token_s[round] += t->open_s[round];
    t->open_peak_bytes = round == 0 ? liz_memory_resident_max() : t->open_peak_bytes;
    return status;
}

/* Opens as often as there are rounds; the last stays open. */
static liz_status run_open(bench *b, liz_error *err)
{
    for (int i = 0; i < b->args->bench.n_rounds; i++) {
        liz_engine_close(b->engine);
        b->engine = NULL;
        LIZ_TRY(open_once(b, i, err) ?: check_stop(err));
    }
    return LIZ_OK;
}

static liz_status run_prefill(bench *b, liz_error *err)
{
    const int n = b->args->bench.n_prefill;
    double took_s = 0;
    cli_bench_profile before, after;
    LIZ_TRY(time_prompt(b, 0, n, &took_s, err)); /* warms up */
    profile_now(b, &before);
    for (int i = 0; i < b->args->bench.n_rounds; i++) {
        LIZ_TRY(time_prompt(b, 0, n, &took_s, err) ?: check_stop(err));
        b->times->prefill_tok_s[i] = n / took_s;
    }
    profile_now(b, &after);
    profile_add(&before, &after, &b->times->profiles[0]);
    return LIZ_OK;
}

static liz_status run_decode(bench *b, liz_error *err)
{
    const cli_bench_args *set = &b->args->bench;
    liz_engine_stats stats;
    for (int c = 0; c < set->n_counts; c++)
        for (int i = 0; i < set->n_rounds; i++)
            LIZ_TRY(time_decode(b, set->counts[c], &b->times->decode_tok_s[c][i], &b->times->profiles[1 + c], err)
                        ?: check_stop(err));
    liz_engine_stats_get(b->engine, &stats);
    if (set->n_shared > 0 && stats.n_tokens_reused == 0)
        return liz_fail(err, LIZ_E_STATE, "--shared %d: nothing was shared: give more than a page of tokens",
                        set->n_shared);
    if (set->n_shared == 0 && stats.n_tokens_reused > 0)
        return liz_fail(err, LIZ_E_STATE, "bench: random prompts had a beginning in common: no figure would be true");
    return LIZ_OK;
}

/* ---- The line ----------------------------------------------------------------------------------- */

/* Random words of about `n_tokens` tokens. */
static liz_status words(bench *b, const liz_vocab *vocab, int n_tokens, liz_buf *out, liz_error *err)
{
    static const char *const list[] = {"order",  "letter", "payment", "is",   "late",  "the",    "window", "broken",
                                       "please", "answer", "before",  "noon", "and",   "green",  "chair",  "again",
                                       "we",     "never",  "saw",     "this", "model", "number", "in",     "stock"};
    size_t n_have = 0, begin = out->len;
    liz_status status = LIZ_OK;
    while (status == LIZ_OK && (int)n_have < n_tokens) {
        int32_t *tokens = NULL;
        for (int i = (n_tokens - (int)n_have) / 8 + 1; i > 0; i--)
            liz_buf_printf(out, "%s%s", out->len > begin ? " " : "", list[random_below(b, sizeof list / sizeof *list)]);
        if (liz_buf_failed(out))
            return no_memory(err);
        status = liz_tokenize(vocab, out->data + begin, out->len - begin, 0, &tokens, &n_have, err);
        liz_free(tokens);
    }
    return status;
}

/* Writes the rows, and what they share. Small contexts get rows of fewer tokens, in the same proportion. */
static liz_status line_prepare(bench *b, liz_line_opts *line, const char *in_path, liz_buf *shared, liz_error *err)
{
    liz_buf rows = {.len_max = 1u << 30};
    const liz_vocab *vocab = liz_engine_vocab(b->engine);
    const int whole = (LINE_SHARED + LINE_ROW) * 5 / 4 + LINE_OUT + SLACK_TOKENS;
    const int n_ctx = b->times->info.n_ctx_train < whole ? b->times->info.n_ctx_train : whole;
    const double fit = (double)n_ctx / whole;
    liz_status status = words(b, vocab, (int)(LINE_SHARED * fit), shared, err);
    for (int i = 0; status == LIZ_OK && i < b->args->bench.n_rows; i++) {
        liz_buf_puts(&rows, "{\"text\":\"");
        status = words(b, vocab, (int)(LINE_ROW * fit) + 1, &rows, err);
        liz_buf_puts(&rows, "\"}\n");
    }
    status = status ?: liz_file_write_text(liz_files_system(), in_path, O_TRUNC, &rows, err);
    liz_buf_free(&rows);
    line->system = shared->data;
    line->max_tokens = (int32_t)(LINE_OUT * fit) + 1;
    line->engine.n_ctx = n_ctx;
    return status;
}

static liz_status time_line(bench *b, const liz_line_opts *line, int round, liz_error *err)
{
    liz_line_report report;
    liz_status status = liz_line_run(line, &report, err);
    const liz_line_progress *p = &report.progress;
    double n = b->args->bench.n_rows, prompt = (double)p->n_prompt_tokens, saved = (double)p->n_reused_tokens;
    if (status == LIZ_OK && report.outcome == LIZ_LINE_INTERRUPTED)
        status = check_stop(err);
    else if (status == LIZ_OK && (p->n_rows != (uint64_t)n || p->n_failed > 0))
        status = liz_fail(err, LIZ_E_STATE, "bench: some rows of the line failed");
    b->times->line_rows_s[round] = n / ((double)p->elapsed_us * 1e-6);
    b->times->line_computed = (prompt - saved) / n;
    b->times->line_saved = saved / n;
    b->times->line_completion = (double)p->n_completion_tokens / n;
    liz_line_report_free(&report);
    return status;
}

/* In a folder that goes away. Takes the engine, since the line opens the model by itself. */
static liz_status run_line(bench *b, liz_error *err)
{
    const char *tmp = getenv("TMPDIR");
    char folder[512], in_path[544], out_path[544], side_path[560];
    liz_buf shared = {.len_max = 1u << 20};
    liz_line_opts line = b->args->line;
    snprintf(folder, sizeof folder, "%s/lizzie-bench-XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    cli_at_work = true; /* an interrupt takes the folder away again */
    if (mkdtemp(folder) == NULL)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be created: %m", folder);
    snprintf(in_path, sizeof in_path, "%s/rows.jsonl", folder);
    snprintf(out_path, sizeof out_path, "%s/out.jsonl", folder);
    snprintf(side_path, sizeof side_path, "%s.lizzie", out_path);
    liz_status status = line_prepare(b, &line, in_path, &shared, err);
    liz_engine_close(b->engine);
    b->engine = NULL;
    line.in_path = in_path;
    line.out_path = out_path;
    line.prompt = "{{text}}";
    line.raw = line.restart = true;
    line.sampling = (liz_sampling)LIZ_LINE_SAMPLING_NONE;
    line.sampling.temperature = 0;
    line.ignore_end = true;
    line.engine.n_parallel = b->times->info.n_parallel;
    line.engine.speculate = LIZ_SPECULATE_OFF;
    line.stop = &cli_stop;
    for (int i = 0; status == LIZ_OK && i < b->args->bench.n_rounds && !cli_stop; i++)
        status = time_line(b, &line, i, err);
    cli_at_work = false;
    if (cli_stop)
        status = liz_fail(err, LIZ_E_CANCELLED, "interrupted");
    b->times->has_line = status == LIZ_OK;
    liz_buf_free(&shared);
    unlink(in_path);
    unlink(out_path);
    unlink(side_path);
    rmdir(folder);
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------------- */

static int max_int(int a, int b) { return a > b ? a : b; }

/* Tokens that a sequence holds at most in the steps that are timed. */
static int together_ctx(const cli_args *args)
{
    const cli_bench_args *set = &args->bench;
    int n_ctx = 0;
    for (int i = 0; i < set->n_counts; i++)
        n_ctx = max_int(n_ctx, set->n_depth + predict_together(args, set->counts[i]));
    return n_ctx;
}

/* The context that the model was made for; INT32_MAX where that cannot be told, which opening it will say. */
static liz_status model_ctx(const cli_args *args, int64_t *n_ctx, liz_error *err)
{
    char *text = NULL;
    liz_arena arena = {.size_max = (size_t)1 << 31};
    liz_json *json = NULL;
    liz_status status = liz_inspect(args->line.model_path, NULL, &text, err);
    status = status ?: liz_json_read(&json, liz_str_of(text), &arena, err);
    const liz_json *memory = status == LIZ_OK ? liz_json_member(json, "memory") : NULL;
    const liz_json *size = memory != NULL ? liz_json_member(memory, "ctx_size") : NULL;
    if (size == NULL || !liz_json_int64(size, n_ctx))
        *n_ctx = INT32_MAX;
    liz_arena_free(&arena);
    liz_free(text);
    return status;
}

/* The usual, then less of it as long as the steps do not fit: a smaller depth, fewer steps, fewer together. */
liz_status cli_bench_settle(cli_args *args, liz_error *err)
{
    static const int counts[] = {1, 8, 32};
    cli_bench_args *set = &args->bench;
    const bool own_depth = set->n_depth == 0, own_steps = set->n_steps == 0, own_counts = set->n_counts == 0;
    int64_t n_ctx;
    LIZ_TRY(model_ctx(args, &n_ctx, err));
    if (set->n_prefill == 0)
        set->n_prefill = n_ctx > 512 ? 512 : max_int(1, (int)n_ctx - 1);
    set->n_depth = own_depth ? 64 : set->n_depth;
    set->n_steps = own_steps ? 24 : set->n_steps;
    for (size_t i = 0; own_counts && i < sizeof counts / sizeof *counts; i++)
        set->counts[set->n_counts++] = counts[i];
    while (own_depth && together_ctx(args) > n_ctx && set->n_depth > set->n_shared + 1)
        set->n_depth--;
    while (own_steps && together_ctx(args) > n_ctx && set->n_steps > 2)
        set->n_steps--;
    while (own_counts && together_ctx(args) > n_ctx && set->n_counts > 1)
        set->n_counts--;
    if (set->n_shared >= set->n_depth)
        return liz_fail(err, LIZ_E_USAGE, "--shared %d: is not less than --depth %d", set->n_shared, set->n_depth);
    return LIZ_OK;
}

static void opts_settle(bench *b)
{
    const cli_bench_args *set = &b->args->bench;
    b->opts = b->args->line.engine;
    b->opts.profile = set->has_profile;
    b->opts.speculate = LIZ_SPECULATE_OFF; /* random weights repeat themselves as no text does */
    b->times->n_prefill_chunk = prefill_chunk(b->args);
    for (int i = 0; i < set->n_counts; i++)
        b->opts.n_parallel = max_int(b->opts.n_parallel, set->counts[i]);
    b->opts.n_ctx = max_int(set->n_prefill + 1, together_ctx(b->args));
}

liz_status cli_bench_run(const cli_args *args, cli_bench_times *times, liz_error *err)
{
    bench b = {.args = args, .times = times, .random = 1};
    opts_settle(&b);
    liz_status status = run_open(&b, err);
    status = status ?: run_prefill(&b, err);
    status = status ?: run_decode(&b, err);
    times->peak_bytes = liz_memory_resident_max();
    if (status == LIZ_OK && args->bench.n_rows > 0 && liz_engine_vocab(b.engine) == NULL)
        liz_log(LIZ_LOG_WARN, "bench", "no line is timed: the model has no vocabulary to write rows with");
    else if (status == LIZ_OK && args->bench.n_rows > 0)
        status = run_line(&b, err);
    liz_engine_close(b.engine);
    return status;
}
