/* test_reference.c - whole models against logits from an independent implementation, on every tier.
 *
 * reference/logits holds a tiny random model for each family in F32, reference/quants one model in each weight type;
 * the judge is the normalised mean squared error over all positions (see the READMEs there). On every tier the logits
 * must be the same bytes, computed at once, token by token, or in chunks that straddle pages. */
#include "cache/cache.h"
#include "model/model.h"

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

typedef struct run_opts {
    liz_tier_id tier;
    int n_threads;
    int32_t chunk; /* tokens of a step; 0: all */
    liz_cache_type cache_type;
} run_opts;

/* The logits [n_tok, n_vocab] of a whole sequence from an empty cache. */
static float *logits_of(const char *path, const vectors *v, run_opts o)
{
    liz_error err;
    liz_gguf *gguf;
    liz_model *model = NULL;
    liz_team *team;
    liz_cache *cache;
    if (liz_gguf_open(&gguf, path, &err) != LIZ_OK || liz_model_open(&model, gguf, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    const liz_model_params *p = liz_model_params_get(model);
    assert_int_equal(p->n_vocab, v->n_vocab);
    assert_int_equal(liz_team_open(&team, o.n_threads, &err), LIZ_OK);
    int32_t chunk = o.chunk > 0 ? o.chunk : v->n_tok, n_pages = v->n_tok / LIZ_PAGE_TOKENS + 1;
    liz_model_opts opts = {
        .tier = o.tier, .n_batch_max = chunk, .n_logits_max = chunk, .n_seqs_max = 1, .n_ctx = v->n_tok};
    if (liz_model_load(model, team, &opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_cache_opts cache_opts = {.layers = p->cache_layers,
                                 .n_layer = p->n_layer,
                                 .n_pages = n_pages,
                                 .type = o.cache_type,
                                 .sharing_off = true};
    assert_int_equal(liz_cache_open(&cache, &cache_opts, &err), LIZ_OK);
    int32_t pages[TOKENS_MAX / LIZ_PAGE_TOKENS + 1];
    for (int32_t i = 0; i < n_pages; i++) /* not in order of their ids */
        pages[n_pages - 1 - i] = liz_cache_page_take(cache);
    float *out = malloc((size_t)v->n_tok * (size_t)v->n_vocab * 4);
    for (int32_t at = 0, n; at < v->n_tok; at += n) {
        n = v->n_tok - at < chunk ? v->n_tok - at : chunk;
        liz_batch_seq seq = {.pages = pages, .n_past = at, .n_tok = n, .tokens = v->tokens + at, .n_logits = n};
        float *logits;
        if (liz_model_forward(model, cache, &seq, 1, &logits, &err) != LIZ_OK)
            fail_msg("%s", err.text);
        memcpy(out + (size_t)at * (size_t)v->n_vocab, logits, (size_t)n * (size_t)v->n_vocab * 4);
    }
    liz_cache_close(cache);
    liz_model_close(model);
    liz_team_close(team);
    liz_gguf_close(gguf);
    return out;
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

/* Under sanitizers the C tier takes minutes and shows nothing that a fast one does not. */
static liz_tier_id tier_first(void)
{
    return getenv("LIZZIE_TEST_SANITIZED") != NULL && liz_cpu_tier_best() > LIZ_TIER_C ? LIZ_TIER_AVX2 : LIZ_TIER_C;
}

/* One file: its error on the first tier, equal bytes on all the others and in every chunking. */
static void check_file(const char *folder, const char *name, double limit)
{
    char path[256], vector_path[256];
    snprintf(path, sizeof path, REFERENCE "%s/%s.gguf", folder, name);
    snprintf(vector_path, sizeof vector_path, REFERENCE "%s/%s.logits", folder, name);
    vectors v = vectors_read(vector_path);
    size_t n = (size_t)v.n_tok * (size_t)v.n_vocab;
    float *want = logits_of(path, &v, (run_opts){tier_first(), 1, 0, LIZ_CACHE_F32});
    double error = error_of(want, v.logits, n);
    fprintf(stderr, "# %s: normalised mean squared error %.2e, limit %.1e\n", name, error, limit);
    if (!(error <= limit))
        fail_msg("%s: error %.3e is over %.1e", name, error, limit);
    for (int type = LIZ_CACHE_BF16; type <= LIZ_CACHE_F32; type++) {
        float *first = logits_of(path, &v, (run_opts){tier_first(), 2, 7, (liz_cache_type)type});
        if (type == LIZ_CACHE_F32)
            assert_memory_equal(want, first, n * 4);
        else /* the cache's type must show, or nothing was varied */
            assert_memory_not_equal(want, first, n * 4);
        for (int tier = (int)tier_first(); tier <= (int)liz_cpu_tier_best(); tier++) {
            static const run_opts ways[] = {{0, 1, 0, 0}, {0, 3, 1, 0}, {0, 2, 5, 0}, {0, 2, 33, 0}};
            for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
                if (tier == LIZ_TIER_C && i > 1)
                    continue;
                run_opts o = ways[i];
                o.tier = (liz_tier_id)tier;
                o.cache_type = (liz_cache_type)type;
                float *again = logits_of(path, &v, o);
                if (memcmp(first, again, n * 4) != 0)
                    fail_msg("%s: tier %s, %d threads, chunk %d gives other bytes", name, liz_cpu_tier_name(o.tier),
                             o.n_threads, o.chunk);
                free(again);
            }
        }
        free(first);
    }
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
        check_file("logits", names[i], 1e-6);
}

static void test_weight_types(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double limit;
    } types[] = {{"llama-BF16", 1.5e-5}, {"llama-F16", 2.5e-5},  {"llama-Q4_0", 5.5e-4}, {"llama-Q5_0", 5.5e-4},
                 {"llama-Q8_0", 5.5e-4}, {"llama-Q4_K", 5.5e-4}, {"llama-Q6_K", 5.5e-4}};
    require_reference();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_file("quants", types[i].name, types[i].limit);
}

int main(void)
{
    liz_cpu_tier_best();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_weight_types)};
    return cmocka_run_group_tests_name("model reference", tests, NULL, NULL);
}
