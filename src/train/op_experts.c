/* op_experts.c - a mixture of frozen experts and their adapters, forwards and backwards.
 *
 * Routing is that of running models (model_moe.h). Then expert after expert: the rows of its tokens are gathered, meet
 * its matrices as those of any frozen product, and go back to their tokens, so that each expert is decoded once. All
 * members work on one expert together. The backward computes an expert's rows again, turns the gradient of its output
 * into those of its input and, through the weight it has with a token, of the router's logits. Which experts a token
 * meets is not differentiable and taken as given. */
#include "model/model_moe.h"
#include "train/tape_ops.h"

#include <math.h>
#include <string.h>

/* A matrix of one expert, with its adapter where it has one. */
typedef struct matrix {
    liz_param w;
    const float *bias;      /* may be NULL */
    const liz_param *a, *b; /* NULL: none */
    float *low;             /* scale * A x */
    float scale;
} matrix;

/* One expert's matrices, and the pairs (a token and the rank that the expert has with it) that meet it. */
typedef struct expert {
    matrix gate, up, down;
    const int32_t *pairs; /* [n] token * n_used + rank */
    size_t n;
} expert;

static size_t used(const liz_op *op) { return (size_t)op->experts.h->n_expert_used; }

static matrix matrix_of(const liz_tape *tape, const liz_op *op, const liz_expert_matrix *m, float *low, size_t e)
{
    matrix own = {.w = *m->param, .bias = m->bias ? m->bias + e * m->step : NULL};
    own.w.file += e * m->step * own.w.file_row_bytes;
    if (m->rank > 0) {
        own.a = tape->params[m->adapters + e];
        own.b = tape->params[m->adapters + (size_t)op->experts.h->n_expert + e];
        own.low = low;
        own.scale = op->experts.lora_scale;
    }
    return own;
}

static expert expert_of(const liz_tape *tape, const liz_op *op, size_t e)
{
    const liz_expert_plan *plan = &op->experts;
    const liz_expert_space *s = &tape->space.experts;
    return (expert){matrix_of(tape, op, &plan->gate, s->low[0], e), matrix_of(tape, op, &plan->up, s->low[1], e),
                    matrix_of(tape, op, &plan->down, s->low[2], e), s->pairs + s->begin[e],
                    (size_t)(s->begin[e + 1] - s->begin[e])};
}

/* ---- Routing ---- */

/* The pairs by expert, tokens in their order. */
static void group(const liz_tape *tape, const liz_op *op)
{
    const liz_expert_space *s = &tape->space.experts;
    size_t n = tape->batch->n_tok * used(op), n_expert = (size_t)op->experts.h->n_expert;
    memset(s->begin, 0, (n_expert + 1) * sizeof *s->begin);
    for (size_t i = 0; i < n; i++)
        s->begin[s->chosen[i] + 1]++;
    for (size_t e = 0; e < n_expert; e++)
        s->begin[e + 1] += s->begin[e];
    for (size_t i = n; i-- > 0;) /* from the end, so that begin moves back to where it belongs */
        s->pairs[--s->begin[s->chosen[i] + 1]] = (int32_t)i;
    memmove(s->begin, s->begin + 1, n_expert * sizeof *s->begin);
    s->begin[n_expert] = (int32_t)n;
}

static void route(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *router = liz_tape_at(tape, op->in[1]);
    size_t begin, end, n = router->width;
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        memcpy(s->p + t * n, router->x + t * n, n * sizeof(float));
        liz_moe_route(&tape->kernel, op->experts.h, s->p + t * n, op->experts.choose_bias, liz_tape_own(tape, member),
                      s->chosen + t * used(op), s->weights + t * used(op));
    }
    liz_team_barrier(tape->team);
    if (member == 0)
        group(tape, op);
    liz_team_barrier(tape->team);
}

/* The gradient of a token's logits from those of its experts' weights. */
static void route_back(const liz_tape *tape, const liz_op *op, size_t t)
{
    const liz_hparams *h = op->experts.h;
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *router = liz_tape_at(tape, op->in[1]);
    const float *p = s->p + t * router->width, *slope = s->slopes + t * used(op), *w = s->weights + t * used(op);
    const int32_t *chosen = s->chosen + t * used(op);
    float *dx = router->dx + t * router->width, dp[LIZ_TAPE_EXPERTS_USED], sum = 0, mean = 0;
    bool of_chosen = h->router == LIZ_ROUTER_CHOSEN;
    for (size_t i = 0; i < used(op); i++)
        sum += of_chosen ? w[i] : p[chosen[i]];
    for (size_t i = 0; i < used(op) && (h->router_norm || of_chosen); i++)
        mean += slope[i] * (of_chosen ? w[i] : p[chosen[i]]) / sum;
    for (size_t i = 0; i < used(op); i++)
        dp[i] = h->expert_scale * (slope[i] - mean) / (h->router_norm && !of_chosen ? sum : 1);
    mean = 0;
    for (size_t i = 0; i < used(op) && h->router == LIZ_ROUTER_SOFTMAX; i++)
        mean += dp[i] * p[chosen[i]];
    for (size_t e = 0; e < router->width && h->router == LIZ_ROUTER_SOFTMAX; e++)
        dx[e] -= mean * p[e];
    for (size_t i = 0; i < used(op); i++) {
        float own = of_chosen ? w[i] / h->expert_scale : p[chosen[i]];
        dx[chosen[i]] += dp[i] * own * (h->router == LIZ_ROUTER_SIGMOID ? 1 - own : 1);
    }
}

