/* grad.c - fills the training table for a tier. */
#include "kernel/grad.h"

#include "kernel/grad_tiers.h"

void liz_grad_kernel_init(liz_grad_kernel *kernel, liz_tier_id tier)
{
#if defined(__x86_64__)
    if (tier >= LIZ_TIER_AVX512) {
        liz_grad_kernel_avx512(kernel);
        return;
    }
    if (tier >= LIZ_TIER_AVX2) {
        liz_grad_kernel_avx2(kernel);
        return;
    }
#endif
    (void)tier;
    liz_grad_kernel_ref(kernel);
}
