/* gemm256_body.h - two panels of integer weights against many tokens, in ymm registers: the AVX2 tier's two variants.
 *
 * As in gemm_avx512.c a block of 256 is decoded once for all tokens and turned, so that a register holds neighbouring k
 * of eight rows: each product adds to eight outputs, and nothing is left to be reduced. The block of both panels stays
 * in the first-level cache while the tokens pass, TOKENS at a time against sixteen rows; floating point enters once a
 * block and token.
 *
 * The file that includes this says how a product is made:
 *   IS_SIGNED                    whether weights are t, or t + 128
 *   STEPS, TOKENS                steps along k of a block, four bytes of each lane; tokens at a time
 *   lay_weights(x, to)           x, four k of eight rows as bytes, to step j of [STEPS][HALVES] and, where there are
 *                                more steps than 64, to step 64 + j
 *   lay_token(q, to)             a token's 256 bytes in fours likewise, at `to` or where they are; returns where
 *   first_sum(sum)               what sums begin with, given 128 times the sum of the token's bytes
 *   multiply_add(sum, w, x)      sum + the products of each lane */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx2.h"

#include <string.h>

enum { PANELS = 2 };

/* Scratch: a block of both panels, the tokens at work, and the sums of all. */
typedef struct work {
    __m256i weights[PANELS][STEPS][HALVES];
    __m256i tokens[TOKENS][STEPS / ROWS];
    __m256 d_rows[PANELS][HALVES];
    const uint8_t *ahead[PANELS]; /* the blocks that come next, after the last the next pair's; they need not exist */
    size_t ahead_bytes;
    __m256 sums[][PANELS][HALVES];
} work;

_Static_assert(sizeof(work) <= LIZ_GEMM_SCRATCH_BYTES(0) &&
                   32 * PANELS * HALVES * sizeof(__m256) <= LIZ_GEMM_SCRATCH_BYTES(32) - LIZ_GEMM_SCRATCH_BYTES(0),
               "scratch is what kernel.h says");

