/* model.c - opening a model, planning its memory, and the forward pass of a decoder.
 *
 * A step is one run of the team: every member walks the same layers, takes its share of each operation
 * (liz_team_share) and meets the others at a barrier where the next operation reads what another member wrote.
 * Operations on rows are shared out by tokens, matrices by outputs, attention by (token, kv head). All buffers are
 * made at load; a step allocates nothing. */
#include "model/model.h"

#include "base/checked.h"
#include "base/half.h"
#include "kernel/angle.h"
#include "kernel/attention.h"
#include "kernel/matmul.h"
#include "model/model_weights.h"
#include "sys/memory.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>

enum { SCRATCH_ALIGN = 64 };

/* What a step computes on, [n_tok, ...] each. */
typedef struct buffers {
    float *x;         /* residual stream [n_embd] */
    float *h;         /* normed, and what returns to the stream [n_embd] */
    float *qkv;       /* [n_qkv] queries, keys, values */
    float *attn;      /* [n_head * n_embd_v] */
    float *gate, *up; /* [n_ff] */
    float *cos, *sin; /* [n_rot / 2] */
    float *logits;    /* [n_logits_max, n_vocab] */
} buffers;

/* What one member needs for itself. */
typedef struct member_scratch {
    uint8_t *matmul;
    float *attn;
    const uint8_t **k_pages, **v_pages; /* [pages of n_ctx] */
} member_scratch;

/* One token of a step. */
typedef struct step_token {
    int32_t token, pos;
    int32_t seq;
} step_token;

struct liz_model {
    const liz_gguf *gguf;
    liz_hparams h;
    liz_weights w;
    liz_model_params params;
    liz_cache_layer *cache_layers;
    liz_model_opts opts;
    liz_team *team;
    liz_kernel kernel;
    liz_act act;
    buffers buf;
    member_scratch *members;
    step_token *tokens;  /* [n_batch_max] */
    int32_t *logit_rows; /* [n_logits_max] tokens of the step */
    double *rope_freqs;  /* [n_rot / 2] */
    uint8_t *scratch;
    uint64_t scratch_bytes;
};

/* ---- Opening ---- */

