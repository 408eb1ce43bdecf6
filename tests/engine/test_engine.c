/* test_engine.c - an engine with its own thread: submitting from many threads, waiting, cancelling, closing, failing,
 * scoring. Run under ThreadSanitizer it shows that nothing is shared without a lock. */
#include "../lib/engine_harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static liz_request request_of(const int32_t *tokens, size_t n, int32_t n_predict, fake_result *result)
{
    memset(result, 0, sizeof *result);
    return (liz_request){
        .tokens = tokens, .n_tokens = n, .n_predict_max = n_predict, .on_event = fake_on_event, .user = result};
}

/* ---- many submitters ---- */

enum { N_THREADS = 4, N_EACH = 40 };

typedef struct submitter {
    pthread_t thread;
    liz_engine *engine;
    int index, n_wrong;
} submitter;

static bool one_row(liz_engine *engine, uint64_t *random)
{
    fake_result *result = calloc(1, sizeof *result);
    int32_t prompt[80], expected[16];
    size_t n = 1 + fake_random(random) % 79;
    for (size_t i = 0; i < n; i++)
        prompt[i] = i < 64 ? (int32_t)(i % 64) : (int32_t)(fake_random(random) % 64);
    int32_t n_predict = 1 + (int32_t)(fake_random(random) % 16);
    liz_request request = request_of(prompt, n, n_predict, result);
    request.sampling = (liz_sampling){.temperature = 1, .seed = fake_random(random)};
    liz_seq *seq;
    liz_status status;
    while ((status = liz_submit(engine, &request, &seq, NULL)) == LIZ_E_BUSY)
        usleep(100);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    fake_continue(prompt, n, &request.sampling, expected, (size_t)n_predict);
    bool right = status == LIZ_OK && result->n_done == 1 && result->n_tokens == (size_t)n_predict &&
                 memcmp(result->tokens, expected, result->n_tokens * sizeof *expected) == 0;
    free(result);
    return right;
}

static void *submit_rows(void *arg)
{
    submitter *s = arg;
    uint64_t random = (uint64_t)s->index * 1000 + 1;
    for (int i = 0; i < N_EACH; i++)
        s->n_wrong += !one_row(s->engine, &random);
    return NULL;
}

