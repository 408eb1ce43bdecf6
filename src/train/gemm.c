/* gemm.c - laying out operands and driving the float kernels over them. */
#include "train/gemm.h"

#include "base/checked.h"

#include <string.h>

/* Rows of A that stay in the second-level cache while the panels pass: at most so many bytes. */
enum { ROWS_CACHED_BYTES = 512 * 1024, ROWS_UNIT = 32 };

static size_t pad_k(size_t k) { return liz_div_up(k, LIZ_GROUP_LEN) * LIZ_GROUP_LEN; }
static bool has_tiles(const liz_gemm *g) { return g->kernel->gemm_bf16 != NULL && !g->exact; }

/* Rows that lie a large power of two apart would share cache sets. */
static size_t row_stride(size_t k)
{
    size_t n = pad_k(k);
    return n % 256 == 0 ? n + LIZ_GROUP_LEN : n;
}

static size_t panel_bytes(const liz_gemm *g, size_t k)
{
    return pad_k(k) * LIZ_PANEL_ROWS * (g->exact ? sizeof(float) : sizeof(uint16_t));
}

static size_t row_bytes(const liz_gemm *g, size_t k)
{
    return row_stride(k) * (has_tiles(g) ? sizeof(uint16_t) : sizeof(float));
}

size_t liz_panels_bytes(const liz_gemm *g, size_t n, size_t k) { return liz_panel_count(n) * panel_bytes(g, k); }

size_t liz_rows_bytes(const liz_gemm *g, size_t m, size_t k)
{
    return liz_div_up(m, ROWS_UNIT) * ROWS_UNIT * row_bytes(g, k);
}

void liz_panels_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t begin, size_t end, float *scratch)
{
    size_t bytes = panel_bytes(g, b->k), k_pad = pad_k(b->k);
    for (size_t i = begin; i < end; i++) {
        size_t row = i * LIZ_PANEL_ROWS, n = liz_least(b->n - row, LIZ_PANEL_ROWS);
        uint8_t *panel = b->data + i * bytes;
        float *to = g->exact ? (float *)(void *)panel : scratch;
        if (from.by_columns)
            g->grad->pack_columns(from.src + row, from.stride, n, b->k, k_pad, to);
        else
            g->grad->pack_rows(from.src + row * from.stride, from.stride, n, b->k, k_pad, to);
        if (!g->exact)
            g->kernel->to_bf16(scratch, k_pad * LIZ_PANEL_ROWS, (uint16_t *)(void *)panel);
    }
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

/* Up to 64 rows against two panels, to y [rows, y_stride]. */
static void mul_block(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows,
                      size_t panel, size_t n_out, float *y, size_t y_stride)
{
    size_t stride = row_stride(a->k), n_groups = pad_k(a->k) / LIZ_GROUP_LEN;
    const uint8_t *x = a->data + row * row_bytes(g, a->k), *w = b->data + panel * panel_bytes(g, b->k);
    if (has_tiles(g)) { /* two panels at once must follow each other, which those of a longer k do not */
        size_t once = pad_k(a->k) == pad_k(b->k) ? n_out : LIZ_PANEL_ROWS;
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

/* Rows of a block against two panels, in place or through `scratch` to be added. */
static void mul_panels(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows,
                       size_t panel, size_t n_out, float *c, size_t stride, bool add, float *scratch)
{
    if (!add) {
        mul_block(g, a, b, row, n_rows, panel, n_out, c, stride);
        return;
    }
    for (size_t r = 0; r < n_rows; r += 64) {
        size_t n = liz_least(n_rows - r, 64);
        for (size_t i = 0; i < n; i++) {
            __builtin_prefetch(c + (r + i) * stride, 1);
            __builtin_prefetch(c + (r + i) * stride + LIZ_PANEL_ROWS, 1);
        }
        mul_block(g, a, b, row + r, n, panel, n_out, scratch, 32);
        for (size_t i = 0; i < n; i++)
            g->kernel->add(c + (r + i) * stride, scratch + i * 32, n_out, c + (r + i) * stride);
    }
}

void liz_gemm_mul(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row_begin, size_t row_end,
                  size_t begin, size_t end, float *c, size_t stride, bool add, float *scratch)
{
    size_t n_cached = ROWS_CACHED_BYTES / row_bytes(g, a->k) / ROWS_UNIT * ROWS_UNIT;
    n_cached = n_cached > ROWS_UNIT ? n_cached : ROWS_UNIT;
    g->kernel->tiles_begin();
    for (size_t row = row_begin; row < row_end; row += n_cached)
        for (size_t panel = begin; panel < end; panel += 2) {
            size_t out = panel * LIZ_PANEL_ROWS, n_out = liz_least(b->n - out, 2 * LIZ_PANEL_ROWS);
            mul_panels(g, a, b, row, liz_least(row_end - row, n_cached), panel,
                       liz_least(n_out, (end - panel) * LIZ_PANEL_ROWS), c + row * stride + out, stride, add, scratch);
        }
    g->kernel->tiles_end();
}
