/* gemm_amx.c - panels against many tokens, on AMX tiles.
 *
 * Integers: weights are the left operand, so a tile row is 64 consecutive (packed order) bytes of one weight row,
 * and tokens are columns. A unit of work is a block of 256 of two panels (neighbours, or one of gate and one of up)
 * against 32 tokens, in 2 x 2 tiles. Beside it weights that come later are decoded, and the sums of the unit before are
 * converted and added up: acc = fma(float(I), d_row * d_token, acc). The three are interleaved finely, by hand: a
 * processor looks some 500 instructions ahead, which the loads of four tiles fill. What units work on has to stay in
 * the first-level cache beside what streams through it, so weights are decoded only half a block ahead, into the tiles
 * of the half that was used last; bytes (i8) are multiplied where they lie.
 * bf16: tokens are the left operand; tiles accumulate in floating point over all of k, in the order that
 * docs/kernels.md takes as the definition, put away and taken up again between slices of k. */
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"
#include "kernel/x86/decode_avx512.h"
#include "kernel/x86/put_avx512.h"
#include "kernel/x86/tiles_amx.h"

#include <string.h>

enum { TILE_BYTES = LIZ_TILE_BYTES, BLOCK_TILES = 4, TOKENS = 16, LINE = 64, AHEAD_BYTES = 4096 };

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

/* Running sums of 32 rows and 32 tokens. */
typedef struct sums {
    float acc[2][2][16][TOKENS]; /* panel, token group, row, token */
} sums;

/* Scratch: tiles of a block; what the rows of the block that is decoded share; row scales, needed until a block's sums
 * are added up; whole sums of a unit; running sums of all. */
typedef struct work {
    int8_t tiles[BLOCK_TILES][2][TILE_BYTES]; /* k, panel */
    liz_scales512 scales[2];
    float d_rows[3][2][16];
    int32_t whole[2][2][16][TOKENS];
    sums sets[];
} work;

_Static_assert(sizeof(work) <= LIZ_GEMM_SCRATCH_BYTES(0) &&
                   sizeof(sums) == LIZ_GEMM_SCRATCH_BYTES(32) - LIZ_GEMM_SCRATCH_BYTES(0),
               "scratch is what kernel.h says");

/* A block of two panels. */
typedef struct block_pair {
    const uint8_t *panel[2]; /* the same twice where there is no second */
    float (*d_rows)[16];
} block_pair;

typedef struct unit {
    work *w;
    const int8_t *tiles[2];    /* of each panel: decoded, or the rows of the block itself */
    const int8_t *x;           /* the first 16 tokens' tiles, */
    size_t x_group;            /* and how many bytes from them the second's are */
    const float (*d_rows)[16]; /* of the unit before, as are d_tok and s */
    const float *d_tok[2];
    sums *s;
    block_pair decoded[2];   /* whose first and whose second half is decoded meanwhile */
    const uint8_t *asked[2]; /* of each panel, what is asked for meanwhile */
} unit;

LIZ_INLINE void settle(const int32_t *whole, float d_row, __m512 d_tok, float *acc)
{
    __m512 f = _mm512_cvtepi32_ps(_mm512_load_si512(whole)), d = _mm512_mul_ps(_mm512_set1_ps(d_row), d_tok);
    _mm512_store_ps(acc, _mm512_fmadd_ps(f, d, _mm512_load_ps(acc)));
}

/* One of four parts of a step: a step is the tiles of 64 k against those of one or two groups of 16 tokens. A pair
 * of panels uses a token tile once, so it is loaded without pushing the rest out of the first-level cache. */
LIZ_INLINE void multiply_part(int part, const int8_t *w0, const int8_t *w1, size_t row_bytes, const int8_t *x0,
                              const int8_t *x1, int n_groups)
{
    switch (part) {
    case 0:
        _tile_loadd(4, w0, row_bytes);
        _tile_stream_loadd(6, x0, 64);
        break;
    case 1:
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(5, w1, row_bytes);
        break;
    case 2:
        _tile_dpbssd(2, 5, 6);
        if (n_groups == 2)
            _tile_stream_loadd(7, x1, 64);
        break;
    default:
        if (n_groups == 2) {
            _tile_dpbssd(1, 4, 7);
            _tile_dpbssd(3, 5, 7);
        }
    }
}

