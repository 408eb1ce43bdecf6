/* gemm_avx2.c - two panels of integer weights against many tokens, in ymm registers.
 *
 * Without VNNI the product of bytes takes five instructions for 32 of them (|t|, the other's sign, vpmaddubsw,
 * vpmaddwd, an addition). Words take two for 16: so a block of 256 is decoded once for all tokens, to words that stay
 * in the first-level cache, and each token's bytes become words as they are loaded, for eight rows. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx2.h"

#include <string.h>

enum { PANELS = 2, ROWS = 8, HALVES = LIZ_PANEL_ROWS / ROWS };

/* Scratch: a block of a panel, and the sums of all tokens. */
typedef struct work {
    int16_t weights[LIZ_PANEL_ROWS][LIZ_BLOCK_LEN];
    __m256 sums[][PANELS][HALVES];
} work;

_Static_assert(sizeof(work) <= LIZ_GEMM_SCRATCH_BYTES(0) &&
                   32 * PANELS * HALVES * sizeof(__m256) <= LIZ_GEMM_SCRATCH_BYTES(32) - LIZ_GEMM_SCRATCH_BYTES(0),
               "scratch is what kernel.h says");

LIZ_INLINE void decode_block(const uint8_t *block, int16_t (*to)[LIZ_BLOCK_LEN], decode_fn *decode)
{
    for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
        bytes256 x;
        decode(block, row, &x);
        for (int c = 0; c < 8; c++) {
            __m256i *at = (__m256i *)(void *)(to[row] + 32 * c);
            _mm256_store_si256(at, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(x.t[c])));
            _mm256_store_si256(at + 1, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(x.t[c], 1)));
        }
    }
}

typedef void decode_block_fn(const uint8_t *block, int16_t (*to)[LIZ_BLOCK_LEN]);

/* Eight rows of a block against a token. */
LIZ_INLINE __m256i dot_rows(const int16_t (*w)[LIZ_BLOCK_LEN], const int8_t *q)
{
    __m256i part[ROWS];
    for (int r = 0; r < ROWS; r++)
        part[r] = _mm256_setzero_si256();
    for (int k = 0; k < LIZ_BLOCK_LEN; k += 16) {
        __m256i x = _mm256_cvtepi8_epi16(load128(q + k));
        for (int r = 0; r < ROWS; r++) {
            part[r] = _mm256_add_epi32(part[r], _mm256_madd_epi16(x, load256(w[r] + k)));
            __asm__("" : "+x"(part[r])); /* or GCC makes all products first, for which there are too few registers */
        }
    }
    return sum_of_rows(part);
}

/* A panel's block, whose row scales stand at its beginning, into the sums of all tokens. */
static void multiply_block(work *w, const float *d_rows, const liz_act_i8 *act, size_t n_blocks, size_t b, size_t n_tok,
                           size_t panel)
{
    const int8_t *q = act->q + b * LIZ_BLOCK_LEN;
    for (size_t t = 0; t < n_tok; t++, q += liz_act_stride(n_blocks) * LIZ_BLOCK_LEN) {
        __m256 d_tok = _mm256_set1_ps(act->d[t * n_blocks + b]);
        for (int half = 0; half < HALVES; half++) {
            __m256 whole = _mm256_cvtepi32_ps(dot_rows((const int16_t(*)[LIZ_BLOCK_LEN])w->weights + ROWS * half, q));
            __m256 d = _mm256_mul_ps(_mm256_loadu_ps(d_rows + ROWS * half), d_tok), *sum = &w->sums[t][panel][half];
            *sum = _mm256_fmadd_ps(whole, d, *sum);
        }
    }
}

static void gemm_integer(const uint8_t *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act,
                         size_t n_tok, work *w, float *y, size_t y_stride, size_t n_rows, decode_block_fn *decode)
{
    size_t n_panels = n_rows > LIZ_PANEL_ROWS ? 2 : 1;
    memset(w->sums, 0, n_tok * sizeof *w->sums);
    for (size_t b = 0; b < n_blocks; b++)
        for (size_t p = 0; p < n_panels; p++) {
            const uint8_t *block = panels + (p * n_blocks + b) * block_bytes;
            decode(block, w->weights);
            multiply_block(w, (const float *)(const void *)block, act, n_blocks, b, n_tok, p);
        }
    for (size_t t = 0; t < n_tok; t++)
        memcpy(y + t * y_stride, w->sums[t], n_rows * sizeof *y);
}

#define GEMM_I8(ID, name, types)                                                                                       \
    static void decode_block_##name(const uint8_t *block, int16_t(*to)[LIZ_BLOCK_LEN])                                 \
    {                                                                                                                  \
        decode_block(block, to, decode_##name);                                                                        \
    }                                                                                                                  \
    LIZ_GEMM_I8(name)

LIZ_PACKS_INTEGER(GEMM_I8)

void liz_kernel_gemm_avx2(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 16;
}
