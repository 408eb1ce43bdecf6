/* gemm_avxvnni.c - many tokens with the 256-bit VNNI of processors that lack AVX-512. */
#include "kernel/x86/decode_avx2.h"

enum { IS_SIGNED = 0, STEPS = LIZ_BLOCK_LEN / 4, TOKENS = 6 };

LIZ_INLINE void lay_weights(__m256i x, __m256i *to) { *to = x; }

LIZ_INLINE const int32_t *lay_token(const int8_t *q, __m256i *to)
{
    (void)to;
    return (const void *)q;
}

LIZ_INLINE __m256i first_sum(int32_t sum) { return _mm256_set1_epi32(-sum); }

LIZ_INLINE __m256i multiply_add(__m256i sum, __m256i w, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, w, x); }

#include "kernel/x86/gemm256_body.h"

void liz_kernel_gemm_avxvnni(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 24;
}
