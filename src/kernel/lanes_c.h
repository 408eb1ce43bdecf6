/* lanes_c.h - the elementary operations of lanes.h for any machine; each of the other tiers' files has the same list.
 */
#ifndef LIZ_KERNEL_LANES_C_H
#define LIZ_KERNEL_LANES_C_H

#include "base/half.h"

typedef struct liz_v16 {
    float a[16];
} liz_v16;

/* One bit a lane. */
typedef uint16_t liz_m16;

#define LIZ_EACH_LANE(expression)                                                                                      \
    liz_v16 y;                                                                                                         \
    for (int i = 0; i < 16; i++)                                                                                       \
        y.a[i] = (expression);                                                                                         \
    return y

LIZ_LANE_FN liz_v16 liz_v16_zero(void) { return (liz_v16){{0}}; }
LIZ_LANE_FN liz_v16 liz_v16_set(float x) { LIZ_EACH_LANE(x); }
LIZ_LANE_FN liz_v16 liz_v16_load(const float *p) { LIZ_EACH_LANE(p[i]); }
LIZ_LANE_FN void liz_v16_store(float *p, liz_v16 v) { memcpy(p, v.a, sizeof v.a); }

LIZ_LANE_FN liz_v16 liz_v16_add(liz_v16 a, liz_v16 b) { LIZ_EACH_LANE(a.a[i] + b.a[i]); }
LIZ_LANE_FN liz_v16 liz_v16_sub(liz_v16 a, liz_v16 b) { LIZ_EACH_LANE(a.a[i] - b.a[i]); }
LIZ_LANE_FN liz_v16 liz_v16_mul(liz_v16 a, liz_v16 b) { LIZ_EACH_LANE(a.a[i] * b.a[i]); }
LIZ_LANE_FN liz_v16 liz_v16_div(liz_v16 a, liz_v16 b) { LIZ_EACH_LANE(a.a[i] / b.a[i]); }
/* a * b + c, rounded once. */
LIZ_LANE_FN liz_v16 liz_v16_fma(liz_v16 a, liz_v16 b, liz_v16 c) { LIZ_EACH_LANE(fmaf(a.a[i], b.a[i], c.a[i])); }
/* The greater; b where either is not a number. */
LIZ_LANE_FN liz_v16 liz_v16_max(liz_v16 a, liz_v16 b) { LIZ_EACH_LANE(a.a[i] > b.a[i] ? a.a[i] : b.a[i]); }
LIZ_LANE_FN liz_v16 liz_v16_abs(liz_v16 a) { LIZ_EACH_LANE(fabsf(a.a[i])); }
LIZ_LANE_FN liz_v16 liz_v16_sqrt(liz_v16 a) { LIZ_EACH_LANE(sqrtf(a.a[i])); }

/* The sum of sixteen lanes as a fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1. */
LIZ_LANE_FN float liz_v16_sum(liz_v16 v)
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v.a[i] += v.a[i + half];
    return v.a[0];
}

LIZ_LANE_FN float liz_v16_max_lane(liz_v16 v)
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v.a[i] = v.a[i] > v.a[i + half] ? v.a[i] : v.a[i + half];
    return v.a[0];
}

LIZ_LANE_FN liz_m16 liz_v16_lt(liz_v16 a, liz_v16 b)
{
    liz_m16 mask = 0;
    for (int i = 0; i < 16; i++)
        mask = (liz_m16)(mask | (a.a[i] < b.a[i]) << i);
    return mask;
}

LIZ_LANE_FN bool liz_m16_all(liz_m16 mask) { return mask == 0xFFFF; }
/* a where the mask is set, else b. */
LIZ_LANE_FN liz_v16 liz_v16_select(liz_m16 mask, liz_v16 a, liz_v16 b)
{
    LIZ_EACH_LANE(mask >> i & 1 ? a.a[i] : b.a[i]);
}

/* 2^n for whole n from -126 to 127. */
LIZ_LANE_FN liz_v16 liz_v16_pow2(liz_v16 n)
{
    LIZ_EACH_LANE(liz_f32_from_bits((uint32_t)((int32_t)n.a[i] + 127) << 23));
}

/* Rounded to bfloat16 and back, as liz_f32_to_bf16 does: ties to even, denormals to zero. */
LIZ_LANE_FN liz_v16 liz_v16_round_bf16(liz_v16 x) { LIZ_EACH_LANE(liz_bf16_to_f32(liz_f32_to_bf16(x.a[i]))); }
/* The same of 0, what is normal and positive, and not-a-number as operations make it. */
LIZ_LANE_FN liz_v16 liz_v16_round_bf16_positive(liz_v16 x) { return liz_v16_round_bf16(x); }

LIZ_LANE_FN void liz_v16_store_bf16(uint16_t *p, liz_v16 x)
{
    for (int i = 0; i < 16; i++)
        p[i] = liz_f32_to_bf16(x.a[i]);
}

/* a0 b0 a1 b1 ... in bfloat16, at a multiple of 64 bytes; past the caches where a tier can, if `stream`. */
LIZ_LANE_FN void liz_v16_store_bf16_pairs(uint16_t *p, liz_v16 a, liz_v16 b, bool stream)
{
    (void)stream;
    for (int i = 0; i < 16; i++) {
        p[2 * i] = liz_f32_to_bf16(a.a[i]);
        p[2 * i + 1] = liz_f32_to_bf16(b.a[i]);
    }
}

/* Whole numbers from -128 to 127. */
LIZ_LANE_FN void liz_v16_store_i8(int8_t *p, liz_v16 x)
{
    for (int i = 0; i < 16; i++)
        p[i] = (int8_t)x.a[i];
}

/* Elements 0, 2, 4, ... and 1, 3, 5, ... of 32 at `p`. */
LIZ_LANE_FN void liz_v16_pairs_f32(const float *p, liz_v16 *even, liz_v16 *odd)
{
    for (int i = 0; i < 16; i++) {
        even->a[i] = p[2 * i];
        odd->a[i] = p[2 * i + 1];
    }
}

LIZ_LANE_FN void liz_v16_pairs_bf16(const uint16_t *p, liz_v16 *even, liz_v16 *odd)
{
    for (int i = 0; i < 16; i++) {
        even->a[i] = liz_bf16_to_f32(p[2 * i]);
        odd->a[i] = liz_bf16_to_f32(p[2 * i + 1]);
    }
}

/* 16 bfloat16. */
LIZ_LANE_FN liz_v16 liz_v16_load_bf16(const uint16_t *p) { LIZ_EACH_LANE(liz_bf16_to_f32(p[i])); }

/* Sums of products of whole numbers from -127 to 127: lane i takes x[4 i .. 4 i + 3] times w[0 .. 3]. A sum begins with
 * what the tier needs to know of the w it will meet. */
typedef struct liz_i16 {
    int32_t a[16];
} liz_i16;

LIZ_LANE_FN liz_i16 liz_i16_begin(int32_t w_sum)
{
    (void)w_sum;
    return (liz_i16){{0}};
}

LIZ_LANE_FN liz_i16 liz_i16_dot4(liz_i16 sum, const int8_t *x, const int8_t *w)
{
    for (int i = 0; i < 16; i++)
        sum.a[i] += x[4 * i] * w[0] + x[4 * i + 1] * w[1] + x[4 * i + 2] * w[2] + x[4 * i + 3] * w[3];
    return sum;
}

/* Sums below 2^24. */
LIZ_LANE_FN liz_v16 liz_v16_of_i16(liz_i16 n) { LIZ_EACH_LANE((float)n.a[i]); }

#endif
