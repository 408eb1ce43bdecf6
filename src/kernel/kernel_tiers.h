/* kernel_tiers.h - what each tier's files add to the table; private to the kernel room. */
#ifndef LIZ_KERNEL_KERNEL_TIERS_H
#define LIZ_KERNEL_KERNEL_TIERS_H

#include "kernel/grad.h"

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
