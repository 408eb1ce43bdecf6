/* pack_rows.c - from a file's blocks to panels.
 *
 * Packing touches each weight once and computes with plain integers and doubles, so every machine packs the same bytes.
 * A file's block comes apart in tensor/quant.c; here its codes go to the planes of their form, and its scales to that
 * form's scales on the grid of the row's 256 elements. Scales that are not finite give d = not-a-number and a = b = 0:
 * what is broken shows in the logits instead of wrapping. */
#include "kernel/pack_form.h"

#include "base/half.h"
#include "base/status.h"
#include "tensor/quant.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { N_SUBS_32 = LIZ_BLOCK_LEN / 32, N_SUBS_16 = LIZ_BLOCK_LEN / 16 };

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

/* Nearest integer, ties to even, for |x| < 2^31. */
static int32_t round_even(double x) { return (int32_t)((x + 0x1.8p52) - 0x1.8p52); }

static bool is_finite(double x) { return fabs(x) <= (double)FLT_MAX; }
static double greater(double a, double b) { return a > b ? a : b; }

/* ---- Scales: from those of 256 elements of a row in the file to d and a block's ---- */

/* 256 elements of a row (fewer at its end) as the file has them: one block, or eight of 32. */
typedef struct source {
    float d[N_SUBS_32], min[N_SUBS_32]; /* w = d_j v + min_j, of blocks of 32 */
    liz_quant_parts parts;              /* of a block of 256; the codes of either */
} source;

static void source_read(liz_dtype dtype, const uint8_t *src, size_t n, source *to)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    if (info->block_len == LIZ_BLOCK_LEN) {
        liz_quant_unpack(dtype, src, &to->parts);
        to->d[0] = to->parts.d;
        return;
    }
    memset(to, 0, n < LIZ_BLOCK_LEN ? sizeof *to : offsetof(source, parts));
    for (size_t j = 0; j < n / 32; j++) {
        liz_quant_parts part;
        liz_quant_unpack(dtype, src + j * (size_t)info->block_bytes, &part);
        to->d[j] = part.d;
        to->min[j] = -part.dmin;
        memcpy(to->parts.q + 32 * j, part.q, 32);
    }
}

/* The greatest |d_j|; not-a-number where one is not finite. */
static double scale_max_of(const float *d)
{
    double most = 0;
    for (int j = 0; j < N_SUBS_32; j++) {
        if (!is_finite((double)d[j]))
            return NAN;
        most = greater(fabs((double)d[j]), most);
    }
    return most;
}

/* w = d_j v. */
static float grid_a(const float *d, double v_max, int16_t *a)
{
    double unit = scale_max_of(d) * v_max / 127.0;
    for (int j = 0; j < N_SUBS_32 && unit > 0; j++)
        a[j] = (int16_t)round_even((double)d[j] / unit * 256.0);
    return (float)unit;
}

/* w = d_j v + min_j, v from 0 to v_max. */
static float grid_ab(const float *d, const float *min, double v_max, int16_t *a, int16_t *b)
{
    double w_max = 0;
    for (int j = 0; j < N_SUBS_32; j++) {
        if (!is_finite((double)d[j]) || !is_finite((double)min[j]))
            return NAN;
        w_max = greater(w_max, greater(fabs((double)min[j]), fabs((double)d[j] * v_max + (double)min[j])));
    }
    double unit = w_max / 127.0;
    for (int j = 0; j < N_SUBS_32 && unit > 0; j++) {
        a[j] = (int16_t)round_even((double)d[j] / unit * 256.0);
        b[j] = (int16_t)round_even((double)min[j] / unit * 256.0);
    }
    return (float)unit;
}

/* w = d s_j v - dmin m_j: r = 256 * n d / d', so that a_j = s_j * r / n. r and rm must fit 16 bits: binding only where
 * a block's largest scale is far below n. */
static float grid_k(const liz_quant_parts *p, int n_subs, double n, double v_max, int16_t *r, int16_t *rm)
{
    double d = (double)p->d, dmin = (double)p->dmin, w_max = 0;
    if (!is_finite(d) || !is_finite(dmin))
        return NAN;
    for (int j = 0; j < n_subs; j++)
        w_max = greater(w_max, greater(fabs(dmin * p->m[j]), fabs(v_max * d * p->s[j] - dmin * p->m[j])));
    double unit = greater(w_max / 127.0, greater(fabs(d), fabs(dmin)) * (256.0 * n / 32767.0));
    if (unit == 0)
        return 0;
    unit = d < 0 ? -unit : unit;
    *r = (int16_t)round_even(d / unit * 256.0 * n);
    *rm = (int16_t)round_even(-dmin / unit * 256.0 * n);
    return (float)unit;
}

