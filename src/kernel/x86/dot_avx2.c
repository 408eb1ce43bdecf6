/* dot_avx2.c - one to eight tokens against a panel, in ymm registers.
 *
 * As in the AVX-512 tier lanes run along k and eight rows' partial sums are reduced together. Bytes are multiplied as
 * |t| * (a with t's sign): vpmaddubsw then cannot overflow, as 2 * 128 * 127 fits 16 bits. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx2.h"

LIZ_INLINE __m256i dot_row(const bytes256 *w, const int8_t *a)
{
    __m256i sum = _mm256_setzero_si256();
    for (int c = 0; c < 8; c++) {
        __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w->t[c]), _mm256_sign_epi8(load256(a + 32 * c), w->t[c]));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
}

LIZ_INLINE void dot_tokens(const uint8_t *panel, size_t block_bytes, size_t n_blocks, const int8_t *q, const float *d,
                           int n_tok, float *y, size_t y_stride, decode_fn *decode)
{
    __m256 acc[LIZ_DOT_TOKENS_MAX][2];
    __m256i part[LIZ_DOT_TOKENS_MAX][LIZ_PANEL_ROWS];
    for (int t = 0; t < n_tok; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++, panel += block_bytes) {
        for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
            bytes256 w;
            liz_prefetch_row(panel + LIZ_PREFETCH_BYTES, block_bytes, row);
            decode(panel, row, &w);
            for (int t = 0; t < n_tok; t++)
                part[t][row] = dot_row(&w, q + ((size_t)t * liz_act_stride(n_blocks) + b) * LIZ_BLOCK_LEN);
        }
        for (int t = 0; t < n_tok; t++) {
            __m256 d_tok = _mm256_set1_ps(d[(size_t)t * n_blocks + b]);
            for (int half = 0; half < 2; half++) {
                __m256 whole = _mm256_cvtepi32_ps(sum_of_rows(part[t] + 8 * half));
                __m256 d_rows = _mm256_loadu_ps((const float *)(const void *)panel + 8 * half);
                acc[t][half] = _mm256_fmadd_ps(whole, _mm256_mul_ps(d_rows, d_tok), acc[t][half]);
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
        (void)sum;                                                                                                     \
        if (n_tok == 1)                                                                                                \
            dot_tokens(panel, sizeof(liz_block_##name), n_blocks, q, d, 1, y, y_stride, decode_##name);                \
        else                                                                                                           \
            dot_tokens(panel, sizeof(liz_block_##name), n_blocks, q, d, (int)n_tok, y, y_stride, decode_##name);       \
    }

LIZ_PACKS_INTEGER(DOT_I8)

void liz_kernel_dot_avx2(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->dot_i8[LIZ_PACK_##ID] = dot_##name;
    LIZ_PACKS_INTEGER(ENTRY)
}
