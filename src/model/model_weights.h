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

/* A matrix, or as many equal ones as there are experts, and the rows of a tensor that it comes from: tensors may hold
 * several matrices one above the other (queries, keys and values; gate and up; an expert's after the other's).
 * `bias` may be NULL. Absent matrices have no tensor. */
typedef struct liz_linear {
    const liz_gguf_tensor *tensor;
    uint64_t row, row_step; /* first row in the tensor; rows from one expert's matrix to the next one's */
    int n_mat;
    liz_matrix matrix;        /* the first; the others are packed behind it */
    float *bias;              /* of the first; the others' are row_step apart */
    struct liz_low_rank *low; /* adapters (model_lora.h); NULL: none */
} liz_linear;

/* The i-th of equal matrices that are packed one behind the other. */
static inline liz_matrix liz_matrix_nth(liz_matrix m, int i)
{
    m.data += (size_t)i * liz_pack_matrix_bytes(m.pack, m.n_out, m.n_in);
    return m;
}

static inline const float *liz_linear_bias(const liz_linear *l, int i)
{
    return l->bias != NULL ? l->bias + (uint64_t)i * l->row_step : NULL;
}

/* A norm's weight and bias; either may be NULL. */
typedef struct liz_norm {
    float *weight, *bias;
} liz_norm;

/* What a family does not have is absent. */
typedef struct liz_layer {
    liz_norm attn_norm, q_norm, k_norm, attn_post_norm;
    liz_linear q, k, v, o;
    float *sinks; /* [n_head] */
    liz_norm ffn_norm, ffn_post_norm;
    liz_linear gate, up, down; /* of the experts where there is a router */
    liz_linear router;
    float *router_bias; /* [n_expert] added for choosing only */
} liz_layer;

typedef struct liz_weights {
    const liz_gguf_tensor *token_embd, *position_embd;
    liz_layer *layers; /* [n_layer] */
    liz_norm output_norm;
    liz_linear output;
    float *rope_factors;                /* [n_dims / 2] divide the frequencies; NULL where there are none */
    float *rope_short, *rope_long;      /* likewise, for contexts up to the original one and beyond */
    uint64_t n_params, n_params_active; /* elements of all tensors; those that one token meets */
    uint64_t packed_bytes;
    liz_work work_layers, work_output;
    unsigned act_forms; /* liz_act_form bits that the matrices need */
    size_t n_in_max;    /* widest input of a matrix */
    liz_arena arena;
    uint8_t *packed;
    uint64_t lora_bytes; /* of the adapters' matrices, packed */
    size_t lora_rank_max;
    uint8_t *lora;
} liz_weights;

LIZ_MUST_CHECK liz_status liz_weights_bind(liz_weights *w, liz_hparams *h, const liz_gguf *gguf, liz_error *err);

/* All places for a matrix in turn, those of absent ones too; NULL past the last. */
liz_linear *liz_weights_linear(liz_weights *w, const liz_hparams *h, size_t i);

/* freqs [n_dims / 2] of rope `which` of the model, for contexts of up to n_ctx: with the file's factors, where it has
 * some for such contexts. LIZ_E_FORMAT as liz_rope_fill. */
LIZ_MUST_CHECK liz_status liz_weights_rope(const liz_weights *w, const liz_hparams *h, int which, int32_t n_ctx,
                                           double *freqs, liz_error *err);

/* Maps the weights that an earlier open kept, or packs them. Of `opts`: on_progress, keep_packed. */
LIZ_MUST_CHECK liz_status liz_weights_load(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf, liz_team *team,
                                           const liz_model_opts *opts, liz_error *err);
void liz_weights_close(liz_weights *w);

#endif