/* w = d s_j v with bytes s_j: a_j = s_j * r / 128. */
static float grid_s(double d, const int8_t *s, int n_subs, double v_max, int16_t *r)
{
    int s_max = 0;
    for (int j = 0; j < n_subs; j++)
        s_max = abs(s[j]) > s_max ? abs(s[j]) : s_max;
    if (!is_finite(d))
        return NAN;
    double unit = greater(v_max * s_max * fabs(d) / 127.0, fabs(d) * (32768.0 / 32767.0));
    if (unit == 0)
        return 0;
    unit = d < 0 ? -unit : unit;
    *r = (int16_t)round_even(d / unit * 32768.0);
    return (float)unit;
}

/* Scales of 6 bits are brought to 8, so that r keeps its precision. */
enum { SPARE_FACTOR = 4 };

static float pack_scales_s16(const source *from, liz_dtype dtype, double v_max, liz_scales_s16 *to, int row)
{
    int factor = dtype == LIZ_DTYPE_Q3_K ? SPARE_FACTOR : 1;
    for (int j = 0; j < N_SUBS_16; j++)
        to->s[row][liz_packed_index(16 * j) / 16] = (int8_t)(from->parts.s[j] * factor);
    return grid_s((double)from->parts.d / factor, to->s[row], N_SUBS_16, v_max, &to->r[row]);
}

/* Scales of 32 elements as bytes, the greatest s_max; returns what they multiply. */
static double scales_to_bytes(const float *d, int s_max, int8_t *s)
{
    double most = scale_max_of(d);
    for (int j = 0; j < N_SUBS_32 && most > 0; j++)
        s[j] = (int8_t)round_even((double)d[j] / most * s_max);
    return most / s_max;
}

static float pack_scales_t32(const source *from, liz_dtype dtype, double v_max, liz_scales_t32 *to, int row)
{
    double d = (double)from->parts.d / SPARE_FACTOR;
    memcpy(to->values, liz_quant_type_get(dtype)->values, sizeof to->values);
    if (dtype == LIZ_DTYPE_IQ4_XS)
        for (int j = 0; j < N_SUBS_32; j++)
            to->s[row][j] = (int8_t)(from->parts.s[j] * SPARE_FACTOR);
    else /* 64: the powers of two of MXFP4 are exact down to the 64th of the greatest */
        d = scales_to_bytes(from->d, dtype == LIZ_DTYPE_MXFP4 ? 64 : 127, to->s[row]);
    return grid_s(d, to->s[row], N_SUBS_32, v_max, &to->r[row]);
}

/* The bytes t themselves, clamp((a v + 128) >> 8): in words where they have room, as a <= 256 and v >= -128 leave it.
 */
static float pack_applied(const source *from, double v_max, int8_t *t)
{
    int16_t a[N_SUBS_32] = {0};
    float d = grid_a(from->d, v_max, a);
    for (int k = 0; k < LIZ_BLOCK_LEN; k += 16) {
        const uint8_t *q = from->parts.q + k;
        int8_t *to = t + liz_packed_index(k);
        int a_k = a[k / 32];
        for (int i = 0; i < 16 && a_k >= 0; i++)
            to[i] = (int8_t)((int16_t)(a_k * (q[i] - 128) + 128) >> 8);
        for (int i = 0; i < 16 && a_k < 0; i++)
            to[i] = (int8_t)(a_k * (q[i] - 128) >= 32640 ? 127 : (a_k * (q[i] - 128) + 128) >> 8);
    }
    return d;
}

static void nibbles_pair(const liz_quant_parts *p, uint8_t *sm)
{
    for (int j = 0; j < N_SUBS_16; j++)
        sm[liz_packed_index(16 * j) / 16] = (uint8_t)(p->s[j] | p->m[j] << 4);
}

