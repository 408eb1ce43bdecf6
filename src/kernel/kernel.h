/* kernel.h - the operation table: what the processor computes for a model, one entry an operation.
 *
 * `liz_kernel_init` fills the table for a tier: C entries first, then each tier overwrites what it does better,
 * upward. Every entry of every tier computes the same formula in the same order (docs/kernels.md), so tables are
 * interchangeable to the bit. Entries are leaf functions: pointers and sizes in, no allocation, no threads, no
 * globals, no errors. Denormals are flushed to zero by the caller's thread (sys/team.h).
 *
 * Activations [n_tok, n_in] meet packed weights (kernel/pack.h) in one of two forms:
 * - int8 for integer weights: per token and block of 256, q = rint(x / d) with d = max|x| / 127, stored in the packed
 *   order; `sum` is 128 * sum(q), by which tiers that need unsigned weights are set right.
 * - float for BF16 and F32 weights: x rounded to bfloat16 or as it is, padded with zeros to a multiple of 32. */
#ifndef LIZ_KERNEL_KERNEL_H
#define LIZ_KERNEL_KERNEL_H

#include "kernel/attention.h"
#include "kernel/pack.h"
#include "sys/cpu.h"

#include <stdbool.h>

/* Int8 activations. nb = blocks of 256 in a row. */
typedef struct liz_act_i8 {
    int8_t *q;    /* [n_tok, liz_act_stride(nb), 256], of which nb are used; packed order */
    float *d;     /* [n_tok, nb] */
    int32_t *sum; /* [n_tok, nb] */
    /* For tiles (AMX tier only), by groups of 16 tokens, rounded up to pairs of groups: */
    int8_t *tile;  /* [n_group, nb, 4, 16, 16, 4]: of 64 elements, groups of 4 of token 0, of token 1, ... */
    float *tile_d; /* [n_group, nb, 16] */
} liz_act_i8;

/* An odd number of blocks from token to token: all widths lie 2 KiB and more apart otherwise, and tokens that are
 * computed together push each other out of the same few sets of the cache. */
static inline size_t liz_act_stride(size_t n_blocks) { return n_blocks | 1; }

/* Tokens that one call of `dot_i8` or `dot_f32` may take. */
enum { LIZ_DOT_TOKENS_MAX = 8 };

/* y[t * y_stride + r] for 16 rows r of a packed panel and tokens t < n_tok (1 to LIZ_DOT_TOKENS_MAX):
 * acc = fma(float(I), d_row * d_token, acc) over the blocks in order, I the exact integer dot product. */
typedef void liz_dot_i8_fn(const void *panel, size_t n_blocks, const int8_t *q, const float *d, const int32_t *sum,
                           size_t n_tok, float *y, size_t y_stride);

/* The same for float weights: per 32 elements of k, even and odd products are summed in two fused chains from zero, the
 * two are added, and that is added to y's sum. x [n_tok, x_stride]. */
typedef void liz_dot_f32_fn(const void *panel, size_t n_groups, const float *x, size_t x_stride, size_t n_tok, float *y,
                            size_t y_stride);

/* What becomes of a product: y =, y += or, past the caches where a tier can and lines are whole (y and its stride
 * multiples of 64 bytes), y =, which others see after a barrier. */
typedef enum liz_gemm_to { LIZ_GEMM_PUT, LIZ_GEMM_ADD, LIZ_GEMM_STREAM } liz_gemm_to;

/* Panels against many tokens at once; `scratch` [LIZ_GEMM_SCRATCH_BYTES(n_tok)], 64-byte aligned. The activations carry
 * tiles where the tier makes them. y[t * y_stride + r], r < n_rows, at least one, put or streamed. NULL where the tier
 * has nothing better than dot_i8. */
typedef void liz_gemm_i8_fn(const void *panels, size_t n_blocks, const liz_act_i8 *act, size_t n_tok, void *scratch,
                            float *y, size_t y_stride, size_t n_rows, liz_gemm_to to);
#define LIZ_GEMM_SCRATCH_BYTES(n_tok) (((size_t)(n_tok) + 31) / 32 * 4096 + 36864)

typedef void liz_gated_fn(const float *gate, const float *up, size_t n, float *y);

/* The same with two matrices of the same shape and form at once: y = activate(gate x, up x). */
typedef void liz_gemm_gated_fn(const void *gate, const void *up, size_t n_blocks, const liz_act_i8 *act, size_t n_tok,
                               liz_gated_fn *activate, void *scratch, float *y, size_t y_stride, size_t n_rows);

