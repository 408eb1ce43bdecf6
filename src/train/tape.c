/* tape.c - building a tape and running it. */
#include "train/tape.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/status.h"
#include "sys/memory.h"
#include "train/tape_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(upper, lower) [LIZ_OP_##upper] = {liz_op_##lower##_forward, liz_op_##lower##_backward},
static const liz_tape_op_fns op_fns[] = {LIZ_TAPE_OPS(FUNCTIONS)};

liz_status liz_tape_open(liz_tape **out, liz_team *team, liz_tier_id tier, const liz_tape_opts *opts, liz_error *err)
{
    liz_tape *tape = calloc(1, sizeof *tape);
    if (tape == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a tape");
    tape->team = team;
    tape->opts = *opts;
    liz_kernel_init(&tape->kernel, tier);
    liz_grad_kernel_init(&tape->grad, tier);
    tape->is_clear = true;
    tape->gemm = (liz_gemm){&tape->kernel, &tape->grad, opts->exact};
    *out = tape;
    return LIZ_OK;
}

void liz_tape_close(liz_tape *tape)
{
    if (tape == NULL)
        return;
    liz_memory_unmap(tape->memory, tape->memory_bytes);
    for (size_t i = 0; i < tape->n_params; i++)
        free(tape->params[i]);
    free(tape->params);
    free(tape->tensors);
    free(tape->ops);
    free(tape);
}

/* ---- Building ---- */

/* Room for one more. */
static bool grow(liz_tape *tape, void *array, size_t *cap, size_t n, size_t size)
{
    bool ok = liz_array_room(array, cap, n + 1, size);
    tape->status = ok ? tape->status : LIZ_E_MEMORY;
    return ok;
}

liz_param *liz_tape_param(liz_tape *tape, const char *name, size_t n_out, size_t n_in, bool is_trained)
{
    static liz_param none; /* stands in after memory ran out, which liz_tape_plan tells */
    liz_param *p = calloc(1, sizeof *p);
    if (p == NULL || !grow(tape, &tape->params, &tape->n_params_max, tape->n_params, sizeof(liz_param *))) {
        free(p);
        tape->status = LIZ_E_MEMORY;
        return &none;
    }
    snprintf(p->name, sizeof p->name, "%s", name);
    p->n_out = n_out;
    p->n_in = n_in;
    p->is_trained = is_trained;
    p->decays = n_out > 1;
    tape->params[tape->n_params++] = p;
    return p;
}

void liz_tape_expert_adapters(liz_tape *tape, liz_expert_matrix *m, liz_str name, size_t n_expert, size_t rank)
{
    char half[sizeof m->param->name];
    m->rank = rank;
    m->adapters = tape->n_params;
    for (size_t i = 0; i < 2 * n_expert; i++) {
        bool is_a = i < n_expert;
        snprintf(half, sizeof half, "%.*s.lora_%c", LIZ_STR_ARG(name), is_a ? 'a' : 'b');
        liz_param *p = liz_tape_param(tape, half, is_a ? rank : m->param->n_out, is_a ? m->param->n_in : rank, true);
        p->multiplies = p->of_expert = true;
    }
}

void liz_tape_block(liz_tape *tape)
{
    if (tape->n_ops > 0)
        tape->tensors[tape->ops[tape->n_ops - 1].out].is_result = true;
    tape->n_blocks++;
}

static liz_tensor_id tensor_new(liz_tape *tape, size_t width)
{
    if (!grow(tape, &tape->tensors, &tape->n_tensors_max, (size_t)tape->n_tensors, sizeof(liz_tensor)))
        return 0;
    tape->tensors[tape->n_tensors] = (liz_tensor){.width = width, .block = tape->n_blocks};
    return tape->n_tensors++;
}

/* 0 after memory ran out. */
static size_t width_of(const liz_tape *tape, liz_tensor_id x)
{
    return tape->n_tensors > 0 ? tape->tensors[x].width : 0;
}

/* Appends an operation whose result is a new tensor of this width; 0: its first input, changed in place. */
static liz_tensor_id op_add(liz_tape *tape, size_t width, liz_op op)
{
    op.block = tape->n_blocks;
    op.out = width != 0 ? tensor_new(tape, width) : op.in[0];
    if (tape->status == LIZ_OK && grow(tape, &tape->ops, &tape->n_ops_max, (size_t)tape->n_ops, sizeof op))
        tape->ops[tape->n_ops++] = op;
    return op.out;
}

liz_tensor_id liz_tape_embed(liz_tape *tape, liz_param *table, float scale)
{
    table->is_table = true;
    return op_add(tape, table->n_in, (liz_op){.kind = LIZ_OP_EMBED, .weight = table, .a = scale});
}

liz_tensor_id liz_tape_place(liz_tape *tape, liz_param *table)
{
    table->is_table = true;
    return op_add(tape, table->n_in, (liz_op){.kind = LIZ_OP_EMBED, .weight = table, .a = 1, .flag = true});
}

liz_tensor_id liz_tape_norm(liz_tape *tape, liz_tensor_id x, liz_param *weight, liz_param *bias, bool centred,
                            float eps, size_t n_groups)
{
    liz_op op = {.kind = LIZ_OP_NORM, .in = {x}, .n_in = 1, .weight = weight, .bias = bias, .flag = centred, .a = eps};
    op.n_groups = n_groups;
    return op_add(tape, width_of(tape, x), op);
}

liz_tensor_id liz_tape_linear(liz_tape *tape, liz_tensor_id x, liz_param *weight, liz_param *bias)
{
    const liz_op *last = tape->n_ops > 0 ? &tape->ops[tape->n_ops - 1] : NULL;
    bool is_there = last != NULL && last->kind == LIZ_OP_LINEAR && last->in[0] == x && last->block == tape->n_blocks;
    liz_op op = {.kind = LIZ_OP_LINEAR, .in = {x}, .n_in = 1, .weight = weight, .bias = bias};
    op.flag = !is_there; /* lays out x; the next product of the same x finds it laid out */
    weight->multiplies = true;
    return op_add(tape, weight->n_out, op);
}

liz_tensor_id liz_tape_rope(liz_tape *tape, liz_tensor_id x, const liz_rope_plan *plan)
{
    return op_add(tape, 0, (liz_op){.kind = LIZ_OP_ROPE, .in = {x}, .rope = *plan});
}

liz_tensor_id liz_tape_attend(liz_tape *tape, liz_tensor_id q, liz_tensor_id k, liz_tensor_id v, liz_attend_shape shape)
{
    liz_op op = {.kind = LIZ_OP_ATTEND, .in = {q, k, v}, .n_in = 3, .attend = shape};
    return op_add(tape, width_of(tape, q), op);
}

liz_tensor_id liz_tape_experts(liz_tape *tape, liz_tensor_id x, liz_tensor_id router, const liz_expert_plan *plan)
{
    liz_op op = {.kind = LIZ_OP_EXPERTS, .in = {x, router}, .n_in = 2, .experts = *plan};
    return op_add(tape, width_of(tape, x), op);
}

liz_tensor_id liz_tape_silu_mul(liz_tape *tape, liz_tensor_id gate, liz_tensor_id up)
{
    return op_add(tape, width_of(tape, up), (liz_op){.kind = LIZ_OP_SILU_MUL, .in = {gate, up}, .n_in = 2});
}

liz_tensor_id liz_tape_gelu(liz_tape *tape, liz_tensor_id x)
{
    return op_add(tape, width_of(tape, x), (liz_op){.kind = LIZ_OP_GELU, .in = {x}, .n_in = 1});
}

liz_tensor_id liz_tape_mul(liz_tape *tape, liz_tensor_id a, liz_tensor_id b)
{
    return op_add(tape, width_of(tape, a), (liz_op){.kind = LIZ_OP_MUL, .in = {a, b}, .n_in = 2});
}

liz_tensor_id liz_tape_add(liz_tape *tape, liz_tensor_id a, liz_tensor_id b, float b_scale)
{
    return op_add(tape, width_of(tape, a), (liz_op){.kind = LIZ_OP_ADD, .in = {a, b}, .n_in = 2, .a = b_scale});
}

void liz_tape_loss(liz_tape *tape, liz_tensor_id x, liz_param *head, liz_param *bias, float scale, float softcap)
{
    liz_op op = {.kind = LIZ_OP_LOSS, .in = {x}, .n_in = 1, .weight = head, .bias = bias, .a = scale, .b = softcap};
    head->multiplies = head->is_table = true;
    op_add(tape, 0, op);
}

/* ---- Planning ---- */

/* Who writes the gradient of an input or a weight first when operations run backwards. */
static void mark_first(liz_tape *tape)
{
    bool *written = calloc((size_t)tape->n_tensors + 1, sizeof *written);
    if (written == NULL) {
        tape->status = LIZ_E_MEMORY;
        return;
    }
    for (int i = tape->n_ops - 1; i >= 0; i--) {
        liz_op *op = &tape->ops[i];
        for (int j = 0; j < op->n_in; j++) {
            op->first[j] = !written[op->in[j]];
            written[op->in[j]] = true;
        }
        bool writes_all = op->kind == LIZ_OP_LINEAR || op->kind == LIZ_OP_LOSS;
        if (writes_all && op->weight->is_trained && op->weight->first_writer == NULL)
            op->weight->first_writer = op;
    }
    free(written);
}

liz_status liz_tape_plan(liz_tape *tape, liz_error *err)
{
    mark_first(tape);
    if (tape->status != LIZ_OK)
        return liz_fail(err, tape->status, "no memory for a tape");
    tape->memory_bytes = liz_tape_lay_out(tape, NULL);
    uint64_t available = liz_memory_available();
    if (tape->memory_bytes <= available)
        tape->memory = liz_memory_map(tape->memory_bytes);
    if (tape->memory == NULL)
        return liz_fail(err, LIZ_E_MEMORY,
                        "training takes %.1f MiB, and %.1f are there: take a smaller model, or fewer tokens at a time",
                        (double)tape->memory_bytes / 1048576, (double)available / 1048576);
    liz_tape_lay_out(tape, tape->memory);
    return LIZ_OK;
}

/* ---- Running ---- */

void liz_tape_refresh_rows(liz_tape *tape, const liz_param *p, size_t begin, size_t end)
{
    bool stream = liz_tape_streams(p->n_out * p->n_in * sizeof(uint16_t));
    if (p->ahead.data == NULL)
        return;
    liz_panels_put(&tape->gemm, &p->ahead, (liz_source){p->w, p->n_in, false}, begin / LIZ_PANEL_ROWS,
                   liz_panel_count(end), stream);
    liz_panels_put_part(&tape->gemm, &p->back, (liz_source){p->w + begin * p->n_in, p->n_in, true}, begin, end - begin,
                        stream);
}

static void refresh(void *arg, int member, int n_members)
{
    liz_tape *tape = arg;
    for (size_t i = 0; i < tape->n_params; i++) {
        const liz_param *p = tape->params[i];
        size_t begin, end;
        if (p->w == NULL)
            continue;
        liz_tape_share_rows(p, i, member, n_members, &begin, &end);
        for (size_t row = begin; row < end; row += LIZ_TAPE_ROWS)
            liz_tape_refresh_rows(tape, p, row, liz_least(end, row + LIZ_TAPE_ROWS));
    }
}

void liz_tape_refresh(liz_tape *tape) { liz_team_run(tape->team, refresh, tape); }

static void decode_kept(void *arg, int member, int n_members)
{
    liz_tape *tape = arg;
    for (size_t i = 0; i < tape->n_params; i++)
        if (tape->params[i]->w == NULL && tape->params[i]->ahead.data != NULL)
            liz_tape_decode_kept(tape, tape->params[i], member, n_members);
}

/* Operations [begin, end) forwards, but for the loss where gradients are wanted: its backward computes it too. */
static void run_ahead(liz_tape *tape, int begin, int end, int member, int n_members)
{
    for (int i = begin; i < end; i++) {
        if (tape->ops[i].kind == LIZ_OP_LOSS && !tape->wants_loss)
            continue;
        op_fns[tape->ops[i].kind].forward(tape, &tape->ops[i], member, n_members);
        liz_team_barrier(tape->team);
    }
}

static void forward_run(void *arg, int member, int n_members)
{
    liz_tape *tape = arg;
    run_ahead(tape, 0, tape->n_ops, member, n_members);
}

void liz_tape_clear_gradient(const liz_param *p, int member, int n_members)
{
    size_t begin, end;
    liz_team_share(p->n_out * p->n_in, 16, member, n_members, &begin, &end);
    memset(p->grad + begin, 0, (end - begin) * sizeof *p->grad);
}

/* Of what no operation writes whole; others write them after the barriers of the forward. */
static void clear_gradients(const liz_tape *tape, int member, int n_members)
{
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;)
        if (p->first_writer == NULL)
            liz_tape_clear_gradient(p, member, n_members);
}

