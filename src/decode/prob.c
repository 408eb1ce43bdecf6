/* prob.c - exponentials and logarithms that are the same on every machine.
 *
 * Everything is lane-wise on vectors of four floats, the baseline of every 64-bit machine; the compiler's generic
 * vectors keep it portable. A lane computes what a scalar would and integers are summed, so the width is free to
 * change. exp(x) for x in [-28, 0]: x = n ln 2 + r with |r| <= ln(2) / 2, ln 2 split in two so that n ln 2 is exact
 * enough, the first seven terms of the series in r (relative error at most 2.5e-7), and n added to the exponent.
 * Adding 1.5 * 2^23 rounds to an integer. */
#include "decode/prob.h"

#include <math.h>
#include <string.h>

typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
/* Below this a weight is 0: exp(-28) * 2^40 < 1. */
static const float exponent_min = -28.0f;

static inline f32x4 load4(const float *p)
{
    f32x4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline f32x4 splat(float x) { return (f32x4){x, x, x, x}; }

static inline f32x4 select4(i32x4 mask, f32x4 a, f32x4 b) { return (f32x4)(((i32x4)a & mask) | ((i32x4)b & ~mask)); }

static inline f32x4 max4(f32x4 a, f32x4 b) { return select4(a > b, a, b); }

/* exp(x) for x in [-28, 0]. */
static inline f32x4 exp4(f32x4 x)
{
    const f32x4 round = splat(12582912.0f); /* 1.5 * 2^23 */
    f32x4 t = x * splat(1.44269504f) + round;
    f32x4 n = t - round;
    f32x4 r = (x - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
    f32x4 p = splat(1.3888889e-3f);
    p = p * r + splat(8.3333333e-3f);
    p = p * r + splat(4.1666667e-2f);
    p = p * r + splat(1.6666667e-1f);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    i32x4 exponent = ((i32x4)t - (i32x4)round) << 23;
    return (f32x4)((i32x4)p + exponent);
}

/* The weights of four logits, as high * 2^20 + low: both parts are exact in floats and fit 32-bit lanes. */
typedef struct weights {
    i32x4 high, low;
} weights;

static inline weights weights4(f32x4 logits, f32x4 max, f32x4 inv_temp)
{
    const f32x4 unit = splat(0x1p20f);
    f32x4 e = exp4(max4((logits - max) * inv_temp, splat(exponent_min))) * unit;
    i32x4 high = __builtin_convertvector(e, i32x4);
    f32x4 rest = (e - __builtin_convertvector(high, f32x4)) * unit;
    return (weights){high, __builtin_convertvector(rest, i32x4)};
}

static inline uint64_t weights_total(weights w)
{
    uint64_t high = 0, low = 0;
    for (int lane = 0; lane < 4; lane++) {
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
static inline float block_scan(const float *p, i32x4 *ok)
{
    const f32x4 largest = splat(0x1.FFFFFEp127f);
    f32x4 top[4];
    for (int j = 0; j < 4; j++)
        top[j] = load4(p + 4 * j);
    for (int i = 0; i < LIZ_PROB_BLOCK; i += 16) {
        for (int j = 0; j < 4; j++) {
            f32x4 v = load4(p + i + 4 * j);
            *ok &= v <= largest;
            top[j] = max4(v, top[j]);
        }
    }
    f32x4 best = max4(max4(top[0], top[1]), max4(top[2], top[3]));
    float a = best[0] > best[1] ? best[0] : best[1], b = best[2] > best[3] ? best[2] : best[3];
    return a > b ? a : b;
}

bool liz_prob_scan(const float *logits, size_t n, float *block_max, float *max)
{
    i32x4 ok = {-1, -1, -1, -1};
    float pad[LIZ_PROB_BLOCK], all = -INFINITY;
    for (size_t at = 0; at < n; at += LIZ_PROB_BLOCK) {
        float best = block_scan(block_at(logits, n, at, pad), &ok);
        if (block_max != NULL)
            block_max[at / LIZ_PROB_BLOCK] = best;
        all = best > all ? best : all;
    }
    *max = all;
    return (ok[0] & ok[1] & ok[2] & ok[3]) != 0;
}

uint64_t liz_prob_weight(float logit, float max, float inv_temp)
{
    weights w = weights4(splat(logit), splat(max), splat(inv_temp));
    return ((uint64_t)(uint32_t)w.high[0] << 20) + (uint32_t)w.low[0];
}

uint64_t liz_prob_sum(const float *logits, size_t n, float max, float inv_temp, float bound, bool strict)
{
    const f32x4 max_all = splat(max), inv_all = splat(inv_temp), bound_all = splat(bound);
    const i32x4 also_equal = strict ? (i32x4){0, 0, 0, 0} : (i32x4){-1, -1, -1, -1};
    float pad[LIZ_PROB_BLOCK];
    uint64_t total = 0;
    for (size_t at = 0; at < n; at += LIZ_PROB_BLOCK) {
        const float *p = block_at(logits, n, at, pad);
        weights sum = {{0, 0, 0, 0}, {0, 0, 0, 0}};
        for (int i = 0; i < LIZ_PROB_BLOCK; i += 4) {
            f32x4 v = load4(p + i);
            weights w = weights4(v, max_all, inv_all);
            i32x4 counts = (v > bound_all) | ((v == bound_all) & also_equal);
            sum.high += w.high & counts;
            sum.low += w.low & counts;
        }
        total += weights_total(sum);
    }
    return total;
}

void liz_prob_weights(const float *logits, size_t n, float max, float inv_temp, uint64_t out[LIZ_PROB_BLOCK])
{
    float pad[LIZ_PROB_BLOCK];
    const float *p = block_at(logits, n, 0, pad);
    for (int i = 0; i < LIZ_PROB_BLOCK; i += 4) {
        weights w = weights4(load4(p + i), splat(max), splat(inv_temp));
        for (int lane = 0; lane < 4; lane++)
            out[i + lane] = ((uint64_t)(uint32_t)w.high[lane] << 20) + (uint32_t)w.low[lane];
    }
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s), s = (m - 1) / (m + 1), by its series: |s| < 0.1716, so
 * that the first term left out is below 1e-18. */
double liz_prob_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0.70710678118654752) {
        m *= 2;
        e -= 1;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 1.0 / 21;
    for (int k = 19; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return (double)e * 0.69314718055994531 + 2 * s * sum;
}
