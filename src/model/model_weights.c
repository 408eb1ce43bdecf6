/* model_weights.c - names to tensors: each found, its shape checked, its place in a layer. */
#include "model/model_weights.h"

#include "base/checked.h"
#include "base/log.h"
#include "kernel/matmul.h"
#include "sys/memory.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <stdlib.h>

enum { VECTORS_BYTES_MAX = 1 << 30 };

typedef struct binder {
    liz_weights *w;
    const liz_gguf *gguf;
    liz_error *err;
    liz_status status; /* of the first failure; later calls do nothing */
    int layer;         /* that tensors are named after; -1: none */
    char name[96];     /* of the tensor that was looked for last */
    bool *used;        /* [n_tensors] */
    int n_expert_used;
} binder;

/* The tensor STEM.PART of the layer. */
static const liz_gguf_tensor *look(binder *b, const char *stem, const char *part)
{
    int n = b->layer >= 0 ? snprintf(b->name, sizeof b->name, "blk.%d.", b->layer) : 0;
    snprintf(b->name + n, sizeof b->name - (size_t)n, "%s.%s", stem, part);
    return liz_gguf_tensor_find(b->gguf, b->name);
}

/* The same to be used; NULL where there is none, which fails unless it is optional. */
static const liz_gguf_tensor *find(binder *b, const char *stem, const char *part, bool optional)
{
    if (b->status != LIZ_OK)
        return NULL;
    const liz_gguf_tensor *t = look(b, stem, part);
    if (t == NULL && !optional)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s is missing", b->name);
    if (t != NULL)
        b->used[t - liz_gguf_tensor_at(b->gguf, 0)] = true;
    return t;
}

static void check_shape(binder *b, const liz_gguf_tensor *t, uint64_t n_out, uint64_t n_in)
{
    if (b->status != LIZ_OK || t == NULL)
        return;
    uint64_t rows = liz_gguf_n_rows(t), cols = liz_gguf_n_in(t);
    if (n_out == 1) /* a vector, however it is cut */
        cols *= rows, rows = 1;
    if (rows != n_out || cols != n_in)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s: has shape %llu x %llu, should have %llu x %llu", b->name,
                             (unsigned long long)rows, (unsigned long long)cols, (unsigned long long)n_out,
                             (unsigned long long)n_in);
}

/* A vector as floats in the arena; NULL where it is absent and optional. */
static float *bind_vector(binder *b, const char *stem, const char *part, size_t n, bool optional)
{
    const liz_gguf_tensor *t = find(b, stem, part, optional);
    check_shape(b, t, 1, n);
    if (b->status != LIZ_OK || t == NULL)
        return NULL;
    const liz_dtype_info *info = liz_dtype_info_get(t->dtype);
    if (!info->readable || n % (size_t)info->block_len != 0) {
        b->status =
            liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %s: type %s is not supported here", b->name, info->name);
        return NULL;
    }
    float *values = liz_arena_array(&b->w->arena, n, sizeof *values);
    if (values == NULL) {
        b->status = liz_fail(b->err, LIZ_E_MEMORY, "tensor %s: out of memory", b->name);
        return NULL;
    }
    liz_dequantize_row(t->dtype, t->data, values, n);
    return values;
}

/* n matrices of this shape, for one token. */
static void work_add(liz_work *work, const liz_matrix *m, uint64_t n)
{
    uint64_t ops = 2 * n * (uint64_t)m->n_out * (uint64_t)m->n_in;
    *(liz_pack_is_integer(m->pack) ? &work->int8_ops : &work->float_ops) += ops;
    work->weight_bytes += n * liz_pack_matrix_bytes(m->pack, m->n_out, m->n_in);
}

