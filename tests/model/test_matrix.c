/* test_matrix.c - family x weight type x tier x batch: the same bytes, and no step asks for memory.
 *
 * Each model is a file of reference/logits with its matrices replaced by random ones of a type (and, where it has
 * experts, more of them than a token meets). A sequence is computed alone in one step by the first tier, then by every
 * other tier in company: three sequences in a step, of which one takes over the first tokens of another, and tokens one
 * at a time at the end. Its contexts are longer than the windows of these files. Under sanitizers, which make it slow,
 * one model in three takes part, and no C tier. */
#include "../../bench/lib/weights.h"
#include "../lib/alloc_fail.h"
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"
#include "kernel/pack.h"
#include "sys/cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/logits/"

enum { N_TOK = 40, N_SHARED = 32, N_ALONE = 4, N_EXPERT = 8, N_EXPERT_USED = 3 };

static const struct {
    const char *name, *arch;
    bool experts;
} families[] = {
    {"llama-gqa", "llama", false},       {"llama-moe", "llama", true},        {"mistral3-dense", "mistral3", false},
    {"qwen2-dense", "qwen2", false},     {"qwen3-dense", "qwen3", false},     {"qwen3moe-moe", "qwen3moe", true},
    {"smollm3-dense", "smollm3", false}, {"gpt2-dense", "gpt2", false},       {"gemma-dense", "gemma", false},
    {"gemma2-dense", "gemma2", false},   {"gemma3-dense", "gemma3", false},   {"phi3-dense", "phi3", false},
    {"olmo2-dense", "olmo2", false},     {"granite-dense", "granite", false}, {"starcoder2-dense", "starcoder2", false},
    {"gpt-oss-moe", "gpt-oss", true},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

static const char *write_model(size_t family, liz_dtype dtype)
{
    char from[128], used[64], count[64];
    snprintf(from, sizeof from, REFERENCE "%s.gguf", families[family].name);
    snprintf(count, sizeof count, "%s.expert_count", families[family].arch);
    snprintf(used, sizeof used, "%s.expert_used_count", families[family].arch);
    const gguf_change changes[] = {{.key = count, .type = LIZ_GGUF_U32, .u32 = N_EXPERT},
                                   {.key = used, .type = LIZ_GGUF_U32, .u32 = N_EXPERT_USED},
                                   {.key = NULL}};
    bool experts = families[family].experts;
    gguf_edit edit = {
        .changes = experts ? changes : NULL, .randomise = true, .dtype = dtype, .n_expert = experts ? N_EXPERT : 0};
    const char *path = temp_path("model.gguf");
    gguf_copy(from, path, edit);
    return path;
}

/* A step for three sequences, in which the first request of memory would be refused, and noticed. */
static const float *step(model_bed *b, const int32_t *const *tokens, const int32_t *n_tok)
{
    alloc_fail_at(1);
    const float *logits = bed_step(b, tokens, n_tok, 3);
    if (alloc_fail_stop())
        fail_msg("a step asks for memory");
    return logits;
}

/* The logits of sequence 0 computed in company; two other sequences are always in the step. */
static void run_together(const char *path, const int32_t *tokens, bed_opts o, float *out)
{
    model_bed b;
    int32_t other[N_TOK];
    for (int i = 0; i < N_TOK; i++)
        other[i] = (tokens[i] * 7 + 3) % 128;
    const int32_t *all[3] = {tokens, other, tokens};
    o.n_batch = 2 * N_TOK;
    o.n_ctx = N_TOK;
    bed_open(&b, path, o);
    size_t row = (size_t)b.n_vocab;
    /* Sequence 2 leads, and sequence 0 takes its tokens over as the prefix cache would. */
    step(&b, all, (int32_t[]){0, 3, N_SHARED});
    memcpy(b.pages[0], b.pages[2], N_SHARED / LIZ_PAGE_TOKENS * sizeof b.pages[0][0]);
    b.n_done[0] = N_SHARED;
    int32_t n_more = N_TOK - N_SHARED - N_ALONE;
    const float *logits = step(&b, all, (int32_t[]){n_more, 17, 2});
    memcpy(out, logits, (size_t)n_more * row * sizeof *out);
    for (int i = 0; i < N_ALONE; i++) {
        logits = step(&b, all, (int32_t[]){1, 1, 1});
        memcpy(out + (size_t)(n_more + i) * row, logits, row * sizeof *out);
    }
    bed_close(&b);
}

static void check_model(size_t family, liz_dtype dtype)
{
    const char *path = write_model(family, dtype);
    int32_t tokens[N_TOK];
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (i * i * 31 + i * 17 + 5) % 128;
    liz_tier_id best = liz_cpu_tier_best(), fast = best < LIZ_TIER_AVX2 ? best : LIZ_TIER_AVX2;
    liz_tier_id first = bed_tier_first();
    float *want = bed_logits(path, tokens, N_TOK, 0, (bed_opts){.tier = first, .n_threads = 1});
    enum { N_VOCAB = 128, N_LATE = N_TOK - N_SHARED };
    for (size_t i = 0; i < (size_t)N_TOK * N_VOCAB; i++)
        if (!isfinite(want[i]))
            fail_msg("%s: a logit is not finite", families[family].name);
    static float got[N_LATE * N_VOCAB];
    for (int tier = (int)fast; tier <= (int)best; tier++) {
        run_together(path, tokens, (bed_opts){.tier = (liz_tier_id)tier, .n_threads = 1 + tier % 2}, got);
        if (memcmp(want + (size_t)N_SHARED * N_VOCAB, got, sizeof got) != 0)
            fail_msg("%s in %s: tier %s in company gives other bytes than %s alone", families[family].name,
                     liz_dtype_info_get((uint32_t)dtype)->name, liz_cpu_tier_name((liz_tier_id)tier),
                     liz_cpu_tier_name(first));
    }
    free(want);
}

static void test_matrix(void **state)
{
    (void)state;
    if (access(REFERENCE "README.md", R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: " REFERENCE " is not here\n");
        skip();
    }
    int n = 0, n_types = 0, one_in = getenv("LIZZIE_TEST_SANITIZED") != NULL ? 3 : 1;
    for (uint32_t type = 0; type < LIZ_DTYPE_COUNT; type++) {
        liz_pack pack;
        if (liz_dtype_info_get(type) == NULL || !liz_pack_of((liz_dtype)type, &pack))
            continue;
        if (!bench_weights_can((liz_dtype)type))
            fail_msg("bench/lib/weights.c writes no random %s: the matrix needs it", liz_dtype_info_get(type)->name);
        n_types++;
        for (size_t family = 0; family < N_FAMILIES; family++, n++)
            if (n % one_in == 0)
                check_model(family, (liz_dtype)type);
    }
    assert_true(n_types >= 8);
    fprintf(stderr, "# %d families x %d types, one in %d\n", (int)N_FAMILIES, n_types, one_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix)};
    return cmocka_run_group_tests_name("model matrix", tests, NULL, NULL);
}
