/* gemm.c - laying out operands and driving the float kernels over them. */
#include "train/gemm.h"

#include "base/checked.h"

#include <string.h>

/* Bytes that stay in the second-level cache: rows of A while the panels pass, and panels while rows do. */
enum { ROWS_CACHED_BYTES = 512 * 1024, PANELS_CACHED_BYTES = 1024 * 1024 };
enum { ROWS_UNIT = 32, TWO_PANELS = 2 * LIZ_PANEL_ROWS };

/* Outputs that are added to: rows and columns at a time. */
enum { ADD_ROWS = 32, ADD_OUT = LIZ_GEMM_MUL_FLOATS / ADD_ROWS };
_Static_assert((int)ADD_OUT % TWO_PANELS == 0 && (int)ADD_ROWS == (int)ROWS_UNIT,
               "whole pairs of panels, whole units of rows");

static size_t pad_k(size_t k) { return liz_div_up(k, LIZ_GROUP_LEN) * LIZ_GROUP_LEN; }
static bool has_tiles(const liz_gemm *g) { return g->kernel->gemm_bf16 != NULL && !g->exact; }

/* Rows that lie a large power of two apart would share cache sets. */
static size_t row_stride(size_t k)
{
    size_t n = pad_k(k);
    return n % 256 == 0 ? n + LIZ_GROUP_LEN : n;
}

static size_t panel_elem(const liz_gemm *g) { return g->exact ? sizeof(float) : sizeof(uint16_t); }
static size_t panel_bytes(const liz_gemm *g, size_t k) { return pad_k(k) * LIZ_PANEL_ROWS * panel_elem(g); }

static size_t row_bytes(const liz_gemm *g, size_t k)
{
    return row_stride(k) * (has_tiles(g) ? sizeof(uint16_t) : sizeof(float));
}

size_t liz_panels_bytes(const liz_gemm *g, size_t n, size_t k) { return liz_panel_count(n) * panel_bytes(g, k); }

size_t liz_rows_bytes(const liz_gemm *g, size_t m, size_t k)
{
    return liz_div_up(m, ROWS_UNIT) * ROWS_UNIT * row_bytes(g, k);
}

/* Elements [first, first + n_k) of k of panel i. */
static void panel_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t i, size_t first, size_t n_k,
                      float *scratch)
{
    size_t row = i * LIZ_PANEL_ROWS, n = liz_least(b->n - row, LIZ_PANEL_ROWS), k_pad = pad_k(n_k);
    uint8_t *to = b->data + i * panel_bytes(g, b->k) + first * LIZ_PANEL_ROWS * panel_elem(g);
    float *x = g->exact ? (float *)(void *)to : scratch;
    if (from.by_columns)
        g->grad->pack_columns(from.src + first * from.stride + row, from.stride, n, n_k, k_pad, x);
    else
        g->grad->pack_rows(from.src + row * from.stride + first, from.stride, n, n_k, k_pad, x);
    if (!g->exact)
        g->kernel->to_bf16(x, k_pad * LIZ_PANEL_ROWS, (uint16_t *)(void *)to);
}

void liz_panels_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t begin, size_t end, float *scratch)
{
    for (size_t i = begin; i < end; i++)
        panel_put(g, b, from, i, 0, b->k, scratch);
}

void liz_panels_put_part(const liz_gemm *g, const liz_panels *b, liz_source from, size_t first, size_t n_k,
                         float *scratch)
{
    for (size_t i = 0; i < liz_panel_count(b->n); i++)
        panel_put(g, b, from, i, first, n_k, scratch);
}

/* A finished row of floats into the form the kernel reads, zeros to the stride. */
static void row_put(const liz_gemm *g, const liz_rows *a, size_t row, const float *x)
{
    size_t stride = row_stride(a->k), k = a->k;
    uint8_t *to = a->data + row * row_bytes(g, k);
    if (has_tiles(g)) {
        uint16_t *half = (uint16_t *)(void *)to;
        g->kernel->lay_bf16(x, k, half);
        memset(half + pad_k(k), 0, (stride - pad_k(k)) * sizeof *half);
        return;
    }
    float *whole = (float *)(void *)to;
    if (g->exact)
        memcpy(whole, x, k * sizeof *x);
    else
        g->kernel->round_bf16(x, k, whole);
    memset(whole + k, 0, (stride - k) * sizeof *whole);
}

/* 16 columns of the source become 16 rows, a square of 16 at a time. */
static void columns_put(const liz_gemm *g, const liz_rows *a, liz_source from, size_t row, float *scratch)
{
    size_t n = liz_least(a->m - row, LIZ_PANEL_ROWS), stride = pad_k(a->k);
    size_t whole = n == LIZ_PANEL_ROWS ? a->k / 16 * 16 : 0;
    for (size_t j = 0; j < whole; j += 16)
        g->grad->transpose(from.src + j * from.stride + row, from.stride, scratch + j, stride);
    for (size_t j = whole; j < a->k; j++)
        for (size_t i = 0; i < n; i++)
            scratch[i * stride + j] = from.src[j * from.stride + row + i];
    for (size_t i = 0; i < n; i++)
        row_put(g, a, row + i, scratch + i * stride);
}

