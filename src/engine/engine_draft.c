/* engine_draft.c - guessing what comes next from what stood there before (Saxena 2023, prompt lookup decoding).
 *
 * Text that is extracted, corrected or translated repeats its input, and long texts repeat themselves. So the last
 * tokens of a sequence are looked for further back in it, the longest run of them and of equal ones the latest, and
 * what followed there is the guess. A step then computes the guesses beside the token that is due, and each row of
 * logits is sampled as if they were right: its draw depends on its position alone. As long as the model chooses what
 * was guessed, the next row is good too; the first that differs is still the model's own token, and the rest is
 * dropped. Keys and values of what was wrong are written over.
 *
 * Sequences whose sampling watches for DRY's breakers are left alone: what the watcher has seen cannot be taken back.
 */
#include "engine/engine_core.h"

#include "base/checked.h"

enum { RUN_LEAST = 2, RUN_MOST = 5, DRAFT_FIRST = 3, DRAFT_MOST = 16, PAUSE_MOST = 64 };

/* Where the tokens stand that followed the latest of the longest runs equal to the last ones; 0: nowhere. */
static int32_t find_run(const int32_t *tokens, int32_t n)
{
    int32_t best = RUN_LEAST - 1, at = 0;
    for (int32_t i = n - 2; i >= RUN_LEAST - 1 && best < RUN_MOST; i--) {
        int32_t run = 0;
        while (run < RUN_MOST && run <= i && tokens[i - run] == tokens[n - 1 - run])
            run++;
        if (run > best) {
            best = run;
            at = i + 1;
        }
    }
    return at;
}

int32_t liz_engine_draft(liz_seq *seq, liz_speculate how, int32_t n_max)
{
    int32_t n_left = seq->n_tokens_max - seq->n_tokens - 1; /* the model's own token comes behind them */
    liz_drafting *d = &seq->drafting;
    if (n_max <= 0 || n_left <= 0 || seq->breaks != NULL)
        return 0;
    if (how == LIZ_SPECULATE_AUTO && d->wait > 0) {
        d->wait--;
        return 0;
    }
    d->n_most = d->n_most > 0 ? d->n_most : DRAFT_FIRST;
    int32_t n = liz_least_i32(liz_least_i32(n_max, n_left), d->n_most);
    int32_t from = find_run(seq->tokens, seq->n_tokens);
    for (int32_t i = 0; i < n && from > 0; i++) /* a guess may repeat guesses */
        seq->tokens[seq->n_tokens + i] = seq->tokens[from + i];
    return from > 0 ? n : 0;
}

int32_t liz_engine_draft_settle(liz_engine *engine, liz_seq *seq, const liz_row *rows)
{
    liz_drafting *d = &seq->drafting;
    int32_t n_right = 0;
    if (d->n == 0)
        return 0;
    while (n_right < d->n && rows[n_right].choice == seq->tokens[rows[n_right].position])
        n_right++;
    d->pause = n_right > 0 ? 0 : liz_least_i32(2 * d->pause + 1, PAUSE_MOST);
    d->wait = d->pause;
    d->n_most = n_right == d->n ? liz_least_i32(2 * d->n_most, DRAFT_MOST) : n_right + 1;
    pthread_mutex_lock(&engine->lock);
    engine->stats.n_tokens_drafted += (uint64_t)d->n;
    engine->stats.n_drafts_kept += (uint64_t)n_right;
    pthread_mutex_unlock(&engine->lock);
    return n_right;
}
