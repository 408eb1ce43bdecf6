/* kernel_tiers.h - what each tier's files add to the table; private to the kernel room. */
#ifndef LIZ_KERNEL_KERNEL_TIERS_H
#define LIZ_KERNEL_KERNEL_TIERS_H

#include "kernel/grad.h"

/* How far ahead of its use a panel is asked for: the hardware's own prefetch stops at every page. */
enum { LIZ_PREFETCH_BYTES = 2048 };

/* Asks for the sixteenth part `row` of the block at `block`, which need not exist. */
static inline __attribute__((always_inline, unused)) void liz_prefetch_row(const uint8_t *block, size_t block_bytes,
                                                                           int row)
{
    const uint8_t *part = block + (size_t)row * (block_bytes / LIZ_PANEL_ROWS);
    for (size_t i = 0; i < block_bytes / LIZ_PANEL_ROWS; i += 64)
        __builtin_prefetch(part + i);
}

void liz_kernel_rows_ref(liz_kernel *kernel);
void liz_kernel_dot_ref(liz_kernel *kernel);
void liz_kernel_peak_ref(liz_kernel *kernel);
void liz_grad_kernel_ref(liz_grad_kernel *kernel);
#if defined(__x86_64__)
void liz_kernel_rows_avx2(liz_kernel *kernel);
void liz_kernel_dot_avx2(liz_kernel *kernel);
void liz_kernel_gemm_avx2(liz_kernel *kernel);
void liz_kernel_rows_avx512(liz_kernel *kernel);
void liz_kernel_dot_avx512(liz_kernel *kernel);
void liz_kernel_gemm_avx512(liz_kernel *kernel);
void liz_kernel_gemm_avx512bf16(liz_kernel *kernel);
void liz_kernel_gemm_amx(liz_kernel *kernel);
void liz_kernel_peak_avx2(liz_kernel *kernel);
void liz_kernel_peak_avx512(liz_kernel *kernel);
void liz_kernel_peak_amx(liz_kernel *kernel);
void liz_grad_kernel_avx2(liz_grad_kernel *kernel);
void liz_grad_kernel_avx512(liz_grad_kernel *kernel);
#endif

#endif
