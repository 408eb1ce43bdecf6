/* model_lora.c - adapters found for each matrix, packed a panel at a time, and applied row by row. */
#include "model/model_lora.h"

#include "base/checked.h"
#include "kernel/matmul.h"
#include "model/model_core.h"
#include "sys/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { OUT_PANELS = 16, OUT_COLUMNS = OUT_PANELS * LIZ_PANEL_ROWS }; /* of B x at a time */

/* ---- Binding ---- */

static liz_status check_pair(const liz_linear *l, const liz_adapter_pair *pair, const char *path, liz_error *err)
{
    uint64_t n_mat = (uint64_t)l->n_mat, n_out = l->row_step, n_in = (uint64_t)l->matrix.n_in;
    if (pair->n_mat == n_mat && pair->n_out == n_out && pair->n_in == n_in)
        return LIZ_OK;
    return liz_fail(err, LIZ_E_FORMAT,
                    "%s: tensor %.*s: its adapter is for %llu of shape %llu x %llu, the model has %llu of %llu x %llu",
                    path, LIZ_STR_ARG(pair->base), (unsigned long long)pair->n_mat, (unsigned long long)pair->n_out,
                    (unsigned long long)pair->n_in, (unsigned long long)n_mat, (unsigned long long)n_out,
                    (unsigned long long)n_in);
}

static uint64_t low_rank_bytes(const liz_low_rank *low)
{
    return low->pair->n_mat * (liz_pack_matrix_bytes(LIZ_PACK_F32, low->a.n_out, low->a.n_in) +
                               liz_pack_matrix_bytes(LIZ_PACK_F32, low->b.n_out, low->b.n_in));
}

/* Appends, so that they stand in the order in which they were added. */
static bool add_low_rank(liz_weights *w, liz_linear *l, const liz_adapter_pair *pair, int index, float scale)
{
    liz_low_rank *low = liz_arena_alloc(&w->arena, sizeof *low), **at = &l->low;
    if (low == NULL)
        return false;
    *low = (liz_low_rank){.adapter = index,
                          .scale = (float)((double)scale * pair->scale),
                          .a = {.pack = LIZ_PACK_F32, .n_out = (int32_t)pair->rank, .n_in = l->matrix.n_in},
                          .b = {.pack = LIZ_PACK_F32, .n_out = l->matrix.n_out, .n_in = (int32_t)pair->rank},
                          .pair = pair};
    while (*at != NULL)
        at = &(*at)->next;
    *at = low;
    w->lora_bytes += low_rank_bytes(low);
    w->lora_rank_max = (size_t)pair->rank > w->lora_rank_max ? (size_t)pair->rank : w->lora_rank_max;
    return true;
}

/* A table that is also the output has rows as well as a matrix: what an adapter of it means is not settled. */
static bool can_adapt(const liz_weights *w, const liz_linear *l)
{
    return l->tensor != NULL && l->tensor != w->token_embd;
}

static liz_status refuse_unbound(const liz_adapter *adapter, const bool *bound, liz_error *err)
{
    for (size_t i = 0; i < liz_adapter_n_pairs(adapter); i++)
        if (!bound[i])
            return liz_fail(err, LIZ_E_UNSUPPORTED,
                            "%s: tensor %.*s: is no matrix of this model that can have an adapter",
                            liz_adapter_path(adapter), LIZ_STR_ARG(liz_adapter_pair_at(adapter, i)->base));
    return LIZ_OK;
}

liz_status liz_lora_bind(liz_weights *w, const liz_hparams *h, const liz_adapter *adapter, int index, float scale,
                         liz_error *err)
{
    const char *path = liz_adapter_path(adapter);
    liz_str arch = liz_adapter_arch(adapter);
    if (!liz_str_is(arch, h->family->arch))
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: is an adapter for models of architecture %.*s, not %s", path,
                        LIZ_STR_ARG(arch), h->family->arch);
    bool *bound = calloc(liz_adapter_n_pairs(adapter), sizeof *bound);
    liz_status status = bound != NULL ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", path);
    liz_linear *l;
    for (size_t i = 0; status == LIZ_OK && (l = liz_weights_linear(w, h, i)) != NULL; i++) {
        const liz_adapter_pair *pair = can_adapt(w, l) ? liz_adapter_find(adapter, l->tensor->name) : NULL;
        if (pair == NULL)
            continue;
        bound[pair - liz_adapter_pair_at(adapter, 0)] = true;
        status = check_pair(l, pair, path, err);
        if (status == LIZ_OK && !add_low_rank(w, l, pair, index, scale))
            status = liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", path);
    }
    status = status ?: refuse_unbound(adapter, bound, err);
    free(bound);
    return status;
}

