/* test_kernel.c - every entry of every tier but attention's against the C reference, bit for bit.
 *
 * In the manner of dav1d's checkasm: random and nasty inputs from a printed seed, odd and tail sizes, canaries around
 * outputs, an unreadable page after inputs, and the name of the entry when one crashes. The C reference itself is held
 * against sums in double. `--bench [TYPE]` times the entries instead. A tier that this machine lacks is a skip, not a
 * pass. */
#include "../lib/guarded.h"
#include "../lib/tiers.h"

#include "base/checked.h"
#include "base/half.h"
#include "kernel/matmul.h"
#include "sys/team.h"
#include "tensor/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const liz_dtype dtypes[] = {
    LIZ_DTYPE_F32,  LIZ_DTYPE_F16,   LIZ_DTYPE_BF16,  LIZ_DTYPE_Q4_0,   LIZ_DTYPE_Q4_1,   LIZ_DTYPE_Q5_0,
    LIZ_DTYPE_Q5_1, LIZ_DTYPE_Q8_0,  LIZ_DTYPE_Q2_K,  LIZ_DTYPE_Q3_K,   LIZ_DTYPE_Q4_K,   LIZ_DTYPE_Q5_K,
    LIZ_DTYPE_Q6_K, LIZ_DTYPE_TQ1_0, LIZ_DTYPE_TQ2_0, LIZ_DTYPE_IQ4_NL, LIZ_DTYPE_IQ4_XS, LIZ_DTYPE_MXFP4,
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* Where a block of this type keeps its binary16 scales, and how many. */
static const struct {
    int at, n;
} scales_of[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_Q4_0] = {0, 1},   [LIZ_DTYPE_Q4_1] = {0, 2},   [LIZ_DTYPE_Q5_0] = {0, 1},   [LIZ_DTYPE_Q5_1] = {0, 2},
    [LIZ_DTYPE_Q8_0] = {0, 1},   [LIZ_DTYPE_Q2_K] = {80, 2},  [LIZ_DTYPE_Q3_K] = {108, 1}, [LIZ_DTYPE_Q4_K] = {0, 2},
    [LIZ_DTYPE_Q5_K] = {0, 2},   [LIZ_DTYPE_Q6_K] = {208, 1}, [LIZ_DTYPE_TQ1_0] = {52, 1}, [LIZ_DTYPE_TQ2_0] = {64, 1},
    [LIZ_DTYPE_IQ4_NL] = {0, 1}, [LIZ_DTYPE_IQ4_XS] = {0, 1},
};

enum { KIND_USUAL, KIND_ZERO, KIND_NEGATIVE, KIND_TINY, KIND_LARGEST, KIND_EXTREME_CODES, N_KINDS };

static uint16_t random_scale(int kind)
{
    float x = kind == KIND_ZERO ? 0 : kind == KIND_TINY ? 3e-8f : kind == KIND_LARGEST ? 65504.0f : 0.001f + rnd_unit();
    bool negative = kind == KIND_NEGATIVE || (kind == KIND_LARGEST && (rnd() & 1));
    return (uint16_t)(liz_f32_to_f16(x) | (negative ? 0x8000 : 0));
}

/* A block of random bytes with scales of one of several kinds. */
static void random_block(liz_dtype dtype, uint8_t *p, size_t n, int kind)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rnd();
    if (kind == KIND_EXTREME_CODES)
        memset(p, (int)(rnd() & 1) * 255, n);
    if (dtype == LIZ_DTYPE_MXFP4) /* a power of two */
        p[0] = (uint8_t)(kind == KIND_ZERO ? 0 : kind == KIND_TINY ? 1 : kind == KIND_LARGEST ? 200 : 120 + rnd() % 10);
    for (int i = 0; i < scales_of[dtype].n; i++) {
        uint16_t h = random_scale(kind);
        memcpy(p + scales_of[dtype].at + 2 * i, &h, 2);
    }
}

static void random_plain(liz_dtype dtype, uint8_t *p, int kind)
{
    float x = rnd_gauss();
    x *= kind == KIND_ZERO ? 0 : kind == KIND_TINY ? ldexpf(1, -130) : kind == KIND_LARGEST ? 1e30f : 1;
    if (dtype == LIZ_DTYPE_F32) {
        memcpy(p, &x, 4);
        return;
    }
    uint16_t h = dtype == LIZ_DTYPE_F16 ? liz_f32_to_f16(kind == KIND_LARGEST ? 60000.0f : x) : liz_f32_to_bf16(x);
    if (kind == KIND_TINY)
        h = (uint16_t)(rnd() & 0x807F);
    memcpy(p, &h, 2);
}

