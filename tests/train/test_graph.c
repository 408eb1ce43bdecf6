/* test_graph.c - a family's tape computes what the family is: its loss on the reference sequences is that of the
 * reference logits, and an adapter that is still zero changes nothing. */
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"
#include "train/graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER "../shared/reference/logits/"

static const char *const names[] = {
    "llama-dense",   "llama-gqa",        "mistral3-dense", "qwen2-dense",  "qwen3-dense", "smollm3-dense",
    "gpt2-dense",    "gemma-dense",      "gemma2-dense",   "gemma3-dense", "phi3-dense",  "olmo2-dense",
    "granite-dense", "starcoder2-dense", "llama-moe",      "qwen3moe-moe", "gpt-oss-moe"};
enum { DENSE = 14 }; /* the others can have adapters only */

static liz_team *team;

typedef struct reference {
    int32_t n_tok, n_vocab, *tokens;
    float *logits;
    char *bytes;
} reference;

static reference reference_read(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, FOLDER "%s.logits", name);
    size_t n;
    reference r = {.bytes = file_read(path, &n)};
    assert_non_null(r.bytes);
    memcpy(&r.n_tok, r.bytes, 4);
    memcpy(&r.n_vocab, r.bytes + 4, 4);
    r.tokens = (int32_t *)(void *)(r.bytes + 8);
    r.logits = (float *)(void *)(r.bytes + 8 + 4 * r.n_tok);
    assert_int_equal(n, 8 + 4 * (size_t)r.n_tok * (1 + (size_t)r.n_vocab));
    return r;
}

/* The loss of each position's logits against the token after it. */
static double reference_loss(const reference *r)
{
    double loss = 0;
    for (int t = 0; t + 1 < r->n_tok; t++) {
        const float *z = r->logits + (size_t)t * (size_t)r->n_vocab;
        double most = -INFINITY, sum = 0;
        for (int i = 0; i < r->n_vocab; i++)
            most = fmax(most, (double)z[i]);
        for (int i = 0; i < r->n_vocab; i++)
            sum += exp((double)z[i] - most);
        loss += most + log(sum) - (double)z[r->tokens[t + 1]];
    }
    return loss;
}

static double tape_loss(const char *path, const reference *r, int lora_rank, unsigned adapted, bool exact)
{
    liz_gguf *gguf = NULL;
    liz_tape *tape = NULL;
    liz_graph *graph = NULL;
    liz_error err;
    liz_tier_id tier;
    size_t n = (size_t)r->n_tok;
    liz_tape_opts tape_opts = {.n_tok_max = n, .exact = exact};
    liz_graph_opts opts = {.lora_rank = lora_rank, .lora_alpha = 16, .lora_targets = adapted, .n_ctx = r->n_tok};
    if (liz_cpu_tier(&tier, &err) != LIZ_OK || liz_gguf_open(&gguf, path, &err) != LIZ_OK ||
        liz_tape_open(&tape, team, tier, &tape_opts, &err) != LIZ_OK ||
        liz_graph_open(&graph, gguf, tape, &opts, &err) != LIZ_OK)
        fail_msg("%s: %s", path, err.text);
    int32_t *targets = malloc(n * sizeof *targets);
    memcpy(targets, r->tokens + 1, (n - 1) * sizeof *targets);
    targets[n - 1] = -1;
    liz_segment whole = {0, n};
    liz_train_batch batch = {n, 1, r->tokens, targets, &whole, 1.0f / (float)(n - 1)};
    double loss = liz_tape_forward(tape, &batch);
    assert_true(liz_tape_backward(tape, &batch) == loss);
    free(targets);
    liz_graph_close(graph);
    liz_tape_close(tape);
    liz_gguf_close(gguf);
    return loss;
}