/* ---- Packing ---- */

/* A half's rows from `row` on, as many as the matrix has. `rows`: floats of one panel. */
static liz_status pack_half(const liz_matrix *m, const liz_gguf_tensor *half, uint64_t row, float *rows, liz_error *err)
{
    size_t panel_bytes = liz_pack_panel_bytes(m->pack, m->n_in);
    for (int32_t r = 0; r < m->n_out; r += LIZ_PANEL_ROWS) {
        int32_t n = m->n_out - r < LIZ_PANEL_ROWS ? m->n_out - r : LIZ_PANEL_ROWS;
        if (!liz_adapter_rows(half, row + (uint64_t)r, (uint64_t)n, rows))
            return liz_fail(err, LIZ_E_FORMAT, "an adapter's tensor %.*s: holds a value that is no finite number",
                            LIZ_STR_ARG(half->name));
        liz_matrix panel = {m->pack, n, m->n_in, m->data + (size_t)r / LIZ_PANEL_ROWS * panel_bytes};
        liz_pack_panel(&panel, LIZ_DTYPE_F32, (const uint8_t *)rows, 0);
    }
    return LIZ_OK;
}

/* `*next`: where its bytes go, moved behind them. */
static liz_status load_low_rank(const liz_linear *l, liz_low_rank *low, uint8_t **next, float *rows, liz_error *err)
{
    const liz_adapter_pair *pair = low->pair;
    liz_status status = LIZ_OK;
    low->a.data = *next;
    low->b.data = liz_matrix_nth(low->a, l->n_mat).data;
    *next = liz_matrix_nth(low->b, l->n_mat).data;
    for (int i = 0; i < l->n_mat && status == LIZ_OK; i++) {
        liz_matrix a = liz_matrix_nth(low->a, i), b = liz_matrix_nth(low->b, i);
        status = pack_half(&a, pair->a, (uint64_t)i * pair->rank, rows, err);
        status = status ?: pack_half(&b, pair->b, l->row + (uint64_t)i * pair->n_out, rows, err);
    }
    return status;
}

liz_status liz_lora_load(liz_weights *w, const liz_hparams *h, liz_error *err)
{
    if (w->lora_bytes == 0)
        return LIZ_OK;
    size_t width = w->n_in_max > w->lora_rank_max ? w->n_in_max : w->lora_rank_max;
    float *rows = calloc(width, LIZ_PANEL_ROWS * sizeof *rows);
    w->lora = liz_memory_map(w->lora_bytes);
    uint8_t *next = w->lora;
    liz_linear *l;
    liz_status status = LIZ_OK;
    if (rows == NULL || w->lora == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "the system refused %llu MiB for adapters",
                          (unsigned long long)(w->lora_bytes >> 20));
    for (size_t i = 0; status == LIZ_OK && (l = liz_weights_linear(w, h, i)) != NULL; i++)
        for (liz_low_rank *low = l->low; status == LIZ_OK && low != NULL; low = low->next)
            status = load_low_rank(l, low, &next, rows, err);
    free(rows);
    return status;
}

/* ---- A step ---- */

/* A member's own space: up to eight rows of x, of A x and of a part of B A x. */
typedef struct space {
    float *x, *low, *out;
    size_t x_stride, low_stride;
} space;

static size_t padded(size_t n) { return liz_div_up(n, LIZ_GROUP_LEN) * LIZ_GROUP_LEN; }

size_t liz_lora_scratch_floats(const liz_weights *w)
{
    if (w->lora_bytes == 0)
        return 0;
    return LIZ_DOT_TOKENS_MAX * (padded(w->n_in_max) + padded(w->lora_rank_max) + OUT_COLUMNS);
}

