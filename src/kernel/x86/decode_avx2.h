/* decode_avx2.h - packed blocks to bytes in ymm registers, for the files of the AVX2 tier.
 *
 * A block's row is eight registers of 32 elements; in packed order each half register is 16 elements of one sub-block.
 * As in decode_avx512.h a decoder gives t or, for VNNI, t + 128; what rows share is prepared once a block. */
#ifndef LIZ_KERNEL_DECODE_AVX2_H
#define LIZ_KERNEL_DECODE_AVX2_H

#include "kernel/kernel_tiers.h"

#include <immintrin.h>

/* Products leave a row in each of a register's eight lanes; a panel has two times as many. */
enum { ROWS = 8, HALVES = LIZ_PANEL_ROWS / ROWS };

typedef struct bytes256 {
    __m256i t[8]; /* packed order, 32 elements each */
} bytes256;

/* a_j and b_j of the 16 rows of a block, as far as they do not stand in it; b with what `offset_of` adds. */
typedef struct scales256 {
    union {
        _Alignas(32) int16_t a[16][8]; /* sub-blocks of 32 */
        int16_t a16[16][16];
    };
    union {
        _Alignas(32) int16_t b[16][8];
        int16_t b16[16][16];
    };
} scales256;

LIZ_INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LIZ_INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
LIZ_INLINE void store256(void *p, __m256i x) { _mm256_store_si256((__m256i *)p, x); }
/* Eight words, in both halves. */
LIZ_INLINE __m256i load_twice(const int16_t *words) { return _mm256_broadcastsi128_si256(load128(words)); }

/* Of eight words in both halves: eight copies of `first` and, in the high half, of `first + 1`. */
LIZ_INLINE __m256i spread_words(__m256i twice, int first)
{
    const __m256i base =
        _mm256_set_epi64x(0x0302030203020302, 0x0302030203020302, 0x0100010001000100, 0x0100010001000100);
    return _mm256_shuffle_epi8(twice, _mm256_add_epi8(base, _mm256_set1_epi8((char)(2 * first))));
}

/* Rounding, and for unsigned t 128 more, in the scale of 16-bit products. */
LIZ_INLINE __m256i offset_of(bool is_signed) { return _mm256_set1_epi16((short)(is_signed ? 128 : 128 + 32768)); }

/* Bytes t as they are wanted. */
LIZ_INLINE __m256i bytes_of(__m256i t, bool is_signed)
{
    return is_signed ? t : _mm256_xor_si256(t, _mm256_set1_epi8((char)0x80));
}

LIZ_INLINE __m256i low_nibbles(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
LIZ_INLINE __m256i high_nibbles(__m256i x) { return low_nibbles(_mm256_srli_epi16(x, 4)); }

/* -zero, 1 - zero, ... 7 - zero in each half. */
LIZ_INLINE __m256i count_from(int zero)
{
    const __m256i iota = _mm256_broadcastsi128_si256(_mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0));
    return _mm256_sub_epi16(iota, _mm256_set1_epi16((short)zero));
}

