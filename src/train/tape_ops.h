/* tape_ops.h - what the operations of a tape share; private to the train room. */
#ifndef LIZ_TRAIN_TAPE_OPS_H
#define LIZ_TRAIN_TAPE_OPS_H

#include "base/carve.h"
#include "model/model_params.h"
#include "train/tape.h"

enum { LIZ_TAPE_QUERIES = 64, LIZ_TAPE_LOSS_TOKENS = 256 }; /* both are part of the order of sums */
/* Of a transpose, what is decoded together: columns (a multiple of every type's block) and rows. */
enum { LIZ_TAPE_COLUMNS = 256, LIZ_TAPE_ROWS = 32 };
enum { LIZ_TAPE_EXPERTS_USED = 64 }; /* by a token, at most */

/* The operations; each has a forward and a backward. */
#define LIZ_TAPE_OPS(X)                                                                                                \
    X(EMBED, embed)                                                                                                    \
    X(NORM, norm)                                                                                                      \
    X(LINEAR, linear)                                                                                                  \
    X(ROPE, rope)                                                                                                      \
    X(ATTEND, attend)                                                                                                  \
    X(EXPERTS, experts)                                                                                                \
    X(SILU_MUL, silu_mul)                                                                                              \
    X(GELU, gelu)                                                                                                      \
    X(MUL, mul)                                                                                                        \
    X(ADD, add)                                                                                                        \
    X(LOSS, loss)

#define KIND(upper, lower) LIZ_OP_##upper,
typedef enum liz_op_kind { LIZ_TAPE_OPS(KIND) } liz_op_kind;
#undef KIND

typedef struct liz_tensor {
    size_t width;
    int block;      /* it belongs to; results of blocks outlive the recomputing of others */
    bool is_result; /* of a block */
    float *x, *dx;  /* [n_tok_max, width] */
} liz_tensor;

typedef struct liz_op {
    liz_op_kind kind;
    int block;
    liz_tensor_id in[3], out;
    int n_in;      /* inputs that get a gradient; of what changes in place, 0 */
    bool first[3]; /* the backward of this operation is the first to write that input's gradient: it does not add */
    liz_param *weight, *bias;
    float a, b; /* embed, loss: scale; add: the second's scale; norm: epsilon. b, loss: soft-cap */
    size_t n_groups;
    bool flag; /* embed: rows by position; norm: centred; linear: lays out its input; rope: prepares the angles */
    liz_attend_shape attend;
    liz_rope_plan rope;
    liz_expert_plan experts;
    float *saved; /* attend: [n_tok, n_head] log-sums; rope: [n_tok, n_dims] cosines and sines */
} liz_op;

/* Of the expert at hand, rows by pairs; of a batch's routing. */
typedef struct liz_expert_space {
    float *x, *out;                      /* [n_tok, n_embd] */
    float *gate, *up, *act, *dact, *dup; /* [n_tok, n_ff] */
    float *low[3], *dlow;                /* [n_tok, rank] A x of the adapters of gate, up and down */
    float *p;                            /* [n_tok, n_expert] what routing made of the logits */
    float *weights, *slopes;             /* [n_tok, n_used], and the gradients of the weights */
    int32_t *chosen, *pairs, *begin;     /* [n_tok, n_used]; by expert; [n_expert + 1] where each expert's begin */
} liz_expert_space;

/* What members share of working space, and their own. */
typedef struct liz_tape_space {
    liz_rows rows, columns;     /* left operands: of x or dy, and of dy's transpose */
    liz_panels panels, weights; /* right operands: of x's transpose, and of a slice of frozen weights */
    float *stats;               /* [n_tok, groups, 2] */
    float *loss_x, *loss_dx;    /* [LIZ_TAPE_LOSS_TOKENS, n_embd] */
    float *logits;              /* [LIZ_TAPE_LOSS_TOKENS, n_vocab] */
    double *losses;             /* [n_tok] */
    liz_expert_space experts;
    float *member; /* [n_members, member_floats] */
    size_t rows_bytes, columns_bytes, panels_bytes, weights_bytes, member_floats;
} liz_tape_space;

