/* engine_step.c - one step: admit, compute all sequences' tokens in one forward pass, make tokens of the logits, tell
 * the callers.
 *
 * The rows of logits are independent, so the team takes them one by one, each member with a sampler of its own; what a
 * row gives does not depend on who takes it. Events are delivered afterwards by the engine's thread, sequence by
 * sequence, oldest first. Locks are held only to look at the queue and to add up counters, never while computing or in
 * a callback. */
#include "engine/engine_core.h"

#include "sys/clock.h"

#include <math.h>

/* One that is named several times stands side by side. */
static void sequences_cancel(liz_engine *engine, liz_finish finish, const liz_error *why, liz_seq **seqs, int n)
{
    for (int i = 0; i < n; i++)
        if (i == 0 || seqs[i] != seqs[i - 1])
            liz_engine_seq_end(engine, seqs[i], finish, why);
}

/* Ends what was cancelled; `n_dropped` have left the queue. */
static void cancelled_end(liz_engine *engine, int n_dropped, bool closing)
{
    liz_error why;
    liz_fail(&why, LIZ_E_CANCELLED, "sequence: it was cancelled");
    sequences_cancel(engine, LIZ_FINISH_CANCELLED, &why, engine->dropped, n_dropped);
    for (int i = engine->n_running - 1; i >= 0; i--) /* ending one moves only those behind it */
        if (closing || atomic_load(&engine->running[i]->cancelled))
            liz_engine_seq_end(engine, engine->running[i], LIZ_FINISH_CANCELLED, &why);
}

/* ---- rows ---- */

static void row_choose(liz_sampler *sampler, liz_row *row)
{
    const liz_seq *seq = row->seq;
    double norm = 0;
    if (seq->request.logprobs)
        norm = liz_sampler_logprobs(sampler, row->logits, seq->request.n_logprobs_top, row->top, &row->n_top);
    liz_history history = {seq->tokens, seq->breaks, (size_t)row->position};
    row->choice = liz_sampler_choose(sampler, &seq->request.sampling, row->logits, &history, (uint64_t)row->position);
    if (seq->request.logprobs && row->choice >= 0)
        row->logprob = (float)((double)row->logits[row->choice] - norm);
}

/* The token that follows is known, unless this is the last one. */
static void row_score(liz_sampler *sampler, liz_row *row)
{
    const liz_seq *seq = row->seq;
    double norm = liz_sampler_logprobs(sampler, row->logits, seq->request.n_prompt_logprobs_top, row->top, &row->n_top);
    bool is_last = row->position == seq->n_tokens;
    row->choice = isnan(norm) ? LIZ_CHOICE_NAN : is_last ? 0 : seq->tokens[row->position];
    row->logprob = row->choice >= 0 ? (float)((double)row->logits[row->choice] - norm) : 0;
}

static void row_weigh(liz_sampler *sampler, liz_row *row)
{
    double norm = liz_sampler_logprobs(sampler, row->logits, 0, NULL, NULL);
    row->choice = isnan(norm) ? LIZ_CHOICE_NAN : 0;
    if (row->choice >= 0)
        liz_engine_choose_weigh(row->seq, row->node, row->logits, norm);
}

static void rows_work(void *arg, int member, int n_members)
{
    liz_engine *engine = arg;
    (void)n_members;
    for (int i; (i = atomic_fetch_add(&engine->row_next, 1)) < engine->n_rows;) {
        liz_row *row = &engine->rows[i];
        if (row->seq->choose != NULL)
            row_weigh(engine->samplers[member], row);
        else if (row->seq->is_score || row->position < row->seq->n_prompt)
            row_score(engine->samplers[member], row);
        else
            row_choose(engine->samplers[member], row);
    }
}

static void rows_fill(liz_engine *engine, float *logits)
{
    engine->n_rows = 0;
    for (int i = 0; i < engine->n_batch; i++) {
        const liz_batch_seq *part = &engine->batch[i];
        for (int32_t j = part->n_logits; j > 0; j--) {
            float *row_logits = logits + (size_t)engine->n_rows * (size_t)engine->n_vocab;
            int32_t position = part->n_past + part->n_tok - j + 1;
            engine->rows[engine->n_rows++] = (liz_row){.seq = engine->batch_seqs[i],
                                                       .logits = row_logits,
                                                       .position = position,
                                                       .node = engine->batch_nodes[i] + part->n_logits - j};
        }
    }
}

/* ---- what comes of a step ---- */

static liz_status row_check(const liz_row *row, liz_error *err)
{
    if (row->choice == LIZ_CHOICE_NAN)
        return liz_fail(err, LIZ_E_NUMERIC,
                        "model: at position %d it gave logits that are not numbers: the file is damaged",
                        row->position - 1);
    if (row->choice == LIZ_CHOICE_NONE)
        return liz_fail(err, LIZ_E_USAGE, "sampling: every token is forbidden at position %d: give less logit bias",
                        row->position);
    return LIZ_OK;
}

/* The rows [n] of a scored sequence; ends it when they are the last or the caller has seen enough. */
static void score_deliver(liz_engine *engine, liz_seq *seq, const liz_row *rows, int n)
{
    liz_error err;
    for (int i = 0; i < n; i++) {
        if (row_check(&rows[i], &err) != LIZ_OK) {
            liz_engine_seq_end(engine, seq, LIZ_FINISH_FAILED, &err);
            return;
        }
        if (seq->score_logprobs != NULL && rows[i].position < seq->n_tokens)
            seq->score_logprobs[rows[i].position] = rows[i].logprob;
    }
    if (seq->score_on_logits != NULL &&
        !seq->score_on_logits(seq->request.user, (size_t)rows[0].position - 1, (size_t)n, rows[0].logits)) {
        liz_fail(&err, LIZ_E_CANCELLED, "score: the caller stopped it");
        liz_engine_seq_end(engine, seq, LIZ_FINISH_CANCELLED, &err);
    } else if (seq->n_past == seq->n_tokens) {
        liz_engine_seq_end(engine, seq, LIZ_FINISH_LENGTH, NULL);
    }
}

