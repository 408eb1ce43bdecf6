/* model_weights.c - names to tensors, tensors to packed matrices. */
#include "model/model_weights.h"

#include "base/checked.h"
#include "base/log.h"
#include "kernel/matmul.h"
#include "sys/memory.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <stdlib.h>

enum { VECTORS_BYTES_MAX = 1 << 30, CHUNK_BYTES = 8 << 20 };

/* ---- Binding ---- */

typedef struct binder {
    liz_weights *w;
    const liz_gguf *gguf;
    liz_error *err;
    liz_status status; /* of the first failure; later calls do nothing */
    char name[96];
    bool *used; /* [n_tensors] */
} binder;

/* A tensor of this name; NULL where there is none, which fails unless it is optional. */
static const liz_gguf_tensor *find(binder *b, const char *name, bool optional)
{
    if (b->status != LIZ_OK)
        return NULL;
    snprintf(b->name, sizeof b->name, "%s", name);
    const liz_gguf_tensor *t = liz_gguf_tensor_find(b->gguf, name);
    if (t == NULL && !optional)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s is missing", name);
    if (t != NULL)
        b->used[t - liz_gguf_tensor_at(b->gguf, 0)] = true;
    return t;
}

static void check_shape(binder *b, const liz_gguf_tensor *t, uint64_t n_out, uint64_t n_in)
{
    if (b->status != LIZ_OK || t == NULL)
        return;
    uint64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dim; i++)
        rows *= t->shape[i]; /* the reader has checked the product */
    uint64_t cols = t->n_dim > 0 ? t->shape[t->n_dim - 1] : 0;
    if (rows != n_out || cols != n_in)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s: has shape %llu x %llu, should have %llu x %llu", b->name,
                             (unsigned long long)rows, (unsigned long long)cols, (unsigned long long)n_out,
                             (unsigned long long)n_in);
}

/* A vector as floats in the arena; NULL where it is absent and optional. */
static float *bind_vector(binder *b, const char *name, size_t n, bool optional)
{
    const liz_gguf_tensor *t = find(b, name, optional);
    check_shape(b, t, 1, n);
    if (b->status != LIZ_OK || t == NULL)
        return NULL;
    const liz_dtype_info *info = liz_dtype_info_get(t->dtype);
    if (!info->readable || n % (size_t)info->block_len != 0) {
        b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %s: type %s is not supported here", name, info->name);
        return NULL;
    }
    float *values = liz_arena_array(&b->w->arena, n, sizeof *values);
    if (values == NULL) {
        b->status = liz_fail(b->err, LIZ_E_MEMORY, "tensor %s: out of memory", name);
        return NULL;
    }
    liz_dequantize_row(t->dtype, t->data, values, n);
    return values;
}

static void work_add(liz_model_work *work, const liz_matrix *m)
{
    uint64_t ops = 2 * (uint64_t)m->n_out * (uint64_t)m->n_in;
    *(liz_pack_is_integer(m->pack) ? &work->int8_ops : &work->float_ops) += ops;
    work->weight_bytes += liz_pack_matrix_bytes(m->pack, m->n_out, m->n_in);
}

/* Counts what packing the tensor will take, and what computing with it. */
static void plan_matrix(binder *b, liz_linear *linear, const liz_gguf_tensor *t, int n_out, int n_in)
{
    liz_pack pack;
    if (!liz_pack_of(t->dtype, &pack)) {
        b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %s: type %s is not supported", b->name,
                             liz_dtype_info_get(t->dtype)->name);
        return;
    }
    *linear = (liz_linear){.tensor = t, .matrix = {.pack = pack, .n_out = n_out, .n_in = n_in}};
    b->w->packed_bytes += liz_pack_matrix_bytes(pack, n_out, n_in);
    work_add(linear == &b->w->output ? &b->w->work_output : &b->w->work_layers, &linear->matrix);
    b->w->act_forms |= liz_act_form_of(pack);
    b->w->n_in_max = (size_t)n_in > b->w->n_in_max ? (size_t)n_in : b->w->n_in_max;
}

static void bind_linear(binder *b, liz_linear *linear, const char *stem, int n_out, int n_in)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", stem);
    const liz_gguf_tensor *t = find(b, name, false);
    check_shape(b, t, (uint64_t)n_out, (uint64_t)n_in);
    if (b->status != LIZ_OK)
        return;
    plan_matrix(b, linear, t, n_out, n_in);
    snprintf(name, sizeof name, "%s.bias", stem);
    linear->bias = bind_vector(b, name, (size_t)n_out, true);
}