/* Tokens in bfloat16 as lay_bf16 made them, rounded up to 16; elements from a token, 32 of k or 16 tokens to the next:
 * in tiles of 16 x 32, which is what products of weights read fastest, or in rows. */
typedef struct liz_act_bf16 {
    const uint16_t *x;
    size_t token, group, tile;
} liz_act_bf16;

enum { LIZ_ACT_TILE = 16 * LIZ_GROUP_LEN };

static inline liz_act_bf16 liz_act_tiles(const uint16_t *x, size_t n_groups)
{
    return (liz_act_bf16){x, LIZ_GROUP_LEN, LIZ_ACT_TILE, n_groups * LIZ_ACT_TILE};
}
/* Where token t begins in tiles of n_groups. */
static inline size_t liz_act_tile_at(size_t n_groups, size_t t)
{
    return t / 16 * n_groups * LIZ_ACT_TILE + t % 16 * LIZ_GROUP_LEN;
}

/* BF16 weights, many tokens, y[t * y_stride + r]: panels (64-byte aligned) `panel_bytes` apart, of each the first
 * n_groups. NULL where the tier has nothing better than dot_f32. */
typedef void liz_gemm_bf16_fn(const void *panels, size_t panel_bytes, size_t n_groups, const liz_act_bf16 *act,
                              size_t n_tok, float *y, size_t y_stride, size_t n_rows, liz_gemm_to to);

typedef struct liz_rope_shape {
    int n_dims; /* elements of a head that turn, even */
    bool neox;  /* pairs are (i, i + n_dims / 2) rather than (2 i, 2 i + 1) */
} liz_rope_shape;

/* The keys of a block of LIZ_KEY_BLOCK that a row sees: none where they end before they begin. */
typedef struct liz_attn_seen {
    size_t first, end;
} liz_attn_seen;

/* One query against a block of keys (kernel/attention.h). */
typedef struct liz_attn_block {
    const float *q;                     /* as attn_query leaves it */
    const uint8_t *const *k, *const *v; /* this layer's and kv head's bytes in each page of the block */
    liz_attn_seen seen;                 /* at least one key; pages that hold none are not looked at */
    int n_embd_k, n_embd_v;
    float scale, softcap; /* softcap > 0: scores are bent to stay within it */
    float *s;             /* [LIZ_KEY_BLOCK] scratch */
} liz_attn_block;

/* Scores of a block, of keys [begin, end), which are whole pages, in all rows. p of what a row does not see is 0. */
typedef struct liz_attn_scores {
    float *s;    /* [n_rows, LIZ_KEY_BLOCK]; p takes their place if it has none of its own */
    uint16_t *p; /* [n_rows, LIZ_KEY_BLOCK] from key `begin` on, bfloat16, each 32 in `order`; or NULL */
    const uint16_t *order;
    size_t n_rows, begin, end;
    const liz_attn_seen *seen; /* [n_rows] */
    float scale, softcap;
    bool round; /* p to bfloat16 */
} liz_attn_scores;

/* (m, l, o) of rows (kernel/attention.h): before the first block m = -infinity, l = 0, o = 0; a row that met no key of
 * a block has l = 0 there, at least 1 otherwise, and stays as it is. All rows' m and l are there for a multiple of 16
 * rows, l of a block being 0 beyond n_rows. */
typedef struct liz_attn_sums {
    float *m, *l, *o; /* [n_rows], [n_rows], [n_rows, o_stride] */
    size_t o_stride;
} liz_attn_sums;

