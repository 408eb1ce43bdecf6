/* model.h - a model: its weights, and the forward pass over a batch of many sequences.
 *
 * `liz_model_forward` computes the tokens of one step: for each sequence a run of tokens that continue what its
 * cache pages already hold. The keys and values it computes are written into the pages; logits come out for the
 * tokens that ask for them. A token's numbers depend on its sequence alone (the numeric contract). */
#ifndef LIZ_MODEL_MODEL_H
#define LIZ_MODEL_MODEL_H

#include "cache/cache.h"
#include "format/adapter.h"
#include "format/gguf.h"
#include "sys/cpu.h"
#include "sys/team.h"

typedef struct liz_model liz_model;

typedef struct liz_model_opts {
    liz_tier_id tier;
    int32_t n_batch_max;  /* tokens of a step at most */
    int32_t n_logits_max; /* of them, tokens whose logits are asked for, at most */
    int n_seqs_max;       /* sequences of a step at most */
    int32_t n_ctx;        /* tokens of a sequence at most */
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *on_progress_user;
    bool keep_packed; /* in MODEL.gguf.packed, for the next time */
} liz_model_opts;

/* What the file says, known without reading weights. */
typedef struct liz_model_params {
    const char *arch; /* static */
    int32_t n_vocab, n_ctx_train, n_embd;
    int n_layer;
    int n_expert, n_expert_used;         /* 0: none */
    const liz_cache_layer *cache_layers; /* [n_layer] */
    uint64_t n_params, n_params_active;  /* elements of all tensors; those that one token meets */
    liz_work work_layers, work_output;   /* output: of a token that wants logits */
} liz_model_params;

/* Reads the hyperparameters: LIZ_E_UNSUPPORTED names an unknown architecture; LIZ_E_FORMAT a key that is missing
 * or absurd, or a tensor that is missing or of the wrong shape. `gguf` is borrowed until close. */
LIZ_MUST_CHECK liz_status liz_model_open(liz_model **out, const liz_gguf *gguf, liz_error *err);
void liz_model_close(liz_model *model);
const liz_model_params *liz_model_params_get(const liz_model *model);

/* Adds an adapter, before memory is planned: bit i of a sequence's set is the i-th one added, of LIZ_LORAS_MAX at most.
 * `scale` multiplies what the file says. LIZ_E_FORMAT or LIZ_E_UNSUPPORTED names the tensor that does not fit.
 * `adapter` is borrowed until the model is loaded. */
LIZ_MUST_CHECK liz_status liz_model_adapter_add(liz_model *model, const liz_adapter *adapter, float scale,
                                                liz_error *err);

/* Bytes that `liz_model_load` will keep resident under `opts`: packed weights, and scratch for a step. */
LIZ_MUST_CHECK liz_status liz_model_memory(const liz_model *model, const liz_model_opts *opts, uint64_t *weights_bytes,
                                           uint64_t *scratch_bytes, liz_error *err);

/* Packs the weights, or maps those that were kept, and allocates all that a step needs. `team` is borrowed until close.
 */
LIZ_MUST_CHECK liz_status liz_model_load(liz_model *model, liz_team *team, const liz_model_opts *opts, liz_error *err);

/* A sequence's part in a step. */
typedef struct liz_batch_seq {
    const int32_t *pages;  /* page table, covering n_past + n_tok tokens */
    int32_t n_past;        /* tokens whose keys and values are in the pages already */
    int32_t n_tok;         /* tokens to compute now, >= 1 */
    const int32_t *tokens; /* [n_tok], inside the vocabulary */
    int32_t n_logits;      /* the last so many of them want logits */
    uint64_t adapters;     /* its set, a bit each */
} liz_batch_seq;

/* One step. `logits` [sum of n_logits, n_vocab], rows in the order of sequences and positions, belongs to the model
 * and is valid, and may be written to, until the next call. Allocates nothing. Engine thread only. LIZ_E_LIMIT when a
 * maximum of the options is exceeded; the sums of n_tok and n_logits are bounded by them. */
LIZ_MUST_CHECK liz_status liz_model_forward(liz_model *model, liz_cache *cache, const liz_batch_seq *seqs, int n_seqs,
                                            float **logits, liz_error *err);

/* What arrives at a matrix in a step: x [n_tok, n_in] of the i-th of a tensor's matrices (experts; else 0), token t in
 * row rows[t] where there is a list. Tokens are in the order of the batch. */
typedef struct liz_model_input {
    const liz_gguf_tensor *tensor;
    int i;
    const float *x;
    const int32_t *rows;
    size_t n_tok;
    int member, n_members;
} liz_model_input;

/* Called by every member of the team, to take its share; it may not wait for others. Where matrices stand one above the
 * other in one tensor, once for all of them. */
typedef void liz_model_on_input(void *user, const liz_model_input *input);

/* From the next step on, shows the inputs of all matrices; NULL ends it. Between steps only. */
void liz_model_watch(liz_model *model, liz_model_on_input *on_input, void *user);

/* The parts of a step, in its order. A part ends where the team meets, so its time is the slowest member's. */
typedef enum liz_model_part {
    LIZ_PART_EMBED,    /* rows of the embedding, angles of the positions */
    LIZ_PART_PREPARE,  /* norms, and what makes activations ready for matrices */
    LIZ_PART_QKV,      /* queries, keys and values */
    LIZ_PART_POSITION, /* their norms and rotation; keys and values into the cache */
    LIZ_PART_ATTENTION,
    LIZ_PART_ATTENTION_OUT,
    LIZ_PART_ROUTE, /* which experts */
    LIZ_PART_GATE_UP,
    LIZ_PART_ACTIVATE, /* and what makes it ready for `down` */
    LIZ_PART_DOWN,
    LIZ_PART_RESIDUAL, /* biases, back into the stream */
    LIZ_PART_OUTPUT,   /* logits */
    LIZ_PART_COUNT
} liz_model_part;

/* Microseconds, and bytes of weights, keys and values that were read, since the profile began. */
typedef struct liz_model_profile {
    uint64_t us[LIZ_PART_COUNT], bytes[LIZ_PART_COUNT];
} liz_model_profile;

/* From the next step on, adds up to `profile`, which is borrowed; NULL ends it. Between steps only. */
void liz_model_profile_into(liz_model *model, liz_model_profile *profile);

#endif
