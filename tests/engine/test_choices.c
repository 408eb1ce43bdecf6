/* test_choices.c - answers that are one of given texts: each choice's probability against one computed token by token
 * without engine and cache, the same bits however the work is split, and shared beginnings computed once. */
#include "../lib/engine_harness.h"
#include "decode/prob.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_CHOICES = 40, LEN_MAX = 90, N_VOCAB = 64, N_PROMPT_MAX = 100, STOP_A = 63, STOP_B = 62 };

typedef struct answer {
    int32_t choice, n_probs;
    double probs[N_CHOICES];
    int n_other, n_done; /* events */
    liz_finish finish;
    liz_status status;
    size_t n_completion;
} answer;

static void on_event(void *user, const liz_event *event)
{
    answer *a = user;
    a->n_other += event->type != LIZ_EVENT_DONE;
    if (event->type != LIZ_EVENT_DONE)
        return;
    a->n_done++;
    a->choice = event->choice;
    a->n_probs = event->n_probs;
    if (event->n_probs > 0)
        memcpy(a->probs, event->probs, (size_t)event->n_probs * sizeof *a->probs);
    a->finish = event->finish;
    a->status = event->status;
    a->n_completion = event->stats.n_completion;
    assert_int_equal(event->n_text, 0);
}

/* A prompt and choices that share beginnings, one of them the beginning of another. */
typedef struct question {
    int32_t prompt[N_PROMPT_MAX], tokens[N_CHOICES][LEN_MAX], stop_tokens[2];
    liz_choice choices[N_CHOICES];
    size_t n_prompt, n_choices, n_stop_tokens;
} question;

static bool is_taken(const question *q, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (q->choices[k].n_tokens == q->choices[i].n_tokens &&
            memcmp(q->tokens[k], q->tokens[i], q->choices[i].n_tokens * sizeof(int32_t)) == 0)
            return true;
    return false;
}

static void question_make(question *q, uint64_t *random)
{
    *q = (question){.n_prompt = 1 + fake_random(random) % N_PROMPT_MAX,
                    .n_choices = 1 + fake_random(random) % N_CHOICES,
                    .n_stop_tokens = fake_random(random) % 3,
                    .stop_tokens = {STOP_A, STOP_B}};
    for (size_t i = 0; i < q->n_prompt; i++)
        q->prompt[i] = (int32_t)(fake_random(random) % STOP_B);
    size_t len = fake_random(random) % 4 == 0 ? LEN_MAX : 6;
    for (size_t i = 0; i < q->n_choices; i++) {
        q->choices[i] = (liz_choice){q->tokens[i], 0};
        if (i > 0) { /* a beginning of one before */
            const liz_choice *other = &q->choices[fake_random(random) % i];
            q->choices[i].n_tokens = fake_random(random) % (other->n_tokens + 1);
            memcpy(q->tokens[i], other->tokens, q->choices[i].n_tokens * sizeof(int32_t));
        }
        size_t n = 1 + fake_random(random) % len;
        do {
            if (q->choices[i].n_tokens == LEN_MAX)
                q->choices[i].n_tokens = 0;
            q->tokens[i][q->choices[i].n_tokens++] = (int32_t)(fake_random(random) % STOP_B);
        } while (q->choices[i].n_tokens < n || is_taken(q, i));
    }
}

/* The log-probability of `token` after tokens [n], as liz_score gives it. */
static float logprob_of(liz_sampler *sampler, const int32_t *tokens, size_t n, int32_t token)
{
    float logits[N_VOCAB];
    fake_model_logits(tokens, n, logits);
    return (float)((double)logits[token] - liz_sampler_logprobs(sampler, logits, 0, NULL, NULL));
}

