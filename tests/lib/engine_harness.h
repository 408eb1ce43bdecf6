/* engine_harness.h - an engine over the fake model, and requests whose events are kept. */
#ifndef LIZ_TESTS_ENGINE_HARNESS_H
#define LIZ_TESTS_ENGINE_HARNESS_H

#include "engine/engine_core.h"
#include "fake_model.h"

typedef struct fake_engine_opts {
    fake_model_opts model;   /* n_vocab 0: 64 tokens */
    liz_vocab *vocab;        /* taken */
    int n_threads;           /* 0: 1 */
    int n_parallel;          /* 0: 4 */
    int32_t n_ctx;           /* 0: 256 */
    int32_t n_prefill_chunk; /* 0: 64 */
    int32_t n_logits_max;    /* 0: n_parallel */
    int32_t n_pages;         /* 0: enough for all */
    liz_cache_type cache_type;
    liz_speculate speculate;
    bool sharing_off;
    bool is_manual;
    void (*on_step)(bool inside);
} fake_engine_opts;

/* Fails the test when it cannot be opened. */
liz_engine *fake_engine_open(const fake_engine_opts *opts);

enum { FAKE_TOKENS_MAX = 1024, FAKE_TEXT_MAX = 4096, FAKE_ADAPTERS = 3 }; /* requests may name so many adapters */

/* What came of a sequence; `user` of its request. */
typedef struct fake_result {
    int32_t tokens[FAKE_TOKENS_MAX];
    float logprobs[FAKE_TOKENS_MAX];
    int n_tops[FAKE_TOKENS_MAX];
    liz_token_logprob tops[FAKE_TOKENS_MAX][LIZ_LOGPROBS_TOP_MAX];
    size_t n_tokens;
    int32_t prompt[FAKE_TOKENS_MAX]; /* what LIZ_EVENT_PROMPT said */
    float prompt_logprobs[FAKE_TOKENS_MAX];
    liz_token_logprob prompt_best[FAKE_TOKENS_MAX]; /* the likeliest alternative, where there are any */
    size_t n_prompt;
    char text[FAKE_TEXT_MAX];
    size_t n_text;
    int n_done;
    liz_finish finish;
    liz_status status;
    char message[LIZ_ERROR_TEXT_MAX];
    liz_seq_stats stats;
    atomic_int n_events;
    liz_seq *user_seq; /* the test's own */
} fake_result;

/* An on_event that fills a fake_result. */
void fake_on_event(void *user, const liz_event *event);

/* The greedy or sampled continuation of `prompt` [n_prompt] into `out` [n_predict], computed without engine and cache.
 */
void fake_continue(const int32_t *prompt, size_t n_prompt, const liz_sampling *sampling, int32_t *out,
                   size_t n_predict);

/* Asserts that every page is free or idle and nothing is promised. */
void fake_engine_assert_idle(const liz_engine *engine);

/* A small random number generator with a printed seed. */
uint64_t fake_random(uint64_t *state);

#endif