LIZ_INLINE void decode_row(const uint8_t *block, const liz_scales512 *scales, int row, int half, int8_t *to,
                           liz_decode512_fn *decode)
{
    __m512i x[2];
    decode(block, scales, row, half, true, x);
    _mm512_store_si512(to + 64 * row, x[0]);
    _mm512_store_si512(to + 64 * row + 2 * TILE_BYTES, x[1]);
}

/* Part `i` of `n` of a block. */
LIZ_INLINE void ask_for(const uint8_t *block, size_t block_bytes, size_t i, size_t n)
{
    const size_t n_lines = block_bytes / LINE;
    for (size_t line = i * n_lines / n; line < (i + 1) * n_lines / n; line++)
        _mm_prefetch((const char *)block + line * LINE, _MM_HINT_T0);
}

LIZ_INLINE void start_block(const block_pair *pair, int panel, work *w, liz_prepare512_fn *prepare)
{
    prepare(pair->panel[panel], true, &w->scales[panel]);
    _mm512_store_ps(pair->d_rows[panel], _mm512_load_ps(pair->panel[panel]));
}

static void sums_begin(void)
{
    liz_tiles_keep_order();
    liz_tiles_zero_sums();
}

static void sums_end(int32_t (*whole)[2][16][TOKENS])
{
    _tile_stored(0, whole[0][0], 64);
    _tile_stored(1, whole[0][1], 64);
    _tile_stored(2, whole[1][0], 64);
    _tile_stored(3, whole[1][1], 64);
}

/* acc [row][token] to y [token][row]; acc begins anew. */
LIZ_INLINE void store_panel(float (*acc)[TOKENS], float *y, size_t y_stride, size_t n_tok, size_t n_rows,
                            liz_gemm_to to)
{
    __mmask16 rows = liz_rows_mask(n_rows);
    __m512i columns[16];
    for (int r = 0; r < 16; r++) {
        columns[r] = _mm512_load_si512(acc[r]);
        _mm512_store_si512(acc[r], _mm512_setzero_si512());
    }
    liz_transpose_words(columns);
    for (size_t t = 0; t < n_tok; t++)
        liz_put_rows(y + t * y_stride, _mm512_castsi512_ps(columns[t]), rows, to);
}

/* What is decoded beside a unit's two halves of k: in the first the second half of its block, in the second the first
 * half of the block that comes next, whose place nobody reads any more then if the unit is the last of the block's. */
enum { NOTHING = 0, FIRST = 1, LAST = 2 };

/* All that says what is done when is a constant in each copy. `decoding`: FIRST, LAST or both; `in_place`: nothing is
 * decoded. Memory is asked for as steadily as may be, a block to come by all units that decode. */
LIZ_INLINE void run_unit(const unit *from, int n_groups, const int decoding, const bool in_place, size_t block_bytes,
                         liz_prepare512_fn *prepare, liz_decode512_fn *decode)
{
    const size_t row_bytes = in_place ? LIZ_BLOCK_LEN : LINE, step = in_place ? LINE : 2 * TILE_BYTES;
    const size_t n_parts = decoding == (FIRST | LAST) ? 8 : 16, first_part = decoding == LAST ? 8 : 0;
    const unit u = *from; /* nothing that is stored can change it */
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const int half = 1 - h;
        const bool decodes = !in_place && decoding & (h == 0 ? FIRST : LAST);
        const block_pair *pair = &u.decoded[half];
        __m512 d_tok = _mm512_load_ps(u.d_tok[h]);
        liz_tiles_keep_order();
#pragma GCC unroll 1
        for (int p = 0; p < 2; p++) {
            const int8_t *x = u.x + (2 * h + p) * TILE_BYTES;
            const int8_t *w0 = u.tiles[0] + (size_t)(2 * h + p) * step, *w1 = u.tiles[1] + (size_t)(2 * h + p) * step;
            if (decoding & LAST && half == 0)
                start_block(pair, p, u.w, prepare);
#pragma GCC unroll 4
            for (int part = 0; part < 4; part++) {
                multiply_part(part, w0, w1, row_bytes, x, x + u.x_group, n_groups);
                if (decoding != NOTHING)
                    ask_for(u.asked[p], block_bytes, first_part + (size_t)(4 * h + part), n_parts);
#pragma GCC unroll 4
                for (int r = 0; r < 4; r++) {
                    int row = 4 * part + r;
                    if (decodes)
                        decode_row(pair->panel[p], &u.w->scales[p], row, half, u.w->tiles[2 * half][p], decode);
                    if (h < n_groups)
                        settle(u.w->whole[p][h][row], u.d_rows[p][row], d_tok, u.s->acc[p][h][row]);
                }
            }
        }
    }
}

