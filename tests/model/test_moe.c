/* test_moe.c - routing against a plain computation in double, ties and nonsense; grouping by its invariants. */
#include "base/philox.h"
#include "kernel/matmul.h"
#include "model/model_moe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EXPERTS_MAX = 64, USED_MAX = 8, TOKENS_MAX = 50 };

static float gauss(uint32_t i)
{
    liz_philox r = liz_philox4x32(11, (liz_philox){{i, 0, 0, 0}});
    double u = (r.v[0] + 1.0) * 0x1p-32, v = r.v[1] * 0x1p-32;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

typedef struct router_case {
    liz_router_kind kind;
    bool norm, bias;
    float scale;
    int n_expert, n_used;
} router_case;

/* p of every expert for the whole set, before any choice. */
static double probability(const router_case *c, const float *logits, int e)
{
    if (c->kind == LIZ_ROUTER_SIGMOID)
        return 1 / (1 + exp(-(double)logits[e]));
    if (c->kind == LIZ_ROUTER_CHOSEN)
        return (double)logits[e];
    double sum = 0;
    for (int i = 0; i < c->n_expert; i++)
        sum += exp((double)logits[i] - (double)logits[e]);
    return 1 / sum;
}

static void check_route(const liz_kernel *kernel, const router_case *c, uint32_t seed)
{
    liz_hparams h = {.n_expert = c->n_expert,
                     .n_expert_used = c->n_used,
                     .router = c->kind,
                     .router_norm = c->norm,
                     .expert_scale = c->scale};
    float logits[EXPERTS_MAX], bias[EXPERTS_MAX], work[EXPERTS_MAX], score[EXPERTS_MAX], weights[USED_MAX];
    int32_t chosen[USED_MAX];
    for (int e = 0; e < c->n_expert; e++) {
        logits[e] = gauss(seed * 1000 + (uint32_t)e);
        bias[e] = gauss(seed * 1000 + 500 + (uint32_t)e);
    }
    memcpy(work, logits, sizeof work);
    liz_moe_route(kernel, &h, work, c->bias ? bias : NULL, score, chosen, weights);
    double want[USED_MAX], sum = 0;
    for (int i = 0; i < c->n_used; i++) {
        assert_in_range(chosen[i], 0, c->n_expert - 1);
        double p = probability(c, logits, chosen[i]), mine = p + (c->bias ? (double)bias[chosen[i]] : 0);
        for (int e = 0; e < c->n_expert; e++) { /* no better one is left out or comes later */
            bool before = false;
            for (int k = 0; k <= i; k++)
                before = before || chosen[k] == e;
            double theirs = probability(c, logits, e) + (c->bias ? (double)bias[e] : 0);
            assert_true(before || theirs <= mine + 1e-6);
        }
        want[i] = c->kind == LIZ_ROUTER_CHOSEN ? exp(p) : p;
        sum += want[i];
    }
    for (int i = 0; i < c->n_used; i++) {
        if (c->norm || c->kind == LIZ_ROUTER_CHOSEN)
            want[i] /= sum;
        assert_true(fabs((double)weights[i] - want[i] * (double)c->scale) < 1e-5 * (double)c->scale);
    }
}

static void test_route(void **state)
{
    (void)state;
    static const router_case cases[] = {
        {LIZ_ROUTER_SOFTMAX, true, false, 1, 8, 2},    {LIZ_ROUTER_SOFTMAX, false, false, 1, 60, 8},
        {LIZ_ROUTER_SIGMOID, true, true, 2.5f, 64, 6}, {LIZ_ROUTER_SIGMOID, false, false, 1, 17, 1},
        {LIZ_ROUTER_CHOSEN, false, false, 1, 32, 4},   {LIZ_ROUTER_CHOSEN, false, false, 1, 2, 2},
        {LIZ_ROUTER_SOFTMAX, true, true, 0.5f, 33, 8},
    };
    for (int tier = LIZ_TIER_C; tier <= (int)liz_cpu_tier_best(); tier++) {
        liz_kernel kernel;
        liz_kernel_init(&kernel, (liz_tier_id)tier);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (uint32_t seed = 0; seed < 20; seed++)
                check_route(&kernel, &cases[i], seed);
    }
}

static void test_ties_and_nonsense(void **state)
{
    (void)state;
    liz_kernel kernel;
    liz_kernel_init(&kernel, LIZ_TIER_C);
    liz_hparams h = {.n_expert = 6, .n_expert_used = 4, .router = LIZ_ROUTER_CHOSEN, .expert_scale = 1};
    static const struct {
        float logits[6];
        int32_t chosen[4];
    } cases[] = {
        {{1, 2, 2, 1, 2, 0}, {1, 2, 4, 0}},
        {{0, 0, 0, 0, 0, 0}, {0, 1, 2, 3}},
        {{NAN, 1, NAN, -5, NAN, NAN}, {1, 3, 0, 2}},
        {{-INFINITY, NAN, 3, INFINITY, -INFINITY, 1}, {3, 2, 5, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float logits[6], score[6], weights[4];
        int32_t chosen[4];
        memcpy(logits, cases[i].logits, sizeof logits);
        liz_moe_route(&kernel, &h, logits, NULL, score, chosen, weights);
        assert_memory_equal(chosen, cases[i].chosen, sizeof chosen);
    }
}

/* Every pair stands once, in its expert's run; runs begin where a matrix may begin; tokens keep their order. */
static void check_group(int n_expert, int n_used, int n_tok)
{
    liz_hparams h = {.n_expert = n_expert, .n_expert_used = n_used};
    enum { PAIRS_MAX = TOKENS_MAX * USED_MAX, ACT_MAX = PAIRS_MAX + EXPERTS_MAX * LIZ_ACT_ALIGN };
    static int32_t chosen[PAIRS_MAX], pair_of[PAIRS_MAX], pair_expert[PAIRS_MAX], pair_token[PAIRS_MAX],
        act_token[ACT_MAX], act_pair[ACT_MAX];
    static liz_moe_run runs[EXPERTS_MAX];
    liz_moe moe = {.chosen = chosen,
                   .pair_of = pair_of,
                   .pair_expert = pair_expert,
                   .pair_token = pair_token,
                   .act_token = act_token,
                   .act_pair = act_pair,
                   .runs = runs};
    for (int t = 0; t < n_tok; t++)
        for (int i = 0; i < n_used; i++) /* distinct ones; the first expert of few tokens only */
            chosen[t * n_used + i] = (t * 5 + i * (n_expert / n_used)) % n_expert;
    liz_moe_group(&moe, &h, (size_t)n_tok);
    assert_int_equal(moe.n_pairs, n_tok * n_used);
    assert_true(moe.n_act <= liz_moe_act_rows(&h, (size_t)n_tok));
    size_t n_seen = 0, n_rows = 0;
    for (size_t r = 0; r < moe.n_runs; r++) {
        assert_true(runs[r].n > 0 && runs[r].act_row % LIZ_ACT_ALIGN == 0);
        assert_true(r == 0 || runs[r].expert > runs[r - 1].expert);
        assert_int_equal(runs[r].pair, n_seen);
        for (size_t i = 0; i < runs[r].n; i++, n_seen++) {
            size_t row = runs[r].act_row + i;
            assert_int_equal(act_pair[row], n_seen);
            assert_int_equal(pair_expert[n_seen], runs[r].expert);
            assert_true(i == 0 || act_token[row] > act_token[row - 1]);
            bool found = false;
            for (int k = 0; k < n_used; k++) {
                int at = act_token[row] * n_used + k;
                found = found || (chosen[at] == runs[r].expert && pair_of[at] == (int32_t)n_seen);
            }
            assert_true(found);
        }
    }
    for (size_t row = 0; row < moe.n_act; row++)
        n_rows += act_token[row] >= 0;
    assert_int_equal(n_rows, moe.n_pairs);
    assert_int_equal(n_seen, moe.n_pairs);
}

static void test_group(void **state)
{
    (void)state;
    for (int n_tok = 1; n_tok <= TOKENS_MAX; n_tok++) {
        check_group(2, 2, n_tok);
        check_group(64, 8, n_tok);
        check_group(7, 1, n_tok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_route), cmocka_unit_test(test_ties_and_nonsense),
                                       cmocka_unit_test(test_group)};
    return cmocka_run_group_tests_name("mixture of experts", tests, NULL, NULL);
}