liz_status liz_model_open(liz_model **out, const liz_gguf *gguf, liz_error *err)
{
    *out = NULL;
    liz_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    m->gguf = gguf;
    liz_status status = liz_hparams_read(&m->h, gguf, err);
    if (status == LIZ_OK)
        status = liz_weights_bind(&m->w, &m->h, gguf, err);
    if (status == LIZ_OK && (m->cache_layers = calloc((size_t)m->h.n_layer, sizeof *m->cache_layers)) == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    if (status != LIZ_OK) {
        liz_model_close(m);
        return status;
    }
    for (int i = 0; i < m->h.n_layer; i++)
        m->cache_layers[i] = (liz_cache_layer){m->h.n_head_kv, m->h.n_embd_k, m->h.n_embd_v};
    m->params = (liz_model_params){
        .arch = m->h.family->arch,
        .n_vocab = m->h.n_vocab,
        .n_ctx_train = m->h.n_ctx_train,
        .n_embd = m->h.n_embd,
        .n_layer = m->h.n_layer,
        .cache_layers = m->cache_layers,
        .n_params = m->w.n_params,
        .work_layers = m->w.work_layers,
        .work_output = m->w.work_output,
    };
    *out = m;
    return LIZ_OK;
}

void liz_model_close(liz_model *m)
{
    if (m == NULL)
        return;
    liz_act_close(&m->act);
    liz_memory_unmap(m->scratch, m->scratch_bytes);
    liz_weights_close(&m->w);
    free(m->members);
    free(m->cache_layers);
    free(m);
}

const liz_model_params *liz_model_params_get(const liz_model *m) { return &m->params; }

static size_t n_q(const liz_hparams *h) { return (size_t)(h->n_head * h->n_embd_k); }
static size_t n_k(const liz_hparams *h) { return (size_t)(h->n_head_kv * h->n_embd_k); }
static size_t n_v(const liz_hparams *h) { return (size_t)(h->n_head_kv * h->n_embd_v); }
static size_t n_qkv(const liz_hparams *h) { return n_q(h) + n_k(h) + n_v(h); }

/* Hands out the scratch mapping; with base NULL it only counts. */
typedef struct carver {
    uint8_t *base;
    uint64_t used;
    bool overflow;
} carver;

static void *carve(carver *c, uint64_t n, uint64_t size)
{
    uint64_t bytes, at = c->used;
    if (!liz_u64_mul(n, size, &bytes) || !liz_u64_round_up(bytes, SCRATCH_ALIGN, &bytes) ||
        !liz_u64_add(c->used, bytes, &c->used))
        c->overflow = true;
    return c->base != NULL ? c->base + at : NULL;
}

static void carve_all(liz_model *m, const liz_model_opts *o, member_scratch *members, int n_members, carver *c)
{
    const liz_hparams *h = &m->h;
    uint64_t n = (uint64_t)o->n_batch_max, f = sizeof(float);
    uint64_t n_pages = liz_div_up((size_t)o->n_ctx, LIZ_ATTN_PAGE) + 1;
    m->buf.x = carve(c, n, (uint64_t)h->n_embd * f);
    m->buf.h = carve(c, n, (uint64_t)h->n_embd * f);
    m->buf.cos = carve(c, n, (uint64_t)h->n_rot / 2 * f);
    m->buf.sin = carve(c, n, (uint64_t)h->n_rot / 2 * f);
    /* Attention, feed-forward and output are never alive together: they share their place. */
    uint64_t shared = c->used, end;
    m->buf.qkv = carve(c, n, n_qkv(h) * f);
    m->buf.attn = carve(c, n, (uint64_t)(h->n_head * h->n_embd_v) * f);
    end = c->used, c->used = shared;
    m->buf.up = carve(c, n, (uint64_t)h->n_ff * f);
    m->buf.gate = h->family->ffn == LIZ_FFN_SWIGLU ? carve(c, n, (uint64_t)h->n_ff * f) : NULL;
    end = c->used > end ? c->used : end, c->used = shared;
    m->buf.logits = carve(c, (uint64_t)o->n_logits_max, (uint64_t)h->n_vocab * f);
    c->used = c->used > end ? c->used : end;
    m->tokens = carve(c, n, sizeof *m->tokens);
    m->logit_rows = carve(c, (uint64_t)o->n_logits_max, sizeof *m->logit_rows);
    m->rope_freqs = carve(c, (uint64_t)h->n_rot / 2, sizeof *m->rope_freqs);
    for (int i = 0; i < n_members; i++) {
        member_scratch *s = members != NULL ? &members[i] : &(member_scratch){0};
        s->matmul = carve(c, liz_matmul_scratch_bytes((size_t)o->n_batch_max), 1);
        s->attn = carve(c, LIZ_ATTN_SCRATCH_FLOATS(h->n_embd_k, h->n_embd_v), f);
        s->k_pages = carve(c, n_pages, sizeof *s->k_pages);
        s->v_pages = carve(c, n_pages, sizeof *s->v_pages);
    }
}

/* Members counted when memory is planned before there is a team. */
enum { MEMBERS_PLANNED = 64 };

liz_status liz_model_memory(const liz_model *model, const liz_model_opts *opts, uint64_t *weights_bytes,
                            uint64_t *scratch_bytes, liz_error *err)
{
    liz_model plan = *model;
    carver c = {0};
    carve_all(&plan, opts, NULL, MEMBERS_PLANNED, &c);
    uint64_t act = liz_act_bytes((size_t)opts->n_batch_max, model->w.n_in_max, model->w.act_forms);
    if (c.overflow || !liz_u64_add(c.used, act, scratch_bytes))
        return liz_fail(err, LIZ_E_LIMIT, "%s: the batch is too large for this machine's addresses",
                        liz_gguf_path(model->gguf));
    *weights_bytes = model->w.packed_bytes + model->w.arena.used_bytes;
    return LIZ_OK;
}

static liz_status scratch_open(liz_model *m, liz_error *err)
{
    int n_members = liz_team_size(m->team);
    m->members = calloc((size_t)n_members, sizeof *m->members);
    carver count = {0};
    carve_all(m, &m->opts, NULL, n_members, &count);
    m->scratch_bytes = count.used;
    m->scratch = count.overflow || m->members == NULL ? NULL : liz_memory_map(count.used);
    if (m->scratch == NULL || !liz_act_open(&m->act, (size_t)m->opts.n_batch_max, m->w.n_in_max, m->w.act_forms))
        return liz_fail(err, LIZ_E_MEMORY, "%s: the system refused memory for a step", liz_gguf_path(m->gguf));
    carver c = {.base = m->scratch};
    carve_all(m, &m->opts, m->members, n_members, &c);
    return LIZ_OK;
}

static void rope_freqs_fill(liz_model *m)
{
    for (int i = 0; i < m->h.n_rot / 2; i++) {
        double freq = liz_angle_pow(m->h.rope_base, -2.0 * i / m->h.n_rot) * m->h.rope_scale;
        m->rope_freqs[i] = m->w.rope_factors != NULL ? freq / (double)m->w.rope_factors[i] : freq;
    }
}

liz_status liz_model_load(liz_model *m, liz_team *team, const liz_model_opts *opts, liz_error *err)
{
    m->team = team;
    m->opts = *opts;
    liz_kernel_init(&m->kernel, opts->tier);
    liz_status status = scratch_open(m, err);
    if (status != LIZ_OK)
        return status;
    rope_freqs_fill(m);
    return liz_weights_load(&m->w, &m->h, m->gguf, team, opts->on_progress, opts->on_progress_user, err);
}

/* ---- The forward pass ---- */

/* A step as its members see it. */
typedef struct step {
    liz_model *m;
    liz_cache *cache;
    const liz_batch_seq *seqs;
    size_t n_tok, n_logits;
} step;

/* A member inside a step. */
typedef struct worker {
    const step *s;
    liz_model *m;
    int id, n;
    size_t tok_begin, tok_end; /* its tokens in operations on rows */
} worker;

static void meet(const worker *w) { liz_team_barrier(w->m->team); }

static void norm(const liz_model *m, const liz_norm *norm, const float *x, size_t n, float *y)
{
    if (m->h.family->norm == LIZ_NORM_LAYER)
        m->kernel.layer_norm(x, norm->weight, norm->bias, m->h.norm_eps, n, y);
    else
        m->kernel.rms_norm(x, norm->weight, m->h.norm_eps, n, y);
}

/* y (rows y_stride apart) = W x + bias for the prepared activations; the bias is for `add_bias`. */
static void linear(const worker *w, const liz_linear *l, size_t n_tok, float *y, size_t y_stride)
{
    if (l->tensor != NULL)
        liz_matmul(&w->m->kernel, &l->matrix, &w->m->act, n_tok, y, y_stride, w->m->members[w->id].matmul, w->id, w->n);
}

static void add_bias(const liz_model *m, const liz_linear *l, float *y)
{
    if (l->bias != NULL)
        m->kernel.add(y, l->bias, (size_t)l->matrix.n_out, y);
}

/* Activations x [n_tok, n_in] for matrices of these forms, complete on return. */
static void prepare(const worker *w, const float *x, size_t n_tok, size_t n_in, unsigned forms)
{
    meet(w);
    liz_act_prepare(&w->m->kernel, &w->m->act, x, n_in, n_tok, n_in, forms, w->id, w->n);
    meet(w);
}

static unsigned form_of(const liz_linear *l) { return l->tensor != NULL ? liz_act_form_of(l->matrix.pack) : 0; }

static void table_row(const liz_gguf_tensor *table, int32_t row, size_t n, float *y)
{
    uint64_t row_bytes = table->size_bytes / table->shape[0];
    liz_dequantize_row(table->dtype, table->data + (uint64_t)row * row_bytes, y, n);
}

static void embed(const worker *w, size_t t)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd;
    float *x = m->buf.x + t * n, *h = m->buf.h + t * n;
    table_row(m->w.token_embd, m->tokens[t].token, n, x);
    if (m->w.position_embd != NULL) {
        table_row(m->w.position_embd, m->tokens[t].pos, n, h);
        m->kernel.add(x, h, n, x);
    }
    size_t half = (size_t)m->h.n_rot / 2;
    for (size_t i = 0; i < half; i++) {
        double s, c;
        liz_angle_sincos(m->tokens[t].pos * m->rope_freqs[i], &s, &c);
        m->buf.sin[t * half + i] = (float)s;
        m->buf.cos[t * half + i] = (float)c;
    }
}

