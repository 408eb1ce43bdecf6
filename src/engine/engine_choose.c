/* engine_choose.c - from a trie of choices to the probability of each.
 *
 * A run begins once its parent is computed: in its parent's slot, if no other has borrowed that, else in a free one,
 * with copies of the parent's pages. It gives the slot back when it is over and all that follows it. So a parent is
 * kept for as long as it is needed, and something can always go on: where no slot is free, a run that is computed has
 * lent its own or can.
 *
 * A choice's log-probability is the sum over its tokens from the first to the last, in double, of what liz_score would
 * say of each, and of the end's: the log of the summed probabilities of all tokens that end the text. */
#include "engine/engine_core.h"

#include "base/checked.h"
#include "base/tiny.h"
#include "decode/prob.h"
#include "sys/clock.h"

#include <math.h>
#include <string.h>

enum { SLOTS_MAX = LIZ_OR_TINY(64, 3) };

static int32_t pages_for(int32_t n_tokens) { return (int32_t)liz_div_up((size_t)n_tokens, LIZ_PAGE_TOKENS); }

/* ---- Setting up --------------------------------------------------------------------------------- */

static liz_status choices_check(const liz_engine *engine, const liz_request *r, liz_error *err)
{
    const char *with = r->n_stop > 0                       ? "stop strings"
                       : r->logprobs || r->prompt_logprobs ? "log-probabilities"
                       : r->sampling.n_bias > 0            ? "logit bias"
                                                           : NULL;
    if (with != NULL)
        return liz_fail(err, LIZ_E_USAGE, "choices: do not go together with %s", with);
    for (size_t i = 0; i < r->n_choices; i++)
        for (size_t k = 0; k < r->choices[i].n_tokens; k++) {
            int32_t token = r->choices[i].tokens[k];
            if (token < 0 || token >= engine->n_vocab)
                return liz_fail(err, LIZ_E_USAGE, "choice %zu: token %d: the vocabulary has %d tokens", i, token,
                                engine->n_vocab);
        }
    return LIZ_OK;
}

/* The tokens by which the model ends a text, unless they are forbidden, and those of the caller, each once. */
static bool ends_make(liz_choose *choose, liz_seq *seq, const liz_request *r)
{
    const liz_engine *engine = seq->engine;
    size_t n_own = r->ignore_end ? 0 : engine->n_no_end;
    choose->ends = liz_arena_array(&seq->arena, n_own + r->n_stop_tokens, sizeof *choose->ends);
    for (size_t i = 0; choose->ends != NULL && i < n_own + r->n_stop_tokens; i++) {
        int32_t token = i < n_own ? engine->no_end[i].token : r->stop_tokens[i - n_own];
        size_t k = 0;
        while (k < choose->n_ends && choose->ends[k] != token)
            k++;
        choose->ends[k] = token;
        choose->n_ends += k == choose->n_ends;
    }
    return choose->ends != NULL;
}

static liz_status slots_make(liz_choose *choose, liz_seq *seq, int32_t n_prompt, liz_error *err)
{
    const liz_trie *trie = &choose->trie;
    choose->n_table = pages_for(n_prompt + trie->depth);
    choose->n_slot_pages = choose->n_table - n_prompt / LIZ_PAGE_TOKENS;
    int32_t n_spare = liz_cache_pages_total(seq->engine->parts.cache) / 2 - choose->n_table; /* others live here too */
    int32_t n_slots = 1 + (n_spare > 0 ? n_spare / choose->n_slot_pages : 0);
    choose->n_slots = liz_least_i32(liz_least_i32(n_slots, SLOTS_MAX), trie->n_runs);
    choose->tables = liz_arena_array(&seq->arena, (size_t)choose->n_slots * (size_t)choose->n_table, sizeof(int32_t));
    choose->slots_free = liz_arena_array(&seq->arena, (size_t)choose->n_slots, sizeof(int32_t));
    choose->probs = liz_arena_array(&seq->arena, (size_t)trie->n_choices, sizeof *choose->probs);
    if (!choose->tables || !choose->slots_free || !choose->probs)
        return liz_fail(err, LIZ_E_MEMORY, "choices: no memory for %d branches", choose->n_slots);
    return LIZ_OK;
}

