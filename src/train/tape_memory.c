/* tape_memory.c - where everything of a tape lies: parameters, tensors, what operations share and each member's own. */
#include "base/checked.h"
#include "train/tape_ops.h"

/* Bytes of frozen weights that are decoded together, where that is not less than a slice must hold. */
#define SLICE_BYTES ((size_t)48 << 20)

static void place_params(liz_tape *tape, liz_carver *b)
{
    for (size_t i = 0; i < tape->n_params; i++) {
        liz_param *p = tape->params[i];
        size_t n = p->n_out * p->n_in;
        if (p->is_trained) {
            p->w = liz_carve(b, n, sizeof(float));
            p->grad = liz_carve(b, n, sizeof(float));
            p->m = liz_carve(b, n, sizeof(float));
            p->v = liz_carve(b, n, sizeof(float));
        }
        if (p->multiplies && (p->is_trained || p->file == NULL || tape->opts.keep_decoded)) {
            p->ahead =
                (liz_panels){liz_carve(b, liz_panels_bytes(&tape->gemm, p->n_out, p->n_in), 1), p->n_out, p->n_in};
            p->back =
                (liz_panels){liz_carve(b, liz_panels_bytes(&tape->gemm, p->n_in, p->n_out), 1), p->n_in, p->n_out};
        }
    }
}

/* Inner tensors of a block begin where those of the one before did, if blocks share their memory; so do gradients. */
static void place_tensors(liz_tape *tape, liz_carver *b)
{
    size_t n_tok = tape->opts.n_tok_max;
    for (int i = 0; i < tape->n_tensors; i++)
        if (tape->tensors[i].is_result || !tape->opts.recompute)
            tape->tensors[i].x = liz_carve(b, n_tok * tape->tensors[i].width, sizeof(float));
    size_t begin = b->used;
    for (int block = 0; block <= tape->n_blocks; block++) {
        b->used = begin;
        for (int i = 0; i < tape->n_tensors; i++) {
            liz_tensor *t = &tape->tensors[i];
            if (t->block != block)
                continue;
            if (!t->is_result && tape->opts.recompute)
                t->x = liz_carve(b, n_tok * t->width, sizeof(float));
            if (!t->is_result)
                t->dx = liz_carve(b, n_tok * t->width, sizeof(float));
        }
    }
    b->used = b->most;
    float *turn[2];
    size_t widest = 0;
    for (int i = 0; i < tape->n_tensors; i++)
        widest = liz_most(widest, tape->tensors[i].is_result ? tape->tensors[i].width : 0);
    for (int i = 0; i < 2; i++)
        turn[i] = liz_carve(b, n_tok * widest, sizeof(float));
    for (int i = 0; i < tape->n_tensors; i++)
        if (tape->tensors[i].is_result)
            tape->tensors[i].dx = turn[tape->tensors[i].block % 2];
}

static void need_linear(liz_tape *tape, liz_tape_space *s, const liz_param *p, size_t n_rows)
{
    const liz_gemm *g = &tape->gemm;
    s->rows_bytes =
        liz_most(s->rows_bytes, liz_most(liz_rows_bytes(g, n_rows, p->n_in), liz_rows_bytes(g, n_rows, p->n_out)));
    if (p->file != NULL) { /* what decoding it takes */
        size_t rows = LIZ_PANEL_ROWS * liz_div_up(p->n_in, LIZ_GROUP_LEN) * LIZ_GROUP_LEN;
        s->member_floats = liz_most(s->member_floats, liz_most(rows, LIZ_TAPE_ROWS * LIZ_TAPE_COLUMNS));
    }
    if (p->is_trained) {
        s->columns_bytes = liz_most(s->columns_bytes, liz_rows_bytes(g, p->n_out, n_rows));
        s->panels_bytes = liz_most(s->panels_bytes, liz_panels_bytes(g, p->n_in, n_rows));
    } else if (p->ahead.n == 0) {
        const size_t part = LIZ_TAPE_COLUMNS;
        size_t n_out = liz_div_up(p->n_out, part) * part, n_in = liz_div_up(p->n_in, part) * part;
        size_t unit = liz_most(liz_panels_bytes(g, part, p->n_in), liz_panels_bytes(g, part, p->n_out));
        size_t whole = liz_most(liz_panels_bytes(g, n_out, p->n_in), liz_panels_bytes(g, n_in, p->n_out));
        s->weights_bytes = liz_most(s->weights_bytes, liz_most(unit, liz_least(whole, SLICE_BYTES)));
    }
}

/* A matrix of a mixture, and its adapters: the first expert's stand for all. */
static void need_experts(liz_tape *tape, liz_tape_space *s, const liz_expert_plan *plan, const liz_expert_matrix *m)
{
    size_t n_rows = tape->opts.n_tok_max;
    need_linear(tape, s, m->param, n_rows);
    if (m->rank == 0)
        return;
    need_linear(tape, s, tape->params[m->adapters], n_rows);
    need_linear(tape, s, tape->params[m->adapters + (size_t)plan->h->n_expert], n_rows);
}