/* Norm and rotary position of `n_heads` heads of one token, in place. */
static void turn_heads(const worker *w, const liz_norm *head_norm, size_t t, bool rope, float *x, int n_heads)
{
    liz_model *m = w->m;
    size_t half = (size_t)m->h.n_rot / 2, n = (size_t)m->h.n_embd_k;
    liz_rope_shape shape = {m->h.n_rot, m->h.family->rope == LIZ_ROPE_NEOX};
    for (int i = 0; i < n_heads; i++, x += n) {
        if (head_norm->weight != NULL)
            m->kernel.rms_norm(x, head_norm->weight, m->h.norm_eps, n, x);
        if (rope)
            m->kernel.rope(x, m->buf.cos + t * half, m->buf.sin + t * half, shape);
    }
}

static void store_elements(void *page, bool bf16, size_t (*index)(bool, int, int, int), int n_embd, int slot,
                           const float *x)
{
    for (int i = 0; i < n_embd; i++) {
        size_t at = index(bf16, n_embd, slot, i);
        if (bf16)
            ((uint16_t *)page)[at] = liz_f32_to_bf16(x[i]);
        else
            ((float *)page)[at] = x[i];
    }
}

/* One token's keys and values into its page. */
static void store_kv(const worker *w, int layer, size_t t, const float *k, const float *v)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    const step_token *tok = &m->tokens[t];
    int32_t page = w->s->seqs[tok->seq].pages[tok->pos / LIZ_ATTN_PAGE];
    int slot = tok->pos % LIZ_ATTN_PAGE;
    bool bf16 = liz_cache_elem_type(w->s->cache) == LIZ_CACHE_BF16;
    size_t size = bf16 ? 2 : 4, k_head = (size_t)(LIZ_ATTN_PAGE * h->n_embd_k) * size;
    size_t v_head = (size_t)(LIZ_ATTN_PAGE * h->n_embd_v) * size;
    uint8_t *k_page = liz_cache_k(w->s->cache, layer, page), *v_page = liz_cache_v(w->s->cache, layer, page);
    for (int i = 0; i < h->n_head_kv; i++) {
        store_elements(k_page + (size_t)i * k_head, bf16, liz_attn_k_index, h->n_embd_k, slot, k + i * h->n_embd_k);
        store_elements(v_page + (size_t)i * v_head, bf16, liz_attn_v_index, h->n_embd_v, slot, v + i * h->n_embd_v);
    }
}

