/* test_gradients.c - the backward of every operation, against finite differences in f64.
 *
 * Tiny models of all operations are computed a second time here, plainly and in double; the central difference of its
 * loss by an element of a weight is what the tape's gradient has to be. In exact mode (f32 products) within 1e-4 of
 * the gradient's size; with bfloat16 operands, whose rounding the differences do not see, within a few per cent. */
#include "base/philox.h"
#include "model/model_params.h"
#include "train/tape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_TOK = 90, N_VOCAB = 37, LAYERS = 2 };

typedef struct shape {
    const char *name;
    size_t n_embd, n_ff, hd, window;
    int n_head, n_head_kv;
    bool layer_norm, gelu, biases, qk_norm, neox, tied;
    float softcap, final_cap, embed_scale, residual_scale, logit_scale;
    liz_hparams experts; /* n_expert 0: none */
    size_t rank;         /* of the experts' adapters; 0: none */
    bool oai, sinks;
    liz_query_growth growth;
} shape;

static const shape shapes[] = {
    {"llama", 32, 48, 8, 0, 4, 2, .tied = true, .embed_scale = 1, .residual_scale = 1, .logit_scale = 1},
    {"gpt2", 40, 56, 10, 0, 4, 4, .layer_norm = true, .gelu = true, .biases = true, .embed_scale = 1,
     .residual_scale = 1, .logit_scale = 1},
    {"caps", 32, 40, 16, 20, 2, 1, .qk_norm = true, .neox = true, .softcap = 3, .final_cap = 4, .embed_scale = 2.5f,
     .residual_scale = 0.5f, .logit_scale = 0.7f, .growth = {0.3f, 8}},
    {"experts", 32, 24, 8, 0, 4, 2, .tied = true, .embed_scale = 1, .residual_scale = 1, .logit_scale = 1,
     .experts =
         {.n_expert = 5, .n_expert_used = 2, .router = LIZ_ROUTER_SOFTMAX, .router_norm = true, .expert_scale = 1}},
    {"sigmoid", 32, 24, 8, 0, 4, 2, .tied = true, .embed_scale = 1, .residual_scale = 1, .logit_scale = 1,
     .experts = {.n_expert = 4, .n_expert_used = 3, .router = LIZ_ROUTER_SIGMOID, .expert_scale = 1.5f}, .rank = 3},
    {"gpt-oss", 32, 24, 8, 9, 4, 2, .tied = true, .biases = true, .embed_scale = 1, .residual_scale = 1,
     .logit_scale = 1, .experts = {.n_expert = 4, .n_expert_used = 2, .router = LIZ_ROUTER_CHOSEN, .expert_scale = 1},
     .oai = true, .sinks = true, .rank = 20},
};

/* ---- The model on a tape ---- */

typedef struct weights {
    liz_param *embed, *norm, *norm_bias, *head, *head_bias;
    struct layer {
        liz_param *norm1, *norm1_bias, *q, *q_bias, *k, *v, *o, *o_bias, *q_norm, *k_norm, *norm2, *norm2_bias;
        liz_param *gate, *up, *down, *down_bias, *router, *router_bias;
    } layers[LAYERS];
} weights;

static double frequencies[8];

/* What stays as it is: experts' matrices and biases (of gate, up, down), and sinks. */
enum { EXPERTS_MAX = 5, FROZEN_MAX = EXPERTS_MAX * 64 * 64 };
static const float lora_scale = 0.5f;
static liz_param *low[LAYERS][3][2][EXPERTS_MAX]; /* A and B of the experts' adapters; NULL: none */
static float frozen[LAYERS][3][FROZEN_MAX], frozen_bias[LAYERS][3][EXPERTS_MAX * 64], sink[4] = {0.3f, -1, 2, 0.7f};

