/* matmul.c - preparing activations and driving the leaf kernels over panels. */
#include "kernel/matmul.h"

#include "base/carve.h"
#include "base/status.h"
#include "base/tiny.h"
#include "sys/memory.h"

#include <string.h>

enum { TILE_TOKENS = 16, PAIR_TOKENS = 32, TILE_BYTES = 1024 };
enum { GEMM_BF16_MIN = 4 /* tokens from which it pays */, ACT_CACHED_BYTES = 1 << 20 };
enum { LEAST_PANELS = 8 };                /* fewer are not worth a beginning */
enum { BLOCKS_EACH = LIZ_OR_TINY(8, 2) }; /* of outputs for a member, or one would wait long for another's last */

/* Results of a pass of so many bytes leave the second-level cache before they are read; to put them there first reads
 * them from memory. */
enum { STREAM_BYTES = 3 << 20 };

static size_t round_up(size_t n, size_t unit) { return liz_div_up(n, unit) * unit; }

liz_act_form liz_act_form_of(liz_pack pack)
{
    return liz_pack_is_integer(pack) ? LIZ_ACT_I8 : pack == LIZ_PACK_BF16 ? LIZ_ACT_BF16 : LIZ_ACT_F32;
}

/* Token counts are rounded up to a pair of tiles, since tiles read and scale whole groups. */
static size_t act_layout(liz_act *act, uint8_t *base, size_t n_tok_max, size_t n_in_max, unsigned forms)
{
    liz_carver c = {.base = base};
    size_t n = round_up(n_tok_max, PAIR_TOKENS) * liz_act_stride(liz_div_up(n_in_max, LIZ_BLOCK_LEN));
    size_t n_i8 = forms & LIZ_ACT_I8 ? n : 0, n_bf16 = forms & LIZ_ACT_BF16 ? n : 0,
           n_f32 = forms & LIZ_ACT_F32 ? n : 0;
    act->i8.q = liz_carve(&c, n_i8, LIZ_BLOCK_LEN);
    act->i8.d = liz_carve(&c, n_i8, sizeof(float));
    act->i8.sum = liz_carve(&c, n_i8, sizeof(int32_t));
    act->i8.tile = liz_carve(&c, n_i8, LIZ_BLOCK_LEN);
    act->i8.tile_d = liz_carve(&c, n_i8, sizeof(float));
    act->rounded = liz_carve(&c, n_bf16, LIZ_BLOCK_LEN * sizeof(float));
    act->half = liz_carve(&c, n_bf16, LIZ_BLOCK_LEN * sizeof(uint16_t));
    act->plain = liz_carve(&c, n_f32, LIZ_BLOCK_LEN * sizeof(float));
    return c.used;
}

size_t liz_act_bytes(size_t n_tok_max, size_t n_in_max, unsigned forms)
{
    liz_act act = {0};
    return act_layout(&act, NULL, n_tok_max, n_in_max, forms);
}

bool liz_act_open(liz_act *act, size_t n_tok_max, size_t n_in_max, unsigned forms)
{
    *act = (liz_act){.n_tok_max = n_tok_max, .n_in_max = n_in_max};
    act->memory_bytes = liz_act_bytes(n_tok_max, n_in_max, forms);
    if (act->memory_bytes == 0)
        return true;
    act->memory = liz_memory_map(act->memory_bytes);
    if (act->memory == NULL)
        return false;
    act_layout(act, act->memory, n_tok_max, n_in_max, forms);
    return true;
}

void liz_act_close(liz_act *act)
{
    liz_memory_unmap(act->memory, act->memory_bytes);
    *act = (liz_act){0};
}

static bool is_there(liz_act_source source, size_t n_tok, size_t t)
{
    return t < n_tok && (source.rows == NULL || source.rows[t] >= 0);
}

/* Token t's n floats from `first` on, made if they have to be; NULL past the end and in a gap. */
static const float *source_part(liz_act_source source, size_t n_tok, size_t t, size_t first, size_t n)
{
    if (!is_there(source, n_tok, t))
        return NULL;
    size_t at = (source.rows != NULL ? (size_t)source.rows[t] : t) * source.stride + first - source.origin;
    if (source.activate != NULL && source.gate != NULL)
        source.activate(source.gate + at, source.up + at, n, source.up + at);
    else if (source.activate != NULL)
        source.activate(source.up + at, NULL, n, source.up + at);
    return source.x + at;
}

