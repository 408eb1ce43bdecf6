/* lanes.h - sixteen floats at a time, the same sixteen on every machine.
 *
 * The numeric contract asks for one order of operations everywhere. Code written with these lanes has it by
 * construction: `liz_v16` is a vector of sixteen floats, one zmm register, two ymm or four xmm, and each
 * operation is elementwise and correctly rounded, so the tier that a body is compiled for cannot change a bit.
 * Bodies (*_body.h) are included once by each tier's file (*_ref.c, *_avx2.c, *_avx512.c), which gives the
 * functions their suffix through LIZ_TIER.
 *
 * Only what a compiler does not provide for vector types is written per tier: fused multiply-add, maximum, square root.
 * Plain + - * / on liz_v16 are IEEE and never contracted (-ffp-contract=off). */
#ifndef LIZ_KERNEL_LANES_H
#define LIZ_KERNEL_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

typedef float liz_v16 __attribute__((vector_size(64)));
typedef int32_t liz_v16i __attribute__((vector_size(64)));
typedef uint32_t liz_v16u __attribute__((vector_size(64)));
typedef uint16_t liz_v16h __attribute__((vector_size(32)));

#define LIZ_LANE_FN static inline __attribute__((always_inline, unused))

LIZ_LANE_FN liz_v16 liz_v16_set(float x) { return (liz_v16){} + x; }

