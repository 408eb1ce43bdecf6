/* model_ffn.c - the second half of a layer: a feed-forward that all tokens meet, or experts of which each meets some.
 */
#include "model/model_core.h"

/* Whether gate and up get more than their products before the activation. */
static bool gets_more(const liz_model *m, const liz_layer *l)
{
    return m->n_adapters > 0 || liz_linear_bias(&l->up, 0) != NULL || liz_linear_bias(&l->gate, 0) != NULL;
}

/* Row `row` of gate and up, of the i-th expert where there are experts. */
static void add_biases(liz_model *m, const liz_layer *l, int i, size_t row)
{
    size_t n = (size_t)l->up.matrix.n_out;
    add_bias(m, &l->up, i, m->buf.up + row * n);
    if (l->gate.tensor != NULL)
        add_bias(m, &l->gate, i, m->buf.gate + row * n);
}

/* Activations for `down`, complete on return: what becomes of gate and up, in up's place, rows [n] as listed. */
static void prepare_activated(const liz_worker *w, const liz_layer *l, const int32_t *rows, size_t n)
{
    liz_model *m = w->m;
    size_t n_ff = (size_t)l->up.matrix.n_out;
    liz_act_source source = {.x = m->buf.up,
                             .up = m->buf.up,
                             .stride = n_ff,
                             .rows = rows,
                             .activate = m->activate,
                             .gate = l->gate.tensor != NULL ? m->buf.gate : NULL};
    prepare_here(w, source, n, n_ff, form_of(&l->down));
}

/* Whether members can activate their own products of gate and up, which nobody else is to see. */
static bool activates_own(const liz_worker *w, const liz_layer *l)
{
    const liz_model *m = w->m;
    return l->gate.tensor != NULL && !gets_more(m, l) && m->on_input == NULL &&
           liz_matmul_gated_pays(&m->kernel, &l->gate.matrix, &l->up.matrix, &l->down.matrix, w->n_tok, w->n);
}

/* buf.h = down of what gate and up make of the prepared tokens. A member keeps a block of that in its part of buf.up.
 */
static void feed_own(const liz_worker *w, const liz_layer *l)
{
    liz_model *m = w->m;
    LIZ_DASSERT((size_t)w->n * LIZ_GATED_STRIDE <= (size_t)l->up.matrix.n_out);
    liz_gated gated = {&l->gate.matrix, &l->up.matrix, m->activate,
                       m->buf.up + (size_t)w->id * w->n_tok * LIZ_GATED_STRIDE};
    liz_matmul_gated(&m->kernel, &gated, &m->act, w->n_tok, &m->made, m->members[w->id].matmul, w->deal);
    meet(w);
    lap(w, LIZ_PART_GATE_UP, linear_bytes(&l->gate) + linear_bytes(&l->up));
    linear_of(w, &l->down, &m->made, w->n_tok, m->buf.h);
}

/* The same where gate and up are seen, or get more than products. `in` is what was prepared. */
static void feed_by_rows(const liz_worker *w, const liz_layer *l, const float *in)
{
    liz_model *m = w->m;
    linear(w, &l->gate, w->n_tok, m->buf.gate);
    linear(w, &l->up, w->n_tok, m->buf.up);
    meet(w);
    lap(w, LIZ_PART_GATE_UP, linear_bytes(&l->gate) + linear_bytes(&l->up));
    if (gets_more(m, l)) {
        adapt(w, &l->gate, in, m->buf.gate);
        adapt(w, &l->up, in, m->buf.up);
        for (size_t t = w->begin; t < w->end; t++)
            add_biases(m, l, 0, t);
        meet(w);
    }
    prepare_activated(w, l, NULL, w->n_tok);
    linear(w, &l->down, w->n_tok, m->buf.h);
}

void liz_model_feed_forward(const liz_worker *w, int layer)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    size_t n = (size_t)m->h.n_embd;
    const float *in = stream_in(w, &l->ffn_norm);
    prepare(w, in, w->n_tok, n, form_of(&l->gate) | form_of(&l->up));
    if (activates_own(w, l))
        feed_own(w, l);
    else
        feed_by_rows(w, l, in);
    meet(w);
    lap(w, LIZ_PART_DOWN, linear_bytes(&l->down));
    adapt(w, &l->down, m->buf.up, m->buf.h);
    for (size_t t = w->begin; t < w->end; t++) {
        add_bias(m, &l->down, 0, m->buf.h + t * n);
        stream_out(w, &l->ffn_post_norm, t);
    }
    lap(w, LIZ_PART_RESIDUAL, 0);
}

/* ---- Experts ---- */