/* Biases, head norms and positions of one token's queries, keys and values; keys and values go to the cache. */
static void finish_qkv(const worker *w, int layer, size_t t)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    float *q = m->buf.qkv + t * n_qkv(&m->h), *k = q + n_q(&m->h), *v = k + n_k(&m->h);
    add_bias(m, &l->qkv, q);
    add_bias(m, &l->q, q);
    add_bias(m, &l->k, k);
    add_bias(m, &l->v, v);
    int skip = m->h.family->rope_skip;
    bool rope = m->h.family->rope != LIZ_ROPE_NONE && (skip == 0 || (layer + 1) % skip != 0);
    turn_heads(w, &l->q_norm, t, rope, q, m->h.n_head);
    turn_heads(w, &l->k_norm, t, rope, k, m->h.n_head_kv);
    store_kv(w, layer, t, k, v);
}

/* Attention of one token and one kv head's group of query heads. */
static void attend(const worker *w, int layer, size_t t, int kv_head)
{
    liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    const step_token *tok = &m->tokens[t];
    member_scratch *s = &m->members[w->id];
    bool bf16 = liz_cache_elem_type(w->s->cache) == LIZ_CACHE_BF16;
    size_t size = bf16 ? 2 : 4, n_keys = (size_t)tok->pos + 1;
    size_t k_off = (size_t)(kv_head * LIZ_ATTN_PAGE * h->n_embd_k) * size;
    size_t v_off = (size_t)(kv_head * LIZ_ATTN_PAGE * h->n_embd_v) * size;
    const int32_t *pages = w->s->seqs[tok->seq].pages;
    for (size_t p = 0; p * LIZ_ATTN_PAGE < n_keys; p++) {
        s->k_pages[p] = (uint8_t *)liz_cache_k(w->s->cache, layer, pages[p]) + k_off;
        s->v_pages[p] = (uint8_t *)liz_cache_v(w->s->cache, layer, pages[p]) + v_off;
    }
    int n_group = h->n_head / h->n_head_kv, head = kv_head * n_group;
    liz_attn_args args = {
        .q = m->buf.qkv + t * n_qkv(h) + (size_t)(head * h->n_embd_k),
        .k = s->k_pages,
        .v = s->v_pages,
        .n_keys = n_keys,
        .n_group = n_group,
        .n_embd_k = h->n_embd_k,
        .n_embd_v = h->n_embd_v,
        .scale = 1.0f / sqrtf((float)h->n_embd_k),
        .out = m->buf.attn + (t * (size_t)h->n_head + (size_t)head) * (size_t)h->n_embd_v,
        .scratch = s->attn,
    };
    (bf16 ? m->kernel.attend_bf16 : m->kernel.attend_f32)(&args);
}

