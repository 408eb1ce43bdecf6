/* dot_avx512.c - one to eight tokens against a panel, with VNNI.
 *
 * Lanes run along k: a row's 256 elements are four registers, multiplied with the token's four (vpdpbusd, exact), so
 * a row and token leave sixteen partial sums. Sixteen rows' partial sums are reduced together by a tree that
 * transposes as it adds, which leaves one register with a row a lane; there floating point enters once. Weights are
 * unsigned here (t + 128), so 128 times the sum of the activations is taken off. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx512.h"

/* In each 128-bit lane: the sums of a, b, c, d over that lane. */
LIZ_INLINE __m512i sum_of_four(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

LIZ_INLINE __m512i sum_of_lanes(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}

/* Lane r: the sum of the sixteen lanes of x[r]. */
LIZ_INLINE __m512i sum_of_rows(const __m512i *x)
{
    __m512i s0 = sum_of_four(x[0], x[1], x[2], x[3]), s1 = sum_of_four(x[4], x[5], x[6], x[7]);
    __m512i s2 = sum_of_four(x[8], x[9], x[10], x[11]), s3 = sum_of_four(x[12], x[13], x[14], x[15]);
    return sum_of_lanes(sum_of_lanes(s0, s1), sum_of_lanes(s2, s3));
}

LIZ_INLINE void dot_tokens(const uint8_t *panel, size_t block_bytes, size_t n_blocks, const int8_t *q, const float *d,
                           const int32_t *sum, int n_tok, float *y, size_t y_stride, liz_prepare512_fn *prepare,
                           liz_decode512_fn *decode)
{
    __m512 acc[LIZ_DOT_TOKENS_MAX];
    __m512i part[LIZ_DOT_TOKENS_MAX][LIZ_PANEL_ROWS];
    for (int t = 0; t < n_tok; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++, panel += block_bytes) {
        liz_scales512 scales;
        prepare(panel, false, &scales);
        for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
            __m512i w[4];
            liz_prefetch_row(panel + LIZ_PREFETCH_BYTES, block_bytes, row);
            decode(panel, &scales, row, 0, false, w);
            decode(panel, &scales, row, 1, false, w + 2);
            for (int t = 0; t < n_tok; t++) {
                const int8_t *a = q + ((size_t)t * liz_act_stride(n_blocks) + b) * LIZ_BLOCK_LEN;
                __m512i s = _mm512_setzero_si512();
                for (int c = 0; c < 4; c++)
                    s = _mm512_dpbusd_epi32(s, w[c], _mm512_loadu_si512(a + 64 * c));
                part[t][row] = s;
            }
        }
        __m512 d_rows = _mm512_load_ps(panel);
        for (int t = 0; t < n_tok; t++) {
            size_t at = (size_t)t * n_blocks + b;
            __m512i whole = _mm512_sub_epi32(sum_of_rows(part[t]), _mm512_set1_epi32(sum[at]));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(d_rows, _mm512_set1_ps(d[at])), acc[t]);
        }
    }
    for (int t = 0; t < n_tok; t++)
        _mm512_storeu_ps(y + (size_t)t * y_stride, acc[t]);
}

/* The token count is a constant in each copy, so that loops over tokens unroll. */
#define DOT_I8(ID, name, types)                                                                                        \
    static void dot_##name(const void *panel, size_t n_blocks, const int8_t *q, const float *d, const int32_t *sum,    \
                           size_t n_tok, float *y, size_t y_stride)                                                    \
    {                                                                                                                  \
        const size_t bytes = sizeof(liz_block_##name);                                                                 \
        switch (n_tok) {                                                                                               \
        case 1: dot_tokens(panel, bytes, n_blocks, q, d, sum, 1, y, y_stride, prepare_##name, decode_##name); break;   \
        case 2: dot_tokens(panel, bytes, n_blocks, q, d, sum, 2, y, y_stride, prepare_##name, decode_##name); break;   \
        case 4: dot_tokens(panel, bytes, n_blocks, q, d, sum, 4, y, y_stride, prepare_##name, decode_##name); break;   \
        case 8: dot_tokens(panel, bytes, n_blocks, q, d, sum, 8, y, y_stride, prepare_##name, decode_##name); break;   \
        default:                                                                                                       \
            dot_tokens(panel, bytes, n_blocks, q, d, sum, (int)n_tok, y, y_stride, prepare_##name, decode_##name);     \
        }                                                                                                              \
    }

LIZ_PACKS_INTEGER(DOT_I8)

void liz_kernel_dot_avx512(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->dot_i8[LIZ_PACK_##ID] = dot_##name;
    LIZ_PACKS_INTEGER(ENTRY)
}