/* ---- One expert ---- */

static void add_bias(const liz_tape *tape, const float *bias, size_t n, float *y)
{
    if (bias != NULL)
        tape->kernel.add(y, bias, n, y);
}

/* An expert's rows in a step, of which this member has [begin, end) where rows are shared. */
typedef struct share {
    size_t n, begin, end;
    int member, n_members;
} share;

static void scale_rows(const liz_tape *tape, float *x, float scale, size_t width, const share *r)
{
    if (r->end > r->begin)
        tape->kernel.scale(x + r->begin * width, scale, (r->end - r->begin) * width, x + r->begin * width);
}

static void put_rows(liz_tape *tape, const float *x, size_t width, const share *r)
{
    liz_tape_put_rows(tape, x, r->n, width, r->member, r->n_members);
    liz_team_barrier(tape->team);
}

/* y += B (scale A x), x being laid out as rows; those of x are lost. */
static void adapt(liz_tape *tape, const matrix *m, float *y, const share *r)
{
    if (m->a == NULL)
        return;
    liz_tape_mul_weight(tape, &tape->space.rows, m->a, false, m->low, false, r->member, r->n_members);
    liz_team_barrier(tape->team);
    scale_rows(tape, m->low, m->scale, m->a->n_out, r);
    put_rows(tape, m->low, m->a->n_out, r);
    liz_tape_mul_weight(tape, &tape->space.rows, m->b, false, y, true, r->member, r->n_members);
    liz_team_barrier(tape->team);
}

/* y = W x + bias with its adapter; complete for this member's rows. */
static void multiply(liz_tape *tape, const matrix *m, const float *x, float *y, const share *r)
{
    put_rows(tape, x, m->w.n_in, r);
    liz_tape_mul_weight(tape, &tape->space.rows, &m->w, false, y, false, r->member, r->n_members);
    adapt(tape, m, y, r);
    for (size_t i = r->begin; i < r->end; i++)
        add_bias(tape, m->bias, m->w.n_out, y + i * m->w.n_out);
}

/* Gathered rows to `gate`, `up`, `act` and `out`, complete for this member's rows. */
static void ahead(liz_tape *tape, const liz_op *op, const expert *e, const share *r)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    size_t n = x->width, n_ff = e->up.w.n_out;
    for (size_t i = r->begin; i < r->end; i++)
        memcpy(s->x + i * n, x->x + (size_t)e->pairs[i] / used(op) * n, n * sizeof(float));
    multiply(tape, &e->gate, s->x, s->gate, r);
    multiply(tape, &e->up, s->x, s->up, r);
    for (size_t i = r->begin; i < r->end; i++)
        (op->experts.oai ? tape->kernel.swiglu_oai : tape->kernel.silu_mul)(s->gate + i * n_ff, s->up + i * n_ff, n_ff,
                                                                            s->act + i * n_ff);
    multiply(tape, &e->down, s->act, s->out, r);
}

/* Of swiglu_oai (kernel.h), whose bounds let no gradient pass. */
static void oai_back(const liz_tape *tape, const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                     float *dup)
{
    for (size_t i = 0; i < n; i++)
        dgate[i] = 1.702f * fminf(gate[i], 7);
    tape->kernel.sigmoid(dgate, n, dgate);
    for (size_t i = 0; i < n; i++) {
        float g = fminf(gate[i], 7), u = fmaxf(fminf(up[i], 7), -7), sigmoid = dgate[i];
        float slope = sigmoid + 1.702f * g * sigmoid * (1 - sigmoid);
        dgate[i] = gate[i] < 7 ? dy[i] * (u + 1) * slope : 0;
        dup[i] = up[i] > -7 && up[i] < 7 ? dy[i] * g * sigmoid : 0;
    }
}

