/* engine_plan.c - fitting weights, scratch and cache pages into the memory there is.
 *
 * The pool holds at least one sequence of the whole context, since a request may ask for that and must then not depend
 * on the machine; beyond it, n_parallel sequences of up to TOKENS_WANTED each, or as much of that as fits. Because the
 * scheduler admits only what it can promise pages to, a smaller pool costs concurrency and nothing else; so the number
 * of sequences is reduced only where not even TOKENS_LEAST each would fit. Memory found by itself is not used to the
 * last sixteenth, since others live here too. */
#include "engine/engine_plan.h"

#include "base/checked.h"
#include "base/log.h"
#include "engine/engine_core.h"
#include "sys/memory.h"

#include <stdio.h>

enum {
    N_PARALLEL_DEFAULT = LIZ_OR_TINY(32, 3),
    N_PARALLEL_MAX = 1024,
    N_THREADS_MAX = 1024,
    CHUNK_DEFAULT = LIZ_OR_TINY(512, 5),
    CHUNK_MAX = 65536,
    ROWS_LEAST = 32, /* of logits: scoring advances by so many tokens a step, */
    ROWS_MOST = 256, /* more where the vocabulary is small */
    ROWS_BYTES = 16 << 20,
    TOKENS_WANTED = 4096,
    TOKENS_LEAST = 512,
    PAGES_MAX = INT32_MAX / LIZ_PAGE_TOKENS / 2
};

static const liz_engine_opts opts_default;

static double mib(uint64_t bytes) { return (double)bytes / (1024 * 1024); }

static liz_status opts_check(const liz_engine_opts *o, const liz_model_params *params, liz_error *err)
{
    if (params->n_ctx_train < 1)
        return liz_fail(err, LIZ_E_FORMAT, "a context of %d tokens: the model's file must state at least 1",
                        params->n_ctx_train);
    if (o->n_threads < 0 || o->n_threads > N_THREADS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "%d threads: from 1 to %d are possible", o->n_threads, N_THREADS_MAX);
    if (o->n_parallel < 0 || o->n_parallel > N_PARALLEL_MAX)
        return liz_fail(err, LIZ_E_USAGE, "%d sequences together: from 1 to %d are possible", o->n_parallel,
                        N_PARALLEL_MAX);
    if (o->n_prefill_chunk < 0 || o->n_prefill_chunk > CHUNK_MAX)
        return liz_fail(err, LIZ_E_USAGE, "a prefill chunk of %d tokens: from 1 to %d are possible", o->n_prefill_chunk,
                        CHUNK_MAX);
    if (o->n_ctx < 0 || o->n_ctx == 1 || o->n_ctx > params->n_ctx_train)
        return liz_fail(err, LIZ_E_USAGE,
                        "a context of %d tokens: the model was made for 2 to %d: ask for one of these (--ctx-size, in "
                        "bench --prefill and --depth)",
                        o->n_ctx, params->n_ctx_train);
    if ((int)o->cache_type < LIZ_CACHE_BF16 || (int)o->cache_type > LIZ_CACHE_INT8)
        return liz_fail(err, LIZ_E_USAGE, "cache type %d: there is none of that number", (int)o->cache_type);
    if ((int)o->speculate < LIZ_SPECULATE_AUTO || (int)o->speculate > LIZ_SPECULATE_NGRAM)
        return liz_fail(err, LIZ_E_USAGE, "speculation %d: there is none of that number", (int)o->speculate);
    return LIZ_OK;
}

static int64_t pages_for(int32_t n_tokens) { return (int64_t)liz_div_up((size_t)n_tokens, LIZ_PAGE_TOKENS); }

/* Pages for one whole context, or for all sequences to have `n_tokens` each, whichever is more. */
static int32_t pool_pages(const liz_engine_plan *plan, int32_t n_tokens)
{
    int64_t one = pages_for(plan->n_ctx), all = plan->n_parallel * pages_for(liz_least_i32(n_tokens, plan->n_ctx));
    int64_t n = one > all ? one : all;
    return n > PAGES_MAX ? PAGES_MAX : (int32_t)n;
}

