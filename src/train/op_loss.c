/* op_loss.c - cross-entropy of the next token, a block of tokens at a time, so that logits are never all in memory.
 *
 * Each block is a product with the head, a softmax by rows, and in the backward two more products: the gradient of
 * logits z is (softmax(z) - target) times the loss's scale, bent by a soft-cap's slope. Only tokens that have a target
 * are gathered into blocks: of a question and its answer, those of the answer. */
#include "kernel/angle.h"
#include "train/tape_ops.h"

#include <string.h>

/* One row: its loss, and over the logits z their gradient. */
static double row_loss(liz_tape *tape, const liz_op *op, float *z, size_t n_vocab, int32_t target, float *own)
{
    const liz_grad_kernel *grad = &tape->grad;
    float scale = op->a, cap = op->b;
    if (op->bias != NULL)
        tape->kernel.add(z, op->bias->w, n_vocab, z);
    if (scale != 1)
        tape->kernel.scale(z, scale, n_vocab, z);
    if (cap > 0) {
        tape->kernel.softcap(z, cap, n_vocab, z);
        memcpy(own, z, n_vocab * sizeof *z);
    }
    float of_target = z[target];
    double loss = (double)grad->softmax(z, n_vocab) - (double)of_target;
    if (tape->wants_loss)
        return loss;
    z[target] -= 1;
    if (cap > 0)
        grad->softcap_back(own, cap, z, n_vocab, z);
    tape->kernel.scale(z, tape->batch->scale * scale, n_vocab, z);
    return loss;
}

/* Up to LIZ_TAPE_LOSS_TOKENS tokens that have a target. */
typedef struct block {
    size_t n, at[LIZ_TAPE_LOSS_TOKENS];
} block;

/* The next block from token `*t` on, which moves behind it; false where no target is left. */
static bool block_next(const liz_train_batch *batch, size_t *t, block *b)
{
    for (b->n = 0; *t < batch->n_tok && b->n < LIZ_TAPE_LOSS_TOKENS; ++*t)
        if (batch->targets[*t] >= 0)
            b->at[b->n++] = *t;
    return b->n > 0;
}

/* Logits of the block's tokens and, from them, losses and gradients. */
static void block_logits(liz_tape *tape, const liz_op *op, const block *b, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    size_t n_vocab = op->weight->n_out, begin, end;
    liz_team_share(b->n, 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++)
        memcpy(tape->space.loss_x + i * x->width, x->x + b->at[i] * x->width, x->width * sizeof(float));
    liz_tape_put_rows(tape, tape->space.loss_x, b->n, x->width, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, false, tape->space.logits, false, member, n_members);
    liz_team_barrier(tape->team);
    for (size_t i = begin; i < end; i++)
        tape->space.losses[b->at[i]] = row_loss(tape, op, tape->space.logits + i * n_vocab, n_vocab,
                                                tape->batch->targets[b->at[i]], liz_tape_own(tape, member));
    liz_team_barrier(tape->team);
}

static void block_back(liz_tape *tape, const liz_op *op, const block *b, bool fill, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    const float *dz = tape->space.logits;
    size_t width = x->width, begin, end;
    liz_tape_put_rows(tape, dz, b->n, op->weight->n_out, member, n_members);
    liz_tape_put_gradients(tape, op->weight, tape->space.loss_x, dz, b->n, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, true, tape->space.loss_dx, false, member, n_members);
    liz_tape_add_gradients(tape, op->weight, op->bias, dz, b->n, fill, member, n_members);
    liz_team_barrier(tape->team);
    liz_team_share(b->n, 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++)
        memcpy(x->dx + b->at[i] * width, tape->space.loss_dx + i * width, width * sizeof(float));
}

/* Tokens without a target lose nothing and get no gradient. */
static void clear(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    size_t begin, end;
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    memset(tape->space.losses + begin, 0, (end - begin) * sizeof(double));
    if (!tape->wants_loss)
        memset(x->dx + begin * x->width, 0, (end - begin) * x->width * sizeof(float));
    liz_team_barrier(tape->team);
}

static void run(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    block b;
    bool fill = !tape->wants_loss && liz_tape_fills(tape, op);
    clear(tape, op, member, n_members);
    for (size_t t = 0; block_next(tape->batch, &t, &b);) {
        block_logits(tape, op, &b, member, n_members);
        if (!tape->wants_loss)
            block_back(tape, op, &b, fill, member, n_members);
        fill = false;
    }
    if (fill) /* no token has a target */
        liz_tape_clear_gradient(op->weight, member, n_members);
}

void liz_op_loss_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    run(tape, op, member, n_members);
}

void liz_op_loss_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    run(tape, op, member, n_members);
}