static uint8_t *random_rows(liz_dtype dtype, size_t n_rows, size_t n_in, size_t *row_bytes)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    *row_bytes = n_in / (size_t)info->block_len * (size_t)info->block_bytes;
    uint8_t *rows = guarded(n_rows * *row_bytes);
    for (size_t i = 0; i < n_rows * *row_bytes; i += (size_t)info->block_bytes) {
        int kind = rnd() % 4 == 0 ? (int)(rnd() % N_KINDS) : KIND_USUAL;
        if (info->block_len == 1)
            random_plain(dtype, rows + i, kind);
        else
            random_block(dtype, rows + i, (size_t)info->block_bytes, kind);
    }
    return rows;
}

static liz_matrix pack_random(liz_dtype dtype, int32_t n_out, int32_t n_in, uint8_t **rows, size_t *row_bytes)
{
    liz_matrix m = {.n_out = n_out, .n_in = n_in};
    assert_true(liz_pack_of(dtype, &m.pack));
    *rows = random_rows(dtype, (size_t)n_out, (size_t)n_in, row_bytes);
    m.data = guarded(liz_pack_matrix_bytes(m.pack, n_out, n_in));
    for (size_t i = 0; i * LIZ_PANEL_ROWS < (size_t)n_out; i++)
        liz_pack_panel(&m, dtype, *rows, i);
    return m;
}

/* ---- Packing ---- */

/* Steps of the grid that a weight may be off: half of one for rounding t, the rest for rounding a and b, more where
 * they meet values up to 127 and scales of 8 bits. */
static double steps_off(liz_pack pack) { return pack == LIZ_PACK_I4T ? 1.3 : 0.85; }

/* d * t is within the grid's step of the weight that the file means. */
static void test_pack_means_the_weights(void **state)
{
    (void)state;
    for (int i = 0; i < N_DTYPES; i++) {
        liz_pack pack;
        assert_true(liz_pack_of(dtypes[i], &pack));
        if (!liz_pack_is_integer(pack))
            continue;
        uint8_t *rows;
        size_t row_bytes;
        liz_matrix m = pack_random(dtypes[i], 40, 512, &rows, &row_bytes);
        for (size_t row = 0; row < 40; row++) {
            float w[512];
            liz_dequantize_row(dtypes[i], rows + row * row_bytes, w, 512);
            for (size_t b = 0; b < 2; b++) {
                int8_t t[256];
                float d;
                const uint8_t *block =
                    m.data + row / 16 * liz_pack_panel_bytes(pack, 512) + b * liz_pack_block_bytes(pack);
                liz_pack_decode(pack, block, (int)(row % 16), t, &d);
                for (int k = 0; k < 256; k++) {
                    assert_true(t[k] >= -127 || pack == LIZ_PACK_I8);
                    double w_k = (double)w[256 * b + (size_t)k], error = fabs(w_k - (double)d * t[liz_packed_index(k)]);
                    if (fabs(w_k) > 127.5 * fabs((double)d))
                        continue; /* -128 under a negative scale, which no quantiser writes, saturates */
                    if (!(error <= steps_off(pack) * fabs((double)d)))
                        fail_msg("%s row %zu element %d: weight %g became %g, step %g (seed %llu)",
                                 liz_dtype_info_get(dtypes[i])->name, row, k, (double)w[256 * b + (size_t)k],
                                 (double)d * t[liz_packed_index(k)], (double)d, (unsigned long long)rng_seed);
                }
            }
        }
        guards_release();
    }
}

static void test_packed_index_is_a_permutation(void **state)
{
    (void)state;
    bool seen[256] = {false};
    for (int k = 0; k < 256; k++) {
        assert_in_range(liz_packed_index(k), 0, 255);
        assert_false(seen[liz_packed_index(k)]);
        seen[liz_packed_index(k)] = true;
    }
}

