/* gemm_amx.c - two panels against many tokens, on AMX tiles.
 *
 * Integers: weights are the left operand, so a tile row is 64 consecutive (packed order) bytes of one weight row,
 * and tokens are columns. Both panels are decoded once, for all of k, into scratch that stays in the cache; then
 * for 32 tokens at a time 2 x 2 tiles accumulate a block of 256, and while the next block is multiplied the
 * finished one is stored, converted and added to the running sums: acc = fma(float(I), d_row * d_token, acc).
 * bf16: tokens are the left operand; tiles accumulate in floating point over all of k, in the order that
 * docs/kernels.md takes as the definition, so nothing is left to do but store. */
#include "kernel/kernel_tiers.h"
#include "kernel/x86/decode_avx512.h"

#include <string.h>

enum { TILE_BYTES = 1024, BLOCK_TILES = 4, TOKENS = 16 };

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

/* The 16 x 16 transpose of 32-bit words: within 128-bit lanes first, then the lanes themselves. */
LIZ_INLINE void transpose_words(__m512i *x)
{
    __m512i y[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i ab_lo = _mm512_unpacklo_epi32(x[i], x[i + 1]), ab_hi = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        __m512i cd_lo = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]), cd_hi = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        y[i] = _mm512_unpacklo_epi64(ab_lo, cd_lo);
        y[i + 1] = _mm512_unpackhi_epi64(ab_lo, cd_lo);
        y[i + 2] = _mm512_unpacklo_epi64(ab_hi, cd_hi);
        y[i + 3] = _mm512_unpackhi_epi64(ab_hi, cd_hi);
    }
    for (int i = 0; i < 4; i++) {
        __m512i even_lo = _mm512_shuffle_i32x4(y[i], y[i + 4], 0x88), odd_lo = _mm512_shuffle_i32x4(y[i], y[i + 4], 0xDD);
        __m512i even_hi = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0x88);
        __m512i odd_hi = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0xDD);
        x[i] = _mm512_shuffle_i32x4(even_lo, even_hi, 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(even_lo, even_hi, 0xDD);
        x[i + 4] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0x88);
        x[i + 12] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0xDD);
    }
}

/* Groups of four bytes are words: a tile is the transpose of 16 tokens' 64 bytes. */
static void tile_i8(const int8_t *q, size_t q_stride, int8_t *tile)
{
    for (int c = 0; c < BLOCK_TILES; c++) {
        __m512i x[16];
        for (size_t t = 0; t < 16; t++)
            x[t] = _mm512_loadu_si512(q + t * q_stride + 64 * c);
        transpose_words(x);
        for (int k = 0; k < 16; k++)
            _mm512_store_si512(tile + c * TILE_BYTES + 64 * k, x[k]);
    }
}

typedef void prepare_fn(const void *block, liz_scales512 *scales);
typedef void decode_fn(const void *block, const liz_scales512 *scales, int row, liz_bytes512 *out);

/* Scratch: decoded tiles [n_blocks, BLOCK_TILES, 2 panels] and row scales [n_blocks, 32], then the workspace. */
typedef struct work {
    float acc[2][2][16][TOKENS]; /* panel, token group, row, token */
    int32_t whole[2][2][2][16][TOKENS];
} work;

_Static_assert(sizeof(work) <= 16384, "LIZ_GEMM_SCRATCH_BYTES counts on it");

LIZ_INLINE void decode_panel(const uint8_t *panel, size_t block_bytes, size_t n_blocks, int which, int8_t *tiles,
                             float *d, prepare_fn *prepare, decode_fn *decode)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    for (size_t b = 0; b < n_blocks; b++, panel += block_bytes) {
        liz_scales512 scales;
        prepare(panel, &scales);
        _mm512_store_ps(d + 32 * b + 16 * which, _mm512_load_ps(panel));
        int8_t *out = tiles + (b * BLOCK_TILES * 2 + (size_t)which) * TILE_BYTES;
        for (int row = 0; row < 16; row++) {
            liz_bytes512 w;
            decode(panel, &scales, row, &w);
            for (int c = 0; c < BLOCK_TILES; c++)
                _mm512_store_si512(out + c * 2 * TILE_BYTES + 64 * row, _mm512_xor_si512(w.u[c], sign));
        }
    }
}