static void alone(const unit *u) { run_unit(u, 2, NOTHING, false, 0, NULL, NULL); }
static void alone_in_place(const unit *u) { run_unit(u, 2, NOTHING, true, 0, NULL, NULL); }

/* A form's copies. */
typedef struct units {
    bool in_place;
    void (*start)(const block_pair *pair, work *w); /* decodes the first half of the first block */
    void (*only_16)(const unit *u), (*only)(const unit *u), (*first)(const unit *u), (*last)(const unit *u);
} units;

/* Pairs of panels and tokens, in units: blocks of a pair in turn, each against all sets of tokens. */
typedef struct walk {
    const uint8_t *panel[2]; /* of the first pair: neighbours, or of gate and up where there is an activation */
    liz_gated_fn *activate;
    size_t pair_bytes, pair_rows; /* from a pair to the next, of panels and of results */
    size_t block_bytes, n_blocks, n_tok, n_rows;
    size_t n_all;            /* blocks of all pairs */
    size_t n_groups, n_sets; /* of 16 tokens in a set, of which there are so many */
} walk;

/* Block `at` of the walk, of a pair's first or second panel. */
static const uint8_t *block_of(const walk *k, int panel, size_t at)
{
    return k->panel[panel] + at / k->n_blocks * k->pair_bytes + at % k->n_blocks * k->block_bytes;
}

static bool has_second(const walk *k, size_t pair)
{
    return k->activate != NULL || pair * k->pair_rows + LIZ_PANEL_ROWS < k->n_rows;
}

/* Block `at` of the walk; the last once more where there is none. */
static block_pair block_at(const walk *k, size_t at, work *w)
{
    size_t i = least(at, k->n_all - 1);
    return (block_pair){{block_of(k, 0, i), block_of(k, has_second(k, i / k->n_blocks), i)}, w->d_rows[at % 3]};
}

/* The rows of a matrix, or, with `activate`, of gate and up. */
static walk walk_of(const uint8_t *panels, const uint8_t *up, liz_gated_fn *activate, size_t block_bytes,
                    size_t n_blocks, size_t n_tok, size_t n_rows)
{
    size_t panel_bytes = n_blocks * block_bytes, n_panels = activate != NULL ? 1 : 2;
    walk k = {.panel = {panels, activate != NULL ? up : panels + panel_bytes},
              .activate = activate,
              .pair_bytes = n_panels * panel_bytes,
              .pair_rows = n_panels * LIZ_PANEL_ROWS,
              .block_bytes = block_bytes,
              .n_blocks = n_blocks,
              .n_tok = n_tok,
              .n_rows = n_rows,
              .n_groups = n_tok <= TOKENS ? 1 : 2};
    k.n_all = (n_rows + k.pair_rows - 1) / k.pair_rows * n_blocks;
    k.n_sets = (n_tok + k.n_groups * TOKENS - 1) / (k.n_groups * TOKENS);
    return k;
}

static void store_pair(const walk *k, size_t pair, work *w, float *y, size_t y_stride, liz_gemm_to to)
{
    size_t row = pair * k->pair_rows, n_rows = k->n_rows - row;
    for (size_t t = 0; t < k->n_tok; t += TOKENS) {
        sums *s = &w->sets[t / TOKENS / k->n_groups];
        size_t g = t / TOKENS % k->n_groups, n = least(k->n_tok - t, TOKENS);
        float *to_row = y + t * y_stride + row, (*first)[TOKENS] = s->acc[0][g], (*second)[TOKENS] = s->acc[1][g];
        if (k->activate != NULL) {
            k->activate(first[0], second[0], LIZ_PANEL_ROWS * TOKENS, first[0]);
            memset(second, 0, sizeof s->acc[1][g]);
        }
        store_panel(first, to_row, y_stride, n, n_rows, to);
        if (k->activate == NULL && has_second(k, pair))
            store_panel(second, to_row + LIZ_PANEL_ROWS, y_stride, n, n_rows - LIZ_PANEL_ROWS, to);
    }
}

