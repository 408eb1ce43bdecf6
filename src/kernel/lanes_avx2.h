/* lanes_avx2.h - the elementary operations of lanes.h in pairs of ymm registers; lanes_c.h says what each means. */
#ifndef LIZ_KERNEL_LANES_AVX2_H
#define LIZ_KERNEL_LANES_AVX2_H

typedef struct liz_v16 {
    __m256 lo, hi;
} liz_v16;

typedef liz_v16 liz_m16; /* all bits of a lane */

#define LIZ_BOTH(op, ...) ((liz_v16){LIZ_HALF(op, lo, __VA_ARGS__), LIZ_HALF(op, hi, __VA_ARGS__)})
#define LIZ_HALF(op, half, ...) LIZ_HALF_OF(__VA_ARGS__, 3, 2, 1)(op, half, __VA_ARGS__)
#define LIZ_HALF_OF(a, b, c, n, ...) LIZ_HALF_##n
#define LIZ_HALF_1(op, half, a) op((a).half)
#define LIZ_HALF_2(op, half, a, b) op((a).half, (b).half)
#define LIZ_HALF_3(op, half, a, b, c) op((a).half, (b).half, (c).half)

LIZ_LANE_FN liz_v16 liz_v16_zero(void) { return (liz_v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
LIZ_LANE_FN liz_v16 liz_v16_set(float x) { return (liz_v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
LIZ_LANE_FN liz_v16 liz_v16_load(const float *p) { return (liz_v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }

LIZ_LANE_FN void liz_v16_store(float *p, liz_v16 v)
{
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}

LIZ_LANE_FN liz_v16 liz_v16_add(liz_v16 a, liz_v16 b) { return LIZ_BOTH(_mm256_add_ps, a, b); }
LIZ_LANE_FN liz_v16 liz_v16_sub(liz_v16 a, liz_v16 b) { return LIZ_BOTH(_mm256_sub_ps, a, b); }
LIZ_LANE_FN liz_v16 liz_v16_mul(liz_v16 a, liz_v16 b) { return LIZ_BOTH(_mm256_mul_ps, a, b); }
LIZ_LANE_FN liz_v16 liz_v16_div(liz_v16 a, liz_v16 b) { return LIZ_BOTH(_mm256_div_ps, a, b); }
LIZ_LANE_FN liz_v16 liz_v16_fma(liz_v16 a, liz_v16 b, liz_v16 c) { return LIZ_BOTH(_mm256_fmadd_ps, a, b, c); }
LIZ_LANE_FN liz_v16 liz_v16_max(liz_v16 a, liz_v16 b) { return LIZ_BOTH(_mm256_max_ps, a, b); }
LIZ_LANE_FN liz_v16 liz_v16_sqrt(liz_v16 a) { return LIZ_BOTH(_mm256_sqrt_ps, a); }

LIZ_LANE_FN float liz_v16_sum(liz_v16 v) { return liz_v8_sum(_mm256_add_ps(v.lo, v.hi)); }
LIZ_LANE_FN float liz_v16_max_lane(liz_v16 v) { return liz_v8_max_lane(_mm256_max_ps(v.lo, v.hi)); }

LIZ_LANE_FN liz_v16 liz_v16_abs(liz_v16 a)
{
    liz_v16 sign = liz_v16_set(-0.0f);
    return LIZ_BOTH(_mm256_andnot_ps, sign, a);
}

LIZ_LANE_FN liz_m16 liz_v16_lt(liz_v16 a, liz_v16 b)
{
    return (liz_m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}

LIZ_LANE_FN bool liz_m16_all(liz_m16 mask) { return _mm256_movemask_ps(_mm256_and_ps(mask.lo, mask.hi)) == 0xFF; }
LIZ_LANE_FN liz_v16 liz_v16_select(liz_m16 mask, liz_v16 a, liz_v16 b)
{
    return LIZ_BOTH(_mm256_blendv_ps, b, a, mask);
}

LIZ_LANE_FN __m256 liz_v8_pow2(__m256 n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

LIZ_LANE_FN liz_v16 liz_v16_pow2(liz_v16 n) { return LIZ_BOTH(liz_v8_pow2, n); }

LIZ_LANE_FN __m256 liz_v8_round_bf16(__m256 x)
{
    __m256i u = _mm256_castps_si256(x), exponent = _mm256_and_si256(u, _mm256_set1_epi32(0x7F800000));
    __m256i tie = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i y = _mm256_add_epi32(u, _mm256_add_epi32(tie, _mm256_set1_epi32(0x7FFF)));
    __m256i tiny = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
    y = _mm256_blendv_epi8(y, _mm256_and_si256(u, _mm256_set1_epi32(INT32_MIN)), tiny);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    y = _mm256_blendv_epi8(y, _mm256_or_si256(u, _mm256_set1_epi32(0x00400000)), nan);
    return _mm256_castsi256_ps(_mm256_and_si256(y, _mm256_set1_epi32((int)0xFFFF0000)));
}

LIZ_LANE_FN liz_v16 liz_v16_round_bf16(liz_v16 x) { return LIZ_BOTH(liz_v8_round_bf16, x); }

LIZ_LANE_FN __m256 liz_v8_round_bf16_positive(__m256 x)
{
    __m256i u = _mm256_castps_si256(x), tie = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i y = _mm256_add_epi32(u, _mm256_add_epi32(tie, _mm256_set1_epi32(0x7FFF)));
    return _mm256_castsi256_ps(_mm256_and_si256(y, _mm256_set1_epi32((int)0xFFFF0000)));
}

LIZ_LANE_FN liz_v16 liz_v16_round_bf16_positive(liz_v16 x) { return LIZ_BOTH(liz_v8_round_bf16_positive, x); }

LIZ_LANE_FN void liz_v16_store_bf16(uint16_t *p, liz_v16 x)
{
    liz_v16 r = liz_v16_round_bf16(x);
    __m256i lo = _mm256_srli_epi32(_mm256_castps_si256(r.lo), 16),
            hi = _mm256_srli_epi32(_mm256_castps_si256(r.hi), 16);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xD8);
    _mm256_storeu_si256((__m256i *)(void *)p, words);
}

LIZ_LANE_FN void liz_v16_store_bf16_pairs(uint16_t *p, liz_v16 a, liz_v16 b, bool stream)
{
    liz_v16 low = liz_v16_round_bf16(a), high = liz_v16_round_bf16(b);
    __m256i lo = _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(low.lo), 16), _mm256_castps_si256(high.lo));
    __m256i hi = _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(low.hi), 16), _mm256_castps_si256(high.hi));
    __m256i *to = (void *)p;
    if (stream) {
        _mm256_stream_si256(to, lo);
        _mm256_stream_si256(to + 1, hi);
    } else {
        _mm256_store_si256(to, lo);
        _mm256_store_si256(to + 1, hi);
    }
}

LIZ_LANE_FN void liz_v16_store_i8(int8_t *p, liz_v16 x)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
    words = _mm256_permute4x64_epi64(words, 0xD8);
    _mm_storeu_si128((__m128i *)(void *)p,
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

LIZ_LANE_FN void liz_v16_pairs_f32(const float *p, liz_v16 *even, liz_v16 *odd)
{
    for (int i = 0; i < 2; i++) {
        __m256 a = _mm256_loadu_ps(p + 16 * i), b = _mm256_loadu_ps(p + 16 * i + 8);
        __m256d e = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)),
                o = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xDD));
        *(i ? &even->hi : &even->lo) = _mm256_castpd_ps(_mm256_permute4x64_pd(e, 0xD8));
        *(i ? &odd->hi : &odd->lo) = _mm256_castpd_ps(_mm256_permute4x64_pd(o, 0xD8));
    }
}

