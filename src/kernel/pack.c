/* pack.c - from a file's blocks to panels, and the definition of what a packed block means.
 *
 * Packing touches each weight once and computes with plain integers and doubles, so every machine packs the same bytes.
 * Scales that are not finite give d = not-a-number and a = b = 0: what is broken shows in the logits instead of
 * wrapping. */
#include "kernel/pack.h"

#include "base/half.h"
#include "base/status.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t block_bytes; /* of 256 elements, or of a group of 32 */
    bool is_integer;
} pack_infos[LIZ_PACK_COUNT] = {
    [LIZ_PACK_F32] = {"f32", 16 * LIZ_GROUP_LEN * 4, false}, [LIZ_PACK_BF16] = {"bf16", 16 * LIZ_GROUP_LEN * 2, false},
    [LIZ_PACK_I4] = {"i4", sizeof(liz_block_i4), true},      [LIZ_PACK_I4K] = {"i4k", sizeof(liz_block_i4k), true},
    [LIZ_PACK_I5] = {"i5", sizeof(liz_block_i5), true},      [LIZ_PACK_I6K] = {"i6k", sizeof(liz_block_i6k), true},
    [LIZ_PACK_I8] = {"i8", sizeof(liz_block_i8), true},
};

bool liz_pack_of(liz_dtype dtype, liz_pack *pack)
{
    switch (dtype) {
    case LIZ_DTYPE_F32: *pack = LIZ_PACK_F32; return true;
    case LIZ_DTYPE_F16:
    case LIZ_DTYPE_BF16: *pack = LIZ_PACK_BF16; return true;
    case LIZ_DTYPE_Q4_0: *pack = LIZ_PACK_I4; return true;
    case LIZ_DTYPE_Q4_K: *pack = LIZ_PACK_I4K; return true;
    case LIZ_DTYPE_Q5_0: *pack = LIZ_PACK_I5; return true;
    case LIZ_DTYPE_Q6_K: *pack = LIZ_PACK_I6K; return true;
    case LIZ_DTYPE_Q8_0: *pack = LIZ_PACK_I8; return true;
    default: return false;
    }
}

const char *liz_pack_name(liz_pack pack) { return pack_infos[pack].name; }
bool liz_pack_is_integer(liz_pack pack) { return pack_infos[pack].is_integer; }
size_t liz_pack_block_bytes(liz_pack pack) { return pack_infos[pack].block_bytes; }

size_t liz_pack_units(liz_pack pack, int32_t n_in)
{
    size_t len = pack_infos[pack].is_integer ? LIZ_BLOCK_LEN : LIZ_GROUP_LEN;
    return ((size_t)n_in + len - 1) / len;
}

size_t liz_pack_panel_bytes(liz_pack pack, int32_t n_in)
{
    return liz_pack_units(pack, n_in) * pack_infos[pack].block_bytes;
}

size_t liz_pack_matrix_bytes(liz_pack pack, int32_t n_out, int32_t n_in)
{
    size_t n_panels = ((size_t)n_out + LIZ_PANEL_ROWS - 1) / LIZ_PANEL_ROWS;
    return n_panels * liz_pack_panel_bytes(pack, n_in);
}

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float f16_at(const uint8_t *p) { return liz_f16_to_f32(u16_at(p)); }

/* Nearest integer, ties to even, for |x| < 2^31. */
static int32_t round_even(double x) { return (int32_t)((x + 0x1.8p52) - 0x1.8p52); }

/* ---- Integer types: one row's block of 256, from `n` elements of the file (a multiple of 32) ---- */

/* d and the scales a_j of sub-blocks with w = d_j * q', |q'| <= q_max. */
static float grid_of_scales(const float *scales, int n_scales, double q_max, int16_t *a)
{
    double scale_max = 0;
    bool finite = true;
    for (int j = 0; j < n_scales; j++) {
        double s = fabs((double)scales[j]);
        finite = finite && s <= 65504.0;
        scale_max = s > scale_max ? s : scale_max;
    }
    if (!finite || scale_max == 0)
        return finite ? 0.0f : NAN;
    double unit = scale_max * q_max / 127.0;
    for (int j = 0; j < n_scales; j++)
        a[j] = (int16_t)round_even((double)scales[j] / unit * 256.0);
    return (float)unit;
}

