/* decode_avx512.h - packed blocks to bytes in zmm registers, for the AVX-512 and AMX tiers.
 *
 * A decoder gives t as it is (for tiles) or t + 128 (unsigned, as VNNI wants one operand), 64 elements a register,
 * four registers a row and block. In packed order each 128-bit lane of a register holds 16 elements of one sub-block,
 * so a lane needs one scale. Two roads:
 * - nibbles: the 16 possible values of a sub-block are computed once, 16-bit, and looked up with vpshufb;
 * - wider q: even and odd bytes are multiplied as 16-bit numbers, and the high bytes are the result.
 * What rows share (scales of 16 rows) is prepared once a block into a liz_scales512. */
#ifndef LIZ_KERNEL_DECODE_AVX512_H
#define LIZ_KERNEL_DECODE_AVX512_H

#include "kernel/pack.h"

#include <immintrin.h>

#define LIZ_INLINE static inline __attribute__((always_inline, unused))

/* a_j and b_j of the 16 rows of a block; b includes `offset_of`. */
typedef struct liz_scales512 {
    _Alignas(64) int16_t a[16][8], b[16][8]; /* sub-blocks of 32 */
    _Alignas(64) int16_t a16[16][16];        /* sub-blocks of 16 */
} liz_scales512;

typedef struct liz_bytes512 {
    __m512i t[4];
} liz_bytes512;

/* Asks for the sixteenth part `row` of the block at `block`, which need not exist. */
LIZ_INLINE void prefetch_row(const uint8_t *block, size_t block_bytes, int row)
{
    const uint8_t *part = block + (size_t)row * (block_bytes / 16);
    for (size_t i = 0; i < block_bytes / 16; i += 64)
        _mm_prefetch((const char *)part + i, _MM_HINT_T0);
}

/* Word lanes of a register: in each 128-bit lane l, eight copies of word (first + l) of an 8-word row. */
LIZ_INLINE __m512i spread_words(const int16_t *row, int first)
{
    const __m512i low =
        _mm512_set_epi64(0x0706070607060706, 0x0706070607060706, 0x0504050405040504, 0x0504050405040504,
                         0x0302030203020302, 0x0302030203020302, 0x0100010001000100, 0x0100010001000100);
    __m512i words = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)row));
    return _mm512_shuffle_epi8(words, first == 0 ? low : _mm512_add_epi8(low, _mm512_set1_epi8(8)));
}

/* Rounding, and for unsigned t 128 more, in the scale of 16-bit products. */
LIZ_INLINE __m512i offset_of(bool is_signed) { return _mm512_set1_epi16((short)(is_signed ? 128 : 128 + 32768)); }

/* The 16 values of each lane's sub-block: a * (i - zero) + b, high bytes. */
LIZ_INLINE __m512i table_of(__m512i a, __m512i b, int zero, bool is_signed)
{
    const __m512i iota = _mm512_broadcast_i32x4(_mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0));
    __m512i first = _mm512_add_epi16(_mm512_mullo_epi16(a, _mm512_sub_epi16(iota, _mm512_set1_epi16((short)zero))), b);
    __m512i second = _mm512_add_epi16(first, _mm512_slli_epi16(a, 3));
    if (is_signed)
        return _mm512_packs_epi16(_mm512_srai_epi16(first, 8), _mm512_srai_epi16(second, 8));
    return _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
}

LIZ_INLINE __m512i low_nibbles(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
LIZ_INLINE __m512i high_nibbles(__m512i x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }

LIZ_INLINE void lookup_row(const uint8_t *low, __m512i table0, __m512i table1, liz_bytes512 *out)
{
    __m512i x0 = _mm512_loadu_si512(low), x1 = _mm512_loadu_si512(low + 64);
    out->t[0] = _mm512_shuffle_epi8(table0, low_nibbles(x0));
    out->t[1] = _mm512_shuffle_epi8(table0, high_nibbles(x0));
    out->t[2] = _mm512_shuffle_epi8(table1, low_nibbles(x1));
    out->t[3] = _mm512_shuffle_epi8(table1, high_nibbles(x1));
}

/* High bytes of a * (q - zero) + 128; a one word a lane. */
LIZ_INLINE __m512i multiply_bytes(__m512i q, __m512i a, int zero, bool is_signed)
{
    __m512i b = _mm512_sub_epi16(offset_of(is_signed), _mm512_mullo_epi16(a, _mm512_set1_epi16((short)zero)));
    __m512i even = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(q, _mm512_set1_epi16(255)), a), b);
    __m512i odd = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(q, 8), a), b);
    return _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAAu, _mm512_srli_epi16(even, 8), odd);
}

/* ---- I4 ---- */

LIZ_INLINE void prepare_i4(const void *block, bool is_signed, liz_scales512 *scales)
{
    (void)block, (void)is_signed, (void)scales;
}

LIZ_INLINE void decode_i4(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out)
{
    (void)scales;
    const liz_block_i4 *b = block;
    __m512i offset = offset_of(is_signed);
    lookup_row(b->low[row], table_of(spread_words(b->a[row], 0), offset, 8, is_signed),
               table_of(spread_words(b->a[row], 4), offset, 8, is_signed), out);
}

/* ---- I4K ---- */