static float pack_scales(const liz_pack_form *f, liz_dtype dtype, const source *from, void *block, int row)
{
    double v_max = liz_pack_value_max(dtype);
    const liz_quant_parts *p = &from->parts;
    switch (f->scales) {
    case LIZ_SCALES_APPLIED: return pack_applied(from, v_max, ((liz_block_i8 *)block)->t[row]);
    case LIZ_SCALES_ONE: return is_finite((double)from->d[0]) ? from->d[0] : NAN;
    case LIZ_SCALES_A: return grid_a(from->d, v_max, ((liz_scales_a *)block)->a[row]);
    case LIZ_SCALES_AB: {
        liz_scales_ab *to = block;
        return grid_ab(from->d, from->min, v_max, to->a[row], to->b[row]);
    }
    case LIZ_SCALES_K32: {
        liz_scales_k32 *to = block;
        memcpy(to->s[row], p->s, N_SUBS_32);
        memcpy(to->m[row], p->m, N_SUBS_32);
        return grid_k(p, N_SUBS_32, 64, v_max, &to->r[row], &to->rm[row]);
    }
    case LIZ_SCALES_K16: {
        liz_scales_k16 *to = block;
        nibbles_pair(p, to->sm[row]);
        return grid_k(p, N_SUBS_16, 16, v_max, &to->r[row], &to->rm[row]);
    }
    case LIZ_SCALES_S16: return pack_scales_s16(from, dtype, v_max, block, row);
    default: return pack_scales_t32(from, dtype, v_max, block, row);
    }
}

/* ---- Codes to planes ---- */

static void pack_fours(const uint8_t *q, uint8_t *plane)
{
    for (int j = 0; j < LIZ_BLOCK_LEN / 32; j++)
        for (int i = 0; i < 16; i++)
            plane[16 * j + i] = (uint8_t)((q[32 * j + i] & 15) | q[32 * j + 16 + i] << 4);
}

static void pack_twos(const uint8_t *q, int shift, uint8_t *plane)
{
    for (int j = 0; j < LIZ_BLOCK_LEN / 64; j++, q += 32, plane += 16)
        for (int i = 0; i < 16; i++) {
            int low = (q[i] >> shift & 3) | (q[16 + i] >> shift & 3) << 2;
            int high = (q[128 + i] >> shift & 3) | (q[144 + i] >> shift & 3) << 2;
            plane[i] = (uint8_t)(low | high << 4);
        }
}

static void pack_ones(const uint8_t *q, int shift, uint8_t *plane)
{
    for (int k = 0; k < LIZ_BLOCK_LEN; k += 8) {
        uint64_t bytes;
        memcpy(&bytes, q + k, 8);
        bytes = bytes >> shift & 0x0101010101010101u;
        plane[liz_packed_index(k) / 8] = (uint8_t)(bytes * 0x0102040810204080u >> 56); /* byte i to bit i */
    }
}

static void pack_integer_block(const liz_pack_form *f, liz_dtype dtype, const uint8_t *src, size_t n, uint8_t *block,
                               int row)
{
    source from;
    source_read(dtype, src, n, &from);
    const uint8_t *q = from.parts.q;
    float d = pack_scales(f, dtype, &from, block, row);
    memcpy(block + (size_t)row * sizeof d, &d, sizeof d);
    if (f->four > 0)
        pack_fours(q, block + f->four + row * 128);
    if (f->two > 0)
        pack_twos(q, f->four > 0 ? 4 : 0, block + f->two + row * 64);
    if (f->one > 0)
        pack_ones(q, f->four > 0 ? 4 : 2, block + f->one + row * 32);
}

static void pack_integer_row(const liz_matrix *matrix, liz_dtype dtype, const uint8_t *src, uint8_t *panel, int row)
{
    size_t n_in = (size_t)matrix->n_in;
    const liz_pack_form *f = liz_pack_form_get(matrix->pack);
    for (size_t k = 0; k < n_in; k += LIZ_BLOCK_LEN, panel += f->block_bytes) {
        uint64_t at = 0;
        (void)liz_dtype_row_bytes(dtype, k, &at);
        pack_integer_block(f, dtype, src + at, n_in - k < LIZ_BLOCK_LEN ? n_in - k : LIZ_BLOCK_LEN, panel, row);
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
            pack_integer_row(matrix, dtype, from, panel, row);
    }
}
