/* bench_engine.c - how fast Lizzie is on a GGUF file, through <lizzie.h> alone.
 *
 *   build/bench/bench_engine MODEL [--threads N] [--prefill N] [--depth N] [--steps N] [--sequences 1,2,4] [--repeat N]
 *
 * Prints one JSON object with the same members as bench/peers/llamacpp.mjs, measured alike:
 * - open_s is liz_engine_open; first_token_s goes on to the first token of a prompt of one, by which everything that
 * was only mapped has been read.
 * - prefill is a prompt of random tokens that generates one; the prefix cache is off, and a first one warms up.
 * - decode with n sequences, each `depth` tokens long at its start, counts the tokens between the moment when the last
 *   sequence has its first token and the moment when the first sequence has its last: while all n run together. Greedy
 *   sampling and text are part of it, which the other side's figures leave out. End tokens are forbidden. */
#include <lizzie.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_SEQS_MAX = 256, N_COUNTS_MAX = 16, N_TOKENS = 500, SLACK = 64, N_EXTRA_TOKENS = 12 };

typedef struct settings {
    const char *model;
    int n_threads, n_prefill, depth, n_steps, n_repeat;
    int counts[N_COUNTS_MAX], n_counts;
} settings;

typedef struct bench {
    settings set;
    liz_engine *engine;
    liz_logit_bias *no_end; /* [n_no_end]: forbids what would end a text */
    size_t n_no_end;
    uint32_t random;
} bench;

/* What a sequence's callback notes. Read after liz_seq_wait only. */
typedef struct trace {
    double *at; /* [n_at_max] seconds, of each token */
    int n_at, n_at_max;
    liz_status status;
    char message[200];
} trace;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "bench_engine: %s\n", text);
    exit(1);
}

static void *must(void *p)
{
    if (p == NULL)
        die("no memory");
    return p;
}

static unsigned long long resident_max_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kb = 0;
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %llu", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb * 1024;
}

/* ---- Sequences --------------------------------------------------------------------------------- */

static void on_event(void *user, const liz_event *event)
{
    trace *t = user;
    if (event->type == LIZ_EVENT_TOKEN && t->n_at < t->n_at_max)
        t->at[t->n_at++] = seconds();
    if (event->type == LIZ_EVENT_DONE && event->finish == LIZ_FINISH_FAILED) {
        t->status = event->status;
        snprintf(t->message, sizeof t->message, "%s", event->message);
    }
}

static liz_seq *submit(bench *b, int n_prompt, int n_predict, trace *t)
{
    liz_error err;
    liz_seq *seq = NULL;
    int32_t *tokens = must(calloc((size_t)n_prompt, sizeof *tokens));
    for (int i = 0; i < n_prompt; i++)
        tokens[i] = (int32_t)((b->random = (uint32_t)(b->random * 48271ull % 2147483647u)) % N_TOKENS);
    *t = (trace){.at = must(calloc((size_t)n_predict, sizeof *t->at)), .n_at_max = n_predict};
    liz_request request = {.tokens = tokens,
                           .n_tokens = (size_t)n_prompt,
                           .n_predict_max = n_predict,
                           .sampling = {.bias = b->no_end, .n_bias = b->n_no_end},
                           .on_event = on_event,
                           .user = t};
    if (liz_submit(b->engine, &request, &seq, &err) != LIZ_OK)
        die(err.text);
    free(tokens);
    return seq;
}

/* Waits for a sequence and checks that it generated all it was asked for. */
static void collect(liz_seq *seq, const trace *t)
{
    liz_seq_wait(seq);
    liz_seq_free(seq);
    if (t->status != LIZ_OK)
        die(t->message);
    if (t->n_at != t->n_at_max)
        die("a sequence ended before its time");
}

/* Seconds from submitting a prompt to its first token. */
static double measure_prompt(bench *b, int n_prompt)
{
    trace t;
    double begin = seconds();
    liz_seq *seq = submit(b, n_prompt, 1, &t);
    collect(seq, &t);
    double took = t.at[0] - begin;
    free(t.at);
    return took;
}

/* Tokens a second of `n` sequences that run together. */
static double measure_decode(bench *b, int n)
{
    trace traces[N_SEQS_MAX];
    liz_seq *seqs[N_SEQS_MAX];
    const int n_predict = b->set.n_steps + N_EXTRA_TOKENS;
    for (int i = 0; i < n; i++)
        seqs[i] = submit(b, b->set.depth, n_predict, &traces[i]);
    double begin = 0, end = INFINITY;
    for (int i = 0; i < n; i++) {
        collect(seqs[i], &traces[i]);
        begin = fmax(begin, traces[i].at[0]);
        end = fmin(end, traces[i].at[n_predict - 1]);
    }
    long n_tokens = 0;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n_predict; k++)
            n_tokens += traces[i].at[k] > begin && traces[i].at[k] <= end;
        free(traces[i].at);
    }
    if (n_tokens < n)
        die("the sequences did not run together: more --steps are needed");
    return (double)n_tokens / (end - begin);
}

/* ---- The report --------------------------------------------------------------------------------- */