static liz_expert_matrix expert_matrix(liz_tape *tape, const shape *s, int layer, int which, size_t n_out, size_t n_in)
{
    for (size_t i = 0; i < (size_t)s->experts.n_expert * n_out * n_in; i++)
        frozen[layer][which][i] =
            (float)((liz_draw(77, i, (uint32_t)(layer * 3 + which)) * 2 - 1) * 2 / sqrt((double)n_in));
    for (size_t i = 0; i < (size_t)s->experts.n_expert * n_out; i++)
        frozen_bias[layer][which][i] = (float)(liz_draw(78, i, (uint32_t)(layer * 3 + which)) * 0.4 - 0.2);
    liz_param *p = liz_tape_param(tape, "expert", n_out, n_in, false);
    p->dtype = LIZ_DTYPE_F32;
    p->file = (const uint8_t *)frozen[layer][which];
    p->file_row_bytes = n_in * sizeof(float);
    liz_expert_matrix m = {.param = p, .bias = s->biases ? frozen_bias[layer][which] : NULL, .step = n_out};
    size_t n = (size_t)s->experts.n_expert;
    if (s->rank > 0)
        liz_tape_expert_adapters(tape, &m, liz_str_of("low"), n, s->rank);
    for (size_t i = 0, at = m.adapters; i < 2 * n; i++)
        low[layer][which][i / n][i % n] = s->rank > 0 ? liz_tape_trained(tape, &at) : NULL;
    return m;
}

static liz_tensor_id build_experts(liz_tape *tape, const shape *s, struct layer *a, int layer, liz_tensor_id h)
{
    a->router = liz_tape_param(tape, "router", (size_t)s->experts.n_expert, s->n_embd, true);
    a->router_bias = s->biases ? liz_tape_param(tape, "router_bias", 1, (size_t)s->experts.n_expert, true) : NULL;
    liz_expert_plan plan = {.h = &s->experts,
                            .gate = expert_matrix(tape, s, layer, 0, s->n_ff, s->n_embd),
                            .up = expert_matrix(tape, s, layer, 1, s->n_ff, s->n_embd),
                            .down = expert_matrix(tape, s, layer, 2, s->n_embd, s->n_ff),
                            .lora_scale = lora_scale,
                            .oai = s->oai};
    return liz_tape_experts(tape, h, liz_tape_linear(tape, h, a->router, a->router_bias), &plan);
}

static liz_param *vector(liz_tape *tape, const char *name, size_t n, bool wanted)
{
    return wanted ? liz_tape_param(tape, name, 1, n, true) : NULL;
}

