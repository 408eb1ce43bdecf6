/* gemm_avx512bf16.c - BF16 weights against many tokens with vdpbf16ps, where AVX-512 machines have it.
 *
 * The instruction adds two products to a lane, the odd one first, each sum rounded like a fused multiply-add (the
 * processor is asked, see adds_in_order). The contract's chains are over even and over odd k apart, so the two that
 * meet in a lane must be k and k + 2: weights, which lie in pairs (k, k + 1), are regrouped in registers for all tokens
 * of a block, and activations were laid out so before. Twice the rate of multiply-adds in float. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/peak.h"
#include "kernel/x86/put_avx512.h"

#include <immintrin.h>

enum {
    TOKENS = 8,
    PASS_ROWS = 2 * LIZ_PANEL_ROWS,
    QUADS = LIZ_GROUP_LEN / 4,
    PANEL_GROUP = LIZ_PANEL_ROWS * LIZ_GROUP_LEN
};

/* Two bfloat16 as one word, wherever they stand. */
typedef uint32_t __attribute__((may_alias)) pair;

static __m512bh words(pair x) { return (__m512bh)_mm512_set1_epi32((int)x); }

/* Of each four values the chain of even k has (2, 0), that of odd k (3, 1); what is added first is the upper half. */
_Alignas(64) static const uint16_t lay_order[32] = {2,  0,  3,  1,  6,  4,  7,  5,  10, 8,  11, 9,  14, 12, 15, 13,
                                                    18, 16, 19, 17, 22, 20, 23, 21, 26, 24, 27, 25, 30, 28, 31, 29};

static void lay_bf16(const float *x, size_t n, size_t group, uint16_t *y)
{
    __m512i to = _mm512_load_si512(lay_order);
    for (size_t i = 0; i < n; i += 32, y += group) {
        __mmask32 present = n - i < 32 ? (__mmask32)((1u << (n - i)) - 1) : 0xFFFFFFFF;
        __m512 low = _mm512_maskz_loadu_ps((__mmask16)present, x + i);
        __m512 high = _mm512_maskz_loadu_ps((__mmask16)(present >> 16), x + i + 16);
        _mm512_storeu_si512(y, _mm512_permutexvar_epi16(to, (__m512i)_mm512_cvtne2ps_pbh(high, low)));
    }
}

/* Where the groups of panels are: one after the other, or each in a page. */
typedef struct weights {
    const uint16_t *panels;
    const uint8_t *const *pages; /* NULL: panels */
    size_t n_groups, panel_bytes;
} weights;

LIZ_INLINE const uint16_t *group_at(const weights *w, size_t panel, size_t g)
{
    return w->pages != NULL ? (const uint16_t *)(const void *)w->pages[g] + panel * PANEL_GROUP
                            : w->panels + panel * w->panel_bytes / sizeof *w->panels + g * PANEL_GROUP;
}

/* One panel against n_tok tokens (a constant where this is inlined), to rows of y. */
LIZ_INLINE void dot_block(const weights *w, size_t panel, liz_act_bf16 x, const size_t n_tok, float *y, size_t y_stride,
                          __mmask16 rows, liz_gemm_to to)
{
    __m512 sum[TOKENS];
    for (size_t t = 0; t < n_tok; t++) {
        if (to != LIZ_GEMM_STREAM)
            __builtin_prefetch(y + t * y_stride, 1); /* stores to lines that are far wait for each other otherwise */
        sum[t] = _mm512_setzero_ps();
    }
    for (size_t g = 0; g < w->n_groups; g++) {
        const uint16_t *group = group_at(w, panel, g);
        __m512 even[TOKENS], odd[TOKENS];
        for (size_t t = 0; t < n_tok; t++)
            even[t] = odd[t] = _mm512_setzero_ps();
        for (size_t q = 0; q < QUADS; q++) {
            __m512i a = _mm512_load_si512(group + 64 * q), b = _mm512_load_si512(group + 64 * q + 32);
            __m512bh w_even = (__m512bh)_mm512_mask_blend_epi16(0xAAAAAAAA, b, _mm512_slli_epi32(a, 16));
            __m512bh w_odd = (__m512bh)_mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(b, 16), a);
            for (size_t t = 0; t < n_tok; t++) {
                const pair *at = (const void *)(x.x + t * x.token + g * x.group + 4 * q);
                even[t] = _mm512_dpbf16_ps(even[t], w_even, words(at[0]));
                odd[t] = _mm512_dpbf16_ps(odd[t], w_odd, words(at[1]));
            }
        }
        for (size_t t = 0; t < n_tok; t++)
            sum[t] = _mm512_add_ps(sum[t], _mm512_add_ps(even[t], odd[t]));
    }
    for (size_t t = 0; t < n_tok; t++)
        liz_put_rows(y + t * y_stride, sum[t], rows, to);
}

