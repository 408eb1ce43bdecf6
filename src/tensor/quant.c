/* quant.c - blocks taken apart, and dequantisation from their parts, one element at a time.
 *
 * An `unpack_` function for each type says how its fields lie. Rounding is the type's own: a product d * s * v fits 25
 * bits, so that d * s is exact and w is rounded once or twice as by the definitions. */
#include "tensor/quant.h"

#include "base/half.h"
#include "base/status.h"

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float f16_at(const uint8_t *p) { return liz_f16_to_f32(u16_at(p)); }

/* ---- Types with a scale for 32 elements ---- */

static void one_scale(float d, float dmin, liz_quant_parts *to)
{
    to->d = d;
    to->dmin = dmin;
    to->s[0] = 1;
    to->m[0] = dmin != 0;
}

/* Element i is the low nibble of byte i, element i + 16 the high one. */
static void nibbles_of_32(const uint8_t *src, uint8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = src[i] & 15;
        q[i + 16] = src[i] >> 4;
    }
}

/* Bit i of four bytes is the fifth of element i. */
static void fifth_bits_of_32(const uint8_t *src, uint8_t *q)
{
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)(q[i] | (src[i / 8] >> i % 8 & 1) << 4);
}

/* Q4_0, IQ4_NL: d, nibbles. */
static void unpack_q4_0(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src), 0, to);
    nibbles_of_32(src + 2, to->q);
}

/* Q4_1: d, the least weight, nibbles. */
static void unpack_q4_1(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src), -f16_at(src + 2), to);
    nibbles_of_32(src + 4, to->q);
}

static void unpack_q5_0(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src), 0, to);
    nibbles_of_32(src + 6, to->q);
    fifth_bits_of_32(src + 2, to->q);
}

static void unpack_q5_1(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src), -f16_at(src + 2), to);
    nibbles_of_32(src + 8, to->q);
    fifth_bits_of_32(src + 4, to->q);
}

/* d, signed bytes. */
static void unpack_q8_0(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src), 0, to);
    for (int i = 0; i < 32; i++)
        to->q[i] = src[2 + i] ^ 0x80;
}

/* An exponent e, nibbles that are FP4 (E2M1) numbers. The scale is 2^(e - 127), 255 stands for not-a-number. The values
 * 0, 0.5, 1, 1.5, 2, 3, 4, 6 are doubled in the table, so d is half the scale. */
static void unpack_mxfp4(const uint8_t *src, liz_quant_parts *to)
{
    uint32_t e = src[0];
    uint32_t bits = e == 255 ? 0x7FC00000 : e < 2 ? 0x00200000u << e : (e - 1) << 23;
    one_scale(liz_f32_from_bits(bits), 0, to);
    nibbles_of_32(src + 1, to->q);
}

/* ---- Types with blocks of 256 ---- */

/* The 6-bit scale and minimum of each of 8 sub-blocks of 32, in 12 bytes. */
static void scales_of_k4(const uint8_t *src, liz_quant_parts *to)
{
    for (int j = 0; j < 4; j++) {
        to->s[j] = src[j] & 63;
        to->m[j] = src[j + 4] & 63;
        to->s[j + 4] = (int8_t)((src[j + 8] & 15) | src[j] >> 6 << 4);
        to->m[j + 4] = (uint8_t)(src[j + 8] >> 4 | src[j + 4] >> 6 << 4);
    }
}

/* Of each 32 bytes the low nibbles are 32 elements, the high ones the next. */
static void nibbles_of_256(const uint8_t *src, uint8_t *q)
{
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            q[32 * j + i] = src[j / 2 * 32 + i] >> j % 2 * 4 & 15;
}

/* Of each 32 bytes the lowest pairs of bits are 32 elements, the next pairs the next. */
static void pairs_of_256(const uint8_t *src, uint8_t *q)
{
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            q[32 * j + i] = src[j / 4 * 32 + i] >> j % 4 * 2 & 3;
}

/* Bit j of byte i belongs to element 32 j + i, where it counts 2^shift. */
static void bits_of_256(const uint8_t *src, int shift, uint8_t *q)
{
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            q[32 * j + i] = (uint8_t)(q[32 * j + i] | (src[i] >> j & 1) << shift);
}

/* 16 bytes with scale and minimum as nibbles, pairs of bits, d, dmin. */
static void unpack_q2_k(const uint8_t *src, liz_quant_parts *to)
{
    to->d = f16_at(src + 80);
    to->dmin = f16_at(src + 82);
    for (int j = 0; j < 16; j++) {
        to->s[j] = src[j] & 15;
        to->m[j] = src[j] >> 4;
    }
    pairs_of_256(src + 16, to->q);
}

/* 32 bytes of third bits, pairs of bits, 12 bytes of scales, d. A scale is 6 bits less 32: the nibbles stand in 8 bytes
 * (low ones first), the pairs above them in 4 more. */
static void unpack_q3_k(const uint8_t *src, liz_quant_parts *to)
{
    const uint8_t *scales = src + 96;
    to->d = f16_at(src + 108);
    for (int j = 0; j < 16; j++) {
        int low = scales[j % 8] >> j / 8 * 4 & 15, high = scales[8 + j % 4] >> j / 4 * 2 & 3;
        to->s[j] = (int8_t)((low | high << 4) - 32);
    }
    pairs_of_256(src + 32, to->q);
    bits_of_256(src, 2, to->q);
}

/* d, dmin, scales and minima, nibbles. */
static void unpack_q4_k(const uint8_t *src, liz_quant_parts *to)
{
    to->d = f16_at(src);
    to->dmin = f16_at(src + 2);
    scales_of_k4(src + 4, to);
    nibbles_of_256(src + 16, to->q);
}

