/* attend.c - key blocks on the outside, rows inside.
 *
 * By products: a page of keys lies like two panels of weights, a row a key, so scores are a product of the queries with
 * it, in the order that attention.h defines: chains of even and odd elements for each 32. A page of values lies like
 * one group of panels, a row an element, so p times values is the next product. Keys that a row does not see have p =
 * 0, which adds nothing to a sum. The steps between the products are the tier's own, row by row.
 *
 * Pages are a few KiB each and lie far apart, so that no processor guesses the next one: each is asked for by hand
 * while another is computed with. */
#include "kernel/attend.h"

#include "base/checked.h"

#include <string.h>

enum { PAGE = LIZ_ATTN_PAGE, BLOCK = LIZ_KEY_BLOCK, LINE = 64 };

/* The scratch, cut up. */
typedef struct space {
    float *s, *o, *o_block; /* [rows, BLOCK], [rows, n_o] twice */
    float *q;               /* [rows, n_q] as the cache type wants it */
    uint16_t *p, *q_laid;   /* [rows, BLOCK], [LIZ_ATTN_ROWS_READ, n_embd_k] for products */
    size_t n_q, n_o;
} space;

static space space_of(const liz_attn *a)
{
    size_t rows = LIZ_ATTN_ROWS, n_k = (size_t)a->n_embd_k, n_v = (size_t)a->n_embd_v;
    space w = {.n_q = LIZ_ATTN_QUERY_FLOATS(n_k), .n_o = LIZ_ATTN_VALUE_FLOATS(n_v)};
    w.s = a->scratch;
    w.o = w.s + rows * BLOCK;
    w.o_block = w.o + rows * w.n_o;
    w.q = w.o_block + rows * w.n_o;
    w.p = (uint16_t *)(void *)(w.q + rows * w.n_q);
    w.q_laid = w.p + rows * BLOCK;
    return w;
}

bool liz_attn_multiplies(const liz_attn *a, size_t n_rows)
{
    return n_rows >= 2 && a->kernel->gemm_bf16 != NULL && a->elem == LIZ_ATTN_BF16 &&
           a->n_embd_k % LIZ_GROUP_LEN == 0 && a->n_embd_v % (2 * LIZ_PANEL_ROWS) == 0;
}

void liz_attn_add(liz_attn *a, liz_attn_row row)
{
    space w = space_of(a);
    size_t i = a->n_rows++, n_k = (size_t)a->n_embd_k;
    row.m = row.l = 0;
    a->rows[i] = row;
    a->kernel->attn_query[a->elem](row.q, a->n_embd_k, w.q + i * w.n_q);
    if (liz_attn_multiplies(a, LIZ_ATTN_ROWS))
        a->kernel->lay_bf16(row.q, n_k, LIZ_GROUP_LEN, w.q_laid + i * n_k);
}

/* The keys of a block, from its beginning, that a row sees: none where they end before they begin. */
typedef struct seen {
    size_t first, end;
} seen;

static seen seen_of(const liz_attn_row *row, size_t at)
{
    return (seen){row->first_key > at ? row->first_key - at : 0,
                  row->n_keys > at ? liz_least(row->n_keys - at, BLOCK) : 0};
}

/* Asks for part `i` of `n` of some pages: they are needed soon, and are perhaps in memory still. */
static void ask_for(const uint8_t *const *pages, size_t n_pages, size_t n_bytes, size_t i, size_t n)
{
    size_t begin = n_pages * n_bytes * i / n, end = n_pages * n_bytes * (i + 1) / n;
    for (size_t page = 0; page < n_pages; page++, begin -= liz_least(begin, n_bytes), end -= liz_least(end, n_bytes))
        for (size_t at = begin; at < liz_least(end, n_bytes); at += LINE)
            __builtin_prefetch(pages[page] + at, 0, 2);
}

/* A row has met a block: its sum of values in o_block, or straight in o where it is the first. */
static void take_in(const liz_attn *a, const space *w, liz_attn_row *row, size_t i, float m, float l)
{
    if (row->l > 0) {
        a->kernel->attn_merge(&row->m, &row->l, w->o + i * w->n_o, m, l, w->o_block + i * w->n_o, a->n_embd_v);
        return;
    }
    row->m = m;
    row->l = l;
}

static float *sums_of(const space *w, const liz_attn_row *row, size_t i)
{
    return (row->l > 0 ? w->o_block : w->o) + i * w->n_o;
}

/* A block from key `at` on: its pages, and behind them n_next of the next block's. */
typedef struct block {
    const uint8_t *const *k, *const *v;
    size_t at, n_next;
} block;

static void meet_alone(liz_attn *a, const space *w, size_t i, const block *b)
{
    liz_attn_row *row = &a->rows[i];
    seen keys = seen_of(row, b->at);
    if (keys.first >= keys.end)
        return;
    float m, l = a->kernel->attn_block[a->elem](&(liz_attn_block){.q = w->q + i * w->n_q,
                                                                  .k = b->k,
                                                                  .v = b->v,
                                                                  .first = keys.first,
                                                                  .end = keys.end,
                                                                  .n_embd_k = a->n_embd_k,
                                                                  .n_embd_v = a->n_embd_v,
                                                                  .scale = a->scale,
                                                                  .softcap = a->softcap,
                                                                  .s = w->s},
                                                &m, sums_of(w, row, i));
    take_in(a, w, row, i, m, l);
}