static void pack_q4_0(const uint8_t *src, size_t n, liz_block_i4 *block, int row)
{
    float scales[8];
    int n_sub = (int)(n / 32);
    for (int j = 0; j < n_sub; j++, src += 18) {
        scales[j] = f16_at(src);
        memcpy(block->low[row] + 16 * j, src + 2, 16);
    }
    block->d[row] = grid_of_scales(scales, n_sub, 8.0, block->a[row]);
}

static void pack_q5_0(const uint8_t *src, size_t n, liz_block_i5 *block, int row)
{
    float scales[8];
    int n_sub = (int)(n / 32);
    for (int j = 0; j < n_sub; j++, src += 22) {
        scales[j] = f16_at(src);
        memcpy(block->low[row] + 16 * j, src + 6, 16);
        /* Elements 0 to 15 of the sub-block are two bytes in packed order, 16 to 31 two others. */
        memcpy(block->high[row] + liz_packed_index(32 * j) / 8, src + 2, 2);
        memcpy(block->high[row] + liz_packed_index(32 * j + 16) / 8, src + 4, 2);
    }
    block->d[row] = grid_of_scales(scales, n_sub, 16.0, block->a[row]);
}

static int8_t clamp_i8(int x) { return (int8_t)(x < -128 ? -128 : x > 127 ? 127 : x); }

static void pack_q8_0(const uint8_t *src, size_t n, liz_block_i8 *block, int row)
{
    float scales[8];
    int16_t a[8] = {0};
    int n_sub = (int)(n / 32);
    for (int j = 0; j < n_sub; j++)
        scales[j] = f16_at(src + 34 * j);
    block->d[row] = grid_of_scales(scales, n_sub, 127.0, a);
    for (int j = 0; j < n_sub; j++) {
        const int8_t *q = (const int8_t *)src + 34 * j + 2;
        for (int p = 0; p < 2; p++) {
            int8_t *t = block->t[row] + liz_packed_index(32 * j + 16 * p);
            for (int i = 0; i < 16; i++)
                t[i] = clamp_i8((a[j] * q[16 * p + i] + 128) >> 8);
        }
    }
}

/* The nibbles of 64 elements: in the file, byte i holds elements i and i + 32. */
static void nibbles_from_k(const uint8_t *src, uint8_t *low)
{
    for (int i = 0; i < 16; i++) {
        low[i] = (uint8_t)((src[i] & 15) | src[i + 16] << 4);
        low[i + 16] = (uint8_t)(src[i] >> 4 | (src[i + 16] & 0xF0));
    }
}

static void pack_q4_k(const uint8_t *src, size_t n, liz_block_i4k *block, int row)
{
    (void)n;
    double d = f16_at(src), dmin = f16_at(src + 2), w_max = 0;
    for (int j = 0; j < 8; j++) {
        uint8_t s, m;
        liz_q4k_scale_min(src + 4, j, &s, &m);
        block->s[row][j] = s;
        block->m[row][j] = m;
        double at_0 = fabs(dmin * m), at_15 = fabs(15.0 * d * s - dmin * m);
        w_max = at_0 > w_max ? at_0 : w_max;
        w_max = at_15 > w_max ? at_15 : w_max;
    }
    for (int c = 0; c < 4; c++)
        nibbles_from_k(src + 16 + 32 * c, block->low[row] + 32 * c);
    if (!(fabs(d) <= 65504.0 && fabs(dmin) <= 65504.0)) {
        block->d[row] = NAN;
        return;
    }
    /* r and rm must fit 16 bits: binding only where a block's largest scale is far below 63. */
    double unit = w_max / 127.0, least = (fabs(d) > fabs(dmin) ? fabs(d) : fabs(dmin)) * (16384.0 / 32767.0);
    unit = unit > least ? unit : least;
    if (unit == 0)
        return;
    unit = d < 0 ? -unit : unit;
    block->d[row] = (float)unit;
    block->r[row] = (int16_t)round_even(d / unit * 16384.0);
    block->rm[row] = (int16_t)round_even(-dmin / unit * 16384.0);
}

