/* decode_avx2.h - packed blocks to bytes in ymm registers, for the files of the AVX2 tier.
 *
 * A block's row is eight registers of 32 elements; in packed order each half register is 16 elements of one sub-block.
 */
#ifndef LIZ_KERNEL_DECODE_AVX2_H
#define LIZ_KERNEL_DECODE_AVX2_H

#include "kernel/kernel_tiers.h"

#include <immintrin.h>

typedef struct bytes256 {
    __m256i t[8]; /* packed order, 32 elements each */
} bytes256;

/* Word lanes: eight copies of words `first` and `first + 1` of an 8-word row, one in each half. */
LIZ_INLINE __m256i spread_words(__m128i row, int first)
{
    const __m256i base =
        _mm256_set_epi64x(0x0302030203020302, 0x0302030203020302, 0x0100010001000100, 0x0100010001000100);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row),
                               _mm256_add_epi8(base, _mm256_set1_epi8((char)(2 * first))));
}

LIZ_INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LIZ_INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
LIZ_INLINE __m256i low_nibbles(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
LIZ_INLINE __m256i high_nibbles(__m256i x) { return low_nibbles(_mm256_srli_epi16(x, 4)); }

/* -zero, 1 - zero, ... 7 - zero in each half. */
LIZ_INLINE __m256i count_from(int zero)
{
    const __m256i iota = _mm256_broadcastsi128_si256(_mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0));
    return _mm256_sub_epi16(iota, _mm256_set1_epi16((short)zero));
}

/* The high bytes of two times eight words, in each half. */
LIZ_INLINE __m256i high_bytes(__m256i first, __m256i second)
{
    return _mm256_packs_epi16(_mm256_srai_epi16(first, 8), _mm256_srai_epi16(second, 8));
}

/* The high bytes of words of even places and of those that follow each, in turn. */
LIZ_INLINE __m256i odd_into_even(__m256i even, __m256i odd)
{
    return _mm256_blendv_epi8(_mm256_srli_epi16(even, 8), odd, _mm256_set1_epi16((short)0xFF00));
}

/* 255 in each byte whose bit is set; bit i % 8 of byte i / 8. */
LIZ_INLINE __m256i bytes_of_bits(const uint8_t *bits)
{
    int32_t word;
    __builtin_memcpy(&word, bits, 4);
    const __m256i byte_of = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of), bit_of);
    return _mm256_cmpeq_epi8(spread, bit_of);
}

/* Where the registers of sub-blocks 2 g and 2 g + 1 begin; the other is two further. */
LIZ_INLINE int register_of(int g) { return g / 2 * 4 + g % 2; }

/* ---- Nibbles, with or without a fifth bit: sub-blocks of 32 ---- */

/* (a v + 128) >> 8, which is a rounded product with 128 v. */
LIZ_INLINE __m256i scaled(__m256i a, __m256i v) { return _mm256_mulhrs_epi16(a, _mm256_slli_epi16(v, 7)); }

/* In each half the bytes that 16 codes stand for, v from -zero on; b has what rounds in it, or is left out. */
LIZ_INLINE __m256i table_of(__m256i a, bool has_b, __m256i b, int zero)
{
    if (!has_b)
        return _mm256_packs_epi16(scaled(a, count_from(zero)), scaled(a, count_from(zero - 8)));
    __m256i twos = _mm256_slli_epi16(count_from(0), 1);
    __m256i even = _mm256_add_epi16(_mm256_mullo_epi16(a, _mm256_sub_epi16(twos, _mm256_set1_epi16((short)zero))), b);
    return odd_into_even(even, _mm256_add_epi16(even, a));
}