/* Scales that are not finite make the block's d not-a-number, and nothing else. */
static void test_scales_that_are_not_finite(void **state)
{
    (void)state;
    static const uint16_t hostile[] = {0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF}; /* infinities, not-a-numbers */
    for (int i = 0; i < N_DTYPES; i++) {
        liz_dtype dtype = dtypes[i];
        const liz_dtype_info *info = liz_dtype_info_get(dtype);
        int n_fields = dtype == LIZ_DTYPE_MXFP4 ? 1 : scales_of[dtype].n;
        for (size_t h = 0; h < (size_t)n_fields * (sizeof hostile / sizeof *hostile); h++) {
            size_t row_bytes;
            uint8_t *row = random_rows(dtype, 1, 256, &row_bytes);
            size_t at = rnd() % (256 / (size_t)info->block_len) * (size_t)info->block_bytes;
            if (dtype == LIZ_DTYPE_MXFP4)
                row[at] = 255;
            else
                memcpy(row + at + scales_of[dtype].at + 2 * (h % (size_t)n_fields), &hostile[h / (size_t)n_fields], 2);
            liz_matrix m = {.n_out = 1, .n_in = 256};
            assert_true(liz_pack_of(dtype, &m.pack));
            m.data = guarded(liz_pack_matrix_bytes(m.pack, 1, 256));
            liz_pack_panel(&m, dtype, row, 0);
            int8_t t[256];
            float d;
            liz_pack_decode(m.pack, m.data, 0, t, &d);
            assert_true(isnan(d));
            guards_release();
        }
    }
}

/* ---- Dot products ---- */

typedef struct acts {
    int8_t *q;
    float *d;
    int32_t *sum;
    float *x;
    size_t n_blocks;
} acts;

static acts random_acts(const liz_kernel *kernel, size_t n_tok, size_t n_in)
{
    acts a = {.n_blocks = (n_in + 255) / 256};
    size_t n_pad = (n_tok + 31) / 32 * 32;
    a.x = random_floats(n_tok * n_in);
    a.q = guarded(n_pad * liz_act_stride(a.n_blocks) * 256);
    a.d = guarded(n_pad * a.n_blocks * sizeof *a.d);
    a.sum = guarded(n_pad * a.n_blocks * sizeof *a.sum);
    for (size_t t = 0; t < n_tok; t++)
        kernel->quantize_i8(a.x + t * n_in, n_in, a.q + t * liz_act_stride(a.n_blocks) * 256, a.d + t * a.n_blocks,
                            a.sum + t * a.n_blocks);
    return a;
}

/* Every bit pattern a file can hold: no undefined behaviour in packing, the same numbers on every tier. */
static void test_any_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < N_DTYPES; i++) {
        const liz_dtype_info *info = liz_dtype_info_get(dtypes[i]);
        liz_matrix m = {.n_out = 16, .n_in = 256};
        assert_true(liz_pack_of(dtypes[i], &m.pack));
        if (!liz_pack_is_integer(m.pack))
            continue;
        entry = liz_pack_name(m.pack);
        size_t row_bytes = 256 / (size_t)info->block_len * (size_t)info->block_bytes;
        for (int round = 0; round < 40; round++) {
            uint8_t *rows = guarded(16 * row_bytes);
            for (size_t b = 0; b < 16 * row_bytes; b++)
                rows[b] = (uint8_t)rnd();
            m.data = guarded(liz_pack_matrix_bytes(m.pack, 16, 256));
            liz_pack_panel(&m, dtypes[i], rows, 0);
            acts a = random_acts(&ref, 1, 256);
            float want[16], got[16];
            ref.dot_i8[m.pack](m.data, 1, a.q, a.d, a.sum, 1, want, 16);
            tested.dot_i8[m.pack](m.data, 1, a.q, a.d, a.sum, 1, got, 16);
            compare(want, got, 16, entry, 256, 1);
            guards_release();
        }
    }
}

static void check_dot_i8(liz_dtype dtype, size_t n_in, size_t n_tok)
{
    uint8_t *rows;
    size_t row_bytes;
    liz_matrix m = pack_random(dtype, 16, (int32_t)n_in, &rows, &row_bytes);
    acts a = random_acts(&ref, n_tok, n_in);
    float want[8 * 16];
    uint8_t *got = canaries_new(sizeof(float) * 16 * n_tok);
    entry = liz_pack_name(m.pack);
    ref.dot_i8[m.pack](m.data, a.n_blocks, a.q, a.d, a.sum, n_tok, want, 16);
    tested.dot_i8[m.pack](m.data, a.n_blocks, a.q, a.d, a.sum, n_tok, (float *)(void *)got, 16);
    compare(want, (float *)(void *)got, 16 * n_tok, entry, n_in, n_tok);
    canaries_check(got, sizeof(float) * 16 * n_tok, entry);
    guards_release();
}