static void pack_q6_k(const uint8_t *src, size_t n, liz_block_i6k *block, int row)
{
    (void)n;
    uint8_t q[256];
    liz_q6k_unpack(src, src + 128, q);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 16; i++)
            block->low[row][16 * j + i] = (uint8_t)((q[32 * j + i] & 15) | (q[32 * j + 16 + i] & 15) << 4);
    for (int k = 0; k < 256; k += 16) {
        int at = liz_packed_index(k);
        uint8_t *high = block->high[row] + at % 64;
        for (int i = 0; i < 16; i++)
            high[i] = (uint8_t)(high[i] | q[k + i] >> 4 << (2 * (at / 64)));
    }
    double d = f16_at(src + 208), s_max = 0;
    for (int j = 0; j < 16; j++) {
        int8_t s = (int8_t)src[192 + j];
        block->s[row][liz_packed_index(16 * j) / 16] = s;
        s_max = abs(s) > s_max ? abs(s) : s_max;
    }
    if (!(fabs(d) <= 65504.0)) {
        block->d[row] = NAN;
        return;
    }
    double unit = 32.0 * s_max * fabs(d) / 127.0, least = fabs(d) * (32768.0 / 32767.0);
    unit = unit > least ? unit : least;
    if (unit == 0)
        return;
    unit = d < 0 ? -unit : unit;
    block->d[row] = (float)unit;
    block->r[row] = (int16_t)round_even(d / unit * 32768.0);
}

static void pack_integer_row(const liz_matrix *matrix, const uint8_t *src, uint8_t *panel, int row)
{
    size_t n_in = (size_t)matrix->n_in, block_bytes = pack_infos[matrix->pack].block_bytes;
    for (size_t k = 0; k < n_in; k += LIZ_BLOCK_LEN, panel += block_bytes) {
        size_t n = n_in - k < LIZ_BLOCK_LEN ? n_in - k : LIZ_BLOCK_LEN;
        void *block = panel;
        switch (matrix->pack) {
        case LIZ_PACK_I4: pack_q4_0(src + k / 32 * 18, n, block, row); break;
        case LIZ_PACK_I5: pack_q5_0(src + k / 32 * 22, n, block, row); break;
        case LIZ_PACK_I8: pack_q8_0(src + k / 32 * 34, n, block, row); break;
        case LIZ_PACK_I4K: pack_q4_k(src + k / 256 * 144, n, block, row); break;
        default: pack_q6_k(src + k / 256 * 210, n, block, row); break;
        }
    }
}

/* ---- Float types: element (k, row) of a group stands at 32 * (k / 2) + 2 * row + k % 2 ---- */

static void pack_f32_row(const uint8_t *src, size_t n_in, float *panel, int row)
{
    for (size_t k = 0; k < n_in; k++)
        memcpy(&panel[k / 2 * 32 + 2 * (size_t)row + k % 2], src + 4 * k, 4);
}

static void pack_bf16_row(const uint8_t *src, liz_dtype dtype, size_t n_in, uint16_t *panel, int row)
{
    for (size_t k = 0; k < n_in; k++) {
        uint16_t h = u16_at(src + 2 * k);
        panel[k / 2 * 32 + 2 * (size_t)row + k % 2] = dtype == LIZ_DTYPE_F16 ? liz_f32_to_bf16(liz_f16_to_f32(h)) : h;
    }
}