/* A row of words a and, where the form has them, b. */
LIZ_INLINE void decode_steps(const uint8_t *four, const uint8_t *one, __m128i a, bool has_b, __m128i b, int zero,
                             bytes256 *out)
{
    b = _mm_add_epi16(b, _mm_set1_epi16(128)); /* rounding */
    for (int g = 0; g < 4; g++) {
        int at = register_of(g);
        __m256i x = load256(four + 32 * g), low = low_nibbles(x), high = high_nibbles(x);
        __m256i aw = spread_words(a, 2 * g), bw = spread_words(b, 2 * g);
        __m256i table = table_of(aw, has_b, bw, zero);
        out->t[at] = _mm256_shuffle_epi8(table, low);
        out->t[at + 2] = _mm256_shuffle_epi8(table, high);
        if (one != NULL) {
            table = table_of(aw, has_b, bw, zero - 16);
            out->t[at] = _mm256_blendv_epi8(out->t[at], _mm256_shuffle_epi8(table, low), bytes_of_bits(one + 4 * at));
            out->t[at + 2] =
                _mm256_blendv_epi8(out->t[at + 2], _mm256_shuffle_epi8(table, high), bytes_of_bits(one + 4 * (at + 2)));
        }
    }
}

/* (x * r + 32) >> 6 for eight bytes x < 64. */
LIZ_INLINE __m128i scale_row(const uint8_t *bytes, int16_t r)
{
    __m128i x = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)bytes));
    return _mm_mulhrs_epi16(_mm_slli_epi16(x, 9), _mm_set1_epi16(r));
}

/* `one`, `a` and `b` in terms of the block `from` and its scales `s`. */
#define DECODE_STEPS(name, one, a, has_b, b, zero)                                                                     \
    LIZ_INLINE void decode_##name(const void *block, int row, bytes256 *out)                                           \
    {                                                                                                                  \
        const liz_block_##name *from = block;                                                                          \
        const __typeof__(from->scales) *s = &from->scales;                                                             \
        decode_steps(from->four[row], one, a, has_b, b, zero, out);                                                    \
    }

DECODE_STEPS(i4, NULL, load128(s->a[row]), false, _mm_setzero_si128(), 8)
DECODE_STEPS(i5, from->one[row], load128(s->a[row]), false, _mm_setzero_si128(), 16)
DECODE_STEPS(i4m, NULL, load128(s->a[row]), true, load128(s->b[row]), 0)
DECODE_STEPS(i5m, from->one[row], load128(s->a[row]), true, load128(s->b[row]), 0)
DECODE_STEPS(i4k, NULL, scale_row(s->s[row], s->r[row]), true, scale_row(s->m[row], s->rm[row]), 0)
DECODE_STEPS(i5k, from->one[row], scale_row(s->s[row], s->r[row]), true, scale_row(s->m[row], s->rm[row]), 0)

/* ---- Nibbles that stand for any sixteen numbers ---- */

LIZ_INLINE void decode_i4t(const void *block, int row, bytes256 *out)
{
    const liz_block_i4t *b = block;
    __m128i s = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)b->scales.s[row]));
    __m128i a = _mm_mulhrs_epi16(_mm_slli_epi16(s, 8), _mm_set1_epi16(b->scales.r[row]));
    __m256i values = _mm256_cvtepi8_epi16(load128(b->scales.values));
    __m256i v0 = _mm256_permute4x64_epi64(values, 0x44), v1 = _mm256_permute4x64_epi64(values, 0xEE);
    for (int g = 0; g < 4; g++) {
        __m256i x = load256(b->four[row] + 32 * g), aw = spread_words(a, 2 * g);
        __m256i table = _mm256_packs_epi16(scaled(aw, v0), scaled(aw, v1));
        out->t[register_of(g)] = _mm256_shuffle_epi8(table, low_nibbles(x));
        out->t[register_of(g) + 2] = _mm256_shuffle_epi8(table, high_nibbles(x));
    }
}

/* ---- Two, three and six bits: sub-blocks of 16, a register has two ---- */

/* Register c of a row's pairs of bits. */
LIZ_INLINE __m256i pairs_of(const uint8_t *two, int c)
{
    __m256i x = _mm256_srl_epi16(load256(two + c % 2 * 32), _mm_cvtsi32_si128(c / 2 * 2));
    return _mm256_and_si256(x, _mm256_set1_epi8(3));
}

/* Of a row's 16 words, eight copies of those of register c. */
LIZ_INLINE __m256i words_of(__m256i row, int c)
{
    return spread_words(c < 4 ? _mm256_castsi256_si128(row) : _mm256_extracti128_si256(row, 1), c % 4 * 2);
}

LIZ_INLINE void decode_i2(const void *block, int row, bytes256 *out)
{
    for (int c = 0; c < 8; c++)
        out->t[c] = _mm256_sub_epi8(pairs_of(((const liz_block_i2 *)block)->two[row], c), _mm256_set1_epi8(1));
}

