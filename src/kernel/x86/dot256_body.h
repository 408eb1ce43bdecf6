/* dot256_body.h - one to eight tokens against a panel, in ymm registers: the AVX2 tier's two variants.
 *
 * As in the AVX-512 tier lanes run along k and eight rows' partial sums are reduced together. The file that includes
 * this says how a product is made:
 *   IS_SIGNED                whether weights are t, or t + 128
 *   WANTS_ABS                whether a single token's |q| help
 *   dot_row(w, q, abs_q)     a row's 256 bytes times a token's, eight sums; abs_q [8] is |q|, or NULL. With it no t is
 *                            -128
 *   whole_of(sums, sum)      rows' sums made right, given 128 times the sum of the token's bytes */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx2.h"

LIZ_INLINE void dot_tokens(const uint8_t *panel, size_t block_bytes, size_t n_blocks, const int8_t *q, const float *d,
                           const int32_t *sum, int n_tok, float *y, size_t y_stride, bool by_abs, prepare_fn *prepare,
                           decode_fn *decode)
{
    __m256 acc[LIZ_DOT_TOKENS_MAX][2];
    __m256i part[LIZ_DOT_TOKENS_MAX][LIZ_PANEL_ROWS], abs_q[8];
    for (int t = 0; t < n_tok; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++, panel += block_bytes) {
        scales256 scales;
        prepare(panel, IS_SIGNED, &scales);
        for (int c = 0; c < 8 && by_abs; c++)
            abs_q[c] = _mm256_abs_epi8(load256(q + b * LIZ_BLOCK_LEN + 32 * c));
        for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
            bytes256 w;
            liz_prefetch_row(panel + LIZ_PREFETCH_BYTES, block_bytes, row);
            decode(panel, &scales, row, IS_SIGNED, &w);
            for (int t = 0; t < n_tok; t++)
                part[t][row] =
                    dot_row(&w, q + ((size_t)t * liz_act_stride(n_blocks) + b) * LIZ_BLOCK_LEN, by_abs ? abs_q : NULL);
        }
        for (int t = 0; t < n_tok; t++) {
            __m256 d_tok = _mm256_set1_ps(d[(size_t)t * n_blocks + b]);
            for (int half = 0; half < 2; half++) {
                __m256i whole = whole_of(sum_of_rows(part[t] + 8 * half), sum[(size_t)t * n_blocks + b]);
                __m256 d_rows = _mm256_loadu_ps((const float *)(const void *)panel + 8 * half);
                acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), _mm256_mul_ps(d_rows, d_tok), acc[t][half]);
            }
        }
    }
    for (int t = 0; t < n_tok; t++) {
        _mm256_storeu_ps(y + (size_t)t * y_stride, acc[t][0]);
        _mm256_storeu_ps(y + (size_t)t * y_stride + 8, acc[t][1]);
    }
}

#define DOT_I8(ID, name, types)                                                                                        \
    static void dot_##name(const void *panel, size_t n_blocks, const int8_t *q, const float *d, const int32_t *sum,    \
                           size_t n_tok, float *y, size_t y_stride)                                                    \
    {                                                                                                                  \
        const size_t bytes = sizeof(liz_block_##name);                                                                 \
        const bool by_abs = WANTS_ABS && LIZ_PACK_##ID != LIZ_PACK_I8;                                                 \
        if (n_tok == 1)                                                                                                \
            dot_tokens(panel, bytes, n_blocks, q, d, sum, 1, y, y_stride, by_abs, prepare_##name, decode_##name);      \
        else                                                                                                           \
            dot_tokens(panel, bytes, n_blocks, q, d, sum, (int)n_tok, y, y_stride, false, prepare_##name,              \
                       decode_##name);                                                                                 \
    }

LIZ_PACKS_INTEGER(DOT_I8)
