/* test_learning.c - a few steps of training: the loss falls, and the weights are the same bytes for every number of
 * threads, every instruction set, and with layers computed twice. */
#include "../lib/temp_dir.h"
#include "base/hash.h"
#include "base/philox.h"
#include "train/graph.h"
#include "train/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_TOK = 96, N_STEPS = 5 };

typedef struct outcome {
    double first, last;
    liz_hash weights;
} outcome;

typedef struct setting {
    liz_tier_id tier;
    int n_threads, lora_rank;
    bool recompute, muon;
} setting;

static const char *model;

/* A text that can be learnt: few tokens, each of which tells the next one. */
static liz_train_batch batch_make(int32_t tokens[N_TOK], int32_t targets[N_TOK], liz_segment segments[2])
{
    for (int t = 0; t < N_TOK; t++) {
        tokens[t] = (int32_t)((uint32_t)t * (uint32_t)t * 7u % 23u);
        targets[t] = (tokens[t] * 5 + 3) % 23;
    }
    segments[0] = (liz_segment){0, 60};
    segments[1] = (liz_segment){60, N_TOK - 60};
    return (liz_train_batch){N_TOK, 2, tokens, targets, segments, 1.0f / N_TOK};
}

static liz_hash weights_hash(const liz_tape *tape)
{
    liz_hash h = {0};
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;)
        h = liz_hash_chain(h, p->w, p->n_out * p->n_in * sizeof *p->w);
    return h;
}

