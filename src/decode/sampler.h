/* sampler.h - from logits to a token.
 *
 * Order of the steps: logit bias, penalties (over the last LIZ_PENALTY_LAST tokens, prompt included), top-k,
 * top-p, min-p, temperature, then a draw by cumulative sum in id order. Ties go to the lowest id. The draw at a position is
 * a pure function of the row's seed (base/philox.h), so no state lives here but the recent tokens.
 * Arithmetic on probabilities follows the numeric contract: own exp and log, a fixed order of sums, so that the same logits give the same
 * token on every machine. */
#ifndef LIZ_DECODE_SAMPLER_H
#define LIZ_DECODE_SAMPLER_H

#include "lizzie.h"

enum { LIZ_PENALTY_LAST = 64 };

/* Scratch for one sampling at a time, for vocabularies of up to n_vocab. */
typedef struct liz_sampler liz_sampler;

LIZ_MUST_CHECK liz_status liz_sampler_open(liz_sampler **out, int32_t n_vocab, liz_error *err);
void liz_sampler_close(liz_sampler *sampler);

/* LIZ_E_USAGE, naming the setting, when one is out of range or a biased token is outside the vocabulary. */
LIZ_MUST_CHECK liz_status liz_sampling_check(const liz_sampling *sampling, int32_t n_vocab, liz_error *err);

/* Chooses the token at `position` from `logits` [n_vocab], which are used as scratch and destroyed. `recent` [n_recent] are the last tokens,
 * oldest first (at most LIZ_PENALTY_LAST are looked at). Returns -1 when no logit is a number or all are forbidden. */
int32_t liz_sampler_choose(liz_sampler *sampler, const liz_sampling *sampling, float *logits, const int32_t *recent,
                           size_t n_recent, uint64_t position);

/* Log-probabilities of the model itself: logits [n_vocab] minus the log of their summed exponentials, of `token` and
 * of the `n_top` likeliest (ties: lowest id first). Leaves `logits` as they are. */
float liz_logprob_token(const float *logits, int32_t n_vocab, int32_t token);
void liz_logprob_top(liz_sampler *sampler, const float *logits, int32_t n_vocab, int n_top, liz_token_logprob *top);

#endif
