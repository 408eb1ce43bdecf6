/* model_params.h - the families a model may be of, and what a file says about its shape.
 *
 * A family is a row of the table in model_families.c: the choices by which its decoder differs from the plainest one,
 * which is all zeros (RMS norm before each half of a layer, gated SiLU, no positions). Numbers come from the file.
 * docs/models.md says how to add a family. */
#ifndef LIZ_MODEL_MODEL_PARAMS_H
#define LIZ_MODEL_MODEL_PARAMS_H

#include "cache/cache.h"
#include "format/gguf.h"
#include "model/model_rope.h"

typedef enum liz_norm_kind { LIZ_NORM_RMS, LIZ_NORM_LAYER } liz_norm_kind;

/* Where the two halves of a layer (attention, feed-forward) are normed: what goes in, what comes out, or both. */
typedef enum liz_norm_place { LIZ_NORM_BEFORE, LIZ_NORM_AROUND, LIZ_NORM_AFTER } liz_norm_place;

/* Norms of queries and keys: of each head by itself, or of all heads as one row. */
typedef enum liz_head_norm { LIZ_HEAD_NORM_NONE, LIZ_HEAD_NORM_EACH, LIZ_HEAD_NORM_ALL } liz_head_norm;

typedef enum liz_ffn_kind { LIZ_FFN_SILU, LIZ_FFN_GELU, LIZ_FFN_SWIGLU_OAI } liz_ffn_kind;

typedef enum liz_rope_kind { LIZ_ROPE_NONE, LIZ_ROPE_NORM, LIZ_ROPE_NEOX } liz_rope_kind;

/* How a router's logits become the weights of the chosen experts: softmax or sigmoid of all, or softmax of the chosen.
 * Numbers are GGUF's (expert_gating_func). */
typedef enum liz_router_kind {
    LIZ_ROUTER_NONE = 0,
    LIZ_ROUTER_SOFTMAX = 1,
    LIZ_ROUTER_SIGMOID = 2,
    LIZ_ROUTER_CHOSEN = 3
} liz_router_kind;

/* Settings that only some families compute with; elsewhere they are refused, or ignored where files carry them idly. */
enum {
    LIZ_READS_ATTN_SOFTCAP = 1,
    LIZ_READS_LOGIT_SOFTCAP = 2,
    LIZ_READS_SCALES = 4, /* of embedding, residual, attention and logits (which are divided) */
    LIZ_READS_ATTN_SCALE = 8,
    LIZ_READS_ROPE_SWITCH = 16, /* rope.scaling.finetuned false: no positions */
    LIZ_READS_QUERY_GROWTH = 32,
};

typedef struct liz_hparams liz_hparams;

typedef struct liz_family {
    const char *arch; /* general.architecture */
    liz_norm_kind norm;
    liz_norm_place norm_place;
    const char *ffn_norm; /* the tensor of the feed-forward's norm; NULL: ffn_norm */
    liz_head_norm head_norm;
    bool sinks; /* attn_sinks must be there */
    liz_ffn_kind ffn;
    bool ungated;
    liz_router_kind router; /* of its mixtures of experts; NONE: it has none */
    bool router_norm;       /* weights of the chosen experts are made to sum to 1 */
    liz_rope_kind rope;
    int rope_skip;           /* every so-many-th layer has no rotary positions; 0: all have */
    int window_period;       /* every so-many-th layer sees all, the others a window; or EVERYWHERE; 0: no windows */
    double window_rope_base; /* rope base of layers with a window; 0: as the others */
    bool window_rope_plain;  /* layers with a window do not scale positions */
    bool positions;          /* learned: position_embd */
    unsigned reads;          /* LIZ_READS_* bits */
    void (*defaults)(liz_hparams *h); /* what a file need not say, set before settings are read; may be NULL */
} liz_family;

/* Upper limits on what a file may say; far above any model there is. */
enum {
    LIZ_LAYERS_MAX = 1024,
    LIZ_HEADS_MAX = 1024,
    LIZ_HEAD_DIM_MAX = 1024,
    LIZ_EXPERTS_MAX = 4096,
    LIZ_EMBD_MAX = 1 << 20,
    LIZ_CTX_MAX = 1 << 26
};

/* The window_period of families all of whose layers have a window: past the last layer there may be. */
enum { LIZ_WINDOW_EVERYWHERE = LIZ_LAYERS_MAX + 1 };

/* In what layers differ from each other. */
typedef struct liz_layer_kind {
    bool windowed, roped, sparse;
} liz_layer_kind;

struct liz_hparams {
    const liz_family *family;
    int n_layer, n_head, n_head_kv;
    int n_embd, n_ff, n_embd_k, n_embd_v; /* the latter two of one head */
    int32_t n_vocab, n_ctx_train;
    float norm_eps;
    float embd_scale, residual_scale, logit_divisor; /* 1: none */
    float attn_scale;
    float attn_softcap, logit_softcap; /* 0: none */
    int32_t window;                    /* tokens, itself included, that a token of a windowed layer sees; 0: none */
    liz_rope rope[2];                  /* of layers without and with a window */
    int n_rope;                        /* 1 where both are the same; 0: no rotary positions */
    liz_query_growth query_growth;     /* beta 0: none */
    int n_expert, n_expert_used, n_ff_expert; /* 0: no experts */
    liz_router_kind router;
    bool router_norm;
    float expert_scale;
    liz_layer_kind layers[LIZ_LAYERS_MAX];
};

/* The family of this name, NULL where there is none. */
const liz_family *liz_family_find(liz_str arch);

/* LIZ_E_UNSUPPORTED names an unknown architecture or a setting that is not computed; LIZ_E_FORMAT names a key that
 * is missing or absurd. */
LIZ_MUST_CHECK liz_status liz_hparams_read(liz_hparams *out, const liz_gguf *gguf, liz_error *err);

#endif