/* Eight rows of one panel and block into the running sums. */
LIZ_INLINE void settle(const int32_t (*whole)[TOKENS], const float *d_rows, __m512 d_tok, float (*acc)[TOKENS], int row,
                       int n_rows)
{
    for (int r = row; r < row + n_rows; r++) {
        __m512 f = _mm512_cvtepi32_ps(_mm512_load_si512(whole[r]));
        __m512 d = _mm512_mul_ps(_mm512_set1_ps(d_rows[r]), d_tok);
        _mm512_store_ps(acc[r], _mm512_fmadd_ps(f, d, _mm512_load_ps(acc[r])));
    }
}

/* What the epilogue of one block needs. */
typedef struct pending {
    const int32_t (*whole)[2][16][TOKENS];
    const float *d_rows;
    __m512 d_tok[2];
} pending;

LIZ_INLINE void settle_quarter(const pending *p, work *w, int quarter, int n_groups)
{
    for (int panel = 0; panel < 2; panel++)
        for (int g = 0; g < n_groups; g++)
            settle(p->whole[panel][g], p->d_rows + 16 * panel, p->d_tok[g], w->acc[panel][g], 4 * quarter, 4);
}

LIZ_INLINE __m512 token_scales(const float *d, size_t n_blocks, size_t b)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i index = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32((int)n_blocks)), _mm512_set1_epi32((int)b));
    return _mm512_i32gather_ps(index, d, 4);
}