static void bind_norm(binder *b, liz_norm *norm, const char *stem, int n, bool bias)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", stem);
    norm->weight = bind_vector(b, name, (size_t)n, false);
    snprintf(name, sizeof name, "%s.bias", stem);
    norm->bias = bias ? bind_vector(b, name, (size_t)n, true) : NULL;
}

static const char *in_layer(char stem[64], int i, const char *part)
{
    snprintf(stem, 64, "blk.%d.%s", i, part);
    return stem;
}

static void bind_layer(binder *b, const liz_hparams *h, int i)
{
    liz_layer *l = &b->w->layers[i];
    const liz_family *f = h->family;
    char s[64];
    bool bias = f->norm == LIZ_NORM_LAYER;
    int n_q = h->n_head * h->n_embd_k, n_k = h->n_head_kv * h->n_embd_k, n_v = h->n_head_kv * h->n_embd_v;
    bind_norm(b, &l->attn_norm, in_layer(s, i, "attn_norm"), h->n_embd, bias);
    if (f->qkv_fused) {
        bind_linear(b, &l->qkv, in_layer(s, i, "attn_qkv"), n_q + n_k + n_v, h->n_embd);
    } else {
        bind_linear(b, &l->q, in_layer(s, i, "attn_q"), n_q, h->n_embd);
        bind_linear(b, &l->k, in_layer(s, i, "attn_k"), n_k, h->n_embd);
        bind_linear(b, &l->v, in_layer(s, i, "attn_v"), n_v, h->n_embd);
    }
    if (f->qk_norm) {
        bind_norm(b, &l->q_norm, in_layer(s, i, "attn_q_norm"), h->n_embd_k, false);
        bind_norm(b, &l->k_norm, in_layer(s, i, "attn_k_norm"), h->n_embd_k, false);
    }
    bind_linear(b, &l->o, in_layer(s, i, "attn_output"), h->n_embd, h->n_head * h->n_embd_v);
    bind_norm(b, &l->ffn_norm, in_layer(s, i, "ffn_norm"), h->n_embd, bias);
    if (f->ffn == LIZ_FFN_SWIGLU)
        bind_linear(b, &l->gate, in_layer(s, i, "ffn_gate"), h->n_ff, h->n_embd);
    bind_linear(b, &l->up, in_layer(s, i, "ffn_up"), h->n_ff, h->n_embd);
    bind_linear(b, &l->down, in_layer(s, i, "ffn_down"), h->n_embd, h->n_ff);
}

/* A table that rows are read from, which sets how many there are. */
static const liz_gguf_tensor *bind_table(binder *b, const char *name, int n_embd, int32_t *n_rows)
{
    const liz_gguf_tensor *t = find(b, name, false);
    if (t == NULL)
        return NULL;
    if (t->n_dim != 2 || t->shape[0] < 1 || t->shape[0] > INT32_MAX / 2)
        b->status = liz_fail(b->err, LIZ_E_FORMAT, "tensor %s: is not a table of rows", name);
    else if (!liz_dtype_info_get(t->dtype)->readable)
        b->status = liz_fail(b->err, LIZ_E_UNSUPPORTED, "tensor %s: type %s is not supported", name,
                             liz_dtype_info_get(t->dtype)->name);
    check_shape(b, t, t->shape[0], (uint64_t)n_embd);
    *n_rows = (int32_t)t->shape[0];
    return t;
}