static void backward_run(void *arg, int member, int n_members)
{
    liz_tape *tape = arg;
    if (tape->is_clear)
        clear_gradients(tape, member, n_members);
    run_ahead(tape, 0, tape->n_ops, member, n_members);
    for (int end = tape->n_ops, begin; end > 0; end = begin) {
        int block = tape->ops[end - 1].block;
        for (begin = end; begin > 0 && tape->ops[begin - 1].block == block; begin--)
            ;
        if (tape->opts.recompute && end < tape->n_ops)
            run_ahead(tape, begin, end, member, n_members);
        for (int i = end - 1; i >= begin; i--) {
            op_fns[tape->ops[i].kind].backward(tape, &tape->ops[i], member, n_members);
            liz_team_barrier(tape->team);
        }
    }
}

static double run(liz_tape *tape, const liz_train_batch *batch, bool wants_loss)
{
    tape->batch = batch;
    tape->wants_loss = wants_loss;
    if (!tape->is_decoded)
        liz_team_run(tape->team, decode_kept, tape);
    tape->is_decoded = true;
    liz_team_run(tape->team, wants_loss ? forward_run : backward_run, tape);
    double sum = 0;
    for (size_t t = 0; t < batch->n_tok; t++)
        sum += tape->space.losses[t];
    return sum;
}

