/* avxvnni_software_avx2.c - the 256-bit VNNI for machines that lack it: vpdpbusd on ymm registers, as Intel's manual
 * says (Software Developer's Manual, volume 2, VPDPBUSD), so that the machine code of that variant is tested on them.
 */
#include "illegal.h"
#include "sys/cpu.h"

#include <immintrin.h>
#include <string.h>

bool liz_cpu_has_avxvnni(void) { return liz_cpu_tier_best() >= LIZ_TIER_AVX2; }

/* Of a signal's frame (the layout of XSAVE, not compacted): the low halves, which states are there, the high halves. */
enum { XMM_AT = 160, STATES_AT = 512, YMM_HIGH_AT = 576, HALF = 16, STATE_YMM = 1 << 2 };

static __m256i ymm_get(const ucontext_t *context, int number)
{
    const uint8_t *frame = (const uint8_t *)context->uc_mcontext.fpregs;
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(frame + XMM_AT + HALF * number)), high = {0};
    if (frame[STATES_AT] & STATE_YMM)
        high = _mm_loadu_si128((const __m128i *)(const void *)(frame + YMM_HIGH_AT + HALF * number));
    return _mm256_set_m128i(high, low);
}

static void ymm_set(ucontext_t *context, int number, __m256i value)
{
    uint8_t *frame = (uint8_t *)context->uc_mcontext.fpregs;
    if (!(frame[STATES_AT] & STATE_YMM))
        memset(frame + YMM_HIGH_AT, 0, (size_t)HALF * 16);
    frame[STATES_AT] |= STATE_YMM;
    _mm_storeu_si128((__m128i *)(void *)(frame + XMM_AT + HALF * number), _mm256_castsi256_si128(value));
    _mm_storeu_si128((__m128i *)(void *)(frame + YMM_HIGH_AT + HALF * number), _mm256_extracti128_si256(value, 1));
}

/* Four bytes, unsigned, times four, signed, added to each 32-bit lane. */
static __m256i dot_bytes(__m256i sum, __m256i w, __m256i x)
{
    for (int i = 0; i < 4; i++) {
        __m128i up = _mm_cvtsi32_si128(24 - 8 * i);
        __m256i w_i = _mm256_srli_epi32(_mm256_sll_epi32(w, up), 24);
        __m256i x_i = _mm256_srai_epi32(_mm256_sll_epi32(x, up), 24);
        sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(w_i, x_i));
    }
    return sum;
}

bool insn_do(insn *i, ucontext_t *context)
{
    __m256i x;
    if (i->opcode != 0x50 || i->prefix != PREFIX_66 || !i->is_256)
        return false;
    if (i->mod == 3) {
        x = ymm_get(context, i->rm | i->rex_b);
    } else {
        uint64_t at = insn_memory(i, context);
        at += i->index == 4 ? 0 : insn_gpr(context, i->index) << i->scale;
        x = _mm256_loadu_si256((const __m256i *)at); // NOLINT
    }
    ymm_set(context, i->reg, dot_bytes(ymm_get(context, i->reg), ymm_get(context, i->vvvv), x));
    return true;
}