static double choice_logprob(const question *q, size_t i, liz_sampler *sampler)
{
    int32_t all[N_PROMPT_MAX + LEN_MAX];
    double sum = 0, ends = 0;
    size_t n = q->n_prompt;
    memcpy(all, q->prompt, n * sizeof *all);
    for (size_t k = 0; k < q->choices[i].n_tokens; k++) {
        sum += (double)logprob_of(sampler, all, n, q->tokens[i][k]);
        all[n++] = q->tokens[i][k];
    }
    for (size_t k = 0; k < q->n_stop_tokens; k++)
        ends += exp((double)logprob_of(sampler, all, n, q->stop_tokens[k]));
    return q->n_stop_tokens > 0 ? sum + log(ends) : sum;
}

static void expect(const question *q, const answer *a)
{
    double logprobs[N_CHOICES], max = -INFINITY, total = 0, sum = 0;
    liz_sampler *sampler;
    assert_int_equal(liz_sampler_open(&sampler, N_VOCAB, 4, NULL), LIZ_OK);
    for (size_t i = 0; i < q->n_choices; i++)
        max = fmax(max, logprobs[i] = choice_logprob(q, i, sampler));
    liz_sampler_close(sampler);
    for (size_t i = 0; i < q->n_choices; i++)
        total += exp(logprobs[i] - max);
    for (size_t i = 0; i < q->n_choices; i++) {
        double p = exp(logprobs[i] - max) / total;
        assert_true(fabs(a->probs[i] - p) <= 1e-5 * p + 1e-300);
        assert_true(a->probs[i] <= a->probs[a->choice]);
        sum += a->probs[i];
    }
    assert_true(fabs(sum - 1) < 1e-12);
    assert_int_equal(a->n_completion, q->choices[a->choice].n_tokens);
}

static liz_request request_of(const question *q, answer *a)
{
    *a = (answer){.choice = -7};
    return (liz_request){.tokens = q->prompt,
                         .n_tokens = q->n_prompt,
                         .choices = q->choices,
                         .n_choices = q->n_choices,
                         .stop_tokens = q->stop_tokens,
                         .n_stop_tokens = q->n_stop_tokens,
                         .on_event = on_event,
                         .user = a};
}

/* Different tokens of the trie, the leaves only where an end is asked for after them. */
static uint64_t n_nodes(const question *q)
{
    uint64_t n = 0;
    for (size_t i = 0; i < q->n_choices; i++)
        for (size_t d = 1; d <= q->choices[i].n_tokens; d++) {
            bool seen = false, goes_on = q->n_stop_tokens > 0;
            for (size_t k = 0; k < q->n_choices; k++) {
                const liz_choice *other = &q->choices[k];
                bool same = other->n_tokens >= d && memcmp(q->tokens[i], other->tokens, d * sizeof(int32_t)) == 0;
                seen = seen || (k < i && same);
                goes_on = goes_on || (same && other->n_tokens > d);
            }
            n += !seen && goes_on;
        }
    return n;
}

static const fake_engine_opts ways[] = {
    {.n_parallel = 4},
    {.n_parallel = 1, .n_threads = 3, .n_logits_max = 7},
    {.n_parallel = 2, .n_prefill_chunk = 3, .n_logits_max = 64, .n_threads = 2},
    {.n_parallel = 3, .n_pages = LIZ_OR_TINY(9, 300), .n_logits_max = 40, .sharing_off = true},
};

/* Each question alone, in every way. */
static void test_probabilities(void **state)
{
    (void)state;
    uint64_t random = 20260101;
    for (int round = 0; round < 60; round++) {
        static question q;
        static answer a, first;
        question_make(&q, &random);
        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            fake_engine_opts opts = ways[way];
            opts.is_manual = true;
            liz_engine *engine = fake_engine_open(&opts);
            liz_request request = request_of(&q, &a);
            liz_seq *seq;
            assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
            while (liz_engine_step(engine))
                ;
            assert_int_equal(a.finish, LIZ_FINISH_STOP);
            assert_int_equal(a.n_done, 1);
            assert_int_equal(a.n_other, 0);
            assert_int_equal(a.n_probs, q.n_choices);
            assert_int_equal(fake_model_n_computed(), q.n_prompt + n_nodes(&q));
            expect(&q, &a);
            if (way == 0)
                first = a;
            assert_int_equal(a.choice, first.choice);
            assert_memory_equal(a.probs, first.probs, q.n_choices * sizeof *a.probs);
            fake_engine_assert_idle(engine);
            liz_seq_free(seq);
            liz_engine_close(engine);
        }
    }
}

