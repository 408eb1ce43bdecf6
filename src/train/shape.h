/* shape.h - the shapes of models that are trained from nothing, and the file such a model begins as.
 *
 * Decoders of the llama family: RMS norm, rotary positions, gated SiLU, grouped queries, the table of tokens as the
 * output too; with norms of queries and keys the file says qwen3. The beginning is a model file like any other, with
 * random weights in F32: training always goes on from a file. */
#ifndef LIZ_TRAIN_SHAPE_H
#define LIZ_TRAIN_SHAPE_H

#include "base/status.h"
#include "format/gguf_write.h"

typedef struct liz_model_shape {
    int32_t n_layer, n_embd, n_ff, n_head, n_head_kv, n_embd_head, n_vocab, n_ctx; /* 0: by rule */
    bool qk_norm;
    float rope_base;
} liz_model_shape;

/* Fills what is 0 from the shape of that name (NULL: by rules from the rest). LIZ_E_USAGE: no such name, which lists
 * them, or a shape that cannot be. */
LIZ_MUST_CHECK liz_status liz_model_shape_complete(liz_model_shape *shape, const char *name, liz_error *err);

uint64_t liz_model_shape_params(const liz_model_shape *shape);

/* Writes what is left of a file whose tokenizer was put: what the architecture wants said, and the tensors as they
 * begin, random by `seed`. */
LIZ_MUST_CHECK liz_status liz_model_shape_write(const liz_model_shape *shape, liz_gguf_writer *writer, uint64_t seed,
                                                liz_error *err);

#endif
