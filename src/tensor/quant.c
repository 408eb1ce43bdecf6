/* quant.c - blocks taken apart and put together, and dequantisation from their parts, one element at a time.
 *
 * A table says how the fields of each type lie, as planes of bits; from it one function reads blocks and one writes
 * them. Rounding is the type's own: a product d * s * v fits 25 bits, so that d * s is exact and w is rounded once or
 * twice as by the definitions. */
#include "tensor/quant.h"

#include "base/half.h"
#include "base/status.h"

/* Which numbers of a block. */
typedef enum of { CODES, SCALES, MINIMA } of;

/* `width` bits, from bit `from` on, of each of a block's n numbers from `first` on. Number per * j + i of them stands
 * in byte i of `per`, at the j-th place from below, counted from `place`; behind the last place of these bytes follow
 * the next ones. Of a number's planes the one of bit 0 comes first. Width 0: base-3 digits, in byte i those of numbers
 * i, per + i, 2 per + i and so on; a byte is the fraction of 256, rounded up, whose first digit is that of number i. */
typedef struct plane {
    uint8_t of, at; /* the first byte */
    uint16_t n;
    uint8_t per, from, width, place, first;
} plane;

enum { PLANES_MAX = 8 };

typedef struct layout {
    liz_quant_type type;
    uint8_t d, dmin; /* where they stand; no dmin: 0 */
    bool negated;    /* what stands there is -dmin, the least weight */
    bool is_power;   /* d is a power of two, in one byte */
    uint8_t plus[2]; /* codes, scales: what a field holds beyond its number */
    plane planes[PLANES_MAX];
} layout;

/* A grid that is finer near zero, as weights are. */
static const int8_t values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t values_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Codes of 32 elements: nibbles, 16 bytes from `at` on; fifth bits, four bytes. */
#define NIBBLES_32(at) CODES, at, 32, 16, 0, 4
#define FIFTHS_32(at) CODES, at, 32, 1, 4, 1
/* Of 256: nibbles, of each 32 bytes the low ones, then the high ones; pairs; single bits. */
#define NIBBLES_256(at) CODES, at, 256, 32, 0, 4
#define PAIRS_256(at, from) CODES, at, 256, 32, from, 2
#define BITS_256(at, from) CODES, at, 256, 32, from, 1
/* The 6-bit scales, or minima, of 8 sub-blocks: four at `at`, of four more the low bits at `low`, the high ones above
 * the first four. */
#define OF_K4(of, at, low, place)                                                                                      \
    {of, at, 4, 4, 0, 6}, {of, low, 4, 4, 0, 4, place, 4}, { of, at, 4, 4, 4, 2, 3, 4 }

