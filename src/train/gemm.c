/* gemm.c - laying out operands and driving the float kernels over them. */
#include "train/gemm.h"

#include "base/checked.h"

#include <string.h>

/* Bytes that stay in the second-level cache: rows of A while the panels pass, and panels while rows do. */
enum { ROWS_CACHED_BYTES = 768 * 1024, PANELS_CACHED_BYTES = 1024 * 1024 };
enum { ROWS_UNIT = 32, SUMMED_K = 2048 }; /* what is summed up before it is added to c: part of the order of sums */

static size_t pad_k(size_t k) { return liz_div_up(k, LIZ_GROUP_LEN) * LIZ_GROUP_LEN; }
static bool has_tiles(const liz_gemm *g) { return g->kernel->gemm_bf16 != NULL && !g->exact; }

static size_t panel_elem(const liz_gemm *g) { return g->exact ? sizeof(float) : sizeof(uint16_t); }
static size_t panel_bytes(const liz_gemm *g, size_t k) { return pad_k(k) * LIZ_PANEL_ROWS * panel_elem(g); }

static size_t row_bytes(const liz_gemm *g, size_t k)
{
    return pad_k(k) * (has_tiles(g) ? sizeof(uint16_t) : sizeof(float));
}

size_t liz_panels_bytes(const liz_gemm *g, size_t n, size_t k) { return liz_panel_count(n) * panel_bytes(g, k); }

size_t liz_rows_bytes(const liz_gemm *g, size_t m, size_t k)
{
    return liz_div_up(m, ROWS_UNIT) * ROWS_UNIT * row_bytes(g, k);
}

static void pack_exact(liz_source from, size_t n, size_t k, float *panel)
{
    memset(panel, 0, pad_k(k) * LIZ_PANEL_ROWS * sizeof *panel);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            panel[j / 2 * 2 * LIZ_PANEL_ROWS + 2 * i + j % 2] =
                from.src[from.by_columns ? j * from.stride + i : i * from.stride + j];
}

/* Panels [begin, end), of which k in [first, first + n_k). `from` is what the first element there comes from. */
static void panels_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t begin, size_t end, size_t first,
                       size_t n_k, bool stream)
{
    size_t step = LIZ_PANEL_ROWS * (from.by_columns ? 1 : from.stride);
    for (size_t i = begin; i < end; i++, from.src += step) {
        size_t n = liz_least(b->n - i * LIZ_PANEL_ROWS, LIZ_PANEL_ROWS);
        void *to = b->data + i * panel_bytes(g, b->k) + first * LIZ_PANEL_ROWS * panel_elem(g);
        if (g->exact)
            pack_exact(from, n, n_k, to);
        else if (from.by_columns)
            g->grad->pack_columns(from.src, from.stride, n, n_k, pad_k(n_k), stream, to);
        else
            g->grad->pack_rows(from.src, from.stride, n, n_k, pad_k(n_k), stream, to);
    }
}

void liz_panels_put(const liz_gemm *g, const liz_panels *b, liz_source from, size_t begin, size_t end, bool stream)
{
    from.src += begin * LIZ_PANEL_ROWS * (from.by_columns ? 1 : from.stride);
    panels_put(g, b, from, begin, end, 0, b->k, stream);
}

void liz_panels_put_part(const liz_gemm *g, const liz_panels *b, liz_source from, size_t first, size_t n_k, bool stream)
{
    panels_put(g, b, from, 0, liz_panel_count(b->n), first, n_k, stream);
}

/* Elements [k, k + n) of a row, `k` a multiple of 32, into the form the kernel reads; zeros to the next multiple. */
static void row_put(const liz_gemm *g, const liz_rows *a, size_t row, size_t k, const float *x, size_t n)
{
    size_t n_groups = pad_k(a->k) / LIZ_GROUP_LEN;
    if (has_tiles(g)) {
        uint16_t *tiles = (uint16_t *)(void *)a->data;
        g->kernel->lay_bf16(x, n, LIZ_ACT_TILE,
                            tiles + liz_act_tile_at(n_groups, row) + k / LIZ_GROUP_LEN * LIZ_ACT_TILE);
        return;
    }
    float *to = (float *)(void *)(a->data + row * row_bytes(g, a->k)) + k;
    if (g->exact)
        memcpy(to, x, n * sizeof *x);
    else
        g->kernel->round_bf16(x, n, to);
    memset(to + n, 0, (pad_k(n) - n) * sizeof *to);
}

/* 16 columns of the source become 16 rows, 32 elements of each at a time. */
static void columns_put(const liz_gemm *g, const liz_rows *a, liz_source from, size_t row)
{
    size_t n = liz_least(a->m - row, LIZ_PANEL_ROWS);
    for (size_t k = 0; k < a->k; k += LIZ_GROUP_LEN) {
        _Alignas(64) float x[LIZ_PANEL_ROWS][LIZ_GROUP_LEN];
        const float *src = from.src + k * from.stride + row;
        size_t n_k = liz_least(a->k - k, LIZ_GROUP_LEN);
        if (n == LIZ_PANEL_ROWS && n_k == LIZ_GROUP_LEN) {
            g->grad->transpose(src, from.stride, x[0], LIZ_GROUP_LEN);
            g->grad->transpose(src + 16 * from.stride, from.stride, x[0] + 16, LIZ_GROUP_LEN);
        } else {
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n_k; j++)
                    x[i][j] = src[j * from.stride + i];
        }
        for (size_t i = 0; i < n; i++)
            row_put(g, a, row + i, k, x[i], n_k);
    }
}

