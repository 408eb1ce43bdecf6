/* decode_avx512.h - packed blocks to bytes in zmm registers, for the AVX-512 and AMX tiers.
 *
 * A decoder gives t as it is (for tiles) or t + 128 (unsigned, as VNNI wants one operand), 64 elements a register,
 * half a row of a block at a time. In packed order each 128-bit lane of a register holds 16 elements of one sub-block,
 * so a lane needs one scale. Two roads:
 * - up to five bits: the values that a sub-block's codes stand for are computed once, 16-bit, and looked up with
 *   vpshufb; the two registers of a half share the tables of sub-blocks of 32;
 * - six bits: even and odd bytes are multiplied as 16-bit numbers, and the high bytes are the result.
 * What rows share (scales of 16 rows) is prepared once a block into a liz_scales512. `b` there includes `offset_of`. */
#ifndef LIZ_KERNEL_DECODE_AVX512_H
#define LIZ_KERNEL_DECODE_AVX512_H

#include "kernel/kernel_tiers.h"

#include <immintrin.h>

/* a_j and b_j of the 16 rows of a block, and the numbers that codes stand for. */
typedef struct liz_scales512 {
    _Alignas(64) int16_t a[16][8], b[16][8];       /* sub-blocks of 32 */
    _Alignas(64) int16_t a16[16][16], b16[16][16]; /* sub-blocks of 16 */
    __m512i values[2];
} liz_scales512;

/* A form: what rows of a block share, and half a row, elements [128 half, 128 half + 128), to two registers. */
typedef void liz_prepare512_fn(const void *block, bool is_signed, liz_scales512 *scales);
typedef void liz_decode512_fn(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                              __m512i *out);

LIZ_INLINE __m128i load128(const void *p) { return _mm_load_si128((const __m128i *)p); }
LIZ_INLINE __m256i load256(const void *p) { return _mm256_load_si256((const __m256i *)p); }

/* Word lanes of a register: in each 128-bit lane l, eight copies of word (first + l) of an 8-word row. */
LIZ_INLINE __m512i spread_words(const int16_t *row, int first)
{
    const __m512i low =
        _mm512_set_epi64(0x0706070607060706, 0x0706070607060706, 0x0504050405040504, 0x0504050405040504,
                         0x0302030203020302, 0x0302030203020302, 0x0100010001000100, 0x0100010001000100);
    __m512i words = _mm512_broadcast_i32x4(load128(row));
    return _mm512_shuffle_epi8(words, first == 0 ? low : _mm512_add_epi8(low, _mm512_set1_epi8(8)));
}

/* Rounding, and for unsigned t 128 more, in the scale of 16-bit products. */
LIZ_INLINE __m512i offset_of(bool is_signed) { return _mm512_set1_epi16((short)(is_signed ? 128 : 128 + 32768)); }

