/* peak_avxvnni.c - what the 256-bit VNNI can do at most. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/peak.h"

LIZ_PEAK(peak_int8, __m256i, 12, 2 * 32, __m256i, _mm256_set1_epi8(1), _mm256_set1_epi8(2),
         _mm256_dpbusd_avx_epi32(sum, a, b))

void liz_kernel_peak_avxvnni(liz_kernel *kernel) { kernel->peak_int8 = peak_int8; }