static void build(liz_tape *tape, const shape *s, weights *w)
{
    size_t q = (size_t)s->n_head * s->hd, kv = (size_t)s->n_head_kv * s->hd, n = s->n_embd;
    for (size_t i = 0; i < s->hd / 2; i++)
        frequencies[i] = pow(100.0, -(double)i / (double)(s->hd / 2));
    liz_rope_plan rope = {s->n_head, (int)s->hd, {(int)s->hd, s->neox}, frequencies, 1.0f, &s->growth};
    liz_rope_plan rope_k = rope;
    rope_k.n_head = s->n_head_kv;
    rope_k.growth = NULL;
    liz_attend_shape attend = {s->n_head, s->n_head_kv,          (int)s->hd, 0.4f, s->softcap,
                               s->window, s->sinks ? sink : NULL};
    w->embed = liz_tape_param(tape, "embed", N_VOCAB, n, true);
    liz_tensor_id x = liz_tape_embed(tape, w->embed, s->embed_scale);
    for (int l = 0; l < LAYERS; l++) {
        struct layer *a = &w->layers[l];
        liz_tape_block(tape);
        a->norm1 = vector(tape, "norm1", n, true);
        a->norm1_bias = vector(tape, "norm1_bias", n, s->layer_norm);
        liz_tensor_id h = liz_tape_norm(tape, x, a->norm1, a->norm1_bias, s->layer_norm, 1e-5f, 1);
        a->q = liz_tape_param(tape, "q", q, n, true);
        a->q_bias = vector(tape, "q_bias", q, s->biases);
        a->k = liz_tape_param(tape, "k", kv, n, true);
        a->v = liz_tape_param(tape, "v", kv, n, true);
        liz_tensor_id tq = liz_tape_linear(tape, h, a->q, a->q_bias), tk = liz_tape_linear(tape, h, a->k, NULL);
        liz_tensor_id tv = liz_tape_linear(tape, h, a->v, NULL);
        a->q_norm = vector(tape, "q_norm", s->hd, s->qk_norm);
        a->k_norm = vector(tape, "k_norm", s->hd, s->qk_norm);
        if (s->qk_norm) {
            tq = liz_tape_norm(tape, tq, a->q_norm, NULL, false, 1e-5f, (size_t)s->n_head);
            tk = liz_tape_norm(tape, tk, a->k_norm, NULL, false, 1e-5f, (size_t)s->n_head_kv);
        }
        tq = liz_tape_rope(tape, tq, &rope);
        tk = liz_tape_rope(tape, tk, &rope_k);
        a->o = liz_tape_param(tape, "o", n, q, true);
        a->o_bias = vector(tape, "o_bias", n, s->biases);
        x = liz_tape_add(tape, x, liz_tape_linear(tape, liz_tape_attend(tape, tq, tk, tv, attend), a->o, a->o_bias),
                         s->residual_scale);
        a->norm2 = vector(tape, "norm2", n, true);
        a->norm2_bias = vector(tape, "norm2_bias", n, s->layer_norm);
        h = liz_tape_norm(tape, x, a->norm2, a->norm2_bias, s->layer_norm, 1e-5f, 1);
        if (s->experts.n_expert > 0) {
            x = liz_tape_add(tape, x, build_experts(tape, s, a, l, h), s->residual_scale);
            continue;
        }
        a->up = liz_tape_param(tape, "up", s->n_ff, n, true);
        liz_tensor_id f;
        if (s->gelu) {
            f = liz_tape_gelu(tape, liz_tape_linear(tape, h, a->up, NULL));
        } else {
            a->gate = liz_tape_param(tape, "gate", s->n_ff, n, true);
            liz_tensor_id gate = liz_tape_linear(tape, h, a->gate, NULL);
            f = liz_tape_silu_mul(tape, gate, liz_tape_linear(tape, h, a->up, NULL));
        }
        a->down = liz_tape_param(tape, "down", n, s->n_ff, true);
        a->down_bias = vector(tape, "down_bias", n, s->biases);
        x = liz_tape_add(tape, x, liz_tape_linear(tape, f, a->down, a->down_bias), s->residual_scale);
    }
    liz_tape_block(tape);
    w->norm = vector(tape, "norm", n, true);
    w->norm_bias = vector(tape, "norm_bias", n, s->layer_norm);
    x = liz_tape_norm(tape, x, w->norm, w->norm_bias, s->layer_norm, 1e-5f, 1);
    w->head = s->tied ? w->embed : liz_tape_param(tape, "head", N_VOCAB, n, true);
    w->head_bias = vector(tape, "head_bias", N_VOCAB, s->biases);
    liz_tape_loss(tape, x, w->head, w->head_bias, s->logit_scale, s->final_cap);
}

/* ---- The same in double ---- */

static double of(const liz_param *p, size_t i) { return p == NULL ? 0 : (double)p->w[i]; }

/* One element that differs from what the parameter holds. */
static const liz_param *moved;
static size_t moved_at;
static double moved_to;

static double at(const liz_param *p, size_t i) { return p == moved && i == moved_at ? moved_to : of(p, i); }

static void d_linear(const double *x, const liz_param *w, const liz_param *bias, double *y)
{
    for (size_t o = 0; o < w->n_out; o++) {
        y[o] = bias != NULL ? at(bias, o) : 0;
        for (size_t i = 0; i < w->n_in; i++)
            y[o] += x[i] * at(w, o * w->n_in + i);
    }
}

