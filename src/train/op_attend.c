/* op_attend.c - causal attention within documents, forwards and backwards.
 *
 * The work is cut into items: a document and a key/value head. An item lays its keys and values out as operands once,
 * then takes its queries 64 at a time against the keys up to their last; probabilities are computed again in the
 * backward from the saved log-sums (Dao et al. 2022), so nothing of size n x n is kept. With p = softmax(s):
 * dv = p^T do, dp = do v^T, ds = p (dp - sum(do o)) times the slope of scale and soft-cap, dq = ds k, dk = ds^T q. */
#include "train/tape_ops.h"

#include <math.h>
#include <string.h>

/* One item, with the member's space cut up. */
typedef struct item {
    liz_tape *tape;
    const liz_op *op;
    size_t begin, n; /* the document */
    size_t q_width, kv_width, n_pad;
    int kv_head, hd;
    liz_panels k, v, k_back, v_back; /* [n, hd] twice, and their transposes [hd, n] */
    liz_panels q_back, do_back;      /* [hd, queries] */
    liz_rows left, keys_left;        /* [queries, hd or n] and [n, queries] */
    float *s, *dp;                   /* [queries, n_pad] */
} item;

/* Without a block only counts. */
static void item_space(item *it, liz_carver *b)
{
    const liz_gemm *g = &it->tape->gemm;
    size_t n = it->n, hd = (size_t)it->hd, longest = n > hd ? n : hd, n_scores = LIZ_TAPE_QUERIES * it->n_pad;
    it->k.data = liz_carve(b, liz_panels_bytes(g, n, hd), 1);
    it->v.data = liz_carve(b, liz_panels_bytes(g, n, hd), 1);
    it->k_back.data = liz_carve(b, liz_panels_bytes(g, hd, n), 1);
    it->v_back.data = liz_carve(b, liz_panels_bytes(g, hd, n), 1);
    it->q_back.data = liz_carve(b, liz_panels_bytes(g, hd, LIZ_TAPE_QUERIES), 1);
    it->do_back.data = liz_carve(b, liz_panels_bytes(g, hd, LIZ_TAPE_QUERIES), 1);
    it->left.data = liz_carve(b, liz_rows_bytes(g, LIZ_TAPE_QUERIES, longest), 1);
    it->keys_left.data = liz_carve(b, liz_rows_bytes(g, n, LIZ_TAPE_QUERIES), 1);
    it->s = liz_carve(b, n_scores, sizeof(float));
    it->dp = liz_carve(b, n_scores, sizeof(float));
}

static void item_init(item *it, liz_tape *tape, const liz_op *op, size_t begin, size_t n, int kv_head)
{
    *it = (item){.tape = tape, .op = op, .begin = begin, .n = n, .kv_head = kv_head, .hd = op->attend.n_embd};
    it->q_width = (size_t)op->attend.n_head * (size_t)it->hd;
    it->kv_width = (size_t)op->attend.n_head_kv * (size_t)it->hd;
    it->n_pad = liz_div_up(n, 32) * 32;
}

size_t liz_op_attend_floats(const liz_tape *tape, const liz_op *op)
{
    item it;
    liz_carver b = {0};
    item_init(&it, (liz_tape *)tape, op, 0, tape->opts.n_tok_max, 0);
    item_space(&it, &b);
    return b.used / sizeof(float);
}

static liz_source rows_of(const float *x, size_t stride) { return (liz_source){x, stride, false}; }
static liz_source columns_of(const float *x, size_t stride) { return (liz_source){x, stride, true}; }

static void put_panels(item *it, liz_panels *b, size_t n, size_t k, liz_source from)
{
    b->n = n;
    b->k = k;
    liz_panels_put(&it->tape->gemm, b, from, 0, liz_panel_count(n), false);
}

static void put_rows(item *it, liz_rows *a, size_t m, size_t k, liz_source from)
{
    a->m = m;
    a->k = k;
    liz_rows_put(&it->tape->gemm, a, from, 0, m);
}

/* c [left->m, ...] against the first n outputs of b. */
static void mul(item *it, const liz_rows *left, const liz_panels *b, size_t n, float *c, size_t stride, bool add)
{
    liz_gemm_mul(&it->tape->gemm, left, b, 0, left->m, 0, liz_panel_count(n), c, stride,
                 add ? LIZ_GEMM_ADD : LIZ_GEMM_PUT);
}

