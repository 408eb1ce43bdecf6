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
enum { LIZ_PROB_BINS_A_UNIT = 64, LIZ_PROB_BINS = LIZ_PROB_BINS_A_UNIT * 28 + 1 };

/* The passes over logits, for vectors of a certain width; all give the same. */
typedef struct liz_prob_ops {
    /* The largest logit of each block of LIZ_PROB_BLOCK ids into `block_max` [ceil(n / LIZ_PROB_BLOCK)], and of all
     * into `*max`. False when one is NaN or +infinity. */
    bool (*scan)(const float *logits, size_t n, float *block_max, float *max);
    /* The sum of the weights of those logits [n] that are at least `bound`, or above it where `strict`. `inv_temp` is
     * 1 / T. */
    uint64_t (*sum)(const float *logits, size_t n, float max, float inv_temp, float bound, bool strict);
    /* The weights of logits [n], n <= LIZ_PROB_BLOCK. */
    void (*weights)(const float *logits, size_t n, float max, float inv_temp, uint64_t weights[LIZ_PROB_BLOCK]);
    /* The bins of logits [n], n <= LIZ_PROB_BLOCK, none above `max`: LIZ_PROB_BINS_A_UNIT to a unit of distance from
     * it, the last taking the rest; LIZ_PROB_BINS for those below `bound`, and behind the n-th. */
    void (*bins)(const float *logits, size_t n, float max, float bound, int32_t bins[LIZ_PROB_BLOCK]);
} liz_prob_ops;

extern const liz_prob_ops liz_prob_ops_baseline, liz_prob_ops_avx2, liz_prob_ops_avx512;

/* Those of the widest vectors that have at most `n_lanes` floats: 4 on every machine, 8 with AVX2, 16 with AVX-512. */
const liz_prob_ops *liz_prob_ops_of(int n_lanes);

/* The weight of one logit. */
uint64_t liz_prob_weight(float logit, float max, float inv_temp);

/* The natural logarithm of x > 0 (finite, normal), within 2 units in the last place. */
double liz_prob_log(double x);

/* exp(x) for x <= 0, within a few units in the last place; 0 below -700. */
double liz_prob_exp(double x);

#endif