static void test_families(void **state)
{
    (void)state;
    if (access(FOLDER, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", FOLDER);
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        reference r = reference_read(names[i]);
        char path[256];
        snprintf(path, sizeof path, FOLDER "%s.gguf", names[i]);
        double wanted = reference_loss(&r), loss = tape_loss(path, &r, i < DENSE ? 0 : 2, LIZ_LORA_ALL, true);
        double adapted = tape_loss(path, &r, 4, LIZ_LORA_ALL, true);
        double rounded = tape_loss(path, &r, 4, LIZ_LORA_ALL, false);
        printf("# %s: loss %.6f, on the tape %.6f, with an empty adapter %.6f, in bfloat16 %.6f\n", names[i], wanted,
               loss, adapted, rounded);
        assert_true(fabs(loss - wanted) < 2e-5 * wanted);
        assert_true(loss == adapted);
        assert_true(fabs(rounded - wanted) < 1e-2 * wanted);
        free(r.bytes);
    }
}

/* Queries that grow beyond the trained context do so on the tape as in a step of the engine. */
static void test_query_growth(void **state)
{
    (void)state;
    if (access(FOLDER, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", FOLDER);
        skip();
    }
    static const gguf_change changes[] = {
        {.key = "mistral3.attention.temperature_scale", .type = LIZ_GGUF_F32, .f32 = 2},
        {.key = "mistral3.rope.scaling.original_context_length", .type = LIZ_GGUF_U32, .u32 = 8},
        {.key = NULL}};
    const char *grown = temp_path("grown.gguf");
    gguf_copy(FOLDER "mistral3-dense.gguf", grown, (gguf_edit){.changes = changes});
    reference r = reference_read("mistral3-dense");
    double plain = reference_loss(&r);
    bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 1, .cache_type = LIZ_CACHE_F32};
    r.logits = bed_logits(grown, r.tokens, r.n_tok, 0, o);
    double wanted = reference_loss(&r), loss = tape_loss(grown, &r, 4, LIZ_LORA_ALL, true);
    printf("# growing queries: loss %.6f, on the tape %.6f; of queries that do not grow %.6f\n", wanted, loss, plain);
    assert_true(fabs(loss - wanted) < 2e-5 * wanted);
    assert_true(fabs(plain - wanted) > 1e-3 * wanted);
    free(r.logits);
    free(r.bytes);
}

/* Experts whose gate and up are one tensor: their attention can be adapted, they cannot. */
static void test_joined_experts(void **state)
{
    (void)state;
    if (access(FOLDER, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", FOLDER);
        skip();
    }
    reference r = reference_read("qwen3moe-moe");
    char *joined = strdup(temp_path("joined.gguf"));
    gguf_copy(FOLDER "qwen3moe-moe.gguf", joined, (gguf_edit){.merge_gate_up = true});
    double apart = tape_loss(FOLDER "qwen3moe-moe.gguf", &r, 4, LIZ_LORA_DENSE, true);
    assert_true(tape_loss(joined, &r, 4, LIZ_LORA_DENSE, true) == apart);
    liz_gguf *gguf = NULL;
    liz_tape *tape = NULL;
    liz_graph *graph = NULL;
    liz_error err;
    liz_tape_opts tape_opts = {.n_tok_max = 32};
    liz_graph_opts opts = {.lora_rank = 4, .lora_alpha = 8, .lora_targets = LIZ_LORA_ALL, .n_ctx = 32};
    assert_int_equal(liz_gguf_open(&gguf, joined, &err), LIZ_OK);
    assert_int_equal(liz_tape_open(&tape, team, LIZ_TIER_C, &tape_opts, &err), LIZ_OK);
    assert_int_equal(liz_graph_open(&graph, gguf, tape, &opts, &err), LIZ_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "gate and up are one tensor"));
    liz_tape_close(tape);
    liz_gguf_close(gguf);
    free(joined);
    free(r.bytes);
}

/* The tables of a file that writes its matrices with four dimensions are the same tables. */
static void test_dimensions_of_one(void **state)
{
    (void)state;
    if (access(FOLDER, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", FOLDER);
        skip();
    }
    reference r = reference_read("gpt2-dense");
    const char *path = temp_path("four.gguf");
    gguf_copy(FOLDER "gpt2-dense.gguf", path, (gguf_edit){.n_dim = 4});
    assert_true(tape_loss(path, &r, 0, 0, true) == tape_loss(FOLDER "gpt2-dense.gguf", &r, 0, 0, true));
    free(r.bytes);
}

static int open_team(void **state)
{
    (void)state;
    return liz_team_open(&team, 2, NULL) == LIZ_OK ? 0 : -1;
}

static int close_team(void **state)
{
    (void)state;
    liz_team_close(team);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_query_growth),
                                       cmocka_unit_test(test_joined_experts), cmocka_unit_test(test_dimensions_of_one)};
    return cmocka_run_group_tests(tests, open_team, close_team);
}