static void d_norm(const double *x, const liz_param *w, const liz_param *bias, bool centred, size_t n, double *y)
{
    double mean = 0, var = 0;
    for (size_t i = 0; i < n && centred; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(var + (double)1e-5f) * at(w, i) + (bias != NULL ? at(bias, i) : 0);
}

static void d_rope(const shape *s, double *x, int n_head, size_t position)
{
    for (int h = 0; h < n_head; h++)
        for (size_t i = 0; i < s->hd / 2; i++) {
            double *head = x + (size_t)h * s->hd, *a = &head[s->neox ? i : 2 * i];
            double *b = &head[s->neox ? i + s->hd / 2 : 2 * i + 1], angle = (double)position * frequencies[i];
            double u = *a * cos(angle) - *b * sin(angle), v = *b * cos(angle) + *a * sin(angle);
            *a = u;
            *b = v;
        }
}

static void d_grow(const shape *s, double *q, size_t position)
{
    double beta = (double)s->growth.beta,
           scale = beta > 0 ? 1 + beta * log(1 + floor((double)position / s->growth.n_ctx)) : 1;
    for (size_t i = 0; i < (size_t)s->n_head * s->hd; i++)
        q[i] *= scale;
}

static double d_cap(double x, double cap) { return cap > 0 ? cap * tanh(x / cap) : x; }

typedef struct doubles {
    double x[N_TOK][64], q[N_TOK][64], k[N_TOK][64], v[N_TOK][64];
} doubles;

static void d_attend(const shape *s, const doubles *d, const liz_segment *seg, size_t t, double *out)
{
    for (int h = 0; h < s->n_head; h++) {
        size_t qo = (size_t)h * s->hd, ko = (size_t)(h / (s->n_head / s->n_head_kv)) * s->hd;
        double p[N_TOK], sum = 0;
        size_t first = s->window != 0 && t - seg->begin + 1 > s->window ? t + 1 - s->window : seg->begin;
        for (size_t j = first; j <= t; j++) {
            double dot = 0;
            for (size_t i = 0; i < s->hd; i++)
                dot += d->q[t][qo + i] * d->k[j][ko + i];
            p[j] = exp(d_cap(dot * (double)0.4f, (double)s->softcap));
            sum += p[j];
        }
        sum += s->sinks ? exp((double)sink[h]) : 0;
        for (size_t i = 0; i < s->hd; i++) {
            out[qo + i] = 0;
            for (size_t j = first; j <= t; j++)
                out[qo + i] += p[j] / sum * d->v[j][ko + i];
        }
    }
}

static void d_feed_forward(const shape *s, const struct layer *a, const double *h, double *out)
{
    double up[64], gate[64];
    d_linear(h, a->up, NULL, up);
    if (a->gate != NULL)
        d_linear(h, a->gate, NULL, gate);
    for (size_t i = 0; i < s->n_ff; i++)
        up[i] = a->gate != NULL ? gate[i] / (1 + exp(-gate[i])) * up[i]
                                : up[i] / 2 * (1 + tanh(sqrt(2 / M_PI) * (up[i] + 0.044715 * pow(up[i], 3))));
    d_linear(up, a->down, a->down_bias, out);
}

/* The weights of a token's experts, 0 of the others. */
static void d_route(const liz_hparams *e, const double *logits, double *w)
{
    double p[EXPERTS_MAX], sum = 0, of_used = 0;
    bool taken[EXPERTS_MAX] = {false};
    for (int i = 0; i < e->n_expert; i++)
        sum += exp(logits[i]);
    for (int i = 0; i < e->n_expert; i++)
        p[i] = e->router == LIZ_ROUTER_SIGMOID ? 1 / (1 + exp(-logits[i])) : exp(logits[i]) / sum;
    for (int k = 0; k < e->n_expert_used; k++) {
        int best = -1;
        for (int i = 0; i < e->n_expert; i++)
            if (!taken[i] && (best < 0 || logits[i] > logits[best]))
                best = i;
        taken[best] = true;
        of_used += p[best];
    }
    bool sums = e->router_norm || e->router == LIZ_ROUTER_CHOSEN;
    for (int i = 0; i < e->n_expert; i++)
        w[i] = taken[i] ? p[i] / (sums ? of_used : 1) * (double)e->expert_scale : 0;
}

/* y = W x + bias of an expert's matrix, with its adapter. */
static void d_frozen(const shape *s, int layer, int which, size_t expert, const double *x, double *y)
{
    size_t n_out = which == 2 ? s->n_embd : s->n_ff, n_in = which == 2 ? s->n_ff : s->n_embd;
    const liz_param *a = low[layer][which][0][expert], *b = low[layer][which][1][expert];
    double inner[32] = {0};
    for (size_t r = 0; r < s->rank; r++)
        for (size_t i = 0; i < n_in; i++)
            inner[r] += x[i] * at(a, r * n_in + i);
    for (size_t o = 0; o < n_out; o++) {
        const float *row = frozen[layer][which] + (expert * n_out + o) * n_in;
        y[o] = s->biases ? (double)frozen_bias[layer][which][expert * n_out + o] : 0;
        for (size_t i = 0; i < n_in; i++)
            y[o] += x[i] * (double)row[i];
        for (size_t r = 0; r < s->rank; r++)
            y[o] += (double)lora_scale * at(b, o * s->rank + r) * inner[r];
    }
}

static void d_experts(const shape *s, const struct layer *a, int layer, const double *h, double *out)
{
    double logits[EXPERTS_MAX], w[EXPERTS_MAX], gate[64], up[64], y[64];
    d_linear(h, a->router, a->router_bias, logits);
    d_route(&s->experts, logits, w);
    for (size_t i = 0; i < s->n_embd; i++)
        out[i] = 0;
    for (size_t e = 0; e < (size_t)s->experts.n_expert; e++) {
        if (w[e] == 0)
            continue;
        d_frozen(s, layer, 0, e, h, gate);
        d_frozen(s, layer, 1, e, h, up);
        for (size_t i = 0; i < s->n_ff; i++) {
            double bent = fmin(gate[i], 7);
            up[i] = s->oai ? bent / (1 + exp(-1.702 * bent)) * (fmax(fmin(up[i], 7), -7) + 1)
                           : gate[i] / (1 + exp(-gate[i])) * up[i];
        }
        d_frozen(s, layer, 2, e, up, y);
        for (size_t i = 0; i < s->n_embd; i++)
            out[i] += w[e] * y[i];
    }
}

static double d_loss(const shape *s, const weights *w, const liz_train_batch *b)
{
    static doubles d;
    double h[64], y[64], z[N_VOCAB], loss = 0;
    for (size_t t = 0; t < b->n_tok; t++)
        for (size_t i = 0; i < s->n_embd; i++)
            d.x[t][i] = at(w->embed, (size_t)b->tokens[t] * s->n_embd + i) * (double)s->embed_scale;
    for (int l = 0; l < LAYERS; l++) {
        const struct layer *a = &w->layers[l];
        for (size_t g = 0; g < b->n_segments; g++)
            for (size_t t = b->segments[g].begin; t < b->segments[g].begin + b->segments[g].n; t++) {
                d_norm(d.x[t], a->norm1, a->norm1_bias, s->layer_norm, s->n_embd, h);
                d_linear(h, a->q, a->q_bias, d.q[t]);
                d_linear(h, a->k, NULL, d.k[t]);
                d_linear(h, a->v, NULL, d.v[t]);
                for (int i = 0; i < s->n_head && s->qk_norm; i++)
                    d_norm(d.q[t] + (size_t)i * s->hd, a->q_norm, NULL, false, s->hd, d.q[t] + (size_t)i * s->hd);
                for (int i = 0; i < s->n_head_kv && s->qk_norm; i++)
                    d_norm(d.k[t] + (size_t)i * s->hd, a->k_norm, NULL, false, s->hd, d.k[t] + (size_t)i * s->hd);
                d_rope(s, d.q[t], s->n_head, t - b->segments[g].begin);
                d_rope(s, d.k[t], s->n_head_kv, t - b->segments[g].begin);
                d_grow(s, d.q[t], t - b->segments[g].begin);
            }
        for (size_t g = 0; g < b->n_segments; g++)
            for (size_t t = b->segments[g].begin; t < b->segments[g].begin + b->segments[g].n; t++) {
                d_attend(s, &d, &b->segments[g], t, h);
                d_linear(h, a->o, a->o_bias, y);
                for (size_t i = 0; i < s->n_embd; i++)
                    d.x[t][i] += y[i] * (double)s->residual_scale;
                d_norm(d.x[t], a->norm2, a->norm2_bias, s->layer_norm, s->n_embd, h);
                if (s->experts.n_expert > 0)
                    d_experts(s, a, l, h, y);
                else
                    d_feed_forward(s, a, h, y);
                for (size_t i = 0; i < s->n_embd; i++)
                    d.x[t][i] += y[i] * (double)s->residual_scale;
            }
    }
    for (size_t t = 0; t < b->n_tok; t++) {
        if (b->targets[t] < 0)
            continue;
        d_norm(d.x[t], w->norm, w->norm_bias, s->layer_norm, s->n_embd, h);
        d_linear(h, w->head, w->head_bias, z);
        double sum = 0;
        for (size_t i = 0; i < N_VOCAB; i++)
            sum += exp(z[i] = d_cap(z[i] * (double)s->logit_scale, (double)s->final_cap));
        loss += log(sum) - z[b->targets[t]];
    }
    return loss;
}

/* ---- The comparison ---- */

static void fill(liz_tape *tape)
{
    liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;) {
        double spread = p->n_out > 1 ? 1.2 / sqrt((double)p->n_in) : 0.3;
        bool is_norm = strstr(p->name, "norm") != NULL && strstr(p->name, "bias") == NULL;
        for (size_t j = 0; j < p->n_out * p->n_in; j++) {
            p->w[j] = (float)((liz_draw(i - 1, j, 0) * 2 - 1) * spread * 1.7 + is_norm);
        }
    }
    liz_tape_refresh(tape);
}