/* dx += A^T (scale B^T dy) and the gradients of A and B, dy being laid out as rows. */
static void adapt_back(liz_tape *tape, const matrix *m, const float *x, const float *dy, float *dx, const share *r)
{
    float *dlow = tape->space.experts.dlow;
    if (m->a == NULL)
        return;
    liz_tape_put_gradients(tape, m->b, m->low, dy, r->n, r->member, r->n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, m->b, true, dlow, false, r->member, r->n_members);
    liz_tape_add_gradients(tape, m->b, NULL, dy, r->n, false, r->member, r->n_members);
    liz_team_barrier(tape->team);
    scale_rows(tape, dlow, m->scale, m->a->n_out, r);
    put_rows(tape, dlow, m->a->n_out, r);
    liz_tape_put_gradients(tape, m->a, x, dlow, r->n, r->member, r->n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, m->a, true, dx, true, r->member, r->n_members);
    liz_tape_add_gradients(tape, m->a, NULL, dlow, r->n, false, r->member, r->n_members);
    liz_team_barrier(tape->team);
}

/* Of multiply, dx = or += as `add` says. */
static void multiply_back(liz_tape *tape, const matrix *m, const float *x, const float *dy, float *dx, bool add,
                          const share *r)
{
    put_rows(tape, dy, m->w.n_out, r);
    liz_tape_mul_weight(tape, &tape->space.rows, &m->w, true, dx, add, r->member, r->n_members);
    adapt_back(tape, m, x, dy, dx, r);
}

/* From `out` complete: the slopes of its pairs, and the gradients of its tokens' inputs. */
static void back(liz_tape *tape, const liz_op *op, const expert *e, const share *r)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n = x->width, n_ff = e->up.w.n_out;
    for (size_t i = r->begin; i < r->end; i++) {
        const float *dy = y->dx + (size_t)e->pairs[i] / used(op) * n;
        s->slopes[e->pairs[i]] = tape->grad.dot(dy, s->out + i * n, n);
        tape->kernel.scale(dy, s->weights[e->pairs[i]], n, s->out + i * n);
    }
    multiply_back(tape, &e->down, s->act, s->out, s->dact, false, r);
    for (size_t i = r->begin; i < r->end; i++) { /* the gate's gradient in the place of `act` */
        size_t at = i * n_ff;
        if (op->experts.oai)
            oai_back(tape, s->gate + at, s->up + at, s->dact + at, n_ff, s->act + at, s->dup + at);
        else
            tape->grad.silu_mul_back(s->gate + at, s->up + at, s->dact + at, n_ff, s->act + at, s->dup + at);
    }
    multiply_back(tape, &e->gate, s->x, s->act, s->out, false, r); /* the input's in that of `out` */
    multiply_back(tape, &e->up, s->x, s->dup, s->out, true, r);
    for (size_t i = r->begin; i < r->end; i++) {
        float *dx = x->dx + (size_t)e->pairs[i] / used(op) * n;
        tape->kernel.add(dx, s->out + i * n, n, dx);
    }
}

/* ---- The operation ---- */

/* Computes every expert that has rows, which then go on. */
static void each_expert(liz_tape *tape, const liz_op *op, int member, int n_members,
                        void (*then)(liz_tape *, const liz_op *, const expert *, const share *))
{
    for (size_t i = 0; i < (size_t)op->experts.h->n_expert; i++) {
        expert e = expert_of(tape, op, i);
        share r = {e.n, .member = member, .n_members = n_members};
        if (e.n == 0)
            continue;
        liz_team_share(e.n, 1, member, n_members, &r.begin, &r.end);
        ahead(tape, op, &e, &r);
        then(tape, op, &e, &r);
        liz_team_barrier(tape->team); /* a token's next expert may be another member's */
    }
}

/* Adds `out` to the results of its tokens. */
static void give(liz_tape *tape, const liz_op *op, const expert *e, const share *r)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *y = liz_tape_at(tape, op->out);
    for (size_t i = r->begin; i < r->end; i++)
        tape->kernel.add_scaled(s->out + i * y->width, s->weights[e->pairs[i]], y->width,
                                y->x + (size_t)e->pairs[i] / used(op) * y->width);
}

static void clear(const liz_tape *tape, float *x, size_t width, int member, int n_members)
{
    size_t begin, end;
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    memset(x + begin * width, 0, (end - begin) * width * sizeof *x);
}

void liz_op_experts_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *y = liz_tape_at(tape, op->out);
    clear(tape, y->x, y->width, member, n_members);
    route(tape, op, member, n_members);
    each_expert(tape, op, member, n_members, give);
}

void liz_op_experts_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *router = liz_tape_at(tape, op->in[1]);
    size_t begin, end;
    if (op->first[0])
        clear(tape, x->dx, x->width, member, n_members);
    if (op->first[1])
        clear(tape, router->dx, router->width, member, n_members);
    route(tape, op, member, n_members);
    each_expert(tape, op, member, n_members, back);
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    for (size_t t = begin; t < end; t++)
        route_back(tape, op, t);
}
