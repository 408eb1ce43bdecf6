/* test_simulation.c - the scheduler under random arrivals, lengths, shared beginnings, sets of adapters, cancellations,
 * right and wrong guesses and pools that are too small, step by step, on a virtual clock that a step moves by what it
 * computes. What each sequence generates must equal what it generates alone and without a cache, whatever the
 * dimensions of the engine; no page may leak; nobody waits longer than the work takes that others brought before it
 * began; times add up. The clock and the manual steps make a run a function of its seed: a failure names it,
 * LIZZIE_TEST_SEED repeats it, LIZZIE_TEST_LONG asks for more.
 */
#include "../lib/engine_harness.h"
#include "sys/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_SEEDS = 150, N_ROWS = 24, N_CTX = 160, N_VOCAB = 64 };

typedef struct sim_row {
    int32_t prompt[N_CTX];
    size_t n_prompt;
    int32_t n_predict;
    liz_sampling sampling;
    bool prompt_logprobs;
    uint64_t loras;
    int arrives_at;   /* step */
    int cancelled_at; /* step; -1: never */
    int index;
    uint64_t submitted_us, first_us, ended_us; /* first_us: of its first token */
    uint64_t admitted_us;                      /* 0: never seen running between two steps */
    uint64_t submitted_step, first_step;       /* when it came, and when its first event did */
    liz_seq *seq;
    fake_result result;
} sim_row;

typedef struct sim_seen {
    uint64_t n_reused, n_evicted, n_cancelled, n_deferred, n_kept, n_wrong;
    int n_seqs_step_max;
} sim_seen;

static uint64_t seed_now;

/* ---- The clock ---------------------------------------------------------------------------------- */

enum { STEP_US = 1000, TOKEN_US = 100 };

static uint64_t now_us, n_steps; /* takes the place of src/sys/clock.c */

uint64_t liz_clock_us(void) { return now_us; }
int64_t liz_clock_unix_s(void) { return (int64_t)(now_us / 1000000); }

/* A step, and the time it took. */
static bool step_timed(liz_engine *engine)
{
    uint64_t before = fake_model_n_computed();
    bool more = liz_engine_step(engine);
    n_steps++;
    now_us += STEP_US + TOKEN_US * (fake_model_n_computed() - before);
    return more;
}

/* ---- Rows --------------------------------------------------------------------------------------- */

static liz_hash trace; /* of every event and its time */

static void on_event(void *user, const liz_event *event)
{
    sim_row *row = user;
    uint64_t seen[] = {(uint64_t)row->index, event->type, (uint64_t)event->token, now_us};
    trace = liz_hash_chain(trace, seen, sizeof seen);
    if (row->first_step == 0)
        row->first_step = n_steps;
    if (event->type == LIZ_EVENT_TOKEN && row->first_us == 0)
        row->first_us = now_us;
    if (event->type == LIZ_EVENT_DONE)
        row->ended_us = now_us;
    fake_on_event(&row->result, event);
}

static int below(uint64_t *random, int n) { return (int)(fake_random(random) % (uint64_t)n); }

/* Three beginnings, of which each row takes the front part of one. */
static void row_make(sim_row *row, uint64_t *random)
{
    *row = (sim_row){.cancelled_at = -1};
    int which = below(random, 3), n_shared = below(random, 100), n_own = 1 + below(random, 30);
    for (int i = 0; i < n_shared; i++)
        row->prompt[row->n_prompt++] = (i * 7 + which * 11 + i * i % 5) % N_VOCAB;
    for (int i = 0; i < n_own; i++)
        row->prompt[row->n_prompt++] = below(random, N_VOCAB);
    row->n_predict = 1 + below(random, 20);
    row->arrives_at = below(random, 40);
    if (below(random, 6) == 0)
        row->cancelled_at = row->arrives_at + below(random, 12);
    if (below(random, 2))
        row->sampling = (liz_sampling){.temperature = 0.8f,
                                       .top_k = below(random, 2) * 20,
                                       .top_p = below(random, 2) ? 0.9f : 0,
                                       .repeat_penalty = below(random, 2) ? 1.3f : 0,
                                       .typical_p = below(random, 4) ? 0 : 0.7f,
                                       .xtc_probability = below(random, 4) ? 0 : 0.5f,
                                       .dry_multiplier = below(random, 4) ? 0 : 0.8f,
                                       .seed = fake_random(random)};
    row->prompt_logprobs = below(random, 6) == 0;
    row->loras = below(random, 2) ? (uint64_t)below(random, 1 << FAKE_ADAPTERS) : 0;
}

