/* attend_run.c - attention of neighbouring tokens together, by the products that multiply bfloat16 weights.
 *
 * A page of keys lies like two panels of weights, a row a key, so scores are a product of the run's queries with it, in
 * the order that attention.h defines: chains of even and odd elements for each 32. Values are laid out anew for a
 * block, pairs of keys beside each other, a row an element; p times values is the next product, 32 keys a group. What
 * is read and laid out serves all rows. Keys that a row does not see have p = 0, which adds nothing to a sum.
 *
 * The steps between the products are the tier's own, row by row. */
#include "kernel/kernel.h"

#include "base/checked.h"

#include <string.h>

enum { PAGE = LIZ_ATTN_PAGE, BLOCK = LIZ_KEY_BLOCK, PAIR_WORDS = 2 * LIZ_PANEL_ROWS };

/* The scratch, cut up. */
typedef struct space {
    float *s, *o, *o_block; /* [rows, BLOCK], [rows, n_embd_v] twice */
    uint16_t *q, *p, *v;    /* [rows, n_embd_k], [rows, BLOCK], panels of a block's values */
    float m[LIZ_ATTN_RUN_ROWS], l[LIZ_ATTN_RUN_ROWS];
    bool is_begun[LIZ_ATTN_RUN_ROWS];
} space;

static space space_of(const liz_attn_run *r)
{
    size_t rows = LIZ_ATTN_RUN_ROWS, n_k = (size_t)r->n_embd_k, n_v = (size_t)r->n_embd_v;
    space w = {.s = r->scratch};
    w.o = w.s + rows * BLOCK;
    w.o_block = w.o + rows * n_v;
    w.q = (uint16_t *)(void *)(w.o_block + rows * n_v);
    w.p = w.q + rows * n_k;
    w.v = w.p + rows * BLOCK;
    return w;
}

static size_t n_rows(const liz_attn_run *r) { return (size_t)(r->n_tok * r->n_group); }
static size_t n_keys(const liz_attn_run *r, size_t row) { return r->pos + row / (size_t)r->n_group + 1; }
static size_t first_key(const liz_attn_run *r, size_t row)
{
    return n_keys(r, row) > r->window ? n_keys(r, row) - r->window : 0;
}
/* A row's place in q or out. */
static size_t at_row(const liz_attn_run *r, size_t row, size_t stride, int n_embd)
{
    return row / (size_t)r->n_group * stride + row % (size_t)r->n_group * (size_t)n_embd;
}

/* A block's scores become p: true where the row sees any of its keys, which begin at `at`. The block's pages from
 * `begin` to `end` (keys, from its beginning) are looked at by some row. */
static bool weigh_row(const liz_kernel *kernel, const liz_attn_run *r, size_t row, size_t at, size_t begin, size_t end,
                      float *s, float *m, float *l)
{
    size_t first = first_key(r, row) > at ? first_key(r, row) - at : 0;
    size_t last = n_keys(r, row) > at ? liz_least(n_keys(r, row) - at, BLOCK) : 0;
    if (first >= last) {
        memset(s + begin, 0, (end - begin) * sizeof *s);
        return false;
    }
    *l = kernel->attn_softmax(s, first, last, r->scale, r->softcap, true, m);
    size_t seen_begin = first / PAGE * PAGE, seen_end = liz_div_up(last, PAGE) * PAGE;
    memset(s + begin, 0, (seen_begin - begin) * sizeof *s);
    memset(s + seen_end, 0, (end - seen_end) * sizeof *s);
    return true;
}

/* Pages of values to panels of sixteen elements: the same lines, in another order. */
static void lay_values(const uint8_t *const *pages, size_t n_pages, size_t n_embd, uint16_t *panels)
{
    for (size_t i = 0; i < n_embd; i += LIZ_PANEL_ROWS)
        for (size_t page = 0; page < n_pages; page++)
            for (size_t pair = 0; pair < PAGE / 2; pair++, panels += PAIR_WORDS)
                memcpy(panels, pages[page] + 4 * (pair * n_embd + i), PAIR_WORDS * sizeof *panels);
}

