/* quant_pack.c - blocks put together from their parts: the inverse of the `unpack_` functions of quant.c, which say how
 * the fields lie. */
#include "tensor/quant.h"

#include "base/half.h"
#include "base/status.h"

static void put_u16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static void put_f16(uint8_t *p, float x) { put_u16(p, liz_f32_to_f16(x)); }

/* `width` bits of each of the codes [n], from bit `from` on, into fields of that width: code `per` * j + i goes to byte
 * i of its group of `per` bytes, at the j-th place from below. */
static void put_planes(const uint8_t *q, int n, int per, int from, int width, uint8_t *dst)
{
    int places = 8 / width;
    for (int i = 0; i < n; i++) {
        int group = i / (per * places), place = i / per % places;
        uint8_t *byte = dst + group * per + i % per;
        int field = q[i] >> from & ((1 << width) - 1);
        *byte = (uint8_t)(place == 0 ? field : *byte | field << place * width);
    }
}

/* Bit `from` of 32 codes, the first one's lowest. */
static void put_bits_of_32(const uint8_t *q, int from, uint8_t *dst)
{
    memset(dst, 0, 4);
    for (int i = 0; i < 32; i++)
        dst[i / 8] = (uint8_t)(dst[i / 8] | (q[i] >> from & 1) << i % 8);
}

/* ---- Types with a scale for 32 elements ---- */

static void pack_q4_0(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_planes(parts->q, 32, 16, 0, 4, dst + 2);
}

static void pack_q4_1(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_f16(dst + 2, -parts->dmin);
    put_planes(parts->q, 32, 16, 0, 4, dst + 4);
}

static void pack_q5_0(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_bits_of_32(parts->q, 4, dst + 2);
    put_planes(parts->q, 32, 16, 0, 4, dst + 6);
}

static void pack_q5_1(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_f16(dst + 2, -parts->dmin);
    put_bits_of_32(parts->q, 4, dst + 4);
    put_planes(parts->q, 32, 16, 0, 4, dst + 8);
}

static void pack_q8_0(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    for (int i = 0; i < 32; i++)
        dst[2 + i] = parts->q[i] ^ 0x80;
}

static void pack_mxfp4(const liz_quant_parts *parts, uint8_t *dst)
{
    uint32_t bits = liz_f32_bits(parts->d);
    dst[0] = (uint8_t)(bits >= 0x00800000 ? (bits >> 23) + 1 : bits > 0x00200000);
    put_planes(parts->q, 32, 16, 0, 4, dst + 1);
}

/* ---- Types with blocks of 256 ---- */

static void put_scales_k4(const liz_quant_parts *parts, uint8_t *dst)
{
    for (int j = 0; j < 4; j++) {
        int s = parts->s[j + 4], m = parts->m[j + 4];
        dst[j] = (uint8_t)(parts->s[j] | s >> 4 << 6);
        dst[j + 4] = (uint8_t)(parts->m[j] | m >> 4 << 6);
        dst[j + 8] = (uint8_t)((s & 15) | (m & 15) << 4);
    }
}

static void pack_q2_k(const liz_quant_parts *parts, uint8_t *dst)
{
    for (int j = 0; j < 16; j++)
        dst[j] = (uint8_t)(parts->s[j] | parts->m[j] << 4);
    put_planes(parts->q, 256, 32, 0, 2, dst + 16);
    put_f16(dst + 80, parts->d);
    put_f16(dst + 82, parts->dmin);
}

static void pack_q3_k(const liz_quant_parts *parts, uint8_t *dst)
{
    uint8_t s[16];
    for (int j = 0; j < 16; j++)
        s[j] = (uint8_t)(parts->s[j] + 32);
    put_planes(parts->q, 256, 32, 2, 1, dst);
    put_planes(parts->q, 256, 32, 0, 2, dst + 32);
    put_planes(s, 16, 8, 0, 4, dst + 96);
    put_planes(s, 16, 4, 4, 2, dst + 104);
    put_f16(dst + 108, parts->d);
}