static fake_engine_opts dimensions_make(uint64_t *random)
{
    int32_t n_pages_one = (N_CTX + LIZ_PAGE_TOKENS - 1) / LIZ_PAGE_TOKENS;
    static const int32_t chunks[] = {1, 3, 17, 64, 600};
    int n_parallel = 1 + below(random, 8);
    return (fake_engine_opts){.model.has_habits = below(random, 2),
                              .n_threads = 1 + below(random, 2),
                              .n_parallel = n_parallel,
                              .n_logits_max = n_parallel + below(random, 12),
                              .speculate = (liz_speculate)below(random, LIZ_SPECULATE_NGRAM + 1),
                              .n_ctx = N_CTX,
                              .n_prefill_chunk = chunks[below(random, 5)],
                              .n_pages = n_pages_one + below(random, 4 * n_pages_one),
                              .cache_type = below(random, 2) ? LIZ_CACHE_F32 : LIZ_CACHE_BF16,
                              .sharing_off = below(random, 4) == 0,
                              .is_manual = true};
}

static void arrive(liz_engine *engine, sim_row *row)
{
    liz_error err;
    liz_request request = {.tokens = row->prompt,
                           .n_tokens = row->n_prompt,
                           .sampling = row->sampling,
                           .n_predict_max = row->n_predict,
                           .prompt_logprobs = row->prompt_logprobs,
                           .loras = row->loras,
                           .on_event = on_event,
                           .user = row};
    liz_status status = liz_submit(engine, &request, &row->seq, &err);
    row->submitted_us = now_us;
    row->submitted_step = n_steps;
    if (status == LIZ_E_BUSY)
        row->arrives_at++; /* the queue is full: again in the next step */
    else
        assert_int_equal(status, LIZ_OK);
}

/* Nobody waits for a first token more steps than there were tokens to compute when it came, its own included, and those
 * of the sequences that may have passed it while it waited for a page: as many as run together. Each step brings one of
 * them, and whoever else comes later costs nothing. */
static void waiting_check(const sim_row *rows, int n_parallel)
{
    for (int i = 0; i < N_ROWS; i++) {
        size_t n_there = (size_t)n_parallel * N_CTX;
        for (int j = 0; j < N_ROWS; j++)
            if (rows[j].submitted_step <= rows[i].submitted_step)
                n_there += rows[j].n_prompt + (size_t)rows[j].n_predict;
        assert_true(rows[i].first_step - rows[i].submitted_step <= n_there);
    }
}

static void row_check(const sim_row *row)
{
    int32_t expected[FAKE_TOKENS_MAX];
    const fake_result *r = &row->result;
    assert_int_equal(r->n_done, 1);
    fake_model_adapters(row->loras);
    fake_continue(row->prompt, row->n_prompt, &row->sampling, expected, (size_t)row->n_predict);
    fake_model_adapters(0);
    assert_memory_equal(r->tokens, expected, r->n_tokens * sizeof *expected);
    assert_int_equal(r->stats.n_completion, r->n_tokens);
    assert_int_equal(r->stats.n_prompt, row->n_prompt);
    assert_true(r->stats.n_prompt_reused < (row->prompt_logprobs ? 1 : row->n_prompt));
    if (r->n_tokens > 0) {
        assert_int_equal(r->n_prompt, row->prompt_logprobs ? row->n_prompt : 0);
        assert_memory_equal(r->prompt, row->prompt, r->n_prompt * sizeof *r->prompt);
    }
    uint64_t took_us = r->stats.queue_us + r->stats.prefill_us + r->stats.decode_us;
    assert_true(took_us == row->ended_us - row->submitted_us || r->finish == LIZ_FINISH_CANCELLED);
    if (r->finish == LIZ_FINISH_CANCELLED) {
        assert_true(row->cancelled_at >= 0);
        assert_int_equal(r->status, LIZ_E_CANCELLED);
    } else {
        assert_int_equal(r->finish, LIZ_FINISH_LENGTH);
        assert_int_equal(r->status, LIZ_OK);
        assert_int_equal(r->n_tokens, row->n_predict);
        assert_int_equal(r->stats.decode_us, row->ended_us - row->first_us);
        if (row->admitted_us != 0)
            assert_int_equal(r->stats.queue_us, row->admitted_us - row->submitted_us);
    }
}