static void check_dot_f32(liz_dtype dtype, size_t n_in, size_t n_tok)
{
    uint8_t *rows;
    size_t row_bytes, n_pad = (n_in + 31) / 32 * 32;
    liz_matrix m = pack_random(dtype, 16, (int32_t)n_in, &rows, &row_bytes);
    float *x = random_floats(n_tok * n_pad), want[8 * 16];
    if (m.pack == LIZ_PACK_BF16)
        ref.round_bf16(x, n_tok * n_pad, x);
    uint8_t *got = canaries_new(sizeof(float) * 16 * n_tok);
    entry = liz_pack_name(m.pack);
    ref.dot_f32[m.pack](m.data, n_pad / 32, x, n_pad, n_tok, want, 16);
    tested.dot_f32[m.pack](m.data, n_pad / 32, x, n_pad, n_tok, (float *)(void *)got, 16);
    compare(want, (float *)(void *)got, 16 * n_tok, entry, n_in, n_tok);
    canaries_check(got, sizeof(float) * 16 * n_tok, entry);
    guards_release();
}

static void test_dot(void **state)
{
    (void)state;
    static const size_t lengths[] = {32, 256, 288, 768, 1024};
    for (int i = 0; i < N_DTYPES; i++) {
        liz_pack pack;
        assert_true(liz_pack_of(dtypes[i], &pack));
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            if (lengths[l] % (size_t)liz_dtype_info_get(dtypes[i])->block_len != 0)
                continue;
            for (size_t n_tok = 1; n_tok <= LIZ_DOT_TOKENS_MAX; n_tok++)
                (liz_pack_is_integer(pack) ? check_dot_i8 : check_dot_f32)(dtypes[i], lengths[l], n_tok);
        }
    }
}

enum { MATMUL_TOKENS_MAX = 80, MATMUL_MEMBERS_MAX = 4 };

/* A product and what a team needs to share it out. */
typedef struct product {
    const liz_kernel *kernel;
    const liz_matrix *matrix;
    const liz_act *act;
    size_t first, n_tok;
    float *y;
    void *scratch[MATMUL_MEMBERS_MAX];
    liz_team *team;
} product;

static void multiply_dealt(void *arg, int member, int n_members)
{
    (void)n_members;
    const product *p = arg;
    liz_deal deal = {.team = p->team, .member = member};
    liz_matmul(p->kernel, p->matrix, p->act, p->first, p->n_tok, p->y, (size_t)p->matrix->n_out, p->scratch[member],
               &deal);
}

static void multiply(product *p, int n_members)
{
    assert_int_equal(liz_team_open(&p->team, n_members, NULL), LIZ_OK);
    liz_team_run(p->team, multiply_dealt, p);
    liz_team_close(p->team);
}

/* The whole driver, which picks tiles where it can: any token count, rows that fill no panel, any number of members. */
static void check_matmul(liz_dtype dtype, int32_t n_out, int32_t n_in, size_t n_tok)
{
    uint8_t *rows;
    size_t row_bytes;
    liz_matrix m = pack_random(dtype, n_out, n_in, &rows, &row_bytes);
    liz_act_form form = liz_act_form_of(m.pack);
    size_t n_y = n_tok * (size_t)n_out;
    size_t n_x = n_tok * (size_t)n_in;
    float *x = guarded(n_x * sizeof *x), *want = guarded(n_y * sizeof *want);
    float *gate = random_floats(n_x), *up = random_floats(n_x), *made = guarded(n_x * sizeof *x);
    ref.silu_mul(gate, up, n_x, x);
    uint8_t *got = canaries_new(n_y * sizeof *want);
    liz_act act;
    product p = {.kernel = &ref, .matrix = &m, .act = &act, .n_tok = n_tok, .y = want};
    for (int i = 0; i < MATMUL_MEMBERS_MAX; i++)
        p.scratch[i] = guarded(liz_matmul_scratch_bytes(n_tok));
    assert_true(liz_act_open(&act, n_tok + 2 * LIZ_ACT_ALIGN, (size_t)n_in, form));
    entry = liz_pack_name(m.pack);
    liz_act_source all = {.x = x, .stride = (size_t)n_in};
    liz_act_prepare(&ref, &act, all, n_tok, (size_t)n_in, form, 0, 1);
    multiply(&p, 1);
    /* The same tokens made as they are prepared; and after a gap, from a copy in which they stand in reverse. */
    int32_t order[LIZ_ACT_ALIGN + MATMUL_TOKENS_MAX];
    assert_true(n_tok <= MATMUL_TOKENS_MAX);
    float *reversed = guarded(n_x * sizeof *x);
    for (size_t t = 0; t < LIZ_ACT_ALIGN + n_tok; t++)
        order[t] = t < LIZ_ACT_ALIGN ? -1 : (int32_t)(n_tok - 1 - (t - LIZ_ACT_ALIGN));
    for (size_t t = 0; t < n_tok; t++)
        memcpy(reversed + t * (size_t)n_in, x + (n_tok - 1 - t) * (size_t)n_in, (size_t)n_in * sizeof *x);
    liz_act_source listed = {.x = reversed, .stride = (size_t)n_in, .rows = order};
    liz_act_source activated = {
        .x = made, .up = made, .stride = (size_t)n_in, .activate = tested.silu_mul, .gate = gate};
    for (int n_members = 1; n_members <= MATMUL_MEMBERS_MAX; n_members++) {
        size_t first = n_members == 4 ? LIZ_ACT_ALIGN : 0;
        liz_act_source source = n_members == 4 ? listed : n_members == 3 ? activated : all;
        memcpy(made, up, n_x * sizeof *up);
        for (int member = 0; member < n_members; member++)
            liz_act_prepare(&tested, &act, source, first + n_tok, (size_t)n_in, form, member, n_members);
        if (source.activate != NULL)
            compare(x, made, n_x, "activation", (size_t)n_in, n_tok);
        p.kernel = &tested, p.first = first, p.y = (float *)(void *)got;
        multiply(&p, n_members);
        compare(want, (float *)(void *)got, n_y, "matmul", (size_t)n_in, n_tok);
        memset(got, 0, n_y * sizeof *want);
    }
    canaries_check(got, n_y * sizeof *want, entry);
    liz_act_close(&act);
    guards_release();
}

