/* kernel.c - fills the table for a tier, and says what is in it. */
#include "kernel/kernel.h"

#include "base/status.h"
#include "kernel/kernel_tiers.h"

#include <stddef.h>
#include <string.h>

static void fill_c(liz_kernel *kernel)
{
    liz_kernel_rows_ref(kernel);
    liz_kernel_dot_ref(kernel);
    liz_kernel_peak_ref(kernel);
}

#if defined(__x86_64__)
static void fill_avx2(liz_kernel *kernel)
{
    liz_kernel_rows_avx2(kernel);
    liz_kernel_dot_avx2(kernel);
    liz_kernel_gemm_avx2(kernel);
    liz_kernel_peak_avx2(kernel);
}

static void fill_avxvnni(liz_kernel *kernel)
{
    liz_kernel_dot_avxvnni(kernel);
    liz_kernel_gemm_avxvnni(kernel);
    liz_kernel_peak_avxvnni(kernel);
}

static void fill_avx512(liz_kernel *kernel)
{
    liz_kernel_rows_avx512(kernel);
    liz_kernel_dot_avx512(kernel);
    liz_kernel_gemm_avx512(kernel);
    liz_kernel_peak_avx512(kernel);
}

static void fill_amx(liz_kernel *kernel)
{
    liz_kernel_gemm_amx(kernel);
    liz_kernel_attention_amx(kernel);
    liz_kernel_peak_amx(kernel);
}
#endif

/* In the order in which they overwrite each other. */
static const struct {
    const char *name;
    liz_tier_id tier;
    bool (*is_there)(void); /* on a machine of that tier; NULL: always */
    void (*fill)(liz_kernel *kernel);
} variants[] = {
    {"c", LIZ_TIER_C, NULL, fill_c},
#if defined(__x86_64__)
    {"avx2", LIZ_TIER_AVX2, NULL, fill_avx2},
    {"avx2 with vnni", LIZ_TIER_AVX2, liz_cpu_has_avxvnni, fill_avxvnni},
    {"avx512", LIZ_TIER_AVX512, NULL, fill_avx512},
    {"avx512 with bf16", LIZ_TIER_AVX512, liz_cpu_has_bf16, liz_kernel_gemm_avx512bf16},
    {"amx", LIZ_TIER_AMX, NULL, fill_amx},
#endif
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static bool is_used(int variant, liz_tier_id tier)
{
    return variants[variant].tier <= tier && (variants[variant].is_there == NULL || variants[variant].is_there());
}

void liz_kernel_init(liz_kernel *kernel, liz_tier_id tier)
{
    *kernel = (liz_kernel){.tier = tier};
    for (int i = 0; i < N_VARIANTS; i++)
        if (is_used(i, tier))
            variants[i].fill(kernel);
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

/* An operation is where its entry stands in the table; its variant is the last that changed the entry. */
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

void liz_kernel_describe(liz_tier_id tier, size_t i, const char **op, const char **variant)
{
    LIZ_ASSERT(i < liz_kernel_count());
    liz_kernel kernel = {.tier = tier};
    void *entry = NULL, *now;
    *op = ops[i].name;
    *variant = "none (dot is used)";
    for (int v = 0; v < N_VARIANTS; v++) {
        if (!is_used(v, tier))
            continue;
        variants[v].fill(&kernel);
        memcpy(&now, (const char *)&kernel + ops[i].offset, sizeof now);
        *variant = now != entry ? variants[v].name : *variant;
        entry = now;
    }
}