/* Log-sums of attention, and the angles of a rope plan, which its first operation prepares for all. */
static void place_saved(liz_tape *tape, liz_op *op, liz_carver *b)
{
    size_t n_tok = tape->opts.n_tok_max;
    if (op->kind == LIZ_OP_ATTEND)
        op->saved = liz_carve(b, n_tok * (size_t)op->attend.n_head, sizeof(float));
    if (op->kind != LIZ_OP_ROPE)
        return;
    const liz_op *first = tape->ops;
    while (first->kind != LIZ_OP_ROPE || first->rope.frequencies != op->rope.frequencies)
        first++;
    op->flag = first == op;
    op->saved = op->flag ? liz_carve(b, n_tok * (size_t)op->rope.shape.n_dims, sizeof(float)) : first->saved;
}

/* The widest mixture's; all share it. */
static void place_experts(liz_tape *tape, liz_carver *b)
{
    liz_expert_space *s = &tape->space.experts;
    size_t n_tok = tape->opts.n_tok_max, n_embd = 0, n_ff = 0, n_expert = 0, n_used = 0, rank = 0;
    for (int i = 0; i < tape->n_ops; i++) {
        const liz_expert_plan *plan = &tape->ops[i].experts;
        if (tape->ops[i].kind != LIZ_OP_EXPERTS)
            continue;
        n_embd = liz_most(n_embd, plan->up.param->n_in);
        n_ff = liz_most(n_ff, plan->up.param->n_out);
        n_expert = liz_most(n_expert, (size_t)plan->h->n_expert);
        n_used = liz_most(n_used, (size_t)plan->h->n_expert_used);
        rank = liz_most(rank, liz_most(plan->gate.rank, liz_most(plan->up.rank, plan->down.rank)));
    }
    float **wide[] = {&s->x, &s->out}, **inner[] = {&s->gate, &s->up, &s->act, &s->dact, &s->dup};
    for (int i = 0; i < 2; i++)
        *wide[i] = liz_carve(b, n_tok * n_embd, sizeof(float));
    for (int i = 0; i < 5; i++)
        *inner[i] = liz_carve(b, n_tok * n_ff, sizeof(float));
    for (int i = 0; i < 3; i++)
        s->low[i] = liz_carve(b, n_tok * rank, sizeof(float));
    s->dlow = liz_carve(b, n_tok * rank, sizeof(float));
    s->p = liz_carve(b, n_tok * n_expert, sizeof(float));
    s->weights = liz_carve(b, n_tok * n_used, sizeof(float));
    s->slopes = liz_carve(b, n_tok * n_used, sizeof(float));
    s->chosen = liz_carve(b, n_tok * n_used, sizeof(int32_t));
    s->pairs = liz_carve(b, n_tok * n_used, sizeof(int32_t));
    s->begin = liz_carve(b, n_expert > 0 ? n_expert + 1 : 0, sizeof(int32_t));
}

static void place_space(liz_tape *tape, liz_carver *b)
{
    liz_tape_space *s = &tape->space;
    size_t n_tok = tape->opts.n_tok_max, n_groups = 0, n_vocab = 0, n_embd = 0;
    *s = (liz_tape_space){0};
    for (int i = 0; i < tape->n_ops; i++) {
        const liz_op *op = &tape->ops[i];
        if (op->kind == LIZ_OP_LINEAR)
            need_linear(tape, s, op->weight, n_tok);
        if (op->kind == LIZ_OP_LOSS) {
            need_linear(tape, s, op->weight, LIZ_TAPE_LOSS_TOKENS);
            n_vocab = op->weight->n_out;
            n_embd = op->weight->n_in;
            s->member_floats = liz_most(s->member_floats, n_vocab);
        }
        if (op->kind == LIZ_OP_ATTEND)
            s->member_floats = liz_most(s->member_floats, liz_op_attend_floats(tape, op));
        if (op->kind == LIZ_OP_EXPERTS) {
            need_experts(tape, s, &op->experts, &op->experts.gate);
            need_experts(tape, s, &op->experts, &op->experts.up);
            need_experts(tape, s, &op->experts, &op->experts.down);
            s->member_floats = liz_most(s->member_floats, (size_t)op->experts.h->n_expert);
        }
        n_groups = liz_most(n_groups, op->n_groups);
    }
    s->member_floats = liz_div_up(s->member_floats, 16) * 16;
    s->rows.data = liz_carve(b, s->rows_bytes, 1);
    s->columns.data = liz_carve(b, s->columns_bytes, 1);
    s->panels.data = liz_carve(b, s->panels_bytes, 1);
    s->weights.data = liz_carve(b, s->weights_bytes, 1);
    s->stats = liz_carve(b, n_tok * n_groups * 2, sizeof(float));
    s->loss_x = liz_carve(b, LIZ_TAPE_LOSS_TOKENS * n_embd, sizeof(float));
    s->loss_dx = liz_carve(b, LIZ_TAPE_LOSS_TOKENS * n_embd, sizeof(float));
    s->logits = liz_carve(b, LIZ_TAPE_LOSS_TOKENS * n_vocab, sizeof(float));
    s->losses = liz_carve(b, n_tok, sizeof(double));
    place_experts(tape, b);
    s->member = liz_carve(b, (size_t)liz_team_size(tape->team) * s->member_floats, sizeof(float));
    for (int i = 0; i < tape->n_ops; i++)
        place_saved(tape, &tape->ops[i], b);
}

size_t liz_tape_lay_out(liz_tape *tape, uint8_t *base)
{
    liz_carver b = {.base = base};
    place_params(tape, &b);
    place_tensors(tape, &b);
    place_space(tape, &b);
    return b.overflow ? SIZE_MAX : b.most;
}
