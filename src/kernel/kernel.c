/* kernel.c - fills the table for a tier, and says what is in it. */
#include "kernel/kernel.h"

#include "base/status.h"
#include "kernel/kernel_tiers.h"

#include <stddef.h>
#include <string.h>

void liz_kernel_init(liz_kernel *kernel, liz_tier_id tier)
{
    *kernel = (liz_kernel){.tier = tier};
    liz_kernel_rows_ref(kernel);
    liz_kernel_dot_ref(kernel);
    liz_kernel_peak_ref(kernel);
#if defined(__x86_64__)
    if (tier < LIZ_TIER_AVX2)
        return;
    liz_kernel_rows_avx2(kernel);
    liz_kernel_dot_avx2(kernel);
    liz_kernel_gemm_avx2(kernel);
    liz_kernel_peak_avx2(kernel);
    if (tier < LIZ_TIER_AVX512)
        return;
    liz_kernel_rows_avx512(kernel);
    liz_kernel_dot_avx512(kernel);
    liz_kernel_gemm_avx512(kernel);
    liz_kernel_peak_avx512(kernel);
    if (liz_cpu_has_bf16())
        liz_kernel_gemm_avx512bf16(kernel);
    if (tier < LIZ_TIER_AMX)
        return;
    liz_kernel_gemm_amx(kernel);
    liz_kernel_peak_amx(kernel);
#endif
}

void liz_grad_kernel_init(liz_grad_kernel *kernel, liz_tier_id tier)
{
    (void)tier;
    liz_grad_kernel_ref(kernel);
#if defined(__x86_64__)
    if (tier >= LIZ_TIER_AVX2)
        liz_grad_kernel_avx2(kernel);
    if (tier >= LIZ_TIER_AVX512)
        liz_grad_kernel_avx512(kernel);
#endif
}

/* An operation is where its entry stands in the table; its variant is the highest tier that changed the entry. */
static const struct {
    const char *name;
    size_t offset;
} ops[] = {
#define OP(field)                                                                                                      \
    {                                                                                                                  \
#field, offsetof(liz_kernel, field)                                                                            \
    }
#define OP_AT(field, i, label)                                                                                         \
    {                                                                                                                  \
        label, offsetof(liz_kernel, field) + (i) * sizeof(void *)                                                      \
    }
    OP_AT(dot_f32, LIZ_PACK_F32, "dot f32"),
    OP_AT(dot_f32, LIZ_PACK_BF16, "dot bf16"),
#define DOT_AT(ID, name, types) OP_AT(dot_i8, LIZ_PACK_##ID, "dot " #name " (" types ")"),
#define GEMM_AT(ID, name, types) OP_AT(gemm_i8, LIZ_PACK_##ID, "gemm " #name " (" types ")"),
    LIZ_PACKS_INTEGER(DOT_AT) LIZ_PACKS_INTEGER(GEMM_AT){"gemm bf16", offsetof(liz_kernel, gemm_bf16)},
    OP(quantize_i8),
    OP(rms_norm),
    OP(layer_norm),
    OP(silu_mul),
    OP(gelu_mul),
    OP(swiglu_oai),
    OP(softmax),
    OP(sigmoid),
    OP(softcap),
    OP(rope),
    OP_AT(attn_block, LIZ_ATTN_BF16, "attend bf16"),
    OP_AT(attn_block, LIZ_ATTN_F32, "attend f32"),
    OP_AT(attn_block, LIZ_ATTN_I8, "attend int8"),
};

size_t liz_kernel_count(void) { return sizeof ops / sizeof *ops; }

static void *entry_of(liz_tier_id tier, size_t offset)
{
    liz_kernel kernel;
    liz_kernel_init(&kernel, tier);
    void *entry;
    memcpy(&entry, (const char *)&kernel + offset, sizeof entry);
    return entry;
}

void liz_kernel_describe(liz_tier_id tier, size_t i, const char **op, const char **variant)
{
    LIZ_ASSERT(i < liz_kernel_count());
    *op = ops[i].name;
    void *entry = entry_of(tier, ops[i].offset);
    int first = tier;
    while (first > LIZ_TIER_C && entry_of((liz_tier_id)(first - 1), ops[i].offset) == entry)
        first--;
    *variant = entry == NULL ? "none (dot is used)" : liz_cpu_tier_name((liz_tier_id)first);
}