/* Register i of eight becomes word i of all of them. */
LIZ_INLINE void turn(__m256i *x)
{
    __m256i y[8];
    for (int i = 0; i < 8; i += 4) {
        __m256i ab_lo = _mm256_unpacklo_epi32(x[i], x[i + 1]), ab_hi = _mm256_unpackhi_epi32(x[i], x[i + 1]);
        __m256i cd_lo = _mm256_unpacklo_epi32(x[i + 2], x[i + 3]), cd_hi = _mm256_unpackhi_epi32(x[i + 2], x[i + 3]);
        y[i] = _mm256_unpacklo_epi64(ab_lo, cd_lo);
        y[i + 1] = _mm256_unpackhi_epi64(ab_lo, cd_lo);
        y[i + 2] = _mm256_unpacklo_epi64(ab_hi, cd_hi);
        y[i + 3] = _mm256_unpackhi_epi64(ab_hi, cd_hi);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2x128_si256(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(y[i], y[i + 4], 0x31);
    }
}

LIZ_INLINE void decode_block(const uint8_t *block, __m256i (*to)[HALVES], prepare_fn *prepare, decode_fn *decode)
{
    bytes256 rows[ROWS];
    scales256 scales;
    prepare(block, IS_SIGNED, &scales);
    for (int half = 0; half < HALVES; half++) {
        for (int r = 0; r < ROWS; r++)
            decode(block, &scales, ROWS * half + r, IS_SIGNED, &rows[r]);
        for (int c = 0; c < 8; c++) {
            __m256i x[ROWS];
            for (int r = 0; r < ROWS; r++)
                x[r] = rows[r].t[c];
            turn(x);
            for (int k = 0; k < 8; k++)
                lay_weights(x[k], &to[8 * c + k][half]);
        }
    }
}

typedef void decode_block_fn(const uint8_t *block, __m256i (*to)[HALVES]);

LIZ_INLINE void look_ahead(const work *w, int panel, size_t at)
{
    if (at < w->ahead_bytes)
        _mm_prefetch((const char *)w->ahead[panel] + at, _MM_HINT_T1);
}

/* The block of both panels against n_tok tokens (a constant where this is inlined), into their sums. */
LIZ_INLINE void multiply(work *w, const liz_act_i8 *act, size_t n_blocks, size_t b, size_t tok, const int n_tok)
{
    const int32_t *x[TOKENS];
    for (int t = 0; t < n_tok; t++)
        x[t] = lay_token(act->q + ((tok + (size_t)t) * liz_act_stride(n_blocks) + b) * LIZ_BLOCK_LEN, w->tokens[t]);
    for (int p = 0; p < PANELS; p++) {
        __m256i whole[TOKENS][HALVES];
        for (int t = 0; t < n_tok; t++)
            whole[t][0] = whole[t][1] = first_sum(act->sum[(tok + (size_t)t) * n_blocks + b]);
#pragma GCC unroll 2
        for (int s = 0; s < STEPS; s++) {
            if (tok == 0 && s % (STEPS / 64) == 0)
                look_ahead(w, p, (size_t)s / (STEPS / 64) * 64);
            __m256i w0 = w->weights[p][s][0], w1 = w->weights[p][s][1];
            for (int t = 0; t < n_tok; t++) {
                __m256i x_t = _mm256_set1_epi32(x[t][s]);
                whole[t][0] = multiply_add(whole[t][0], w0, x_t);
                whole[t][1] = multiply_add(whole[t][1], w1, x_t);
                /* Or GCC makes all products first and then copies sums from register to register. */
                __asm__("" : "+x"(whole[t][0]), "+x"(whole[t][1]));
            }
        }
        for (int t = 0; t < n_tok; t++)
            for (int half = 0; half < HALVES; half++) {
                __m256 d = _mm256_set1_ps(act->d[(tok + (size_t)t) * n_blocks + b]);
                __m256 *sum = &w->sums[tok + (size_t)t][p][half], whole_t = _mm256_cvtepi32_ps(whole[t][half]);
                *sum = _mm256_fmadd_ps(whole_t, _mm256_mul_ps(w->d_rows[p][half], d), *sum);
            }
    }
}

static void multiply_block(work *w, const liz_act_i8 *act, size_t n_blocks, size_t b, size_t n_tok)
{
    size_t t = 0;
    for (; t + TOKENS <= n_tok; t += TOKENS)
        multiply(w, act, n_blocks, b, t, TOKENS);
    for (; t < n_tok; t++)
        multiply(w, act, n_blocks, b, t, 1);
}

static void gemm_integer(const uint8_t *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act,
                         size_t n_tok, work *w, float *y, size_t y_stride, size_t n_rows, decode_block_fn *decode,
                         liz_gemm_to to)
{
    (void)to;
    size_t n_panels = n_rows > LIZ_PANEL_ROWS ? 2 : 1;
    memset(w, 0, sizeof *w + n_tok * sizeof *w->sums); /* a panel that is not there is multiplied as zeros */
    w->ahead_bytes = block_bytes;
    w->ahead[0] = w->ahead[1] = panels;
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t p = 0; p < n_panels; p++) {
            const uint8_t *block = panels + (p * n_blocks + b) * block_bytes;
            decode(block, w->weights[p]);
            memcpy(w->d_rows[p], block, sizeof w->d_rows[p]);
            w->ahead[p] = block + block_bytes + (b + 1 == n_blocks ? n_blocks * block_bytes : 0);
        }
        multiply_block(w, act, n_blocks, b, n_tok);
    }
    for (size_t t = 0; t < n_tok; t++)
        memcpy(y + t * y_stride, w->sums[t], n_rows * sizeof *y);
}

#define GEMM_I8(ID, name, types)                                                                                       \
    static void decode_block_##name(const uint8_t *block, __m256i(*to)[HALVES])                                        \
    {                                                                                                                  \
        decode_block(block, to, prepare_##name, decode_##name);                                                        \
    }                                                                                                                  \
    LIZ_GEMM_I8(name)

LIZ_PACKS_INTEGER(GEMM_I8)