static space space_of(const liz_worker *w, const liz_low_rank *low)
{
    space s = {.x = w->m->members[w->id].lora,
               .x_stride = padded((size_t)low->a.n_in),
               .low_stride = padded((size_t)low->a.n_out)};
    s.low = s.x + LIZ_DOT_TOKENS_MAX * padded(w->m->w.n_in_max);
    s.out = s.low + LIZ_DOT_TOKENS_MAX * padded(w->m->w.lora_rank_max);
    return s;
}

/* Panels [begin, end) of a matrix against n rows of x: to y, 16 columns a panel. */
static void multiply(const liz_kernel *kernel, const liz_matrix *m, size_t begin, size_t end, const float *x,
                     size_t x_stride, size_t n, float *y, size_t y_stride)
{
    size_t panel_bytes = liz_pack_panel_bytes(m->pack, m->n_in), n_units = liz_pack_units(m->pack, m->n_in);
    for (size_t p = begin; p < end; p++)
        kernel->dot_f32[LIZ_PACK_F32](m->data + p * panel_bytes, n_units, x, x_stride, n,
                                      y + (p - begin) * LIZ_PANEL_ROWS, y_stride);
}

static size_t row_of(const int32_t *list, size_t i) { return list != NULL ? (size_t)list[i] : i; }

/* One adapter on up to eight rows, all of one expert. */
static void adapt_group(const liz_worker *w, const liz_low_rank *low, int expert, const liz_adapt_rows *rows,
                        const size_t *group, size_t n)
{
    if (n == 0)
        return;
    const liz_kernel *kernel = &w->m->kernel;
    space s = space_of(w, low);
    liz_matrix a = liz_matrix_nth(low->a, expert), b = liz_matrix_nth(low->b, expert);
    size_t n_in = (size_t)a.n_in, n_out = (size_t)b.n_out;
    size_t a_panels = liz_div_up((size_t)a.n_out, LIZ_PANEL_ROWS), b_panels = liz_div_up(n_out, LIZ_PANEL_ROWS);
    for (size_t i = 0; i < n; i++) {
        memcpy(s.x + i * s.x_stride, rows->x + row_of(rows->x_row, group[i]) * n_in, n_in * sizeof *s.x);
        memset(s.x + i * s.x_stride + n_in, 0, (s.x_stride - n_in) * sizeof *s.x);
        memset(s.low + i * s.low_stride, 0, s.low_stride * sizeof *s.low);
    }
    multiply(kernel, &a, 0, a_panels, s.x, s.x_stride, n, s.low, s.low_stride);
    for (size_t p = 0; p < b_panels; p += OUT_PANELS) {
        size_t column = p * LIZ_PANEL_ROWS, left = n_out - column;
        multiply(kernel, &b, p, b_panels - p < OUT_PANELS ? b_panels : p + OUT_PANELS, s.low, s.low_stride, n, s.out,
                 OUT_COLUMNS);
        for (size_t i = 0; i < n; i++)
            kernel->add_scaled(s.out + i * OUT_COLUMNS, low->scale, left < OUT_COLUMNS ? left : OUT_COLUMNS,
                               rows->y + group[i] * n_out + column);
    }
}

void liz_model_adapt(const liz_worker *w, const liz_linear *l, const liz_adapt_rows *rows, size_t begin, size_t end)
{
    for (const liz_low_rank *low = l->low; low != NULL; low = low->next) {
        size_t group[LIZ_DOT_TOKENS_MAX], n = 0;
        int expert = 0;
        for (size_t i = begin; i < end; i++) {
            const liz_token *token = &w->m->tokens[row_of(rows->token, i)];
            int own = rows->expert != NULL ? rows->expert[i] : 0;
            if (!(w->seqs[token->seq].adapters >> low->adapter & 1))
                continue;
            if (n == LIZ_DOT_TOKENS_MAX || own != expert) {
                adapt_group(w, low, expert, rows, group, n);
                n = 0;
            }
            expert = own;
            group[n++] = i;
        }
        adapt_group(w, low, expert, rows, group, n);
    }
}