liz_status liz_engine_choose_new(liz_seq *seq, const liz_request *r, liz_error *err)
{
    int32_t n_ctx = seq->engine->parts.n_ctx, n_prompt = (int32_t)r->n_tokens;
    LIZ_TRY(choices_check(seq->engine, r, err));
    liz_choose *choose = liz_arena_alloc(&seq->arena, sizeof *choose);
    if (choose == NULL || !ends_make(choose, seq, r))
        return liz_fail(err, LIZ_E_MEMORY, "choices: no memory");
    seq->choose = choose;
    LIZ_TRY(liz_engine_trie_build(&choose->trie, &seq->arena, r->choices, r->n_choices, choose->n_ends > 0, err));
    if (choose->trie.depth > n_ctx - n_prompt)
        return liz_fail(err, LIZ_E_LIMIT,
                        "choices: the prompt has %d tokens and the longest choice %d: the context holds %d", n_prompt,
                        choose->trie.depth, n_ctx);
    return slots_make(choose, seq, n_prompt, err);
}

int32_t liz_engine_choose_pages(const liz_seq *seq)
{
    const liz_choose *choose = seq->choose;
    return choose->n_table + (choose->n_slots - 1) * choose->n_slot_pages;
}

/* ---- Walking ------------------------------------------------------------------------------------ */

static int32_t *table_of(const liz_choose *choose, int32_t slot)
{
    return choose->tables + (size_t)slot * (size_t)choose->n_table;
}

/* The prompt is computed, and with it the root: takes the pages of all slots. */
static void walk_begin(liz_engine *engine, liz_seq *seq)
{
    liz_choose *choose = seq->choose;
    int32_t n_whole = choose->n_table - choose->n_slot_pages;
    liz_engine_pages_take(engine, seq, seq->n_pages_max);
    for (int32_t slot = choose->n_slots - 1; slot >= 0; slot--) {
        int32_t *table = table_of(choose, slot);
        memcpy(table, seq->pages, (size_t)n_whole * sizeof *table);
        memcpy(table + n_whole, seq->pages + n_whole + slot * choose->n_slot_pages,
               (size_t)choose->n_slot_pages * sizeof *table);
        if (slot > 0)
            choose->slots_free[choose->n_slots_free++] = slot;
    }
    choose->trie.runs[0].slot = 0;
    choose->trie.runs[0].n_done = 1;
    choose->is_begun = true;
    seq->prefilled_us = liz_clock_us();
}

static int32_t run_n_past(const liz_seq *seq, const liz_trie_run *run)
{
    return seq->n_prompt + seq->choose->trie.nodes[run->node].depth - 1;
}

/* Gives a run a slot that holds what comes before it; false when it must wait. */
static bool run_begin(liz_engine *engine, liz_seq *seq, liz_trie_run *run)
{
    liz_choose *choose = seq->choose;
    liz_trie_run *parent = &choose->trie.runs[run->parent];
    if (parent->n_done < parent->n)
        return false;
    if (!parent->is_lent) {
        run->slot = parent->slot;
        run->is_borrowed = parent->is_lent = true;
        return true;
    }
    if (choose->n_slots_free == 0)
        return false;
    run->slot = choose->slots_free[--choose->n_slots_free];
    const int32_t *from = table_of(choose, parent->slot), *to = table_of(choose, run->slot);
    int32_t n = pages_for(run_n_past(seq, run));
    for (int32_t i = choose->n_table - choose->n_slot_pages; i < n; i++)
        liz_cache_page_copy(engine->parts.cache, to[i], from[i]);
    return true;
}

/* Gives back the slots of what is over. */
static void run_settle(liz_choose *choose, liz_trie_run *run)
{
    while (run->n_done == run->n && run->n_open == 0 && run->parent >= 0) {
        liz_trie_run *parent = &choose->trie.runs[run->parent];
        if (run->is_borrowed)
            parent->is_lent = false;
        else
            choose->slots_free[choose->n_slots_free++] = run->slot;
        parent->n_open--;
        run = parent;
    }
}

int32_t liz_engine_choose_fill(liz_engine *engine, liz_seq *seq, int32_t n_max)
{
    const liz_trie *trie = &seq->choose->trie;
    int32_t n_left = n_max;
    for (int32_t r = 0; r < trie->n_runs && n_left > 0; r++) {
        liz_trie_run *run = &trie->runs[r];
        if (run->n_done == run->n)
            continue;
        if (run->slot < 0 && !run_begin(engine, seq, run))
            continue;
        int32_t n = liz_least_i32(run->n - run->n_done, n_left), node = run->node + run->n_done;
        liz_engine_batch_add(engine, seq, node,
                             (liz_batch_seq){.pages = table_of(seq->choose, run->slot),
                                             .n_past = run_n_past(seq, run) + run->n_done,
                                             .n_tok = n,
                                             .tokens = trie->tokens + node,
                                             .n_logits = n});
        n_left -= n;
    }
    LIZ_ASSERT(n_left < n_max);
    return n_max - n_left;
}