/* One block of 256 of up to 16 tokens, and its tiles, where tokens that are not there become zeros. */
static void prepare_i8_block(const liz_kernel *kernel, liz_act *act, liz_act_source source, size_t n_tok, size_t n_in,
                             size_t group, size_t block)
{
    size_t n_blocks = liz_div_up(n_in, LIZ_BLOCK_LEN), first = group * TILE_TOKENS;
    int8_t *q = act->i8.q + block * LIZ_BLOCK_LEN;
    const size_t q_stride = liz_act_stride(n_blocks) * LIZ_BLOCK_LEN;
    size_t n = liz_least(n_in - block * LIZ_BLOCK_LEN, LIZ_BLOCK_LEN);
    for (size_t t = first; t < liz_least(first + TILE_TOKENS, n_tok); t++) {
        const float *x = source_part(source, n_tok, t, block * LIZ_BLOCK_LEN, n);
        size_t at = t * n_blocks + block;
        if (x != NULL)
            kernel->quantize_i8(x, n, q + t * q_stride, &act->i8.d[at], &act->i8.sum[at]);
    }
    if (kernel->tile_i8 == NULL)
        return;
    float *tile_d = act->i8.tile_d + (group * n_blocks + block) * TILE_TOKENS;
    for (size_t i = 0; i < TILE_TOKENS; i++) {
        bool present = is_there(source, n_tok, first + i);
        if (!present)
            memset(q + (first + i) * q_stride, 0, LIZ_BLOCK_LEN);
        tile_d[i] = present ? act->i8.d[(first + i) * n_blocks + block] : 0;
    }
    kernel->tile_i8(q + first * q_stride, q_stride, act->i8.tile + (group * n_blocks + block) * 4 * TILE_BYTES);
}

static void prepare_i8(const liz_kernel *kernel, liz_act *act, liz_act_source source, size_t n_tok, size_t n_in,
                       int member, int n_members)
{
    size_t n_blocks = liz_div_up(n_in, LIZ_BLOCK_LEN), n_groups = liz_div_up(n_tok, TILE_TOKENS), begin, end;
    liz_team_share(n_groups * n_blocks, 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++)
        prepare_i8_block(kernel, act, source, n_tok, n_in, i / n_blocks, i % n_blocks);
}

/* A float row in each form; zeros from n_in to the stride. */
static void prepare_float_row(const liz_kernel *kernel, liz_act *act, const float *x, size_t t, size_t n_in,
                              unsigned forms)
{
    size_t stride = round_up(n_in, LIZ_GROUP_LEN), n_pad = stride - n_in;
    if (forms & LIZ_ACT_F32) {
        memcpy(act->plain + t * stride, x, n_in * sizeof *x);
        memset(act->plain + t * stride + n_in, 0, n_pad * sizeof *x);
    }
    if (forms & LIZ_ACT_BF16) {
        kernel->round_bf16(x, n_in, act->rounded + t * stride);
        memset(act->rounded + t * stride + n_in, 0, n_pad * sizeof *x);
        if (kernel->gemm_bf16 != NULL)
            kernel->lay_bf16(x, n_in, LIZ_ACT_TILE, act->half + liz_act_tile_at(stride / LIZ_GROUP_LEN, t));
    }
}

void liz_act_prepare(const liz_kernel *kernel, liz_act *act, liz_act_source source, size_t n_tok, size_t n_in,
                     unsigned forms, int member, int n_members)
{
    LIZ_DASSERT(round_up(n_tok, LIZ_ACT_ALIGN) * liz_act_stride(liz_div_up(n_in, LIZ_BLOCK_LEN)) <=
                round_up(act->n_tok_max, PAIR_TOKENS) * liz_act_stride(liz_div_up(act->n_in_max, LIZ_BLOCK_LEN)));
    LIZ_DASSERT(source.activate == NULL || (forms & (forms - 1)) == 0);
    if (forms & LIZ_ACT_I8)
        prepare_i8(kernel, act, source, n_tok, n_in, member, n_members);
    if (forms & (LIZ_ACT_F32 | LIZ_ACT_BF16)) {
        size_t begin, end;
        liz_team_share(n_tok, 1, member, n_members, &begin, &end);
        for (size_t t = begin; t < end; t++) {
            const float *x = source_part(source, n_tok, t, 0, n_in);
            if (x != NULL)
                prepare_float_row(kernel, act, x, t, n_in, forms);
        }
    }
}

size_t liz_matmul_scratch_bytes(size_t n_tok_max) { return LIZ_GEMM_SCRATCH_BYTES(n_tok_max); }

