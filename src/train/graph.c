/* graph.c - walks the layers of a model and puts its operations on the tape, in the order of model_forward.c. */
#include "train/graph.h"

#include "base/checked.h"
#include "base/philox.h"
#include "tensor/quant.h"
#include "train/tape_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct liz_graph {
    liz_hparams h;
    liz_weights w;
    liz_tape *tape;
    liz_graph_opts opts;
    double *frequencies[2];
};

typedef struct builder {
    liz_graph *g;
    int layer; /* that tensors are named after; -1: none */
    char name[64];
    const liz_gguf_tensor *adapted; /* the tensor that `low` is of */
    liz_tensor_id low;              /* A x of its adapter */
} builder;

/* ---- Weights as parameters ---- */

/* "blk.0.attn_q.weight", "output_norm.bias". Until the next call. */
static const char *name_of(builder *b, const char *tensor, const char *part)
{
    if (b->layer < 0)
        snprintf(b->name, sizeof b->name, "%s.%s", tensor, part);
    else
        snprintf(b->name, sizeof b->name, "blk.%d.%s.%s", b->layer, tensor, part);
    return b->name;
}

static liz_param *matrix_param(builder *b, const char *tensor, const liz_linear *l)
{
    bool is_trained = b->g->opts.lora_rank == 0;
    size_t n_out = (size_t)l->matrix.n_out, n_in = (size_t)l->matrix.n_in;
    liz_param *p = liz_tape_param(b->g->tape, name_of(b, tensor, "weight"), n_out, n_in, is_trained);
    p->dtype = l->tensor->dtype;
    uint64_t row_bytes = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(p->dtype, n_in, &row_bytes));
    p->file_row_bytes = row_bytes;
    p->file = l->tensor->data + l->row * row_bytes;
    return p;
}

static liz_param *vector_param(builder *b, const char *tensor, const char *part, float *values, size_t n)
{
    if (values == NULL)
        return NULL;
    liz_param *p = liz_tape_param(b->g->tape, name_of(b, tensor, part), 1, n, b->g->opts.lora_rank == 0);
    if (p->is_trained)
        p->initial = values;
    else
        p->w = values;
    return p;
}

static liz_param *adapter(builder *b, const liz_linear *l, const char *half, size_t n_out, size_t n_in)
{
    char full[96];
    snprintf(full, sizeof full, "%.*s.%s", LIZ_STR_ARG(l->tensor->name), half);
    return liz_tape_param(b->g->tape, full, n_out, n_in, true);
}

/* Of B A x. */
static float scale_of(const liz_graph *g)
{
    return g->opts.lora_rank > 0 ? g->opts.lora_alpha / (float)g->opts.lora_rank : 0;
}

/* B A x. Matrices that stand in one tensor (queries, keys and values; gate and up) have one A, and each its rows of B:
 * halves of the tensor's name, in the order of its rows. */
static liz_tensor_id adapted(builder *b, liz_tensor_id x, const liz_linear *l)
{
    size_t rank = (size_t)b->g->opts.lora_rank;
    if (b->adapted != l->tensor)
        b->low = liz_tape_linear(b->g->tape, x, adapter(b, l, "lora_a", rank, (size_t)l->matrix.n_in), NULL);
    b->adapted = l->tensor;
    return liz_tape_linear(b->g->tape, b->low, adapter(b, l, "lora_b", (size_t)l->matrix.n_out, rank), NULL);
}

/* What one tensor holds is adapted as a whole. */
static bool is_target(const builder *b, const liz_linear *l, unsigned target)
{
    bool is_part = l->row_step != (uint64_t)l->matrix.n_out;
    unsigned attention = LIZ_LORA_Q | LIZ_LORA_K | LIZ_LORA_V,
             whole = target & attention ? attention : LIZ_LORA_GATE_UP;
    return b->g->opts.lora_rank > 0 && (b->g->opts.lora_targets & (is_part ? whole : target)) != 0;
}