/* (x * r + 8) >> 4 for sixteen bytes x < 16. */
LIZ_INLINE __m256i scale_nibbles(__m128i x, int16_t r)
{
    __m256i words = _mm256_cvtepu8_epi16(_mm_and_si128(x, _mm_set1_epi8(15)));
    return _mm256_mulhrs_epi16(_mm256_slli_epi16(words, 11), _mm256_set1_epi16(r));
}

LIZ_INLINE void decode_i2k(const void *block, int row, bytes256 *out)
{
    const liz_block_i2k *b = block;
    __m128i sm = load128(b->scales.sm[row]);
    __m256i a = scale_nibbles(sm, b->scales.r[row]), min = scale_nibbles(_mm_srli_epi16(sm, 4), b->scales.rm[row]);
    min = _mm256_add_epi16(min, _mm256_set1_epi16(128));
    for (int c = 0; c < 8; c++) {
        __m256i words = _mm256_add_epi16(_mm256_mullo_epi16(words_of(a, c), count_from(0)), words_of(min, c));
        out->t[c] = _mm256_shuffle_epi8(high_bytes(words, words), pairs_of(b->two[row], c));
    }
}

LIZ_INLINE __m256i scale_s16(const liz_scales_s16 *scales, int row)
{
    __m256i s = _mm256_cvtepi8_epi16(load128(scales->s[row]));
    return _mm256_mulhrs_epi16(_mm256_slli_epi16(s, 8), _mm256_set1_epi16(scales->r[row]));
}

LIZ_INLINE void decode_i3k(const void *block, int row, bytes256 *out)
{
    const liz_block_i3k *b = block;
    __m256i a = scale_s16(&b->scales, row);
    for (int c = 0; c < 8; c++) {
        __m256i third = _mm256_and_si256(bytes_of_bits(b->one[row] + 4 * c), _mm256_set1_epi8(4));
        __m256i words = scaled(words_of(a, c), count_from(4));
        out->t[c] =
            _mm256_shuffle_epi8(_mm256_packs_epi16(words, words), _mm256_or_si256(pairs_of(b->two[row], c), third));
    }
}

/* High bytes of a * (q - zero) + 128. */
LIZ_INLINE __m256i multiply_bytes(__m256i q, __m256i a, int zero)
{
    __m256i b = _mm256_sub_epi16(_mm256_set1_epi16(128), _mm256_mullo_epi16(a, _mm256_set1_epi16((short)zero)));
    __m256i even = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(q, _mm256_set1_epi16(255)), a), b);
    __m256i odd = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_srli_epi16(q, 8), a), b);
    return odd_into_even(even, odd);
}

LIZ_INLINE void decode_i6k(const void *block, int row, bytes256 *out)
{
    const liz_block_i6k *b = block;
    __m256i a = scale_s16(&b->scales, row);
    for (int c = 0; c < 8; c++) {
        __m256i x = load256(b->four[row] + c / 4 * 64 + c % 2 * 32);
        __m256i q = c / 2 % 2 == 0 ? low_nibbles(x) : high_nibbles(x);
        q = _mm256_or_si256(q, _mm256_slli_epi16(pairs_of(b->two[row], c), 4));
        out->t[c] = multiply_bytes(q, words_of(a, c), 32);
    }
}

/* ---- Bytes ---- */

LIZ_INLINE void decode_i8(const void *block, int row, bytes256 *out)
{
    const liz_block_i8 *b = block;
    for (int c = 0; c < 8; c++)
        out->t[c] = load256(b->t[row] + 32 * c);
}

typedef void decode_fn(const void *block, int row, bytes256 *out);

/* ---- Sums over lanes ---- */

/* In each half: the sums of a, b, c, d over that half. */
LIZ_INLINE __m256i sum_of_four(__m256i a, __m256i b, __m256i c, __m256i d)
{
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

/* Lane r: the sum of the eight lanes of x[r]. */
LIZ_INLINE __m256i sum_of_rows(const __m256i *x)
{
    __m256i a = sum_of_four(x[0], x[1], x[2], x[3]), b = sum_of_four(x[4], x[5], x[6], x[7]);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

#endif