/* n_mat matrices [n_out, n_in] of a tensor; counts what packing them will take. */
static void plan_linear(binder *b, liz_linear *linear, const liz_gguf_tensor *t, int n_mat, int n_out, int n_in)
{
    liz_pack pack;
    if (!liz_pack_of(t->dtype, &pack)) {
        b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %.*s: type %s is not supported", LIZ_STR_ARG(t->name),
                             liz_dtype_info_get(t->dtype)->name);
        return;
    }
    *linear = (liz_linear){.tensor = t,
                           .row_step = (uint64_t)n_out,
                           .n_mat = n_mat,
                           .matrix = {.pack = pack, .n_out = n_out, .n_in = n_in}};
    b->w->packed_bytes += (uint64_t)n_mat * liz_pack_matrix_bytes(pack, n_out, n_in);
    work_add(linear == &b->w->output ? &b->w->work_output : &b->w->work_layers, &linear->matrix,
             n_mat > 1 ? (uint64_t)b->n_expert_used : 1);
    b->w->act_forms |= liz_act_form_of(pack);
    b->w->n_in_max = (size_t)n_in > b->w->n_in_max ? (size_t)n_in : b->w->n_in_max;
}

/* One of the matrices that stand one above the other in a tensor. */
typedef struct part {
    liz_linear *to;
    int n_out;
} part;

/* All parts of STEM.weight, n_mat times over, and of STEM.bias if it is there. */
static void bind_parts(binder *b, const char *stem, int n_mat, int n_in, const part *parts, int n_parts)
{
    uint64_t n_rows = 0, row = 0;
    for (int i = 0; i < n_parts; i++)
        n_rows += (uint64_t)parts[i].n_out;
    const liz_gguf_tensor *t = find(b, stem, "weight", false);
    check_shape(b, t, n_rows * (uint64_t)n_mat, (uint64_t)n_in);
    if (b->status != LIZ_OK)
        return;
    float *bias = bind_vector(b, stem, "bias", (size_t)n_rows * (size_t)n_mat, true);
    for (int i = 0; i < n_parts && b->status == LIZ_OK; row += (uint64_t)parts[i++].n_out) {
        liz_linear *linear = parts[i].to;
        plan_linear(b, linear, t, n_mat, parts[i].n_out, n_in);
        linear->row = row;
        linear->row_step = n_rows;
        linear->bias = bias != NULL ? bias + row : NULL;
    }
}

static void bind_linear(binder *b, liz_linear *linear, const char *stem, int n_out, int n_in)
{
    bind_parts(b, stem, 1, n_in, &(part){linear, n_out}, 1);
}

static void bind_norm(binder *b, liz_norm *norm, const char *stem, int n, bool bias)
{
    norm->weight = bind_vector(b, stem, "weight", (size_t)n, false);
    norm->bias = bias ? bind_vector(b, stem, "bias", (size_t)n, true) : NULL;
}

static void bind_attention(binder *b, const liz_hparams *h)
{
    liz_layer *l = &b->w->layers[b->layer];
    const liz_family *f = h->family;
    int n_q = h->n_head * h->n_embd_k, n_k = h->n_head_kv * h->n_embd_k, n_v = h->n_head_kv * h->n_embd_v;
    if (look(b, "attn_qkv", "weight") != NULL) {
        bind_parts(b, "attn_qkv", 1, h->n_embd, (part[]){{&l->q, n_q}, {&l->k, n_k}, {&l->v, n_v}}, 3);
    } else {
        bind_linear(b, &l->q, "attn_q", n_q, h->n_embd);
        bind_linear(b, &l->k, "attn_k", n_k, h->n_embd);
        bind_linear(b, &l->v, "attn_v", n_v, h->n_embd);
    }
    if (f->head_norm != LIZ_HEAD_NORM_NONE) {
        bool all = f->head_norm == LIZ_HEAD_NORM_ALL;
        bind_norm(b, &l->q_norm, "attn_q_norm", all ? n_q : h->n_embd_k, false);
        bind_norm(b, &l->k_norm, "attn_k_norm", all ? n_k : h->n_embd_k, false);
    }
    if (f->sinks)
        l->sinks = bind_vector(b, "attn_sinks", "weight", (size_t)h->n_head, false);
    bind_linear(b, &l->o, "attn_output", h->n_embd, h->n_head * h->n_embd_v);
}

