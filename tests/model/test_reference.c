/* test_reference.c - whole models against logits from an independent implementation, on every tier.
 *
 * reference/logits holds a tiny random model for each family in F32, reference/quants one model in each weight type;
 * the judge is the normalised mean squared error over all positions (see the READMEs there). On every tier the logits
 * must be the same bytes, computed at once, token by token, or in chunks that straddle pages. */
#include "../lib/model_bed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/"

enum { TOKENS_MAX = 512 };

typedef struct vectors {
    int32_t n_tok, n_vocab, *tokens;
    float *logits;
} vectors;

static vectors vectors_read(const char *path)
{
    vectors v;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(&v.n_tok, 4, 1, f) + fread(&v.n_vocab, 4, 1, f), 2);
    assert_in_range(v.n_tok, 1, TOKENS_MAX);
    size_t n = (size_t)v.n_tok * (size_t)v.n_vocab;
    v.tokens = malloc((size_t)v.n_tok * 4);
    v.logits = malloc(n * 4);
    assert_int_equal(fread(v.tokens, 4, (size_t)v.n_tok, f), v.n_tok);
    assert_int_equal(fread(v.logits, 4, n, f), n);
    fclose(f);
    return v;
}

static double error_of(const float *a, const float *b, size_t n)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return difference / size;
}

/* A cache type's logits: how far they are from those with an f32 cache, `want`, and the same bytes on every tier, for
 * any threads and chunks. */
static void check_cache_type(const char *path, const vectors *v, liz_cache_type type, const float *want)
{
    static const double limits[] = {[LIZ_CACHE_BF16] = 1.5e-4, [LIZ_CACHE_F32] = 0, [LIZ_CACHE_INT8] = 6e-4};
    static const struct {
        int n_threads;
        int32_t chunk;
    } ways[] = {{1, 1}, {2, 19}, {1, 0}, {3, 33}}; /* threads wait for each other: few steps where there are many */
    size_t n = (size_t)v->n_tok * (size_t)v->n_vocab;
    bed_opts o = {.tier = bed_tier_first(), .n_threads = 2, .cache_type = type};
    float *first = bed_logits(path, v->tokens, v->n_tok, 7, o);
    double error = error_of(first, want, n);
    if (!(error <= limits[type]) || (type != LIZ_CACHE_F32 && error == 0)) /* it must show, or nothing was varied */
        fail_msg("%s: with cache type %d the error is %.3e, the limit %.1e", path, (int)type, error, limits[type]);
    for (int tier = (int)bed_tier_first(); tier <= (int)liz_cpu_tier_best(); tier++)
        for (size_t i = (size_t)(tier + type) % 2; i < sizeof ways / sizeof *ways; i += 2) {
            if (tier == LIZ_TIER_C && i > 1)
                continue;
            o.tier = (liz_tier_id)tier;
            o.n_threads = ways[i].n_threads;
            float *again = bed_logits(path, v->tokens, v->n_tok, ways[i].chunk, o);
            if (memcmp(first, again, n * 4) != 0)
                fail_msg("%s: tier %s, %d threads, chunk %d gives other bytes", path, liz_cpu_tier_name(o.tier),
                         o.n_threads, ways[i].chunk);
            free(again);
        }
    free(first);
}

/* One file: its error on the first tier, and one cache type (f32) or all. */
static void check_file(const char *folder, const char *name, double limit, bool all_caches)
{
    char path[256], vector_path[256];
    snprintf(path, sizeof path, REFERENCE "%s/%s.gguf", folder, name);
    snprintf(vector_path, sizeof vector_path, REFERENCE "%s/%s.logits", folder, name);
    vectors v = vectors_read(vector_path);
    bed_opts opts = {.tier = bed_tier_first(), .n_threads = 1, .cache_type = LIZ_CACHE_F32};
    float *want = bed_logits(path, v.tokens, v.n_tok, 0, opts);
    double error = error_of(want, v.logits, (size_t)v.n_tok * (size_t)v.n_vocab);
    fprintf(stderr, "# %s: normalised mean squared error %.2e, limit %.1e\n", name, error, limit);
    if (!(error <= limit))
        fail_msg("%s: error %.3e is over %.1e", name, error, limit);
    for (int type = LIZ_CACHE_BF16; type <= LIZ_CACHE_INT8; type++)
        if (type == LIZ_CACHE_F32 || all_caches)
            check_cache_type(path, &v, (liz_cache_type)type, want);
    free(want);
    free(v.tokens);
    free(v.logits);
}

static void require_reference(void)
{
    if (access(REFERENCE "logits/README.md", R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: " REFERENCE " is not here\n");
        skip();
    }
}

static void test_families(void **state)
{
    (void)state;
    /* clang-format off */
    static const char *const names[] = {
        "llama-dense",
        "llama-gqa",
        "mistral3-dense",
        "qwen2-dense",
        "qwen3-dense",
        "smollm3-dense",
        "gpt2-dense",
        "llama-moe",
        "qwen3moe-moe",
        "gemma-dense",
        "gemma2-dense",
        "gemma3-dense",
        "phi3-dense",
        "olmo2-dense",
        "gpt-oss-moe",
        "granite-dense",
        "starcoder2-dense",
    };
    /* clang-format on */
    require_reference();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_file("logits", names[i], 1e-6, true);
}

static void test_weight_types(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double limit;
    } types[] = {{"llama-BF16", 1.5e-5},   {"llama-F16", 2.5e-5},    {"llama-Q4_0", 5.5e-4}, {"llama-Q4_1", 5.5e-4},
                 {"llama-Q5_0", 5.5e-4},   {"llama-Q5_1", 5.5e-4},   {"llama-Q8_0", 5.5e-4}, {"llama-Q2_K", 5.5e-4},
                 {"llama-Q3_K", 5.5e-4},   {"llama-Q4_K", 5.5e-4},   {"llama-Q5_K", 5.5e-4}, {"llama-Q6_K", 5.5e-4},
                 {"llama-IQ4_NL", 5.5e-4}, {"llama-IQ4_XS", 5.5e-4}, {"llama-TQ1_0", 7e-4},  {"llama-TQ2_0", 7e-4}};
    require_reference();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_file("quants", types[i].name, types[i].limit, false);
}

int main(void)
{
    liz_cpu_tier_best();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_weight_types)};
    return cmocka_run_group_tests_name("model reference", tests, NULL, NULL);
}