static void print_numbers(const double *values, int n)
{
    for (int i = 0; i < n; i++)
        printf("%s%.3f", i == 0 ? "[" : ",", values[i]);
    printf("]");
}

static void run_prefill(bench *b, double *speeds)
{
    measure_prompt(b, b->set.n_prefill); /* warms up */
    for (int i = 0; i < b->set.n_repeat; i++)
        speeds[i] = b->set.n_prefill / measure_prompt(b, b->set.n_prefill);
}

static void run(bench *b, double open_s, double first_token_s, unsigned long long open_peak)
{
    liz_engine_info info;
    liz_engine_info_get(b->engine, &info);
    const char *base = strrchr(b->set.model, '/');
    printf("{\"engine\":\"lizzie\",\"model\":\"%s\",\"threads\":%d,\"variant\":\"%s\"",
           base != NULL ? base + 1 : b->set.model, info.n_threads, info.tier);
    printf(",\"open_s\":%.4f,\"first_token_s\":%.4f,\"open_peak_bytes\":%llu", open_s, first_token_s, open_peak);
    double *speeds = must(calloc((size_t)b->set.n_repeat, sizeof *speeds));
    run_prefill(b, speeds);
    printf(",\"prefill_tok_s\":");
    print_numbers(speeds, b->set.n_repeat);
    printf(",\"decode_tok_s\":{");
    for (int c = 0; c < b->set.n_counts; c++) {
        for (int i = 0; i < b->set.n_repeat; i++)
            speeds[i] = measure_decode(b, b->set.counts[c]);
        printf("%s\"%d\":", c == 0 ? "" : ",", b->set.counts[c]);
        print_numbers(speeds, b->set.n_repeat);
    }
    printf("},\"peak_bytes\":%llu}\n", resident_max_bytes());
    free(speeds);
}

/* ---- Start -------------------------------------------------------------------------------------- */

static void forbid_end(bench *b)
{
    const liz_vocab *vocab = liz_engine_vocab(b->engine);
    int32_t n = vocab != NULL ? liz_vocab_size(vocab) : 0;
    b->no_end = must(calloc((size_t)n + 1, sizeof *b->no_end));
    for (int32_t token = 0; token < n; token++)
        if (liz_vocab_is_end(vocab, token))
            b->no_end[b->n_no_end++] = (liz_logit_bias){token, -INFINITY};
}

static int int_max(int a, int b) { return a > b ? a : b; }

static void engine_open(bench *b)
{
    liz_error err;
    int n_seqs = 1;
    for (int i = 0; i < b->set.n_counts; i++)
        n_seqs = int_max(n_seqs, b->set.counts[i]);
    liz_engine_opts opts = {.n_threads = b->set.n_threads,
                            .n_parallel = n_seqs,
                            .n_ctx = int_max(b->set.n_prefill, b->set.depth + b->set.n_steps + N_EXTRA_TOKENS) + SLACK,
                            .prefix_cache_off = true};
    if (liz_engine_open(&b->engine, b->set.model, &opts, &err) != LIZ_OK)
        die(err.text);
}

/* "1,2,4": at most N_COUNTS_MAX numbers from 1 to N_SEQS_MAX. */
static bool counts_parse(settings *set, const char *text)
{
    set->n_counts = 0;
    while (*text != '\0') {
        char *end;
        long n = strtol(text, &end, 10);
        if (end == text || n < 1 || n > N_SEQS_MAX || set->n_counts == N_COUNTS_MAX || (*end != ',' && *end != '\0'))
            return false;
        set->counts[set->n_counts++] = (int)n;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool option_parse(settings *set, const char *name, const char *value)
{
    const struct {
        const char *name;
        int *to;
    } rows[] = {{"--threads", &set->n_threads},
                {"--prefill", &set->n_prefill},
                {"--depth", &set->depth},
                {"--steps", &set->n_steps},
                {"--repeat", &set->n_repeat}};
    if (strcmp(name, "--sequences") == 0)
        return counts_parse(set, value);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name) == 0) {
            char *end;
            long n = strtol(value, &end, 10);
            *rows[i].to = (int)n;
            return *end == '\0' && n >= 1 && n <= 1000000;
        }
    return false;
}

int main(int argc, char **argv)
{
    bench b = {.set = {.n_threads = 2, .n_prefill = 512, .depth = 64, .n_steps = 24, .n_repeat = 1}, .random = 1};
    bool ok = argc >= 2 && argc % 2 == 0 && counts_parse(&b.set, "1,2,4,8,16,32");
    for (int i = 2; ok && i < argc; i += 2)
        ok = option_parse(&b.set, argv[i], argv[i + 1]);
    if (!ok) {
        fprintf(stderr, "usage: bench_engine MODEL [--threads N] [--prefill N] [--depth N] [--steps N]\n"
                        "                    [--sequences 1,2,4] [--repeat N]\n");
        return 2;
    }
    b.set.model = argv[1];
    double begin = seconds();
    engine_open(&b);
    double open_s = seconds() - begin;
    forbid_end(&b);
    double first_token_s = open_s + measure_prompt(&b, 1);
    run(&b, open_s, first_token_s, resident_max_bytes());
    liz_engine_close(b.engine);
    free(b.no_end);
    return 0;
}
