/* dot_avx2.c - one to eight tokens without VNNI.
 *
 * Bytes are multiplied as |t| * (q with t's sign): vpmaddubsw then cannot overflow, as 2 * 128 * 127 fits 16 bits. A
 * single token's |q| are the same for all rows, so there it is |q| * (t with q's sign), an instruction less; it needs
 * t >= -127, as -(-128) is no byte. */
#include "kernel/x86/decode_avx2.h"

enum { IS_SIGNED = 1, WANTS_ABS = 1 };

LIZ_INLINE __m256i dot_row(const bytes256 *w, const int8_t *q, const __m256i *abs_q)
{
    __m256i sum = _mm256_setzero_si256();
    for (int c = 0; c < 8; c++) {
        __m256i t = w->t[c], x = load256(q + 32 * c);
        __m256i pairs = abs_q != NULL ? _mm256_maddubs_epi16(abs_q[c], _mm256_sign_epi8(t, x))
                                      : _mm256_maddubs_epi16(_mm256_abs_epi8(t), _mm256_sign_epi8(x, t));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
}

LIZ_INLINE __m256i whole_of(__m256i sums, int32_t sum)
{
    (void)sum;
    return sums;
}

#include "kernel/x86/dot256_body.h"

void liz_kernel_dot_avx2(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->dot_i8[LIZ_PACK_##ID] = dot_##name;
    LIZ_PACKS_INTEGER(ENTRY)
}