LIZ_LANE_FN void liz_v16_pairs_bf16(const uint16_t *p, liz_v16 *even, liz_v16 *odd)
{
    __m256i lo = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i hi = _mm256_loadu_si256((const __m256i *)(const void *)(p + 16));
    const __m256i upper = _mm256_set1_epi32((int)0xFFFF0000);
    *even = (liz_v16){_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
    *odd =
        (liz_v16){_mm256_castsi256_ps(_mm256_and_si256(lo, upper)), _mm256_castsi256_ps(_mm256_and_si256(hi, upper))};
}

LIZ_LANE_FN __m256 liz_v8_load_bf16(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

LIZ_LANE_FN liz_v16 liz_v16_load_bf16(const uint16_t *p)
{
    return (liz_v16){liz_v8_load_bf16(p), liz_v8_load_bf16(p + 8)};
}

typedef struct liz_i16 {
    __m256i lo, hi;
} liz_i16;

LIZ_LANE_FN liz_i16 liz_i16_begin(int32_t w_sum)
{
    (void)w_sum;
    return (liz_i16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

/* |x| * (w under x's sign): pairs cannot overflow 16 bits. */
LIZ_LANE_FN __m256i liz_i8_dot4(__m256i sum, const int8_t *x, __m256i w)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(w, v));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

LIZ_LANE_FN liz_i16 liz_i16_dot4(liz_i16 sum, const int8_t *x, const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    __m256i all = _mm256_set1_epi32(four);
    return (liz_i16){liz_i8_dot4(sum.lo, x, all), liz_i8_dot4(sum.hi, x + 32, all)};
}

LIZ_LANE_FN liz_v16 liz_v16_of_i16(liz_i16 n) { return (liz_v16){_mm256_cvtepi32_ps(n.lo), _mm256_cvtepi32_ps(n.hi)}; }

#endif