/* Rows of the prompt where those are wanted, and at its end and after it those of tokens; each of these may end it. */
static void rows_deliver(liz_engine *engine, liz_seq *seq, const liz_row *rows, int n)
{
    liz_error err;
    for (int i = 0; i < n; i++) {
        if (row_check(&rows[i], &err) != LIZ_OK) {
            liz_engine_seq_end(engine, seq, LIZ_FINISH_FAILED, &err);
            return;
        }
        if (seq->request.prompt_logprobs && rows[i].position <= seq->n_prompt)
            liz_engine_prompt_tell(engine, seq, &rows[i]);
        if (rows[i].position >= seq->n_prompt && !liz_engine_token_accept(engine, seq, &rows[i]))
            return;
    }
}

/* Parts of the trie of choices, or the end of the prompt before it, with their rows [n]. */
static void choices_deliver(liz_engine *engine, liz_seq *seq, int part, int n_parts, const liz_row *rows, int n)
{
    liz_error err;
    for (int i = 0; i < n; i++)
        if (row_check(&rows[i], &err) != LIZ_OK) {
            liz_engine_seq_end(engine, seq, LIZ_FINISH_FAILED, &err);
            return;
        }
    if (n > 0)
        liz_engine_choose_deliver(engine, seq, &engine->batch_nodes[part], &engine->batch[part], n_parts);
}

static void batch_deliver(liz_engine *engine)
{
    for (int i = 0, row = 0, n_parts; i < engine->n_batch; i += n_parts) {
        liz_seq *seq = engine->batch_seqs[i];
        int n_logits = 0;
        for (n_parts = 0; i + n_parts < engine->n_batch && engine->batch_seqs[i + n_parts] == seq; n_parts++)
            n_logits += engine->batch[i + n_parts].n_logits;
        int n_wrong = seq->drafting.n - liz_engine_draft_settle(engine, seq, &engine->rows[row]);
        seq->n_past += seq->n_step - n_wrong;
        liz_engine_pages_publish(engine, seq);
        if (seq->choose != NULL)
            choices_deliver(engine, seq, i, n_parts, &engine->rows[row], n_logits);
        else if (seq->is_score)
            score_deliver(engine, seq, &engine->rows[row], n_logits);
        else
            rows_deliver(engine, seq, &engine->rows[row], n_logits - n_wrong);
        row += n_logits;
    }
}

/* ---- counters ---- */

static void stats_add(liz_engine *engine)
{
    const liz_cache *cache = engine->parts.cache;
    liz_engine_stats *s = &engine->stats;
    int n_seqs = 0;
    pthread_mutex_lock(&engine->lock);
    s->n_steps++;
    s->n_pages_evicted = liz_cache_evictions(cache);
    for (int i = 0; i < engine->n_batch; i++) {
        bool is_prompt = engine->batch[i].n_past < engine->batch_seqs[i]->n_prompt;
        s->n_tokens_prefilled += is_prompt ? (uint64_t)engine->batch[i].n_tok : 0;
        n_seqs += i == 0 || engine->batch_seqs[i] != engine->batch_seqs[i - 1];
    }
    if (n_seqs > s->n_seqs_step_max)
        s->n_seqs_step_max = n_seqs;
    if (liz_cache_pages_held(cache) > s->n_pages_used_max)
        s->n_pages_used_max = liz_cache_pages_held(cache);
    pthread_mutex_unlock(&engine->lock);
}

/* Before a caller learns of the step's tokens, so that who waits for them finds it counted. */
static void profile_show(liz_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->profile = engine->profiling;
    pthread_mutex_unlock(&engine->lock);
}

static void batch_compute(liz_engine *engine)
{
    liz_error err;
    float *logits;
    stats_add(engine);
    if (liz_model_forward(engine->parts.model, engine->parts.cache, engine->batch, engine->n_batch, &logits, &err) !=
        LIZ_OK) {
        sequences_cancel(engine, LIZ_FINISH_FAILED, &err, engine->batch_seqs, engine->n_batch);
        return;
    }
    rows_fill(engine, logits);
    atomic_store(&engine->row_next, 0);
    uint64_t begin_us = liz_clock_us();
    if (engine->n_rows > 0)
        liz_team_run(engine->parts.team, rows_work, engine);
    uint64_t chosen_us = liz_clock_us();
    engine->profiling.choose_us += chosen_us - begin_us;
    profile_show(engine);
    batch_deliver(engine);
    engine->profiling.tell_us += liz_clock_us() - chosen_us;
}

bool liz_engine_step(liz_engine *engine)
{
    if (engine->parts.on_step != NULL)
        engine->parts.on_step(true);
    pthread_mutex_lock(&engine->lock);
    int n_dropped = liz_engine_admit(engine);
    bool closing = engine->closing;
    pthread_mutex_unlock(&engine->lock);
    cancelled_end(engine, n_dropped, closing);
    liz_engine_batch_fill(engine);
    if (engine->n_batch > 0)
        batch_compute(engine);
    if (engine->parts.on_step != NULL)
        engine->parts.on_step(false);
    pthread_mutex_lock(&engine->lock);
    bool more = engine->n_queue > 0 || engine->n_running > 0;
    pthread_mutex_unlock(&engine->lock);
    return more;
}