static void gemm_integer(const walk *k, const units *of, const liz_act_i8 *act, work *w, float *y, size_t y_stride,
                         liz_gemm_to to)
{
    _Alignas(64) static const float none[2][16]; /* nothing is added up beside the first unit */
    unit u = {.w = w,
              .x_group = k->n_blocks * BLOCK_TILES * TILE_BYTES,
              .d_rows = none,
              .d_tok = {none[0], none[0]},
              .s = w->sets};
    const size_t n_ahead = (AHEAD_BYTES + k->block_bytes - 1) / k->block_bytes;
    block_pair now, next = block_at(k, 0, w);
    memset(w->whole, 0, sizeof w->whole);
    memset(w->sets, 0, k->n_sets * sizeof(sums));
    of->start(&next, w);
    for (size_t at = 0; at <= k->n_all; at++) { /* one more, for the last sums */
        now = next;
        next = block_at(k, at + 1, w);
        for (int p = 0; p < 2; p++)
            u.tiles[p] = of->in_place ? ((const liz_block_i8 *)(const void *)now.panel[p])->t[0] : w->tiles[0][p];
        u.decoded[0] = next;
        u.decoded[1] = now;
        for (int p = 0; p < 2; p++) /* past the last block too: more panels may follow, and none is read */
            u.asked[p] = block_of(k, p, at + n_ahead);
        for (size_t set = 0; set < (at < k->n_all ? k->n_sets : 1); set++) {
            size_t x_block = k->n_groups * set * k->n_blocks + at % k->n_blocks;
            u.x = act->tile + x_block * BLOCK_TILES * TILE_BYTES;
            sums_begin();
            if (at == k->n_all || (set > 0 && set + 1 < k->n_sets))
                (of->in_place ? alone_in_place : alone)(&u);
            else if (k->n_sets > 1)
                (set == 0 ? of->first : of->last)(&u);
            else
                (k->n_groups == 1 ? of->only_16 : of->only)(&u);
            if (at > 0 && at % k->n_blocks == 0 && set == 0)
                store_pair(k, at / k->n_blocks - 1, w, y, y_stride, to);
            sums_end(w->whole);
            u.d_rows = (const float(*)[16])now.d_rows;
            u.d_tok[0] = act->tile_d + x_block * TOKENS;
            u.d_tok[1] = act->tile_d + (x_block + k->n_blocks) * TOKENS;
            u.s = &w->sets[set];
        }
    }
}

/* Bytes of a row lie together, as a tile wants them. */
#define IN_PLACE(ID) (LIZ_PACK_##ID == LIZ_PACK_I8)

