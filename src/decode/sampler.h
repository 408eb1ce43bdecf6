/* sampler.h - from logits to a token.
 *
 * Order of the steps: logit bias, penalties (over the last LIZ_PENALTY_LAST tokens, prompt included), DRY (adjust.h);
 * top-k, typical, top-p, min-p, XTC, temperature, then a draw by cumulative sum in id order. Ties go to the lowest id.
 * Draws at a position are a pure function of the sequence's seed (base/philox.h), so no state lives here: a sampler is
 * scratch. Probabilities are integers (decode/prob.h), so the same logits give the same token on every machine.
 * docs/sampling.md is the definition.
 *
 * A sampler serves one thread at a time. To have the same bits everywhere, call from inside `liz_team_run`, where
 * denormals are zero. Nothing allocates after open. */
#ifndef LIZ_DECODE_SAMPLER_H
#define LIZ_DECODE_SAMPLER_H

#include "base/status.h"
#include "lizzie.h"

enum { LIZ_PENALTY_LAST = 64, LIZ_DRY_RANGE_MAX = 32768 };

/* A sequence so far, prompt included. */
typedef struct liz_history {
    const int32_t *tokens; /* [n], oldest first */
    const uint8_t *breaks; /* [n] not 0 where a text of sampling.dry_breakers is complete in a token; NULL: nowhere */
    size_t n;
} liz_history;

/* What `liz_sampler_choose` returns in place of a token. */
enum {
    LIZ_CHOICE_NAN = -1, /* a logit is not a number, or +infinity */
    LIZ_CHOICE_NONE = -2 /* every token is forbidden */
};

typedef struct liz_sampler liz_sampler;

/* Bytes of a sampler for vocabularies of `n_vocab`, and the sampler itself, which uses vectors of up to `n_lanes`
 * floats (liz_prob_ops_of). LIZ_E_LIMIT above LIZ_PROB_VOCAB_MAX. */
size_t liz_sampler_bytes(int32_t n_vocab);
LIZ_MUST_CHECK liz_status liz_sampler_open(liz_sampler **out, int32_t n_vocab, int n_lanes, liz_error *err);
void liz_sampler_close(liz_sampler *sampler);

/* Chooses the token at `position` from `logits` [n_vocab], which are changed during the call and restored. A token, or
 * a LIZ_CHOICE. */
int32_t liz_sampler_choose(liz_sampler *sampler, const liz_sampling *sampling, float *logits,
                           const liz_history *history, uint64_t position);

/* The log of the summed exponentials of `logits` [n_vocab]: a token's log-probability is its logit less this. NaN when
 * a logit is not a number. With it the `n_top` likeliest tokens (ties: lowest id first) in `top`, and how many there
 * are in
 * `*n_found`: fewer where the rest are impossible. `top` and `n_found` may be NULL when n_top is 0. */
double liz_sampler_logprobs(liz_sampler *sampler, const float *logits, int n_top, liz_token_logprob *top, int *n_found);

#endif
