/* peak_avx2.c - what AVX2 and FMA can do at most: twelve independent sums in registers. */
#include "kernel/kernel_tiers.h"

#include <immintrin.h>

enum { N_SUMS = 12 };

static uint64_t peak_int8(size_t n_rounds)
{
    __m256i sum[N_SUMS], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
    for (int i = 0; i < N_SUMS; i++)
        sum[i] = _mm256_set1_epi32(i); /* equal sums would be one */
    for (size_t r = 0; r < n_rounds; r++)
        for (int i = 0; i < N_SUMS; i++) {
            __asm__ volatile("" : "+x"(a)); /* or the products would be computed once */
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    for (int i = 0; i < N_SUMS; i++)
        __asm__ volatile("" : : "x"(sum[i]));
    return 2 * 32 * N_SUMS * n_rounds;
}

static uint64_t peak_float(size_t n_rounds)
{
    __m256 sum[N_SUMS], a = _mm256_set1_ps(1), b = _mm256_set1_ps(0.5f);
    __asm__ volatile("" : "+x"(a), "+x"(b)); /* known to nobody */
    for (int i = 0; i < N_SUMS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (size_t r = 0; r < n_rounds; r++)
        for (int i = 0; i < N_SUMS; i++)
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
    for (int i = 0; i < N_SUMS; i++)
        __asm__ volatile("" : : "x"(sum[i]));
    return 2 * 8 * N_SUMS * n_rounds;
}

void liz_kernel_peak_avx2(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_float;
}