LIZ_INLINE void dot_tokens(const weights *w, size_t panel, liz_act_bf16 x, size_t n_tok, float *y, size_t y_stride,
                           __mmask16 rows, liz_gemm_to to)
{
    switch (n_tok) {
#define CASE(n)                                                                                                        \
    case n: dot_block(w, panel, x, n, y, y_stride, rows, to); break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
    default: dot_block(w, panel, x, TOKENS, y, y_stride, rows, to);
    }
#undef CASE
}

static liz_act_bf16 in_rows(const uint16_t *x, size_t stride)
{
    return (liz_act_bf16){x, stride, LIZ_GROUP_LEN, 16 * stride};
}

LIZ_INLINE void gemm(weights w, liz_act_bf16 act, size_t n_tok, float *y, size_t y_stride, size_t n_rows,
                     liz_gemm_to to)
{
    to = liz_put_for(y, y_stride, to);
    for (size_t first = 0; first < n_rows; first += PASS_ROWS)
        for (size_t t = 0; t < n_tok; t += TOKENS) {
            size_t end = n_rows - first < PASS_ROWS ? n_rows : first + PASS_ROWS;
            liz_act_bf16 x = act;
            x.x += t / 16 * x.tile + t % 16 * x.token;
            for (size_t row = first; row < end; row += LIZ_PANEL_ROWS) {
                dot_tokens(&w, row / LIZ_PANEL_ROWS, x, n_tok - t < TOKENS ? n_tok - t : TOKENS, y + t * y_stride + row,
                           y_stride, liz_rows_mask(n_rows - row), to);
            }
        }
}

static void gemm_bf16(const void *panels, size_t panel_bytes, size_t n_groups, const liz_act_bf16 *act, size_t n_tok,
                      float *y, size_t y_stride, size_t n_rows, liz_gemm_to to)
{
    gemm((weights){panels, NULL, n_groups, panel_bytes}, *act, n_tok, y, y_stride, n_rows, to);
}

static void scores(const uint8_t *k, const uint16_t *q, int n_embd, size_t n_rows, float *s)
{
    size_t n = (size_t)n_embd;
    weights page = {(const void *)k, NULL, n / LIZ_GROUP_LEN, LIZ_PANEL_ROWS * n * sizeof(uint16_t)};
    gemm(page, in_rows(q, n), n_rows, s, LIZ_KEY_BLOCK, LIZ_ATTN_PAGE, LIZ_GEMM_PUT);
}

static void values(const uint8_t *const *v, size_t n_pages, const uint16_t *p, int n_embd, size_t n_rows, float *o,
                   size_t o_stride)
{
    gemm((weights){NULL, v, n_pages, 0}, in_rows(p, LIZ_KEY_BLOCK), n_rows, o, o_stride, (size_t)n_embd, LIZ_GEMM_PUT);
}

LIZ_PEAK(peak_bf16, __m512, 16, 2 * 32, __m512bh, words(0x3F803F80), words(0x3F003F00), _mm512_dpbf16_ps(sum, a, b))

/* Whether the two products of a lane are added one after the other, each sum rounded, the odd one first: what the
 * instruction's description says and the numeric contract needs. So 1 + 2^-24 + 2^-24 is 1, and 1 - 1 + 2^-30 is
 * 2^-30. */
static bool adds_in_order(void)
{
    __m512 one = _mm512_set1_ps(1);
    float both = _mm512_cvtss_f32(_mm512_dpbf16_ps(one, words(0x33803380), words(0x3F803F80)));
    float order = _mm512_cvtss_f32(_mm512_dpbf16_ps(one, words(0xBF803080), words(0x3F803F80)));
    return both == 1.0f && order == 0x1p-30f;
}

void liz_kernel_gemm_avx512bf16(liz_kernel *kernel)
{
    if (!adds_in_order())
        return;
    kernel->gemm_bf16 = gemm_bf16;
    kernel->attn_scores = scores;
    kernel->attn_values = values;
    kernel->lay_bf16 = lay_bf16;
    kernel->lay_order = lay_order;
    kernel->peak_bf16 = peak_bf16;
}