/* y [pairs, n_out]: each run, which begins where a matrix may begin to read, meets its expert's matrix once. */
static void linear_runs(const liz_worker *w, const liz_linear *l, float *y)
{
    liz_model *m = w->m;
    if (l->tensor == NULL)
        return;
    for (size_t i = 0; i < m->moe.n_runs; i++) {
        const liz_moe_run *run = &m->moe.runs[i];
        liz_matrix matrix = liz_matrix_nth(l->matrix, run->expert);
        size_t n_out = (size_t)matrix.n_out;
        show_input(w, l, run->expert, run->act_row, run->n);
        liz_matmul(&m->kernel, &matrix, &m->act, run->act_row, run->n, y + run->pair * n_out, n_out,
                   m->members[w->id].matmul, w->deal);
    }
}

/* The experts' gate, up or down (then `x` is by pairs) on this member's pairs. */
static void adapt_pairs(const liz_worker *w, const liz_linear *l, const float *x, bool by_pairs, float *y, size_t begin,
                        size_t end)
{
    const liz_moe *moe = &w->m->moe;
    liz_adapt_rows rows = {x, y, by_pairs ? NULL : moe->pair_token, moe->pair_token, moe->pair_expert};
    liz_model_adapt(w, l, &rows, begin, end);
}

static void choose_experts(const liz_worker *w, const liz_layer *l, const float *in)
{
    liz_model *m = w->m;
    size_t n_expert = (size_t)m->h.n_expert, n_used = (size_t)m->h.n_expert_used;
    adapt(w, &l->router, in, m->moe.logits);
    for (size_t t = w->begin; t < w->end; t++) {
        float *logits = m->moe.logits + t * n_expert;
        add_bias(m, &l->router, 0, logits);
        liz_moe_route(&m->kernel, &m->h, logits, l->router_bias, m->members[w->id].score, m->moe.chosen + t * n_used,
                      m->moe.weights + t * n_used);
    }
}

/* The weighted sum over a token's experts, in the order of their rank, into buf.h. */
static void sum_experts(liz_model *m, const liz_layer *l, size_t t)
{
    size_t n = (size_t)m->h.n_embd, n_used = (size_t)m->h.n_expert_used;
    float *h = m->buf.h + t * n;
    for (size_t i = 0; i < n; i++)
        h[i] = 0;
    for (size_t at = t * n_used; at < (t + 1) * n_used; at++) {
        float *y = m->buf.expert + (size_t)m->moe.pair_of[at] * n;
        add_bias(m, &l->down, m->moe.chosen[at], y);
        m->kernel.add_scaled(y, m->moe.weights[at], n, h);
    }
}

void liz_model_experts(const liz_worker *w, int layer)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    const float *in = stream_in(w, &l->ffn_norm);
    size_t begin, end, n_embd = (size_t)m->h.n_embd;
    prepare(w, in, w->n_tok, n_embd, form_of(&l->router));
    linear(w, &l->router, w->n_tok, m->moe.logits);
    meet(w);
    choose_experts(w, l, in);
    meet(w);
    if (w->id == 0)
        liz_moe_group(&m->moe, &m->h, w->n_tok);
    meet(w);
    lap(w, LIZ_PART_ROUTE, linear_bytes(&l->router));
    prepare_here(w, (liz_act_source){.x = in, .stride = n_embd, .rows = m->moe.act_token}, m->moe.n_act, n_embd,
                 form_of(&l->gate) | form_of(&l->up));
    linear_runs(w, &l->gate, m->buf.gate);
    linear_runs(w, &l->up, m->buf.up);
    meet(w);
    lap(w, LIZ_PART_GATE_UP, m->moe.n_runs * (linear_bytes(&l->gate) + linear_bytes(&l->up)));
    liz_team_share(m->moe.n_pairs, 1, w->id, w->n, &begin, &end);
    if (gets_more(m, l)) {
        adapt_pairs(w, &l->gate, in, false, m->buf.gate, begin, end);
        adapt_pairs(w, &l->up, in, false, m->buf.up, begin, end);
        for (size_t pair = begin; pair < end; pair++)
            add_biases(m, l, m->moe.pair_expert[pair], pair);
        meet(w);
    }
    prepare_activated(w, l, m->moe.act_pair, m->moe.n_act);
    linear_runs(w, &l->down, m->buf.expert);
    meet(w);
    if (l->down.low != NULL) {
        adapt_pairs(w, &l->down, m->buf.up, true, m->buf.expert, begin, end);
        meet(w); /* a token's pairs may be other members' */
    }
    lap(w, LIZ_PART_DOWN, m->moe.n_runs * linear_bytes(&l->down));
    for (size_t t = w->begin; t < w->end; t++) {
        sum_experts(m, l, t);
        stream_out(w, &l->ffn_post_norm, t);
    }
    lap(w, LIZ_PART_RESIDUAL, 0);
}
