/* engine_submit.c - what callers do with sequences: submit, cancel, wait, free; and score a text by one.
 *
 * All memory of a sequence comes from its arena, on the caller's thread, before it is queued. The engine's last act on
 * a sequence is to mark it ended under the sequence's own lock, so a sequence may outlive its engine. */
#include "engine/engine_core.h"

#include "base/checked.h"
#include "sys/clock.h"

#include <stdlib.h>
#include <string.h>

static liz_status tokens_check(const liz_engine *engine, const int32_t *tokens, size_t n, bool is_score, liz_error *err)
{
    int32_t n_ctx = engine->parts.n_ctx;
    if (n == 0)
        return liz_fail(err, LIZ_E_USAGE, "prompt: it has no tokens: at least one is needed");
    if (is_score && n > (size_t)n_ctx)
        return liz_fail(err, LIZ_E_LIMIT, "text: it has %zu tokens: the context holds %d", n, n_ctx);
    if (!is_score && n >= (size_t)n_ctx)
        return liz_fail(err, LIZ_E_LIMIT,
                        "prompt: it has %zu tokens: the context of %d leaves no room for one more: shorten it, or open "
                        "with a larger context",
                        n, n_ctx);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= engine->n_vocab)
            return liz_fail(err, LIZ_E_USAGE, "token %d at position %zu: the vocabulary has %d tokens", tokens[i], i,
                            engine->n_vocab);
    return LIZ_OK;
}

static liz_status request_check(const liz_engine *engine, const liz_request *r, bool is_score, liz_error *err)
{
    LIZ_TRY(tokens_check(engine, r->tokens, r->n_tokens, is_score, err));
    if (r->n_predict_max < 0)
        return liz_fail(err, LIZ_E_USAGE, "n_predict_max is %d: it must be 0 or more", r->n_predict_max);
    const int tops[] = {r->n_logprobs_top, r->n_prompt_logprobs_top};
    for (int i = 0; i < 2; i++)
        if (tops[i] < 0 || tops[i] > LIZ_LOGPROBS_TOP_MAX)
            return liz_fail(err, LIZ_E_USAGE, "%s is %d: it must be from 0 to %d",
                            i == 0 ? "n_logprobs_top" : "n_prompt_logprobs_top", tops[i], LIZ_LOGPROBS_TOP_MAX);
    if ((r->n_stop > 0 || r->sampling.n_dry_breakers > 0) && engine->parts.vocab == NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: the model has no vocabulary: there is no text to find them in",
                        r->n_stop > 0 ? "stop strings" : "sequence breakers");
    if (r->n_stop_tokens > LIZ_STOP_TOKENS_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "stop tokens: %zu given: at most %d are possible", r->n_stop_tokens,
                        LIZ_STOP_TOKENS_MAX);
    for (size_t i = 0; i < r->n_stop_tokens; i++)
        if (r->stop_tokens[i] < 0 || r->stop_tokens[i] >= engine->n_vocab)
            return liz_fail(err, LIZ_E_USAGE, "stop token %d: the vocabulary has %d tokens", r->stop_tokens[i],
                            engine->n_vocab);
    if (engine->parts.loras.n < 64 && r->loras >> engine->parts.loras.n != 0)
        return liz_fail(err, LIZ_E_USAGE, "adapters %#llx: the engine was opened with %zu",
                        (unsigned long long)r->loras, engine->parts.loras.n);
    return liz_sampling_check(&r->sampling, engine->n_vocab, err);
}

static void lengths_set(liz_seq *seq, const liz_engine *engine, const liz_request *r)
{
    int32_t n_ctx = engine->parts.n_ctx, n_prompt = (int32_t)r->n_tokens;
    seq->n_prompt = seq->n_tokens = n_prompt;
    seq->n_links = n_prompt / LIZ_PAGE_TOKENS;
    if (seq->choose != NULL) {
        seq->n_tokens_max = n_prompt + seq->choose->trie.depth;
        seq->n_pages_max = liz_engine_choose_pages(seq);
        return;
    }
    int32_t n_predict =
        r->n_predict_max == 0 || r->n_predict_max > n_ctx - n_prompt ? n_ctx - n_prompt : r->n_predict_max;
    seq->n_tokens_max = seq->is_score ? n_prompt : n_prompt + n_predict;
    int32_t n_cached = seq->is_score ? n_prompt : seq->n_tokens_max - 1; /* the last token is never computed */
    seq->n_pages_max = (int32_t)liz_div_up((size_t)n_cached, LIZ_PAGE_TOKENS);
}