/* Gate and up may stand in one tensor, gate first: `both`, of that name or of the name of `up`. */
static void bind_feed_forward(binder *b, const liz_hparams *h)
{
    liz_layer *l = &b->w->layers[b->layer];
    bool sparse = h->layers[b->layer].sparse;
    const char *gate = sparse ? "ffn_gate_exps" : "ffn_gate", *up = sparse ? "ffn_up_exps" : "ffn_up";
    const char *both = sparse ? "ffn_gate_up_exps" : up;
    int n_mat = sparse ? h->n_expert : 1, n_ff = sparse ? h->n_ff_expert : h->n_ff;
    if (sparse) {
        bind_linear(b, &l->router, "ffn_gate_inp", h->n_expert, h->n_embd);
        l->router_bias = bind_vector(b, "exp_probs_b", "bias", (size_t)h->n_expert, true);
    }
    if (h->family->ungated) {
        bind_parts(b, up, n_mat, h->n_embd, &(part){&l->up, n_ff}, 1);
    } else if (look(b, gate, "weight") == NULL && look(b, both, "weight") != NULL) {
        bind_parts(b, both, n_mat, h->n_embd, (part[]){{&l->gate, n_ff}, {&l->up, n_ff}}, 2);
    } else {
        bind_parts(b, gate, n_mat, h->n_embd, &(part){&l->gate, n_ff}, 1);
        bind_parts(b, up, n_mat, h->n_embd, &(part){&l->up, n_ff}, 1);
    }
    bind_parts(b, sparse ? "ffn_down_exps" : "ffn_down", n_mat, n_ff, &(part){&l->down, h->n_embd}, 1);
}

static void bind_layer(binder *b, const liz_hparams *h)
{
    liz_layer *l = &b->w->layers[b->layer];
    const liz_family *f = h->family;
    bool bias = f->norm == LIZ_NORM_LAYER;
    if (f->norm_place != LIZ_NORM_AFTER) {
        bind_norm(b, &l->attn_norm, "attn_norm", h->n_embd, bias);
        bind_norm(b, &l->ffn_norm, f->ffn_norm != NULL ? f->ffn_norm : "ffn_norm", h->n_embd, bias);
    }
    if (f->norm_place != LIZ_NORM_BEFORE) {
        bind_norm(b, &l->attn_post_norm, "post_attention_norm", h->n_embd, bias);
        bind_norm(b, &l->ffn_post_norm, "post_ffw_norm", h->n_embd, bias);
    }
    bind_attention(b, h);
    bind_feed_forward(b, h);
}

/* A table that rows are read from, which sets how many there are. A file may give it dimensions of 1 beside its two. */
static const liz_gguf_tensor *bind_table(binder *b, const char *stem, int n_embd, int32_t *n_rows)
{
    const liz_gguf_tensor *t = find(b, stem, "weight", false);
    if (t == NULL)
        return NULL;
    uint64_t n = t->n_dim < 2 ? 0 : t->shape[t->n_dim - 2];
    if (n < 1 || n > INT32_MAX / 2)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s: is not a table of rows", b->name);
    else if (!liz_dtype_info_get(t->dtype)->readable)
        b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %s: type %s is not supported", b->name,
                             liz_dtype_info_get(t->dtype)->name);
    check_shape(b, t, n, (uint64_t)n_embd);
    *n_rows = (int32_t)n;
    return t;
}

static void bind_output(binder *b, const liz_hparams *h)
{
    if (find(b, "output", "weight", true) != NULL) {
        bind_linear(b, &b->w->output, "output", h->n_vocab, h->n_embd);
    } else if (b->status == LIZ_OK) { /* tied to the embedding */
        plan_linear(b, &b->w->output, b->w->token_embd, 1, h->n_vocab, h->n_embd);
        b->w->output.bias = bind_vector(b, "output", "bias", (size_t)h->n_vocab, true);
    }
}

/* A tensor of a layer that no family uses would change the numbers if it were known. */
static void refuse_unused(binder *b)
{
    for (size_t i = 0; i < liz_gguf_n_tensors(b->gguf) && b->status == LIZ_OK; i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(b->gguf, i);
        b->w->n_params += t->size_bytes / (uint64_t)liz_dtype_info_get(t->dtype)->block_bytes *
                          (uint64_t)liz_dtype_info_get(t->dtype)->block_len;
        if (b->used[i])
            continue;
        if (liz_str_starts(t->name, "blk."))
            b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %.*s: is not known for this architecture",
                                 LIZ_STR_ARG(t->name));
        else
            liz_log(LIZ_LOG_INFO, "model", "tensor %.*s is not used", LIZ_STR_ARG(t->name));
    }
}