/* The high bytes of eight words, in each half twice. */
LIZ_INLINE __m256i high_bytes(__m256i words)
{
    return _mm256_shuffle_epi8(words, _mm256_set1_epi64x(0x0F0D0B0907050301));
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

/* In each half the bytes that 16 codes stand for, v from -zero on. `b`, or NULL: two sub-blocks' words. */
LIZ_INLINE __m256i table_of(__m256i a, const __m256i *b, int zero, bool is_signed)
{
    if (b == NULL)
        return bytes_of(_mm256_packs_epi16(scaled(a, count_from(zero)), scaled(a, count_from(zero - 8))), is_signed);
    __m256i twos = _mm256_sub_epi16(_mm256_slli_epi16(count_from(0), 1), _mm256_set1_epi16((short)zero));
    __m256i even = _mm256_add_epi16(_mm256_mullo_epi16(a, twos), *b);
    return odd_into_even(even, _mm256_add_epi16(even, a));
}

/* A row of words a and, unless NULL, b. */
LIZ_INLINE void decode_steps(const uint8_t *four, const uint8_t *one, const int16_t *a, const int16_t *b, int zero,
                             bool is_signed, bytes256 *out)
{
    __m256i a_row = load_twice(a), b_row = load_twice(b != NULL ? b : a);
    for (int g = 0; g < 4; g++) {
        int at = register_of(g);
        __m256i x = load256(four + 32 * g), low = low_nibbles(x), high = high_nibbles(x);
        __m256i aw = spread_words(a_row, 2 * g), bw = spread_words(b_row, 2 * g);
        __m256i table = table_of(aw, b != NULL ? &bw : NULL, zero, is_signed);
        out->t[at] = _mm256_shuffle_epi8(table, low);
        out->t[at + 2] = _mm256_shuffle_epi8(table, high);
        if (one != NULL) {
            table = table_of(aw, b != NULL ? &bw : NULL, zero - 16, is_signed);
            out->t[at] = _mm256_blendv_epi8(out->t[at], _mm256_shuffle_epi8(table, low), bytes_of_bits(one + 4 * at));
            out->t[at + 2] =
                _mm256_blendv_epi8(out->t[at + 2], _mm256_shuffle_epi8(table, high), bytes_of_bits(one + 4 * (at + 2)));
        }
    }
}

LIZ_INLINE void prepare_none(const void *block, bool is_signed, scales256 *to)
{
    (void)block, (void)is_signed, (void)to;
}

LIZ_INLINE void prepare_ab(const void *block, bool is_signed, scales256 *to)
{
    const liz_scales_ab *from = block;
    for (int row = 0; row < 16; row += 2)
        store256(to->b[row], _mm256_add_epi16(load256(from->b[row]), offset_of(is_signed)));
}

/* Of a word for each row those of `row`, which is even, and the next: eight copies in each half. */
LIZ_INLINE __m256i words_of_two_rows(const int16_t *r, int row)
{
    return spread_words(load_twice(r + row / 8 * 8), row % 8);
}

/* (x * r + 32) >> 6 for the bytes x < 64 of two rows. */
LIZ_INLINE __m256i scale_two_rows(const uint8_t (*x)[8], const int16_t *r, int row)
{
    __m256i words = _mm256_cvtepu8_epi16(load128(x[row]));
    return _mm256_mulhrs_epi16(_mm256_slli_epi16(words, 9), words_of_two_rows(r, row));
}

LIZ_INLINE void prepare_k32(const void *block, bool is_signed, scales256 *to)
{
    const liz_scales_k32 *from = block;
    for (int row = 0; row < 16; row += 2) {
        store256(to->a[row], scale_two_rows(from->s, from->r, row));
        store256(to->b[row], _mm256_add_epi16(scale_two_rows(from->m, from->rm, row), offset_of(is_signed)));
    }
}

/* `one`, and `b_words` of the row, and `a_words` of all rows in terms of the block `from` and what was prepared. */
#define DECODE_STEPS(name, one, a_words, b_words, zero)                                                                \
    LIZ_INLINE void decode_##name(const void *block, const scales256 *prepared, int row, bool is_signed,               \
                                  bytes256 *out)                                                                       \
    {                                                                                                                  \
        const liz_block_##name *from = block;                                                                          \
        decode_steps(from->four[row], one, a_words[row], b_words, zero, is_signed, out);                               \
        (void)prepared;                                                                                                \
    }

#define prepare_i4 prepare_none
#define prepare_i5 prepare_none
#define prepare_i4m prepare_ab
#define prepare_i5m prepare_ab
#define prepare_i4k prepare_k32
#define prepare_i5k prepare_k32
DECODE_STEPS(i4, NULL, from->scales.a, NULL, 8)
DECODE_STEPS(i5, from->one[row], from->scales.a, NULL, 16)
DECODE_STEPS(i4m, NULL, from->scales.a, prepared->b[row], 0)
DECODE_STEPS(i5m, from->one[row], from->scales.a, prepared->b[row], 0)
DECODE_STEPS(i4k, NULL, prepared->a, prepared->b[row], 0)
DECODE_STEPS(i5k, from->one[row], prepared->a, prepared->b[row], 0)

/* ---- Nibbles that stand for any sixteen numbers ---- */

LIZ_INLINE void prepare_i4t(const void *block, bool is_signed, scales256 *to)
{
    const liz_scales_t32 *from = block;
    (void)is_signed;
    for (int row = 0; row < 16; row += 2) {
        __m256i s = _mm256_slli_epi16(_mm256_cvtepi8_epi16(load128(from->s[row])), 8);
        store256(to->a[row], _mm256_mulhrs_epi16(s, words_of_two_rows(from->r, row)));
    }
}

