/* half.h - 16-bit floats: IEEE binary16 and bfloat16, converted exactly as the vector units do.
 *
 * Rounding is to nearest, ties to even. Where a function treats denormals as zero it says so: the numeric
 * contract (docs/kernels.md) follows AMX there. NaN stays a quiet NaN. */
#ifndef LIZ_BASE_HALF_H
#define LIZ_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t liz_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline float liz_f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static inline float liz_bf16_to_f32(uint16_t h) { return liz_f32_from_bits((uint32_t)h << 16); }

/* Denormal inputs become zero of their sign (as VCVTNEPS2BF16 does). */
static inline uint16_t liz_f32_to_bf16(float x)
{
    uint32_t u = liz_f32_bits(x);
    uint32_t exponent = u & 0x7F800000u;
    if (exponent == 0)
        return (uint16_t)(u >> 16 & 0x8000u);
    if (exponent == 0x7F800000u && (u & 0x007FFFFFu) != 0)
        return (uint16_t)(u >> 16 | 0x0040u);
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

/* Exact, denormals included. */
static inline float liz_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1Fu, mantissa = h & 0x3FFu;
    if (exponent == 0x1F)
        return liz_f32_from_bits(sign | 0x7F800000u | (mantissa ? mantissa << 13 | 0x00400000u : 0));
    if (exponent != 0)
        return liz_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    if (mantissa == 0)
        return liz_f32_from_bits(sign);
    int shift = __builtin_clz(mantissa) - 21;
    return liz_f32_from_bits(sign | (uint32_t)(113 - shift) << 23 | (mantissa << shift & 0x3FFu) << 13);
}

static inline uint16_t liz_f32_to_f16(float x)
{
    uint32_t u = liz_f32_bits(x);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    u &= 0x7FFFFFFFu;
    if (u >= 0x7F800000u)
        return (uint16_t)(sign | 0x7C00u | (u > 0x7F800000u ? 0x0200u | (u >> 13 & 0x3FFu) : 0));
    if (u >= 0x477FF000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (u >= 0x38800000u) /* normal in binary16 */
        return (uint16_t)(sign | ((u + 0xFFFu + (u >> 13 & 1u) - 0x38000000u) >> 13));
    if (u < 0x33000000u) /* below half of the least denormal */
        return sign;
    uint32_t mantissa = (u & 0x7FFFFFu) | 0x800000u;
    uint32_t shift = 126 - (u >> 23); /* 14 to 24 */
    uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
    uint32_t value = mantissa >> shift;
    value += rest > half || (rest == half && (value & 1u));
    return (uint16_t)(sign | value);
}

#endif
