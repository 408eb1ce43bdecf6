/* tape.h - a model as a list of operations that run forwards and backwards.
 *
 * A tape is built once: tensors [n_tok, width] (f32), parameters, and operations in order, grouped into blocks (a
 * decoder layer is one). `liz_tape_plan` places everything in one mapping; after that nothing is allocated. Each
 * operation is a row of the table in tape.c: a forward that fills its result, a backward that turns the result's
 * gradient into those of its inputs and parameters. All members of a team run the whole list together and meet at a
 * barrier after each operation; an operation shares its work by tokens, outputs or heads, never by splitting a sum,
 * so that no bit depends on the number of threads.
 *
 * With `recompute`, blocks share the memory of their inner tensors and a block's forward runs again before its
 * backward (gradient checkpointing, Chen et al. 2016): memory for the results of the blocks only, a third more time. */
#ifndef LIZ_TRAIN_TAPE_H
#define LIZ_TRAIN_TAPE_H

#include "base/str.h"
#include "sys/team.h"
#include "tensor/dtype.h"
#include "train/gemm.h"

typedef struct liz_tape liz_tape;

/* A weight: a matrix [n_out, n_in], or a vector (n_out 1). */
typedef struct liz_param {
    char name[64];
    size_t n_out, n_in;
    bool is_trained;
    float *w;            /* f32; NULL where `file` holds it */
    const uint8_t *file; /* frozen, as the model file has it: rows of `dtype` */
    liz_dtype dtype;
    size_t file_row_bytes;
    const float *initial;   /* trained: what w begins as, where `file` does not say */
    float *grad, *m, *v;    /* trained: the gradient, added up over a step's batches, and Adam's averages */
    liz_panels ahead, back; /* W and its transpose as operands, of those that multiply and are kept */
    bool multiplies, decays;
    /* Trained: the operation whose backward writes all of grad before others add to it. NULL: none does, so it is
     * cleared when a step begins. */
    const struct liz_op *first_writer;
    bool is_table;  /* its rows stand for tokens */
    bool of_expert; /* one of several of its name, which together are one tensor */
} liz_param;

/* Documents lie one after the other in a batch and do not see each other. */
typedef struct liz_segment {
    size_t begin, n;
} liz_segment;

typedef struct liz_train_batch {
    size_t n_tok, n_segments;
    const int32_t *tokens;       /* [n_tok] */
    const int32_t *targets;      /* [n_tok] the token to predict; negative: none */
    const liz_segment *segments; /* [n_segments], covering all tokens */
    float scale;                 /* of the loss: one over the step's targets */
} liz_train_batch;

typedef int liz_tensor_id;

typedef struct liz_attend_shape {
    int n_head, n_head_kv, n_embd; /* elements of a head */
    float scale, softcap;
    size_t window;      /* keys a token sees, itself included; 0: all */
    const float *sinks; /* [n_head] scores that have no value, and stay as they are; NULL: none; borrowed */
} liz_attend_shape;

typedef struct liz_rope_plan {
    int n_head, n_embd; /* elements of a head */
    liz_rope_shape shape;
    const double *frequencies;             /* [shape.n_dims / 2] radians a position; borrowed */
    float gain;                            /* of cos and sin */
    const struct liz_query_growth *growth; /* what is turned grows so, too; NULL: it does not; borrowed */
} liz_rope_plan;

/* The matrices of experts: those of the first, frozen in the file, the others' `step` rows further on; biases (may be
 * NULL) likewise. `rank` of their adapters, 0: none, and the number of the first one's A among the tape's parameters;
 * those of the other experts follow, then all B. */
typedef struct liz_expert_matrix {
    liz_param *param;
    const float *bias;
    size_t step, rank, adapters;
} liz_expert_matrix;

typedef struct liz_expert_plan {
    const struct liz_hparams *h; /* how tokens are routed; borrowed */
    const float *choose_bias;    /* may be NULL */
    liz_expert_matrix gate, up, down;
    float lora_scale;
    bool oai; /* the activation is swiglu_oai, else gated SiLU */
} liz_expert_plan;

typedef struct liz_tape_opts {
    size_t n_tok_max;
    bool recompute, exact;
    bool keep_decoded; /* frozen weights but experts': 4 bytes each, instead of decoding them in every product */
} liz_tape_opts;

