/* lanes_avx512.h - the elementary operations of lanes.h in zmm registers; lanes_c.h says what each means. */
#ifndef LIZ_KERNEL_LANES_AVX512_H
#define LIZ_KERNEL_LANES_AVX512_H

typedef __m512 liz_v16;
typedef __mmask16 liz_m16;

LIZ_LANE_FN liz_v16 liz_v16_zero(void) { return _mm512_setzero_ps(); }
LIZ_LANE_FN liz_v16 liz_v16_set(float x) { return _mm512_set1_ps(x); }
LIZ_LANE_FN liz_v16 liz_v16_load(const float *p) { return _mm512_loadu_ps(p); }
LIZ_LANE_FN void liz_v16_store(float *p, liz_v16 v) { _mm512_storeu_ps(p, v); }

LIZ_LANE_FN liz_v16 liz_v16_add(liz_v16 a, liz_v16 b) { return _mm512_add_ps(a, b); }
LIZ_LANE_FN liz_v16 liz_v16_sub(liz_v16 a, liz_v16 b) { return _mm512_sub_ps(a, b); }
LIZ_LANE_FN liz_v16 liz_v16_mul(liz_v16 a, liz_v16 b) { return _mm512_mul_ps(a, b); }
LIZ_LANE_FN liz_v16 liz_v16_div(liz_v16 a, liz_v16 b) { return _mm512_div_ps(a, b); }
LIZ_LANE_FN liz_v16 liz_v16_fma(liz_v16 a, liz_v16 b, liz_v16 c) { return _mm512_fmadd_ps(a, b, c); }
LIZ_LANE_FN liz_v16 liz_v16_max(liz_v16 a, liz_v16 b) { return _mm512_max_ps(a, b); }
LIZ_LANE_FN liz_v16 liz_v16_abs(liz_v16 a) { return _mm512_abs_ps(a); }
LIZ_LANE_FN liz_v16 liz_v16_sqrt(liz_v16 a) { return _mm512_sqrt_ps(a); }

LIZ_LANE_FN __m256 liz_v16_low(liz_v16 v) { return _mm512_castps512_ps256(v); }
LIZ_LANE_FN __m256 liz_v16_high(liz_v16 v) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)); }

LIZ_LANE_FN float liz_v16_sum(liz_v16 v) { return liz_v8_sum(_mm256_add_ps(liz_v16_low(v), liz_v16_high(v))); }
LIZ_LANE_FN float liz_v16_max_lane(liz_v16 v)
{
    return liz_v8_max_lane(_mm256_max_ps(liz_v16_low(v), liz_v16_high(v)));
}

LIZ_LANE_FN liz_m16 liz_v16_lt(liz_v16 a, liz_v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
LIZ_LANE_FN bool liz_m16_all(liz_m16 mask) { return mask == 0xFFFF; }
LIZ_LANE_FN liz_v16 liz_v16_select(liz_m16 mask, liz_v16 a, liz_v16 b) { return _mm512_mask_blend_ps(mask, b, a); }

LIZ_LANE_FN liz_v16 liz_v16_scale2(liz_v16 x, liz_v16 n) { return _mm512_scalef_ps(x, n); }

LIZ_LANE_FN liz_v16 liz_v16_round_bf16(liz_v16 x)
{
    __m512i u = _mm512_castps_si512(x);
    __m512i tie = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i y = _mm512_add_epi32(u, _mm512_add_epi32(tie, _mm512_set1_epi32(0x7FFF)));
    __mmask16 tiny = _mm512_testn_epi32_mask(u, _mm512_set1_epi32(0x7F800000));
    y = _mm512_mask_and_epi32(y, tiny, u, _mm512_set1_epi32(INT32_MIN));
    y = _mm512_mask_or_epi32(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u, _mm512_set1_epi32(0x00400000));
    return _mm512_castsi512_ps(_mm512_and_si512(y, _mm512_set1_epi32((int)0xFFFF0000)));
}

LIZ_LANE_FN liz_v16 liz_v16_round_bf16_positive(liz_v16 x)
{
    __m512i u = _mm512_castps_si512(x), y = _mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF));
    y = _mm512_mask_add_epi32(y, _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000)), y, _mm512_set1_epi32(1));
    return _mm512_castsi512_ps(_mm512_and_si512(y, _mm512_set1_epi32((int)0xFFFF0000)));
}

