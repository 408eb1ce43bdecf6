/* op_rows.c - operations that work on one token at a time: embedding, norms, rotary positions, activations, sums. */
#include "kernel/angle.h"
#include "tensor/quant.h"
#include "train/tape_ops.h"

#include <string.h>

/* This member's tokens. */
typedef struct span {
    size_t begin, end;
} span;

static span tokens_of(const liz_tape *tape, int member, int n_members)
{
    span s;
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &s.begin, &s.end);
    return s;
}

/* ---- Embedding ---- */

/* Where document positions come from: a walk along the segments. */
static size_t position_of(const liz_tape *tape, size_t t, size_t *segment)
{
    while (t >= tape->batch->segments[*segment].begin + tape->batch->segments[*segment].n)
        ++*segment;
    return t - tape->batch->segments[*segment].begin;
}

static size_t row_of(const liz_tape *tape, const liz_op *op, size_t t, size_t *segment)
{
    return op->flag ? position_of(tape, t, segment) : (size_t)tape->batch->tokens[t];
}

void liz_op_embed_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    const liz_param *p = op->weight;
    span s = tokens_of(tape, member, n_members);
    size_t segment = 0;
    for (size_t t = s.begin; t < s.end; t++) {
        float *to = y->x + t * y->width;
        size_t row = row_of(tape, op, t, &segment);
        if (p->w != NULL)
            memcpy(to, p->w + row * y->width, y->width * sizeof *to);
        else
            liz_dequantize_row(p->dtype, p->file + row * p->file_row_bytes, to, y->width);
        if (op->a != 1)
            tape->kernel.scale(to, op->a, y->width, to);
    }
}

/* By columns, so that tokens that occur twice add up in order. */
void liz_op_embed_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    size_t begin, end, segment = 0;
    if (!op->weight->is_trained)
        return;
    liz_team_share(y->width, 16, member, n_members, &begin, &end);
    for (size_t t = 0; t < tape->batch->n_tok; t++)
        tape->kernel.add_scaled(y->dx + t * y->width + begin, op->a, end - begin,
                                op->weight->grad + row_of(tape, op, t, &segment) * y->width + begin);
}

/* ---- Norms ---- */

void liz_op_norm_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n = x->width / op->n_groups;
    span s = tokens_of(tape, member, n_members);
    for (size_t i = s.begin * op->n_groups; i < s.end * op->n_groups; i++) {
        if (op->flag)
            tape->kernel.layer_norm(x->x + i * n, op->weight->w, op->bias != NULL ? op->bias->w : NULL, op->a, n,
                                    y->x + i * n);
        else
            tape->kernel.rms_norm(x->x + i * n, op->weight != NULL ? op->weight->w : NULL, op->a, n, y->x + i * n);
    }
}

/* weight += dy (x - mean) inverse, bias += dy, over tokens in order, by columns. */
static void norm_parameters(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n = x->width / op->n_groups, begin, end;
    liz_team_share(n, 16, member, n_members, &begin, &end);
    for (size_t i = 0; i < tape->batch->n_tok * op->n_groups && begin < end; i++) {
        const float *dy = y->dx + i * n + begin, *stats = tape->space.stats + 2 * i;
        float *to = op->weight->grad + begin;
        tape->grad.mul_add(dy, x->x + i * n + begin, stats[1], end - begin, to);
        if (op->flag)
            tape->kernel.add_scaled(dy, -stats[0] * stats[1], end - begin, to);
        if (op->bias != NULL && op->bias->is_trained)
            tape->kernel.add_scaled(dy, 1, end - begin, op->bias->grad + begin);
    }
}

void liz_op_norm_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n = x->width / op->n_groups;
    span s = tokens_of(tape, member, n_members);
    if (op->first[0])
        memset(x->dx + s.begin * x->width, 0, (s.end - s.begin) * x->width * sizeof(float));
    for (size_t i = s.begin * op->n_groups; i < s.end * op->n_groups; i++) {
        float *stats = tape->space.stats + 2 * i;
        tape->grad.norm_stats(x->x + i * n, op->a, n, op->flag ? &stats[0] : NULL, &stats[1]);
        tape->grad.norm_back(x->x + i * n, op->weight != NULL ? op->weight->w : NULL, y->dx + i * n,
                             op->flag ? &stats[0] : NULL, stats[1], n, x->dx + i * n);
    }
    if (op->weight == NULL || !op->weight->is_trained)
        return;
    liz_team_barrier(tape->team);
    norm_parameters(tape, op, member, n_members);
}

/* ---- Rotary positions ---- */