/* Those that the step which began at `step_us` took in. */
static void admitted_note(const liz_engine *engine, uint64_t step_us)
{
    for (int i = 0; i < engine->n_running; i++) {
        sim_row *row = engine->running[i]->request.user;
        if (row->admitted_us == 0)
            row->admitted_us = step_us;
    }
}

/* Who runs before someone that came earlier may do so only because the other awaits a page. */
static void order_check(const liz_engine *engine, sim_seen *seen)
{
    for (int i = 0; i < engine->n_queue; i++)
        for (int j = 0; j < engine->n_running; j++)
            if (engine->running[j]->submitted_us > engine->queue[i]->submitted_us) {
                assert_true(engine->queue[i]->n_links > 0);
                seen->n_deferred++;
            }
}

static void simulate(uint64_t seed, sim_seen *seen)
{
    static sim_row rows[N_ROWS];
    uint64_t random = seed;
    now_us = seed * 1000;
    trace = (liz_hash){0};
    for (int i = 0; i < N_ROWS; i++) {
        row_make(&rows[i], &random);
        rows[i].index = i;
    }
    fake_engine_opts opts = dimensions_make(&random);
    liz_engine *engine = fake_engine_open(&opts);
    int n_work = 0;
    for (int i = 0; i < N_ROWS; i++)
        n_work += (int)rows[i].n_prompt + rows[i].n_predict;
    int n_arrived = 0, step = 0;
    for (bool more = true; more || n_arrived < N_ROWS; step++) {
        n_arrived = 0;
        for (int i = 0; i < N_ROWS; i++) {
            if (rows[i].arrives_at == step)
                arrive(engine, &rows[i]);
            if (rows[i].cancelled_at == step && rows[i].seq != NULL)
                liz_seq_cancel(rows[i].seq);
            n_arrived += rows[i].seq != NULL;
        }
        const uint64_t step_us = now_us;
        more = step_timed(engine);
        admitted_note(engine, step_us);
        order_check(engine, seen);
        assert_true(step < n_work + 60); /* every step with work computes a token */
    }
    waiting_check(rows, opts.n_parallel);
    for (int i = 0; i < N_ROWS; i++) {
        row_check(&rows[i]);
        seen->n_cancelled += rows[i].result.finish == LIZ_FINISH_CANCELLED;
        liz_seq_free(rows[i].seq);
    }
    fake_engine_assert_idle(engine);
    liz_engine_stats stats;
    liz_engine_stats_get(engine, &stats);
    assert_true(!opts.sharing_off || stats.n_tokens_reused == 0);
    seen->n_reused += stats.n_tokens_reused;
    seen->n_evicted += stats.n_pages_evicted;
    assert_true(opts.speculate != LIZ_SPECULATE_OFF || stats.n_tokens_drafted == 0);
    seen->n_kept += stats.n_drafts_kept;
    seen->n_wrong += stats.n_tokens_drafted - stats.n_drafts_kept;
    if (stats.n_seqs_step_max > seen->n_seqs_step_max)
        seen->n_seqs_step_max = stats.n_seqs_step_max;
    liz_engine_close(engine);
}

static void test_random_loads(void **state)
{
    (void)state;
    sim_seen seen = {0};
    const char *asked = getenv("LIZZIE_TEST_SEED");
    uint64_t first = asked ? strtoull(asked, NULL, 0) : 1, n = asked ? 1 : getenv("LIZZIE_TEST_LONG") ? 2000 : N_SEEDS;
    if (getenv("LIZZIE_TEST_SANITIZED") && !asked)
        n /= 3;
    for (seed_now = first; seed_now < first + n; seed_now++)
        simulate(seed_now, &seen);
    seed_now = 0;
    if (asked)
        return;
    assert_true(seen.n_reused > 0);
    assert_true(seen.n_evicted > 0);
    assert_true(seen.n_cancelled > 0);
    assert_true(seen.n_deferred > 0);
    assert_true(seen.n_kept > 0 && seen.n_wrong > 0);
    assert_true(seen.n_seqs_step_max >= 2);
}