/* ---- What the model says ------------------------------------------------------------------------ */

/* The log of the summed probabilities of the ends. */
static float end_logprob(const liz_choose *choose, const float *logits, double norm)
{
    float max = -INFINITY;
    uint64_t sum = 0;
    for (size_t i = 0; i < choose->n_ends; i++)
        max = logits[choose->ends[i]] > max ? logits[choose->ends[i]] : max;
    if (max == -INFINITY)
        return max;
    for (size_t i = 0; i < choose->n_ends; i++)
        sum += liz_prob_weight(logits[choose->ends[i]], max, 1);
    return (float)((double)max + liz_prob_log((double)sum * 0x1p-40) - norm);
}

void liz_engine_choose_weigh(const liz_seq *seq, int32_t id, const float *logits, double norm)
{
    const liz_choose *choose = seq->choose;
    const liz_trie *trie = &choose->trie;
    liz_trie_node *node = &trie->nodes[id];
    for (int32_t child = liz_trie_child(id); child < node->next; child = trie->nodes[child].next)
        trie->nodes[child].logprob = (float)((double)logits[trie->tokens[child]] - norm);
    if (node->choice >= 0 && choose->n_ends > 0)
        node->logprob_end = end_logprob(choose, logits, norm);
}

/* Fills `probs` and tells the node of the likeliest choice; -1 where the model holds all of them impossible. */
static int32_t choices_settle(liz_choose *choose)
{
    const liz_trie *trie = &choose->trie;
    int32_t best = -1;
    double max = -INFINITY, total = 0;
    for (int32_t i = 1; i < trie->n_nodes; i++) {
        liz_trie_node *node = &trie->nodes[i];
        node->sum = trie->nodes[node->parent].sum + (double)node->logprob;
        if (node->choice < 0)
            continue;
        double sum = choose->probs[node->choice] = node->sum + (double)node->logprob_end;
        bool is_tied = best >= 0 && sum == max && node->choice < trie->nodes[best].choice;
        if (sum > max || is_tied) {
            max = sum;
            best = i;
        }
    }
    if (best < 0)
        return best;
    for (int32_t c = 0; c < trie->n_choices; c++)
        total += choose->probs[c] = liz_prob_exp(choose->probs[c] - max);
    for (int32_t c = 0; c < trie->n_choices; c++)
        choose->probs[c] /= total;
    return best;
}

/* The answer's tokens become the sequence's own. */
static void answer_take(liz_engine *engine, liz_seq *seq, int32_t node)
{
    const liz_trie *trie = &seq->choose->trie;
    int32_t n = trie->nodes[node].depth;
    seq->answer = trie->nodes[node].choice;
    for (int32_t i = node; i > 0; i = trie->nodes[i].parent)
        seq->tokens[seq->n_prompt + trie->nodes[i].depth - 1] = trie->tokens[i];
    seq->n_tokens += n;
    pthread_mutex_lock(&engine->lock);
    engine->stats.n_tokens_decoded += (uint64_t)n;
    pthread_mutex_unlock(&engine->lock);
}

static void conclude(liz_engine *engine, liz_seq *seq)
{
    liz_error err;
    int32_t best = choices_settle(seq->choose);
    if (best < 0) {
        liz_fail(&err, LIZ_E_NUMERIC, "choices: the model holds every one of them impossible");
        liz_engine_seq_end(engine, seq, LIZ_FINISH_FAILED, &err);
        return;
    }
    answer_take(engine, seq, best);
    liz_engine_seq_end(engine, seq, LIZ_FINISH_STOP, NULL);
}

void liz_engine_choose_deliver(liz_engine *engine, liz_seq *seq, const int32_t *nodes, const liz_batch_seq *parts,
                               int n_parts)
{
    liz_choose *choose = seq->choose;
    if (!choose->is_begun) {
        walk_begin(engine, seq);
        n_parts = 0;
    }
    for (int i = 0; i < n_parts; i++) {
        liz_trie_run *run = &choose->trie.runs[choose->trie.nodes[nodes[i]].run];
        run->n_done += parts[i].n_tok;
        run_settle(choose, run);
    }
    if (choose->trie.runs[0].n_open == 0)
        conclude(engine, seq);
}
