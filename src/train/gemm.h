/* gemm.h - C [m, n] = A [m, k] B^T, B [n, k], for matrices that change all the time.
 *
 * Training multiplies in three directions: y = x W^T, dx = dy W, dW = dy^T x. Each is this product with operands read
 * by rows or by columns of the arrays they come from. Operands are laid out first (A as rows, in tiles where kernels
 * want them, B as panels of 16, both bfloat16), then multiplied by the same kernels that run models with float weights,
 * in their order (docs/kernels.md): sums are f32, over k in ascending groups of 32; what 2048 of k give is added to
 * what those before gave. `exact` keeps operands in f32, for tests of gradients.
 *
 * Functions take ranges, so that members of a team share the work; none allocates. */
#ifndef LIZ_TRAIN_GEMM_H
#define LIZ_TRAIN_GEMM_H

#include "kernel/grad.h"

typedef struct liz_gemm {
    const liz_kernel *kernel;
    const liz_grad_kernel *grad;
    bool exact;
} liz_gemm;

/* An array as an operand: element (i, j) is at src[i * stride + j], or with `by_columns` at src[j * stride + i]. */
typedef struct liz_source {
    const float *src;
    size_t stride;
    bool by_columns;
} liz_source;

/* B: 64-byte aligned, liz_panels_bytes. */
typedef struct liz_panels {
    uint8_t *data;
    size_t n, k;
} liz_panels;

/* A: 64-byte aligned, liz_rows_bytes. */
typedef struct liz_rows {
    uint8_t *data;
    size_t m, k;
} liz_rows;

size_t liz_panels_bytes(const liz_gemm *g, size_t n, size_t k);
size_t liz_rows_bytes(const liz_gemm *g, size_t m, size_t k);

/* Lays out panels [begin, end) of B, counted in panels of LIZ_PANEL_ROWS. `stream`: past the caches, which others see
 * after a barrier. */
void liz_panels_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t begin, size_t end, bool stream);
/* The same for k in [first, first + n_k) of all panels: `first` is a multiple of 32, and so is n_k but at the end of k.
 * `from` begins at `first`. */
void liz_panels_put_part(const liz_gemm *g, const liz_panels *b, liz_source from, size_t first, size_t n_k,
                         bool stream);

/* Lays out rows [begin, end) of A; where the source is read by columns both are multiples of 16, or the end of A. */
void liz_rows_put(const liz_gemm *g, const liz_rows *a, liz_source from, size_t begin, size_t end);

/* Makes c[i * stride + j], as `to` says, for rows [row_begin, row_end), row_begin a multiple of 32, and panels [begin,
 * end), begin even. */
void liz_gemm_mul(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row_begin, size_t row_end,
                  size_t begin, size_t end, float *c, size_t stride, liz_gemm_to to);

/* Panels of an operand with n rows. */
static inline size_t liz_panel_count(size_t n) { return (n + LIZ_PANEL_ROWS - 1) / LIZ_PANEL_ROWS; }

#endif