LIZ_INLINE __m512i low_nibbles(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
LIZ_INLINE __m512i high_nibbles(__m512i x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }

#define LANE_WORDS(first) first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7
/* scale * first, scale * (first + 1), ... scale * (first + 7) in each lane. */
LIZ_INLINE __m512i count_from(int first, int scale)
{
    const __v32hi words = {LANE_WORDS(0), LANE_WORDS(0), LANE_WORDS(0), LANE_WORDS(0)};
    return (__m512i)((words + (short)first) * (short)scale);
}
#undef LANE_WORDS

/* The high bytes of two times eight words, in each lane. */
LIZ_INLINE __m512i high_bytes(__m512i first, __m512i second, bool is_signed)
{
    return is_signed ? _mm512_packs_epi16(_mm512_srai_epi16(first, 8), _mm512_srai_epi16(second, 8))
                     : _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
}

/* ---- Nibbles, with or without a fifth bit: sub-blocks of 32 ---- */

/* Two registers of what the nibbles in x stand for, by each lane's table of 16. */
LIZ_INLINE void lookup(__m512i x, __m512i table, __m512i *out)
{
    out[0] = _mm512_shuffle_epi8(table, low_nibbles(x));
    out[1] = _mm512_shuffle_epi8(table, high_nibbles(x));
}

/* By another table where the fifth bit is set, of two times 64. */
LIZ_INLINE void lookup_fifth(__m512i x, const uint8_t *bits, __m512i table, __m512i *out)
{
    uint64_t mask[2];
    __builtin_memcpy(mask, bits, sizeof mask);
    out[0] = _mm512_mask_shuffle_epi8(out[0], mask[0], table, low_nibbles(x));
    out[1] = _mm512_mask_shuffle_epi8(out[1], mask[1], table, high_nibbles(x));
}

/* The table of (a (from + i) + b) >> 8, i < 16, in each lane; b, a row of words or NULL, is 128 where there is none,
 * and rounding the multiplication's then: (x y + 2^14) >> 15. */
LIZ_INLINE __m512i table_of(__m512i a, const int16_t *b, int half, int from, bool is_signed)
{
    if (b != NULL) {
        __m512i first = _mm512_mullo_epi16(a, count_from(from, 1));
        first = _mm512_add_epi16(first, spread_words(b, 4 * half));
        return high_bytes(first, _mm512_add_epi16(first, _mm512_slli_epi16(a, 3)), is_signed);
    }
    __m512i first = _mm512_mulhrs_epi16(a, count_from(from, 128));
    __m512i table = _mm512_packs_epi16(first, _mm512_mulhrs_epi16(a, count_from(from + 8, 128)));
    return is_signed ? table : _mm512_xor_si512(table, _mm512_set1_epi8(-128));
}

/* Half a row of words a and, unless NULL, b, with fifth bits unless `one` is NULL. */
LIZ_INLINE void decode_steps(const uint8_t *four, const uint8_t *one, const int16_t *a, const int16_t *b, int zero,
                             int half, bool is_signed, __m512i *out)
{
    __m512i x = _mm512_loadu_si512(four + 64 * half), aw = spread_words(a, 4 * half);
    lookup(x, table_of(aw, b, half, -zero, is_signed), out);
    if (one != NULL)
        lookup_fifth(x, one + 16 * half, table_of(aw, b, half, 16 - zero, is_signed), out);
}

LIZ_INLINE void prepare_none(const void *block, bool is_signed, liz_scales512 *to)
{
    (void)block, (void)is_signed, (void)to;
}

#define prepare_i4 prepare_none
#define prepare_i5 prepare_none

LIZ_INLINE void prepare_ab(const void *block, bool is_signed, liz_scales512 *to)
{
    const liz_scales_ab *from = block;
    for (int row = 0; row < 16; row += 4)
        _mm512_store_si512(to->b[row], _mm512_add_epi16(_mm512_load_si512(from->b[row]), offset_of(is_signed)));
}

#define prepare_i4m prepare_ab
#define prepare_i5m prepare_ab

/* Of 16 words, that of row + l in each 128-bit lane l. */
LIZ_INLINE __m512i spread_rows(const int16_t *words, int row)
{
    const __m512i row_of = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002,
                                            0x0002000200020002, 0x0001000100010001, 0x0001000100010001, 0, 0);
    return _mm512_permutexvar_epi16(_mm512_add_epi16(row_of, _mm512_set1_epi16((short)row)),
                                    _mm512_castsi256_si512(load256(words)));
}

/* (x * r + 32) >> 6 for four rows of eight bytes x < 64, r one word a row. */
LIZ_INLINE __m512i scale_rows(const uint8_t *bytes, __m512i r)
{
    return _mm512_mulhrs_epi16(_mm512_slli_epi16(_mm512_cvtepu8_epi16(load256(bytes)), 9), r);
}

LIZ_INLINE void prepare_k32(const void *block, bool is_signed, liz_scales512 *to)
{
    const liz_scales_k32 *from = block;
    __m512i offset = offset_of(is_signed);
    for (int row = 0; row < 16; row += 4) {
        _mm512_store_si512(to->a[row], scale_rows(from->s[row], spread_rows(from->r, row)));
        __m512i min = scale_rows(from->m[row], spread_rows(from->rm, row));
        _mm512_store_si512(to->b[row], _mm512_add_epi16(min, offset));
    }
}

#define prepare_i4k prepare_k32
#define prepare_i5k prepare_k32

