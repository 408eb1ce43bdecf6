/* model_weights.h - the tensors of a model, found by name and packed for the kernels.
 *
 * `liz_weights_bind` finds every tensor and checks its shape; `liz_weights_load` packs the matrices, dropping the
 * file's pages behind it, so that the weights are resident once. Vectors (norms, biases) become float arrays. */
#ifndef LIZ_MODEL_MODEL_WEIGHTS_H
#define LIZ_MODEL_MODEL_WEIGHTS_H

#include "base/arena.h"
#include "kernel/pack.h"
#include "model/model.h"
#include "model/model_params.h"
#include "sys/team.h"

/* A matrix and where it comes from; `bias` [n_out] may be NULL. Absent matrices have no tensor. */
typedef struct liz_linear {
    const liz_gguf_tensor *tensor;
    liz_matrix matrix;
    float *bias;
} liz_linear;

/* A norm's weight and bias; either may be NULL. */
typedef struct liz_norm {
    float *weight, *bias;
} liz_norm;

typedef struct liz_layer {
    liz_norm attn_norm, ffn_norm, q_norm, k_norm;
    liz_linear qkv, q, k, v, o; /* qkv alone, or q, k and v */
    liz_linear gate, up, down;
} liz_layer;

typedef struct liz_weights {
    const liz_gguf_tensor *token_embd, *position_embd;
    liz_layer *layers; /* [n_layer] */
    liz_norm output_norm;
    liz_linear output;
    float *rope_factors; /* [n_rot / 2] divide the frequencies; NULL where there are none */
    uint64_t n_params;
    uint64_t packed_bytes;
    liz_model_work work_layers, work_output;
    unsigned act_forms; /* liz_act_form bits that the matrices need */
    size_t n_in_max;    /* widest input of a matrix */
    liz_arena arena;
    uint8_t *packed;
} liz_weights;

LIZ_MUST_CHECK liz_status liz_weights_bind(liz_weights *w, liz_hparams *h, const liz_gguf *gguf, liz_error *err);

/* `on_progress` may be NULL; bytes of the file. */
LIZ_MUST_CHECK liz_status liz_weights_load(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf, liz_team *team,
                                           void (*on_progress)(void *user, uint64_t done, uint64_t total), void *user,
                                           liz_error *err);
void liz_weights_close(liz_weights *w);

#endif
