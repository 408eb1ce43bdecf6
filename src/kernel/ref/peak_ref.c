/* peak_ref.c - what plain C can do at most: the baseline of `peak_int8` and `peak_bf16`.
 *
 * Sums are hidden from the compiler after every round, so that no round can be left out. */
#include "kernel/kernel_tiers.h"

#include <math.h>

enum { LANES = 16 };

static uint64_t peak_int8(size_t n_rounds)
{
    int32_t sum[LANES] = {0};
    int8_t a[LANES] = {1, 2, 3}, b[LANES] = {4, 5, 6};
    for (size_t r = 0; r < n_rounds; r++) {
        for (int i = 0; i < LANES; i++)
            sum[i] += a[i] * b[i];
        __asm__ volatile("" : "+m"(sum), "+m"(a));
    }
    return 2 * LANES * n_rounds;
}

static uint64_t peak_float(size_t n_rounds)
{
    float sum[LANES] = {0}, a[LANES] = {1, 2, 3}, b[LANES] = {4, 5, 6};
    for (size_t r = 0; r < n_rounds; r++) {
        for (int i = 0; i < LANES; i++)
            sum[i] = fmaf(a[i], b[i], sum[i]);
        __asm__ volatile("" : "+m"(sum), "+m"(a));
    }
    return 2 * LANES * n_rounds;
}

void liz_kernel_peak_ref(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_float;
}
