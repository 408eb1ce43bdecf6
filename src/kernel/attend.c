/* attend.c - key blocks on the outside, rows inside.
 *
 * By products: a page of keys lies like two panels of weights, a row a key, so scores are a product of the queries with
 * it, in the order that attention.h defines: chains of even and odd elements for each 32. A page of values lies like
 * one group of panels, a row an element, so p times values is the next product. Keys that a row does not see have p =
 * 0, which adds nothing to a sum of numbers. The steps between the products are the tier's own, for a few rows at a
 * time, so that these are found in the nearest cache by the next step; and a block is met by 32 rows after 32, whose
 * scores have room there.
 *
 * Pages are a few KiB each and lie far apart, so that no processor guesses the next one: each is asked for by hand
 * while another is computed with. */
#include "kernel/attend.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

enum { PAGE = LIZ_ATTN_PAGE, BLOCK = LIZ_KEY_BLOCK, LINE = 64, SOFTMAX_ROWS = 8 };

/* The scratch, cut up. */
typedef struct space {
    float *s, *o, *o_block; /* [meet, BLOCK], [rows, n_o], [meet, n_o] */
    float *q;               /* [rows, n_q] as the cache type wants it */
    float *m, *l;           /* [LIZ_ATTN_ROWS_READ] of the keys so far */
    uint16_t *p, *q_laid;   /* [meet, BLOCK], [LIZ_ATTN_ROWS_READ, n_embd_k] for products */
    size_t n_q, n_o;
} space;

static space space_of(const liz_attn *a)
{
    const size_t rows = LIZ_ATTN_ROWS, meet = LIZ_ATTN_MEET;
    size_t n_k = (size_t)a->n_embd_k, n_v = (size_t)a->n_embd_v;
    space w = {.n_q = LIZ_ATTN_QUERY_FLOATS(n_k), .n_o = LIZ_ATTN_VALUE_FLOATS(n_v)};
    w.s = a->scratch;
    w.o = w.s + meet * BLOCK;
    w.o_block = w.o + rows * w.n_o;
    w.q = w.o_block + meet * w.n_o;
    w.m = w.q + rows * w.n_q;
    w.l = w.m + LIZ_ATTN_ROWS_READ;
    w.p = (uint16_t *)(void *)(w.l + LIZ_ATTN_ROWS_READ);
    w.q_laid = w.p + meet * BLOCK;
    return w;
}

bool liz_attn_multiplies(const liz_attn *a, size_t n_rows)
{
    return n_rows >= 2 && a->kernel->attn_scores != NULL && a->elem == LIZ_ATTN_BF16 &&
           a->n_embd_k % LIZ_GROUP_LEN == 0 && a->n_embd_v % (2 * LIZ_PANEL_ROWS) == 0;
}

void liz_attn_add(liz_attn *a, liz_attn_row row)
{
    space w = space_of(a);
    size_t i = a->n_rows++, n_k = (size_t)a->n_embd_k;
    a->rows[i] = row;
    w.m[i] = -INFINITY;
    w.l[i] = 0;
    memset(w.o + i * w.n_o, 0, w.n_o * sizeof *w.o);
    a->kernel->attn_query[a->elem](row.q, a->n_embd_k, w.q + i * w.n_q);
    if (liz_attn_multiplies(a, LIZ_ATTN_ROWS))
        a->kernel->lay_bf16(row.q, n_k, LIZ_GROUP_LEN, w.q_laid + i * n_k);
}