/* Many together, beside sequences that generate and others that share the prompt. */
static void test_together(void **state)
{
    (void)state;
    enum { N = 12 };
    uint64_t random = 7;
    static question q[N];
    static answer alone[N], together[N];
    static fake_result generated;
    fake_engine_opts opts = {.n_parallel = 6, .n_logits_max = 50, .n_threads = 2, .is_manual = true};
    for (int i = 0; i < N; i++) {
        question_make(&q[i], &random);
        if (i % 3 == 2) {
            memcpy(q[i].prompt, q[i - 1].prompt, sizeof q[i].prompt);
            q[i].n_prompt = q[i - 1].n_prompt;
        }
    }
    for (int is_together = 0; is_together < 2; is_together++) {
        liz_engine *engine = fake_engine_open(&opts);
        liz_seq *seqs[N + 1];
        liz_request talk = {
            .tokens = q[0].prompt, .n_tokens = 1, .n_predict_max = 100, .on_event = fake_on_event, .user = &generated};
        memset(&generated, 0, sizeof generated);
        assert_int_equal(liz_submit(engine, &talk, &seqs[N], NULL), LIZ_OK);
        for (int i = 0; i < N; i++) {
            liz_request request = request_of(&q[i], is_together ? &together[i] : &alone[i]);
            assert_int_equal(liz_submit(engine, &request, &seqs[i], NULL), LIZ_OK);
            while (!is_together && liz_engine_step(engine))
                ;
        }
        while (liz_engine_step(engine))
            ;
        liz_engine_stats stats;
        liz_engine_stats_get(engine, &stats);
        assert_true(!is_together || stats.n_seqs_step_max >= 3);
        assert_int_equal(generated.n_tokens, 100);
        fake_engine_assert_idle(engine);
        for (int i = 0; i <= N; i++)
            liz_seq_free(seqs[i]);
        liz_engine_close(engine);
    }
    for (int i = 0; i < N; i++)
        assert_memory_equal(&alone[i], &together[i], sizeof alone[i]);
}

static void test_refused(void **state)
{
    (void)state;
    fake_engine_opts opts = {.n_ctx = 64, .is_manual = true};
    liz_engine *engine = fake_engine_open(&opts);
    int32_t prompt[60] = {1}, ab[2] = {3, 4}, outside = N_VOCAB;
    const char *stop = "x";
    const liz_choice twice[2] = {{ab, 2}, {ab, 2}}, empty[2] = {{ab, 1}, {ab, 0}}, unknown = {&outside, 1};
    const liz_logit_bias bias = {1, 1};
    const struct {
        liz_request request;
        liz_status status;
    } cases[] = {
        {{.choices = twice, .n_choices = 2}, LIZ_E_USAGE},
        {{.choices = empty, .n_choices = 2}, LIZ_E_USAGE},
        {{.choices = &unknown, .n_choices = 1}, LIZ_E_USAGE},
        {{.choices = twice, .n_choices = 1, .stop = &stop, .n_stop = 1}, LIZ_E_USAGE},
        {{.choices = twice, .n_choices = 1, .logprobs = true}, LIZ_E_USAGE},
        {{.choices = twice, .n_choices = 1, .prompt_logprobs = true}, LIZ_E_USAGE},
        {{.choices = twice, .n_choices = 1, .sampling = {.bias = &bias, .n_bias = 1}}, LIZ_E_USAGE},
        {{.choices = &(liz_choice){prompt, 5}, .n_choices = 1}, LIZ_E_LIMIT},
        {{.choices = &(liz_choice){prompt, 4}, .n_choices = 1}, LIZ_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_request request = cases[i].request;
        liz_seq *seq = NULL;
        request.tokens = prompt;
        request.n_tokens = 60;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), cases[i].status);
        liz_engine_step(engine);
        if (seq != NULL)
            liz_seq_cancel(seq);
        while (liz_engine_step(engine))
            ;
        liz_seq_free(seq);
        fake_engine_assert_idle(engine);
    }
    liz_engine_close(engine);
}