liz_model_opts liz_engine_plan_model_opts(const liz_engine_plan *plan)
{
    return (liz_model_opts){.tier = plan->tier,
                            .n_batch_max = plan->n_prefill_chunk + plan->n_parallel,
                            .n_logits_max = plan->n_logits_max,
                            .n_seqs_max = plan->n_parallel + plan->n_logits_max,
                            .n_ctx = plan->n_ctx};
}

liz_cache_opts liz_engine_plan_cache_opts(const liz_engine_plan *plan, const liz_model *model,
                                          const liz_engine_opts *opts)
{
    const liz_model_params *params = liz_model_params_get(model);
    return (liz_cache_opts){.layers = params->cache_layers,
                            .n_layer = params->n_layer,
                            .n_pages = plan->n_pages,
                            .type = opts == NULL ? LIZ_CACHE_BF16 : opts->cache_type,
                            .sharing_off = opts != NULL && opts->prefix_cache_off};
}

/* What `n_parallel` sequences take beside the pool. No step has more prompt tokens than all their contexts hold. */
static liz_status step_plan(liz_engine_plan *plan, const liz_model *model, int n_parallel, liz_error *err)
{
    plan->n_parallel = n_parallel;
    int64_t n_prompts = (int64_t)plan->n_ctx * n_parallel;
    plan->n_prefill_chunk = n_prompts < plan->n_prefill_chunk ? (int32_t)n_prompts : plan->n_prefill_chunk;
    int32_t n_vocab = liz_model_params_get(model)->n_vocab;
    int32_t n_rows = (int32_t)(ROWS_BYTES / ((int64_t)n_vocab * (int64_t)sizeof(float)));
    n_rows = liz_least_i32(n_rows < ROWS_LEAST ? ROWS_LEAST : n_rows, ROWS_MOST);
    plan->n_logits_max = n_rows < n_parallel ? n_parallel : n_rows;
    liz_model_opts model_opts = liz_engine_plan_model_opts(plan);
    uint64_t scratch_bytes;
    LIZ_TRY(liz_model_memory(model, &model_opts, &plan->weights_bytes, &scratch_bytes, err));
    uint64_t own_bytes = liz_engine_own_bytes(n_vocab, plan->n_threads, n_parallel, plan->n_logits_max);
    if (!liz_u64_add(scratch_bytes, own_bytes, &plan->step_bytes) || plan->weights_bytes > UINT64_MAX / 4 ||
        plan->step_bytes > UINT64_MAX / 4)
        return liz_fail(err, LIZ_E_LIMIT, "the model is larger than memory can be");
    return LIZ_OK;
}

static uint64_t bytes_with_pages(const liz_engine_plan *plan, int32_t n_pages)
{
    uint64_t pool;
    if (!liz_u64_mul((uint64_t)n_pages, plan->page_bytes, &pool) || pool > UINT64_MAX / 4)
        return UINT64_MAX;
    return plan->weights_bytes + plan->step_bytes + pool;
}

static void pool_set(liz_engine_plan *plan, int32_t n_pages)
{
    plan->n_pages = n_pages;
    plan->cache_bytes = (uint64_t)n_pages * plan->page_bytes;
}

