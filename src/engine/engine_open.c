/* engine_open.c - an engine from a model file.
 *
 * In this order: the file is mapped and its hyperparameters read; adapters are opened; the memory is planned, which may
 * refuse it; only then weights are packed. A file whose vocabulary Lizzie does not know still opens, for token ids in
 * and out. */
#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/engine_plan.h"

#include <math.h>
#include <stdlib.h>

/* A NUL-terminated copy of a string of the file; NULL when it has none (or memory is short). */
static char *string_copy(const liz_gguf *gguf, const char *key)
{
    liz_str text;
    return liz_gguf_str(gguf, key, &text) ? strndup(text.p != NULL ? text.p : "", text.n) : NULL;
}

static float number_or_nan(const liz_gguf *gguf, const char *key)
{
    double value;
    return liz_gguf_f64(gguf, key, &value) ? (float)value : NAN;
}

static void sampling_read(liz_engine_info *info, const liz_gguf *gguf)
{
    uint64_t top_k;
    info->temperature = number_or_nan(gguf, "general.sampling.temp");
    info->top_p = number_or_nan(gguf, "general.sampling.top_p");
    info->min_p = number_or_nan(gguf, "general.sampling.min_p");
    info->repeat_penalty = number_or_nan(gguf, "general.sampling.penalty_repeat");
    info->xtc_probability = number_or_nan(gguf, "general.sampling.xtc_probability");
    info->xtc_threshold = number_or_nan(gguf, "general.sampling.xtc_threshold");
    info->top_k = liz_gguf_u64(gguf, "general.sampling.top_k", &top_k) && top_k <= INT32_MAX ? (int32_t)top_k : -1;
}

static void info_fill(liz_engine_parts *parts, const liz_engine_plan *plan)
{
    const liz_model_params *params = liz_model_params_get(parts->model);
    parts->name = string_copy(parts->gguf, "general.name");
    parts->chat_template = string_copy(parts->gguf, "tokenizer.chat_template");
    parts->info = (liz_engine_info){.arch = params->arch,
                                    .name = parts->name != NULL ? parts->name : "",
                                    .chat_template = parts->chat_template,
                                    .tier = liz_cpu_tier_name(plan->tier),
                                    .n_vocab = params->n_vocab,
                                    .n_ctx_train = params->n_ctx_train,
                                    .n_ctx = plan->n_ctx,
                                    .n_parallel = plan->n_parallel,
                                    .n_threads = plan->n_threads,
                                    .weights_bytes = plan->weights_bytes,
                                    .cache_bytes = plan->cache_bytes,
                                    .n_params = params->n_params,
                                    .work_layers = params->work_layers,
                                    .work_output = params->work_output};
    sampling_read(&parts->info, parts->gguf);
}

/* NULL where the file has none (token ids will do), or none that is known, which is worth a warning. */
static liz_status vocab_open(liz_vocab **out, const liz_gguf *gguf, liz_error *err)
{
    liz_error why = {0};
    liz_status status = liz_engine_vocab_new(out, gguf, &why);
    if (status == LIZ_E_UNSUPPORTED || status == LIZ_E_STATE) {
        liz_log(status == LIZ_E_STATE ? LIZ_LOG_INFO : LIZ_LOG_WARN, "vocabulary", "%s", why.text);
        return LIZ_OK;
    }
    return status != LIZ_OK ? liz_fail(err, status, "%s", why.text) : LIZ_OK;
}

liz_status liz_engine_loras_open(liz_engine_loras *loras, liz_model *model, const liz_engine_opts *opts, liz_error *err)
{
    *loras = (liz_engine_loras){0};
    size_t n = opts != NULL ? opts->n_loras : 0;
    if (n > LIZ_LORAS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "%zu adapters: at most %d are possible", n, LIZ_LORAS_MAX);
    for (size_t i = 0; i < n; i++) {
        const liz_lora *lora = &opts->loras[i];
        if (!isfinite(lora->scale))
            return liz_fail(err, LIZ_E_USAGE, "%s: the scale of an adapter is a finite number", lora->path);
        loras->n++; /* closed with the others, whatever comes */
        loras->of_all |= (uint64_t)!lora->on_request << i;
        LIZ_TRY(liz_adapter_open(&loras->files[i], lora->path, err));
        LIZ_TRY(liz_model_adapter_add(model, loras->files[i], lora->scale != 0 ? lora->scale : 1, err));
    }
    return LIZ_OK;
}

void liz_engine_loras_drop(liz_engine_loras *loras)
{
    for (size_t i = 0; i < loras->n; i++) {
        liz_adapter_close(loras->files[i]);
        loras->files[i] = NULL;
    }
}

static liz_status model_load(liz_engine_parts *parts, const liz_engine_plan *plan, const liz_engine_opts *opts,
                             liz_error *err)
{
    liz_model_opts model_opts = liz_engine_plan_model_opts(plan);
    model_opts.on_progress = opts->on_progress;
    model_opts.on_progress_user = opts->on_progress_user;
    model_opts.keep_packed = opts->keep_packed;
    return liz_team_open(&parts->team, plan->n_threads, err)
               ?: liz_model_load(parts->model, parts->team, &model_opts, err);
}

static liz_status parts_open(liz_engine_parts *parts, const char *path, const liz_engine_opts *opts, liz_error *err)
{
    liz_engine_plan plan;
    LIZ_TRY(liz_gguf_open(&parts->gguf, path, err)); /* it names the file */
    liz_status status = liz_model_open(&parts->model, parts->gguf, err);
    status = status ?: liz_engine_loras_open(&parts->loras, parts->model, opts, err);
    status = status ?: liz_engine_plan_make(&plan, parts->model, opts, err);
    status = status ?: vocab_open(&parts->vocab, parts->gguf, err);
    status = status ?: model_load(parts, &plan, opts, err);
    if (status == LIZ_OK) {
        liz_cache_opts cache = liz_engine_plan_cache_opts(&plan, parts->model, opts);
        status = liz_cache_open(&parts->cache, &cache, err);
    }
    if (status != LIZ_OK)
        return liz_fail_within(err, status, "%s", path);
    liz_engine_loras_drop(&parts->loras);
    parts->n_parallel = plan.n_parallel;
    parts->n_ctx = plan.n_ctx;
    parts->n_prefill_chunk = plan.n_prefill_chunk;
    parts->n_logits_max = plan.n_logits_max;
    parts->speculate = opts->speculate;
    parts->profile = opts->profile;
    info_fill(parts, &plan);
    return LIZ_OK;
}

liz_status liz_engine_open(liz_engine **out, const char *path, const liz_engine_opts *opts, liz_error *err)
{
    static const liz_engine_opts opts_default;
    liz_engine_parts parts = {0};
    liz_status status = parts_open(&parts, path, opts != NULL ? opts : &opts_default, err);
    status = status ?: liz_engine_start(out, &parts, err);
    if (status != LIZ_OK) {
        liz_engine_parts_close(&parts);
        return status;
    }
    liz_engine_info info;
    liz_engine_info_get(*out, &info);
    liz_log(LIZ_LOG_INFO, "engine", "kernels %s, %d threads, up to %d sequences together of up to %d tokens each",
            info.tier, info.n_threads, info.n_parallel, info.n_ctx);
    return LIZ_OK;
}