static void bind_output(binder *b, const liz_hparams *h)
{
    if (find(b, "output.weight", true) != NULL) {
        bind_linear(b, &b->w->output, "output", h->n_vocab, h->n_embd);
    } else if (b->status == LIZ_OK) { /* tied to the embedding */
        plan_matrix(b, &b->w->output, b->w->token_embd, h->n_vocab, h->n_embd);
        b->w->output.bias = bind_vector(b, "output.bias", (size_t)h->n_vocab, true);
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

liz_status liz_weights_bind(liz_weights *w, liz_hparams *h, const liz_gguf *gguf, liz_error *err)
{
    *w = (liz_weights){0};
    liz_arena_init(&w->arena, VECTORS_BYTES_MAX);
    size_t n_tensors = liz_gguf_n_tensors(gguf);
    binder b = {.w = w, .gguf = gguf, .err = err, .used = calloc(n_tensors + 1, 1)};
    w->layers = liz_arena_array(&w->arena, (size_t)h->n_layer, sizeof *w->layers);
    if (w->layers == NULL || b.used == NULL) {
        free(b.used);
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    }
    w->token_embd = bind_table(&b, "token_embd.weight", h->n_embd, &h->n_vocab);
    if (h->family->positions) {
        int32_t n_positions = 0;
        w->position_embd = bind_table(&b, "position_embd.weight", h->n_embd, &n_positions);
        h->n_ctx_train = n_positions < h->n_ctx_train ? n_positions : h->n_ctx_train;
    }
    for (int i = 0; i < h->n_layer && b.status == LIZ_OK; i++)
        bind_layer(&b, h, i);
    bind_norm(&b, &w->output_norm, "output_norm", h->n_embd, h->family->norm == LIZ_NORM_LAYER);
    bind_output(&b, h);
    if (h->family->rope != LIZ_ROPE_NONE)
        w->rope_factors = bind_vector(&b, "rope_freqs.weight", (size_t)h->n_rot / 2, true);
    refuse_unused(&b);
    free(b.used);
    return b.status == LIZ_OK ? LIZ_OK : liz_fail_within(err, b.status, "%s", liz_gguf_path(gguf));
}

/* ---- Loading ---- */

typedef struct loading {
    const liz_gguf *gguf;
    liz_team *team;
    uint8_t *next; /* where the next matrix goes */
    uint64_t done, total;
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    const liz_linear *linear; /* what the team packs now: panels [begin, end) */
    size_t begin, end;
} loading;

static void pack_share(void *arg, int member, int n_members)
{
    const loading *l = arg;
    size_t begin, end;
    liz_team_share(l->end - l->begin, 1, member, n_members, &begin, &end);
    for (size_t i = l->begin + begin; i < l->begin + end; i++)
        liz_pack_panel(&l->linear->matrix, l->linear->tensor->dtype, l->linear->tensor->data, i);
}

/* In chunks, so that no more than a chunk of the file is resident beside what is packed. */
static void load_linear(loading *l, liz_linear *linear)
{
    if (linear->tensor == NULL)
        return;
    liz_matrix *m = &linear->matrix;
    m->data = l->next;
    l->next += liz_pack_matrix_bytes(m->pack, m->n_out, m->n_in);
    size_t n_panels = liz_div_up((size_t)m->n_out, LIZ_PANEL_ROWS);
    uint64_t row_bytes = linear->tensor->size_bytes / (uint64_t)m->n_out;
    size_t step = liz_div_up(CHUNK_BYTES, (size_t)row_bytes * LIZ_PANEL_ROWS);
    l->linear = linear;
    for (l->begin = 0; l->begin < n_panels; l->begin = l->end) {
        l->end = n_panels - l->begin < step ? n_panels : l->begin + step;
        liz_team_run(l->team, pack_share, l);
        uint64_t from = l->begin * LIZ_PANEL_ROWS * row_bytes, to = l->end * LIZ_PANEL_ROWS * row_bytes;
        to = to < linear->tensor->size_bytes ? to : linear->tensor->size_bytes;
        liz_gguf_drop(l->gguf, linear->tensor->data + from, to - from);
        l->done += to - from;
        if (l->on_progress != NULL)
            l->on_progress(l->user, l->done, l->total);
    }
}

static void each_linear(liz_weights *w, const liz_hparams *h, void (*visit)(loading *, liz_linear *), loading *l)
{
    for (int i = 0; i < h->n_layer; i++) {
        liz_layer *layer = &w->layers[i];
        liz_linear *all[] = {&layer->qkv, &layer->q,    &layer->k,  &layer->v,
                             &layer->o,   &layer->gate, &layer->up, &layer->down};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            visit(l, all[k]);
    }
    visit(l, &w->output);
}

static void count_linear(loading *l, liz_linear *linear)
{
    l->total += linear->tensor ? linear->tensor->size_bytes : 0;
}

liz_status liz_weights_load(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf, liz_team *team,
                            void (*on_progress)(void *user, uint64_t done, uint64_t total), void *user, liz_error *err)
{
    w->packed = liz_memory_map(w->packed_bytes);
    if (w->packed == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: the system refused %llu MiB for weights", liz_gguf_path(gguf),
                        (unsigned long long)(w->packed_bytes >> 20));
    loading l = {.gguf = gguf, .team = team, .next = w->packed, .on_progress = on_progress, .user = user};
    each_linear(w, h, count_linear, &l);
    each_linear(w, h, load_linear, &l);
    return LIZ_OK;
}

void liz_weights_close(liz_weights *w)
{
    liz_memory_unmap(w->packed, w->packed_bytes);
    liz_arena_free(&w->arena);
    *w = (liz_weights){0};
}