/* The root mean square difference of sampled elements over that of the gradients. */
static double compare(const shape *s, const weights *w, liz_tape *tape, const liz_train_batch *b)
{
    double differ = 0, size = 0;
    liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;) {
        size_t n = p->n_out * p->n_in;
        double own_differ = 0, own_size = 0;
        for (size_t k = 0; k < (p->of_expert ? 2 : 6); k++) {
            size_t j = (k * 7919 + i - 1) % n;
            moved = p;
            moved_at = j;
            double step = 1e-5, w0 = (double)p->w[j];
            moved_to = w0 + step;
            double above = d_loss(s, w, b);
            moved_to = w0 - step;
            double slope = (above - d_loss(s, w, b)) / (2 * step) * (double)b->scale;
            moved = NULL;
            own_differ += (slope - (double)p->grad[j]) * (slope - (double)p->grad[j]);
            own_size += slope * slope;
        }
        if (sqrt(own_differ) > 0.05 * sqrt(own_size) + 1e-7)
            printf("# %s %s: gradient differs by %g of %g\n", s->name, p->name, sqrt(own_differ), sqrt(own_size));
        differ += own_differ;
        size += own_size;
    }
    return sqrt(differ / size);
}

static liz_team *team;

static void check(const shape *s, bool exact, bool recompute, liz_tier_id tier, double bound)
{
    static int32_t tokens[N_TOK], targets[N_TOK];
    static const liz_segment segments[] = {{0, 70}, {70, 1}, {71, 19}};
    for (size_t t = 0; t < N_TOK; t++) {
        tokens[t] = (int32_t)((t * 31 + t * t) % N_VOCAB);
        targets[t] = t == 69 || t == 70 || t == 89 ? -1 : (int32_t)((t * 17 + 3) % N_VOCAB);
    }
    liz_train_batch batch = {N_TOK, 3, tokens, targets, segments, 1.0f / 64};
    liz_tape_opts opts = {.n_tok_max = N_TOK, .recompute = recompute, .exact = exact};
    liz_tape *tape;
    weights w = {0};
    liz_error err;
    assert_int_equal(liz_tape_open(&tape, team, tier, &opts, &err), LIZ_OK);
    build(tape, s, &w);
    assert_int_equal(liz_tape_plan(tape, &err), LIZ_OK);
    fill(tape);
    double loss = d_loss(s, &w, &batch), ahead = liz_tape_forward(tape, &batch), back = liz_tape_backward(tape, &batch);
    assert_true(ahead == back);
    double differ = compare(s, &w, tape, &batch);
    printf("# %s%s%s %s: loss %.6f, on the tape %.6f; gradients differ by %.2e\n", s->name, exact ? ", exact" : "",
           recompute ? ", recomputed" : "", liz_cpu_tier_name(tier), loss, ahead, differ);
    assert_true(fabs(loss - ahead) < bound * loss);
    assert_true(differ < bound);
    liz_tape_close(tape);
}

static void test_gradients(void **state)
{
    (void)state;
    liz_tier_id best;
    assert_int_equal(liz_cpu_tier(&best, NULL), LIZ_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(&shapes[i], true, false, best, 1e-4);
        check(&shapes[i], true, true, LIZ_TIER_C, 1e-4);
        check(&shapes[i], false, false, best, 0.05);
    }
}

static int open_team(void **state)
{
    (void)state;
    return liz_team_open(&team, 3, NULL) == LIZ_OK ? 0 : -1;
}

static int close_team(void **state)
{
    (void)state;
    liz_team_close(team);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients)};
    return cmocka_run_group_tests(tests, open_team, close_team);
}
