/* engine_harness.c - an engine over the fake model; see the header. */
#include "engine_harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int32_t or_default(int32_t value, int32_t standard) { return value != 0 ? value : standard; }

liz_engine *fake_engine_open(const fake_engine_opts *o)
{
    liz_engine_parts parts = {.vocab = o->vocab,
                              .speculate = o->speculate,
                              .is_manual = o->is_manual,
                              .on_step = o->on_step,
                              .loras = {.n = FAKE_ADAPTERS}};
    fake_model_opts model = o->model;
    model.n_vocab = or_default(model.n_vocab, 64);
    fake_model_setup(&model);
    parts.n_parallel = or_default(o->n_parallel, 4);
    parts.n_ctx = or_default(o->n_ctx, 256);
    parts.n_prefill_chunk = or_default(o->n_prefill_chunk, 64);
    parts.n_logits_max = or_default(o->n_logits_max, parts.n_parallel);
    liz_error err;
    assert_int_equal(liz_team_open(&parts.team, or_default(o->n_threads, 1), &err), LIZ_OK);
    assert_int_equal(liz_model_open(&parts.model, NULL, &err), LIZ_OK);
    liz_model_opts limits = {.n_batch_max = parts.n_prefill_chunk + parts.n_parallel,
                             .n_logits_max = parts.n_logits_max,
                             .n_seqs_max = parts.n_parallel + parts.n_logits_max,
                             .n_ctx = parts.n_ctx};
    assert_int_equal(liz_model_load(parts.model, parts.team, &limits, &err), LIZ_OK);
    const liz_model_params *params = liz_model_params_get(parts.model);
    int32_t n_pages_all = parts.n_parallel * ((parts.n_ctx + LIZ_PAGE_TOKENS - 1) / LIZ_PAGE_TOKENS);
    liz_cache_opts cache = {.layers = params->cache_layers,
                            .n_layer = params->n_layer,
                            .n_pages = or_default(o->n_pages, n_pages_all),
                            .type = o->cache_type,
                            .sharing_off = o->sharing_off};
    assert_int_equal(liz_cache_open(&parts.cache, &cache, &err), LIZ_OK);
    liz_engine *engine;
    assert_int_equal(liz_engine_start(&engine, &parts, &err), LIZ_OK);
    return engine;
}

void fake_on_event(void *user, const liz_event *e)
{
    fake_result *r = user;
    LIZ_ASSERT(r->n_done == 0 && r->n_text + e->n_text < FAKE_TEXT_MAX && r->n_tokens < FAKE_TOKENS_MAX);
    memcpy(r->text + r->n_text, e->text, e->n_text);
    r->n_text += e->n_text;
    if (e->type == LIZ_EVENT_PROMPT) {
        LIZ_ASSERT(r->n_tokens == 0 && r->n_prompt < FAKE_TOKENS_MAX && e->n_text == 0);
        r->prompt_logprobs[r->n_prompt] = e->logprob;
        if (e->n_top > 0)
            r->prompt_best[r->n_prompt] = e->top[0];
        r->prompt[r->n_prompt++] = e->token;
    } else if (e->type == LIZ_EVENT_TOKEN) {
        r->logprobs[r->n_tokens] = e->logprob;
        r->n_tops[r->n_tokens] = e->n_top;
        memcpy(r->tops[r->n_tokens], e->top, (size_t)e->n_top * sizeof *e->top);
        r->tokens[r->n_tokens++] = e->token;
    } else {
        r->n_done++;
        r->finish = e->finish;
        r->status = e->status;
        strncpy(r->message, e->message, sizeof r->message - 1);
        r->stats = e->stats;
    }
    atomic_fetch_add(&r->n_events, 1);
}

void fake_continue(const int32_t *prompt, size_t n_prompt, const liz_sampling *sampling, int32_t *out, size_t n_predict)
{
    int32_t tokens[FAKE_TOKENS_MAX], n_vocab = 64;
    float logits[64];
    liz_sampler *sampler;
    assert_true(n_prompt + n_predict <= FAKE_TOKENS_MAX);
    assert_int_equal(liz_sampler_open(&sampler, n_vocab, 4, NULL), LIZ_OK);
    memcpy(tokens, prompt, n_prompt * sizeof *tokens);
    for (size_t i = 0; i < n_predict; i++) {
        size_t n = n_prompt + i;
        fake_model_logits(tokens, n, logits);
        tokens[n] = out[i] = liz_sampler_choose(sampler, sampling, logits, &(liz_history){tokens, NULL, n}, n);
    }
    liz_sampler_close(sampler);
}

void fake_engine_assert_idle(const liz_engine *engine)
{
    const liz_cache *cache = engine->parts.cache;
    assert_int_equal(liz_cache_pages_held(cache), 0);
    assert_int_equal(liz_cache_pages_available(cache), liz_cache_pages_total(cache));
    assert_int_equal(engine->n_pages_promised, 0);
    assert_int_equal(engine->n_running, 0);
    assert_int_equal(engine->n_queue, 0);
}

uint64_t fake_random(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}
