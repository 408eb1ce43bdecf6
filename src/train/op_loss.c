/* op_loss.c - cross-entropy of the next token, a block of tokens at a time, so that logits are never all in memory.
 *
 * Each block is a product with the head, a softmax by rows, and in the backward two more products: the gradient of
 * logits z is (softmax(z) - target) times the loss's scale, bent by a soft-cap's slope, nothing where there is no
 * target. */
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

/* Logits of tokens [first, first + n) of x and, from them, losses and gradients. */
static void block_logits(liz_tape *tape, const liz_op *op, size_t first, size_t n, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    size_t n_vocab = op->weight->n_out, begin, end;
    liz_tape_put_rows(tape, x->x + first * x->width, n, x->width, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, false, tape->space.logits, false, member, n_members);
    liz_team_barrier(tape->team);
    liz_team_share(n, 1, member, n_members, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        float *z = tape->space.logits + t * n_vocab;
        int32_t target = tape->batch->targets[first + t];
        tape->space.losses[first + t] = 0;
        if (target < 0)
            memset(z, 0, n_vocab * sizeof *z);
        else
            tape->space.losses[first + t] = row_loss(tape, op, z, n_vocab, target, liz_tape_own(tape, member));
    }
    liz_team_barrier(tape->team);
}

void liz_op_loss_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    for (size_t t = 0; t < tape->batch->n_tok; t += LIZ_TAPE_LOSS_TOKENS)
        block_logits(tape, op, t, liz_least(tape->batch->n_tok - t, LIZ_TAPE_LOSS_TOKENS), member, n_members);
}

static void block_back(liz_tape *tape, const liz_op *op, size_t first, size_t n, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    const float *dz = tape->space.logits;
    size_t at = first * x->width;
    liz_tape_put_rows(tape, dz, n, op->weight->n_out, member, n_members);
    liz_tape_put_gradients(tape, op, x->x + at, dz, n, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, true, x->dx + at, false, member, n_members);
    liz_tape_add_gradients(tape, op, dz, n, member, n_members);
    liz_team_barrier(tape->team);
}

void liz_op_loss_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    for (size_t t = 0; t < tape->batch->n_tok; t += LIZ_TAPE_LOSS_TOKENS) {
        size_t n = liz_least(tape->batch->n_tok - t, LIZ_TAPE_LOSS_TOKENS);
        block_logits(tape, op, t, n, member, n_members);
        block_back(tape, op, t, n, member, n_members);
    }
}