/* What a row sees of the block at key `at`. */
static liz_attn_seen seen_of(const liz_attn_row *row, size_t at)
{
    return (liz_attn_seen){row->first_key > at ? row->first_key - at : 0,
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

/* What some rows sum over a block, of which o is in the scratch. */
typedef struct block_sums {
    float m[LIZ_ATTN_MEET], l[LIZ_ATTN_MEET];
} block_sums;

/* A block from key `at` on: its pages, and behind them n_next of the next block's. The first rows that meet it ask for
 * pages to come. */
typedef struct block {
    const uint8_t *const *k, *const *v;
    size_t at, n_next;
    bool asked;
} block;

static void meet_alone(const liz_attn *a, const space *w, size_t begin, size_t end, const block *b, block_sums *sums)
{
    for (size_t i = begin; i < end; i++) {
        if (!b->asked) {
            ask_for(b->k + BLOCK / PAGE, b->n_next, a->k_bytes, i - begin, end - begin);
            ask_for(b->v + BLOCK / PAGE, b->n_next, a->v_bytes, i - begin, end - begin);
        }
        liz_attn_seen keys = seen_of(&a->rows[i], b->at);
        if (keys.first >= keys.end)
            continue;
        sums->l[i - begin] = a->kernel->attn_block[a->elem](&(liz_attn_block){.q = w->q + i * w->n_q,
                                                                              .k = b->k,
                                                                              .v = b->v,
                                                                              .seen = keys,
                                                                              .n_embd_k = a->n_embd_k,
                                                                              .n_embd_v = a->n_embd_v,
                                                                              .scale = a->scale,
                                                                              .softcap = a->softcap,
                                                                              .s = w->s},
                                                            &sums->m[i - begin], w->o_block + (i - begin) * w->n_o);
    }
}

static void meet_together(const liz_attn *a, const space *w, size_t begin, size_t end, const block *b,
                          liz_attn_seen all, block_sums *sums)
{
    const liz_kernel *kernel = a->kernel;
    size_t n_rows = end - begin;
    size_t first_page = all.first / PAGE, end_page = liz_div_up(all.end, PAGE);
    liz_attn_seen seen[LIZ_ATTN_MEET];
    for (size_t i = 0; i < n_rows; i++)
        seen[i] = seen_of(&a->rows[begin + i], b->at);
    for (size_t page = first_page; page < end_page; page++) {
        if (!b->asked)
            ask_for(&b->v[page], 1, a->v_bytes, 0, 1);
        kernel->attn_scores(b->k[page], w->q_laid + begin * (size_t)a->n_embd_k, a->n_embd_k, n_rows,
                            w->s + page * PAGE);
    }
    liz_attn_scores scores = {.order = kernel->lay_order,
                              .begin = first_page * PAGE,
                              .end = end_page * PAGE,
                              .scale = a->scale,
                              .softcap = a->softcap,
                              .round = true};
    for (size_t i = 0; i < n_rows; i += scores.n_rows) {
        scores.s = w->s + i * BLOCK;
        scores.p = w->p + i * BLOCK;
        scores.seen = seen + i;
        scores.n_rows = liz_least(n_rows - i, SOFTMAX_ROWS);
        if (!b->asked)
            ask_for(b->k + BLOCK / PAGE, b->n_next, a->k_bytes, i / SOFTMAX_ROWS, liz_div_up(n_rows, SOFTMAX_ROWS));
        kernel->attn_softmax(&scores, sums->m + i, sums->l + i);
    }
    kernel->attn_values(b->v + first_page, end_page - first_page, w->p, a->n_embd_v, n_rows, w->o_block, w->n_o);
}

/* Rows [begin, end) take in what they sum over a block. */
static void merge(const liz_attn *a, const space *w, size_t begin, size_t end, block_sums *sums)
{
    liz_attn_sums run = {w->m + begin, w->l + begin, w->o + begin * w->n_o, w->n_o};
    liz_attn_sums met = {sums->m, sums->l, w->o_block, w->n_o};
    a->kernel->attn_merge(&run, &met, end - begin, a->n_embd_v);
}

/* Up to LIZ_ATTN_MEET rows meet a block, if they see any of it. */
static void meet(const liz_attn *a, const space *w, size_t begin, size_t end, block *b)
{
    liz_attn_seen all = {BLOCK, 0};
    block_sums sums = {0};
    for (size_t i = begin; i < end; i++) {
        liz_attn_seen keys = seen_of(&a->rows[i], b->at);
        if (keys.first < keys.end)
            all = (liz_attn_seen){liz_least(all.first, keys.first), liz_most(all.end, keys.end)};
    }
    if (all.end == 0)
        return;
    if (liz_attn_multiplies(a, end - begin))
        meet_together(a, w, begin, end, b, all, &sums);
    else
        meet_alone(a, w, begin, end, b, &sums);
    merge(a, w, begin, end, &sums);
    b->asked = true;
}

void liz_attn_look(liz_attn *a, size_t begin, size_t end, const uint8_t *const *k, const uint8_t *const *v, size_t from,
                   size_t to)
{
    space w = space_of(a);
    for (size_t at = from; at < to; at += BLOCK) {
        size_t n_left = to - at > BLOCK ? to - at - BLOCK : 0;
        block b = {k + at / PAGE, v + at / PAGE, at, liz_least(liz_div_up(n_left, PAGE), BLOCK / PAGE), false};
        for (size_t i = begin; i < end; i += LIZ_ATTN_MEET)
            meet(a, &w, i, liz_least(i + LIZ_ATTN_MEET, end), &b);
    }
}

/* A sink is a block without values. */
static void add_sinks(const liz_attn *a, const space *w, size_t begin, size_t end)
{
    block_sums sums = {0};
    for (size_t i = begin; i < end; i++) {
        const float *sink = a->rows[i].sink;
        sums.m[i - begin] = sink != NULL ? *sink : 0;
        sums.l[i - begin] = sink != NULL;
    }
    memset(w->o_block, 0, (end - begin) * w->n_o * sizeof *w->o_block);
    merge(a, w, begin, end, &sums);
}

void liz_attn_finish(liz_attn *a)
{
    space w = space_of(a);
    size_t n_v = (size_t)a->n_embd_v;
    for (size_t i = 0; i < a->n_rows; i += LIZ_ATTN_MEET)
        if (a->rows[i].sink != NULL)
            add_sinks(a, &w, i, liz_least(i + LIZ_ATTN_MEET, a->n_rows));
    for (size_t i = 0; i < a->n_rows; i++) {
        liz_attn_row *row = &a->rows[i];
        memset(row->out, 0, n_v * sizeof *row->out);
        a->kernel->add_scaled(w.o + i * w.n_o, 1.0f / w.l[i], n_v, row->out);
    }
}