/* Cosines and sines [n_tok, n_dims / 2, 2] of a batch's positions, shared by the operations of one plan. */
static void prepare_angles(const liz_tape *tape, const liz_rope_plan *plan, float *angles, span s)
{
    size_t half = (size_t)plan->shape.n_dims / 2, segment = 0;
    for (size_t t = s.begin; t < s.end; t++) {
        double position = (double)position_of(tape, t, &segment);
        for (size_t i = 0; i < half; i++) {
            double sine, cosine;
            liz_angle_sincos(position * plan->frequencies[i], &sine, &cosine);
            angles[2 * t * half + i] = (float)cosine * plan->gain;
            angles[(2 * t + 1) * half + i] = (float)sine * plan->gain;
        }
    }
}

/* Grows what has been turned; and gradients, which come back the same way. */
static void grow(const liz_tape *tape, const liz_query_growth *growth, float *x, size_t width, span s)
{
    size_t segment = 0;
    for (size_t t = s.begin; t < s.end; t++) {
        float scale = liz_query_growth_at(growth, (int32_t)position_of(tape, t, &segment));
        if (scale != 1)
            tape->kernel.scale(x + t * width, scale, width, x + t * width);
    }
}

static void turn(liz_tape *tape, const liz_op *op, float *x, size_t width, bool back, span s)
{
    const liz_rope_plan *plan = &op->rope;
    size_t half = (size_t)plan->shape.n_dims / 2;
    for (size_t t = s.begin; t < s.end; t++) {
        const float *cos = op->saved + 2 * t * half, *sin = cos + half;
        float minus[1024];
        for (size_t i = 0; i < half && back; i++)
            minus[i] = -sin[i];
        for (int h = 0; h < plan->n_head; h++)
            tape->kernel.rope(x + t * width + (size_t)(h * plan->n_embd), cos, back ? minus : sin, plan->shape);
    }
    if (plan->growth != NULL)
        grow(tape, plan->growth, x, width, s);
}

void liz_op_rope_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    span s = tokens_of(tape, member, n_members);
    if (op->flag)
        prepare_angles(tape, &op->rope, op->saved, s);
    turn(tape, op, y->x, y->width, false, s);
}

/* Forward prepared the angles of this member's tokens. */
void liz_op_rope_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    turn(tape, op, y->dx, y->width, true, tokens_of(tape, member, n_members));
}

/* ---- Activations and sums ---- */

/* This member's elements of an operation's two inputs (the second may be the first again) and of its result. */
typedef struct elements {
    float *x[2], *dx[2], *y, *dy; /* dx NULL: nobody asks for it */
    size_t n;
} elements;

static elements elements_of(const liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    span s = tokens_of(tape, member, n_members);
    size_t at = s.begin * y->width;
    elements e = {.y = y->x + at, .dy = y->dx + at, .n = (s.end - s.begin) * y->width};
    for (int i = 0; i < 2; i++) {
        const liz_tensor *x = liz_tape_at(tape, op->in[i < op->n_in ? i : 0]);
        e.x[i] = x->x + at;
        e.dx[i] = x->dx != NULL ? x->dx + at : NULL;
    }
    return e;
}

/* The same, with gradients that can be added to. */
static elements elements_back(const liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    for (int i = 0; i < op->n_in; i++)
        if (op->first[i] && e.dx[i] != NULL)
            memset(e.dx[i], 0, e.n * sizeof(float));
    return e;
}

void liz_op_silu_mul_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    tape->kernel.silu_mul(e.x[0], e.x[1], e.n, e.y);
}

void liz_op_silu_mul_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    tape->grad.silu_mul_back(e.x[0], e.x[1], e.dy, e.n, e.dx[0], e.dx[1]);
}

void liz_op_gelu_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    tape->kernel.gelu_mul(e.x[0], NULL, e.n, e.y);
}

void liz_op_gelu_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_back(tape, op, member, n_members);
    tape->grad.gelu_back(e.x[0], e.dy, e.n, e.dx[0]);
}

void liz_op_mul_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    for (size_t i = 0; i < e.n; i++)
        e.y[i] = e.x[0][i] * e.x[1][i];
}

void liz_op_mul_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_back(tape, op, member, n_members);
    for (int i = 0; i < 2; i++)
        tape->grad.mul_add(e.dy, e.x[1 - i], 1, e.n, e.dx[i]);
}

void liz_op_add_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_of(tape, op, member, n_members);
    memcpy(e.y, e.x[0], e.n * sizeof(float));
    tape->kernel.add_scaled(e.x[1], op->a, e.n, e.y);
}

void liz_op_add_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    elements e = elements_back(tape, op, member, n_members);
    for (int i = 0; i < 2; i++)
        if (e.dx[i] != NULL)
            tape->kernel.add_scaled(e.dy, i == 0 ? 1 : op->a, e.n, e.dx[i]);
}