double liz_tape_forward(liz_tape *tape, const liz_train_batch *batch) { return run(tape, batch, true); }

double liz_tape_backward(liz_tape *tape, const liz_train_batch *batch)
{
    double loss = run(tape, batch, false);
    tape->is_clear = false;
    return loss;
}

void liz_tape_clear(liz_tape *tape) { tape->is_clear = true; }

const float *liz_tape_next(liz_tape *tape, const int32_t *tokens, size_t n)
{
    int32_t targets[LIZ_TAPE_LOSS_TOKENS];
    liz_segment all = {0, n};
    LIZ_ASSERT(n > 0 && n <= LIZ_TAPE_LOSS_TOKENS);
    for (size_t t = 0; t < n; t++)
        targets[t] = t + 1 < n ? -1 : 0; /* the one row of logits that is made */
    liz_train_batch batch = {n, 1, tokens, targets, &all, 0};
    liz_tape_forward(tape, &batch);
    return tape->space.logits;
}

uint64_t liz_tape_bytes(const liz_tape *tape) { return tape->memory_bytes; }

static double expert_ops(const liz_expert_matrix *m)
{
    return 4.0 * (double)(m->param->n_out * m->param->n_in) +
           6.0 * (double)(m->rank * (m->param->n_out + m->param->n_in));
}

