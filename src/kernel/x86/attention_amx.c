/* attention_amx.c - the products of attention, on AMX tiles: up to 32 rows (tokens' queries in a head) against pages of
 * keys and of values. A page of either lies as two panels of bf16 weights do, so it is the right operand as it is. */
#include "kernel/x86/tiles_amx.h"

enum { ROWS = 16, LINE = 64 };

/* Adds 32 of k to the sums of two times 16 rows and two panels: rows of `x`, `row` bytes apart, and 16 rows on if there
 * are more, against a tile of each panel. */
LIZ_INLINE void multiply(const uint16_t *x, size_t row, bool more, const uint8_t *first, const uint8_t *second)
{
    _tile_loadd(4, x, row);
    _tile_loadd(6, first, LINE);
    _tile_loadd(7, second, LINE);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (more) {
        _tile_loadd(5, (const char *)x + ROWS * row, row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

LIZ_INLINE void sums_end(float *y, size_t row, bool more)
{
    _tile_stored(0, y, row);
    _tile_stored(1, y + 16, row);
    if (more) {
        _tile_stored(2, (char *)y + ROWS * row, row);
        _tile_stored(3, (char *)(y + 16) + ROWS * row, row);
    }
}

static void scores(const uint8_t *k, const uint16_t *q, int n_embd, size_t n_rows, float *s)
{
    size_t panel_bytes = LIZ_PANEL_ROWS * (size_t)n_embd * sizeof *q, n_groups = (size_t)n_embd / LIZ_GROUP_LEN;
    liz_tiles_keep_order();
    liz_tiles_zero_sums();
    for (size_t g = 0; g < n_groups; g++, k += LIZ_TILE_BYTES, q += LIZ_GROUP_LEN)
        multiply(q, (size_t)n_embd * sizeof *q, n_rows > ROWS, k, k + panel_bytes);
    sums_end(s, LIZ_KEY_BLOCK * sizeof *s, n_rows > ROWS);
    liz_tiles_keep_order();
}

static void values(const uint8_t *const *v, size_t n_pages, const uint16_t *p, int n_embd, size_t n_rows, float *o,
                   size_t o_stride)
{
    liz_tiles_keep_order();
    for (size_t i = 0; i < (size_t)n_embd; i += 2 * LIZ_PANEL_ROWS) {
        liz_tiles_zero_sums();
        for (size_t page = 0; page < n_pages; page++) {
            const uint8_t *tiles = v[page] + i / LIZ_PANEL_ROWS * LIZ_TILE_BYTES;
            multiply(p + page * LIZ_ATTN_PAGE, LIZ_KEY_BLOCK * sizeof *p, n_rows > ROWS, tiles, tiles + LIZ_TILE_BYTES);
        }
        sums_end(o + i, o_stride * sizeof *o, n_rows > ROWS);
    }
    liz_tiles_keep_order();
}

void liz_kernel_attention_amx(liz_kernel *kernel)
{
    kernel->attn_scores = scores;
    kernel->attn_values = values;
}