typedef struct liz_kernel {
    liz_tier_id tier;

    liz_dot_i8_fn *dot_i8[LIZ_PACK_COUNT];
    liz_dot_f32_fn *dot_f32[LIZ_PACK_COUNT];
    liz_gemm_i8_fn *gemm_i8[LIZ_PACK_COUNT];
    liz_gemm_gated_fn *gemm_gated[LIZ_PACK_COUNT]; /* NULL, or beside gemm_i8 */
    size_t gemm_i8_min;                            /* tokens from which gemm_i8 pays */
    liz_gemm_bf16_fn *gemm_bf16;
    void (*tiles_begin)(void); /* around gemm_* and products of attention: configures this thread's tile registers,
                                  where there are any */
    void (*tiles_end)(void);

    /* x [n] to one token's q [nb, 256], d [nb], sum [nb]; what lies past n in the last block is zero. A block with a
     * value that is not finite gets d = not-a-number. */
    void (*quantize_i8)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum);
    /* Tokens' q (16 rows q_stride bytes apart, one block of 256) to four tiles; NULL without AMX. */
    void (*tile_i8)(const int8_t *q, size_t q_stride, int8_t *tile);
    void (*round_bf16)(const float *x, size_t n, float *y);
    /* x [n] to bfloat16, in the order within each group of 32 that gemm_bf16 reads, zeros to the end of the last;
     * groups are `group` elements apart. */
    void (*lay_bf16)(const float *x, size_t n, size_t group, uint16_t *y);
    const uint16_t *lay_order; /* [32]: which of a group of 32 stands at each place there */

    /* y = x * (1 / sqrt(mean(x^2) + eps)) * weight; weight NULL is ones. In place is allowed, here and below. */
    void (*rms_norm)(const float *x, const float *weight, float eps, size_t n, float *y);
    /* y = (x - mean) / sqrt(var + eps) * weight + bias; bias may be NULL. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, size_t n, float *y);
    void (*add)(const float *a, const float *b, size_t n, float *y);
    void (*scale)(const float *x, float a, size_t n, float *y);      /* y = a x */
    void (*add_scaled)(const float *x, float a, size_t n, float *y); /* y = fma(a, x, y) */
    /* Activations: y = f(gate) * up. f is g / (1 + e^-g), or the tanh form of GELU; `up` NULL is ones. */
    liz_gated_fn *silu_mul, *gelu_mul;
    liz_gated_fn *swiglu_oai; /* g / (1 + e^(-1.702 g)) * (u + 1), g = min(gate, 7), u = up within -7 and 7 */
    void (*softmax)(const float *x, size_t n, float *y);
    void (*sigmoid)(const float *x, size_t n, float *y);
    void (*softcap)(const float *x, float cap, size_t n, float *y); /* cap * tanh(x / cap) */
    /* Turns one head's x [n_dims] by angles given as cos, sin [n_dims / 2]. */
    void (*rope)(float *x, const float *cos, const float *sin, liz_rope_shape shape);

    /* By liz_attn_elem. A token's key or value x [n_embd] of one head into place `slot` of the head's page. */
    void (*store_key[LIZ_ATTN_ELEM_COUNT])(const float *x, int n_embd, int slot, void *page);
    void (*store_value[LIZ_ATTN_ELEM_COUNT])(const float *x, int n_embd, int slot, void *page);
    /* A query x [n_embd] as the cache type wants it, [LIZ_ATTN_QUERY_FLOATS(n_embd)]. */
    void (*attn_query[LIZ_ATTN_ELEM_COUNT])(const float *x, int n_embd, float *q);
    /* Its (m, l, o) over a block: l is returned, o is [LIZ_ATTN_VALUE_FLOATS(n_embd_v)]. */
    float (*attn_block[LIZ_ATTN_ELEM_COUNT])(const liz_attn_block *block, float *m, float *o);
    /* The steps of that, for some rows at once. Products of bf16 (NULL where there is no gemm_bf16), rows being read
     * and written by sixteens: s [n_rows, LIZ_KEY_BLOCK] = q k of a page of keys, q [n_rows, n_embd] as lay_bf16 made
     * it; o [n_rows, o_stride] = p v, p as attn_softmax leaves it. n_embd in whole groups, of values in pairs of
     * panels. */
    void (*attn_scores)(const uint8_t *k, const uint16_t *q, int n_embd, size_t n_rows, float *s);
    void (*attn_values)(const uint8_t *const *v, size_t n_pages, const uint16_t *p, int n_embd, size_t n_rows, float *o,
                        size_t o_stride);
    /* Scores become p, and give each row's m and l. */
    void (*attn_softmax)(const liz_attn_scores *scores, float *m, float *l);
    /* The running sums of some rows take in a block's. */
    void (*attn_merge)(const liz_attn_sums *run, const liz_attn_sums *block, size_t n_rows, int n_embd);

    /* For measuring the machine: rounds of multiplications and additions that need nothing but registers, by the best
     * instruction of the tier; returns how many operations that were. Between tiles_begin and tiles_end. */
    uint64_t (*peak_int8)(size_t n_rounds);
    uint64_t (*peak_bf16)(size_t n_rounds); /* float where the tier has no instruction for it */
} liz_kernel;

void liz_kernel_init(liz_kernel *kernel, liz_tier_id tier);

/* The operations of the table and which variant a tier runs, for `inspect`. */
size_t liz_kernel_count(void);
void liz_kernel_describe(liz_tier_id tier, size_t i, const char **op, const char **variant);

#endif
