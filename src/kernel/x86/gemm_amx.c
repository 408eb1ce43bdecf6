/* gemm_amx.c - two panels against many tokens, on AMX tiles.
 *
 * Integers: weights are the left operand, so a tile row is 64 consecutive (packed order) bytes of one weight row,
 * and tokens are columns. Three things go on at once, interleaved by hand because each alone leaves units idle:
 * the tiles of a block of 256 meet all tokens, 32 at a time in 2 x 2 tiles; the block after it is decoded into the
 * other half of a buffer that stays in the first-level cache; and the sums of the tokens before are converted and
 * added up: acc = fma(float(I), d_row * d_token, acc).
 * bf16: tokens are the left operand; tiles accumulate in floating point over all of k, in the order that
 * docs/kernels.md takes as the definition, so nothing is left to do but store. */
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"
#include "kernel/x86/decode_avx512.h"

#include <string.h>

enum { TILE_BYTES = 1024, BLOCK_TILES = 4, TOKENS = 16, BLOCKS_AHEAD = 1 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* GCC's intrinsic does not say that it reads the 64 bytes, hence the asm. */
static void tiles_begin(void)
{
    _Alignas(64) struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t n_rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.n_rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

static void tiles_end(void) { _tile_release(); }

/* Groups of four bytes are words: a tile is the transpose of 16 tokens' 64 bytes. */
static void tile_i8(const int8_t *q, size_t q_stride, int8_t *tile)
{
    for (int c = 0; c < BLOCK_TILES; c++) {
        __m512i x[16];
        for (size_t t = 0; t < 16; t++)
            x[t] = _mm512_loadu_si512(q + t * q_stride + 64 * c);
        liz_transpose_words(x);
        for (int k = 0; k < 16; k++)
            _mm512_store_si512(tile + c * TILE_BYTES + 64 * k, x[k]);
    }
}

typedef void prepare_fn(const void *block, bool is_signed, liz_scales512 *scales);
typedef void decode_fn(const void *block, const liz_scales512 *scales, int row, bool is_signed, liz_bytes512 *out);

/* Running sums of 32 rows and 32 tokens. */
typedef struct sums {
    float acc[2][2][16][TOKENS]; /* panel, token group, row, token */
} sums;

/* Scratch: the tiles of two blocks of both panels in turn, row scales, which are needed one block longer than their
 * tiles, and sums of all tokens. */
typedef struct work {
    int8_t tiles[2][BLOCK_TILES][2][TILE_BYTES];
    float d_rows[3][2][16];
    int32_t whole[2][2][2][16][TOKENS];
    sums pairs[];
} work;

_Static_assert(sizeof(work) <= LIZ_GEMM_SCRATCH_BYTES(0) &&
                   sizeof(sums) == LIZ_GEMM_SCRATCH_BYTES(32) - LIZ_GEMM_SCRATCH_BYTES(0),
               "scratch is what kernel.h says");

/* A block on its way into tiles, row by row: the first panel's 16, then the second's. */
typedef struct decoder {
    const uint8_t *block; /* of the first panel */
    const uint8_t *ahead; /* what to fetch meanwhile */
    size_t panel_bytes;
    int row, n_rows;
    int8_t (*tiles)[2][TILE_BYTES];
    float (*d_rows)[16];
    liz_scales512 scales;
} decoder;

LIZ_INLINE void decoder_start(decoder *d, const uint8_t *panels, size_t block_bytes, size_t n_blocks, size_t b, work *w)
{
    d->block = panels + b * block_bytes;
    d->panel_bytes = n_blocks * block_bytes;
    size_t next = b + BLOCKS_AHEAD; /* past the end are the blocks of the panels after these */
    d->ahead = panels + (next < n_blocks ? next : next + n_blocks) * block_bytes;
    d->row = b < n_blocks ? 0 : d->n_rows;
    d->tiles = w->tiles[b % 2];
    d->d_rows = w->d_rows[b % 3];
}

LIZ_INLINE void decode_rows(decoder *d, int n, size_t block_bytes, prepare_fn *prepare, decode_fn *decode)
{
    for (int end = d->row + n; d->row < end && d->row < d->n_rows; d->row++) {
        int which = d->row / 16, row = d->row % 16;
        const uint8_t *block = d->block + (which ? d->panel_bytes : 0);
        if (row == 0) {
            prepare(block, true, &d->scales);
            _mm512_store_ps(d->d_rows[which], _mm512_load_ps(block));
        }
        liz_bytes512 x;
        liz_prefetch_row(d->ahead + (which ? d->panel_bytes : 0), block_bytes, row);
        decode(block, &d->scales, row, true, &x);
        for (int c = 0; c < BLOCK_TILES; c++)
            _mm512_store_si512(d->tiles[c][which] + 64 * row, x.t[c]);
    }
}

typedef void decode_rows_fn(decoder *d, int n);

/* Four rows of one panel and block into the running sums. */
LIZ_INLINE void settle(const int32_t (*whole)[TOKENS], const float *d_rows, __m512 d_tok, float (*acc)[TOKENS], int row)
{
    for (int r = row; r < row + 4; r++) {
        __m512 f = _mm512_cvtepi32_ps(_mm512_load_si512(whole[r]));
        __m512 d = _mm512_mul_ps(_mm512_set1_ps(d_rows[r]), d_tok);
        _mm512_store_ps(acc[r], _mm512_fmadd_ps(f, d, _mm512_load_ps(acc[r])));
    }
}

/* A block that was multiplied and is not in the sums yet. */
typedef struct pending {
    const int32_t (*whole)[2][16][TOKENS];
    const float (*d_rows)[16];
    const float *d_tok[2];
    sums *s;
} pending;

LIZ_INLINE void settle_quarter(const pending *p, int quarter, int n_groups)
{
    for (int g = 0; g < n_groups; g++) {
        __m512 d_tok = _mm512_load_ps(p->d_tok[g]);
        for (int panel = 0; panel < 2; panel++)
            settle(p->whole[panel][g], p->d_rows[panel], d_tok, p->s->acc[panel][g], 4 * quarter);
    }
}

/* One of a block's four steps: its tiles against those of one or two groups of 16 tokens. */
LIZ_INLINE void multiply_step(const int8_t (*tiles)[TILE_BYTES], const int8_t *x0, const int8_t *x1, int n_groups)
{
    _tile_loadd(4, tiles[0], 64);
    _tile_loadd(6, x0, 64);
    _tile_loadd(5, tiles[1], 64);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(2, 5, 6);
    if (n_groups == 2) {
        _tile_loadd(7, x1, 64);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(3, 5, 7);
    }
}

LIZ_INLINE void sums_begin(int n_groups)
{
    _tile_zero(0);
    _tile_zero(2);
    if (n_groups == 2) {
        _tile_zero(1);
        _tile_zero(3);
    }
}

LIZ_INLINE void sums_end(int32_t (*whole)[2][16][TOKENS], int n_groups)
{
    _tile_stored(0, whole[0][0], 64);
    _tile_stored(2, whole[1][0], 64);
    if (n_groups == 2) {
        _tile_stored(1, whole[0][1], 64);
        _tile_stored(3, whole[1][1], 64);
    }
}

/* acc [panel][row][token] to y [token][row]. */
LIZ_INLINE void store_group(const sums *s, size_t g, float *y, size_t y_stride, size_t n_tok, size_t n_rows)
{
    __m512i columns[2][16];
    for (int panel = 0; panel < 2; panel++) {
        for (int r = 0; r < 16; r++)
            columns[panel][r] = _mm512_load_si512(s->acc[panel][g][r]);
        liz_transpose_words(columns[panel]);
    }
    uint32_t rows = n_rows >= 32 ? 0xFFFFFFFFu : (1u << n_rows) - 1;
    for (size_t t = 0; t < n_tok; t++) {
        _mm512_mask_storeu_epi32(y + t * y_stride, (__mmask16)rows, columns[0][t]);
        _mm512_mask_storeu_epi32(y + t * y_stride + 16, (__mmask16)(rows >> 16), columns[1][t]);
    }
}

/* n_groups is 1 for up to 16 tokens, else 2; rows_step is how many rows are decoded beside each step, so that the next
 * block is done when this one is. */
LIZ_INLINE void gemm_integer(const uint8_t *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act,
                             size_t n_tok, work *w, float *y, size_t y_stride, size_t n_rows, decode_rows_fn *decode,
                             int n_groups, int rows_step)
{
    size_t set_tokens = (size_t)n_groups * TOKENS, n_sets = (n_tok + set_tokens - 1) / set_tokens, n_done = 0;
    pending last = {0};
    decoder d = {.n_rows = n_rows > 16 ? 32 : 16};
    memset(w->pairs, 0, n_sets * sizeof(sums));
    decoder_start(&d, panels, block_bytes, n_blocks, 0, w);
    decode(&d, 32);
    for (size_t b = 0; b < n_blocks; b++) {
        decoder_start(&d, panels, block_bytes, n_blocks, b + 1, w);
        for (size_t set = 0; set < n_sets; set++, n_done++) {
            size_t at = (size_t)n_groups * set * n_blocks + b;
            const int8_t *x = act->tile + at * BLOCK_TILES * TILE_BYTES;
            int32_t(*whole)[2][16][TOKENS] = w->whole[n_done % 2];
            sums_begin(n_groups);
            for (int c = 0; c < BLOCK_TILES; c++, x += TILE_BYTES) {
                multiply_step((const int8_t(*)[TILE_BYTES])w->tiles[b % 2][c], x,
                              x + n_blocks * BLOCK_TILES * TILE_BYTES, n_groups);
                if (last.s != NULL)
                    settle_quarter(&last, c, n_groups);
                decode(&d, rows_step);
            }
            sums_end(whole, n_groups);
            last = (pending){(const int32_t(*)[2][16][TOKENS])whole,
                             (const float(*)[16])w->d_rows[b % 3],
                             {act->tile_d + at * TOKENS, act->tile_d + (at + n_blocks) * TOKENS},
                             &w->pairs[set]};
        }
    }
    for (int c = 0; c < BLOCK_TILES; c++)
        settle_quarter(&last, c, n_groups);
    for (size_t t = 0; t < n_tok; t += TOKENS)
        store_group(&w->pairs[t / set_tokens], t / TOKENS % (size_t)n_groups, y + t * y_stride, y_stride,
                    least(n_tok - t, TOKENS), n_rows);
}

/* The shape of the interleaving is a constant in each copy. With many tokens decoding is a small part: all forms share
 * one copy and are called. */
static void gemm_to_64(const void *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act, size_t n_tok,
                       void *scratch, float *y, size_t y_stride, size_t n_rows, decode_rows_fn *decode)
{
    gemm_integer(panels, block_bytes, n_blocks, act, n_tok, scratch, y, y_stride, n_rows, decode, 2, 4);
}

static void gemm_over_64(const void *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act, size_t n_tok,
                         void *scratch, float *y, size_t y_stride, size_t n_rows, decode_rows_fn *decode)
{
    gemm_integer(panels, block_bytes, n_blocks, act, n_tok, scratch, y, y_stride, n_rows, decode, 2, 3);
}

#define GEMM_I8(ID, name, types)                                                                                       \
    LIZ_INLINE void inline_rows_##name(decoder *d, int n)                                                              \
    {                                                                                                                  \
        decode_rows(d, n, sizeof(liz_block_##name), prepare_##name, decode_##name);                                    \
    }                                                                                                                  \
                                                                                                                       \
    static void call_rows_##name(decoder *d, int n) { inline_rows_##name(d, n); }                                      \
                                                                                                                       \
    static void gemm_##name(const void *panels, size_t n_blocks, const liz_act_i8 *act, size_t n_tok, void *scratch,   \
                            float *y, size_t y_stride, size_t n_rows)                                                  \
    {                                                                                                                  \
        const size_t bytes = sizeof(liz_block_##name);                                                                 \
        if (n_tok <= TOKENS)                                                                                           \
            gemm_integer(panels, bytes, n_blocks, act, n_tok, scratch, y, y_stride, n_rows, inline_rows_##name, 1, 8); \
        else if (n_tok <= 2 * TOKENS)                                                                                  \
            gemm_integer(panels, bytes, n_blocks, act, n_tok, scratch, y, y_stride, n_rows, inline_rows_##name, 2, 8); \
        else                                                                                                           \
            (n_tok <= 4 * TOKENS ? gemm_to_64 : gemm_over_64)(panels, bytes, n_blocks, act, n_tok, scratch, y,         \
                                                              y_stride, n_rows, call_rows_##name);                     \
    }

LIZ_PACKS_INTEGER(GEMM_I8)

/* ---- bf16 ---- */

static void store_bf16(const float (*c)[16], float *y, size_t y_stride, size_t n_tok, size_t n_rows)
{
    __mmask16 rows = n_rows >= 16 ? 0xFFFF : (__mmask16)((1u << n_rows) - 1);
    for (size_t t = 0; t < n_tok; t++)
        _mm512_mask_storeu_ps(y + t * y_stride, rows, _mm512_load_ps(c[t]));
}

/* Group g of a panel and of the one beside it. */
typedef struct groups {
    const uint8_t *panels;
    const uint8_t *const *pages; /* each has a group of all panels; NULL: panels, group after group */
    size_t n, row;               /* the first row; of `pages` only */
    bool two;
} groups;

LIZ_INLINE const uint8_t *group_at(const groups *w, size_t which, size_t g)
{
    which = w->two ? which : 0;
    return w->pages != NULL ? w->pages[g] + (w->row / 16 + which) * TILE_BYTES
                            : w->panels + (which * w->n + g) * TILE_BYTES;
}

/* Two panels, or one. */
LIZ_INLINE void gemm_groups(groups w, const uint16_t *xh, size_t x_stride, size_t n_tok, float *y, size_t y_stride,
                            size_t n_rows)
{
    _Alignas(64) float c[4][16][16];
    for (size_t t = 0; t < n_tok; t += 2 * TOKENS) {
        const uint16_t *x0 = xh + t * x_stride, *x1 = n_tok - t > TOKENS ? x0 + TOKENS * x_stride : x0;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t g = 0; g < w.n; g++) {
            _tile_loadd(4, x0 + g * 32, x_stride * 2);
            _tile_loadd(5, x1 + g * 32, x_stride * 2);
            _tile_loadd(6, group_at(&w, 0, g), 64);
            _tile_loadd(7, group_at(&w, 1, g), 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, c[0], 64);
        _tile_stored(1, c[1], 64);
        _tile_stored(2, c[2], 64);
        _tile_stored(3, c[3], 64);
        for (size_t i = 0; i < 4; i++) {
            size_t tok = t + i / 2 * TOKENS, row = i % 2 * 16;
            if (tok < n_tok && row < n_rows)
                store_bf16((const float(*)[16])c[i], y + tok * y_stride + row, y_stride, least(n_tok - tok, TOKENS),
                           n_rows - row);
        }
    }
}

static void gemm_bf16(const void *panels, size_t n_groups, const uint16_t *xh, size_t x_stride, size_t n_tok, float *y,
                      size_t y_stride, size_t n_rows)
{
    groups w = {.panels = panels, .n = n_groups, .two = n_rows > 16};
    gemm_groups(w, xh, x_stride, n_tok, y, y_stride, n_rows);
}

static void gemm_bf16_pages(const uint8_t *const *pages, size_t n_groups, const uint16_t *xh, size_t x_stride,
                            size_t n_tok, float *y, size_t y_stride, size_t n_rows)
{
    for (size_t row = 0; row < n_rows; row += 32) {
        groups w = {.pages = pages, .n = n_groups, .row = row, .two = true};
        gemm_groups(w, xh, x_stride, n_tok, y + row, y_stride, 32);
    }
}

static void lay_bf16(const float *x, size_t n, uint16_t *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_bf16(y + i, liz_v16_load_n(x + i, n - i));
    if ((n + 15) / 16 % 2 == 1)
        memset(y + (n + 15) / 16 * 16, 0, 16 * sizeof *y);
}

void liz_kernel_gemm_amx(liz_kernel *kernel)
{
#define ENTRY(ID, name, types) kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 4;
    kernel->gemm_bf16 = gemm_bf16;
    kernel->gemm_bf16_pages = gemm_bf16_pages;
    kernel->lay_bf16 = lay_bf16;
    kernel->tile_i8 = tile_i8;
    kernel->tiles_begin = tiles_begin;
    kernel->tiles_end = tiles_end;
}