static void test_many_submitters(void **state)
{
    (void)state;
    fake_engine_opts opts = {.n_threads = 2, .n_parallel = 3};
    liz_engine *engine = fake_engine_open(&opts);
    submitter submitters[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        submitters[i] = (submitter){.engine = engine, .index = i};
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_rows, &submitters[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(submitters[i].thread, NULL);
        assert_int_equal(submitters[i].n_wrong, 0);
    }
    liz_engine_stats stats;
    liz_engine_stats_get(engine, &stats);
    assert_true(stats.n_seqs_step_max >= 2);
    assert_true(stats.n_tokens_reused > 0);
    liz_engine_close(engine);
}

/* ---- queue, cancel, close ---- */

/* Holds the engine's thread in a callback until the test has seen what it wants. */
typedef struct gate {
    atomic_bool is_open, reached;
} gate;

static void gate_on_event(void *user, const liz_event *event)
{
    gate *g = user;
    (void)event;
    atomic_store(&g->reached, true);
    while (!atomic_load(&g->is_open))
        usleep(100);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    fake_engine_opts opts = {.n_parallel = 1};
    liz_engine *engine = fake_engine_open(&opts);
    gate g = {false, false};
    int32_t token = 5;
    liz_seq *first, *queued[5];
    liz_request request = {.tokens = &token, .n_tokens = 1, .n_predict_max = 2, .on_event = gate_on_event, .user = &g};
    assert_int_equal(liz_submit(engine, &request, &first, NULL), LIZ_OK);
    while (!atomic_load(&g.reached))
        usleep(100);
    request.on_event = NULL;
    liz_error err;
    for (int i = 0; i < 4; i++)
        assert_int_equal(liz_submit(engine, &request, &queued[i], &err), LIZ_OK);
    assert_int_equal(liz_submit(engine, &request, &queued[4], &err), LIZ_E_BUSY);
    assert_null(queued[4]);
    atomic_store(&g.is_open, true);
    for (int i = 0; i < 4; i++)
        liz_seq_free(queued[i]);
    liz_seq_free(first);
    liz_engine_close(engine);
}

static void cancel_after_three(void *user, const liz_event *event)
{
    fake_result *r = user;
    fake_on_event(r, event);
    if (r->n_tokens == 3)
        liz_seq_cancel(*(liz_seq **)(void *)r->text); /* the test has put it there */
}

static void test_cancel_from_callback(void **state)
{
    (void)state;
    static fake_result result;
    fake_engine_opts opts = {.n_ctx = 1000};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t token = 9;
    liz_request request = request_of(&token, 1, 0, &result);
    request.on_event = cancel_after_three;
    liz_seq *seq;
    assert_int_equal(liz_submit(engine, &request, (liz_seq **)(void *)result.text, NULL), LIZ_OK);
    seq = *(liz_seq **)(void *)result.text;
    liz_seq_wait(seq);
    assert_int_equal(result.finish, LIZ_FINISH_CANCELLED);
    assert_int_equal(result.n_tokens, 3);
    liz_seq_free(seq);
    liz_engine_close(engine);
}

static void test_close_while_running(void **state)
{
    (void)state;
    enum { N = 10 };
    static fake_result results[N];
    for (int round = 0; round < 10; round++) {
        fake_engine_opts opts = {.n_parallel = 3, .n_ctx = 1000, .n_threads = 2};
        liz_engine *engine = fake_engine_open(&opts);
        liz_seq *seqs[N];
        int32_t token = round;
        for (int i = 0; i < N; i++) {
            liz_request request = request_of(&token, 1, 0, &results[i]);
            assert_int_equal(liz_submit(engine, &request, &seqs[i], NULL), LIZ_OK);
        }
        usleep((useconds_t)round * 200);
        liz_engine_close(engine);
        for (int i = 0; i < N; i++) {
            assert_int_equal(results[i].n_done, 1);
            assert_int_equal(results[i].finish, LIZ_FINISH_CANCELLED);
            assert_int_equal(results[i].status, LIZ_E_CANCELLED);
            liz_seq_wait(seqs[i]);
            liz_seq_free(seqs[i]); /* after its engine */
        }
    }
}

/* ---- refusals and failures ---- */

static void test_refused_requests(void **state)
{
    (void)state;
    fake_engine_opts opts = {.n_ctx = 100, .n_pages = 2};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t tokens[120] = {0}, outside[] = {1, 64}, negative[] = {-1};
    const char *stop = "x";
    const struct {
        liz_request request;
        liz_status status;
        const char *names;
    } cases[] = {
        {{.tokens = tokens, .n_tokens = 0}, LIZ_E_USAGE, "no tokens"},
        {{.tokens = tokens, .n_tokens = 100}, LIZ_E_LIMIT, "100 tokens: the context of 100"},
        {{.tokens = tokens, .n_tokens = 1, .n_predict_max = 0}, LIZ_E_LIMIT, "the cache holds"},
        {{.tokens = outside, .n_tokens = 2}, LIZ_E_USAGE, "token 64 at position 1"},
        {{.tokens = negative, .n_tokens = 1}, LIZ_E_USAGE, "token -1"},
        {{.tokens = tokens, .n_tokens = 1, .n_predict_max = -1}, LIZ_E_USAGE, "n_predict_max"},
        {{.tokens = tokens, .n_tokens = 1, .n_logprobs_top = 21}, LIZ_E_USAGE, "n_logprobs_top"},
        {{.tokens = tokens, .n_tokens = 1, .n_prompt_logprobs_top = -1}, LIZ_E_USAGE, "n_prompt_logprobs_top"},
        {{.tokens = tokens, .n_tokens = 1, .stop_tokens = outside, .n_stop_tokens = 2}, LIZ_E_USAGE, "stop token 64"},
        {{.tokens = tokens, .n_tokens = 1, .stop_tokens = negative, .n_stop_tokens = 1}, LIZ_E_USAGE, "stop token -1"},
        {{.tokens = tokens, .n_tokens = 1, .stop_tokens = tokens, .n_stop_tokens = 65}, LIZ_E_LIMIT, "stop tokens: 65"},
        {{.tokens = tokens, .n_tokens = 1, .sampling = {.dry_breakers = &stop, .n_dry_breakers = 1}},
         LIZ_E_USAGE,
         "sequence breakers: the model has no vocabulary"},
        {{.tokens = tokens, .n_tokens = 1, .sampling = {.dry_multiplier = NAN}}, LIZ_E_USAGE, "dry_multiplier"},
        {{.tokens = tokens, .n_tokens = 1, .stop = &stop, .n_stop = 1}, LIZ_E_USAGE, "no vocabulary"},
        {{.tokens = tokens, .n_tokens = 1, .sampling = {.temperature = -1}}, LIZ_E_USAGE, "temperature"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_seq *seq;
        liz_error err;
        assert_int_equal(liz_submit(engine, &cases[i].request, &seq, &err), cases[i].status);
        assert_non_null(strstr(err.text, cases[i].names));
    }
    float logprobs[120];
    liz_error err;
    assert_int_equal(liz_score(engine, tokens, 101, logprobs, NULL, NULL, &err), LIZ_E_LIMIT);
    liz_engine_close(engine);
}

/* Two run beside each other: one meets logits that are not numbers, or forbids everything; the other does not notice.
 */
static void test_one_fails_alone(void **state)
{
    (void)state;
    static fake_result bad, good;
    liz_logit_bias forbid[64];
    for (int i = 0; i < 64; i++)
        forbid[i] = (liz_logit_bias){i, -INFINITY};
    for (int kind = 0; kind < 2; kind++) {
        fake_engine_opts opts = {.model = {.n_vocab = 64, .nan_token = 50}};
        liz_engine *engine = fake_engine_open(&opts);
        int32_t bad_prompt[] = {3, 4, kind == 0 ? 50 : 5}, good_prompt[] = {7};
        liz_request bad_request = request_of(bad_prompt, 3, 5, &bad),
                    good_request = request_of(good_prompt, 1, 1, &good);
        if (kind == 1)
            bad_request.sampling = (liz_sampling){.bias = forbid, .n_bias = 64};
        liz_seq *bad_seq, *good_seq;
        assert_int_equal(liz_submit(engine, &bad_request, &bad_seq, NULL), LIZ_OK);
        assert_int_equal(liz_submit(engine, &good_request, &good_seq, NULL), LIZ_OK);
        liz_seq_wait(bad_seq);
        liz_seq_wait(good_seq);
        assert_int_equal(bad.finish, LIZ_FINISH_FAILED);
        assert_int_equal(bad.status, kind == 0 ? LIZ_E_NUMERIC : LIZ_E_USAGE);
        assert_int_equal(bad.n_tokens, 0);
        assert_true(strlen(bad.message) > 0);
        assert_int_equal(good.finish, LIZ_FINISH_LENGTH);
        assert_int_equal(good.tokens[0], fake_model_likeliest(good_prompt, 1));
        liz_seq_free(bad_seq);
        liz_seq_free(good_seq);
        liz_engine_close(engine);
    }
}

static void test_failed_step(void **state)
{
    (void)state;
    static fake_result result;
    fake_engine_opts opts = {.model = {.n_vocab = 64, .fail_token = 60}};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t bad = 60, good = 61;
    for (int i = 0; i < 4; i++) { /* and it goes on afterwards */
        liz_request request = request_of(i % 2 == 0 ? &bad : &good, 1, 1, &result);
        liz_seq *seq;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        liz_seq_wait(seq);
        assert_int_equal(result.finish, i % 2 == 0 ? LIZ_FINISH_FAILED : LIZ_FINISH_LENGTH);
        assert_int_equal(result.status, i % 2 == 0 ? LIZ_E_LIMIT : LIZ_OK);
        liz_seq_free(seq);
    }
    liz_engine_close(engine);
}

/* ---- log-probabilities and scores ---- */

static double norm_of(const float *logits)
{
    double total = 0;
    for (int i = 0; i < 64; i++)
        total += exp((double)logits[i]);
    return log(total);
}

/* Of the model itself, whatever bias and penalties do to the choice. */
static void test_logprobs(void **state)
{
    (void)state;
    static fake_result result;
    fake_engine_opts opts = {0};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t tokens[40] = {11, 12, 13};
    liz_logit_bias bias[] = {{21, 20}, {22, -5}};
    liz_request request = request_of(tokens, 3, 20, &result);
    request.sampling =
        (liz_sampling){.temperature = 1.2f, .repeat_penalty = 1.5f, .bias = bias, .n_bias = 2, .top_k = 30, .seed = 5};
    request.logprobs = true;
    request.n_logprobs_top = 7;
    liz_seq *seq;
    assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
    liz_seq_wait(seq);
    assert_int_equal(result.n_tokens, 20);
    for (size_t i = 0; i < result.n_tokens; i++) {
        float logits[64];
        fake_model_logits(tokens, 3 + i, logits);
        tokens[3 + i] = result.tokens[i];
        assert_true(fabs((double)result.logprobs[i] - ((double)logits[result.tokens[i]] - norm_of(logits))) < 1e-5);
        assert_int_equal(result.n_tops[i], 7);
        assert_int_equal(result.tops[i][0].token, fake_model_likeliest(tokens, 3 + i));
        for (int j = 1; j < 7; j++)
            assert_true(result.tops[i][j].logprob <= result.tops[i][j - 1].logprob);
    }
    liz_seq_free(seq);
    liz_engine_close(engine);
}

typedef struct score_seen {
    const int32_t *tokens;
    size_t n_next, n_stop_at; /* the position at which to stop; 0: never */
    bool wrong;
} score_seen;

static bool score_on_logits(void *user, size_t pos0, size_t n_pos, const float *logits)
{
    score_seen *seen = user;
    seen->wrong = seen->wrong || pos0 != seen->n_next;
    for (size_t i = 0; i < n_pos; i++) {
        float expected[64];
        fake_model_logits(seen->tokens, pos0 + i + 1, expected);
        seen->wrong = seen->wrong || memcmp(expected, logits + i * 64, sizeof expected) != 0;
    }
    seen->n_next += n_pos;
    return seen->n_stop_at == 0 || seen->n_next < seen->n_stop_at;
}

static void test_score(void **state)
{
    (void)state;
    enum { N = 150 };
    static const int32_t chunks[] = {1, 7, 64, 200};
    int32_t tokens[N];
    float first[N], logprobs[N];
    for (int i = 0; i < N; i++)
        tokens[i] = i * 37 % 64;
    for (int c = 0; c < 4; c++) {
        fake_engine_opts opts = {
            .n_ctx = N, .n_prefill_chunk = chunks[c], .n_logits_max = 4 + c * 9, .n_threads = 1 + c % 2};
        liz_engine *engine = fake_engine_open(&opts);
        for (int again = 0; again < 2; again++) {
            score_seen seen = {.tokens = tokens};
            assert_int_equal(liz_score(engine, tokens, N, logprobs, score_on_logits, &seen, NULL), LIZ_OK);
            assert_false(seen.wrong);
            assert_int_equal(seen.n_next, N);
            if (c == 0 && again == 0)
                memcpy(first, logprobs, sizeof first);
            assert_memory_equal(logprobs, first, sizeof first);
        }
        score_seen seen = {.tokens = tokens, .n_stop_at = 60};
        liz_error err;
        assert_int_equal(liz_score(engine, tokens, N, NULL, score_on_logits, &seen, &err), LIZ_E_CANCELLED);
        assert_true(seen.n_next < N);
        liz_engine_close(engine);
    }
    assert_true(first[0] == 0);
    for (int i = 1; i < N; i++) {
        float logits[64];
        fake_model_logits(tokens, (size_t)i, logits);
        assert_true(fabs((double)first[i] - ((double)logits[tokens[i]] - norm_of(logits))) < 1e-5);
    }
}

/* What liz_score says, bit for bit, whatever the chunk and the rows of logits there are; and the rest as without. */
static void test_prompt_logprobs(void **state)
{
    (void)state;
    enum { N = 90, N_PREDICT = 10 };
    static fake_result result;
    static const int32_t chunks[] = {1, 7, 64, 200};
    int32_t tokens[N], expected[N_PREDICT];
    float scores[N];
    for (int i = 0; i < N; i++)
        tokens[i] = i * 37 % 64;
    for (int c = 0; c < 4; c++)
        for (size_t n = 1; n <= N; n += c == 0 ? 1 : 89) {
            fake_engine_opts opts = {.n_prefill_chunk = chunks[c], .n_logits_max = 4 + c * 9, .n_threads = 1 + c % 2};
            liz_engine *engine = fake_engine_open(&opts);
            assert_int_equal(liz_score(engine, tokens, n, scores, NULL, NULL, NULL), LIZ_OK);
            liz_request request = request_of(tokens, n, N_PREDICT, &result);
            request.sampling = (liz_sampling){.temperature = 1, .seed = n};
            request.prompt_logprobs = true;
            request.n_prompt_logprobs_top = 2;
            liz_seq *seq;
            assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
            liz_seq_wait(seq);
            assert_int_equal(result.n_prompt, n);
            assert_memory_equal(result.prompt, tokens, n * sizeof *tokens);
            assert_true(isnan(result.prompt_logprobs[0]));
            assert_memory_equal(result.prompt_logprobs + 1, scores + 1, (n - 1) * sizeof *scores);
            for (size_t i = 1; i < n; i++)
                assert_int_equal(result.prompt_best[i].token, fake_model_likeliest(tokens, i));
            fake_continue(tokens, n, &request.sampling, expected, N_PREDICT);
            assert_int_equal(result.n_tokens, N_PREDICT);
            assert_memory_equal(result.tokens, expected, sizeof expected);
            liz_seq_free(seq);
            liz_engine_close(engine);
        }
}

/* ---- several completions, stop tokens ---- */

/* One prompt, many seeds: its whole pages are computed once, and each says what it says alone. The first also wants
 * the prompt's log-probabilities, for which it computes all of it while the others wait for its pages. */
static void test_completions_share_the_prompt(void **state)
{
    (void)state;
    enum { N = 6, N_PROMPT = 101, N_PREDICT = 12 };
    static fake_result results[N];
    for (int with_prompt = 0; with_prompt < 2; with_prompt++) {
        fake_engine_opts opts = {.n_parallel = 4, .n_prefill_chunk = 16};
        liz_engine *engine = fake_engine_open(&opts);
        int32_t prompt[N_PROMPT], expected[N_PREDICT];
        liz_seq *seqs[N];
        int n_distinct = 0;
        for (int i = 0; i < N_PROMPT; i++)
            prompt[i] = i * 13 % 64;
        for (uint32_t i = 0; i < N; i++) {
            liz_request request = request_of(prompt, N_PROMPT, N_PREDICT, &results[i]);
            request.sampling = (liz_sampling){.temperature = 1, .seed = liz_seed(9, 0, i, 0)};
            request.prompt_logprobs = with_prompt && i == 0;
            assert_int_equal(liz_submit(engine, &request, &seqs[i], NULL), LIZ_OK);
        }
        for (uint32_t i = 0; i < N; i++) {
            liz_sampling sampling = {.temperature = 1, .seed = liz_seed(9, 0, i, 0)};
            liz_seq_wait(seqs[i]);
            liz_seq_free(seqs[i]);
            fake_continue(prompt, N_PROMPT, &sampling, expected, N_PREDICT);
            assert_memory_equal(results[i].tokens, expected, sizeof expected);
            n_distinct += i > 0 && memcmp(results[i].tokens, results[0].tokens, sizeof expected) != 0;
        }
        assert_int_equal(n_distinct, N - 1);
        liz_engine_stats stats;
        liz_engine_stats_get(engine, &stats);
        int n_whole = (N_PROMPT - 1) / LIZ_PAGE_TOKENS * LIZ_PAGE_TOKENS;
        assert_int_equal(stats.n_tokens_reused, (N - 1) * n_whole);
        assert_int_equal(stats.n_tokens_prefilled, N_PROMPT + (N - 1) * (N_PROMPT - n_whole));
        liz_engine_close(engine);
    }
}

/* A stop token ends the text where it would stand, and is neither told nor counted. */
static void test_stop_tokens(void **state)
{
    (void)state;
    enum { N_PREDICT = 30 };
    static fake_result result;
    fake_engine_opts opts = {0};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t prompt = 17, all[N_PREDICT];
    liz_sampling sampling = {.temperature = 1, .seed = 3};
    fake_continue(&prompt, 1, &sampling, all, N_PREDICT);
    for (int at = 0; at < N_PREDICT; at++) {
        int32_t stops[] = {63, all[at], all[N_PREDICT - 1]};
        size_t n_expected = 0;
        while (n_expected < N_PREDICT && all[n_expected] != stops[0] && all[n_expected] != stops[1] &&
               all[n_expected] != stops[2])
            n_expected++;
        liz_request request = request_of(&prompt, 1, N_PREDICT, &result);
        request.sampling = sampling;
        request.stop_tokens = stops;
        request.n_stop_tokens = 3;
        liz_seq *seq;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        liz_seq_wait(seq);
        liz_seq_free(seq);
        assert_int_equal(result.finish, LIZ_FINISH_STOP);
        assert_int_equal(result.n_tokens, n_expected);
        assert_memory_equal(result.tokens, all, n_expected * sizeof *all);
        assert_int_equal(result.stats.n_completion, n_expected);
    }
    liz_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_submitters),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_cancel_from_callback),
        cmocka_unit_test(test_close_while_running),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_one_fails_alone),
        cmocka_unit_test(test_failed_step),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_score),
        cmocka_unit_test(test_prompt_logprobs),
        cmocka_unit_test(test_completions_share_the_prompt),
        cmocka_unit_test(test_stop_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
