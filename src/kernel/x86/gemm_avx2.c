/* gemm_avx2.c - many tokens without VNNI.
 *
 * The product of bytes takes four instructions for 32 of them, and so do two of words; bytes need their signs moved,
 * words none. Of four neighbouring k those of even places make a register's words, then those of odd ones: two shifts.
 */
#include "kernel/x86/decode_avx2.h"

enum { IS_SIGNED = 1, STEPS = LIZ_BLOCK_LEN / 2, TOKENS = 4 };

LIZ_INLINE __m256i even_words(__m256i bytes) { return _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8); }
LIZ_INLINE __m256i odd_words(__m256i bytes) { return _mm256_srai_epi16(bytes, 8); }

LIZ_INLINE void lay_weights(__m256i x, __m256i *to)
{
    to[0] = even_words(x);
    to[STEPS / 2 * HALVES] = odd_words(x);
}

LIZ_INLINE const int32_t *lay_token(const int8_t *q, __m256i *to)
{
    for (int i = 0; i < STEPS / 2 / ROWS; i++) {
        __m256i x = load256(q + 32 * i);
        to[i] = even_words(x);
        to[STEPS / 2 / ROWS + i] = odd_words(x);
    }
    return (const void *)to;
}

LIZ_INLINE __m256i first_sum(int32_t sum)
{
    (void)sum;
    return _mm256_setzero_si256();
}

LIZ_INLINE __m256i multiply_add(__m256i sum, __m256i w, __m256i x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}

#include "kernel/x86/gemm256_body.h"

void liz_kernel_gemm_avx2(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 12;
}
