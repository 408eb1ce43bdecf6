/* test_query_growth.c - queries that grow beyond the trained context (Ministral 3): by the published factor, from the
 * published position on, and the same bytes on every tier and in every chunking.
 *
 * Settings are chosen so that a query doubles exactly at some position. What should come out there is then what a file
 * with doubled query matrices, which knows nothing of growing, makes of the same cache. */
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"
#include "model/model_rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "../shared/reference/logits/mistral3-dense.gguf"

enum { N_TOK = 80, N_VOCAB = 128, ROW_BYTES = N_VOCAB * 4 };

static void require_model(void)
{
    if (access(MODEL, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: " MODEL " is not here\n");
        skip();
    }
}

/* MODEL with this growth, 0 for none, and queries multiplied by `scale`. */
static const char *write_model(const char *name, float beta, uint32_t n_ctx, float scale)
{
    const gguf_change changes[] = {
        {.key = "mistral3.attention.temperature_scale", .type = LIZ_GGUF_F32, .f32 = beta},
        {.key = "mistral3.rope.scaling.original_context_length", .type = LIZ_GGUF_U32, .u32 = n_ctx},
        {.key = NULL}};
    const char *path = temp_path(name);
    gguf_copy(MODEL, path, (gguf_edit){.changes = changes, .scaled = "attn_q.", .scale = scale});
    return path;
}

static void fill_tokens(int32_t *tokens)
{
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (i * i * 13 + 7 * i + 5) % N_VOCAB;
}

static void test_factor(void **state)
{
    (void)state;
    static const liz_query_growth cases[] = {{0.1f, 16384}, {0.1f, 8192}, {1.5f, 1}, {0.25f, 7}};
    static const int32_t positions[] = {0, 1, 6, 7, 8191, 8192, 16383, 16384, 32767, 32768, 262143, 67108863};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof positions / sizeof *positions; k++) {
            double n_past = floor((double)positions[k] / cases[i].n_ctx);
            double wanted = 1 + (double)cases[i].beta * log(1 + n_past);
            float got = liz_query_growth_at(&cases[i], positions[k]);
            assert_true(n_past > 0 ? fabs((double)got - wanted) <= 0x1p-24 * wanted * 1.001 : got == 1);
        }
    assert_true(liz_query_growth_at(&(liz_query_growth){0}, 100) == 1);
}

/* The logits of the next token of sequence 0 of `cached`, whose keys and values are taken as they are, by `bed`. */
static void next_row(const model_bed *bed, const model_bed *cached, const int32_t *tokens, float *out)
{
    model_bed b = *bed;
    b.cache = cached->cache;
    memcpy(b.pages, cached->pages, sizeof b.pages);
    memcpy(b.n_done, cached->n_done, sizeof b.n_done);
    memcpy(out, bed_step(&b, &tokens, &(int32_t){1}, 1), ROW_BYTES);
}

static void test_doubled(void **state)
{
    (void)state;
    require_model();
    static const struct {
        float beta;
        uint32_t n_ctx;
        int32_t position, stretch;
    } cases[] = {
        {1.44269504f, 40, 40, 2}, {1.44269504f, 40, 79, 2}, {0.72134752f, 16, 48, 4},
        {0.72134752f, 16, 63, 4}, {0.48089835f, 9, 63, 8},
    };
    int32_t tokens[N_TOK];
    fill_tokens(tokens);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_bed grown, doubled, plain;
        float rows[3][N_VOCAB];
        int32_t n = cases[i].position;
        assert_true(fabs((double)cases[i].beta * log(cases[i].stretch) - 1) < 1e-7); /* so that 1 + it rounds to 2 */
        bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 1, .n_batch = N_TOK, .n_ctx = N_TOK};
        bed_open(&grown, write_model("grown.gguf", cases[i].beta, cases[i].n_ctx, 1), o);
        bed_open(&doubled, write_model("doubled.gguf", 0, cases[i].n_ctx, 2), o);
        bed_open(&plain, write_model("plain.gguf", 0, cases[i].n_ctx, 1), o);
        bed_step(&grown, &(const int32_t *){tokens}, &n, 1);
        next_row(&doubled, &grown, tokens, rows[0]);
        next_row(&plain, &grown, tokens, rows[1]);
        next_row(&grown, &grown, tokens, rows[2]);
        assert_memory_equal(rows[0], rows[2], ROW_BYTES);
        assert_memory_not_equal(rows[1], rows[2], ROW_BYTES);
        bed_close(&grown);
        bed_close(&doubled);
        bed_close(&plain);
    }
}

/* Nothing changes before the original context ends; from there on everything does, and alike everywhere. */
static void test_same_bytes(void **state)
{
    (void)state;
    require_model();
    static const int32_t chunks[] = {1, 0, 7, 33}; /* every other one with two threads */
    enum { N_CTX = 16 };
    int32_t tokens[N_TOK];
    fill_tokens(tokens);
    const char *grown = write_model("grown.gguf", 0.1f, N_CTX, 1), *plain = write_model("plain.gguf", 0, N_CTX, 1);
    bed_opts o = {.tier = bed_tier_first(), .n_threads = 1};
    float *of_plain = bed_logits(plain, tokens, N_TOK, 0, o), *first = bed_logits(grown, tokens, N_TOK, 0, o);
    assert_memory_equal(of_plain, first, N_CTX * ROW_BYTES);
    for (int t = N_CTX; t < N_TOK; t++)
        assert_memory_not_equal(of_plain + t * N_VOCAB, first + t * N_VOCAB, ROW_BYTES);
    for (int tier = (int)bed_tier_first(); tier <= (int)liz_cpu_tier_best(); tier++)
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            o.tier = (liz_tier_id)tier;
            o.n_threads = 1 + (int)i % 2;
            float *again = bed_logits(grown, tokens, N_TOK, chunks[i], o);
            if (memcmp(first, again, (size_t)N_TOK * ROW_BYTES) != 0)
                fail_msg("tier %s, chunk %d gives other bytes", liz_cpu_tier_name(o.tier), chunks[i]);
            free(again);
        }
    free(of_plain);
    free(first);
}

/* Without the original context there is nothing to count in; the length of another context would not do. */
static void test_refused(void **state)
{
    (void)state;
    require_model();
    static const gguf_change zero[] = {
        {.key = "mistral3.attention.temperature_scale", .type = LIZ_GGUF_F32, .f32 = 0.1f},
        {.key = "mistral3.rope.scaling.original_context_length", .type = LIZ_GGUF_U32},
        {.key = NULL}};
    static const gguf_change missing[] = {
        {.key = "mistral3.attention.temperature_scale", .type = LIZ_GGUF_F32, .f32 = 0.1f}, {.key = NULL}};
    const gguf_edit edits[] = {{.changes = zero},
                               {.changes = missing, .drop_key = "mistral3.rope.scaling.original_context_length"}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        liz_error err = {0};
        liz_gguf *gguf;
        liz_model *model;
        const char *path = temp_path("refused.gguf");
        gguf_copy(MODEL, path, edits[i]);
        assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
        assert_int_equal(liz_model_open(&model, gguf, &err), LIZ_E_FORMAT);
        assert_non_null(strstr(err.text, "mistral3.rope.scaling.original_context_length: is missing or 0"));
        assert_non_null(strstr(err.text, "attention.temperature_scale needs it"));
        liz_gguf_close(gguf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_factor), cmocka_unit_test(test_doubled),
                                       cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests_name("query growth", tests, NULL, NULL);
}
