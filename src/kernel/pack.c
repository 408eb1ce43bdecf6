/* pack.c - the forms of packed weights, their sizes, and the definition of what a packed block means. */
#include "kernel/pack_form.h"

#include "base/status.h"

#include <stddef.h>
#include <string.h>

#define BLOCK(id) .name = #id, .block_bytes = sizeof(liz_block_##id)
#define PLANE(name, plane) .plane = offsetof(liz_block_##name, plane)

static const liz_pack_form forms[LIZ_PACK_COUNT] = {
    [LIZ_PACK_F32] = {.name = "f32", .block_bytes = 16 * LIZ_GROUP_LEN * 4},
    [LIZ_PACK_BF16] = {.name = "bf16", .block_bytes = 16 * LIZ_GROUP_LEN * 2},
    [LIZ_PACK_I2] = {BLOCK(i2), LIZ_SCALES_ONE, 1, PLANE(i2, two)},
    [LIZ_PACK_I2K] = {BLOCK(i2k), LIZ_SCALES_K16, 0, PLANE(i2k, two)},
    [LIZ_PACK_I3K] = {BLOCK(i3k), LIZ_SCALES_S16, 4, PLANE(i3k, two), PLANE(i3k, one)},
    [LIZ_PACK_I4] = {BLOCK(i4), LIZ_SCALES_A, 8, PLANE(i4, four)},
    [LIZ_PACK_I4M] = {BLOCK(i4m), LIZ_SCALES_AB, 0, PLANE(i4m, four)},
    [LIZ_PACK_I4K] = {BLOCK(i4k), LIZ_SCALES_K32, 0, PLANE(i4k, four)},
    [LIZ_PACK_I4T] = {BLOCK(i4t), LIZ_SCALES_T32, 0, PLANE(i4t, four)},
    [LIZ_PACK_I5] = {BLOCK(i5), LIZ_SCALES_A, 16, PLANE(i5, four), PLANE(i5, one)},
    [LIZ_PACK_I5M] = {BLOCK(i5m), LIZ_SCALES_AB, 0, PLANE(i5m, four), PLANE(i5m, one)},
    [LIZ_PACK_I5K] = {BLOCK(i5k), LIZ_SCALES_K32, 0, PLANE(i5k, four), PLANE(i5k, one)},
    [LIZ_PACK_I6K] = {BLOCK(i6k), LIZ_SCALES_S16, 32, PLANE(i6k, four), PLANE(i6k, two)},
    [LIZ_PACK_I8] = {BLOCK(i8), LIZ_SCALES_APPLIED, 0},
};

/* The form of each type, and for integer ones the greatest |v(q)| that the grid is made for. That of MXFP4 is 12; a
 * little more puts its powers of two on the grid exactly. */
static const struct {
    liz_pack pack;
    double v_max;
} type_forms[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_F32] = {LIZ_PACK_F32, 0},        [LIZ_DTYPE_F16] = {LIZ_PACK_BF16, 0},
    [LIZ_DTYPE_BF16] = {LIZ_PACK_BF16, 0},      [LIZ_DTYPE_TQ1_0] = {LIZ_PACK_I2, 2},
    [LIZ_DTYPE_TQ2_0] = {LIZ_PACK_I2, 2},       [LIZ_DTYPE_Q2_K] = {LIZ_PACK_I2K, 3},
    [LIZ_DTYPE_Q3_K] = {LIZ_PACK_I3K, 4},       [LIZ_DTYPE_Q4_0] = {LIZ_PACK_I4, 8},
    [LIZ_DTYPE_Q4_1] = {LIZ_PACK_I4M, 15},      [LIZ_DTYPE_Q4_K] = {LIZ_PACK_I4K, 15},
    [LIZ_DTYPE_IQ4_NL] = {LIZ_PACK_I4T, 127},   [LIZ_DTYPE_IQ4_XS] = {LIZ_PACK_I4T, 127},
    [LIZ_DTYPE_MXFP4] = {LIZ_PACK_I4T, 15.875}, [LIZ_DTYPE_Q5_0] = {LIZ_PACK_I5, 16},
    [LIZ_DTYPE_Q5_1] = {LIZ_PACK_I5M, 31},      [LIZ_DTYPE_Q5_K] = {LIZ_PACK_I5K, 31},
    [LIZ_DTYPE_Q6_K] = {LIZ_PACK_I6K, 32},      [LIZ_DTYPE_Q8_0] = {LIZ_PACK_I8, 127},
};

bool liz_pack_of(liz_dtype dtype, liz_pack *pack)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    if (info == NULL || !info->readable)
        return false;
    *pack = type_forms[dtype].pack;
    return true;
}

const liz_pack_form *liz_pack_form_get(liz_pack pack) { return &forms[pack]; }
double liz_pack_value_max(liz_dtype dtype) { return type_forms[dtype].v_max; }
const char *liz_pack_name(liz_pack pack) { return forms[pack].name; }
bool liz_pack_is_integer(liz_pack pack) { return forms[pack].scales != LIZ_SCALES_NONE; }
size_t liz_pack_block_bytes(liz_pack pack) { return forms[pack].block_bytes; }