/* W x + bias, with its adapter where there is one. */
static liz_tensor_id linear(builder *b, liz_tensor_id x, const char *tensor, const liz_linear *l, unsigned target)
{
    liz_graph *g = b->g;
    liz_param *weight = matrix_param(b, tensor, l);
    liz_tensor_id y =
        liz_tape_linear(g->tape, x, weight, vector_param(b, tensor, "bias", l->bias, (size_t)l->matrix.n_out));
    if (!is_target(b, l, target))
        return y;
    return liz_tape_add(g->tape, y, adapted(b, x, l), scale_of(g));
}

static liz_tensor_id norm(builder *b, liz_tensor_id x, const char *tensor, const liz_norm *n)
{
    size_t width = (size_t)b->g->h.n_embd;
    liz_param *weight = vector_param(b, tensor, "weight", n->weight, width);
    liz_param *bias = vector_param(b, tensor, "bias", n->bias, width);
    return liz_tape_norm(b->g->tape, x, weight, bias, b->g->h.family->norm == LIZ_NORM_LAYER, b->g->h.norm_eps, 1);
}

/* ---- A layer ---- */

/* Queries or keys: norm and positions of their heads, and how they grow. */
static liz_tensor_id turn(builder *b, liz_tensor_id x, const char *tensor, const liz_norm *n, int n_head,
                          const liz_query_growth *growth)
{
    const liz_hparams *h = &b->g->h;
    size_t hd = (size_t)h->n_embd_k;
    if (h->family->head_norm != LIZ_HEAD_NORM_NONE) {
        bool each = h->family->head_norm == LIZ_HEAD_NORM_EACH;
        liz_param *p = vector_param(b, tensor, "weight", n->weight, each ? hd : hd * (size_t)n_head);
        x = liz_tape_norm(b->g->tape, x, p, NULL, false, h->norm_eps, each ? (size_t)n_head : 1);
    }
    if (!h->layers[b->layer].roped)
        return x;
    int which = h->layers[b->layer].windowed ? h->n_rope - 1 : 0;
    liz_rope_plan plan = {.n_head = n_head,
                          .n_embd = h->n_embd_k,
                          .shape = {h->rope[which].n_dims, h->family->rope == LIZ_ROPE_NEOX},
                          .frequencies = b->g->frequencies[which],
                          .gain = (float)h->rope[which].magnitude,
                          .growth = growth};
    return liz_tape_rope(b->g->tape, x, &plan);
}

static liz_tensor_id attention(builder *b, liz_tensor_id x)
{
    const liz_hparams *h = &b->g->h;
    const liz_layer *l = &b->g->w.layers[b->layer];
    liz_tensor_id q = linear(b, x, "attn_q", &l->q, LIZ_LORA_Q), k = linear(b, x, "attn_k", &l->k, LIZ_LORA_K);
    liz_tensor_id v = linear(b, x, "attn_v", &l->v, LIZ_LORA_V);
    q = turn(b, q, "attn_q_norm", &l->q_norm, h->n_head, &h->query_growth);
    k = turn(b, k, "attn_k_norm", &l->k_norm, h->n_head_kv, NULL);
    liz_attend_shape shape = {.n_head = h->n_head,
                              .n_head_kv = h->n_head_kv,
                              .n_embd = h->n_embd_k,
                              .scale = h->attn_scale,
                              .softcap = h->attn_softcap,
                              .window = h->layers[b->layer].windowed ? (size_t)h->window : 0,
                              .sinks = l->sinks};
    return linear(b, liz_tape_attend(b->g->tape, q, k, v, shape), "attn_output", &l->o, LIZ_LORA_O);
}

static liz_tensor_id feed_forward(builder *b, liz_tensor_id x)
{
    const liz_layer *l = &b->g->w.layers[b->layer];
    bool gelu = b->g->h.family->ffn == LIZ_FFN_GELU, gated = l->gate.tensor != NULL;
    liz_tensor_id gate = gated ? linear(b, x, "ffn_gate", &l->gate, LIZ_LORA_GATE) : x;
    liz_tensor_id y = linear(b, x, "ffn_up", &l->up, LIZ_LORA_UP);
    if (!gated)
        y = liz_tape_gelu(b->g->tape, y);
    else if (gelu)
        y = liz_tape_mul(b->g->tape, liz_tape_gelu(b->g->tape, gate), y);
    else
        y = liz_tape_silu_mul(b->g->tape, gate, y);
    return linear(b, y, "ffn_down", &l->down, LIZ_LORA_DOWN);
}

