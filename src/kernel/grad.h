/* grad.h - what training computes on rows: the backward of kernel.h's row operations, softmax and cross-entropy, the
 * optimiser's update, and operands laid out for the float matrix kernels.
 *
 * Same rules as kernel.h: leaf functions, one formula in one order on every tier, sums in sixteen lanes that end in a
 * fixed tree. `d` before a name is the gradient of the loss by it; gradients marked += are added to. */
#ifndef LIZ_KERNEL_GRAD_H
#define LIZ_KERNEL_GRAD_H

#include "kernel/kernel.h"

typedef struct liz_adam {
    float rate, beta1, beta2, eps, decay; /* decay: the weight's share lost per step, rate included */
    float fix1, fix2;                     /* 1 / (1 - beta^step): what the zero start of the averages takes off */
    float scale;                          /* of the gradient: clipping */
} liz_adam;

typedef struct liz_grad_kernel {
    /* Of y = (x - mean) * inverse * weight: the statistics, and dx += from them. `mean` NULL: a root mean square norm,
     * whose mean is 0; `weight` NULL is ones. */
    void (*norm_stats)(const float *x, float eps, size_t n, float *mean, float *inverse);
    void (*norm_back)(const float *x, const float *weight, const float *dy, const float *mean, float inverse, size_t n,
                      float *dx);

    void (*silu_mul_back)(const float *gate, const float *up, const float *dy, size_t n, float *dgate, float *dup);
    void (*gelu_back)(const float *x, const float *dy, size_t n, float *dx);               /* dx += */
    void (*softcap_back)(const float *y, float cap, const float *dy, size_t n, float *dx); /* y the result; dx = */

    /* x [n] scores to probabilities e^(x - max) / sum, in place; returns max + log(sum). */
    float (*softmax)(float *x, size_t n);
    /* p = e^(x - log_sum). */
    void (*exp_of)(const float *x, float log_sum, size_t n, float *p);
    void (*mul_scaled)(const float *a, float c, size_t n, float *y);              /* y = a y c */
    void (*mul_add)(const float *a, const float *b, float c, size_t n, float *y); /* y += a b c */
    float (*dot)(const float *a, const float *b, size_t n);

    /* One step of Adam with decoupled decay (Loshchilov and Hutter 2019): g * scale into the averages m and v, w. */
    void (*adam)(const liz_adam *step, const float *g, size_t n, float *w, float *m, float *v);

    /* A panel of 16 outputs (64-byte aligned), pairs of k together (pack.h), in bfloat16: n <= 16 rows of k elements,
     * `stride` apart (pack_rows), or n columns of k rows (pack_columns). k is padded with zeros to `k_pad`, a multiple
     * of 32. `stream`: past the caches, seen by others after a barrier. */
    void (*pack_rows)(const float *src, size_t stride, size_t n, size_t k, size_t k_pad, bool stream, uint16_t *panel);
    void (*pack_columns)(const float *src, size_t stride, size_t n, size_t k, size_t k_pad, bool stream,
                         uint16_t *panel);
    /* dst[c * dst_stride + r] = src[r * stride + c] for 16 x 16 elements. */
    void (*transpose)(const float *src, size_t stride, float *dst, size_t dst_stride);
} liz_grad_kernel;

void liz_grad_kernel_init(liz_grad_kernel *kernel, liz_tier_id tier);

#endif