/* A row's scores of the pages of a block that some row sees, keys `all`, become p. */
static float weigh(const liz_attn *a, seen keys, seen all, float *s, float *m)
{
    float l = 0;
    size_t begin = all.end, end = all.end; /* pages whose p are there */
    if (keys.first < keys.end) {
        l = a->kernel->attn_softmax(s, keys.first, keys.end, a->scale, a->softcap, true, m);
        begin = keys.first / PAGE * PAGE;
        end = liz_div_up(keys.end, PAGE) * PAGE;
    }
    memset(s + all.first, 0, (begin - all.first) * sizeof *s);
    memset(s + end, 0, (all.end - end) * sizeof *s);
    return l;
}

static void meet_together(liz_attn *a, const space *w, size_t begin, size_t end, const block *b, seen all)
{
    const liz_kernel *kernel = a->kernel;
    size_t n_k = (size_t)a->n_embd_k, n_v = (size_t)a->n_embd_v, n_rows = end - begin;
    size_t first_page = all.first / PAGE, end_page = liz_div_up(all.end, PAGE), n_keys = (end_page - first_page) * PAGE;
    float m[LIZ_ATTN_ROWS], l[LIZ_ATTN_ROWS];
    liz_act_bf16 q = liz_act_rows(w->q_laid + begin * n_k, n_k), p = liz_act_rows(w->p, BLOCK);
    all = (seen){first_page * PAGE, end_page * PAGE};
    for (size_t page = first_page; page < end_page; page++) {
        ask_for(&b->v[page], 1, a->v_bytes, 0, 1);
        kernel->gemm_bf16(b->k[page], LIZ_PANEL_ROWS * n_k * sizeof(uint16_t), n_k / LIZ_GROUP_LEN, &q, n_rows,
                          w->s + page * PAGE, BLOCK, PAGE, LIZ_GEMM_PUT);
    }
    for (size_t i = 0; i < n_rows; i++) {
        float *s = w->s + i * BLOCK;
        ask_for(b->k + BLOCK / PAGE, b->n_next, a->k_bytes, i, n_rows);
        l[i] = weigh(a, seen_of(&a->rows[begin + i], b->at), all, s, &m[i]);
        kernel->lay_bf16(s + all.first, n_keys, LIZ_GROUP_LEN, w->p + i * BLOCK);
    }
    kernel->gemm_bf16_pages(b->v + first_page, end_page - first_page, &p, n_rows, w->o_block + begin * w->n_o, w->n_o,
                            n_v);
    for (size_t i = begin; i < end; i++) {
        liz_attn_row *row = &a->rows[i];
        if (l[i - begin] > 0 && row->l == 0)
            memcpy(w->o + i * w->n_o, w->o_block + i * w->n_o, n_v * sizeof *w->o);
        if (l[i - begin] > 0)
            take_in(a, w, row, i, m[i - begin], l[i - begin]);
    }
}

void liz_attn_look(liz_attn *a, size_t begin, size_t end, const uint8_t *const *k, const uint8_t *const *v, size_t from,
                   size_t to)
{
    space w = space_of(a);
    for (size_t at = from; at < to; at += BLOCK) {
        seen all = {BLOCK, 0};
        for (size_t i = begin; i < end; i++) {
            seen keys = seen_of(&a->rows[i], at);
            if (keys.first < keys.end)
                all = (seen){liz_least(all.first, keys.first), liz_most(all.end, keys.end)};
        }
        size_t n_left = to - at > BLOCK ? to - at - BLOCK : 0;
        block b = {k + at / PAGE, v + at / PAGE, at, liz_least(liz_div_up(n_left, PAGE), BLOCK / PAGE)};
        if (all.end > 0 && liz_attn_multiplies(a, end - begin))
            meet_together(a, &w, begin, end, &b, all);
        else if (all.end > 0)
            for (size_t i = begin; i < end; i++) {
                ask_for(b.k + BLOCK / PAGE, b.n_next, a->k_bytes, i - begin, end - begin);
                ask_for(b.v + BLOCK / PAGE, b.n_next, a->v_bytes, i - begin, end - begin);
                meet_alone(a, &w, i, &b);
            }
    }
}

void liz_attn_finish(liz_attn *a)
{
    space w = space_of(a);
    size_t n_v = (size_t)a->n_embd_v;
    for (size_t i = 0; i < a->n_rows; i++) {
        liz_attn_row *row = &a->rows[i];
        float *o = w.o + i * w.n_o;
        if (row->sink != NULL) {
            memset(w.o_block, 0, w.n_o * sizeof *o);
            a->kernel->attn_merge(&row->m, &row->l, o, *row->sink, 1.0f, w.o_block, a->n_embd_v);
        }
        memset(row->out, 0, n_v * sizeof *o);
        a->kernel->add_scaled(o, 1.0f / row->l, n_v, row->out);
    }
}