static liz_expert_matrix expert_matrix(builder *b, const char *tensor, const liz_linear *l)
{
    liz_expert_matrix m = {.param = matrix_param(b, tensor, l), .bias = l->bias, .step = (size_t)l->row_step};
    if (b->g->opts.lora_rank > 0 && (b->g->opts.lora_targets & LIZ_LORA_EXPERTS))
        liz_tape_expert_adapters(b->g->tape, &m, l->tensor->name, (size_t)l->n_mat, (size_t)b->g->opts.lora_rank);
    return m;
}

static liz_tensor_id experts(builder *b, liz_tensor_id x)
{
    const liz_layer *l = &b->g->w.layers[b->layer];
    liz_expert_plan plan = {.h = &b->g->h,
                            .choose_bias = l->router_bias,
                            .gate = expert_matrix(b, "ffn_gate_exps", &l->gate),
                            .up = expert_matrix(b, "ffn_up_exps", &l->up),
                            .down = expert_matrix(b, "ffn_down_exps", &l->down),
                            .lora_scale = scale_of(b->g),
                            .oai = b->g->h.family->ffn == LIZ_FFN_SWIGLU_OAI};
    return liz_tape_experts(b->g->tape, x, linear(b, x, "ffn_gate_inp", &l->router, 0), &plan);
}

/* One half of a layer: norms where the family has them, and the way back into the stream. */
static liz_tensor_id half(builder *b, liz_tensor_id x, liz_tensor_id (*body)(builder *, liz_tensor_id),
                          const char *name, const liz_norm *before, const char *post_name, const liz_norm *after)
{
    liz_tensor_id y = body(b, before->weight != NULL ? norm(b, x, name, before) : x);
    if (after->weight != NULL)
        y = norm(b, y, post_name, after);
    return liz_tape_add(b->g->tape, x, y, b->g->h.residual_scale);
}

/* ---- The whole ---- */

/* Of layers whose experts have gate and up in one tensor. */
static bool has_joined_experts(const liz_graph *g)
{
    for (int i = 0; i < g->h.n_layer; i++) {
        const liz_linear *gate = &g->w.layers[i].gate;
        if (g->h.layers[i].sparse && gate->tensor != NULL && gate->row_step != (uint64_t)gate->matrix.n_out)
            return true;
    }
    return false;
}

static liz_status refuse(const liz_graph *g, liz_error *err)
{
    const liz_hparams *h = &g->h;
    bool trains_all = g->opts.lora_rank == 0;
    const char *what = NULL;
    if (has_joined_experts(g) && (g->opts.lora_targets & LIZ_LORA_EXPERTS))
        what = "adapt experts whose gate and up are one tensor (--targets)";
    else if (h->n_expert > 0 && trains_all)
        what = "train a mixture of experts but by adapters";
    else if (h->family->sinks && trains_all)
        what = "train attention sinks";
    else if (h->n_expert > 0 && (h->family->ffn == LIZ_FFN_GELU || h->family->ungated))
        what = "compute experts of this activation";
    else if (h->n_expert_used > LIZ_TAPE_EXPERTS_USED)
        what = "compute so many experts of a token";
    else if (h->n_embd_k != h->n_embd_v)
        what = "compute keys and values of different sizes";
    if (what == NULL)
        return LIZ_OK;
    return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: training cannot %s yet", h->family->arch, what);
}

static liz_status fill_frequencies(liz_graph *g, int32_t n_ctx, liz_error *err)
{
    for (int i = 0; i < g->h.n_rope; i++) {
        g->frequencies[i] = calloc((size_t)g->h.rope[i].n_dims, sizeof(double));
        if (g->frequencies[i] == NULL)
            return liz_fail(err, LIZ_E_MEMORY, "no memory for rotary positions");
        LIZ_TRY(liz_weights_rope(&g->w, &g->h, i, n_ctx, g->frequencies[i], err));
    }
    return LIZ_OK;
}