double liz_tape_token_ops(const liz_tape *tape, size_t n_ctx, double target_share)
{
    double n = 0;
    for (int i = 0; i < tape->n_ops; i++) {
        const liz_op *op = &tape->ops[i];
        if (op->kind == LIZ_OP_LINEAR || op->kind == LIZ_OP_LOSS)
            n += (op->kind == LIZ_OP_LOSS ? target_share : 1) * (op->weight->is_trained ? 6.0 : 4.0) *
                 (double)(op->weight->n_out * op->weight->n_in);
        if (op->kind == LIZ_OP_ATTEND) /* two products of a query with half the keys, and two more for each backward */
            n += 6.0 * (double)n_ctx * (double)(op->attend.n_head * op->attend.n_embd);
        if (op->kind == LIZ_OP_EXPERTS)
            n += (double)op->experts.h->n_expert_used *
                 (expert_ops(&op->experts.gate) + expert_ops(&op->experts.up) + expert_ops(&op->experts.down));
    }
    return n;
}

const liz_gemm *liz_tape_gemm(const liz_tape *tape) { return &tape->gemm; }

liz_param *liz_tape_trained(const liz_tape *tape, size_t *i)
{
    while (*i < tape->n_params)
        if (tape->params[(*i)++]->is_trained)
            return tape->params[*i - 1];
    return NULL;
}