/* The request's biases, and before them those that keep the text from ending. */
static bool bias_copy(liz_seq *seq)
{
    liz_sampling *s = &seq->request.sampling;
    size_t n_no_end = seq->request.ignore_end ? seq->engine->n_no_end : 0;
    liz_logit_bias *bias = liz_arena_array(&seq->arena, n_no_end + s->n_bias, sizeof *bias);
    if (bias != NULL && n_no_end > 0)
        memcpy(bias, seq->engine->no_end, n_no_end * sizeof *bias);
    if (bias != NULL && s->n_bias > 0)
        memcpy(bias + n_no_end, s->bias, s->n_bias * sizeof *bias);
    s->bias = bias;
    s->n_bias += n_no_end;
    return bias != NULL;
}

/* Copies what the request points to, but for what is copied into forms of its own. */
static bool arrays_copy(liz_seq *seq)
{
    liz_arena *arena = &seq->arena;
    liz_request *r = &seq->request;
    int32_t *stop_tokens = liz_arena_array(arena, r->n_stop_tokens, sizeof *stop_tokens);
    seq->tokens = liz_arena_array(arena, (size_t)seq->n_tokens_max, sizeof *seq->tokens);
    seq->pages = liz_arena_array(arena, (size_t)seq->n_pages_max, sizeof *seq->pages);
    seq->links = liz_arena_array(arena, (size_t)seq->n_links, sizeof *seq->links);
    if (!seq->tokens || !seq->pages || !seq->links || !stop_tokens || !bias_copy(seq))
        return false;
    memcpy(seq->tokens, r->tokens, r->n_tokens * sizeof *seq->tokens);
    if (r->n_stop_tokens > 0)
        memcpy(stop_tokens, r->stop_tokens, r->n_stop_tokens * sizeof *stop_tokens);
    r->stop_tokens = stop_tokens;
    liz_hash link = liz_cache_start(seq->adapters);
    for (int32_t i = 0; i < seq->n_links; i++)
        seq->links[i] = link = liz_cache_chain(link, seq->tokens + (size_t)i * LIZ_PAGE_TOKENS);
    return true;
}

/* Sets up what DRY does not go across, and looks for it in the prompt. */
static liz_status breakers_open(liz_seq *seq, const liz_sampling *s, liz_error *err)
{
    static const char *const standard[] = {"\n", ":", "\"", "*"};
    const char *const *strings = s->dry_breakers != NULL ? s->dry_breakers : standard;
    size_t n = s->dry_breakers != NULL ? s->n_dry_breakers : sizeof standard / sizeof *standard;
    if (seq->engine->parts.vocab == NULL || n == 0)
        return LIZ_OK;
    liz_buf bytes = {.len_max = SIZE_MAX / 4};
    liz_status status = LIZ_OK;
    LIZ_TRY(liz_stop_open(&seq->breakers, "sequence breaker", strings, n, err));
    seq->breaks = liz_arena_array(&seq->arena, (size_t)seq->n_tokens_max, sizeof *seq->breaks);
    for (int32_t i = 0; seq->breaks != NULL && i < seq->n_prompt; i++)
        seq->breaks[i] = liz_engine_token_breaks(seq, seq->tokens[i], &bytes);
    if (seq->breaks == NULL || liz_buf_failed(&bytes))
        status = liz_fail(err, LIZ_E_MEMORY, "sequence: no memory for %d tokens", seq->n_tokens_max);
    liz_buf_free(&bytes);
    return status;
}

static void seq_close(liz_seq *seq)
{
    liz_stop_close(seq->stop);
    liz_stop_close(seq->breakers);
    liz_arena_free(&seq->arena);
    pthread_cond_destroy(&seq->changed);
    pthread_mutex_destroy(&seq->lock);
    free(seq);
}