/* Where this item's key/value head, or query head `h` of its group, begins. */
static float *kv_at(const item *it, float *x) { return x + it->begin * it->kv_width + (size_t)(it->kv_head * it->hd); }
static float *q_at(const item *it, float *x, int h, size_t query)
{
    int group = it->op->attend.n_head / it->op->attend.n_head_kv;
    return x + (it->begin + query) * it->q_width + (size_t)((it->kv_head * group + h) * it->hd);
}

/* The log-sum of a query's scores, which forward leaves for backward. */
static float *log_sum_at(const item *it, int h, size_t query)
{
    int n_head = it->op->attend.n_head, head = it->kv_head * (n_head / it->op->attend.n_head_kv) + h;
    return it->op->saved + (it->begin + query) * (size_t)n_head + (size_t)head;
}

static size_t first_key(const item *it, size_t query)
{
    size_t window = it->op->attend.window;
    return window != 0 && query + 1 > window ? query + 1 - window : 0;
}

/* Scores of queries [q0, q1) against keys [0, q1), scaled and capped; keys a query does not see are -infinity. */
static void scores(item *it, int h, size_t q0, size_t q1)
{
    const liz_tape *tape = it->tape;
    const liz_attend_shape *shape = &it->op->attend;
    put_rows(it, &it->left, q1 - q0, (size_t)it->hd,
             rows_of(q_at(it, liz_tape_at(tape, it->op->in[0])->x, h, q0), it->q_width));
    it->k.n = q1;
    mul(it, &it->left, &it->k, q1, it->s, it->n_pad, false);
    for (size_t q = q0; q < q1; q++) {
        float *s = it->s + (q - q0) * it->n_pad;
        size_t first = first_key(it, q), n = q + 1 - first;
        for (size_t j = 0; j < first; j++)
            s[j] = -INFINITY;
        tape->kernel.scale(s + first, shape->scale, n, s + first);
        if (shape->softcap > 0)
            tape->kernel.softcap(s + first, shape->softcap, n, s + first);
        for (size_t j = q + 1; j < q1; j++)
            s[j] = -INFINITY;
    }
}

/* Probabilities from a query's scores [n]; keeps their log-sum, in which a sink counts too. */
static void query_softmax(const item *it, int h, size_t query, float *s, size_t n)
{
    const liz_tape *tape = it->tape;
    const float *sinks = it->op->attend.sinks;
    float *log_sum = log_sum_at(it, h, query);
    *log_sum = tape->grad.softmax(s, n);
    if (sinks == NULL)
        return;
    int group = it->op->attend.n_head / it->op->attend.n_head_kv;
    float both[2] = {*log_sum, sinks[it->kv_head * group + h]};
    *log_sum = tape->grad.softmax(both, 2);
    tape->kernel.scale(s, both[0], n, s);
}

static void forward_item(item *it, int h)
{
    const liz_tape *tape = it->tape;
    float *out = liz_tape_at(tape, it->op->out)->x;
    for (size_t q0 = 0; q0 < it->n; q0 += LIZ_TAPE_QUERIES) {
        size_t q1 = liz_least(q0 + LIZ_TAPE_QUERIES, it->n);
        scores(it, h, q0, q1);
        for (size_t q = q0; q < q1; q++)
            query_softmax(it, h, q, it->s + (q - q0) * it->n_pad, q1);
        put_rows(it, &it->left, q1 - q0, q1, rows_of(it->s, it->n_pad));
        mul(it, &it->left, &it->v_back, (size_t)it->hd, q_at(it, out, h, q0), it->q_width, false);
    }
}

/* Over `dp` the gradient of the raw scores; `s` holds the capped scores and becomes the probabilities. */
static void score_gradients(item *it, int h, size_t q0, size_t q1)
{
    const liz_tape *tape = it->tape;
    const liz_attend_shape *shape = &it->op->attend;
    const liz_tensor *out = liz_tape_at(tape, it->op->out);
    for (size_t q = q0; q < q1; q++) {
        float *s = it->s + (q - q0) * it->n_pad, *dp = it->dp + (q - q0) * it->n_pad;
        float shift = tape->grad.dot(q_at(it, out->x, h, q), q_at(it, out->dx, h, q), (size_t)it->hd);
        for (size_t j = 0; j < q1; j++)
            dp[j] -= shift;
        if (shape->softcap > 0) { /* while the scores are still there; keys that are not seen have none */
            size_t first = first_key(it, q);
            tape->grad.softcap_back(s + first, shape->softcap, dp + first, q + 1 - first, dp + first);
        }
        tape->grad.exp_of(s, *log_sum_at(it, h, q), q1, s);
        tape->grad.mul_scaled(s, shape->scale, q1, dp);
    }
}

