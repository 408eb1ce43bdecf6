/* gemm_avx512.c - two panels of integer weights against many tokens, with VNNI.
 *
 * A block of 256 is decoded once for all tokens and turned, so that a register holds four neighbouring k of sixteen
 * rows: then each product (vpdpbusd, exact) adds to sixteen outputs, and nothing is left to be reduced. The block of
 * both panels, 8 KiB, stays in the first-level cache while the tokens pass, eight at a time in sixteen registers;
 * floating point enters once a block and token. Weights are unsigned here (t + 128), so sums begin at minus 128 times
 * the sum of the activations. */
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"
#include "kernel/x86/decode_avx512.h"
#include "kernel/x86/put_avx512.h"

#include <string.h>

enum { TOKENS = 8, PANELS = 2, WORDS = LIZ_BLOCK_LEN / 4, LINE = 64 };

/* Scratch: a block of both panels, [panel][four k][row][k], and the sums of all tokens. */
typedef struct work {
    __m512i weights[PANELS][WORDS];
    __m512 d_rows[PANELS];
    const uint8_t *ahead[PANELS]; /* the blocks that come next, after the last the next pair's; they need not exist */
    size_t ahead_bytes;
    __m512 sums[][PANELS];
} work;

_Static_assert(sizeof(work) <= LIZ_GEMM_SCRATCH_BYTES(0) &&
                   32 * PANELS * sizeof(__m512) <= LIZ_GEMM_SCRATCH_BYTES(32) - LIZ_GEMM_SCRATCH_BYTES(0),
               "scratch is what kernel.h says");

LIZ_INLINE void decode_block(const uint8_t *block, __m512i *to, liz_prepare512_fn *prepare, liz_decode512_fn *decode)
{
    __m512i rows[4][LIZ_PANEL_ROWS];
    liz_scales512 scales;
    prepare(block, false, &scales);
    for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
        __m512i x[4];
        decode(block, &scales, row, 0, false, x);
        decode(block, &scales, row, 1, false, x + 2);
        for (int c = 0; c < 4; c++)
            rows[c][row] = x[c];
    }
    for (int c = 0; c < 4; c++) {
        __m512i x[16];
        for (int r = 0; r < 16; r++)
            x[r] = rows[c][r];
        liz_transpose_words(x);
        for (int k = 0; k < 16; k++)
            to[16 * c + k] = x[k];
    }
}

typedef void decode_block_fn(const uint8_t *block, __m512i *to);

/* Four bytes of a token, wherever they stand. */
typedef uint32_t __attribute__((may_alias)) word;

/* The block of both panels against n_tok tokens (a constant where this is inlined), into their sums. */
LIZ_INLINE void multiply(const work *w, const liz_act_i8 *act, size_t n_blocks, size_t b, size_t tok, const int n_tok,
                         __m512 (*sums)[PANELS])
{
    const size_t stride = liz_act_stride(n_blocks) * LIZ_BLOCK_LEN;
    const int8_t *q = act->q + tok * stride + b * LIZ_BLOCK_LEN;
    __m512i whole[TOKENS][PANELS];
    for (int t = 0; t < n_tok; t++)
        whole[t][0] = whole[t][1] = _mm512_set1_epi32(-act->sum[(tok + (size_t)t) * n_blocks + b]);
    for (int k = 0; k < WORDS; k++) {
        __m512i w0 = w->weights[0][k], w1 = w->weights[1][k];
        for (int t = 0; t < n_tok && k % 16 == 0; t++) /* the tokens after these, a line each; they need not exist */
            _mm_prefetch((const char *)q + (size_t)(t + n_tok) * stride + 4 * k, _MM_HINT_T0);
        for (int p = 0; p < PANELS && tok == 0 && (size_t)k * LINE < w->ahead_bytes; p++) /* weights as steadily */
            _mm_prefetch((const char *)w->ahead[p] + (size_t)k * LINE, _MM_HINT_T1);
        for (int t = 0; t < n_tok; t++) {
            const word *at = (const void *)(q + (size_t)t * stride + 4 * k);
            __m512i x = _mm512_set1_epi32((int)*at);
            whole[t][0] = _mm512_dpbusd_epi32(whole[t][0], w0, x);
            whole[t][1] = _mm512_dpbusd_epi32(whole[t][1], w1, x);
        }
    }
    for (int t = 0; t < n_tok; t++)
        for (int p = 0; p < PANELS; p++) {
            __m512 d = _mm512_mul_ps(w->d_rows[p], _mm512_set1_ps(act->d[(tok + (size_t)t) * n_blocks + b]));
            sums[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[t][p]), d, sums[t][p]);
        }
}

static void multiply_block(work *w, const liz_act_i8 *act, size_t n_blocks, size_t b, size_t n_tok)
{
    size_t t = 0;
    for (; t + TOKENS <= n_tok; t += TOKENS)
        multiply(w, act, n_blocks, b, t, TOKENS, w->sums + t);
    if (n_tok - t >= 4) {
        multiply(w, act, n_blocks, b, t, 4, w->sums + t);
        t += 4;
    }
    for (; t < n_tok; t++)
        multiply(w, act, n_blocks, b, t, 1, w->sums + t);
}

static void gemm_integer(const uint8_t *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act,
                         size_t n_tok, work *w, float *y, size_t y_stride, size_t n_rows, decode_block_fn *decode,
                         liz_gemm_to to)
{
    size_t n_panels = n_rows > LIZ_PANEL_ROWS ? 2 : 1, panel_bytes = n_blocks * block_bytes;
    memset(w, 0, sizeof *w + n_tok * sizeof *w->sums); /* a panel that is not there is multiplied as zeros */
    w->ahead_bytes = block_bytes;
    w->ahead[0] = w->ahead[1] = panels;
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t p = 0; p < n_panels; p++) {
            const uint8_t *block = panels + p * panel_bytes + b * block_bytes;
            decode(block, w->weights[p]);
            w->d_rows[p] = _mm512_load_ps(block);
            w->ahead[p] = block + block_bytes + (b + 1 == n_blocks ? panel_bytes : 0);
        }
        multiply_block(w, act, n_blocks, b, n_tok);
    }
    __mmask16 rows[] = {liz_rows_mask(n_rows), n_panels > 1 ? liz_rows_mask(n_rows - LIZ_PANEL_ROWS) : 0};
    to = liz_put_for(y, y_stride, to);
    for (size_t t = 0; t < n_tok; t++, y += y_stride) {
        liz_put_rows(y, w->sums[t][0], rows[0], to);
        liz_put_rows(y + LIZ_PANEL_ROWS, w->sums[t][1], rows[1], to);
    }
}

#define GEMM_I8(ID, name, types)                                                                                       \
    static void decode_block_##name(const uint8_t *block, __m512i *to)                                                 \
    {                                                                                                                  \
        decode_block(block, to, prepare_##name, decode_##name);                                                        \
    }                                                                                                                  \
    LIZ_GEMM_I8(name)

LIZ_PACKS_INTEGER(GEMM_I8)

void liz_kernel_gemm_avx512(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 12;
}
