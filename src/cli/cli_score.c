/* cli_score.c - windows of a text, and texts side by side.
 *
 * liz_score blocks, and the engine batches what waits for it: so short texts are scored by as many threads as the
 * engine advances sequences, each taking the next text of the list. */
#include "cli/cli_score.h"

#include "base/status.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 64 };

liz_status cli_scorer_open(cli_scorer *s, const char *model_path, const liz_engine_opts *opts, int32_t n_stride,
                           liz_error *err)
{
    s->model_path = model_path;
    LIZ_TRY(liz_engine_open(&s->engine, model_path, opts, err));
    liz_engine_info_get(s->engine, &s->info);
    s->n_stride = n_stride != 0 ? n_stride : s->info.n_ctx - 1;
    if (s->n_stride >= s->info.n_ctx)
        return liz_fail(err, LIZ_E_USAGE,
                        "--stride %d: a window is the context of %d tokens, and its first has nothing before it: at "
                        "most %d",
                        s->n_stride, s->info.n_ctx, s->info.n_ctx - 1);
    return LIZ_OK;
}

void cli_scorer_close(cli_scorer *s) { liz_engine_close(s->engine); }

/* Adds up the tokens from the `begin`-th on. `logprobs` [n] is for the window. */
static liz_status score_window(const cli_scorer *s, const int32_t *tokens, size_t n, size_t begin, float *logprobs,
                               cli_scored *score, liz_error *err)
{
    liz_status status = liz_score(s->engine, tokens, n, logprobs, s->on_logits, s->user, err);
    for (size_t i = begin; status == LIZ_OK && i < n; i++)
        score->logprob += (double)logprobs[i];
    score->n_scored += n - begin;
    return status;
}

liz_status cli_score_tokens(const cli_scorer *s, const int32_t *tokens, size_t n, cli_scored *score, liz_error *err)
{
    size_t n_ctx = (size_t)s->info.n_ctx, n_stride = (size_t)s->n_stride;
    *score = (cli_scored){.text = score->text, .index = score->index, .n_tokens = n};
    if (n == 0)
        return LIZ_OK;
    float *logprobs = malloc(n_ctx * sizeof *logprobs);
    if (logprobs == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "score: no memory for %zu tokens", n_ctx);
    size_t end = n < n_ctx ? n : n_ctx;
    liz_status status = score_window(s, tokens, end, 1, logprobs, score, err);
    while (status == LIZ_OK && end < n) {
        size_t n_new = n - end < n_stride ? n - end : n_stride;
        end += n_new;
        status = score_window(s, tokens + end - n_ctx, n_ctx, n_ctx - n_new, logprobs, score, err);
    }
    free(logprobs);
    return status;
}

liz_status cli_score_tokenize(const cli_scorer *s, liz_str text, int32_t **tokens, size_t *n, liz_error *err)
{
    const liz_vocab *vocab = liz_engine_vocab(s->engine);
    if (vocab == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: has no vocabulary to read text with: give --tokens 1,2,3",
                        s->model_path);
    return liz_tokenize(vocab, text.n ? text.p : "", text.n, LIZ_TOKENIZE_AFFIXES, tokens, n, err);
}

static liz_status score_text(const cli_scorer *s, cli_scored *score, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    LIZ_TRY(cli_score_tokenize(s, score->text, &tokens, &n, err));
    liz_status status = cli_score_tokens(s, tokens, n, score, err);
    liz_free(tokens);
    return status;
}

/* ---- Side by side ------------------------------------------------------------------------------- */

typedef struct list {
    const cli_scorer *s;
    cli_scored *scores;
    size_t n;
    atomic_size_t next;
    pthread_mutex_t lock; /* guards the rest: how the first failure ended it */
    liz_status status;
    liz_error err;
} list;

static void *work(void *arg)
{
    list *l = arg;
    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;) {
        liz_error err;
        liz_status status = score_text(l->s, &l->scores[i], &err);
        if (status == LIZ_OK)
            continue;
        atomic_store(&l->next, l->n);
        pthread_mutex_lock(&l->lock);
        if (l->status == LIZ_OK)
            l->status = status, l->err = err;
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

liz_status cli_score_texts(const cli_scorer *s, cli_scored *scores, size_t n, liz_error *err)
{
    list l = {.s = s, .scores = scores, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[THREADS_MAX];
    size_t n_threads = 0, n_wanted = s->info.n_parallel < THREADS_MAX ? (size_t)s->info.n_parallel : THREADS_MAX;
    while (n_threads + 1 < n_wanted && n_threads + 1 < n && pthread_create(&threads[n_threads], NULL, work, &l) == 0)
        n_threads++;
    work(&l); /* this thread is one of them */
    while (n_threads > 0)
        pthread_join(threads[--n_threads], NULL);
    if (l.status != LIZ_OK)
        *err = l.err;
    return l.status;
}

void cli_score_skip(const char *path, uint64_t line, const char *why)
{
    fprintf(stderr, "lizzie: %s: line %" PRIu64 ": %s: left out\n", path, line, why);
}