/* Checks and copies a request; links, pages and buffers included. */
static liz_status seq_new(liz_seq **out, liz_engine *engine, const liz_request *r, bool is_score, liz_error *err)
{
    LIZ_TRY(request_check(engine, r, is_score, err));
    liz_seq *seq = calloc(1, sizeof *seq);
    if (seq == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "sequence: no memory");
    pthread_mutex_init(&seq->lock, NULL);
    pthread_cond_init(&seq->changed, NULL);
    liz_arena_init(&seq->arena, SIZE_MAX / 2);
    seq->engine = engine;
    seq->is_score = is_score;
    seq->request = *r;
    seq->adapters = engine->parts.loras.of_all | r->loras;
    seq->answer = -1;
    liz_status status = LIZ_OK;
    if (r->n_choices > 0)
        status = liz_engine_choose_new(seq, r, err);
    if (status != LIZ_OK) {
        seq_close(seq);
        return status;
    }
    lengths_set(seq, engine, r);
    int32_t n_pages = liz_cache_pages_total(engine->parts.cache);
    if (seq->n_pages_max > n_pages)
        status = liz_fail(err, LIZ_E_LIMIT, "sequence: it may grow to %d tokens: the cache holds %lld",
                          seq->n_tokens_max, (long long)n_pages * LIZ_PAGE_TOKENS);
    else if (!arrays_copy(seq))
        status = liz_fail(err, LIZ_E_MEMORY, "sequence: no memory for %d tokens", seq->n_tokens_max);
    else if (r->n_stop > 0)
        status = liz_stop_open(&seq->stop, "stop string", r->stop, r->n_stop, err);
    if (status == LIZ_OK && r->sampling.dry_multiplier > 0)
        status = breakers_open(seq, &r->sampling, err);
    seq->request.tokens = NULL;
    seq->request.stop = seq->request.sampling.dry_breakers = NULL;
    seq->request.choices = NULL;
    if (status != LIZ_OK)
        seq_close(seq);
    else
        *out = seq;
    return status;
}

/* Appends it to the queue; LIZ_E_BUSY when that is full, unless `wait`. LIZ_E_CANCELLED when the engine is closing. */
static liz_status seq_queue(liz_seq *seq, bool wait, liz_error *err)
{
    liz_engine *engine = seq->engine;
    liz_status status = LIZ_OK;
    seq->submitted_us = liz_clock_us();
    pthread_mutex_lock(&engine->lock);
    while (wait && !engine->closing && engine->n_queue == engine->n_queue_max)
        pthread_cond_wait(&engine->space, &engine->lock);
    if (engine->closing)
        status = liz_fail(err, LIZ_E_CANCELLED, "sequence: the engine is closing");
    else if (engine->n_queue == engine->n_queue_max)
        status = liz_fail(err, LIZ_E_BUSY, "sequence: %d are waiting already: wait for one to end", engine->n_queue);
    else
        engine->queue[engine->n_queue++] = seq;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

liz_status liz_submit(liz_engine *engine, const liz_request *request, liz_seq **out, liz_error *err)
{
    liz_seq *seq;
    LIZ_TRY(seq_new(&seq, engine, request, false, err));
    *out = seq; /* before an event can come */
    liz_status status = seq_queue(seq, false, err);
    if (status != LIZ_OK) {
        *out = NULL;
        seq_close(seq);
    }
    return status;
}

/* The engine looks at this before every step; it sleeps only while it has no sequence at all. */
void liz_seq_cancel(liz_seq *seq) { atomic_store(&seq->cancelled, true); }

void liz_seq_wait(liz_seq *seq)
{
    pthread_mutex_lock(&seq->lock);
    while (!seq->ended)
        pthread_cond_wait(&seq->changed, &seq->lock);
    pthread_mutex_unlock(&seq->lock);
}

void liz_seq_free(liz_seq *seq)
{
    if (seq == NULL)
        return;
    liz_seq_cancel(seq);
    liz_seq_wait(seq);
    seq_close(seq);
}

/* ---- Scoring ------------------------------------------------------------------------------------ */

/* A sequence that generates nothing and wants the logits of every token. It runs beside the others, as many positions a
 * step as rows of logits are free. It publishes its pages but takes none, since it needs the logits of the tokens in
 * them. */
liz_status liz_score(liz_engine *engine, const int32_t *tokens, size_t n_tokens, float *logprobs,
                     liz_on_logits *on_logits, void *user, liz_error *err)
{
    liz_seq *seq;
    liz_request request = {.tokens = tokens, .n_tokens = n_tokens, .user = user};
    LIZ_TRY(seq_new(&seq, engine, &request, true, err));
    seq->score_logprobs = logprobs;
    seq->score_on_logits = on_logits;
    if (logprobs != NULL)
        logprobs[0] = 0;
    liz_status status = seq_queue(seq, true, err);
    if (status == LIZ_OK) {
        liz_seq_wait(seq);
        status = seq->result.code;
        if (status != LIZ_OK)
            liz_fail(err, status, "%s", seq->result.text);
    }
    seq_close(seq);
    return status;
}
