/* lanes.h - sixteen floats at a time, the same sixteen on every machine.
 *
 * The numeric contract asks for one order of operations everywhere. Code written with these lanes has it by
 * construction: a `liz_v16` is sixteen floats (one zmm register, two ymm, or an array), and each operation is
 * elementwise and correctly rounded, so the tier that a body is compiled for cannot change a bit. Bodies
 * (*_body.h) are included once by each tier's file (*_ref.c, *_avx2.c, *_avx512.c), which gives the functions their
 * suffix through LIZ_TIER.
 *
 * Here is what can be said in terms of the elementary operations; those stand in lanes_c.h, lanes_avx2.h and
 * lanes_avx512.h. */
#ifndef LIZ_KERNEL_LANES_H
#define LIZ_KERNEL_LANES_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LIZ_LANE_FN static inline __attribute__((always_inline, unused))

#if defined(__AVX2__)
#include <immintrin.h>

/* The lower levels of the trees of lanes_c.h's sum and maximum of lanes: 8 to 4 to 2 to 1. */
LIZ_LANE_FN float liz_v8_sum(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

LIZ_LANE_FN float liz_v8_max_lane(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
#endif

#if defined(__AVX512F__)
#include "kernel/lanes_avx512.h"
#elif defined(__AVX2__)
#include "kernel/lanes_avx2.h"
#else
#include "kernel/lanes_c.h"
#endif

#if !defined(__AVX512F__)
/* x[i] lane j becomes x[j] lane i. */
LIZ_LANE_FN void liz_v16_transpose(liz_v16 *x)
{
    float a[16][16], b[16][16];
    for (int i = 0; i < 16; i++)
        liz_v16_store(a[i], x[i]);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            b[i][j] = a[j][i];
    for (int i = 0; i < 16; i++)
        x[i] = liz_v16_load(b[i]);
}

/* What is bfloat16 already: of a and b the 32 upper halves in some order. */
LIZ_LANE_FN void liz_v16_store_upper(uint16_t *p, liz_v16 a, liz_v16 b, const uint16_t *order)
{
    float x[32];
    uint32_t words[32];
    liz_v16_store(x, a);
    liz_v16_store(x + 16, b);
    memcpy(words, x, sizeof words);
    for (int i = 0; i < 32; i++)
        p[i] = (uint16_t)(words[order[i]] >> 16);
}
#endif

/* The first n (1 or more) floats at `p`, zeros after them; nothing beyond is read. */
LIZ_LANE_FN liz_v16 liz_v16_load_n(const float *p, size_t n)
{
    if (n >= 16)
        return liz_v16_load(p);
    float a[16] = {0};
    memcpy(a, p, n * sizeof *p);
    return liz_v16_load(a);
}

LIZ_LANE_FN void liz_v16_store_n(float *p, liz_v16 v, size_t n)
{
    if (n >= 16) {
        liz_v16_store(p, v);
        return;
    }
    float a[16];
    liz_v16_store(a, v);
    memcpy(p, a, n * sizeof *p);
}

/* v in the first n lanes, `rest` in the others. */
LIZ_LANE_FN liz_v16 liz_v16_keep_n(liz_v16 v, size_t n, liz_v16 rest)
{
    static const float index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return n >= 16 ? v : liz_v16_select(liz_v16_lt(liz_v16_load(index), liz_v16_set((float)n)), v, rest);
}

/* Nearest integer, ties to even, for |x| < 2^22. */
LIZ_LANE_FN liz_v16 liz_v16_rint(liz_v16 x)
{
    const liz_v16 magic = liz_v16_set(0x1.8p23f);
    return liz_v16_sub(liz_v16_add(x, magic), magic);
}

#if !defined(__AVX512F__)
/* x 2^n for whole n, rounded once: in two factors, so that n = 128 does not overflow on the way. An n beyond 200, or
 * not-a-number, gives some number. */
LIZ_LANE_FN liz_v16 liz_v16_scale2(liz_v16 x, liz_v16 n)
{
    liz_v16 low = liz_v16_set(-200.0f), high = liz_v16_set(200.0f);
    n = liz_v16_select(liz_v16_lt(n, low), low, n);
    n = liz_v16_select(liz_v16_lt(n, high), n, high);
    liz_v16 half = liz_v16_rint(liz_v16_mul(n, liz_v16_set(0.5f)));
    return liz_v16_mul(liz_v16_mul(x, liz_v16_pow2(half)), liz_v16_pow2(liz_v16_sub(n, half)));
}
#endif

/* e^x for x below 89 within 2 units in the last place, 0 below -87.3; not-a-number stays one.
 * x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts (Cody and Waite); e^r by its Taylor polynomial of degree 7.
 * What comes of an x beyond -87.3 is replaced. */
LIZ_LANE_FN liz_v16 liz_v16_exp_below(liz_v16 x)
{
    liz_v16 n = liz_v16_rint(liz_v16_mul(x, liz_v16_set(0x1.715476p+0f)));
    liz_v16 r = liz_v16_fma(n, liz_v16_set(-0x1.62e4p-1f), x);
    r = liz_v16_fma(n, liz_v16_set(-0x1.7f7d1cp-20f), r);
    liz_v16 p = liz_v16_set(0x1.a01a02p-13f); /* 1 / 7! */
    p = liz_v16_fma(p, r, liz_v16_set(0x1.6c16c2p-10f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.111112p-7f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.555556p-5f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.555556p-3f));
    p = liz_v16_fma(p, r, liz_v16_set(0.5f));
    p = liz_v16_fma(p, r, liz_v16_set(1.0f));
    p = liz_v16_fma(p, r, liz_v16_set(1.0f));
    p = liz_v16_scale2(p, n);
    return liz_v16_select(liz_v16_lt(x, liz_v16_set(-87.3f)), liz_v16_zero(), p);
}

/* The same of any x: infinity above 88.73. */
LIZ_LANE_FN liz_v16 liz_v16_exp(liz_v16 x)
{
    liz_v16 beyond = liz_v16_mul(x, liz_v16_set(INFINITY)); /* infinity, or not-a-number as it is */
    return liz_v16_select(liz_v16_lt(x, liz_v16_set(89.0f)), liz_v16_exp_below(x), beyond);
}

/* tanh x within 4 units in the last place: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) with x's sign elsewhere. */
LIZ_LANE_FN liz_v16 liz_v16_tanh(liz_v16 x)
{
    liz_v16 size = liz_v16_abs(x), square = liz_v16_mul(x, x), one = liz_v16_set(1.0f);
    liz_v16 near = liz_v16_set(62.0f / 2835);
    near = liz_v16_fma(near, square, liz_v16_set(-17.0f / 315));
    near = liz_v16_fma(near, square, liz_v16_set(2.0f / 15));
    near = liz_v16_fma(near, square, liz_v16_set(-1.0f / 3));
    near = liz_v16_fma(liz_v16_mul(near, square), x, x);
    liz_v16 e = liz_v16_exp(liz_v16_add(size, size));
    liz_v16 far = liz_v16_sub(one, liz_v16_div(liz_v16_set(2.0f), liz_v16_add(e, one)));
    far = liz_v16_select(liz_v16_lt(x, liz_v16_zero()), liz_v16_sub(liz_v16_zero(), far), far);
    return liz_v16_select(liz_v16_lt(size, liz_v16_set(0.25f)), near, far);
}

#endif
