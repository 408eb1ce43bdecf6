/* engine_lora.c - opening adapters for a model. */
#include "engine/engine_lora.h"

#include <math.h>

liz_status liz_engine_loras_open(liz_engine_loras *loras, liz_model *model, const liz_engine_opts *opts, liz_error *err)
{
    *loras = (liz_engine_loras){0};
    size_t n = opts != NULL ? opts->n_loras : 0;
    if (n > LIZ_LORAS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "%zu adapters: at most %d are possible", n, LIZ_LORAS_MAX);
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        const liz_lora *lora = &opts->loras[i];
        if (!isfinite(lora->scale))
            return liz_fail(err, LIZ_E_USAGE, "%s: the scale of an adapter is a finite number", lora->path);
        status = liz_adapter_open(&loras->files[i], lora->path, err);
        status = status ?: liz_model_adapter_add(model, loras->files[i], lora->scale != 0 ? lora->scale : 1, err);
        loras->n++;
        loras->of_all |= (uint64_t)!lora->on_request << i;
    }
    return status;
}

void liz_engine_loras_drop(liz_engine_loras *loras)
{
    for (size_t i = 0; i < loras->n; i++) {
        liz_adapter_close(loras->files[i]);
        loras->files[i] = NULL;
    }
}