/* The block of keys from `at` on. */
static void attend_block(const liz_kernel *kernel, const liz_attn_run *r, space *w, size_t at)
{
    size_t rows = n_rows(r), n_k = (size_t)r->n_embd_k, n_v = (size_t)r->n_embd_v, page = at / PAGE;
    size_t begin = first_key(r, 0) > at ? (first_key(r, 0) - at) / PAGE * PAGE : 0;
    size_t end = liz_div_up(liz_least(n_keys(r, rows - 1) - at, BLOCK), PAGE) * PAGE, n_seen = end - begin;
    float m[LIZ_ATTN_RUN_ROWS], l[LIZ_ATTN_RUN_ROWS];
    bool sees[LIZ_ATTN_RUN_ROWS];
    for (size_t k = begin; k < end; k += PAGE)
        kernel->gemm_bf16(r->k[page + k / PAGE], n_k / LIZ_GROUP_LEN, w->q, n_k, rows, w->s + k, BLOCK, PAGE);
    for (size_t row = 0; row < rows; row++) {
        sees[row] = weigh_row(kernel, r, row, at, begin, end, w->s + row * BLOCK, &m[row], &l[row]);
        kernel->lay_bf16(w->s + row * BLOCK + begin, n_seen, w->p + row * BLOCK);
    }
    lay_values(r->v + page + begin / PAGE, n_seen / PAGE, n_v, w->v);
    for (size_t i = 0; i < n_v; i += 2 * LIZ_PANEL_ROWS)
        kernel->gemm_bf16(w->v + i * n_seen, n_seen / LIZ_GROUP_LEN, w->p, BLOCK, rows, w->o_block + i, n_v,
                          2 * LIZ_PANEL_ROWS);
    for (size_t row = 0; row < rows; row++) {
        float *o = w->o + row * n_v, *o_block = w->o_block + row * n_v;
        if (sees[row] && w->is_begun[row]) {
            kernel->attn_merge(&w->m[row], &w->l[row], o, m[row], l[row], o_block, r->n_embd_v);
        } else if (sees[row]) {
            memcpy(o, o_block, n_v * sizeof *o);
            w->m[row] = m[row];
            w->l[row] = l[row];
            w->is_begun[row] = true;
        }
    }
}

static void finish_row(const liz_kernel *kernel, const liz_attn_run *r, space *w, size_t row)
{
    size_t n_v = (size_t)r->n_embd_v;
    float *o = w->o + row * n_v, *out = r->out + at_row(r, row, r->out_stride, r->n_embd_v);
    if (r->sinks != NULL) {
        memset(w->o_block, 0, n_v * sizeof *o);
        kernel->attn_merge(&w->m[row], &w->l[row], o, r->sinks[row % (size_t)r->n_group], 1.0f, w->o_block,
                           r->n_embd_v);
    }
    memset(out, 0, n_v * sizeof *out);
    kernel->add_scaled(o, 1.0f / w->l[row], n_v, out);
}

static void attend_products(const liz_kernel *kernel, const liz_attn_run *r)
{
    space w = space_of(r);
    size_t rows = n_rows(r), n_k = (size_t)r->n_embd_k;
    for (size_t row = 0; row < rows; row++)
        kernel->lay_bf16(r->q + at_row(r, row, r->q_stride, r->n_embd_k), n_k, w.q + row * n_k);
    for (size_t at = first_key(r, 0) / BLOCK * BLOCK; at < n_keys(r, rows - 1); at += BLOCK)
        attend_block(kernel, r, &w, at);
    for (size_t row = 0; row < rows; row++)
        finish_row(kernel, r, &w, row);
}

static void attend_token(const liz_kernel *kernel, liz_attn_elem elem, const liz_attn_run *r, size_t t)
{
    size_t row = t * (size_t)r->n_group;
    kernel->attend[elem](&(liz_attn_args){.q = r->q + t * r->q_stride,
                                          .k = r->k,
                                          .v = r->v,
                                          .first_key = first_key(r, row),
                                          .n_keys = n_keys(r, row),
                                          .n_group = r->n_group,
                                          .n_embd_k = r->n_embd_k,
                                          .n_embd_v = r->n_embd_v,
                                          .scale = r->scale,
                                          .softcap = r->softcap,
                                          .sinks = r->sinks,
                                          .out = r->out + t * r->out_stride,
                                          .scratch = r->scratch});
}

/* A single row is not worth the laying out of values. */
bool liz_attend_multiplies(const liz_kernel *kernel, liz_attn_elem elem, const liz_attn_run *r)
{
    return kernel->gemm_bf16 != NULL && elem == LIZ_ATTN_BF16 && r->n_embd_k % LIZ_GROUP_LEN == 0 &&
           r->n_embd_v % (2 * LIZ_PANEL_ROWS) == 0 && n_rows(r) >= 2 && n_rows(r) <= LIZ_ATTN_RUN_ROWS;
}

void liz_attend(const liz_kernel *kernel, liz_attn_elem elem, const liz_attn_run *r)
{
    if (liz_attend_multiplies(kernel, elem, r)) {
        attend_products(kernel, r);
        return;
    }
    for (size_t t = 0; t < (size_t)r->n_tok; t++)
        attend_token(kernel, elem, r, t);
}
