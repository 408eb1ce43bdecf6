/* peak_avx512.c - what VNNI and AVX-512 can do at most. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/peak.h"

LIZ_PEAK(peak_int8, __m512i, 16, 2 * 64, __m512i, _mm512_set1_epi8(1), _mm512_set1_epi8(2),
         _mm512_dpbusd_epi32(sum, a, b))
LIZ_PEAK(peak_float, __m512, 16, 2 * 16, __m512, _mm512_set1_ps(1), _mm512_set1_ps(0.5f), _mm512_fmadd_ps(a, b, sum))

void liz_kernel_peak_avx512(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_float;
}