static outcome learn(setting s)
{
    liz_team *team = NULL;
    liz_gguf *gguf = NULL;
    liz_tape *tape = NULL;
    liz_graph *graph = NULL;
    liz_optimizer *optimizer = NULL;
    liz_error err;
    outcome o = {0};
    int32_t tokens[N_TOK], targets[N_TOK];
    liz_segment segments[2];
    liz_train_batch batch = batch_make(tokens, targets, segments);
    liz_tape_opts tape_opts = {.n_tok_max = N_TOK, .recompute = s.recompute};
    liz_graph_opts graph_opts = {
        .lora_rank = s.lora_rank, .lora_alpha = 8, .lora_targets = LIZ_LORA_ALL, .seed = 5, .n_ctx = N_TOK};
    liz_optimizer_opts opts = {.rate = s.lora_rank > 0 ? 1e-2f : 3e-3f, .muon = s.muon, .decay = 0.01f, .clip = 1};
    if (liz_team_open(&team, s.n_threads, &err) != LIZ_OK || liz_gguf_open(&gguf, model, &err) != LIZ_OK ||
        liz_tape_open(&tape, team, s.tier, &tape_opts, &err) != LIZ_OK ||
        liz_graph_open(&graph, gguf, tape, &graph_opts, &err) != LIZ_OK ||
        liz_optimizer_open(&optimizer, tape, team, &opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    o.first = liz_tape_forward(tape, &batch) / N_TOK;
    for (uint64_t step = 1; step <= N_STEPS; step++) {
        liz_tape_backward(tape, &batch);
        assert_true(liz_optimizer_step(optimizer, step, 1) > 0);
    }
    o.last = liz_tape_forward(tape, &batch) / N_TOK;
    o.weights = weights_hash(tape);
    liz_optimizer_close(optimizer);
    liz_graph_close(graph);
    liz_tape_close(tape);
    liz_gguf_close(gguf);
    liz_team_close(team);
    return o;
}

static void check_same(setting s)
{
    liz_tier_id best;
    assert_int_equal(liz_cpu_tier(&best, NULL), LIZ_OK);
    s.tier = best;
    s.n_threads = 1;
    outcome one = learn(s);
    printf("# %s%s: loss %.4f, after %d steps %.4f\n", s.lora_rank > 0 ? "adapters" : "all weights",
           s.muon ? ", Muon" : "", one.first, N_STEPS, one.last);
    assert_true(one.last < 0.7 * one.first);
    /* Muon and all weights in plain C, or plain C under a sanitizer, would take minutes. */
    bool slow = s.lora_rank == 0 || getenv("LIZZIE_TEST_SANITIZED") != NULL;
    for (int tier = slow ? LIZ_TIER_AVX2 : LIZ_TIER_C; tier <= (int)best; tier++) {
        s.tier = (liz_tier_id)tier;
        s.n_threads = 2 + tier % 2;
        s.recompute = tier % 2 == 0;
        outcome other = learn(s);
        assert_true(other.last == one.last);
        assert_true(liz_hash_eq(other.weights, one.weights));
    }
}

/* The loss and gradients of many targets are those of the documents one by one, though targets are gathered into blocks
 * of 256 across their borders. */
static void test_blocks_of_targets(void **state)
{
    (void)state;
    enum { N = 360, DOCUMENT = 60, N_TARGETS = 300 };
    static int32_t tokens[N], targets[N], targets_of_none[N];
    liz_segment segments[N / DOCUMENT];
    liz_team *team = NULL;
    liz_gguf *gguf = NULL;
    liz_tape *tape = NULL;
    liz_graph *graph = NULL;
    liz_error err;
    liz_tape_opts tape_opts = {.n_tok_max = N, .exact = true};
    liz_graph_opts opts = {.n_ctx = DOCUMENT};
    liz_tier_id tier;
    if (liz_cpu_tier(&tier, &err) != LIZ_OK || liz_team_open(&team, 2, &err) != LIZ_OK ||
        liz_gguf_open(&gguf, model, &err) != LIZ_OK || liz_tape_open(&tape, team, tier, &tape_opts, &err) != LIZ_OK ||
        liz_graph_open(&graph, gguf, tape, &opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    for (int t = 0; t < N; t++) {
        tokens[t] = (int32_t)((uint32_t)t * (uint32_t)t * 7u % 23u);
        targets[t] = t % 6 == 0 ? -1 : (tokens[t] * 5 + 3) % 23; /* a block and a part of one */
    }
    for (size_t i = 0; i < N / DOCUMENT; i++)
        segments[i] = (liz_segment){i * DOCUMENT, DOCUMENT};
    liz_train_batch all = {N, N / DOCUMENT, tokens, targets, segments, 1.0f / N_TARGETS};
    double together = liz_tape_backward(tape, &all), apart = 0, differ = 0, size = 0;
    assert_true(liz_tape_forward(tape, &all) == together);
    size_t i = 0;
    const liz_param *p = liz_tape_trained(tape, &i);
    while (!p->multiplies || !p->is_table) /* the head */
        p = liz_tape_trained(tape, &i);
    size_t n = p->n_out * p->n_in;
    float *of_all = malloc(n * sizeof *of_all);
    assert_non_null(of_all);
    memcpy(of_all, p->grad, n * sizeof *of_all);
    memset(targets_of_none, -1, sizeof targets_of_none);
    liz_train_batch none = {N, N / DOCUMENT, tokens, targets_of_none, segments, 1};
    liz_tape_clear(tape); /* over what is there */
    liz_tape_backward(tape, &none);
    for (size_t k = 0; k < n; k++)
        assert_true(p->grad[k] == 0);
    liz_tape_clear(tape);
    liz_tape_backward(tape, &all);
    assert_memory_equal(of_all, p->grad, n * sizeof *of_all);
    liz_tape_clear(tape);
    for (size_t d = 0; d < N; d += DOCUMENT) {
        liz_train_batch one = {DOCUMENT, 1, tokens + d, targets + d, segments, 1.0f / N_TARGETS};
        apart += liz_tape_backward(tape, &one);
    }
    for (size_t k = 0; k < n; k++) {
        differ += pow((double)of_all[k] - (double)p->grad[k], 2);
        size += pow((double)p->grad[k], 2);
    }
    assert_true(size > 0);
    assert_true(fabs(together - apart) < 1e-6 * apart);
    assert_true(differ < 1e-10 * size);
    free(of_all);
    liz_graph_close(graph);
    liz_tape_close(tape);
    liz_gguf_close(gguf);
    liz_team_close(team);
}

static void test_all_weights(void **state)
{
    (void)state;
    check_same((setting){.muon = true});
    check_same((setting){.muon = false});
}

static void test_adapters(void **state)
{
    (void)state;
    check_same((setting){.lora_rank = 8});
}

static int write_model(void **state)
{
    (void)state;
    const char *build = getenv("BUILD");
    char command[1024];
    model = temp_path("model.gguf");
    snprintf(command, sizeof command, "%s/bench/write_model tiny-gqa Q4_K %s >%s 2>&1", build != NULL ? build : "build",
             model, temp_path("log"));
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_weights), cmocka_unit_test(test_adapters),
                                       cmocka_unit_test(test_blocks_of_targets)};
    return cmocka_run_group_tests(tests, write_model, NULL);
}