/* One panel against up to LIZ_DOT_TOKENS_MAX tokens; the last panel of a matrix may have fewer rows than it writes. */
static void dot_panel(const liz_kernel *kernel, const liz_matrix *matrix, const liz_act *act, const uint8_t *panel,
                      size_t tok, size_t n_tok, float *y, size_t y_stride, size_t n_rows)
{
    float spare[LIZ_DOT_TOKENS_MAX * LIZ_PANEL_ROWS];
    bool whole = n_rows >= LIZ_PANEL_ROWS;
    float *to = whole ? y : spare;
    size_t to_stride = whole ? y_stride : LIZ_PANEL_ROWS, n_units = liz_pack_units(matrix->pack, matrix->n_in);
    if (liz_pack_is_integer(matrix->pack)) {
        const int8_t *q = act->i8.q + tok * liz_act_stride(n_units) * LIZ_BLOCK_LEN;
        kernel->dot_i8[matrix->pack](panel, n_units, q, act->i8.d + tok * n_units, act->i8.sum + tok * n_units, n_tok,
                                     to, to_stride);
    } else {
        const float *x = matrix->pack == LIZ_PACK_BF16 ? act->rounded : act->plain;
        size_t x_stride = n_units * LIZ_GROUP_LEN;
        kernel->dot_f32[matrix->pack](panel, n_units, x + tok * x_stride, x_stride, n_tok, to, to_stride);
    }
    for (size_t t = 0; t < n_tok && !whole; t++)
        memcpy(y + t * y_stride, spare + t * LIZ_PANEL_ROWS, n_rows * sizeof *y);
}

static void matmul_dot(const liz_kernel *kernel, const liz_matrix *matrix, const liz_act *act, size_t first,
                       size_t n_tok, float *y, size_t y_stride, liz_deal *deal)
{
    size_t begin, end, panel_bytes = liz_pack_panel_bytes(matrix->pack, matrix->n_in), n_out = (size_t)matrix->n_out;
    liz_deal_begin(deal, n_out, LIZ_PANEL_ROWS, LEAST_PANELS);
    while (liz_deal_take(deal, &begin, &end))
        for (size_t row = begin; row < end; row += LIZ_PANEL_ROWS) {
            const uint8_t *panel = matrix->data + row / LIZ_PANEL_ROWS * panel_bytes;
            for (size_t t = 0; t < n_tok; t += LIZ_DOT_TOKENS_MAX)
                dot_panel(kernel, matrix, act, panel, first + t, liz_least(n_tok - t, LIZ_DOT_TOKENS_MAX),
                          y + t * y_stride + row, y_stride, n_out - row);
        }
}

/* Of a token's activations. */
static size_t row_bytes(const liz_matrix *matrix)
{
    return (liz_pack_is_integer(matrix->pack) ? sizeof(int8_t) : sizeof(uint16_t)) * (size_t)matrix->n_in;
}

/* Tokens that meet all of a member's weights before the next do: they pass the second-level cache once for each pair of
 * panels, and too many, of so many bytes each, would not stay in it. Equal shares, since weights are decoded anew for
 * each. */
static size_t tokens_at_once(size_t token_bytes, size_t n_tok)
{
    size_t most = liz_most(ACT_CACHED_BYTES / token_bytes, 2 * PAIR_TOKENS);
    return round_up(liz_div_up(n_tok, liz_div_up(n_tok, most)), 2 * PAIR_TOKENS);
}

/* Int8 activations from token `first` on. */
static liz_act_i8 i8_from(const liz_act *act, size_t first, size_t n_blocks)
{
    liz_act_i8 i8 = act->i8;
    i8.q += first * liz_act_stride(n_blocks) * LIZ_BLOCK_LEN, i8.d += first * n_blocks, i8.sum += first * n_blocks;
    i8.tile += first * n_blocks * LIZ_BLOCK_LEN, i8.tile_d += first * n_blocks;
    return i8;
}

