/* op_experts.c - a mixture of frozen experts, forwards and backwards.
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

/* One expert's matrices, and the pairs (a token and the rank that the expert has with it) that meet it. */
typedef struct expert {
    liz_param gate, up, down;
    const float *gate_bias, *up_bias, *down_bias; /* may be NULL */
    const int32_t *pairs;                         /* [n] token * n_used + rank */
    size_t n;
} expert;

static size_t used(const liz_op *op) { return (size_t)op->experts.h->n_expert_used; }

static liz_param nth(const liz_expert_matrix *m, size_t e)
{
    liz_param p = *m->param;
    p.file += e * m->step * p.file_row_bytes;
    return p;
}

static const float *nth_bias(const liz_expert_matrix *m, size_t e) { return m->bias ? m->bias + e * m->step : NULL; }

static expert expert_of(const liz_tape *tape, const liz_op *op, size_t e)
{
    const liz_expert_plan *plan = &op->experts;
    const int32_t *begin = tape->space.experts.begin;
    return (expert){nth(&plan->gate, e),
                    nth(&plan->up, e),
                    nth(&plan->down, e),
                    nth_bias(&plan->gate, e),
                    nth_bias(&plan->up, e),
                    nth_bias(&plan->down, e),
                    tape->space.experts.pairs + begin[e],
                    (size_t)(begin[e + 1] - begin[e])};
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

/* Gathered rows to `gate`, `up`, `act` and `out`, complete for this member's rows [begin, end). */
static void ahead(liz_tape *tape, const liz_op *op, const expert *e, size_t begin, size_t end, int member,
                  int n_members)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *x = liz_tape_at(tape, op->in[0]);
    size_t n = x->width, n_ff = e->up.n_out;
    for (size_t i = begin; i < end; i++)
        memcpy(s->x + i * n, x->x + (size_t)e->pairs[i] / used(op) * n, n * sizeof(float));
    liz_tape_put_rows(tape, s->x, e->n, n, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->gate, false, s->gate, false, member, n_members);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->up, false, s->up, false, member, n_members);
    for (size_t i = begin; i < end; i++) {
        add_bias(tape, e->gate_bias, n_ff, s->gate + i * n_ff);
        add_bias(tape, e->up_bias, n_ff, s->up + i * n_ff);
        (op->experts.oai ? tape->kernel.swiglu_oai : tape->kernel.silu_mul)(s->gate + i * n_ff, s->up + i * n_ff, n_ff,
                                                                            s->act + i * n_ff);
    }
    liz_tape_put_rows(tape, s->act, e->n, n_ff, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->down, false, s->out, false, member, n_members);
    for (size_t i = begin; i < end; i++)
        add_bias(tape, e->down_bias, n, s->out + i * n);
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

/* From `out` complete: the slopes of its pairs, and the gradients of its tokens' inputs. */
static void back(liz_tape *tape, const liz_op *op, const expert *e, size_t begin, size_t end, int member, int n_members)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n = x->width, n_ff = e->up.n_out;
    for (size_t i = begin; i < end; i++) {
        const float *dy = y->dx + (size_t)e->pairs[i] / used(op) * n;
        s->slopes[e->pairs[i]] = tape->grad.dot(dy, s->out + i * n, n);
        tape->kernel.scale(dy, s->weights[e->pairs[i]], n, s->out + i * n);
    }
    liz_tape_put_rows(tape, s->out, e->n, n, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->down, true, s->dact, false, member, n_members);
    for (size_t i = begin; i < end; i++) { /* the gate's gradient in the place of `act` */
        size_t at = i * n_ff;
        if (op->experts.oai)
            oai_back(tape, s->gate + at, s->up + at, s->dact + at, n_ff, s->act + at, s->dup + at);
        else
            tape->grad.silu_mul_back(s->gate + at, s->up + at, s->dact + at, n_ff, s->act + at, s->dup + at);
    }
    liz_tape_put_rows(tape, s->act, e->n, n_ff, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->gate, true, s->x, false, member, n_members);
    liz_tape_put_rows(tape, s->dup, e->n, n_ff, member, n_members);
    liz_team_barrier(tape->team);
    liz_tape_mul_weight(tape, &tape->space.rows, &e->up, true, s->x, true, member, n_members);
    for (size_t i = begin; i < end; i++) {
        float *dx = x->dx + (size_t)e->pairs[i] / used(op) * n;
        tape->kernel.add(dx, s->x + i * n, n, dx);
    }
}

/* ---- The operation ---- */

static void clear(const liz_tape *tape, float *x, size_t width, int member, int n_members)
{
    size_t begin, end;
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    memset(x + begin * width, 0, (end - begin) * width * sizeof *x);
}

void liz_op_experts_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_expert_space *s = &tape->space.experts;
    const liz_tensor *y = liz_tape_at(tape, op->out);
    clear(tape, y->x, y->width, member, n_members);
    route(tape, op, member, n_members);
    for (size_t i = 0; i < (size_t)op->experts.h->n_expert; i++) {
        expert e = expert_of(tape, op, i);
        size_t begin, end;
        if (e.n == 0)
            continue;
        liz_team_share(e.n, 1, member, n_members, &begin, &end);
        ahead(tape, op, &e, begin, end, member, n_members);
        for (size_t k = begin; k < end; k++)
            tape->kernel.add_scaled(s->out + k * y->width, s->weights[e.pairs[k]], y->width,
                                    y->x + (size_t)e.pairs[k] / used(op) * y->width);
        liz_team_barrier(tape->team); /* a token's next expert may be another member's */
    }
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
    for (size_t i = 0; i < (size_t)op->experts.h->n_expert; i++) {
        expert e = expert_of(tape, op, i);
        if (e.n == 0)
            continue;
        liz_team_share(e.n, 1, member, n_members, &begin, &end);
        ahead(tape, op, &e, begin, end, member, n_members);
        back(tape, op, &e, begin, end, member, n_members);
        liz_team_barrier(tape->team);
    }
    liz_team_share(tape->batch->n_tok, 1, member, n_members, &begin, &end);
    for (size_t t = begin; t < end; t++)
        route_back(tape, op, t);
}
