/* adapter.h - low-rank adapters (LoRA, Hu et al. 2021) in the GGUF form that llama.cpp reads.
 *
 * For a tensor NAME of a model, a matrix [n_out, n_in], the file holds NAME.lora_a [rank, n_in] and NAME.lora_b
 * [n_out, rank], in F32, F16 or BF16; for the matrices of experts [n_expert, n_out, n_in] likewise with n_expert
 * before. They stand for the change alpha / rank * B A of it. Metadata: general.type "adapter", adapter.type "lora",
 * general.architecture, adapter.lora.alpha (0 or absent: B A as it is).
 *
 * Immutable once open. That the tensors it is for are those of a model, and of the same shape, is for the rooms above
 * to see. */
#ifndef LIZ_FORMAT_ADAPTER_H
#define LIZ_FORMAT_ADAPTER_H

#include "format/gguf.h"

typedef struct liz_adapter liz_adapter;

typedef struct liz_adapter_pair {
    liz_str base; /* the tensor it is for */
    const liz_gguf_tensor *a, *b;
    uint64_t n_mat, rank, n_in, n_out; /* n_mat: experts; 1 elsewhere */
    double scale;                      /* alpha / rank */
} liz_adapter_pair;

/* LIZ_E_UNSUPPORTED: another kind of adapter, a tensor that is no half of a pair, a type that it may not have;
 * LIZ_E_FORMAT: a half without the other, shapes that do not meet; and what liz_gguf_open returns. */
LIZ_MUST_CHECK liz_status liz_adapter_open(liz_adapter **out, const char *path, liz_error *err);
void liz_adapter_close(liz_adapter *adapter);

const char *liz_adapter_path(const liz_adapter *adapter);
liz_str liz_adapter_arch(const liz_adapter *adapter); /* of the model it is for */
size_t liz_adapter_n_pairs(const liz_adapter *adapter);
const liz_adapter_pair *liz_adapter_pair_at(const liz_adapter *adapter, size_t i);
/* The pair for a tensor of the model; NULL where there is none. */
const liz_adapter_pair *liz_adapter_find(const liz_adapter *adapter, liz_str base);

/* Rows [row, row + n) of a half, counted over all experts, as floats [n, width]. False where one is no finite number.
 */
bool liz_adapter_rows(const liz_gguf_tensor *half, uint64_t row, uint64_t n, float *out);

#endif