static void matmul_gemm(const liz_kernel *kernel, const liz_matrix *matrix, const liz_act *act, size_t first,
                        size_t n_tok, float *y, size_t y_stride, void *scratch, liz_deal *deal)
{
    size_t begin, end, panel_bytes = liz_pack_panel_bytes(matrix->pack, matrix->n_in);
    size_t n_units = liz_pack_units(matrix->pack, matrix->n_in);
    liz_act_i8 i8 = i8_from(act, first, n_units);
    liz_act_bf16 half = liz_act_tiles(act->half + liz_act_tile_at(n_units, first), n_units);
    liz_gemm_to to = n_tok * (size_t)matrix->n_out * sizeof *y > STREAM_BYTES ? LIZ_GEMM_STREAM : LIZ_GEMM_PUT;
    liz_deal_begin(deal, (size_t)matrix->n_out, 2 * LIZ_PANEL_ROWS, LEAST_PANELS / 2);
    kernel->tiles_begin();
    while (liz_deal_take(deal, &begin, &end)) {
        const uint8_t *panels = matrix->data + begin / LIZ_PANEL_ROWS * panel_bytes;
        if (liz_pack_is_integer(matrix->pack))
            kernel->gemm_i8[matrix->pack](panels, n_units, &i8, n_tok, scratch, y + begin, y_stride, end - begin, to);
        else
            kernel->gemm_bf16(panels, panel_bytes, n_units, &half, n_tok, y + begin, y_stride, end - begin, to);
    }
    kernel->tiles_end();
}

void liz_matmul(const liz_kernel *kernel, const liz_matrix *matrix, const liz_act *act, size_t first, size_t n_tok,
                float *y, size_t y_stride, void *scratch, liz_deal *deal)
{
    LIZ_DASSERT(first % LIZ_ACT_ALIGN == 0);
    bool is_many = liz_pack_is_integer(matrix->pack)
                       ? kernel->gemm_i8[matrix->pack] != NULL && n_tok >= kernel->gemm_i8_min
                       : matrix->pack == LIZ_PACK_BF16 && kernel->gemm_bf16 != NULL && n_tok >= GEMM_BF16_MIN;
    if (is_many)
        for (size_t t = 0, n = tokens_at_once(row_bytes(matrix), n_tok); t < n_tok; t += n)
            matmul_gemm(kernel, matrix, act, first + t, liz_least(n_tok - t, n), y + t * y_stride, y_stride, scratch,
                        deal);
    else
        matmul_dot(kernel, matrix, act, first, n_tok, y, y_stride, deal);
}

bool liz_matmul_gated_pays(const liz_kernel *kernel, const liz_matrix *gate, const liz_matrix *up,
                           const liz_matrix *down, size_t n_tok, int n_members)
{
    return kernel->gemm_gated[up->pack] != NULL && n_tok >= kernel->gemm_i8_min && gate->pack == up->pack &&
           liz_pack_is_integer(down->pack) &&
           liz_div_up((size_t)up->n_out, LIZ_BLOCK_LEN) >= BLOCKS_EACH * (size_t)n_members;
}

/* Block `block` of what is made, for tokens [first, end), whose activations `i8` are. */
static void make_block(const liz_kernel *kernel, const liz_gated *gated, const liz_act_i8 *i8, size_t first, size_t end,
                       size_t block, liz_act *made, void *scratch)
{
    const liz_matrix *up = gated->up;
    size_t n_out = (size_t)up->n_out, row = block * LIZ_BLOCK_LEN;
    size_t skip = row / LIZ_PANEL_ROWS * liz_pack_panel_bytes(up->pack, up->n_in);
    kernel->gemm_gated[up->pack](gated->gate->data + skip, up->data + skip, liz_pack_units(up->pack, up->n_in), i8,
                                 end - first, gated->activate, scratch, gated->own, LIZ_GATED_STRIDE,
                                 liz_least(n_out - row, LIZ_BLOCK_LEN));
    liz_act_source source = {.x = gated->own, .stride = LIZ_GATED_STRIDE, .origin = first * LIZ_GATED_STRIDE + row};
    for (size_t group = first / TILE_TOKENS; group < liz_div_up(end, TILE_TOKENS); group++)
        prepare_i8_block(kernel, made, source, end, n_out, group, block);
}

void liz_matmul_gated(const liz_kernel *kernel, const liz_gated *gated, const liz_act *act, size_t n_tok, liz_act *made,
                      void *scratch, liz_deal *deal)
{
    size_t n_units = liz_pack_units(gated->up->pack, gated->up->n_in), begin, end;
    size_t n = tokens_at_once(row_bytes(gated->up) + LIZ_GATED_STRIDE * sizeof *gated->own, n_tok);
    kernel->tiles_begin();
    for (size_t first = 0; first < n_tok; first += n) {
        liz_act_i8 i8 = i8_from(act, first, n_units);
        liz_deal_begin(deal, liz_div_up((size_t)gated->up->n_out, LIZ_BLOCK_LEN), 1, 1);
        while (liz_deal_take(deal, &begin, &end))
            for (size_t block = begin; block < end; block++)
                make_block(kernel, gated, &i8, first, liz_least(first + n, n_tok), block, made, scratch);
    }
    kernel->tiles_end();
}