LIZ_LANE_FN liz_v16 liz_v16_load(const float *p)
{
    liz_v16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

LIZ_LANE_FN void liz_v16_store(float *p, liz_v16 v) { memcpy(p, &v, sizeof v); }

/* The first n (1 to 16) floats at `p`, zeros after them; nothing beyond is read. */
LIZ_LANE_FN liz_v16 liz_v16_load_n(const float *p, size_t n)
{
    if (n >= 16)
        return liz_v16_load(p);
    liz_v16 v = {};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

LIZ_LANE_FN void liz_v16_store_n(float *p, liz_v16 v, size_t n)
{
    if (n >= 16)
        liz_v16_store(p, v);
    else
        memcpy(p, &v, n * sizeof *p);
}

LIZ_LANE_FN liz_v16u liz_v16_bits(liz_v16 v) { return (liz_v16u)v; }
LIZ_LANE_FN liz_v16 liz_v16_from_bits(liz_v16u v) { return (liz_v16)v; }

/* a where the mask is all ones, b where it is zero. */
LIZ_LANE_FN liz_v16 liz_v16_select(liz_v16i mask, liz_v16 a, liz_v16 b)
{
    return (liz_v16)(((liz_v16i)a & mask) | ((liz_v16i)b & ~mask));
}

/* a * b + c, rounded once. */
LIZ_LANE_FN liz_v16 liz_v16_fma(liz_v16 a, liz_v16 b, liz_v16 c)
{
#if defined(__AVX512F__)
    return (liz_v16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    union {
        liz_v16 v;
        __m256 h[2];
    } ua = {a}, ub = {b}, uc = {c};
    uc.h[0] = _mm256_fmadd_ps(ua.h[0], ub.h[0], uc.h[0]);
    uc.h[1] = _mm256_fmadd_ps(ua.h[1], ub.h[1], uc.h[1]);
    return uc.v;
#else
    for (int i = 0; i < 16; i++)
        c[i] = fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

/* The greater; b where either is not a number. */
LIZ_LANE_FN liz_v16 liz_v16_max(liz_v16 a, liz_v16 b)
{
#if defined(__AVX512F__)
    return (liz_v16)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return liz_v16_select(a > b, a, b);
#endif
}

LIZ_LANE_FN liz_v16 liz_v16_abs(liz_v16 a) { return liz_v16_from_bits(liz_v16_bits(a) & 0x7FFFFFFFu); }

/* bfloat16 to float, exact. */
LIZ_LANE_FN liz_v16 liz_v16_from_bf16(const uint16_t *p)
{
    liz_v16h h;
    memcpy(&h, p, sizeof h);
    return liz_v16_from_bits(__builtin_convertvector(h, liz_v16u) << 16);
}

/* Rounded to bfloat16 and back, as liz_f32_to_bf16 does: ties to even, denormals to zero. */
LIZ_LANE_FN liz_v16 liz_v16_round_bf16(liz_v16 x)
{
    liz_v16u u = liz_v16_bits(x);
    liz_v16u exponent = u & 0x7F800000u;
    liz_v16u rounded = (u + 0x7FFFu + (u >> 16 & 1u)) & 0xFFFF0000u;
    liz_v16u quiet = (u | 0x00400000u) & 0xFFFF0000u;
    liz_v16u is_tiny = (liz_v16u)(exponent == 0u);
    liz_v16u is_nan = (liz_v16u)((u & 0x7FFFFFFFu) > 0x7F800000u);
    rounded = (is_tiny & (u & 0x80000000u)) | (~is_tiny & rounded);
    return liz_v16_from_bits((is_nan & quiet) | (~is_nan & rounded));
}

LIZ_LANE_FN void liz_v16_to_bf16(uint16_t *p, liz_v16 x)
{
    liz_v16h h = __builtin_convertvector(liz_v16_bits(liz_v16_round_bf16(x)) >> 16, liz_v16h);
    memcpy(p, &h, sizeof h);
}

/* The sum of sixteen lanes as a fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1. */
LIZ_LANE_FN float liz_v16_sum(liz_v16 v)
{
    float a[16];
    liz_v16_store(a, v);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            a[i] += a[i + half];
    return a[0];
}

LIZ_LANE_FN float liz_v16_max_lane(liz_v16 v)
{
    float a[16];
    liz_v16_store(a, v);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            a[i] = a[i] > a[i + half] ? a[i] : a[i + half];
    return a[0];
}

/* Nearest integer as float, ties to even, for |x| < 2^22. */
LIZ_LANE_FN liz_v16 liz_v16_rint(liz_v16 x)
{
    const liz_v16 magic = liz_v16_set(0x1.8p23f);
    return (x + magic) - magic;
}

/* e^x within 2 units in the last place; 0 below -87.3, infinity above 88.7; not-a-number stays one.
 * x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts (Cody and Waite); e^r by its Taylor polynomial of degree 7. */
LIZ_LANE_FN liz_v16 liz_v16_exp(liz_v16 x)
{
    const liz_v16 magic = liz_v16_set(0x1.8p23f);
    liz_v16 clamped = liz_v16_select(x < -88.0f, liz_v16_set(-88.0f), x);
    clamped = liz_v16_select(clamped > 89.0f, liz_v16_set(89.0f), clamped);
    liz_v16 biased = liz_v16_fma(clamped, liz_v16_set(0x1.715476p+0f), magic);
    liz_v16 n = biased - magic;
    liz_v16 r = liz_v16_fma(n, liz_v16_set(-0x1.62e4p-1f), clamped);
    r = liz_v16_fma(n, liz_v16_set(-0x1.7f7d1cp-20f), r);
    liz_v16 p = liz_v16_set(0x1.a01a02p-13f); /* 1 / 7! */
    p = liz_v16_fma(p, r, liz_v16_set(0x1.6c16c2p-10f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.111112p-7f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.555556p-5f));
    p = liz_v16_fma(p, r, liz_v16_set(0x1.555556p-3f));
    p = liz_v16_fma(p, r, liz_v16_set(0.5f));
    p = liz_v16_fma(p, r, liz_v16_set(1.0f));
    p = liz_v16_fma(p, r, liz_v16_set(1.0f));
    /* 2^n in two factors, so that n = 128 does not overflow on the way. */
    liz_v16i exponent = (liz_v16i)biased - (liz_v16i)magic;
    liz_v16i half = exponent >> 1;
    liz_v16 y = p * (liz_v16)((half + 127) << 23) * (liz_v16)((exponent - half + 127) << 23);
    y = liz_v16_select(x < -87.3f, (liz_v16){}, y);
    return liz_v16_select(x != x, x, y);
}

#endif