/* (x * r + 2^(14 - shift)) >> (15 - shift) for four rows of eight bytes, r one word a row. */
LIZ_INLINE __m512i scale_rows(const uint8_t *bytes, __m512i r)
{
    __m512i x = _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)(const void *)bytes));
    return _mm512_mulhrs_epi16(_mm512_slli_epi16(x, 9), r);
}

LIZ_INLINE void prepare_i4k(const void *block, bool is_signed, liz_scales512 *scales)
{
    const liz_block_i4k *b = block;
    __m512i r = _mm512_castsi256_si512(_mm256_load_si256((const __m256i *)(const void *)b->r));
    __m512i rm = _mm512_castsi256_si512(_mm256_load_si256((const __m256i *)(const void *)b->rm));
    const __m512i row_of = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002,
                                            0x0002000200020002, 0x0001000100010001, 0x0001000100010001, 0, 0);
    __m512i offset = offset_of(is_signed);
    for (int row = 0; row < 16; row += 4) {
        __m512i index = _mm512_add_epi16(row_of, _mm512_set1_epi16((short)row));
        _mm512_store_si512(scales->a[row], scale_rows(b->s[row], _mm512_permutexvar_epi16(index, r)));
        __m512i min = scale_rows(b->m[row], _mm512_permutexvar_epi16(index, rm));
        _mm512_store_si512(scales->b[row], _mm512_add_epi16(min, offset));
    }
}

LIZ_INLINE void decode_i4k(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out)
{
    const liz_block_i4k *b = block;
    const int16_t *a = scales->a[row], *c = scales->b[row];
    lookup_row(b->low[row], table_of(spread_words(a, 0), spread_words(c, 0), 0, is_signed),
               table_of(spread_words(a, 4), spread_words(c, 4), 0, is_signed), out);
}

/* ---- I5 ---- */

LIZ_INLINE void prepare_i5(const void *block, bool is_signed, liz_scales512 *scales)
{
    (void)block, (void)is_signed, (void)scales;
}

LIZ_INLINE __m512i with_fifth_bits(__m512i q, const uint8_t *bits)
{
    uint64_t mask;
    __builtin_memcpy(&mask, bits, 8);
    return _mm512_mask_add_epi8(q, mask, q, _mm512_set1_epi8(16));
}

LIZ_INLINE void decode_i5(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out)
{
    (void)scales;
    const liz_block_i5 *b = block;
    for (int h = 0; h < 2; h++) {
        __m512i x = _mm512_loadu_si512(b->low[row] + 64 * h), a = spread_words(b->a[row], 4 * h);
        const uint8_t *bits = b->high[row] + 16 * h;
        out->t[2 * h] = multiply_bytes(with_fifth_bits(low_nibbles(x), bits), a, 16, is_signed);
        out->t[2 * h + 1] = multiply_bytes(with_fifth_bits(high_nibbles(x), bits + 8), a, 16, is_signed);
    }
}

/* ---- I6K ---- */

LIZ_INLINE void prepare_i6k(const void *block, bool is_signed, liz_scales512 *scales)
{
    (void)is_signed;
    const liz_block_i6k *b = block;
    for (int row = 0; row < 16; row++) {
        __m256i s = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)b->s[row]));
        __m256i a = _mm256_mulhrs_epi16(_mm256_slli_epi16(s, 8), _mm256_set1_epi16(b->r[row]));
        _mm256_store_si256((__m256i *)(void *)scales->a16[row], a);
    }
}

LIZ_INLINE void decode_i6k(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out)
{
    const liz_block_i6k *b = block;
    const __m512i pair = _mm512_set1_epi8(0x30);
    __m512i high = _mm512_loadu_si512(b->high[row]);
    __m512i x0 = _mm512_loadu_si512(b->low[row]), x1 = _mm512_loadu_si512(b->low[row] + 64);
    const int16_t *a = scales->a16[row];
    __m512i q0 = _mm512_or_si512(low_nibbles(x0), _mm512_and_si512(_mm512_slli_epi16(high, 4), pair));
    __m512i q1 = _mm512_or_si512(high_nibbles(x0), _mm512_and_si512(_mm512_slli_epi16(high, 2), pair));
    __m512i q2 = _mm512_or_si512(low_nibbles(x1), _mm512_and_si512(high, pair));
    __m512i q3 = _mm512_or_si512(high_nibbles(x1), _mm512_and_si512(_mm512_srli_epi16(high, 2), pair));
    out->t[0] = multiply_bytes(q0, spread_words(a, 0), 32, is_signed);
    out->t[1] = multiply_bytes(q1, spread_words(a, 4), 32, is_signed);
    out->t[2] = multiply_bytes(q2, spread_words(a + 8, 0), 32, is_signed);
    out->t[3] = multiply_bytes(q3, spread_words(a + 8, 4), 32, is_signed);
}

/* ---- I8 ---- */

LIZ_INLINE void prepare_i8(const void *block, bool is_signed, liz_scales512 *scales)
{
    (void)block, (void)is_signed, (void)scales;
}

LIZ_INLINE void decode_i8(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out)
{
    (void)scales;
    const liz_block_i8 *b = block;
    for (int c = 0; c < 4; c++)
        out->t[c] = _mm512_xor_si512(_mm512_loadu_si512(b->t[row] + 64 * c), _mm512_set1_epi8(is_signed ? 0 : -128));
}

#endif