static void backward_item(item *it, int h)
{
    const liz_tape *tape = it->tape;
    const liz_tensor *q = liz_tape_at(tape, it->op->in[0]), *k = liz_tape_at(tape, it->op->in[1]);
    const liz_tensor *v = liz_tape_at(tape, it->op->in[2]), *out = liz_tape_at(tape, it->op->out);
    size_t hd = (size_t)it->hd;
    for (size_t q0 = 0; q0 < it->n; q0 += LIZ_TAPE_QUERIES) {
        size_t q1 = liz_least(q0 + LIZ_TAPE_QUERIES, it->n), n = q1 - q0;
        scores(it, h, q0, q1);
        put_rows(it, &it->left, n, hd, rows_of(q_at(it, out->dx, h, q0), it->q_width));
        it->v.n = q1;
        mul(it, &it->left, &it->v, q1, it->dp, it->n_pad, false);
        score_gradients(it, h, q0, q1);

        put_rows(it, &it->left, n, q1, rows_of(it->dp, it->n_pad));
        mul(it, &it->left, &it->k_back, hd, q_at(it, q->dx, h, q0), it->q_width, !it->op->first[0]);
        put_panels(it, &it->q_back, hd, n, columns_of(q_at(it, q->x, h, q0), it->q_width));
        put_rows(it, &it->keys_left, q1, n, columns_of(it->dp, it->n_pad));
        mul(it, &it->keys_left, &it->q_back, hd, kv_at(it, k->dx), it->kv_width, true);
        put_panels(it, &it->do_back, hd, n, columns_of(q_at(it, out->dx, h, q0), it->q_width));
        put_rows(it, &it->keys_left, q1, n, columns_of(it->s, it->n_pad));
        mul(it, &it->keys_left, &it->do_back, hd, kv_at(it, v->dx), it->kv_width, true);
    }
}

static void clear(const item *it, float *x)
{
    for (size_t t = 0; t < it->n; t++)
        memset(kv_at(it, x) + t * it->kv_width, 0, (size_t)it->hd * sizeof(float));
}

static void each_item(liz_tape *tape, const liz_op *op, bool backward, int member, int n_members)
{
    const liz_attend_shape *shape = &op->attend;
    const liz_tensor *k = liz_tape_at(tape, op->in[1]), *v = liz_tape_at(tape, op->in[2]);
    size_t n_items = tape->batch->n_segments * (size_t)shape->n_head_kv;
    for (size_t i = (size_t)member; i < n_items; i += (size_t)n_members) {
        const liz_segment *segment = &tape->batch->segments[i / (size_t)shape->n_head_kv];
        item it;
        item_init(&it, tape, op, segment->begin, segment->n, (int)(i % (size_t)shape->n_head_kv));
        item_space(&it, &(liz_carver){.base = (uint8_t *)liz_tape_own(tape, member)});
        size_t n = it.n, hd = (size_t)it.hd;
        put_panels(&it, &it.k, n, hd, rows_of(kv_at(&it, k->x), it.kv_width));
        put_panels(&it, &it.v_back, hd, n, columns_of(kv_at(&it, v->x), it.kv_width));
        if (backward) {
            put_panels(&it, &it.v, n, hd, rows_of(kv_at(&it, v->x), it.kv_width));
            put_panels(&it, &it.k_back, hd, n, columns_of(kv_at(&it, k->x), it.kv_width));
            if (op->first[1])
                clear(&it, k->dx);
            if (op->first[2])
                clear(&it, v->dx);
        }
        for (int h = 0; h < shape->n_head / shape->n_head_kv; h++)
            (backward ? backward_item : forward_item)(&it, h);
    }
}

void liz_op_attend_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    each_item(tape, op, false, member, n_members);
}

void liz_op_attend_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    each_item(tape, op, true, member, n_members);
}
