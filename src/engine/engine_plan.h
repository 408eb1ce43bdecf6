/* engine_plan.h - the dimensions of an engine and the memory they take, decided before any weight is read. */
#ifndef LIZ_ENGINE_PLAN_H
#define LIZ_ENGINE_PLAN_H

#include "lizzie.h"
#include "model/model.h"

typedef struct liz_engine_plan {
    liz_tier_id tier;
    int n_threads, n_parallel;
    int32_t n_ctx, n_prefill_chunk, n_logits_max;
    int32_t n_pages;
    uint64_t weights_bytes; /* resident for weights */
    uint64_t step_bytes;    /* what a step needs: the model's scratch and the engine's */
    uint64_t page_bytes;
    uint64_t cache_bytes;
    uint64_t available_bytes; /* what all of it may take */
} liz_engine_plan;

/* Plans for a model whose weights are not loaded. `n_ctx_train` tokens and defaults fill what `opts` (may be NULL)
 * leaves open. Sequences are reduced until all fits; LIZ_E_MEMORY, with the numbers, when one does not. LIZ_E_USAGE for
 * an option out of range. */
LIZ_MUST_CHECK liz_status liz_engine_plan_make(liz_engine_plan *plan, const liz_model *model,
                                               const liz_engine_opts *opts, liz_error *err);

/* The same, never refusing for want of memory: what these options would take. */
LIZ_MUST_CHECK liz_status liz_engine_plan_estimate(liz_engine_plan *plan, const liz_model *model,
                                                   const liz_engine_opts *opts, liz_error *err);

/* The model's part of the plan. */
liz_model_opts liz_engine_plan_model_opts(const liz_engine_plan *plan);
liz_cache_opts liz_engine_plan_cache_opts(const liz_engine_plan *plan, const liz_model *model,
                                          const liz_engine_opts *opts);

#endif