size_t liz_pack_units(liz_pack pack, int32_t n_in)
{
    size_t len = forms[pack].scales != LIZ_SCALES_NONE ? LIZ_BLOCK_LEN : LIZ_GROUP_LEN;
    return ((size_t)n_in + len - 1) / len;
}

size_t liz_pack_panel_bytes(liz_pack pack, int32_t n_in)
{
    return liz_pack_units(pack, n_in) * forms[pack].block_bytes;
}

size_t liz_pack_matrix_bytes(liz_pack pack, int32_t n_out, int32_t n_in)
{
    size_t n_panels = ((size_t)n_out + LIZ_PANEL_ROWS - 1) / LIZ_PANEL_ROWS;
    return n_panels * liz_pack_panel_bytes(pack, n_in);
}

/* ---- Decoding ---- */

#define INLINE static inline __attribute__((always_inline))

static int16_t scale_round(int s, int r, int shift) { return (int16_t)((s * r + (1 << (shift - 1))) >> shift); }

/* a and b of the 16 elements from packed index e on. */
INLINE void scales_at(const liz_pack_form *f, const void *block, int row, int e, int16_t *a, int16_t *b)
{
    int sub = e / 128 * 4 + e / 16 % 4; /* which 32 elements of k */
    *b = 0;
    switch (f->scales) {
    case LIZ_SCALES_ONE: *a = 256; break;
    case LIZ_SCALES_A: *a = ((const liz_scales_a *)block)->a[row][sub]; break;
    case LIZ_SCALES_AB: {
        const liz_scales_ab *from = block;
        *a = from->a[row][sub];
        *b = from->b[row][sub];
        break;
    }
    case LIZ_SCALES_K32: {
        const liz_scales_k32 *from = block;
        *a = scale_round(from->s[row][sub], from->r[row], 6);
        *b = scale_round(from->m[row][sub], from->rm[row], 6);
        break;
    }
    case LIZ_SCALES_K16: {
        const liz_scales_k16 *from = block;
        *a = scale_round(from->sm[row][e / 16] & 15, from->r[row], 4);
        *b = scale_round(from->sm[row][e / 16] >> 4, from->rm[row], 4);
        break;
    }
    case LIZ_SCALES_S16: {
        const liz_scales_s16 *from = block;
        *a = scale_round(from->s[row][e / 16], from->r[row], 7);
        break;
    }
    default: {
        const liz_scales_t32 *from = block;
        *a = scale_round(from->s[row][sub], from->r[row], 7);
    }
    }
}

/* q of the 16 elements from packed index e on. */
INLINE void codes_at(const liz_pack_form *f, const uint8_t *block, int row, int e, uint8_t q[16])
{
    const uint8_t *four = block + f->four + row * 128 + e / 128 * 64 + e % 64;
    const uint8_t *two = block + f->two + row * 64 + e % 64, *one = block + f->one + row * 32 + e / 8;
    int above_four = f->four > 0 ? 4 : 0, above_two = f->two > 0 ? above_four + 2 : above_four;
    for (int i = 0; i < 16; i++) {
        int bits = f->four > 0 ? four[i] >> e / 64 % 2 * 4 & 15 : 0;
        bits |= f->two > 0 ? (two[i] >> e / 64 * 2 & 3) << above_four : 0;
        bits |= f->one > 0 ? (one[i / 8] >> i % 8 & 1) << above_two : 0;
        q[i] = (uint8_t)bits;
    }
}

INLINE void decode_row(const liz_pack_form *f, const uint8_t *block, int row, int8_t *t)
{
#pragma GCC unroll 16
    for (int e = 0; e < LIZ_BLOCK_LEN; e += 16) {
        int16_t a, b;
        uint8_t q[16];
        scales_at(f, block, row, e, &a, &b);
        codes_at(f, block, row, e, q);
        for (int i = 0; i < 16; i++) {
            int v = f->scales == LIZ_SCALES_T32 ? ((const liz_scales_t32 *)(const void *)block)->values[q[i]]
                                                : q[i] - f->zero;
            t[e + i] = (int8_t)((uint16_t)(a * v + b + 128) >> 8);
        }
    }
}

/* A copy for each form, whose description is a constant in it. */
void liz_pack_decode(liz_pack pack, const void *block, int row, int8_t t[256], float *d)
{
    memcpy(d, (const float *)block + row, sizeof *d); /* every integer block begins with d[16] */
    switch (pack) {
    case LIZ_PACK_I8: memcpy(t, ((const liz_block_i8 *)block)->t[row], LIZ_BLOCK_LEN); break;
#define DECODE(ID, name, types)                                                                                        \
    case LIZ_PACK_##ID: decode_row(&forms[LIZ_PACK_##ID], block, row, t); break;
        LIZ_PACKS_PLANES(DECODE)
    default: LIZ_ASSERT(false);
    }
}
