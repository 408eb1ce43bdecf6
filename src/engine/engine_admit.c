/* engine_admit.c - which sequences run, and what each does in the next step.
 *
 * Admission is first come, first served. A sequence is admitted when a place is free and the pool can promise it every
 * page it may come to need, less those it finds published; so what runs can always go on, and nothing is ever
 * preempted. The head of the queue waits for pages; nobody overtakes it. One exception saves work: a sequence whose
 * next page is just being computed by an older one waits for that, and others may pass meanwhile. It cannot starve:
 * those it waits for came before it and advance with every step, and no younger one makes it wait, even where it
 * computes such a page (because it wants all of its prompt, or because the page was evicted).
 *
 * A step takes one token of every decoding sequence, and up to n_prefill_chunk prompt tokens, oldest first. */
#include "engine/engine_core.h"

#include "base/checked.h"
#include "sys/clock.h"

#include <string.h>

enum { ROWS_CHEAP = 8 };

/* Pages of the prompt that may be taken from the cache: its last token is always computed, for its logits. */
static int32_t pages_shareable(const liz_seq *seq)
{
    return liz_engine_seq_wants_all(seq) ? 0 : (seq->n_prompt - 1) / LIZ_PAGE_TOKENS;
}

static void pages_match(liz_engine *engine, liz_seq *seq)
{
    int32_t n = pages_shareable(seq), before = -1;
    while (seq->n_pages < n) {
        const int32_t *tokens = seq->tokens + (size_t)seq->n_pages * LIZ_PAGE_TOKENS;
        int32_t page = liz_cache_find(engine->parts.cache, seq->adapters, before, tokens);
        if (page < 0)
            break;
        seq->pages[seq->n_pages++] = before = page;
    }
}

static void pages_give_up(liz_engine *engine, liz_seq *seq)
{
    liz_cache_pages_release(engine->parts.cache, seq->pages, (size_t)seq->n_pages);
    seq->n_pages = 0;
}

/* `other` is computing a page that `seq` needs and has not found: equal hashes there mean equal tokens up to there,
 * with the same adapters, and what comes before it `other` has published. One that wants all of its prompt computes
 * what others have published. */
static bool page_is_coming(const liz_seq *seq, const liz_seq *other)
{
    int32_t i = other->n_past / LIZ_PAGE_TOKENS;
    return !other->is_score && other->submitted_us <= seq->submitted_us && i >= seq->n_pages && i < other->n_links &&
           i < pages_shareable(seq) && liz_hash_eq(seq->links[i], other->links[i]);
}

static bool page_is_awaited(const liz_engine *engine, const liz_seq *seq)
{
    for (int i = 0; i < engine->n_running && liz_cache_is_shared(engine->parts.cache); i++)
        if (page_is_coming(seq, engine->running[i]))
            return true;
    return false;
}

typedef enum verdict { VERDICT_RUN, VERDICT_DEFER, VERDICT_WAIT } verdict;

static verdict seq_admit(liz_engine *engine, liz_seq *seq)
{
    const liz_cache *cache = engine->parts.cache;
    pages_match(engine, seq);
    if (page_is_awaited(engine, seq)) {
        pages_give_up(engine, seq);
        return VERDICT_DEFER;
    }
    int32_t n_needed = seq->n_pages_max - seq->n_pages;
    if (liz_cache_pages_available(cache) - engine->n_pages_promised < n_needed) {
        LIZ_ASSERT(engine->n_running > 0);
        pages_give_up(engine, seq);
        return VERDICT_WAIT;
    }
    engine->n_pages_promised += n_needed;
    seq->n_pages_published = seq->n_pages;
    seq->n_past = seq->n_reused = seq->n_pages * LIZ_PAGE_TOKENS;
    engine->stats.n_tokens_reused += (uint64_t)seq->n_reused;
    seq->admitted_us = liz_clock_us();
    engine->running[engine->n_running++] = seq;
    return VERDICT_RUN;
}

int liz_engine_admit(liz_engine *engine)
{
    int n_kept = 0, n_dropped = 0, n_before = engine->n_queue;
    bool waiting = false;
    for (int i = 0; i < n_before; i++) {
        liz_seq *seq = engine->queue[i];
        if (engine->closing || atomic_load(&seq->cancelled)) {
            engine->dropped[n_dropped++] = seq;
            continue;
        }
        waiting = waiting || engine->n_running == engine->parts.n_parallel;
        verdict v = waiting ? VERDICT_WAIT : seq_admit(engine, seq);
        waiting = waiting || v == VERDICT_WAIT;
        if (v != VERDICT_RUN)
            engine->queue[n_kept++] = seq;
    }
    engine->n_queue = n_kept;
    if (n_kept < n_before)
        pthread_cond_broadcast(&engine->space);
    return n_dropped;
}

