/* op_loss.c - cross-entropy of the next token, a block of tokens at a time, so that logits are never all in memory.
 *
 * Each block is a product with the head, a softmax by rows, and in the backward two more products: the gradient of
 * logits z is (softmax(z) - target) times the loss's scale, bent by a soft-cap's slope, nothing where there is no
 * target. */
#include "base/checked.h"
#include "kernel/angle.h"
#include "train/tape_ops.h"

#include <string.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

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
    tape->space.rows = (liz_rows){tape->space.rows.data, n, x->width};
    liz_team_share(n, 1, member, n_members, &begin, &end);
    liz_rows_put(&tape->gemm, &tape->space.rows, (liz_source){x->x + first * x->width, x->width, false}, begin, end,
                 NULL);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, false, tape->space.logits, false, member, n_members);
    liz_team_barrier(tape->team);
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
        block_logits(tape, op, t, least(tape->batch->n_tok - t, LIZ_TAPE_LOSS_TOKENS), member, n_members);
}

static void block_back(liz_tape *tape, const liz_op *op, size_t first, size_t n, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    const liz_param *head = op->weight;
    size_t n_vocab = head->n_out, begin, end;
    const float *dz = tape->space.logits;
    float *own = liz_tape_own(tape, member);
    tape->space.rows = (liz_rows){tape->space.rows.data, n, n_vocab};
    liz_team_share(n, 1, member, n_members, &begin, &end);
    liz_rows_put(&tape->gemm, &tape->space.rows, (liz_source){dz, n_vocab, false}, begin, end, NULL);
    if (head->is_trained) {
        tape->space.columns = (liz_rows){tape->space.columns.data, n_vocab, n};
        tape->space.panels = (liz_panels){tape->space.panels.data, x->width, n};
        liz_team_share(n_vocab, LIZ_PANEL_ROWS, member, n_members, &begin, &end);
        liz_rows_put(&tape->gemm, &tape->space.columns, (liz_source){dz, n_vocab, true}, begin, end, own);
        liz_team_share(liz_panel_count(x->width), 1, member, n_members, &begin, &end);
        liz_panels_put(&tape->gemm, &tape->space.panels, (liz_source){x->x + first * x->width, x->width, true}, begin,
                       end, own);
    }
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, head, true, x->dx + first * x->width, false, member, n_members);
    if (head->is_trained)
        liz_tape_mul_gradient(tape, head, member, n_members);
    if (op->bias != NULL && op->bias->is_trained) {
        liz_team_share(n_vocab, 16, member, n_members, &begin, &end);
        for (size_t t = 0; t < n; t++)
            tape->kernel.add(op->bias->grad + begin, dz + t * n_vocab + begin, end - begin, op->bias->grad + begin);
    }
    liz_team_barrier(tape->team);
}

void liz_op_loss_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    for (size_t t = 0; t < tape->batch->n_tok; t += LIZ_TAPE_LOSS_TOKENS) {
        size_t n = least(tape->batch->n_tok - t, LIZ_TAPE_LOSS_TOKENS);
        block_logits(tape, op, t, n, member, n_members);
        block_back(tape, op, t, n, member, n_members);
    }
}