static void test_matmul(void **state)
{
    (void)state;
    static const size_t tokens[] = {1, 3, 5, 16, 17, 33, 64};
    bool is_short = getenv("LIZZIE_TEST_SHORT") != NULL; /* instructions in software take their time */
    for (int i = 0; i < N_DTYPES; i++)
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
            if (!is_short || tokens[t] == 33)
                check_matmul(dtypes[i], 32, 256, tokens[t]);
            if (!is_short)
                check_matmul(dtypes[i], 71, 512, tokens[t]);
        }
}

/* Several pairs of panels, the last of them one panel, by several blocks; then more activations than pass at a time. */
static void test_matmul_walk(void **state)
{
    (void)state;
    static const liz_dtype types[] = {LIZ_DTYPE_Q4_K, LIZ_DTYPE_BF16, LIZ_DTYPE_Q8_0};
    for (int i = 0; i < 3; i++) {
        check_matmul(types[i], 71, 1280, 16);
        check_matmul(types[i], 71, 1280, 20);
        check_matmul(types[i], 71, 1280, 70);
    }
    if (getenv("LIZZIE_TEST_SHORT") != NULL)
        return;
    check_matmul(LIZ_DTYPE_Q4_K, 16, 16384, 66);
    for (int i = 0; i < 2; i++) { /* results that go past the caches: in whole lines, and not */
        check_matmul(types[i], 12352, 256, 66);
        check_matmul(types[i], 12359, 256, 66);
    }
}

/* ---- Gate and up at once ---- */

/* What becomes of tokens' x by two matrices. */
typedef struct gating {
    liz_matrix gate, up;
    const liz_act *act;
    liz_act made;
    size_t n_tok;
    float *own[MATMUL_MEMBERS_MAX];
    void *scratch[MATMUL_MEMBERS_MAX];
    liz_team *team;
} gating;

static void gate_dealt(void *arg, int member, int n_members)
{
    (void)n_members;
    gating *g = arg;
    liz_deal deal = {.team = g->team, .member = member};
    liz_gated gated = {&g->gate, &g->up, tested.silu_mul, g->own[member]};
    liz_matmul_gated(&tested, &gated, g->act, g->n_tok, &g->made, g->scratch[member], &deal);
}

/* Rows by one product after the other, then made into activations: what `gating` has to come to. */
static void gate_by_rows(const gating *g, liz_act *want)
{
    size_t n_out = (size_t)g->up.n_out, n_y = g->n_tok * n_out;
    float *y[2];
    for (int i = 0; i < 2; i++) {
        y[i] = guarded(n_y * sizeof *y[i]);
        product p = {.kernel = &tested, .matrix = i == 0 ? &g->gate : &g->up, .act = g->act, .n_tok = g->n_tok};
        p.y = y[i], p.scratch[0] = g->scratch[0];
        multiply(&p, 1);
    }
    liz_act_source source = {.x = y[1], .up = y[1], .gate = y[0], .stride = n_out, .activate = tested.silu_mul};
    liz_act_prepare(&tested, want, source, g->n_tok, n_out, LIZ_ACT_I8, 0, 1);
}

