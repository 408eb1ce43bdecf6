/* grad_tiers.h - each tier's filler of the training table; private to the kernel room. */
#ifndef LIZ_KERNEL_GRAD_TIERS_H
#define LIZ_KERNEL_GRAD_TIERS_H

#include "kernel/grad.h"

void liz_grad_kernel_ref(liz_grad_kernel *kernel);
#if defined(__x86_64__)
void liz_grad_kernel_avx2(liz_grad_kernel *kernel);
void liz_grad_kernel_avx512(liz_grad_kernel *kernel);
#endif

#endif