void liz_rows_put(const liz_gemm *g, const liz_rows *a, liz_source from, size_t begin, size_t end, float *scratch)
{
    if (!from.by_columns) {
        for (size_t i = begin; i < end; i++)
            row_put(g, a, i, from.src + i * from.stride);
        return;
    }
    for (size_t i = begin; i < end; i += LIZ_PANEL_ROWS)
        columns_put(g, a, from, i, scratch);
}

/* Rows against panels, to y [rows, y_stride]. */
static void mul_block(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows,
                      size_t panel, size_t n_out, float *y, size_t y_stride)
{
    size_t stride = row_stride(a->k), n_groups = pad_k(a->k) / LIZ_GROUP_LEN;
    const uint8_t *x = a->data + row * row_bytes(g, a->k), *w = b->data + panel * panel_bytes(g, b->k);
    if (has_tiles(g)) { /* two panels at once must follow each other, which those of a longer k do not */
        size_t once = pad_k(a->k) == pad_k(b->k) ? TWO_PANELS : LIZ_PANEL_ROWS;
        for (size_t p = 0; p < n_out; p += once)
            g->kernel->gemm_bf16(w + p / LIZ_PANEL_ROWS * panel_bytes(g, b->k), n_groups,
                                 (const uint16_t *)(const void *)x, stride, n_rows, y + p, y_stride,
                                 liz_least(n_out - p, once));
        return;
    }
    liz_dot_f32_fn *dot = g->kernel->dot_f32[g->exact ? LIZ_PACK_F32 : LIZ_PACK_BF16];
    for (size_t p = 0; p * LIZ_PANEL_ROWS < n_out; p++) {
        size_t n = liz_least(n_out - p * LIZ_PANEL_ROWS, LIZ_PANEL_ROWS);
        for (size_t t = 0; t < n_rows; t += LIZ_DOT_TOKENS_MAX) {
            float spare[LIZ_DOT_TOKENS_MAX * LIZ_PANEL_ROWS], *to = y + t * y_stride + p * LIZ_PANEL_ROWS;
            bool whole = n == LIZ_PANEL_ROWS;
            size_t n_tok = liz_least(n_rows - t, LIZ_DOT_TOKENS_MAX);
            dot(w + p * panel_bytes(g, b->k), n_groups, (const float *)(const void *)x + t * stride, stride, n_tok,
                whole ? to : spare, whole ? y_stride : LIZ_PANEL_ROWS);
            for (size_t i = 0; i < n_tok && !whole; i++)
                memcpy(to + i * y_stride, spare + i * LIZ_PANEL_ROWS, n * sizeof *to);
        }
    }
}

/* c = rows [row, row + n_rows) times panels [begin, end). */
static void put_rows(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows, size_t begin,
                     size_t end, float *c, size_t stride)
{
    for (size_t panel = begin; panel < end; panel += 2) {
        size_t out = panel * LIZ_PANEL_ROWS;
        size_t n_out = liz_least(liz_least(b->n, end * LIZ_PANEL_ROWS) - out, TWO_PANELS);
        mul_block(g, a, b, row, n_rows, panel, n_out, c + row * stride + out, stride);
    }
}

/* c += the same: as many outputs at a time as fit `scratch`. */
static void add_rows(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows, size_t begin,
                     size_t end, float *c, size_t stride, float *scratch)
{
    for (size_t panel = begin; panel < end; panel += ADD_OUT / LIZ_PANEL_ROWS) {
        size_t out = panel * LIZ_PANEL_ROWS, n_out = liz_least(liz_least(b->n, end * LIZ_PANEL_ROWS) - out, ADD_OUT);
        for (size_t r = row; r < row + n_rows; r += ADD_ROWS) {
            size_t n = liz_least(row + n_rows - r, ADD_ROWS);
            mul_block(g, a, b, r, n, panel, n_out, scratch, ADD_OUT);
            for (size_t i = 0; i < n; i++) {
                float *to = c + (r + i) * stride + out;
                g->kernel->add(to, scratch + i * ADD_OUT, n_out, to);
            }
        }
    }
}

void liz_gemm_mul(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row_begin, size_t row_end,
                  size_t begin, size_t end, float *c, size_t stride, bool add, float *scratch)
{
    size_t n_cached = liz_most(ROWS_CACHED_BYTES / row_bytes(g, a->k) / ROWS_UNIT * ROWS_UNIT, ROWS_UNIT);
    if (add && (end - begin) * panel_bytes(g, b->k) <= PANELS_CACHED_BYTES)
        n_cached = ADD_ROWS; /* then c is walked through as it lies in memory */
    g->kernel->tiles_begin();
    for (size_t row = row_begin; row < row_end; row += n_cached) {
        size_t n_rows = liz_least(row_end - row, n_cached);
        if (add)
            add_rows(g, a, b, row, n_rows, begin, end, c, stride, scratch);
        else
            put_rows(g, a, b, row, n_rows, begin, end, c, stride);
    }
    g->kernel->tiles_end();
}