static liz_param *table_param(builder *b, const char *name, const liz_gguf_tensor *t)
{
    liz_linear all = {.tensor = t, .matrix = {.n_out = (int32_t)liz_gguf_n_rows(t), .n_in = (int32_t)liz_gguf_n_in(t)}};
    return matrix_param(b, name, &all);
}

static void build(liz_graph *g)
{
    builder b = {.g = g, .layer = -1};
    liz_param *table = table_param(&b, "token_embd", g->w.token_embd);
    liz_tensor_id x = liz_tape_embed(g->tape, table, g->h.embd_scale);
    if (g->w.position_embd != NULL) {
        liz_param *positions = table_param(&b, "position_embd", g->w.position_embd);
        x = liz_tape_add(g->tape, x, liz_tape_place(g->tape, positions), 1);
    }
    while (++b.layer < g->h.n_layer) {
        const liz_layer *l = &g->w.layers[b.layer];
        const char *ffn_norm = g->h.family->ffn_norm != NULL ? g->h.family->ffn_norm : "ffn_norm";
        liz_tape_block(g->tape);
        x = half(&b, x, attention, "attn_norm", &l->attn_norm, "post_attention_norm", &l->attn_post_norm);
        x = half(&b, x, g->h.layers[b.layer].sparse ? experts : feed_forward, ffn_norm, &l->ffn_norm, "post_ffw_norm",
                 &l->ffn_post_norm);
    }
    b.layer = -1;
    liz_tape_block(g->tape);
    x = norm(&b, x, "output_norm", &g->w.output_norm);
    bool tied = g->w.output.tensor == g->w.token_embd;
    liz_param *head = tied ? table : matrix_param(&b, "output", &g->w.output);
    liz_param *bias = vector_param(&b, "output", "bias", g->w.output.bias, (size_t)g->h.n_vocab);
    liz_tape_loss(g->tape, x, head, bias, 1 / g->h.logit_divisor, g->h.logit_softcap);
}

/* What trained parameters begin as: the file's values; of adapters, A uniform within sqrt(3 / n_in) and B zero. */
static void fill(const liz_graph *g, liz_param *p, size_t which)
{
    bool is_a = p->file == NULL && p->initial == NULL && strstr(p->name, "lora_a") != NULL;
    for (size_t r = 0; p->file != NULL && r < p->n_out; r++)
        liz_dequantize_row(p->dtype, p->file + r * p->file_row_bytes, p->w + r * p->n_in, p->n_in);
    if (p->initial != NULL)
        memcpy(p->w, p->initial, p->n_in * sizeof *p->w);
    for (size_t i = 0; is_a && i < p->n_out * p->n_in; i++)
        p->w[i] = (float)((liz_draw(g->opts.seed, i, (uint32_t)which) * 2 - 1) * sqrt(3.0 / (double)p->n_in));
}

static liz_status open_parts(liz_graph *g, const liz_gguf *gguf, liz_error *err)
{
    LIZ_TRY(liz_hparams_read(&g->h, gguf, err));
    LIZ_TRY(liz_weights_bind(&g->w, &g->h, gguf, err));
    LIZ_TRY(refuse(g, err));
    LIZ_TRY(fill_frequencies(g, g->opts.n_ctx, err));
    build(g);
    LIZ_TRY(liz_tape_plan(g->tape, err));
    liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(g->tape, &i)) != NULL;)
        fill(g, p, i - 1);
    liz_tape_refresh(g->tape);
    return LIZ_OK;
}

liz_status liz_graph_open(liz_graph **out, const liz_gguf *gguf, liz_tape *tape, const liz_graph_opts *opts,
                          liz_error *err)
{
    liz_graph *g = calloc(1, sizeof *g);
    if (g == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a model's graph");
    g->tape = tape;
    g->opts = *opts;
    liz_status status = open_parts(g, gguf, err);
    if (status != LIZ_OK)
        liz_graph_close(g);
    else
        *out = g;
    return status;
}

void liz_graph_close(liz_graph *graph)
{
    if (graph == NULL)
        return;
    for (int i = 0; i < 2; i++)
        free(graph->frequencies[i]);
    liz_weights_close(&graph->w);
    free(graph);
}
