/* prob_body.h - the passes over logits, written once for vectors of PROB_LANES floats, 4, 8 or 16.
 *
 * Included by one file for each width, which defines PROB_LANES and PROB_OPS, the name of its table. Everything is
 * lane-wise in the compiler's generic vectors: a lane computes what a scalar would and integers are summed, so all
 * widths give the same bits. exp(x) for x in [-28, 0]: x = n ln 2 + r with |r| <= ln(2) / 2, ln 2 split in two so that
 * n ln 2 is exact enough, the first seven terms of the series in r (relative error at most 2.5e-7), and n added to the
 * exponent. Adding 1.5 * 2^23 rounds to an integer. */
#ifndef LIZ_DECODE_PROB_BODY_H
#define LIZ_DECODE_PROB_BODY_H

#include "decode/prob.h"

#include <math.h>
#include <string.h>

typedef float floats __attribute__((vector_size(4 * PROB_LANES)));
typedef int32_t ints __attribute__((vector_size(4 * PROB_LANES)));
typedef uint64_t longs __attribute__((vector_size(8 * PROB_LANES)));

enum { N_VECTORS = LIZ_PROB_BLOCK / PROB_LANES, N_CHAINS = N_VECTORS < 4 ? N_VECTORS : 4 };

/* Below this a weight is 0: exp(-28) * 2^40 < 1. */
static const float exponent_min = -28.0f;

static inline floats load(const float *p)
{
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline floats splat(float x) { return x - (floats){0}; }

static inline floats select_lanes(ints mask, floats a, floats b)
{
    return (floats)(((ints)a & mask) | ((ints)b & ~mask));
}

static inline floats larger(floats a, floats b) { return select_lanes(a > b, a, b); }

/* exp(x) for x in [-28, 0]. */
static inline floats exponential(floats x)
{
    const floats round = splat(12582912.0f); /* 1.5 * 2^23 */
    floats t = x * splat(1.44269504f) + round;
    floats n = t - round;
    floats r = (x - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
    floats p = splat(1.3888889e-3f);
    p = p * r + splat(8.3333333e-3f);
    p = p * r + splat(4.1666667e-2f);
    p = p * r + splat(1.6666667e-1f);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    ints exponent = ((ints)t - (ints)round) << 23;
    return (floats)((ints)p + exponent);
}

/* Weights as high * 2^20 + low: both parts are exact in floats and fit 32-bit lanes. */
typedef struct weights {
    ints high, low;
} weights;

static inline weights weights_of(floats logits, floats max, floats inv_temp)
{
    const floats unit = splat(0x1p20f);
    floats e = exponential(larger((logits - max) * inv_temp, splat(exponent_min))) * unit;
    ints high = __builtin_convertvector(e, ints);
    floats rest = (e - __builtin_convertvector(high, floats)) * unit;
    return (weights){high, __builtin_convertvector(rest, ints)};
}

static inline uint64_t weights_total(weights w)
{
    uint64_t high = 0, low = 0;
    for (int lane = 0; lane < PROB_LANES; lane++) {
        high += (uint32_t)w.high[lane];
        low += (uint32_t)w.low[lane];
    }
    return (high << 20) + low;
}

/* Blocks are whole but for the last, which is padded with -infinity. */
static const float *block_at(const float *logits, size_t n, size_t at, float pad[LIZ_PROB_BLOCK])
{
    if (n - at >= LIZ_PROB_BLOCK)
        return logits + at;
    for (size_t i = 0; i < LIZ_PROB_BLOCK; i++)
        pad[i] = at + i < n ? logits[at + i] : -INFINITY;
    return pad;
}

/* The largest of a block; lanes of `*ok` become 0 where a logit is NaN or +infinity. */
static inline float block_scan(const float *p, ints *ok)
{
    const floats largest = splat(0x1.FFFFFEp127f);
    floats top[N_CHAINS];
    for (int j = 0; j < N_CHAINS; j++)
        top[j] = splat(-INFINITY);
    for (int i = 0; i < N_VECTORS; i++) {
        floats v = load(p + i * PROB_LANES);
        *ok &= v <= largest;
        top[i % N_CHAINS] = larger(v, top[i % N_CHAINS]);
    }
    for (int j = 1; j < N_CHAINS; j++)
        top[0] = larger(top[0], top[j]);
    float best = top[0][0];
    for (int lane = 1; lane < PROB_LANES; lane++)
        best = top[0][lane] > best ? top[0][lane] : best;
    return best;
}

static bool scan(const float *logits, size_t n, float *block_max, float *max)
{
    ints ok = ~(ints){0};
    float pad[LIZ_PROB_BLOCK], all = -INFINITY;
    for (size_t at = 0; at < n; at += LIZ_PROB_BLOCK) {
        float best = block_scan(block_at(logits, n, at, pad), &ok);
        block_max[at / LIZ_PROB_BLOCK] = best;
        all = best > all ? best : all;
    }
    *max = all;
    int32_t all_ok = -1;
    for (int lane = 0; lane < PROB_LANES; lane++)
        all_ok &= ok[lane];
    return all_ok != 0;
}

static uint64_t sum(const float *logits, size_t n, float max, float inv_temp, float bound, bool strict)
{
    const floats max_all = splat(max), inv_all = splat(inv_temp), bound_all = splat(bound);
    const ints also_equal = strict ? (ints){0} : ~(ints){0};
    float pad[LIZ_PROB_BLOCK];
    uint64_t total = 0;
    for (size_t at = 0; at < n; at += LIZ_PROB_BLOCK) {
        const float *p = block_at(logits, n, at, pad);
        weights part = {{0}, {0}};
        for (int i = 0; i < N_VECTORS; i++) {
            floats v = load(p + i * PROB_LANES);
            weights w = weights_of(v, max_all, inv_all);
            ints counts = (v > bound_all) | ((v == bound_all) & also_equal);
            part.high += w.high & counts;
            part.low += w.low & counts;
        }
        total += weights_total(part);
    }
    return total;
}

static void block_weights(const float *logits, size_t n, float max, float inv_temp, uint64_t out[LIZ_PROB_BLOCK])
{
    float pad[LIZ_PROB_BLOCK];
    const float *p = block_at(logits, n, 0, pad);
    for (int i = 0; i < N_VECTORS; i++) {
        weights w = weights_of(load(p + i * PROB_LANES), splat(max), splat(inv_temp));
        longs whole = (__builtin_convertvector(w.high, longs) << 20) + __builtin_convertvector(w.low, longs);
        memcpy(out + i * PROB_LANES, &whole, sizeof whole);
    }
}

/* Larger logits never have larger bins, whatever is rounded: that is all that callers need. */
static void block_bins(const float *logits, size_t n, float max, float bound, int32_t out[LIZ_PROB_BLOCK])
{
    const floats last = splat(LIZ_PROB_BINS - 1);
    float pad[LIZ_PROB_BLOCK];
    const float *p = block_at(logits, n, 0, pad);
    for (int i = 0; i < N_VECTORS; i++) {
        floats v = load(p + i * PROB_LANES), distance = (splat(max) - v) * splat(LIZ_PROB_BINS_A_UNIT);
        ints bin = __builtin_convertvector(select_lanes(distance < last, distance, last), ints),
             inside = v >= splat(bound);
        bin = (bin & inside) | (LIZ_PROB_BINS & ~inside);
        memcpy(out + i * PROB_LANES, &bin, sizeof bin);
    }
    for (size_t i = n; i < LIZ_PROB_BLOCK; i++)
        out[i] = LIZ_PROB_BINS;
}

const liz_prob_ops PROB_OPS = {scan, sum, block_weights, block_bins};

#endif