/* Items go round the members, since later tokens see more keys. */
static void attend_share(const worker *w, int layer)
{
    size_t n_items = w->s->n_tok * (size_t)w->m->h.n_head_kv;
    for (size_t i = (size_t)w->id; i < n_items; i += (size_t)w->n)
        attend(w, layer, i / (size_t)w->m->h.n_head_kv, (int)(i % (size_t)w->m->h.n_head_kv));
}

static void attention(const worker *w, int layer)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    size_t n = (size_t)m->h.n_embd, n_tok = w->s->n_tok, stride = n_qkv(&m->h);
    for (size_t t = w->tok_begin; t < w->tok_end; t++)
        norm(m, &l->attn_norm, m->buf.x + t * n, n, m->buf.h + t * n);
    prepare(w, m->buf.h, n_tok, n, form_of(&l->qkv) | form_of(&l->q) | form_of(&l->k) | form_of(&l->v));
    linear(w, &l->qkv, n_tok, m->buf.qkv, stride);
    linear(w, &l->q, n_tok, m->buf.qkv, stride);
    linear(w, &l->k, n_tok, m->buf.qkv + n_q(&m->h), stride);
    linear(w, &l->v, n_tok, m->buf.qkv + n_q(&m->h) + n_k(&m->h), stride);
    meet(w);
    for (size_t t = w->tok_begin; t < w->tok_end; t++)
        finish_qkv(w, layer, t);
    meet(w);
    attend_share(w, layer);
    prepare(w, m->buf.attn, n_tok, (size_t)(m->h.n_head * m->h.n_embd_v), form_of(&l->o));
    linear(w, &l->o, n_tok, m->buf.h, n);
    meet(w);
    for (size_t t = w->tok_begin; t < w->tok_end; t++) {
        add_bias(m, &l->o, m->buf.h + t * n);
        m->kernel.add(m->buf.x + t * n, m->buf.h + t * n, n, m->buf.x + t * n);
    }
}

static void activate(liz_model *m, const liz_layer *l, size_t t)
{
    size_t n = (size_t)m->h.n_ff;
    float *up = m->buf.up + t * n;
    add_bias(m, &l->up, up);
    if (m->h.family->ffn == LIZ_FFN_GELU) {
        m->kernel.gelu(up, n, up);
        return;
    }
    float *gate = m->buf.gate + t * n;
    add_bias(m, &l->gate, gate);
    m->kernel.silu_mul(gate, up, n, up);
}

