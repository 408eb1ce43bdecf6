/* peak_avx2.c - what AVX2 and FMA can do at most. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/peak.h"

LIZ_PEAK(peak_int8, __m256i, 12, 2 * 32, __m256i, _mm256_set1_epi8(1), _mm256_set1_epi8(2),
         _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))))
LIZ_PEAK(peak_float, __m256, 12, 2 * 8, __m256, _mm256_set1_ps(1), _mm256_set1_ps(0.5f), _mm256_fmadd_ps(a, b, sum))

void liz_kernel_peak_avx2(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_float;
}