/* A logit that is no number, and a step that fails, in the midst of the trie. */
static void test_failures(void **state)
{
    (void)state;
    static const fake_model_opts models[] = {{.nan_token = 9}, {.fail_token = 9}};
    static const liz_status expected[] = {LIZ_E_NUMERIC, LIZ_E_LIMIT};
    for (int i = 0; i < 2; i++) {
        fake_engine_opts opts = {.model = models[i], .is_manual = true, .n_logits_max = 20};
        liz_engine *engine = fake_engine_open(&opts);
        int32_t prompt = 1, a[3] = {2, 3, 4}, b[3] = {2, 9, 5}, c[1] = {6};
        const liz_choice choices[] = {{a, 3}, {b, 3}, {c, 1}};
        static answer got;
        got = (answer){0};
        liz_request request = {
            .tokens = &prompt, .n_tokens = 1, .choices = choices, .n_choices = 3, .on_event = on_event, .user = &got};
        liz_seq *seq;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        while (liz_engine_step(engine))
            ;
        assert_int_equal(got.n_done, 1);
        assert_int_equal(got.finish, LIZ_FINISH_FAILED);
        assert_int_equal(got.status, expected[i]);
        assert_int_equal(got.n_probs, 0);
        fake_engine_assert_idle(engine);
        liz_seq_free(seq);
        liz_engine_close(engine);
    }
}

/* A chain of forks, with any number of pages that holds the context: answered, and with few as with many. */
static void test_slots(void **state)
{
    (void)state;
    enum { N = 20 };
    int32_t tokens[N + 1], prompt = 1, others[N][N + 1];
    liz_choice choices[2 * N];
    for (int i = 0; i <= N; i++)
        tokens[i] = i;
    for (int i = 0; i < N; i++) {
        memcpy(others[i], tokens, sizeof tokens);
        others[i][i] = 50;
        choices[2 * i] = (liz_choice){tokens, (size_t)i + 2};
        choices[2 * i + 1] = (liz_choice){others[i], (size_t)i + 1};
    }
    static answer first, got;
    for (int32_t n_pages = LIZ_OR_TINY(1, 32); n_pages <= LIZ_OR_TINY(2 * N, 600); n_pages += LIZ_OR_TINY(1, 37)) {
        fake_engine_opts opts = {
            .is_manual = true, .n_parallel = 1, .n_pages = n_pages, .n_ctx = 32, .n_logits_max = 8};
        liz_engine *engine = fake_engine_open(&opts);
        got = (answer){0};
        liz_request request = {.tokens = &prompt,
                               .n_tokens = 1,
                               .choices = choices,
                               .n_choices = 2 * N,
                               .stop_tokens = &(int32_t){STOP_A},
                               .n_stop_tokens = 1,
                               .on_event = on_event,
                               .user = &got};
        liz_seq *seq = NULL;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        while (liz_engine_step(engine))
            ;
        assert_int_equal(got.n_done, 1);
        if (n_pages == LIZ_OR_TINY(1, 32))
            first = got;
        assert_memory_equal(&first, &got, sizeof got);
        assert_int_equal(fake_model_n_computed(), 1 + 2 * N + 1);
        liz_seq_free(seq);
        fake_engine_assert_idle(engine);
        liz_engine_close(engine);
    }
}

static void test_exp(void **state)
{
    (void)state;
    uint64_t random = 3;
    assert_true(liz_prob_exp(0) == 1 && liz_prob_exp(-701) == 0 && liz_prob_exp(-INFINITY) == 0);
    for (int i = 0; i < 100000; i++) {
        double x = -(double)(fake_random(&random) >> 11) * 0x1p-53 * (i % 2 ? 700 : 1), want = exp(x);
        assert_true(fabs(liz_prob_exp(x) - want) <= 4e-16 * want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probabilities), cmocka_unit_test(test_together), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_slots),    cmocka_unit_test(test_exp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