static void feed_forward(const worker *w, int layer)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    size_t n = (size_t)m->h.n_embd, n_ff = (size_t)m->h.n_ff, n_tok = w->s->n_tok;
    for (size_t t = w->tok_begin; t < w->tok_end; t++)
        norm(m, &l->ffn_norm, m->buf.x + t * n, n, m->buf.h + t * n);
    prepare(w, m->buf.h, n_tok, n, form_of(&l->gate) | form_of(&l->up));
    linear(w, &l->gate, n_tok, m->buf.gate, n_ff);
    linear(w, &l->up, n_tok, m->buf.up, n_ff);
    meet(w);
    for (size_t t = w->tok_begin; t < w->tok_end; t++)
        activate(m, l, t);
    prepare(w, m->buf.up, n_tok, n_ff, form_of(&l->down));
    linear(w, &l->down, n_tok, m->buf.h, n);
    meet(w);
    for (size_t t = w->tok_begin; t < w->tok_end; t++) {
        add_bias(m, &l->down, m->buf.h + t * n);
        m->kernel.add(m->buf.x + t * n, m->buf.h + t * n, n, m->buf.x + t * n);
    }
}

static void output(const worker *w)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd, n_rows = w->s->n_logits, begin, end;
    if (n_rows == 0)
        return;
    meet(w);
    liz_team_share(n_rows, 1, w->id, w->n, &begin, &end);
    for (size_t i = begin; i < end; i++)
        norm(m, &m->w.output_norm, m->buf.x + (size_t)m->logit_rows[i] * n, n, m->buf.h + i * n);
    prepare(w, m->buf.h, n_rows, n, form_of(&m->w.output));
    linear(w, &m->w.output, n_rows, m->buf.logits, (size_t)m->h.n_vocab);
    meet(w);
    for (size_t i = begin; i < end; i++)
        add_bias(m, &m->w.output, m->buf.logits + i * (size_t)m->h.n_vocab);
}

static void run_member(void *arg, int id, int n_members)
{
    const step *s = arg;
    worker w = {.s = s, .m = s->m, .id = id, .n = n_members};
    liz_team_share(s->n_tok, 1, id, n_members, &w.tok_begin, &w.tok_end);
    for (size_t t = w.tok_begin; t < w.tok_end; t++)
        embed(&w, t);
    for (int layer = 0; layer < s->m->h.n_layer; layer++) {
        attention(&w, layer);
        feed_forward(&w, layer);
    }
    output(&w);
}

/* The sequences' tokens one after the other. False when a maximum is exceeded. */
static bool gather_tokens(step *s, int n_seqs)
{
    liz_model *m = s->m;
    if (n_seqs > m->opts.n_seqs_max)
        return false;
    for (int i = 0; i < n_seqs; i++) {
        const liz_batch_seq *seq = &s->seqs[i];
        if (seq->n_tok < 1 || s->n_tok + (size_t)seq->n_tok > (size_t)m->opts.n_batch_max ||
            seq->n_logits > seq->n_tok || s->n_logits + (size_t)seq->n_logits > (size_t)m->opts.n_logits_max ||
            seq->n_past > m->opts.n_ctx - seq->n_tok)
            return false;
        for (int32_t t = 0; t < seq->n_tok; t++) {
            if (t >= seq->n_tok - seq->n_logits)
                m->logit_rows[s->n_logits++] = (int32_t)s->n_tok;
            m->tokens[s->n_tok++] = (step_token){seq->tokens[t], seq->n_past + t, i};
        }
    }
    return true;
}

liz_status liz_model_forward(liz_model *m, liz_cache *cache, const liz_batch_seq *seqs, int n_seqs, float **logits,
                             liz_error *err)
{
    step s = {.m = m, .cache = cache, .seqs = seqs};
    if ((int)LIZ_PAGE_TOKENS != (int)LIZ_ATTN_PAGE)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "this build's cache pages are for tests of the engine only");
    if (!gather_tokens(&s, n_seqs))
        return liz_fail(err, LIZ_E_LIMIT, "a step of the model: more tokens than it was opened for");
    liz_team_run(m->team, run_member, &s);
    *logits = m->buf.logits;
    return LIZ_OK;
}