LIZ_INLINE void decode_i4t(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    const liz_block_i4t *b = block;
    __m256i a = load_twice(prepared->a[row]), values = _mm256_cvtepi8_epi16(load128(b->scales.values));
    __m256i v0 = _mm256_permute4x64_epi64(values, 0x44), v1 = _mm256_permute4x64_epi64(values, 0xEE);
    for (int g = 0; g < 4; g++) {
        __m256i x = load256(b->four[row] + 32 * g), aw = spread_words(a, 2 * g);
        __m256i table = bytes_of(_mm256_packs_epi16(scaled(aw, v0), scaled(aw, v1)), is_signed);
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
    __m128i half = c < 4 ? _mm256_castsi256_si128(row) : _mm256_extracti128_si256(row, 1);
    return spread_words(_mm256_broadcastsi128_si256(half), c % 4 * 2);
}

#define prepare_i2 prepare_none

LIZ_INLINE void decode_i2(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    (void)prepared;
    for (int c = 0; c < 8; c++)
        out->t[c] = _mm256_add_epi8(pairs_of(((const liz_block_i2 *)block)->two[row], c),
                                    _mm256_set1_epi8((char)(is_signed ? -1 : 127)));
}

/* (x * r + 8) >> 4 for sixteen bytes x < 16. */
LIZ_INLINE __m256i scale_nibbles(__m128i x, int16_t r)
{
    __m256i words = _mm256_cvtepu8_epi16(_mm_and_si128(x, _mm_set1_epi8(15)));
    return _mm256_mulhrs_epi16(_mm256_slli_epi16(words, 11), _mm256_set1_epi16(r));
}

LIZ_INLINE void prepare_i2k(const void *block, bool is_signed, scales256 *to)
{
    const liz_scales_k16 *from = block;
    for (int row = 0; row < 16; row++) {
        __m128i sm = load128(from->sm[row]);
        __m256i min = scale_nibbles(_mm_srli_epi16(sm, 4), from->rm[row]);
        store256(to->a16[row], scale_nibbles(sm, from->r[row]));
        store256(to->b16[row], _mm256_add_epi16(min, offset_of(is_signed)));
    }
}

LIZ_INLINE void decode_i2k(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    const liz_block_i2k *b = block;
    __m256i a = load256(prepared->a16[row]), min = load256(prepared->b16[row]);
    (void)is_signed;
    for (int c = 0; c < 8; c++) {
        __m256i words = _mm256_add_epi16(_mm256_mullo_epi16(words_of(a, c), count_from(0)), words_of(min, c));
        out->t[c] = _mm256_shuffle_epi8(high_bytes(words), pairs_of(b->two[row], c));
    }
}

LIZ_INLINE void prepare_s16(const void *block, bool is_signed, scales256 *to)
{
    const liz_scales_s16 *from = block;
    (void)is_signed;
    for (int row = 0; row < 16; row++) {
        __m256i s = _mm256_slli_epi16(_mm256_cvtepi8_epi16(load128(from->s[row])), 8);
        store256(to->a16[row], _mm256_mulhrs_epi16(s, _mm256_set1_epi16(from->r[row])));
    }
}

#define prepare_i3k prepare_s16
#define prepare_i6k prepare_s16

LIZ_INLINE void decode_i3k(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    const liz_block_i3k *b = block;
    __m256i a = load256(prepared->a16[row]);
    for (int c = 0; c < 8; c++) {
        __m256i third = _mm256_and_si256(bytes_of_bits(b->one[row] + 4 * c), _mm256_set1_epi8(4));
        __m256i words = scaled(words_of(a, c), count_from(4));
        __m256i table = bytes_of(_mm256_packs_epi16(words, words), is_signed);
        out->t[c] = _mm256_shuffle_epi8(table, _mm256_or_si256(pairs_of(b->two[row], c), third));
    }
}

LIZ_INLINE void decode_i6k(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    const liz_block_i6k *from = block;
    __m256i a_row = load256(prepared->a16[row]);
    for (int c = 0; c < 8; c++) {
        __m256i x = load256(from->four[row] + c / 4 * 64 + c % 2 * 32);
        __m256i q = c / 2 % 2 == 0 ? low_nibbles(x) : high_nibbles(x);
        q = _mm256_or_si256(q, _mm256_slli_epi16(pairs_of(from->two[row], c), 4));
        __m256i a = words_of(a_row, c);
        __m256i first = _mm256_sub_epi16(offset_of(is_signed), _mm256_mullo_epi16(a, _mm256_set1_epi16(32)));
        __m256i even = _mm256_mullo_epi16(_mm256_and_si256(q, _mm256_set1_epi16(255)), a);
        __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(q, 8), a);
        out->t[c] = odd_into_even(_mm256_add_epi16(even, first), _mm256_add_epi16(odd, first));
    }
}

/* ---- Bytes ---- */

#define prepare_i8 prepare_none

LIZ_INLINE void decode_i8(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out)
{
    (void)prepared;
    for (int c = 0; c < 8; c++)
        out->t[c] = bytes_of(load256(((const liz_block_i8 *)block)->t[row] + 32 * c), is_signed);
}

typedef void prepare_fn(const void *block, bool is_signed, scales256 *to);
typedef void decode_fn(const void *block, const scales256 *prepared, int row, bool is_signed, bytes256 *out);

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
