/* dot_avxvnni.c - one to eight tokens with the 256-bit VNNI of processors that lack AVX-512. */
#include "kernel/x86/decode_avx2.h"

enum { IS_SIGNED = 0, WANTS_ABS = 0 };

LIZ_INLINE __m256i dot_row(const bytes256 *w, const int8_t *q, const __m256i *abs_q)
{
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    (void)abs_q;
    for (int c = 0; c < 8; c++)
        sums[c % 2] = _mm256_dpbusd_avx_epi32(sums[c % 2], w->t[c], load256(q + 32 * c));
    return _mm256_add_epi32(sums[0], sums[1]);
}

LIZ_INLINE __m256i whole_of(__m256i sums, int32_t sum) { return _mm256_sub_epi32(sums, _mm256_set1_epi32(sum)); }

#include "kernel/x86/dot256_body.h"

void liz_kernel_dot_avxvnni(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->dot_i8[LIZ_PACK_##ID] = dot_##name;
    LIZ_PACKS_INTEGER(ENTRY)
}
