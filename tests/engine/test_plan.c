/* test_plan.c - the memory plan: what fits is used, what is short costs sequences first, and what cannot fit is refused
 * with numbers. */
#include "../lib/engine_harness.h"
#include "engine/engine_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t mib = 1024 * 1024;

static liz_model *model_of(uint64_t weights_bytes, uint64_t scratch_bytes_per_seq, int32_t n_ctx_train)
{
    liz_model *model;
    fake_model_setup(&(fake_model_opts){.n_vocab = 64,
                                        .weights_bytes = weights_bytes,
                                        .scratch_bytes_per_seq = scratch_bytes_per_seq,
                                        .n_ctx_train = n_ctx_train});
    assert_int_equal(liz_model_open(&model, NULL, NULL), LIZ_OK);
    return model;
}

static uint64_t total(const liz_engine_plan *plan)
{
    return plan->weights_bytes + plan->step_bytes + plan->cache_bytes;
}

/* The tests on tiny sizes would pass on the usual ones. */
static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(LIZ_PAGE_TOKENS, getenv("LIZZIE_TEST_TINY") != NULL ? 1 : 32);
}

static void test_defaults(void **state)
{
    (void)state;
    liz_engine_plan plan;
    liz_model *model = model_of(10 * mib, 1000, 2048);
    liz_engine_opts opts = {.memory_max_bytes = 4096 * mib};
    assert_int_equal(liz_engine_plan_make(&plan, model, &opts, NULL), LIZ_OK);
    assert_int_equal(plan.n_parallel, LIZ_OR_TINY(32, 3));
    assert_int_equal(plan.n_ctx, 2048);
    assert_int_equal(plan.n_prefill_chunk, LIZ_OR_TINY(512, 5));
    assert_int_equal(plan.n_pages, plan.n_parallel * 2048 / LIZ_PAGE_TOKENS);
    assert_true(plan.n_threads >= 1);
    assert_int_equal(plan.cache_bytes, (uint64_t)plan.n_pages * plan.page_bytes);
    assert_int_equal(liz_engine_plan_make(&plan, model, NULL, NULL), LIZ_OK);
    liz_model_close(model);
}

/* A step may hold the prompts of many short sequences, but no more than all of them are. */
static void test_chunks(void **state)
{
    (void)state;
    liz_engine_plan plan;
    liz_model *model = model_of(mib, mib / 16, 2048);
    liz_engine_opts opts = {.n_ctx = 100, .n_parallel = 8, .n_prefill_chunk = 512};
    assert_int_equal(liz_engine_plan_make(&plan, model, &opts, NULL), LIZ_OK);
    assert_int_equal(plan.n_prefill_chunk, 512);
    opts.n_parallel = 2;
    assert_int_equal(liz_engine_plan_make(&plan, model, &opts, NULL), LIZ_OK);
    assert_int_equal(plan.n_prefill_chunk, 200);
    opts.n_parallel = 8;
    for (opts.memory_max_bytes = 64 * mib; plan.n_parallel > 1; opts.memory_max_bytes -= mib / 32)
        assert_int_equal(liz_engine_plan_make(&plan, model, &opts, NULL), LIZ_OK);
    assert_int_equal(plan.n_prefill_chunk, 100); /* memory left one sequence */
    liz_model_close(model);
}

/* Less and less memory: never more than allowed, always one whole context, first fewer pages, then fewer sequences,
 * then no. */
static void test_less_and_less(void **state)
{
    (void)state;
    liz_engine_plan plan, before = {.n_pages = INT32_MAX, .n_parallel = 32};
    liz_error err;
    liz_status status;
    liz_model *model = model_of(10 * mib, mib / 16, 4096);
    bool seen_fewer_pages = false, seen_fewer_seqs = false;
    for (uint64_t available = 80 * mib;; available -= mib / 32) {
        liz_engine_opts opts = {
            .memory_max_bytes = available, .n_threads = 1, .n_parallel = 32, .n_prefill_chunk = 512};
        status = liz_engine_plan_make(&plan, model, &opts, &err);
        if (status != LIZ_OK)
            break;
        assert_true(total(&plan) <= available);
        assert_true((int64_t)plan.n_pages * LIZ_PAGE_TOKENS >= 4096);
        assert_true(plan.n_parallel <= before.n_parallel && plan.n_parallel >= 1);
        seen_fewer_pages = seen_fewer_pages || (plan.n_parallel == 32 && plan.n_pages < before.n_pages);
        seen_fewer_seqs = seen_fewer_seqs || plan.n_parallel < 32;
        before = plan;
    }
    assert_true(seen_fewer_pages && seen_fewer_seqs);
    assert_int_equal(before.n_parallel, 1);
    assert_int_equal(status, LIZ_E_MEMORY);
    assert_non_null(strstr(err.text, "10.0 MiB"));
    assert_non_null(strstr(err.text, "4096 tokens"));
    assert_non_null(strstr(err.text, "--ctx-size"));
    liz_engine_opts opts = {.memory_max_bytes = 5 * mib, .n_threads = 1};
    assert_int_equal(liz_engine_plan_make(&plan, model, &opts, &err), LIZ_E_MEMORY);
    assert_non_null(strstr(err.text, "smaller model"));
    assert_int_equal(liz_engine_plan_estimate(&plan, model, &opts, &err), LIZ_OK);
    assert_true(total(&plan) > 5 * mib);
    liz_model_close(model);
}

static void test_options_out_of_range(void **state)
{
    (void)state;
    const liz_engine_opts cases[] = {
        {.n_threads = -1},
        {.n_threads = 1025},
        {.n_parallel = -1},
        {.n_parallel = 1025},
        {.n_ctx = -5},
        {.n_ctx = 1},
        {.n_ctx = 2049},
        {.n_prefill_chunk = -1},
        {.cache_type = 7},
        {.cache_type = -1},
        {.n_prefill_chunk = 65537},
        {.speculate = 3},
    };
    const liz_engine_opts ends = {.n_threads = 1024, .n_parallel = 1024, .n_ctx = 2048, .n_prefill_chunk = 65536};
    liz_model *model = model_of(mib, 1, 2048);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_engine_plan plan;
        liz_error err;
        assert_int_equal(liz_engine_plan_make(&plan, model, &cases[i], &err), LIZ_E_USAGE);
    }
    liz_engine_plan plan;
    assert_int_equal(liz_engine_plan_estimate(&plan, model, &ends, NULL), LIZ_OK);
    liz_model_close(model);
}

static void test_absurd_models(void **state)
{
    (void)state;
    liz_engine_plan plan;
    liz_error err;
    liz_model *model = model_of(mib, 1, 0);
    assert_int_equal(liz_engine_plan_make(&plan, model, NULL, &err), LIZ_E_FORMAT);
    liz_model_close(model);
    model = model_of(mib, 1, INT32_MAX);
    assert_int_equal(liz_engine_plan_make(&plan, model, NULL, &err), LIZ_E_MEMORY);
    liz_model_close(model);
    model = model_of(UINT64_MAX - 5, 1, 2048);
    assert_int_equal(liz_engine_plan_make(&plan, model, NULL, &err), LIZ_E_LIMIT);
    liz_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_less_and_less),
        cmocka_unit_test(test_options_out_of_range),
        cmocka_unit_test(test_absurd_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