/* 32 rows against one or two groups of 16 tokens; leaves sums in w->acc. */
LIZ_INLINE void multiply_groups(const int8_t *tiles, const float *d_rows, size_t n_blocks, const int8_t *x0,
                                const int8_t *x1, const float *d_tok, int n_groups, work *w)
{
    pending last = {0};
    memset(w->acc, 0, sizeof w->acc);
    for (size_t b = 0; b < n_blocks; b++) {
        _tile_zero(0);
        _tile_zero(2);
        if (n_groups == 2) {
            _tile_zero(1);
            _tile_zero(3);
        }
        for (int c = 0; c < BLOCK_TILES; c++, tiles += 2 * TILE_BYTES, x0 += TILE_BYTES, x1 += TILE_BYTES) {
            _tile_loadd(4, tiles, 64);
            _tile_loadd(6, x0, 64);
            _tile_loadd(5, tiles + TILE_BYTES, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(2, 5, 6);
            if (n_groups == 2) {
                _tile_loadd(7, x1, 64);
                _tile_dpbssd(1, 4, 7);
                _tile_dpbssd(3, 5, 7);
            }
            if (b > 0)
                settle_quarter(&last, w, c, n_groups);
        }
        int32_t (*whole)[2][16][TOKENS] = w->whole[b % 2];
        _tile_stored(0, whole[0][0], 64);
        _tile_stored(2, whole[1][0], 64);
        if (n_groups == 2) {
            _tile_stored(1, whole[0][1], 64);
            _tile_stored(3, whole[1][1], 64);
        }
        last.whole = (const int32_t (*)[2][16][TOKENS])whole;
        last.d_rows = d_rows + 32 * b;
        for (int g = 0; g < n_groups; g++)
            last.d_tok[g] = token_scales(d_tok + (size_t)g * TOKENS * n_blocks, n_blocks, b);
    }
    for (int c = 0; c < BLOCK_TILES; c++)
        settle_quarter(&last, w, c, n_groups);
}

/* acc [row][token] to y [token][row]. */
LIZ_INLINE void store_group(const float (*acc)[TOKENS], float *y, size_t y_stride, size_t n_tok, size_t n_rows)
{
    __mmask16 rows = n_rows >= 16 ? 0xFFFF : (__mmask16)((1u << n_rows) - 1);
    __m512i columns[16];
    for (int r = 0; r < 16; r++)
        columns[r] = _mm512_load_si512(acc[r]);
    transpose_words(columns);
    for (size_t t = 0; t < n_tok; t++)
        _mm512_mask_storeu_epi32(y + t * y_stride, rows, columns[t]);
}

static void store_panels(const work *w, float *y, size_t y_stride, size_t n_tok, size_t n_rows)
{
    for (size_t panel = 0; 16 * panel < n_rows; panel++)
        for (size_t g = 0; g * TOKENS < n_tok; g++)
            store_group(w->acc[panel][g], y + g * TOKENS * y_stride + 16 * panel, y_stride,
                        n_tok - g * TOKENS < TOKENS ? n_tok - g * TOKENS : TOKENS, n_rows - 16 * panel);
}

LIZ_INLINE void gemm_integer(const uint8_t *panels, size_t block_bytes, size_t n_blocks, const liz_act_i8 *act, size_t n_tok,
                        uint8_t *scratch, float *y, size_t y_stride, size_t n_rows, prepare_fn *prepare, decode_fn *decode)
{
    int8_t *tiles = (int8_t *)scratch;
    float *d_rows = (float *)(void *)(scratch + n_blocks * 2 * BLOCK_TILES * TILE_BYTES);
    work *w = (work *)(void *)((uint8_t *)d_rows + n_blocks * 128);
    decode_panel(panels, block_bytes, n_blocks, 0, tiles, d_rows, prepare, decode);
    if (n_rows > 16)
        decode_panel(panels + n_blocks * block_bytes, block_bytes, n_blocks, 1, tiles, d_rows, prepare, decode);
    const size_t group_bytes = n_blocks * BLOCK_TILES * TILE_BYTES;
    for (size_t t = 0; t < n_tok; t += 2 * TOKENS) {
        const int8_t *x = act->tile + t / TOKENS * group_bytes;
        const float *d_tok = act->d + t * n_blocks;
        if (n_tok - t > TOKENS)
            multiply_groups(tiles, d_rows, n_blocks, x, x + group_bytes, d_tok, 2, w);
        else
            multiply_groups(tiles, d_rows, n_blocks, x, x, d_tok, 1, w);
        store_panels(w, y + t * y_stride, y_stride, n_tok - t < 2 * TOKENS ? n_tok - t : 2 * TOKENS, n_rows);
    }
}

#define GEMM_I8(name)                                                                                                  \
    static void gemm_##name(const void *panels, size_t n_blocks, const liz_act_i8 *act, size_t n_tok, void *scratch,   \
                            float *y, size_t y_stride, size_t n_rows)                                                  \
    {                                                                                                                  \
        gemm_integer(panels, sizeof(liz_block_##name), n_blocks, act, n_tok, scratch, y, y_stride, n_rows, prepare_##name,  \
                decode_##name);                                                                                        \
    }

GEMM_I8(i4)
GEMM_I8(i4k)
GEMM_I8(i5)
GEMM_I8(i6k)
GEMM_I8(i8)

/* ---- bf16 ---- */

static void store_bf16(const float (*c)[16], float *y, size_t y_stride, size_t n_tok, size_t n_rows)
{
    __mmask16 rows = n_rows >= 16 ? 0xFFFF : (__mmask16)((1u << n_rows) - 1);
    for (size_t t = 0; t < n_tok; t++)
        _mm512_mask_storeu_ps(y + t * y_stride, rows, _mm512_load_ps(c[t]));
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void gemm_bf16(const void *panels, size_t n_groups, const uint16_t *xh, size_t x_stride, size_t n_tok, float *y,
                      size_t y_stride, size_t n_rows)
{
    const uint8_t *w0 = panels, *w1 = n_rows > 16 ? w0 + n_groups * TILE_BYTES : w0;
    _Alignas(64) float c[4][16][16];
    for (size_t t = 0; t < n_tok; t += 2 * TOKENS) {
        const uint16_t *x0 = xh + t * x_stride, *x1 = n_tok - t > TOKENS ? x0 + TOKENS * x_stride : x0;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t g = 0; g < n_groups; g++) {
            _tile_loadd(4, x0 + g * 32, x_stride * 2);
            _tile_loadd(5, x1 + g * 32, x_stride * 2);
            _tile_loadd(6, w0 + g * TILE_BYTES, 64);
            _tile_loadd(7, w1 + g * TILE_BYTES, 64);
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
                store_bf16((const float (*)[16])c[i], y + tok * y_stride + row, y_stride, least(n_tok - tok, TOKENS),
                           n_rows - row);
        }
    }
}

void liz_kernel_gemm_amx(liz_kernel *kernel)
{
    kernel->gemm_i8[LIZ_PACK_I4] = gemm_i4;
    kernel->gemm_i8[LIZ_PACK_I4K] = gemm_i4k;
    kernel->gemm_i8[LIZ_PACK_I5] = gemm_i5;
    kernel->gemm_i8[LIZ_PACK_I6K] = gemm_i6k;
    kernel->gemm_i8[LIZ_PACK_I8] = gemm_i8;
    kernel->gemm_bf16 = gemm_bf16;
    kernel->tile_i8 = tile_i8;
    kernel->tiles_begin = tiles_begin;
    kernel->tiles_end = tiles_end;
}