/* Of the experts' matrices a token meets only some. */
static void count_active(liz_weights *w, const liz_hparams *h)
{
    w->n_params_active = w->n_params;
    for (int i = 0; i < h->n_layer; i++) {
        const liz_linear *all[] = {&w->layers[i].gate, &w->layers[i].up, &w->layers[i].down};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (h->layers[i].sparse && all[k]->tensor != NULL)
                w->n_params_active -= (uint64_t)(h->n_expert - h->n_expert_used) * (uint64_t)all[k]->matrix.n_out *
                                      (uint64_t)all[k]->matrix.n_in;
    }
}

liz_status liz_weights_bind(liz_weights *w, liz_hparams *h, const liz_gguf *gguf, liz_error *err)
{
    *w = (liz_weights){0};
    liz_arena_init(&w->arena, VECTORS_BYTES_MAX);
    size_t n_tensors = liz_gguf_n_tensors(gguf);
    binder b = {.w = w,
                .gguf = gguf,
                .err = err,
                .layer = -1,
                .used = calloc(n_tensors + 1, 1),
                .n_expert_used = h->n_expert_used};
    w->layers = liz_arena_array(&w->arena, (size_t)h->n_layer, sizeof *w->layers);
    if (w->layers == NULL || b.used == NULL) {
        free(b.used);
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    }
    w->token_embd = bind_table(&b, "token_embd", h->n_embd, &h->n_vocab);
    if (h->family->positions) {
        int32_t n_positions = 0;
        w->position_embd = bind_table(&b, "position_embd", h->n_embd, &n_positions);
        h->n_ctx_train = n_positions < h->n_ctx_train ? n_positions : h->n_ctx_train;
    }
    while (++b.layer < h->n_layer && b.status == LIZ_OK)
        bind_layer(&b, h);
    b.layer = -1;
    bind_norm(&b, &w->output_norm, "output_norm", h->n_embd, h->family->norm == LIZ_NORM_LAYER);
    bind_output(&b, h);
    if (h->n_rope > 0) {
        size_t n = (size_t)h->rope[0].n_dims / 2;
        w->rope_factors = bind_vector(&b, "rope_freqs", "weight", n, true);
        w->rope_short = bind_vector(&b, "rope_factors_short", "weight", n, true);
        w->rope_long = bind_vector(&b, "rope_factors_long", "weight", n, w->rope_short == NULL);
    }
    refuse_unused(&b);
    count_active(w, h);
    free(b.used);
    return b.status == LIZ_OK ? LIZ_OK : liz_fail_within(err, b.status, "%s", liz_gguf_path(gguf));
}

liz_linear *liz_weights_linear(liz_weights *w, const liz_hparams *h, size_t i)
{
    size_t n_layer = (size_t)h->n_layer;
    if (i >= n_layer * 8)
        return i == n_layer * 8 ? &w->output : NULL;
    liz_layer *l = &w->layers[i / 8];
    liz_linear *all[8] = {&l->q, &l->k, &l->v, &l->o, &l->router, &l->gate, &l->up, &l->down};
    return all[i % 8];
}

void liz_weights_close(liz_weights *w)
{
    liz_memory_unmap(w->packed, w->packed_bytes);
    liz_memory_unmap(w->lora, w->lora_bytes);
    liz_arena_free(&w->arena);
    *w = (liz_weights){0};
}

/* Layers whose window has a rope of its own scale nothing by factors if they scale nothing else. */
liz_status liz_weights_rope(const liz_weights *w, const liz_hparams *h, int which, int32_t n_ctx, double *freqs,
                            liz_error *err)
{
    bool is_long = (double)n_ctx > h->rope[0].n_ctx_orig, plain = which == 1 && h->family->window_rope_plain;
    const float *factors = is_long && w->rope_long != NULL ? w->rope_long : w->rope_short;
    if (factors == NULL)
        factors = w->rope_factors;
    return liz_rope_fill(&h->rope[which], plain ? NULL : factors, n_ctx, freqs, err);
}
