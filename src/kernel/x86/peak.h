/* peak.h - the loop that finds what a tier can do at most: sums in registers that do not wait for each other. */
#ifndef LIZ_KERNEL_PEAK_H
#define LIZ_KERNEL_PEAK_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Hides a value from the compiler, or equal sums would be one, and the same products computed once. */
#define LIZ_PEAK_HIDE(value) __asm__ volatile("" : "+v"(value))

/* uint64_t name(size_t n_rounds): `step` makes a sum of `sum`, `a` and `b`, and is `n_ops` operations. */
#define LIZ_PEAK(name, sum_type, n_sums, n_ops, type, a_value, b_value, step)                                          \
    static uint64_t name(size_t n_rounds)                                                                              \
    {                                                                                                                  \
        sum_type sums[n_sums] = {0};                                                                                   \
        type a = a_value, b = b_value;                                                                                 \
        for (int i = 0; i < n_sums; i++)                                                                               \
            LIZ_PEAK_HIDE(sums[i]);                                                                                    \
        for (size_t r = 0; r < n_rounds; r++)                                                                          \
            for (int i = 0; i < n_sums; i++) {                                                                         \
                sum_type sum = sums[i];                                                                                \
                LIZ_PEAK_HIDE(a);                                                                                      \
                sums[i] = step;                                                                                        \
            }                                                                                                          \
        for (int i = 0; i < n_sums; i++)                                                                               \
            LIZ_PEAK_HIDE(sums[i]);                                                                                    \
        (void)b;                                                                                                       \
        return (uint64_t)n_ops * n_sums * n_rounds;                                                                    \
    }

#endif