void liz_rows_put(const liz_gemm *g, const liz_rows *a, liz_source from, size_t begin, size_t end)
{
    if (!from.by_columns) {
        for (size_t i = begin; i < end; i++)
            row_put(g, a, i, 0, from.src + i * from.stride, a->k);
        return;
    }
    for (size_t i = begin; i < end; i += LIZ_PANEL_ROWS)
        columns_put(g, a, from, i);
}

/* Without tiles: panel after panel against a few rows at a time. */
static void mul_dot(const liz_gemm *g, const uint8_t *w, size_t panel_bytes, size_t n_groups, const float *x,
                    size_t x_stride, size_t n_rows, float *c, size_t stride, size_t n_out, bool add)
{
    liz_dot_f32_fn *dot = g->kernel->dot_f32[g->exact ? LIZ_PACK_F32 : LIZ_PACK_BF16];
    for (size_t out = 0; out < n_out; out += LIZ_PANEL_ROWS, w += panel_bytes) {
        size_t n = liz_least(n_out - out, LIZ_PANEL_ROWS);
        bool straight = n == LIZ_PANEL_ROWS && !add;
        for (size_t row = 0; row < n_rows; row += LIZ_DOT_TOKENS_MAX) {
            float spare[LIZ_DOT_TOKENS_MAX * LIZ_PANEL_ROWS], *to = c + row * stride + out;
            size_t n_tok = liz_least(n_rows - row, LIZ_DOT_TOKENS_MAX);
            dot(w, n_groups, x + row * x_stride, x_stride, n_tok, straight ? to : spare,
                straight ? stride : LIZ_PANEL_ROWS);
            for (size_t i = 0; i < n_tok && !straight; i++)
                if (add)
                    g->kernel->add(to + i * stride, spare + i * LIZ_PANEL_ROWS, n, to + i * stride);
                else
                    memcpy(to + i * stride, spare + i * LIZ_PANEL_ROWS, n * sizeof *to);
        }
    }
}

/* A product over k in [first, first + n_k), for rows that stay in the cache. */
static void mul_block(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row, size_t n_rows,
                      size_t begin, size_t end, size_t first, size_t n_k, float *c, size_t stride, liz_gemm_to to)
{
    size_t x_stride = pad_k(a->k), n_groups = pad_k(n_k) / LIZ_GROUP_LEN, bytes = panel_bytes(g, b->k);
    const uint8_t *w = b->data + begin * bytes + first * LIZ_PANEL_ROWS * panel_elem(g);
    size_t out = begin * LIZ_PANEL_ROWS, n_out = liz_least(b->n, end * LIZ_PANEL_ROWS) - out;
    c += row * stride + out;
    if (has_tiles(g)) {
        liz_act_bf16 x = liz_act_tiles((const uint16_t *)(const void *)a->data, x_stride / LIZ_GROUP_LEN);
        x.x += row / 16 * x.tile + first / LIZ_GROUP_LEN * x.group;
        g->kernel->gemm_bf16(w, bytes, n_groups, &x, n_rows, c, stride, n_out, to);
        return;
    }
    const float *x = (const float *)(const void *)a->data + row * x_stride + first;
    mul_dot(g, w, bytes, n_groups, x, x_stride, n_rows, c, stride, n_out, to == LIZ_GEMM_ADD);
}

void liz_gemm_mul(const liz_gemm *g, const liz_rows *a, const liz_panels *b, size_t row_begin, size_t row_end,
                  size_t begin, size_t end, float *c, size_t stride, liz_gemm_to to)
{
    if (begin == end)
        return;
    LIZ_DASSERT(a->k > 0);
    size_t k_bytes = row_bytes(g, liz_least(a->k, SUMMED_K)), n_cached = ROWS_CACHED_BYTES / k_bytes;
    n_cached = liz_most(n_cached / ROWS_UNIT * ROWS_UNIT, ROWS_UNIT);
    if (to != LIZ_GEMM_PUT && (end - begin) * panel_bytes(g, b->k) <= PANELS_CACHED_BYTES)
        n_cached = ROWS_UNIT; /* then c is walked through as it lies in memory */
    if (to == LIZ_GEMM_STREAM && a->k > SUMMED_K)
        to = LIZ_GEMM_PUT;
    g->kernel->tiles_begin();
    for (size_t row = row_begin; row < row_end; row += n_cached)
        for (size_t k = 0; k < a->k; k += SUMMED_K)
            mul_block(g, a, b, row, liz_least(row_end - row, n_cached), begin, end, k, liz_least(a->k - k, SUMMED_K), c,
                      stride, k == 0 ? to : LIZ_GEMM_ADD);
    g->kernel->tiles_end();
}