#define RUN_UNIT(ID, name, n_groups, decoding)                                                                         \
    run_unit(u, n_groups, decoding, IN_PLACE(ID), sizeof(liz_block_##name), prepare_##name, decode_##name)

#define GEMM_I8(ID, name, types)                                                                                       \
    static void start_##name(const block_pair *pair, work *w)                                                          \
    {                                                                                                                  \
        for (int panel = 0; panel < 2; panel++) {                                                                      \
            start_block(pair, panel, w, prepare_##name);                                                               \
            for (int row = 0; row < LIZ_PANEL_ROWS && !IN_PLACE(ID); row++)                                            \
                decode_row(pair->panel[panel], &w->scales[panel], row, 0, w->tiles[0][panel], decode_##name);          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void only_16_##name(const unit *u) { RUN_UNIT(ID, name, 1, FIRST | LAST); }                                 \
    static void only_##name(const unit *u) { RUN_UNIT(ID, name, 2, FIRST | LAST); }                                    \
    static void first_##name(const unit *u) { RUN_UNIT(ID, name, 2, FIRST); }                                          \
    static void last_##name(const unit *u) { RUN_UNIT(ID, name, 2, LAST); }                                            \
                                                                                                                       \
    static const units units_##name = {IN_PLACE(ID), start_##name, only_16_##name,                                     \
                                       only_##name,  first_##name, last_##name};                                       \
                                                                                                                       \
    static void gemm_##name(const void *panels, size_t n_blocks, const liz_act_i8 *act, size_t n_tok, void *scratch,   \
                            float *y, size_t y_stride, size_t n_rows, liz_gemm_to to)                                  \
    {                                                                                                                  \
        walk k = walk_of(panels, NULL, NULL, sizeof(liz_block_##name), n_blocks, n_tok, n_rows);                       \
        gemm_integer(&k, &units_##name, act, scratch, y, y_stride, liz_put_for(y, y_stride, to));                      \
    }                                                                                                                  \
                                                                                                                       \
    static void gated_##name(const void *gate, const void *up, size_t n_blocks, const liz_act_i8 *act, size_t n_tok,   \
                             liz_gated_fn *activate, void *scratch, float *y, size_t y_stride, size_t n_rows)          \
    {                                                                                                                  \
        walk k = walk_of(gate, up, activate, sizeof(liz_block_##name), n_blocks, n_tok, n_rows);                       \
        gemm_integer(&k, &units_##name, act, scratch, y, y_stride, LIZ_GEMM_PUT);                                      \
    }

LIZ_PACKS_INTEGER(GEMM_I8)

/* ---- bf16 ---- */

/* A unit is a slice of k of two panels against 32 tokens. Both operands of one fit into the first-level cache, and the
 * panels' stay there while the tokens of a pass go by; the slice that comes next is asked for meanwhile. */
enum { SLICE_GROUPS = 8, UNIT_TOKENS = 2 * TOKENS, PASS_UNITS = 8, PASS_TOKENS = PASS_UNITS * UNIT_TOKENS };

/* Of 32 tokens with two panels. */
typedef struct products {
    _Alignas(64) float c[UNIT_TOKENS][2][16];
} products;

/* What is multiplied, and where the results go. */
typedef struct job {
    const uint8_t *panels;
    size_t panel_bytes, n_groups, n_rows, n_tok, y_stride;
    liz_act_bf16 act;
    float *y;
    liz_gemm_to to;
} job;

LIZ_INLINE const uint8_t *tile_at(const job *j, size_t panel, size_t group)
{
    return j->panels + panel * j->panel_bytes + group * TILE_BYTES;
}

/* Products on their way to y while the next unit is under way: those that are left. */
typedef struct delivery {
    const float (*from)[2][16];
    float *y;
    size_t y_stride, n_tok;
    __mmask16 rows[2];
    liz_gemm_to to;
} delivery;

LIZ_INLINE void deliver(delivery *d, size_t n_tok)
{
    for (size_t n = least(n_tok, d->n_tok); n > 0; n--, d->n_tok--, d->from++, d->y += d->y_stride) {
        liz_put_rows(d->y, _mm512_load_ps(d->from[0][0]), d->rows[0], d->to);
        liz_put_rows(d->y + 16, _mm512_load_ps(d->from[0][1]), d->rows[1], d->to);
    }
}

/* Of n tokens at t with the two panels from row `row`. */
static delivery delivery_of(const job *j, const products *from, size_t row, size_t t, size_t n)
{
    size_t n_rows = j->n_rows - row;
    return (delivery){.from = (const float(*)[2][16])from->c,
                      .y = j->y + t * j->y_stride + row,
                      .y_stride = j->y_stride,
                      .n_tok = n,
                      .rows = {liz_rows_mask(n_rows), n_rows > 16 ? liz_rows_mask(n_rows - 16) : 0},
                      .to = j->to};
}

typedef struct unit_bf16 {
    const uint16_t *x[2]; /* 16 tokens each */
    size_t panel, second, group, n_groups;
    const uint8_t *next[2]; /* tiles of the slice to come, of which this unit asks for some lines a group */
    size_t ask_begin, ask_end;
} unit_bf16;

/* Adds the unit's products to `before`, nothing if NULL, and leaves the sums at `to` [32, to_stride]. */
LIZ_INLINE void multiply(const job *j, const unit_bf16 *u, const products *before, float *to, size_t to_stride,
                         delivery *d)
{
    size_t n_tok = (d->n_tok + u->n_groups - 1) / u->n_groups, token_bytes = j->act.token * sizeof(uint16_t);
    if (before == NULL) {
        liz_tiles_zero_sums();
    } else {
        _tile_loadd(0, before->c[0][0], sizeof before->c[0]);
        _tile_loadd(1, before->c[0][1], sizeof before->c[0]);
        _tile_loadd(2, before->c[TOKENS][0], sizeof before->c[0]);
        _tile_loadd(3, before->c[TOKENS][1], sizeof before->c[0]);
    }
    for (size_t g = 0; g < u->n_groups; g++) {
        _tile_loadd(4, u->x[0] + g * j->act.group, token_bytes);
        _tile_loadd(5, u->x[1] + g * j->act.group, token_bytes);
        _tile_loadd(6, tile_at(j, u->panel, u->group + g), LINE);
        _tile_loadd(7, tile_at(j, u->second, u->group + g), LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        for (size_t i = u->ask_begin; i < u->ask_end; i++)
            _mm_prefetch(u->next[i / 16] + g * TILE_BYTES + i % 16 * LINE, _MM_HINT_T1);
        deliver(d, n_tok);
    }
    _tile_stored(0, to, to_stride * sizeof *to);
    _tile_stored(1, to + 16, to_stride * sizeof *to);
    _tile_stored(2, to + TOKENS * to_stride, to_stride * sizeof *to);
    _tile_stored(3, to + TOKENS * to_stride + 16, to_stride * sizeof *to);
}

/* Two panels from row `row` against the tokens of a pass. Whole results that are put go straight to y, others through
 * `done`: `d` has taken the last of them by the time that the next unit puts its own there. */
LIZ_INLINE void multiply_pass(const job *j, size_t row, size_t first_tok, products *done, delivery *d)
{
    size_t n_pass = least(j->n_tok - first_tok, PASS_TOKENS), n_units = (n_pass + UNIT_TOKENS - 1) / UNIT_TOKENS;
    unit_bf16 u = {.panel = row / 16, .second = row / 16 + (j->n_rows - row > 16)};
    size_t slice = n_units > 1 ? SLICE_GROUPS : j->n_groups; /* one unit alone gains nothing by a slice */
    for (; u.group < j->n_groups; u.group += slice) {
        u.n_groups = least(j->n_groups - u.group, slice);
        bool is_last = u.group + u.n_groups == j->n_groups;
        if (n_units > 1) {
            size_t next_panel = first_tok + n_pass < j->n_tok ? u.panel : u.panel + 2;
            u.next[0] = is_last ? tile_at(j, next_panel, 0) : tile_at(j, u.panel, u.group + u.n_groups);
            u.next[1] = u.next[0] + (u.second - u.panel) * j->panel_bytes;
        }
        for (size_t i = 0; i < n_units; i++) {
            size_t t = first_tok + i * UNIT_TOKENS, n = least(j->n_tok - t, UNIT_TOKENS);
            u.x[0] = j->act.x + t / TOKENS * j->act.tile + u.group * j->act.group;
            u.x[1] = n > TOKENS ? u.x[0] + j->act.tile : u.x[0];
            u.ask_begin = u.next[0] != NULL ? i * 32 / n_units : 0;
            u.ask_end = u.next[0] != NULL ? (i + 1) * 32 / n_units : 0;
            const products *before = u.group > 0 ? &done[i] : NULL;
            if (is_last && j->to == LIZ_GEMM_PUT && n == UNIT_TOKENS && j->n_rows - row >= 32) {
                multiply(j, &u, before, j->y + t * j->y_stride + row, j->y_stride, d);
                continue;
            }
            multiply(j, &u, before, done[i].c[0][0], 32, d);
            if (is_last)
                *d = delivery_of(j, &done[i], row, t, n);
        }
    }
}

LIZ_INLINE void gemm_floats(job *j)
{
    products done[PASS_UNITS];
    delivery d = {0};
    j->to = liz_put_for(j->y, j->y_stride, j->to);
    for (size_t row = 0; row < j->n_rows; row += 32)
        for (size_t t = 0; t < j->n_tok; t += PASS_TOKENS)
            multiply_pass(j, row, t, done, &d);
    deliver(&d, d.n_tok);
}

static void gemm_bf16(const void *panels, size_t panel_bytes, size_t n_groups, const liz_act_bf16 *act, size_t n_tok,
                      float *y, size_t y_stride, size_t n_rows, liz_gemm_to to)
{
    gemm_floats(&(job){panels, panel_bytes, n_groups, n_rows, n_tok, y_stride, *act, y, to});
}

static void lay_bf16(const float *x, size_t n, size_t group, uint16_t *y)
{
    for (size_t i = 0; i < n; i += 32, y += group) {
        liz_v16_store_bf16(y, liz_v16_load_n(x + i, n - i));
        liz_v16_store_bf16(y + 16, n - i > 16 ? liz_v16_load_n(x + i + 16, n - i - 16) : liz_v16_zero());
    }
}

/* As they are. */
static const uint16_t lay_order[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                       16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

void liz_kernel_gemm_amx(liz_kernel *kernel)
{
#define ENTRY(ID, name, types)                                                                                         \
    kernel->gemm_i8[LIZ_PACK_##ID] = gemm_##name;                                                                      \
    kernel->gemm_gated[LIZ_PACK_##ID] = gated_##name;
    LIZ_PACKS_INTEGER(ENTRY)
    kernel->gemm_i8_min = 4;
    kernel->gemm_bf16 = gemm_bf16;
    kernel->lay_bf16 = lay_bf16;
    kernel->lay_order = lay_order;
    kernel->tile_i8 = tile_i8;
    kernel->tiles_begin = tiles_begin;
    kernel->tiles_end = tiles_end;
}