static const layout layouts[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_Q4_0] = {.type = {NULL, 0, 8}, .planes = {{NIBBLES_32(2)}}},
    [LIZ_DTYPE_IQ4_NL] = {.type = {values_iq4, 0, 0}, .planes = {{NIBBLES_32(2)}}},
    [LIZ_DTYPE_Q4_1] = {.type = {NULL, 0, 0}, .dmin = 2, .negated = true, .planes = {{NIBBLES_32(4)}}},
    [LIZ_DTYPE_Q5_0] = {.type = {NULL, 0, 16}, .planes = {{NIBBLES_32(6)}, {FIFTHS_32(2)}}},
    [LIZ_DTYPE_Q5_1] = {.type = {NULL, 0, 0}, .dmin = 2, .negated = true, .planes = {{NIBBLES_32(8)}, {FIFTHS_32(4)}}},
    [LIZ_DTYPE_Q8_0] = {.type = {NULL, 0, 128}, .plus = {128}, .planes = {{CODES, 2, 32, 32, 0, 8}}},
    [LIZ_DTYPE_MXFP4] = {.type = {values_fp4, 0, 0}, .is_power = true, .planes = {{NIBBLES_32(1)}}},
    [LIZ_DTYPE_Q2_K] = {.type = {NULL, 16, 0},
                        .d = 80,
                        .dmin = 82,
                        .planes = {{SCALES, 0, 16, 16, 0, 4}, {MINIMA, 0, 16, 16, 0, 4, 1}, {PAIRS_256(16, 0)}}},
    [LIZ_DTYPE_Q3_K] =
        {.type = {NULL, 16, 4},
         .d = 108,
         .plus = {0, 32},
         .planes = {{SCALES, 96, 16, 8, 0, 4}, {SCALES, 104, 16, 4, 4, 2}, {PAIRS_256(32, 0)}, {BITS_256(0, 2)}}},
    [LIZ_DTYPE_Q4_K] = {.type = {NULL, 32, 0},
                        .dmin = 2,
                        .planes = {OF_K4(SCALES, 4, 12, 0), OF_K4(MINIMA, 8, 12, 1), {NIBBLES_256(16)}}},
    [LIZ_DTYPE_Q5_K] =
        {.type = {NULL, 32, 0},
         .dmin = 2,
         .planes = {OF_K4(SCALES, 4, 12, 0), OF_K4(MINIMA, 8, 12, 1), {NIBBLES_256(48)}, {BITS_256(16, 4)}}},
    [LIZ_DTYPE_Q6_K] = {.type = {NULL, 16, 32},
                        .d = 208,
                        .planes = {{SCALES, 192, 16, 16, 0, 8}, {CODES, 0, 256, 64, 0, 4}, {PAIRS_256(128, 4)}}},
    [LIZ_DTYPE_IQ4_XS] = {.type = {values_iq4, 32, 0},
                          .plus = {0, 32},
                          .planes = {{SCALES, 4, 8, 1, 0, 4}, {SCALES, 2, 8, 1, 4, 2}, {CODES, 8, 256, 16, 0, 4}}},
    [LIZ_DTYPE_TQ1_0] = {.type = {NULL, 0, 1},
                         .d = 52,
                         .planes = {{CODES, 0, 160, 32},
                                    {CODES, 32, 80, 16, .first = 160},
                                    {CODES, 48, 16, 4, .first = 240}}},
    [LIZ_DTYPE_TQ2_0] = {.type = {NULL, 0, 1}, .d = 64, .planes = {{PAIRS_256(0, 0)}}},
};

const liz_quant_type *liz_quant_type_get(liz_dtype dtype)
{
    return layouts[dtype].planes[0].n > 0 ? &layouts[dtype].type : NULL;
}

/* ---- Fields ---- */

#define INLINE static inline __attribute__((always_inline))

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float f16_at(const uint8_t *p) { return liz_f16_to_f32(u16_at(p)); }

static void put_f16(uint8_t *p, float x)
{
    uint16_t half = liz_f32_to_f16(x);
    p[0] = (uint8_t)half;
    p[1] = (uint8_t)(half >> 8);
}

/* 2^(e - 127), 255 standing for not-a-number. The values of FP4 (E2M1), 0, 0.5, 1, 1.5, 2, 3, 4, 6, are doubled in the
 * table, so d is half the scale. */
