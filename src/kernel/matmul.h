/* matmul.h - y = W x for a step's tokens, shared out over the team.
 *
 * Every member of a team calls these functions; a barrier between `liz_act_prepare` and
 * `liz_matmul`, and after `liz_matmul`, is the caller's. Activations are prepared once for all the matrices of
 * one kind that they meet. Work is cut by outputs (panels of 16 rows, pairs where many tokens meet them) and dealt out
 * (sys/team.h), so that a panel's weights are read by one member only, and no member waits long for another. */
#ifndef LIZ_KERNEL_MATMUL_H
#define LIZ_KERNEL_MATMUL_H

#include "kernel/kernel.h"
#include "sys/team.h"

/* The forms of activations that a matrix may ask for. */
typedef enum liz_act_form { LIZ_ACT_I8 = 1, LIZ_ACT_BF16 = 2, LIZ_ACT_F32 = 4 } liz_act_form;

/* Prepared activations: room for n_tok_max tokens of n_in_max elements, or as many blocks of 256 otherwise cut. */
typedef struct liz_act {
    size_t n_tok_max, n_in_max;
    liz_act_i8 i8;
    /* Rows of n_in rounded up to LIZ_GROUP_LEN: */
    float *rounded; /* for BF16 weights; values are bfloat16 */
    float *plain;   /* for F32 weights */
    uint16_t *half; /* liz_act_tiles for gemm_bf16; tokens rounded up to 32 */
    void *memory;
    size_t memory_bytes;
} liz_act;

liz_act_form liz_act_form_of(liz_pack pack);

/* Bytes that `liz_act_open` takes. */
size_t liz_act_bytes(size_t n_tok_max, size_t n_in_max, unsigned forms);
/* False when memory is short. A zeroed struct may be closed. */
bool liz_act_open(liz_act *act, size_t n_tok_max, size_t n_in_max, unsigned forms);
void liz_act_close(liz_act *act);

/* Activations to prepare: floats x [.., n_in], rows `stride` apart. Token t is row t, or row rows[t] where there is a
 * list; -1 leaves a gap. With `activate`, x lies in `up` and is made there first, of gate and up laid out alike (`gate`
 * NULL: of up alone): no row may be listed twice then, and one form be asked for. */
typedef struct liz_act_source {
    const float *x;
    size_t stride, origin; /* x, gate and up begin with float `origin` of the rows */
    const int32_t *rows;   /* [n_tok] or NULL */
    liz_gated_fn *activate;
    const float *gate;
    float *up;
} liz_act_source;

/* Brings n_tok tokens into the forms asked for. This member's share. */
void liz_act_prepare(const liz_kernel *kernel, liz_act *act, liz_act_source source, size_t n_tok, size_t n_in,
                     unsigned forms, int member, int n_members);

/* Where runs of tokens that meet different matrices must begin; one such unit more than the tokens is looked at. */
enum { LIZ_ACT_ALIGN = 16 };

/* y [n_tok, n_out], rows y_stride floats apart, = W x for the prepared tokens from `first`, a multiple of
 * LIZ_ACT_ALIGN. What this member gets to. `scratch`: this member's own, liz_matmul_scratch_bytes, 64-byte aligned. */
void liz_matmul(const liz_kernel *kernel, const liz_matrix *matrix, const liz_act *act, size_t first, size_t n_tok,
                float *y, size_t y_stride, void *scratch, liz_deal *deal);

size_t liz_matmul_scratch_bytes(size_t n_tok_max);

/* Two matrices of the same shape, and what becomes of their products. */
typedef struct liz_gated {
    const liz_matrix *gate, *up;
    liz_gated_fn *activate;
    float *own; /* [n_tok, LIZ_GATED_STRIDE], this member's */
} liz_gated;

/* Rows a line more than a block apart: a KiB would put 64 of them into four sets of the cache. */
enum { LIZ_GATED_STRIDE = LIZ_BLOCK_LEN + 16 };

/* Whether `liz_matmul_gated` can be used and pays, for n_tok tokens on their way to `down`. All members' `own` have
 * room in rows of n_out floats then. */
bool liz_matmul_gated_pays(const liz_kernel *kernel, const liz_matrix *gate, const liz_matrix *up,
                           const liz_matrix *down, size_t n_tok, int n_members);

/* What `liz_matmul` by each and `liz_act_prepare` make of them, without a barrier between or a row in memory: a member
 * computes the blocks of `made` that it gets to, in the form of int8. */
void liz_matmul_gated(const liz_kernel *kernel, const liz_gated *gated, const liz_act *act, size_t n_tok, liz_act *made,
                      void *scratch, liz_deal *deal);

#endif