/* `one`, `a` and `b` in terms of the block `from` and of the scales. */
#define DECODE_STEPS(name, one, a, b, zero)                                                                            \
    LIZ_INLINE void decode_##name(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,   \
                                  __m512i *out)                                                                        \
    {                                                                                                                  \
        (void)scales;                                                                                                  \
        const liz_block_##name *from = block;                                                                          \
        decode_steps(from->four[row], one, a, b, zero, half, is_signed, out);                                          \
    }

DECODE_STEPS(i4, NULL, from->scales.a[row], NULL, 8)
DECODE_STEPS(i5, from->one[row], from->scales.a[row], NULL, 16)
DECODE_STEPS(i4m, NULL, from->scales.a[row], scales->b[row], 0)
DECODE_STEPS(i5m, from->one[row], from->scales.a[row], scales->b[row], 0)
DECODE_STEPS(i4k, NULL, scales->a[row], scales->b[row], 0)
DECODE_STEPS(i5k, from->one[row], scales->a[row], scales->b[row], 0)
#undef DECODE_STEPS

/* ---- Nibbles that stand for any sixteen numbers ---- */

LIZ_INLINE void prepare_i4t(const void *block, bool is_signed, liz_scales512 *to)
{
    (void)is_signed;
    const liz_scales_t32 *from = block;
    for (int row = 0; row < 16; row += 4) {
        __m512i s = _mm512_slli_epi16(_mm512_cvtepi8_epi16(load256(from->s[row])), 8);
        _mm512_store_si512(to->a[row], _mm512_mulhrs_epi16(s, spread_rows(from->r, row)));
    }
    __m256i values = _mm256_cvtepi8_epi16(load128(from->values));
    to->values[0] = _mm512_broadcast_i32x4(_mm256_castsi256_si128(values));
    to->values[1] = _mm512_broadcast_i32x4(_mm256_extracti128_si256(values, 1));
}

LIZ_INLINE void decode_i4t(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                           __m512i *out)
{
    const liz_block_i4t *b = block;
    __m512i a = spread_words(scales->a[row], 4 * half), x = _mm512_loadu_si512(b->four[row] + 64 * half);
    __m512i first = _mm512_add_epi16(_mm512_mullo_epi16(a, scales->values[0]), offset_of(is_signed));
    __m512i second = _mm512_add_epi16(_mm512_mullo_epi16(a, scales->values[1]), offset_of(is_signed));
    lookup(x, high_bytes(first, second, is_signed), out);
}

/* ---- Two, three and six bits: sub-blocks of 16, a register has four ---- */

/* Pairs of bits 2 c, 2 c + 1 in each byte's bits `to`, `to` + 1. */
LIZ_INLINE __m512i pairs_at(__m512i x, int c, int to)
{
    __m512i moved =
        2 * c >= to ? _mm512_srli_epi16(x, (unsigned)(2 * c - to)) : _mm512_slli_epi16(x, (unsigned)(to - 2 * c));
    return _mm512_and_si512(moved, _mm512_set1_epi8((char)(3 << to)));
}

#define prepare_i2 prepare_none

LIZ_INLINE void decode_i2(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                          __m512i *out)
{
    (void)scales;
    __m512i x = _mm512_loadu_si512(((const liz_block_i2 *)block)->two[row]);
    for (int c = 0; c < 2; c++)
        out[c] = _mm512_add_epi8(pairs_at(x, 2 * half + c, 0), _mm512_set1_epi8(is_signed ? -1 : 127));
}

/* (x * r + 8) >> 4 for sixteen bytes x < 16. */
LIZ_INLINE __m256i scale_nibbles(__m128i x, int16_t r)
{
    __m256i words = _mm256_cvtepu8_epi16(_mm_and_si128(x, _mm_set1_epi8(15)));
    return _mm256_mulhrs_epi16(_mm256_slli_epi16(words, 11), _mm256_set1_epi16(r));
}

