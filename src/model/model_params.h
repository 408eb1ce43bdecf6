/* model_params.h - the families a model may be of, and what a file says about its shape.
 *
 * A family is a row of the table in model_params.c: a decoder with a few choices (norm, feed-forward, positions). What
 * differs further is read from the file: biases, norms of queries and keys and a separate output matrix are used where
 * their tensors are present. docs/models.md says how to add a family. */
#ifndef LIZ_MODEL_MODEL_PARAMS_H
#define LIZ_MODEL_MODEL_PARAMS_H

#include "cache/cache.h"
#include "format/gguf.h"

typedef enum liz_norm_kind { LIZ_NORM_RMS, LIZ_NORM_LAYER } liz_norm_kind;
typedef enum liz_ffn_kind { LIZ_FFN_SWIGLU, LIZ_FFN_GELU } liz_ffn_kind;
typedef enum liz_rope_kind { LIZ_ROPE_NONE, LIZ_ROPE_NORM, LIZ_ROPE_NEOX } liz_rope_kind;

typedef struct liz_family {
    const char *arch; /* general.architecture */
    liz_norm_kind norm;
    liz_ffn_kind ffn;
    liz_rope_kind rope;
    bool qkv_fused; /* one matrix, attn_qkv */
    bool qk_norm;   /* attn_q_norm and attn_k_norm must be there */
    bool positions; /* learned: position_embd */
    int rope_skip;  /* every so-many-th layer has no rotary positions; 0: all have */
} liz_family;

/* Upper limits on what a file may say; far above any model there is. */
enum {
    LIZ_LAYERS_MAX = 1024,
    LIZ_HEADS_MAX = 1024,
    LIZ_HEAD_DIM_MAX = 1024,
    LIZ_EMBD_MAX = 1 << 20,
    LIZ_CTX_MAX = 1 << 26
};

typedef struct liz_hparams {
    const liz_family *family;
    int n_layer, n_head, n_head_kv;
    int n_embd, n_ff, n_embd_k, n_embd_v; /* the latter two of one head */
    int32_t n_vocab, n_ctx_train;
    float norm_eps;
    int n_rot;                    /* elements of a head that turn */
    double rope_base, rope_scale; /* angles are position * rope_scale * rope_base^(-2 i / n_rot) */
} liz_hparams;

/* The family of this name, NULL where there is none. */
const liz_family *liz_family_find(liz_str arch);

/* LIZ_E_UNSUPPORTED names an unknown architecture or a setting that is not computed; LIZ_E_FORMAT names a key that
 * is missing or absurd. */
LIZ_MUST_CHECK liz_status liz_hparams_read(liz_hparams *out, const liz_gguf *gguf, liz_error *err);

#endif
