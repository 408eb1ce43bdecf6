/* engine_lora.h - the adapters that an engine is opened with. */
#ifndef LIZ_ENGINE_LORA_H
#define LIZ_ENGINE_LORA_H

#include "lizzie.h"
#include "model/model.h"

typedef struct liz_engine_loras {
    size_t n;
    uint64_t of_all;                   /* bits of those that every sequence has */
    liz_adapter *files[LIZ_LORAS_MAX]; /* open until the model is loaded */
} liz_engine_loras;

/* Opens the adapters of `opts` (may be NULL) and adds them to a model that is not loaded yet. Dropped in any case. */
LIZ_MUST_CHECK liz_status liz_engine_loras_open(liz_engine_loras *loras, liz_model *model, const liz_engine_opts *opts,
                                                liz_error *err);
/* Closes the files; a zeroed struct may be dropped, and one twice. */
void liz_engine_loras_drop(liz_engine_loras *loras);

/* The bits that a sequence may ask for. */
static inline uint64_t liz_engine_loras_known(const liz_engine_loras *loras)
{
    return loras->n < 64 ? ((uint64_t)1 << loras->n) - 1 : UINT64_MAX;
}

#endif