LIZ_INLINE void prepare_i2k(const void *block, bool is_signed, liz_scales512 *to)
{
    const liz_scales_k16 *from = block;
    __m256i offset = _mm512_castsi512_si256(offset_of(is_signed));
    for (int row = 0; row < 16; row++) {
        __m128i sm = load128(from->sm[row]);
        __m256i min = scale_nibbles(_mm_srli_epi16(sm, 4), from->rm[row]);
        _mm256_store_si256((__m256i *)(void *)to->a16[row], scale_nibbles(sm, from->r[row]));
        _mm256_store_si256((__m256i *)(void *)to->b16[row], _mm256_add_epi16(min, offset));
    }
}

LIZ_INLINE void decode_i2k(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                           __m512i *out)
{
    __m512i x = _mm512_loadu_si512(((const liz_block_i2k *)block)->two[row]);
    for (int c = 0; c < 2; c++) {
        const int16_t *a = scales->a16[row] + 8 * half, *b = scales->b16[row] + 8 * half;
        __m512i words = _mm512_mullo_epi16(spread_words(a, 4 * c), count_from(0, 1));
        words = _mm512_add_epi16(words, spread_words(b, 4 * c));
        out[c] = _mm512_shuffle_epi8(high_bytes(words, words, is_signed), pairs_at(x, 2 * half + c, 0));
    }
}

LIZ_INLINE void prepare_s16(const void *block, bool is_signed, liz_scales512 *to)
{
    (void)is_signed;
    const liz_scales_s16 *from = block;
    for (int row = 0; row < 16; row++) {
        __m256i s = _mm256_slli_epi16(_mm256_cvtepi8_epi16(load128(from->s[row])), 8);
        _mm256_store_si256((__m256i *)(void *)to->a16[row], _mm256_mulhrs_epi16(s, _mm256_set1_epi16(from->r[row])));
    }
}

#define prepare_i3k prepare_s16
#define prepare_i6k prepare_s16

LIZ_INLINE void decode_i3k(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                           __m512i *out)
{
    const liz_block_i3k *b = block;
    __m512i x = _mm512_loadu_si512(b->two[row]);
    uint64_t third[2];
    __builtin_memcpy(third, b->one[row] + 16 * half, sizeof third);
    for (int c = 0; c < 2; c++) {
        __m512i a = spread_words(scales->a16[row] + 8 * half, 4 * c), q = pairs_at(x, 2 * half + c, 0);
        __m512i words = _mm512_add_epi16(_mm512_mullo_epi16(a, count_from(-4, 1)), offset_of(is_signed));
        q = _mm512_mask_add_epi8(q, third[c], q, _mm512_set1_epi8(4));
        out[c] = _mm512_shuffle_epi8(high_bytes(words, words, is_signed), q);
    }
}

/* High bytes of a * (q - zero) + 128; a one word a lane. */
LIZ_INLINE __m512i multiply_bytes(__m512i q, __m512i a, int zero, bool is_signed)
{
    __m512i b = _mm512_sub_epi16(offset_of(is_signed), _mm512_mullo_epi16(a, _mm512_set1_epi16((short)zero)));
    __m512i even = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(q, _mm512_set1_epi16(255)), a), b);
    __m512i odd = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(q, 8), a), b);
    return _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAAu, _mm512_srli_epi16(even, 8), odd);
}

LIZ_INLINE void decode_i6k(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                           __m512i *out)
{
    const liz_block_i6k *b = block;
    __m512i pairs = _mm512_loadu_si512(b->two[row]);
    __m512i x = _mm512_loadu_si512(b->four[row] + 64 * half);
    for (int c = 0; c < 2; c++) {
        __m512i q = _mm512_or_si512(c == 0 ? low_nibbles(x) : high_nibbles(x), pairs_at(pairs, 2 * half + c, 4));
        out[c] = multiply_bytes(q, spread_words(scales->a16[row] + 8 * half, 4 * c), 32, is_signed);
    }
}

/* ---- Bytes ---- */

#define prepare_i8 prepare_none

LIZ_INLINE void decode_i8(const void *block, const liz_scales512 *scales, int row, int half, bool is_signed,
                          __m512i *out)
{
    (void)scales;
    const liz_block_i8 *b = block;
    for (int c = 0; c < 2; c++)
        out[c] = _mm512_xor_si512(_mm512_loadu_si512(b->t[row] + 128 * half + 64 * c),
                                  _mm512_set1_epi8(is_signed ? 0 : -128));
}

#endif