void liz_pack_panel(const liz_matrix *matrix, liz_dtype dtype, const uint8_t *src, size_t i)
{
    size_t panel_bytes = liz_pack_panel_bytes(matrix->pack, matrix->n_in);
    uint8_t *panel = matrix->data + i * panel_bytes;
    uint64_t row_bytes = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(dtype, (uint64_t)matrix->n_in, &row_bytes));
    memset(panel, 0, panel_bytes);
    for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
        size_t out = i * LIZ_PANEL_ROWS + (size_t)row;
        if (out >= (size_t)matrix->n_out)
            break;
        const uint8_t *from = src + out * row_bytes;
        if (matrix->pack == LIZ_PACK_F32)
            pack_f32_row(from, (size_t)matrix->n_in, (float *)(void *)panel, row);
        else if (matrix->pack == LIZ_PACK_BF16)
            pack_bf16_row(from, dtype, (size_t)matrix->n_in, (uint16_t *)(void *)panel, row);
        else
            pack_integer_row(matrix, from, panel, row);
    }
}

/* ---- Decoding ---- */

/* t of 16 elements that share a scale: the high byte of 16-bit a * q + b + 128. */
static void grid_apply(const uint8_t *q, int zero, int16_t a, int16_t b, int8_t *t)
{
    for (int i = 0; i < 16; i++) {
        uint16_t v = (uint16_t)(a * (q[i] - zero) + b + 128);
        t[i] = (int8_t)(v >> 8);
    }
}

static int16_t scale_round(int s, int r, int shift) { return (int16_t)((s * r + (1 << (shift - 1))) >> shift); }

/* q of the 16 elements from packed index e on, without high bits. */
static void nibbles_at(const uint8_t *low, int e, uint8_t q[16])
{
    const uint8_t *bytes = low + e / 128 * 64 + e % 64;
    for (int i = 0; i < 16; i++)
        q[i] = bytes[i] >> (e / 64 % 2 * 4) & 15;
}

static void decode_run(liz_pack pack, const void *block, int row, int e, int8_t *t)
{
    int sub = e / 128 * 4 + e / 16 % 4; /* which 32 elements of k */
    uint8_t q[16];
    if (pack == LIZ_PACK_I4) {
        const liz_block_i4 *b = block;
        nibbles_at(b->low[row], e, q);
        grid_apply(q, 8, b->a[row][sub], 0, t);
    } else if (pack == LIZ_PACK_I4K) {
        const liz_block_i4k *b = block;
        nibbles_at(b->low[row], e, q);
        grid_apply(q, 0, scale_round(b->s[row][sub], b->r[row], 6), scale_round(b->m[row][sub], b->rm[row], 6), t);
    } else if (pack == LIZ_PACK_I5) {
        const liz_block_i5 *b = block;
        nibbles_at(b->low[row], e, q);
        for (int i = 0; i < 16; i++)
            q[i] = (uint8_t)(q[i] | (b->high[row][(e + i) / 8] >> (e + i) % 8 & 1) << 4);
        grid_apply(q, 16, b->a[row][sub], 0, t);
    } else {
        const liz_block_i6k *b = block;
        nibbles_at(b->low[row], e, q);
        for (int i = 0; i < 16; i++)
            q[i] = (uint8_t)(q[i] | (b->high[row][e % 64 + i] >> (e / 64 * 2) & 3) << 4);
        grid_apply(q, 32, scale_round(b->s[row][e / 16], b->r[row], 7), 0, t);
    }
}

void liz_pack_decode(liz_pack pack, const void *block, int row, int8_t t[256], float *d)
{
    memcpy(d, (const float *)block + row, sizeof *d); /* every integer block begins with d[16] */
    if (pack == LIZ_PACK_I8) {
        memcpy(t, ((const liz_block_i8 *)block)->t[row], LIZ_BLOCK_LEN);
        return;
    }
    for (int e = 0; e < LIZ_BLOCK_LEN; e += 16)
        decode_run(pack, block, row, e, t + e);
}
