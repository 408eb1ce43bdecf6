/* prob.h - probabilities as integers, so that sums have no order.
 *
 * The weight of a logit l beside the largest one m is floor(exp((l - m) / T) * 2^40): an integer, 2^40 for the
 * likeliest token and 0 for anything below about e^-28 of it. Sums of weights are exact, whatever the order, the vector
 * width or the split over threads; only the exponential itself must be the same everywhere, and it is made of single
 * float additions and multiplications (no libm, no contraction). 2^23 weights fit in a sum.
 *
 * Logits are float32 without NaN and +infinity (`liz_prob_scan` finds out); -infinity has weight 0. */
#ifndef LIZ_DECODE_PROB_H
#define LIZ_DECODE_PROB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIZ_PROB_ONE ((uint64_t)1 << 40)

enum { LIZ_PROB_VOCAB_MAX = 1 << 23, LIZ_PROB_BLOCK = 64 };

/* The largest logit of each block of LIZ_PROB_BLOCK ids into `block_max` [ceil(n / LIZ_PROB_BLOCK)] (may be NULL), and
 * of all into `*max`. False when one is NaN or +infinity. */
bool liz_prob_scan(const float *logits, size_t n, float *block_max, float *max);

/* The weight of one logit: `inv_temp` is 1 / T. */
uint64_t liz_prob_weight(float logit, float max, float inv_temp);

/* The sum of the weights of those logits [n] that are at least `bound`, or above it where `strict`. */
uint64_t liz_prob_sum(const float *logits, size_t n, float max, float inv_temp, float bound, bool strict);

/* The weights of logits [n], n <= LIZ_PROB_BLOCK. */
void liz_prob_weights(const float *logits, size_t n, float max, float inv_temp, uint64_t weights[LIZ_PROB_BLOCK]);

/* The natural logarithm of x > 0 (finite, normal), within 2 units in the last place. */
double liz_prob_log(double x);

#endif