LIZ_LANE_FN void liz_v16_store_bf16(uint16_t *p, liz_v16 x)
{
    __m512i y = _mm512_srli_epi32(_mm512_castps_si512(liz_v16_round_bf16(x)), 16);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(y));
}

LIZ_LANE_FN void liz_v16_store_upper(uint16_t *p, liz_v16 a, liz_v16 b, const uint16_t *order)
{
    __m512i words = _mm512_slli_epi16(_mm512_loadu_si512(order), 1);
    words = _mm512_or_si512(words, _mm512_set1_epi16(1));
    _mm512_storeu_si512(p, _mm512_permutex2var_epi16(_mm512_castps_si512(a), words, _mm512_castps_si512(b)));
}

LIZ_LANE_FN void liz_v16_store_i8(int8_t *p, liz_v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}

LIZ_LANE_FN void liz_v16_pairs_f32(const float *p, liz_v16 *even, liz_v16 *odd)
{
    const __m512i first = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16);
    *even = _mm512_permutex2var_ps(a, first, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(1)), b);
}

LIZ_LANE_FN void liz_v16_pairs_bf16(const uint16_t *p, liz_v16 *even, liz_v16 *odd)
{
    __m512i pairs = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)));
}

/* The 16 x 16 transpose of 32-bit words: within 128-bit lanes first, then the lanes themselves. */
LIZ_LANE_FN void liz_transpose_words(__m512i *x)
{
    __m512i y[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i ab_lo = _mm512_unpacklo_epi32(x[i], x[i + 1]), ab_hi = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        __m512i cd_lo = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]), cd_hi = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        y[i] = _mm512_unpacklo_epi64(ab_lo, cd_lo);
        y[i + 1] = _mm512_unpackhi_epi64(ab_lo, cd_lo);
        y[i + 2] = _mm512_unpacklo_epi64(ab_hi, cd_hi);
        y[i + 3] = _mm512_unpackhi_epi64(ab_hi, cd_hi);
    }
    for (int i = 0; i < 4; i++) {
        __m512i even_lo = _mm512_shuffle_i32x4(y[i], y[i + 4], 0x88),
                odd_lo = _mm512_shuffle_i32x4(y[i], y[i + 4], 0xDD);
        __m512i even_hi = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0x88);
        __m512i odd_hi = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0xDD);
        x[i] = _mm512_shuffle_i32x4(even_lo, even_hi, 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(even_lo, even_hi, 0xDD);
        x[i + 4] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0x88);
        x[i + 12] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0xDD);
    }
}

LIZ_LANE_FN void liz_v16_transpose(liz_v16 *x)
{
    __m512i words[16];
    for (int i = 0; i < 16; i++)
        words[i] = _mm512_castps_si512(x[i]);
    liz_transpose_words(words);
    for (int i = 0; i < 16; i++)
        x[i] = _mm512_castsi512_ps(words[i]);
}

LIZ_LANE_FN void liz_v16_store_bf16_pairs(uint16_t *p, liz_v16 a, liz_v16 b, bool stream)
{
    __m512i low = _mm512_srli_epi32(_mm512_castps_si512(liz_v16_round_bf16(a)), 16);
    __m512i pairs = _mm512_or_si512(low, _mm512_castps_si512(liz_v16_round_bf16(b)));
    if (stream)
        _mm512_stream_si512((void *)p, pairs);
    else
        _mm512_store_si512(p, pairs);
}

LIZ_LANE_FN liz_v16 liz_v16_load_bf16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* VNNI wants one operand unsigned: x + 128, whose excess is taken off at the beginning. */
typedef __m512i liz_i16;

LIZ_LANE_FN liz_i16 liz_i16_begin(int32_t w_sum) { return _mm512_set1_epi32(-128 * w_sum); }

LIZ_LANE_FN liz_i16 liz_i16_dot4(liz_i16 sum, const int8_t *x, const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    __m512i above = _mm512_xor_si512(_mm512_loadu_si512(x), _mm512_set1_epi8(-128));
    return _mm512_dpbusd_epi32(sum, above, _mm512_set1_epi32(four));
}

LIZ_LANE_FN liz_v16 liz_v16_of_i16(liz_i16 n) { return _mm512_cvtepi32_ps(n); }

#endif
