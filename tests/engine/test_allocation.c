/* test_allocation.c - a step allocates nothing: the C library's allocator is replaced by one that aborts when it is
 * called while the engine is inside a step, on whatever thread, but for the test's own and the callbacks. */
#include "../lib/engine_harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
int main(void)
{
    fprintf(stderr, "# SKIPPED: the allocator belongs to the sanitizer\n");
    puts("1..0 # SKIP the allocator belongs to the sanitizer");
    return 0;
}
#else

static atomic_bool inside_step, has_guard;
static atomic_ullong n_guarded;
static _Thread_local bool exempt;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

/* The allocation that fails, counted down on this thread; below 0 none does. */
static _Thread_local int n_until_failure = -1;

static bool fails(void)
{
    if (n_until_failure < 0)
        return false;
    return n_until_failure-- == 0;
}

static void guard(void)
{
    if (!atomic_load(&inside_step) || exempt)
        return;
    atomic_fetch_add(&n_guarded, 1);
    if (atomic_load(&has_guard)) {
        static const char text[] = "# a step allocates\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(9);
        abort();
    }
}

void *malloc(size_t size)
{
    guard();
    return fails() ? NULL : __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    guard();
    return fails() ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
    guard();
    return fails() ? NULL : __libc_realloc(p, size);
}
void *aligned_alloc(size_t align, size_t size)
{
    guard();
    return fails() ? NULL : __libc_memalign(align, size);
}
int posix_memalign(void **out, size_t align, size_t size)
{
    guard();
    *out = __libc_memalign(align, size);
    return *out == NULL ? ENOMEM : 0;
}

static void on_step(bool inside) { atomic_store(&inside_step, inside); }

static void on_event(void *user, const liz_event *event)
{
    bool before = exempt;
    exempt = true;
    fake_on_event(user, event);
    exempt = before;
}

/* Every kind of sampling, choices, log-probabilities, sharing, eviction, cancelling and scoring, on three threads. */
static void test_step_allocates_nothing(void **state)
{
    (void)state;
    enum { N = 60 };
    static fake_result results[N];
    static int32_t prompt[200];
    fake_engine_opts opts = {.n_threads = 3,
                             .n_parallel = 5,
                             .n_pages = 12 * 32 / LIZ_PAGE_TOKENS,
                             .n_prefill_chunk = 40,
                             .on_step = on_step};
    exempt = true;
    liz_engine *engine = fake_engine_open(&opts);
    atomic_store(&has_guard, true);
    liz_logit_bias bias[] = {{3, 2}, {4, -1}};
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 120; j++)
            prompt[j] = j < 70 ? j * (1 + i % 3) % 64 : (i * j) % 64;
        liz_request request = {.tokens = prompt,
                               .n_tokens = (size_t)(1 + i * 2),
                               .n_predict_max = 1 + i % 40,
                               .logprobs = i % 3 == 0,
                               .n_logprobs_top = i % 3 == 0 ? 20 : 0,
                               .on_event = on_event,
                               .user = &results[i]};
        request.sampling = (liz_sampling){.temperature = (float)(i % 4) * 0.5f,
                                          .top_k = i % 5 * 10,
                                          .top_p = i % 2 ? 0.9f : 0,
                                          .min_p = i % 7 == 0 ? 0.01f : 0,
                                          .repeat_penalty = i % 2 ? 1.1f : 0,
                                          .bias = bias,
                                          .n_bias = (size_t)(i % 3)};
        int32_t words[4][3] = {{1, 2, 3}, {1, 2, 4}, {1, 5, 6}, {7, 8, 9}};
        const liz_choice choices[] = {{words[0], 3}, {words[1], 3}, {words[2], 2}, {words[3], 3}};
        if (i % 7 == 6) {
            request.logprobs = false;
            request.sampling.n_bias = 0;
            request.choices = choices;
            request.n_choices = 4;
        }
        liz_seq *seq;
        while (liz_submit(engine, &request, &seq, NULL) == LIZ_E_BUSY)
            usleep(100);
        if (i % 10 == 9)
            liz_seq_cancel(seq);
        if (i % 4 == 3) {
            float logprobs[50];
            assert_int_equal(liz_score(engine, prompt, 50, logprobs, NULL, NULL, NULL), LIZ_OK);
        }
        if (i % 6 == 5)
            liz_seq_free(seq);
        else
            results[i].user_seq = seq;
    }
    for (int i = 0; i < N; i++)
        liz_seq_free(results[i].user_seq);
    liz_engine_stats stats;
    liz_engine_stats_get(engine, &stats);
    assert_true(stats.n_steps > 20);
    assert_true(stats.n_tokens_reused > 0 && stats.n_pages_evicted > 0);
    assert_int_equal(n_guarded, 0);
    liz_engine_close(engine);
}

static void on_event_allocating(void *user, const liz_event *event)
{
    (void)user, (void)event;
    void *volatile p = malloc(10);
    free(p);
}

/* The guard notices: a callback that is not exempt allocates inside the step. */
static void test_guard_can_fail(void **state)
{
    (void)state;
    fake_engine_opts opts = {.on_step = on_step};
    int32_t token = 1;
    atomic_store(&has_guard, false);
    n_guarded = 0;
    exempt = true;
    liz_engine *engine = fake_engine_open(&opts);
    liz_request request = {.tokens = &token, .n_tokens = 1, .n_predict_max = 1, .on_event = on_event_allocating};
    liz_seq *seq;
    assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    assert_int_equal(n_guarded, 2);
    liz_engine_close(engine);
}

/* Whichever allocation of an opening call fails, it says so and leaves nothing behind that would matter. */
static void test_each_allocation_failing(void **state)
{
    (void)state;
    static const liz_cache_layer layer = {1, 2, 2};
    const liz_cache_opts cache_opts = {&layer, 1, 3, LIZ_CACHE_BF16, false};
    const char *stops[] = {"a", "bc"};
    static const int n_allocations[] = {5, 1, 1, 2}; /* of each call, at least */
    fake_engine_opts opts = {.is_manual = true};
    int32_t tokens[40] = {0};
    liz_logit_bias bias = {1, 1};
    exempt = true;
    liz_engine *engine = fake_engine_open(&opts);
    liz_request request = {
        .tokens = tokens, .n_tokens = 40, .n_predict_max = 1, .sampling = {.bias = &bias, .n_bias = 1}};
    for (int what = 0; what < 4; what++) {
        int n_failures = 0;
        liz_status status = LIZ_E_MEMORY;
        for (int n = 0; status != LIZ_OK; n++) {
            liz_cache *cache = NULL;
            liz_sampler *sampler = NULL;
            liz_stop *stop = NULL;
            liz_seq *seq = NULL;
            n_until_failure = n;
            status = what == 0   ? liz_cache_open(&cache, &cache_opts, NULL)
                     : what == 1 ? liz_sampler_open(&sampler, 100, 4, NULL)
                     : what == 2 ? liz_stop_open(&stop, "stop string", stops, 2, NULL)
                                 : liz_submit(engine, &request, &seq, NULL);
            n_until_failure = -1;
            assert_true(status == LIZ_OK || status == LIZ_E_MEMORY);
            n_failures += status != LIZ_OK;
            liz_cache_close(cache);
            liz_sampler_close(sampler);
            liz_stop_close(stop);
            while (seq != NULL && liz_engine_step(engine))
                ;
            liz_seq_free(seq);
        }
        assert_true(n_failures >= n_allocations[what]);
    }
    liz_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_failing),
        cmocka_unit_test(test_step_allocates_nothing),
        cmocka_unit_test(test_guard_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
