/* peak_avx512.c - what VNNI and AVX-512 can do at most: sixteen independent sums in registers. */
#include "kernel/kernel_tiers.h"

#include <immintrin.h>

enum { N_SUMS = 16 };

static uint64_t peak_int8(size_t n_rounds)
{
    __m512i sum[N_SUMS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
    __asm__ volatile("" : "+v"(a), "+v"(b)); /* known to nobody */
    for (int i = 0; i < N_SUMS; i++)
        sum[i] = _mm512_set1_epi32(i); /* equal sums would be one */
    for (size_t r = 0; r < n_rounds; r++)
        for (int i = 0; i < N_SUMS; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
    for (int i = 0; i < N_SUMS; i++)
        __asm__ volatile("" : : "v"(sum[i]));
    return 2 * 64 * N_SUMS * n_rounds;
}

static uint64_t peak_float(size_t n_rounds)
{
    __m512 sum[N_SUMS], a = _mm512_set1_ps(1), b = _mm512_set1_ps(0.5f);
    __asm__ volatile("" : "+v"(a), "+v"(b)); /* known to nobody */
    for (int i = 0; i < N_SUMS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < n_rounds; r++)
        for (int i = 0; i < N_SUMS; i++)
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
    for (int i = 0; i < N_SUMS; i++)
        __asm__ volatile("" : : "v"(sum[i]));
    return 2 * 16 * N_SUMS * n_rounds;
}

void liz_kernel_peak_avx512(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_float;
}