void liz_engine_pages_take(liz_engine *engine, liz_seq *seq, int32_t n)
{
    LIZ_ASSERT(n <= seq->n_pages_max);
    while (seq->n_pages < n) {
        int32_t page = liz_cache_page_take(engine->parts.cache);
        LIZ_ASSERT(page >= 0); /* promised */
        seq->pages[seq->n_pages++] = page;
        engine->n_pages_promised--;
    }
}

/* Guesses that a step has room for. A few rows cost a processor little more than one, since the weights are read once;
 * beyond that, or beside prompts, a wrong guess costs what a right one saves. */
static int32_t drafts_worth(const liz_engine *engine)
{
    if (engine->parts.speculate != LIZ_SPECULATE_AUTO)
        return engine->parts.speculate == LIZ_SPECULATE_OFF ? 0 : INT32_MAX;
    for (int i = 0; i < engine->n_running; i++)
        if (engine->running[i]->n_tokens == engine->running[i]->n_prompt)
            return 0;
    return engine->n_running < ROWS_CHEAP ? ROWS_CHEAP - engine->n_running : 0;
}

/* Guesses behind the tokens of those that are being decoded, up to `n_spare` in all. */
static void drafts_add(liz_engine *engine, int32_t n_spare)
{
    n_spare = liz_least_i32(n_spare, drafts_worth(engine));
    for (int i = 0; i < engine->n_batch && n_spare > 0; i++) {
        liz_seq *seq = engine->batch_seqs[i];
        if (seq->n_tokens == seq->n_prompt)
            continue;
        int32_t n = liz_engine_draft(seq, engine->parts.speculate, n_spare);
        seq->drafting.n = n;
        seq->n_step += n;
        liz_engine_pages_take(engine, seq, (int32_t)liz_div_up((size_t)(seq->n_past + seq->n_step), LIZ_PAGE_TOKENS));
        engine->batch[i].n_tok += n;
        engine->batch[i].n_logits += n;
        n_spare -= n;
    }
}

void liz_engine_batch_fill(liz_engine *engine)
{
    int32_t n_chunk = engine->parts.n_prefill_chunk;
    int32_t n_rows_spare = engine->parts.n_logits_max - engine->n_running; /* every sequence is sure of one row */
    engine->n_batch = 0;
    for (int i = 0; i < engine->n_running; i++) {
        liz_seq *seq = engine->running[i];
        int32_t n_left = seq->n_tokens - seq->n_past, n_logits = 1;
        seq->n_step = n_left;
        seq->drafting.n = 0;
        if (seq->choose != NULL && seq->choose->is_begun) {
            int32_t n_more = liz_engine_choose_fill(engine, seq, 1 + liz_least_i32(n_rows_spare, n_chunk)) - 1;
            n_rows_spare -= n_more;
            n_chunk -= n_more;
            continue;
        }
        if (liz_engine_seq_wants_all(seq)) {
            seq->n_step = n_logits = liz_least_i32(liz_least_i32(n_left, n_chunk), 1 + n_rows_spare);
            n_rows_spare -= n_logits > 0 ? n_logits - 1 : 0;
        } else if (seq->n_tokens == seq->n_prompt) {
            seq->n_step = liz_least_i32(n_left, n_chunk);
            n_logits = seq->n_step == n_left;
        }
        if (seq->n_step == 0)
            continue;
        if (seq->n_tokens == seq->n_prompt)
            n_chunk -= seq->n_step;
        liz_engine_pages_take(engine, seq, (int32_t)liz_div_up((size_t)(seq->n_past + seq->n_step), LIZ_PAGE_TOKENS));
        liz_engine_batch_add(engine, seq, 0,
                             (liz_batch_seq){.pages = seq->pages,
                                             .n_past = seq->n_past,
                                             .n_tok = seq->n_step,
                                             .tokens = seq->tokens + seq->n_past,
                                             .n_logits = n_logits});
    }
    drafts_add(engine, liz_least_i32(n_chunk, n_rows_spare));
}

void liz_engine_pages_publish(liz_engine *engine, liz_seq *seq)
{
    for (; (seq->n_pages_published + 1) * LIZ_PAGE_TOKENS <= seq->n_past; seq->n_pages_published++) {
        int32_t i = seq->n_pages_published;
        const int32_t *tokens = seq->tokens + (size_t)i * LIZ_PAGE_TOKENS;
        int32_t before = i == 0 ? -1 : seq->pages[i - 1];
        seq->pages[i] = liz_cache_publish(engine->parts.cache, seq->adapters, seq->pages[i], before, tokens);
    }
}

void liz_engine_retire(liz_engine *engine, liz_seq *seq)
{
    int i = 0;
    while (i < engine->n_running && engine->running[i] != seq)
        i++;
    if (i == engine->n_running)
        return;
    engine->n_running--;
    memmove(&engine->running[i], &engine->running[i + 1], (size_t)(engine->n_running - i) * sizeof(liz_seq *));
    engine->n_pages_promised -= seq->n_pages_max - seq->n_pages;
    pages_give_up(engine, seq);
}