static float half_power(uint32_t e)
{
    return liz_f32_from_bits(e == 255 ? 0x7FC00000 : e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

static uint8_t exponent_of(float d)
{
    uint32_t bits = liz_f32_bits(d);
    return (uint8_t)(bits >= 0x00800000 ? (bits >> 23) + 1 : bits > 0x00200000);
}

static uint8_t *numbers_of(liz_quant_parts *parts, const plane *f)
{
    return (f->of == CODES ? parts->q : f->of == SCALES ? (uint8_t *)parts->s : parts->m) + f->first;
}

INLINE void digits_get(const plane *f, const uint8_t *src, uint8_t *to)
{
    unsigned power = 1;
    for (int j = 0; j < f->n / f->per; j++, power *= 3)
        for (int i = 0; i < f->per; i++)
            *to++ = (uint8_t)((uint8_t)(src[i] * power) * 3 >> 8);
}

static void digits_put(const plane *f, const uint8_t *from, uint8_t *dst)
{
    for (int i = 0; i < f->per; i++) {
        int number = 0;
        for (int j = 0; j < 5; j++)
            number = number * 3 + (j < f->n / f->per ? from[j * f->per + i] : 0);
        dst[i] = (uint8_t)((number * 256 + 242) / 243);
    }
}

/* A plane of bit 0 begins the numbers, less `plus`; others add to them. */
INLINE void plane_get(const plane *f, int plus, const uint8_t *restrict src, uint8_t *restrict to)
{
    int places = 8 / f->width, mask = (1 << f->width) - 1;
    for (int j = 0; j < f->n / f->per; j++, to += f->per) {
        int shift = (f->place + j % places) * f->width;
        const uint8_t *bytes = src + j / places * f->per;
        for (int i = 0; i < f->per; i++)
            to[i] = (uint8_t)((f->from == 0 ? -plus : to[i]) + ((bytes[i] >> shift & mask) << f->from));
    }
}

static void plane_put(const plane *f, int plus, const uint8_t *from, uint8_t *dst)
{
    int places = 8 / f->width, mask = (1 << f->width) - 1;
    for (int i = 0; i < f->n; i++) {
        int j = i / f->per, shift = (f->place + j % places) * f->width;
        uint8_t *byte = dst + j / places * f->per + i % f->per;
        *byte = (uint8_t)(*byte | ((uint8_t)(from[i] + plus) >> f->from & mask) << shift);
    }
}

/* ---- Blocks ---- */

INLINE void unpack_as(const layout *l, const uint8_t *src, liz_quant_parts *to)
{
    float dmin = l->dmin > 0 ? f16_at(src + l->dmin) : 0;
    to->d = l->is_power ? half_power(src[l->d]) : f16_at(src + l->d);
    to->dmin = l->negated ? -dmin : dmin;
    if (l->type.sub_len == 0) {
        to->s[0] = 1;
        to->m[0] = dmin != 0;
    }
#pragma GCC unroll 8
    for (int k = 0; k < PLANES_MAX; k++) {
        const plane *f = &l->planes[k];
        if (f->n > 0 && f->width > 0)
            plane_get(f, f->of == MINIMA ? 0 : l->plus[f->of], src + f->at, numbers_of(to, f));
        else if (f->n > 0)
            digits_get(f, src + f->at, numbers_of(to, f));
    }
}

/* A copy for each type, whose layout is a constant in it. */
void liz_quant_unpack(liz_dtype dtype, const uint8_t *src, liz_quant_parts *parts)
{
    switch (dtype) {
#define UNPACK(ID)                                                                                                     \
    case LIZ_DTYPE_##ID: unpack_as(&layouts[LIZ_DTYPE_##ID], src, parts); break;
        LIZ_QUANT_TYPES(UNPACK)
    default: LIZ_ASSERT(!"a type of blocks");
    }
}

void liz_quant_pack(liz_dtype dtype, const liz_quant_parts *parts, uint8_t *dst)
{
    const layout *l = &layouts[dtype];
    memset(dst, 0, (size_t)liz_dtype_info_get(dtype)->block_bytes);
    for (const plane *f = l->planes; f < l->planes + PLANES_MAX && f->n > 0; f++)
        if (f->width == 0)
            digits_put(f, numbers_of((liz_quant_parts *)parts, f), dst + f->at);
        else
            plane_put(f, f->of == MINIMA ? 0 : l->plus[f->of], numbers_of((liz_quant_parts *)parts, f), dst + f->at);
    if (l->is_power)
        dst[l->d] = exponent_of(parts->d);
    else
        put_f16(dst + l->d, parts->d);
    if (l->dmin > 0)
        put_f16(dst + l->dmin, l->negated ? -parts->dmin : parts->dmin);
}

static void dequantize_block(liz_dtype dtype, const uint8_t *src, float *dst, int n)
{
    const liz_quant_type *type = &layouts[dtype].type;
    liz_quant_parts parts = {0};
    liz_quant_unpack(dtype, src, &parts);
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
        default: dequantize_block(dtype, p, dst + i, info->block_len);
        }
    }
}