struct liz_tape {
    liz_team *team;
    liz_kernel kernel;
    liz_grad_kernel grad;
    liz_gemm gemm;
    liz_tape_opts opts;
    liz_tensor *tensors;
    liz_op *ops;
    liz_param **params;
    int n_tensors, n_ops, n_blocks;
    size_t n_params, n_params_max, n_tensors_max, n_ops_max;
    liz_status status; /* of building */
    liz_tape_space space;
    uint8_t *memory;
    size_t memory_bytes;
    const liz_train_batch *batch;
    bool wants_loss, is_decoded; /* what is kept of frozen weights */
    bool is_clear;               /* gradients are none, whatever their arrays hold */
};

typedef struct liz_tape_op_fns {
    void (*forward)(liz_tape *tape, const liz_op *op, int member, int n_members);
    void (*backward)(liz_tape *tape, const liz_op *op, int member, int n_members);
} liz_tape_op_fns;

static inline liz_tensor *liz_tape_at(const liz_tape *tape, liz_tensor_id id) { return &tape->tensors[id]; }
/* Whether the backward of this operation finds no gradient of its weight. */
static inline bool liz_tape_fills(const liz_tape *tape, const liz_op *op)
{
    return tape->is_clear && op->weight->first_writer == op;
}
static inline float *liz_tape_own(const liz_tape *tape, int member)
{
    return tape->space.member + (size_t)member * tape->space.member_floats;
}

/* A member's share of the rows of parameter `number`, in LIZ_TAPE_ROWS: those of few rows, adapters, fall to the
 * members in turn. */
static inline void liz_tape_share_rows(const liz_param *p, size_t number, int member, int n_members, size_t *begin,
                                       size_t *end)
{
    int turn = (member + (int)(number % (size_t)n_members)) % n_members;
    liz_team_share(p->n_out, LIZ_TAPE_ROWS, turn, n_members, begin, end);
}

/* liz_tape_refresh of rows [begin, end) of one parameter, up to LIZ_TAPE_ROWS, `begin` a multiple of it. */
void liz_tape_refresh_rows(liz_tape *tape, const liz_param *p, size_t begin, size_t end);

/* Whether so much would only push other things out of the caches: it goes past them. */
static inline bool liz_tape_streams(size_t n_bytes) { return n_bytes > 1 << 20; }

/* This member's share of zeros. */
void liz_tape_clear_gradient(const liz_param *p, int member, int n_members);

#define DECLARE(upper, lower)                                                                                          \
    void liz_op_##lower##_forward(liz_tape *tape, const liz_op *op, int member, int n_members);                        \
    void liz_op_##lower##_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
LIZ_TAPE_OPS(DECLARE)
#undef DECLARE

/* Points everything of the tape into the mapping at `base`, NULL to count alone: the bytes it takes. */
size_t liz_tape_lay_out(liz_tape *tape, uint8_t *base);
size_t liz_op_attend_floats(const liz_tape *tape, const liz_op *op); /* of a member's own space */

/* Lays this member's share of the rows x [n, width] out as left operands of the product to come. */
void liz_tape_put_rows(liz_tape *tape, const float *x, size_t n, size_t width, int member, int n_members);
/* Fills this member's share of the operands that are kept of a frozen weight. */
void liz_tape_decode_kept(liz_tape *tape, const liz_param *p, int member, int n_members);
/* c = or += left * W^T, or with `back` left * W. Frozen weights whose operands are not kept are decoded a slice at a
 * time, and barriers are met. The result is there for others after a barrier. */
void liz_tape_mul_weight(liz_tape *tape, const liz_rows *left, const liz_param *p, bool back, float *c, bool add,
                         int member, int n_members);
/* Of y = x W^T + bias: lays the operands of dW = dy^T x out; then, after a barrier, dW is added to, or with
 * `fill` written, and the bias's gradient added to. Both only where the parameters are trained; `bias` may be NULL. */
void liz_tape_put_gradients(liz_tape *tape, const liz_param *w, const float *x, const float *dy, size_t n_tok,
                            int member, int n_members);
void liz_tape_add_gradients(liz_tape *tape, const liz_param *w, const liz_param *bias, const float *dy, size_t n_tok,
                            bool fill, int member, int n_members);

#endif