/* The same with 32 bytes of fifth bits before the nibbles. */
static void unpack_q5_k(const uint8_t *src, liz_quant_parts *to)
{
    to->d = f16_at(src);
    to->dmin = f16_at(src + 2);
    scales_of_k4(src + 4, to);
    nibbles_of_256(src + 48, to->q);
    bits_of_256(src + 16, 4, to->q);
}

/* 128 bytes of low nibbles, 64 of pairs above them, 16 signed scales, d. Of each 64 bytes the low nibbles are 64
 * elements, the high ones the next. */
static void unpack_q6_k(const uint8_t *src, liz_quant_parts *to)
{
    to->d = f16_at(src + 208);
    memcpy(to->s, src + 192, 16);
    pairs_of_256(src + 128, to->q);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 64; i++)
            to->q[64 * j + i] = (uint8_t)(to->q[64 * j + i] << 4 | (src[j / 2 * 64 + i] >> j % 2 * 4 & 15));
}

/* d, 8 pairs of high scale bits, 4 bytes of low ones, nibbles as in Q4_0. A scale is 6 bits less 32. */
static void unpack_iq4_xs(const uint8_t *src, liz_quant_parts *to)
{
    to->d = f16_at(src);
    for (int j = 0; j < 8; j++) {
        int low = src[4 + j / 2] >> j % 2 * 4 & 15, high = u16_at(src + 2) >> 2 * j & 3;
        to->s[j] = (int8_t)((low | high << 4) - 32);
        nibbles_of_32(src + 8 + 16 * j, to->q + 32 * j);
    }
}

/* `n` bytes hold five elements each, n apart: a byte is the fraction of 256 whose first base-3 digit is element 0. */
static void trits_of(const uint8_t *src, int n, int n_digits, uint8_t *q)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int digit = 0; digit < n_digits; digit++)
        for (int i = 0; i < n; i++)
            *q++ = (uint8_t)((uint8_t)(src[i] * power[digit]) * 3 >> 8);
}

/* 32 and 16 bytes of five elements, 4 of four, d. */
static void unpack_tq1_0(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src + 52), 0, to);
    trits_of(src, 32, 5, to->q);
    trits_of(src + 32, 16, 5, to->q + 160);
    trits_of(src + 48, 4, 4, to->q + 240);
}

/* Pairs of bits, d. */
static void unpack_tq2_0(const uint8_t *src, liz_quant_parts *to)
{
    one_scale(f16_at(src + 64), 0, to);
    pairs_of_256(src, to->q);
}

/* ---- All together ---- */

/* A grid that is finer near zero, as weights are. */
static const int8_t values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t values_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static const liz_quant_type quant_types[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_Q4_0] = {unpack_q4_0, NULL, 0, 8},         [LIZ_DTYPE_Q4_1] = {unpack_q4_1, NULL, 0, 0},
    [LIZ_DTYPE_Q5_0] = {unpack_q5_0, NULL, 0, 16},        [LIZ_DTYPE_Q5_1] = {unpack_q5_1, NULL, 0, 0},
    [LIZ_DTYPE_Q8_0] = {unpack_q8_0, NULL, 0, 128},       [LIZ_DTYPE_Q2_K] = {unpack_q2_k, NULL, 16, 0},
    [LIZ_DTYPE_Q3_K] = {unpack_q3_k, NULL, 16, 4},        [LIZ_DTYPE_Q4_K] = {unpack_q4_k, NULL, 32, 0},
    [LIZ_DTYPE_Q5_K] = {unpack_q5_k, NULL, 32, 0},        [LIZ_DTYPE_Q6_K] = {unpack_q6_k, NULL, 16, 32},
    [LIZ_DTYPE_IQ4_NL] = {unpack_q4_0, values_iq4, 0, 0}, [LIZ_DTYPE_IQ4_XS] = {unpack_iq4_xs, values_iq4, 32, 0},
    [LIZ_DTYPE_TQ1_0] = {unpack_tq1_0, NULL, 0, 1},       [LIZ_DTYPE_TQ2_0] = {unpack_tq2_0, NULL, 0, 1},
    [LIZ_DTYPE_MXFP4] = {unpack_mxfp4, values_fp4, 0, 0},
};

const liz_quant_type *liz_quant_type_get(liz_dtype dtype)
{
    return quant_types[dtype].unpack != NULL ? &quant_types[dtype] : NULL;
}

static void dequantize_block(const liz_quant_type *type, const uint8_t *src, float *dst, int n)
{
    liz_quant_parts parts = {0};
    type->unpack(src, &parts);
    int sub_len = type->sub_len > 0 ? type->sub_len : n;
    for (int i = 0; i < n; i++) {
        int v = type->values != NULL ? type->values[parts.q[i]] : parts.q[i] - type->zero;
        float scale = parts.d * (float)parts.s[i / sub_len], min = parts.dmin * (float)parts.m[i / sub_len];
        dst[i] = scale * (float)v - min;
    }
}

void liz_dequantize_row(liz_dtype dtype, const void *src, float *dst, size_t n)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    LIZ_ASSERT(info != NULL && info->readable && n % (size_t)info->block_len == 0);
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i += (size_t)info->block_len, p += info->block_bytes) {
        switch (dtype) {
        case LIZ_DTYPE_F32: memcpy(dst + i, p, 4); break;
        case LIZ_DTYPE_F16: dst[i] = f16_at(p); break;
        case LIZ_DTYPE_BF16: dst[i] = liz_bf16_to_f32(u16_at(p)); break;
        default: dequantize_block(&quant_types[dtype], p, dst + i, info->block_len);
        }
    }
}