LIZ_MUST_CHECK liz_status liz_tape_open(liz_tape **out, liz_team *team, liz_tier_id tier, const liz_tape_opts *opts,
                                        liz_error *err);
void liz_tape_close(liz_tape *tape);

/* ---- Building: errors are kept and told by liz_tape_plan ---- */

/* A parameter [n_out, n_in]; w, or file and dtype, are set by the caller, who also says what it is for. */
liz_param *liz_tape_param(liz_tape *tape, const char *name, size_t n_out, size_t n_in, bool is_trained);

/* Adapters of `rank` for the matrices of `n_expert` experts, which the tensor `name` holds. */
void liz_tape_expert_adapters(liz_tape *tape, liz_expert_matrix *m, liz_str name, size_t n_expert, size_t rank);

/* Operations that follow belong to a new block; its first input is the result of the block before. */
void liz_tape_block(liz_tape *tape);

liz_tensor_id liz_tape_embed(liz_tape *tape, liz_param *table, float scale); /* rows by token */
liz_tensor_id liz_tape_place(liz_tape *tape, liz_param *table);              /* rows by position in the document */
/* By groups of `width / n_groups` elements, each with the same weight (heads); layer norm where `bias` or `centred`. */
liz_tensor_id liz_tape_norm(liz_tape *tape, liz_tensor_id x, liz_param *weight, liz_param *bias, bool centred,
                            float eps, size_t n_groups);
liz_tensor_id liz_tape_linear(liz_tape *tape, liz_tensor_id x, liz_param *weight, liz_param *bias);
liz_tensor_id liz_tape_rope(liz_tape *tape, liz_tensor_id x, const liz_rope_plan *plan); /* in place */
liz_tensor_id liz_tape_attend(liz_tape *tape, liz_tensor_id q, liz_tensor_id k, liz_tensor_id v,
                              liz_attend_shape shape);
/* The sum of a token's experts by the weights that follow from its row of `router`. */
liz_tensor_id liz_tape_experts(liz_tape *tape, liz_tensor_id x, liz_tensor_id router, const liz_expert_plan *plan);
liz_tensor_id liz_tape_silu_mul(liz_tape *tape, liz_tensor_id gate, liz_tensor_id up);
liz_tensor_id liz_tape_gelu(liz_tape *tape, liz_tensor_id x);
liz_tensor_id liz_tape_mul(liz_tape *tape, liz_tensor_id a, liz_tensor_id b);
liz_tensor_id liz_tape_add(liz_tape *tape, liz_tensor_id a, liz_tensor_id b, float b_scale); /* a + b_scale * b */
/* The loss: cross-entropy of softmax(scale * (x W^T + bias)), soft-capped where `softcap` > 0. The last operation. */
void liz_tape_loss(liz_tape *tape, liz_tensor_id x, liz_param *head, liz_param *bias, float scale, float softcap);

/* Places everything in memory. LIZ_E_MEMORY: more than there is, which is said; nothing was taken then. */
LIZ_MUST_CHECK liz_status liz_tape_plan(liz_tape *tape, liz_error *err);

/* ---- Running ---- */

/* Brings the operands of trained parameters up to date with w, after it was set from outside. */
void liz_tape_refresh(liz_tape *tape);

/* The sum over targets of -log p, in double. */
double liz_tape_forward(liz_tape *tape, const liz_train_batch *batch);
/* Forgets the gradients: the next backward begins with none. As they are in the beginning. */
void liz_tape_clear(liz_tape *tape);
/* Forward and backward: gradients are added to the parameters'. Returns as forward does. */
double liz_tape_backward(liz_tape *tape, const liz_train_batch *batch);

/* Forward of `tokens` [n] as one document; gives the probabilities [n_vocab] of what follows, which last until the next
 * run. */
const float *liz_tape_next(liz_tape *tape, const int32_t *tokens, size_t n);

uint64_t liz_tape_bytes(const liz_tape *tape); /* planned */
/* Operations of matrix products, a multiplication and an addition being two, that a token's forward and backward take
 * in rows of `n_ctx` tokens of which a share has targets; what `recompute` adds is not in it. */
double liz_tape_token_ops(const liz_tape *tape, size_t n_ctx, double target_share);
const liz_gemm *liz_tape_gemm(const liz_tape *tape);
/* The first trained parameter from number `*i` on, which then is the next one's; NULL behind the last. */
liz_param *liz_tape_trained(const liz_tape *tape, size_t *i);

#endif
