/* model_lora.h - low-rank adapters on the matrices of a model: bound, packed, applied.
 *
 * A matrix W with adapters gives y = W x + the sum of scale * B (A x), in the order in which the adapters were added,
 * before its bias. A and B are computed with as F32 matrices, x as it is (docs/kernels.md). Which adapters a token has
 * is its sequence's set, and its numbers depend on that set alone: the tokens of a member that share an adapter meet it
 * up to eight at a time, in any company. Adapters cost a step no barrier, but for experts' last matrices: whoever
 * finishes a row of a matrix's output applies them to it. */
#ifndef LIZ_MODEL_MODEL_LORA_H
#define LIZ_MODEL_MODEL_LORA_H

#include "format/adapter.h"
#include "model/model_weights.h"

/* One adapter's part in a matrix, or in as many as there are experts. */
typedef struct liz_low_rank {
    int adapter;
    float scale;
    liz_matrix a, b; /* [rank, n_in], [n_out, rank]; the first expert's, the others packed behind */
    const liz_adapter_pair *pair;
    struct liz_low_rank *next;
} liz_low_rank;

/* Floats of a member's own space for applying what is bound. */
size_t liz_lora_scratch_floats(const liz_weights *w);

/* Binds every pair of `adapter` as the one of number `index` and counts what packing it takes. LIZ_E_FORMAT names a
 * tensor that does not fit the model's; LIZ_E_UNSUPPORTED one that the model does not have as a matrix, or another
 * architecture. `adapter` is borrowed until `liz_lora_load`. */
LIZ_MUST_CHECK liz_status liz_lora_bind(liz_weights *w, const liz_hparams *h, const liz_adapter *adapter, int index,
                                        float scale, liz_error *err);

/* Packs what is bound. LIZ_E_FORMAT when an adapter holds what is no finite number. */
LIZ_MUST_CHECK liz_status liz_lora_load(liz_weights *w, const liz_hparams *h, liz_error *err);

#endif