/* Every event comes in the same order and at the same time again; another seed is another run. */
static void test_seed_repeats_a_run(void **state)
{
    (void)state;
    sim_seen seen = {0};
    liz_hash before = {0};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        simulate(seed, &seen);
        liz_hash once = trace;
        simulate(seed, &seen);
        assert_true(liz_hash_eq(once, trace));
        assert_false(liz_hash_eq(before, trace));
        before = trace;
    }
}

/* After a failure: which seed it was. */
static int seed_tell(void **state)
{
    (void)state;
    if (seed_now > 0)
        fprintf(stderr, "# test_random_loads: stopped at LIZZIE_TEST_SEED=%llu\n", (unsigned long long)seed_now);
    return 0;
}

/* Twenty rows with one beginning: it is computed once, though all were waiting from the start. */
static void test_shared_beginning_computed_once(void **state)
{
    (void)state;
    enum { N = 20, N_SHARED_PAGES = 4, N_SHARED = N_SHARED_PAGES * LIZ_PAGE_TOKENS, N_OWN = 5 };
    static fake_result results[N];
    memset(results, 0, sizeof results);
    fake_engine_opts opts = {.n_parallel = 8, .n_prefill_chunk = 13, .is_manual = true};
    liz_engine *engine = fake_engine_open(&opts);
    liz_seq *seqs[N];
    int32_t prompt[N_SHARED + N_OWN];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N_SHARED + N_OWN; j++)
            prompt[j] = j < N_SHARED ? j * 5 % 64 : (i * 3 + j) % 64;
        liz_request request = {.tokens = prompt,
                               .n_tokens = N_SHARED + N_OWN,
                               .n_predict_max = 3,
                               .on_event = fake_on_event,
                               .user = &results[i]};
        assert_int_equal(liz_submit(engine, &request, &seqs[i], NULL), LIZ_OK);
    }
    while (liz_engine_step(engine))
        ;
    liz_engine_stats stats;
    liz_engine_stats_get(engine, &stats);
    assert_true(stats.n_tokens_reused >= (N - 1) * N_SHARED);
    assert_true(stats.n_tokens_prefilled <= N_SHARED + N * N_OWN);
    assert_int_equal(stats.n_tokens_prefilled + stats.n_tokens_reused, N * (N_SHARED + N_OWN));
    assert_true(stats.n_seqs_step_max >= 2);
    for (int i = 0; i < N; i++) {
        assert_int_equal(results[i].n_tokens, 3);
        liz_seq_free(seqs[i]);
    }
    fake_engine_assert_idle(engine);
    liz_engine_close(engine);
}

/* The same prompt of whole pages again and again: its last token is computed each time, for its logits. */
static void test_whole_prompt_in_cache(void **state)
{
    (void)state;
    enum { N = 2 * LIZ_PAGE_TOKENS };
    static fake_result result;
    fake_engine_opts opts = {.is_manual = true};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t prompt[N], expected[4];
    for (int i = 0; i < N; i++)
        prompt[i] = i * 3 % 64;
    fake_continue(prompt, N, &(liz_sampling){0}, expected, 4);
    for (int round = 0; round < 3; round++) {
        memset(&result, 0, sizeof result);
        liz_seq *seq;
        liz_request request = {
            .tokens = prompt, .n_tokens = N, .n_predict_max = 4, .on_event = fake_on_event, .user = &result};
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        for (int step = 0; step < 10 && liz_engine_step(engine); step++)
            ;
        assert_int_equal(result.n_done, 1);
        assert_int_equal(result.n_tokens, 4);
        assert_memory_equal(result.tokens, expected, sizeof expected);
        assert_int_equal(result.stats.n_prompt_reused, round == 0 ? 0 : LIZ_PAGE_TOKENS);
        liz_seq_free(seq);
    }
    fake_engine_assert_idle(engine);
    liz_engine_close(engine);
}