static void compare_acts(const liz_act *want, const liz_act *got, size_t n_tok, size_t n_in)
{
    size_t n_blocks = liz_div_up(n_in, LIZ_BLOCK_LEN), n_all = n_tok * n_blocks;
    size_t n_tiles = liz_div_up(n_tok, LIZ_ACT_ALIGN) * n_blocks, stride = liz_act_stride(n_blocks) * LIZ_BLOCK_LEN;
    for (size_t t = 0; t < n_tok; t++)
        assert_memory_equal(want->i8.q + t * stride, got->i8.q + t * stride, n_blocks * LIZ_BLOCK_LEN);
    assert_memory_equal(want->i8.d, got->i8.d, n_all * sizeof *want->i8.d);
    assert_memory_equal(want->i8.sum, got->i8.sum, n_all * sizeof *want->i8.sum);
    assert_memory_equal(want->i8.tile, got->i8.tile, n_tiles * LIZ_ACT_ALIGN * LIZ_BLOCK_LEN);
    assert_memory_equal(want->i8.tile_d, got->i8.tile_d, n_tiles * LIZ_ACT_ALIGN * sizeof *want->i8.tile_d);
}

static void check_gated(liz_dtype dtype, int32_t n_out, int32_t n_in, size_t n_tok)
{
    uint8_t *rows;
    size_t row_bytes;
    liz_act act, want;
    gating g = {.gate = pack_random(dtype, n_out, n_in, &rows, &row_bytes),
                .up = pack_random(dtype, n_out, n_in, &rows, &row_bytes),
                .act = &act,
                .n_tok = n_tok};
    for (int i = 0; i < MATMUL_MEMBERS_MAX; i++) {
        g.own[i] = guarded(n_tok * LIZ_GATED_STRIDE * sizeof(float));
        g.scratch[i] = guarded(liz_matmul_scratch_bytes(n_tok));
    }
    entry = liz_pack_name(g.up.pack);
    assert_true(liz_act_open(&act, n_tok, (size_t)n_in, LIZ_ACT_I8));
    assert_true(liz_act_open(&want, n_tok, (size_t)n_out, LIZ_ACT_I8));
    assert_true(liz_act_open(&g.made, n_tok, (size_t)n_out, LIZ_ACT_I8));
    liz_act_source x = {.x = random_floats(n_tok * (size_t)n_in), .stride = (size_t)n_in};
    liz_act_prepare(&tested, &act, x, n_tok, (size_t)n_in, LIZ_ACT_I8, 0, 1);
    gate_by_rows(&g, &want);
    for (int n_members = 1; n_members <= MATMUL_MEMBERS_MAX; n_members++) {
        memset(g.made.memory, 0x55, g.made.memory_bytes);
        assert_int_equal(liz_team_open(&g.team, n_members, NULL), LIZ_OK);
        liz_team_run(g.team, gate_dealt, &g);
        liz_team_close(g.team);
        compare_acts(&want, &g.made, n_tok, (size_t)n_out);
    }
    liz_act_close(&act), liz_act_close(&want), liz_act_close(&g.made);
    guards_release();
}

/* Outputs that fill no panel and no block, tokens that fill no tile, more of them than pass at a time. */
static void test_gated(void **state)
{
    (void)state;
    bool is_short = getenv("LIZZIE_TEST_SHORT") != NULL, any = false;
    for (int i = 0; i < N_DTYPES; i++) {
        liz_pack pack;
        if (!liz_pack_of(dtypes[i], &pack) || tested.gemm_gated[pack] == NULL)
            continue;
        any = true;
        check_gated(dtypes[i], 300, 512, 33);
        for (size_t n_tok = 4; n_tok <= 70 && !is_short; n_tok += 22)
            check_gated(dtypes[i], 555, 256, n_tok);
    }
    assert_true(any == (tested.tier == LIZ_TIER_AMX));
    if (any && !is_short)
        check_gated(LIZ_DTYPE_Q4_0, 272, 16384, 66);
}