static liz_status plan_begin(liz_engine_plan *plan, const liz_model *model, const liz_engine_opts *o, liz_error *err)
{
    const liz_model_params *params = liz_model_params_get(model);
    *plan = (liz_engine_plan){0};
    LIZ_TRY(opts_check(o, params, err));
    LIZ_TRY(liz_cpu_tier(&plan->tier, err));
    plan->n_threads = o->n_threads != 0 ? o->n_threads : liz_cpu_count();
    plan->n_ctx = o->n_ctx != 0 ? o->n_ctx : params->n_ctx_train;
    plan->n_prefill_chunk = o->n_prefill_chunk != 0 ? o->n_prefill_chunk : CHUNK_DEFAULT;
    liz_cache_opts cache = liz_engine_plan_cache_opts(plan, model, o);
    if (!liz_cache_page_bytes(&cache, &plan->page_bytes))
        return liz_fail(err, LIZ_E_LIMIT, "a page of the attention cache is larger than memory can be");
    if (o->memory_max_bytes != 0)
        plan->available_bytes = o->memory_max_bytes;
    else
        plan->available_bytes = liz_memory_available() / 16 * 15;
    return step_plan(plan, model, o->n_parallel != 0 ? o->n_parallel : N_PARALLEL_DEFAULT, err);
}

static liz_status refuse(const liz_engine_plan *plan, liz_error *err)
{
    uint64_t fixed = plan->weights_bytes + plan->step_bytes;
    uint64_t left = fixed < plan->available_bytes ? plan->available_bytes - fixed : 0;
    uint64_t n_tokens = plan->page_bytes == 0 ? 0 : left / plan->page_bytes * LIZ_PAGE_TOKENS;
    char advice[96] = "take a smaller model";
    if (n_tokens >= 2)
        snprintf(advice, sizeof advice, "ask for a context (--ctx-size) of at most %llu tokens",
                 (unsigned long long)n_tokens);
    return liz_fail(err, LIZ_E_MEMORY,
                    "the weights take %.1f MiB, a step %.1f MiB, one sequence of %d tokens %.1f MiB, and %.1f MiB are "
                    "available: %s, or give it more memory",
                    mib(plan->weights_bytes), mib(plan->step_bytes), plan->n_ctx, mib(plan->cache_bytes),
                    mib(plan->available_bytes), advice);
}

liz_status liz_engine_plan_make(liz_engine_plan *plan, const liz_model *model, const liz_engine_opts *opts,
                                liz_error *err)
{
    liz_status status = plan_begin(plan, model, opts != NULL ? opts : &opts_default, err);
    if (status != LIZ_OK)
        return status;
    int n_asked = plan->n_parallel;
    while (plan->n_parallel > 1 && bytes_with_pages(plan, pool_pages(plan, TOKENS_LEAST)) > plan->available_bytes)
        if ((status = step_plan(plan, model, plan->n_parallel - 1, err)) != LIZ_OK)
            return status;
    int32_t n_least = pool_pages(plan, TOKENS_LEAST), n_pages = pool_pages(plan, TOKENS_WANTED);
    if (bytes_with_pages(plan, n_least) > plan->available_bytes) {
        pool_set(plan, n_least);
        return refuse(plan, err);
    }
    if (bytes_with_pages(plan, n_pages) > plan->available_bytes)
        n_pages = (int32_t)((plan->available_bytes - plan->weights_bytes - plan->step_bytes) / plan->page_bytes);
    pool_set(plan, n_pages);
    if (plan->n_parallel < n_asked)
        liz_log(LIZ_LOG_WARN, "memory", "%d sequences together instead of %d: %.1f MiB are available", plan->n_parallel,
                n_asked, mib(plan->available_bytes));
    liz_log(LIZ_LOG_INFO, "memory",
            "weights %.1f MiB, step %.1f MiB, cache %.1f MiB (%d pages of %d tokens) of %.1f MiB",
            mib(plan->weights_bytes), mib(plan->step_bytes), mib(plan->cache_bytes), plan->n_pages, LIZ_PAGE_TOKENS,
            mib(plan->available_bytes));
    return LIZ_OK;
}

liz_status liz_engine_plan_estimate(liz_engine_plan *plan, const liz_model *model, const liz_engine_opts *opts,
                                    liz_error *err)
{
    liz_status status = plan_begin(plan, model, opts != NULL ? opts : &opts_default, err);
    if (status == LIZ_OK)
        pool_set(plan, pool_pages(plan, TOKENS_WANTED));
    return status;
}