static void submit_stepping(liz_engine *engine, const liz_request *request, liz_seq **seq)
{
    liz_status status;
    while ((status = liz_submit(engine, request, seq, NULL)) == LIZ_E_BUSY)
        liz_engine_step(engine);
    assert_int_equal(status, LIZ_OK);
}

/* One sequence needs the whole pool while small ones keep coming: it is next as soon as those before it are done. */
static void test_large_one_does_not_starve(void **state)
{
    (void)state;
    enum { N_PAGES = 6, N_SMALL = 60, N_BEFORE = 10 };
    static fake_result big_result, small_results[N_SMALL];
    memset(small_results, 0, sizeof small_results);
    memset(&big_result, 0, sizeof big_result);
    fake_engine_opts opts = {
        .n_parallel = 4, .n_ctx = N_PAGES * LIZ_PAGE_TOKENS + 1, .n_pages = N_PAGES, .is_manual = true};
    liz_engine *engine = fake_engine_open(&opts);
    liz_seq *smalls[N_SMALL], *big = NULL;
    for (int i = 0; i < N_SMALL; i++) {
        int32_t token = i % 64;
        liz_request request = {
            .tokens = &token, .n_tokens = 1, .n_predict_max = 1, .on_event = fake_on_event, .user = &small_results[i]};
        submit_stepping(engine, &request, &smalls[i]);
        if (i == N_BEFORE) {
            request.n_predict_max = 0;
            request.user = &big_result;
            submit_stepping(engine, &request, &big);
        }
        for (int j = N_BEFORE + 1; j <= i; j++)
            assert_true(small_results[j].n_done == 0 || big_result.n_done == 1);
    }
    while (liz_engine_step(engine))
        ;
    assert_int_equal(big_result.n_done, 1);
    assert_int_equal(big_result.n_tokens, N_PAGES * LIZ_PAGE_TOKENS);
    assert_int_equal(big_result.finish, LIZ_FINISH_LENGTH);
    liz_seq_free(big);
    for (int i = 0; i < N_SMALL; i++)
        liz_seq_free(smalls[i]);
    fake_engine_assert_idle(engine);
    liz_engine_close(engine);
}

/* Sequences that want the log-probabilities of their prompt compute all of it, and pass one that waits for a page which
 * they compute too. They keep coming: it runs all the same, once the page is there. */
static void test_younger_ones_do_not_hold_up(void **state)
{
    (void)state;
    enum { N = 30, N_PROMPT = 40 };
    static fake_result waiting, others[N];
    memset(&waiting, 0, sizeof waiting);
    memset(others, 0, sizeof others);
    fake_engine_opts opts = {.n_parallel = 3, .n_prefill_chunk = 4, .is_manual = true};
    liz_engine *engine = fake_engine_open(&opts);
    liz_seq *seqs[N], *seq = NULL;
    int32_t prompt[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = i * 3 % 64;
    int n_before = 0;
    for (int i = 0; i < N; i++, now_us++) {
        liz_request request = {.tokens = prompt,
                               .n_tokens = N_PROMPT,
                               .n_predict_max = 1,
                               .prompt_logprobs = true,
                               .on_event = fake_on_event,
                               .user = &others[i]};
        submit_stepping(engine, &request, &seqs[i]);
        if (i == 0) {
            liz_engine_step(engine);
            request.prompt_logprobs = false;
            request.user = &waiting;
            now_us++;
            submit_stepping(engine, &request, &seq);
        }
        for (int step = 0; step < 6; step++)
            liz_engine_step(engine);
        n_before += !waiting.n_done;
    }
    assert_in_range(n_before, 1, N / 3); /* it did wait */
    while (liz_engine_step(engine))
        ;
    assert_true(waiting.stats.n_prompt_reused > 0);
    liz_seq_free(seq);
    for (int i = 0; i < N; i++)
        liz_seq_free(seqs[i]);
    fake_engine_assert_idle(engine);
    liz_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_random_loads, seed_tell), cmocka_unit_test(test_seed_repeats_a_run),
        cmocka_unit_test(test_shared_beginning_computed_once),   cmocka_unit_test(test_whole_prompt_in_cache),
        cmocka_unit_test(test_large_one_does_not_starve),        cmocka_unit_test(test_younger_ones_do_not_hold_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