/* The reference against double sums, within the rounding that its formula allows. */
static void test_reference_is_right(void **state)
{
    (void)state;
    for (int i = 0; i < N_DTYPES; i++) {
        uint8_t *rows;
        size_t row_bytes;
        liz_matrix m = pack_random(dtypes[i], 16, 512, &rows, &row_bytes);
        acts a = random_acts(&ref, 1, 512);
        float y[16], x[512];
        if (liz_pack_is_integer(m.pack)) {
            ref.dot_i8[m.pack](m.data, 2, a.q, a.d, a.sum, 1, y, 16);
            for (int k = 0; k < 512; k++)
                x[k] = a.d[k / 256] * (float)a.q[k / 256 * 256 + liz_packed_index(k % 256)];
        } else {
            memcpy(x, a.x, sizeof x);
            if (m.pack == LIZ_PACK_BF16)
                ref.round_bf16(x, 512, x);
            ref.dot_f32[m.pack](m.data, 16, x, 512, 1, y, 16);
        }
        for (size_t row = 0; row < 16; row++) {
            float w[512];
            liz_dequantize_row(dtypes[i], rows + row * row_bytes, w, 512);
            double sum = 0, size = 0, step = 0;
            for (int k = 0; k < 512; k++) {
                int8_t t[256];
                float d = 0;
                if (liz_pack_is_integer(m.pack))
                    liz_pack_decode(m.pack, m.data + (size_t)(k / 256) * liz_pack_block_bytes(m.pack), (int)row, t, &d);
                double wide =
                    dtypes[i] == LIZ_DTYPE_F16 ? (double)liz_bf16_to_f32(liz_f32_to_bf16(w[k])) : (double)w[k];
                sum += wide * (double)x[k];
                size += fabs(wide * (double)x[k]);
                step += steps_off(m.pack) * fabs((double)d * (double)x[k]);
            }
            if (!(fabs(sum - (double)y[row]) <= size * 512 * 0x1p-24 + step + 1e-30))
                fail_msg("%s row %zu: %g, should be %g", liz_dtype_info_get(dtypes[i])->name, row, (double)y[row], sum);
        }
        guards_release();
    }
}

/* ---- Rows ---- */

static void check_rows(size_t n)
{
    float *x = random_floats(n), *w = random_floats(n), *b = random_floats(n);
    float *want = guarded(n * sizeof *want);
    static const char *const ops[] = {"rms_norm", "layer_norm", "add",       "silu_mul",   "gelu_mul",
                                      "gelu",     "swiglu_oai", "scale",     "add_scaled", "softmax",
                                      "sigmoid",  "softcap",    "round_bf16"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        entry = ops[i];
        uint8_t *got = canaries_new(n * sizeof(float));
        for (int pass = 0; pass < 2; pass++) {
            const liz_kernel *k = pass == 0 ? &ref : &tested;
            float *y = pass == 0 ? want : (float *)(void *)got;
            memcpy(y, b, n * sizeof *y);
            switch (i) {
            case 0: k->rms_norm(x, w, 1e-5f, n, y); break;
            case 1: k->layer_norm(x, w, b, 1e-5f, n, y); break;
            case 2: k->add(x, w, n, y); break;
            case 3: k->silu_mul(x, w, n, y); break;
            case 4: k->gelu_mul(x, w, n, y); break;
            case 5: k->gelu_mul(x, NULL, n, y); break;
            case 6: k->swiglu_oai(x, w, n, y); break;
            case 7: k->scale(x, 0.3f, n, y); break;
            case 8: k->add_scaled(x, 0.3f, n, y); break;
            case 9: k->softmax(x, n, y); break;
            case 10: k->sigmoid(x, n, y); break;
            case 11: k->softcap(x, 30.0f, n, y); break;
            default: k->round_bf16(x, n, y); break;
            }
        }
        compare(want, (float *)(void *)got, n, entry, n, 1);
        canaries_check(got, n * sizeof(float), entry);
    }
    guards_release();
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t n = 1; n < 70; n++)
        check_rows(n);
    check_rows(1000);
}

static void test_quantize(void **state)
{
    (void)state;
    entry = "quantize_i8";
    for (size_t n = 1; n <= 600; n += n < 40 ? 1 : 37) {
        float *x = random_floats(n);
        if (n % 3 == 0)
            x[rnd() % n] = n % 2 ? INFINITY : NAN;
        if (n % 5 == 0)
            memset(x, 0, n * sizeof *x);
        size_t nb = (n + 255) / 256;
        int8_t *q[2];
        float *d[2];
        int32_t *sum[2];
        for (int i = 0; i < 2; i++) {
            q[i] = guarded(nb * 256);
            d[i] = guarded(nb * 4);
            sum[i] = guarded(nb * 4);
            (i ? &tested : &ref)->quantize_i8(x, n, q[i], d[i], sum[i]);
        }
        assert_memory_equal(q[0], q[1], nb * 256);
        compare(d[0], d[1], nb, entry, n, 1);
        assert_memory_equal(sum[0], sum[1], nb * 4);
        for (size_t b = 0; b < nb; b++) {
            int32_t s = 0;
            for (int k = 0; k < 256; k++)
                s += q[0][b * 256 + (size_t)k];
            assert_int_equal(128 * s, sum[0][b]);
        }
        guards_release();
    }
}