static void pack_q4_k(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_f16(dst + 2, parts->dmin);
    put_scales_k4(parts, dst + 4);
    put_planes(parts->q, 256, 32, 0, 4, dst + 16);
}

static void pack_q5_k(const liz_quant_parts *parts, uint8_t *dst)
{
    put_f16(dst, parts->d);
    put_f16(dst + 2, parts->dmin);
    put_scales_k4(parts, dst + 4);
    put_planes(parts->q, 256, 32, 4, 1, dst + 16);
    put_planes(parts->q, 256, 32, 0, 4, dst + 48);
}

static void pack_q6_k(const liz_quant_parts *parts, uint8_t *dst)
{
    put_planes(parts->q, 256, 64, 0, 4, dst);
    put_planes(parts->q, 256, 32, 4, 2, dst + 128);
    memcpy(dst + 192, parts->s, 16);
    put_f16(dst + 208, parts->d);
}

static void pack_iq4_xs(const liz_quant_parts *parts, uint8_t *dst)
{
    int high = 0;
    put_f16(dst, parts->d);
    for (int j = 0; j < 8; j++) {
        int s = parts->s[j] + 32;
        high |= s >> 4 << 2 * j;
        dst[4 + j / 2] = (uint8_t)(j % 2 == 0 ? s & 15 : dst[4 + j / 2] | (s & 15) << 4);
        put_planes(parts->q + 32 * j, 32, 16, 0, 4, dst + 8 + 16 * j);
    }
    put_u16(dst + 2, (uint16_t)high);
}

/* Bytes [n] of `n_digits` elements each, n apart: the fraction of 256, rounded up, that has these base-3 digits and
 * zeros behind them. */
static void put_trits(const uint8_t *q, int n, int n_digits, uint8_t *dst)
{
    for (int i = 0; i < n; i++) {
        int number = 0;
        for (int digit = 0; digit < 5; digit++)
            number = number * 3 + (digit < n_digits ? q[digit * n + i] : 0);
        dst[i] = (uint8_t)((number * 256 + 242) / 243);
    }
}

static void pack_tq1_0(const liz_quant_parts *parts, uint8_t *dst)
{
    put_trits(parts->q, 32, 5, dst);
    put_trits(parts->q + 160, 16, 5, dst + 32);
    put_trits(parts->q + 240, 4, 4, dst + 48);
    put_f16(dst + 52, parts->d);
}

static void pack_tq2_0(const liz_quant_parts *parts, uint8_t *dst)
{
    put_planes(parts->q, 256, 32, 0, 2, dst);
    put_f16(dst + 64, parts->d);
}

void liz_quant_pack(liz_dtype dtype, const liz_quant_parts *parts, uint8_t *dst)
{
    switch (dtype) {
    case LIZ_DTYPE_Q4_0:
    case LIZ_DTYPE_IQ4_NL: pack_q4_0(parts, dst); break;
    case LIZ_DTYPE_Q4_1: pack_q4_1(parts, dst); break;
    case LIZ_DTYPE_Q5_0: pack_q5_0(parts, dst); break;
    case LIZ_DTYPE_Q5_1: pack_q5_1(parts, dst); break;
    case LIZ_DTYPE_Q8_0: pack_q8_0(parts, dst); break;
    case LIZ_DTYPE_MXFP4: pack_mxfp4(parts, dst); break;
    case LIZ_DTYPE_Q2_K: pack_q2_k(parts, dst); break;
    case LIZ_DTYPE_Q3_K: pack_q3_k(parts, dst); break;
    case LIZ_DTYPE_Q4_K: pack_q4_k(parts, dst); break;
    case LIZ_DTYPE_Q5_K: pack_q5_k(parts, dst); break;
    case LIZ_DTYPE_Q6_K: pack_q6_k(parts, dst); break;
    case LIZ_DTYPE_IQ4_XS: pack_iq4_xs(parts, dst); break;
    case LIZ_DTYPE_TQ1_0: pack_tq1_0(parts, dst); break;
    case LIZ_DTYPE_TQ2_0: pack_tq2_0(parts, dst); break;
    default: LIZ_ASSERT(!"a type of blocks");
    }
}