static void test_rope(void **state)
{
    (void)state;
    entry = "rope";
    for (int n = 2; n <= 128; n += 14)
        for (int neox = 0; neox < 2; neox++) {
            float *x = random_floats((size_t)n), *c = random_floats((size_t)n / 2), *s = random_floats((size_t)n / 2);
            float want[128], got[128];
            memcpy(want, x, (size_t)n * 4);
            memcpy(got, x, (size_t)n * 4);
            ref.rope(want, c, s, (liz_rope_shape){n, neox});
            tested.rope(got, c, s, (liz_rope_shape){n, neox});
            compare(want, got, (size_t)n, entry, (size_t)n, 1);
            guards_release();
        }
}

/* ---- Benchmark ---- */

static void bench_matmul(liz_dtype dtype, int32_t n_out, int32_t n_in, size_t n_tok, const char *cache)
{
    liz_matrix m = {.n_out = n_out, .n_in = n_in};
    assert_true(liz_pack_of(dtype, &m.pack));
    size_t row_bytes, bytes = liz_pack_matrix_bytes(m.pack, n_out, n_in);
    m.data = guarded(bytes);
    liz_matrix few = m;
    few.n_out = 64;
    uint8_t *rows = random_rows(dtype, 64, (size_t)n_in, &row_bytes);
    for (size_t i = 0; i < 4; i++)
        liz_pack_panel(&few, dtype, rows, i);
    size_t first = liz_pack_matrix_bytes(m.pack, 64, n_in);
    for (size_t at = first; at < bytes; at += first)
        memcpy(m.data + at, m.data, bytes - at < first ? bytes - at : first);
    liz_act_form form = liz_act_form_of(m.pack);
    float *x = random_floats(n_tok * (size_t)n_in), *y = guarded(4 * n_tok * (size_t)n_out);
    liz_act act;
    product p = {&tested, &m, &act, 0, n_tok, y, {guarded(liz_matmul_scratch_bytes(n_tok))}, NULL};
    assert_int_equal(liz_team_open(&p.team, 1, NULL), LIZ_OK);
    assert_true(liz_act_open(&act, n_tok, (size_t)n_in, form));
    double best = 1e9;
    for (int r = 0; r < 7; r++) {
        liz_act_prepare(&tested, &act, (liz_act_source){.x = x, .stride = (size_t)n_in}, n_tok, (size_t)n_in, form, 0,
                        1);
        double t = seconds();
        liz_team_run(p.team, multiply_dealt, &p);
        t = seconds() - t;
        best = t < best ? t : best;
    }
    double ops = 2.0 * (double)n_out * (double)n_in * (double)n_tok;
    printf("%s,matmul %s,%d x %d,%zu,%s,%.0f,%.2f,%.1f\n", liz_cpu_tier_name(tested.tier),
           liz_dtype_info_get(dtype)->name, n_out, n_in, n_tok, cache, best * 1e9, (double)bytes / best / 1e9,
           ops / best / 1e9);
    fflush(stdout);
    liz_team_close(p.team);
    liz_act_close(&act);
    guards_release();
}

/* `type`: the only weight type to time, or NULL. */
static void bench(liz_tier_id tier, const char *type)
{
    static const size_t tokens[] = {1, 4, 8, 16, 32, 64, 512};
    for (int i = 0; i < N_DTYPES; i++)
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
            bool chosen = type == NULL || strcmp(type, liz_dtype_info_get(dtypes[i])->name) == 0;
            if (!chosen || (tier == LIZ_TIER_C && tokens[t] > 1))
                continue;
            bench_matmul(dtypes[i], 512, 2048, tokens[t], "warm");
            if ((tokens[t] == 1 || tokens[t] == 32) && tier > LIZ_TIER_C)
                bench_matmul(dtypes[i], 65536, 2048, tokens[t], "cold");
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest once[] = {
        cmocka_unit_test(test_packed_index_is_a_permutation),
        cmocka_unit_test(test_pack_means_the_weights),
        cmocka_unit_test(test_scales_that_are_not_finite),
        cmocka_unit_test(test_reference_is_right),
    };
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_dot),         cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_walk), cmocka_unit_test(test_rows),      cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_rope),        cmocka_unit_test(test_gated),
    };
    return tiers_main(argc, argv,
                      &(tiers_tests){.once = once,
                                     .n_once = sizeof once / sizeof *once,
                                     .each = each,
                                     .n_each = sizeof each / sizeof *each,
                                     .bench = bench});
}
