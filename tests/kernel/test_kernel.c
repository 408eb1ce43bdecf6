/* test_kernel.c - every entry of every tier against the C reference, bit for bit.
 *
 * In the manner of dav1d's checkasm: random and nasty inputs from a printed seed, odd and tail sizes, canaries around
 * outputs, an unreadable page after inputs, and the name of the entry when one crashes. The C reference itself is held
 * against sums in double. `--bench [TYPE]` times the entries instead. A tier that this machine lacks is a skip, not a
 * pass. */
#include "../lib/guarded.h"

#include "base/half.h"
#include "kernel/attend.h"
#include "kernel/kernel.h"
#include "kernel/kernel_tiers.h"
#include "kernel/matmul.h"
#include "sys/team.h"
#include "tensor/quant.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Tiers ---- */

static liz_kernel ref, tested;
static const char *entry = "";

static void crashed(int sig)
{
    char text[128];
    int n = snprintf(text, sizeof text, "not ok - crashed by signal %d in %s of tier %s, seed %llu\n", sig, entry,
                     liz_cpu_tier_name(tested.tier), (unsigned long long)rng_seed);
    if (write(1, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}

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

static float *random_floats(size_t n)
{
    float *x = guarded(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        uint32_t kind = rnd() % 64;
        x[i] = kind == 0 ? 0 : kind == 1 ? 20 * rnd_gauss() : kind == 2 ? ldexpf(rnd_gauss(), -128) : rnd_gauss();
    }
    return x;
}

static float *gauss_floats(size_t n)
{
    float *x = guarded(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = rnd_gauss();
    return x;
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

static void compare(const float *a, const float *b, size_t n, const char *what, size_t n_in, size_t n_tok)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], 4) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s %s: element %zu is %a, the reference says %a (n_in %zu, n_tok %zu, seed %llu)",
                     liz_cpu_tier_name(tested.tier), what, i, (double)b[i], (double)a[i], n_in, n_tok,
                     (unsigned long long)rng_seed);
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
    liz_deal deal = liz_deal_none(p->team, member);
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
    liz_act_source activated = {.x = made, .stride = (size_t)n_in, .activate = tested.silu_mul, .gate = gate};
    for (int n_members = 1; n_members <= MATMUL_MEMBERS_MAX; n_members++) {
        size_t first = n_members == 4 ? LIZ_ACT_ALIGN : 0;
        liz_act_source source = n_members == 4 ? listed : n_members == 3 ? activated : all;
        memcpy(made, up, n_x * sizeof *up);
        for (int member = 0; member < n_members; member++)
            liz_act_prepare(&tested, &act, source, first + n_tok, (size_t)n_in, form, member, n_members);
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
    static const liz_dtype types[] = {LIZ_DTYPE_Q4_K, LIZ_DTYPE_BF16};
    for (int i = 0; i < 2; i++) {
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

/* ---- Attention ---- */

static size_t attn_page_bytes(liz_attn_elem elem, size_t n)
{
    size_t scales = (n + LIZ_GROUP_LEN - 1) / LIZ_GROUP_LEN * 2;
    return LIZ_ATTN_PAGE * (elem == LIZ_ATTN_F32 ? 4 * n : elem == LIZ_ATTN_BF16 ? 2 * n : n + scales);
}

/* Pages of x [n, n_embd] by the tier's own store, which must be the reference's. What is not stored is finite, but for
 * scales of int8, which may be anything. */
static void fill_pages(liz_attn_elem elem, size_t n, int n_embd, bool values, const float *x, const uint8_t **pages)
{
    size_t bytes = attn_page_bytes(elem, (size_t)n_embd);
    uint8_t *page[2] = {NULL, NULL};
    for (size_t t = 0; t < n; t++) {
        int slot = (int)(t % LIZ_ATTN_PAGE);
        for (int i = 0; i < 2; i++) {
            const liz_kernel *kernel = i ? &tested : &ref;
            if (slot == 0) {
                page[i] = guarded(bytes);
                memset(page[i], elem == LIZ_ATTN_I8 ? 0xFF : 0, bytes);
            }
            entry = values ? "store_value" : "store_key";
            (values ? kernel->store_value : kernel->store_key)[elem](x + t * (size_t)n_embd, n_embd, slot, page[i]);
        }
        if (slot == LIZ_ATTN_PAGE - 1 || t == n - 1) {
            assert_memory_equal(page[0], page[1], bytes);
            pages[t / LIZ_ATTN_PAGE] = page[0];
        }
    }
}

/* What a case of attention varies: runs of n_tok tokens from `pos` on (each run seven later than the one before), whose
 * first n_shared keys are the same. */
typedef struct attn_case {
    liz_attn_elem elem;
    bool sinks;
    size_t pos, window, n_shared;
    int n_runs, n_tok, n_group, n_embd;
    float softcap;
} attn_case;

enum { ATTN_PAGES_MAX = 16 };

/* Keys and values of a run. */
typedef struct attn_keys {
    float *k, *v;
    const uint8_t *k_pages[ATTN_PAGES_MAX], *v_pages[ATTN_PAGES_MAX];
} attn_keys;

static size_t run_pos(const attn_case *c, size_t run) { return c->pos + 7 * run; }
static size_t run_rows(const attn_case *c) { return (size_t)(c->n_tok * c->n_group); }

/* Row i of all, heads within tokens within runs. */
static liz_attn_row attn_row(const attn_case *c, size_t i, const float *q, const float *sinks, float *out)
{
    size_t head = i % (size_t)c->n_group, tok = i / (size_t)c->n_group % (size_t)c->n_tok;
    size_t n_keys = run_pos(c, i / run_rows(c)) + tok + 1, at = i * (size_t)c->n_embd;
    return (liz_attn_row){.q = q + at,
                          .first_key = n_keys > c->window ? n_keys - c->window : 0,
                          .n_keys = n_keys,
                          .sink = c->sinks ? sinks + head : NULL,
                          .out = out + at};
}

/* One head in double: the value that element i of the result must have, for each i. */
static void attend_double(const attn_case *c, const liz_attn_row *row, const attn_keys *keys, double *out)
{
    double total = 0, most = -1e300, sums[256] = {0};
    for (int pass = 0; pass < 2; pass++)
        for (size_t t = row->first_key; t < row->n_keys; t++) {
            double s = 0;
            for (int i = 0; i < c->n_embd; i++)
                s += (double)row->q[i] * (double)keys->k[t * (size_t)c->n_embd + (size_t)i];
            s *= 0.125;
            if (c->softcap > 0)
                s = (double)c->softcap * tanh(s / (double)c->softcap);
            if (pass == 0) {
                most = s > most ? s : most;
                continue;
            }
            double p = exp(s - most);
            total += p;
            for (int i = 0; i < c->n_embd; i++)
                sums[i] += p * (double)keys->v[t * (size_t)c->n_embd + (size_t)i];
        }
    if (row->sink != NULL)
        total += exp((double)*row->sink - most);
    for (int i = 0; i < c->n_embd; i++)
        out[i] = sums[i] / total;
}

static liz_attn attn_of(const attn_case *c, const liz_kernel *kernel)
{
    static liz_attn_row rows[LIZ_ATTN_ROWS];
    return (liz_attn){.kernel = kernel,
                      .elem = c->elem,
                      .n_embd_k = c->n_embd,
                      .n_embd_v = c->n_embd,
                      .k_bytes = LIZ_ATTN_PAGE * (size_t)c->n_embd,
                      .v_bytes = LIZ_ATTN_PAGE * (size_t)c->n_embd,
                      .scale = 0.125f,
                      .softcap = c->softcap,
                      .scratch = guarded(4 * LIZ_ATTN_SCRATCH_FLOATS(c->n_embd, c->n_embd)),
                      .rows = rows};
}

/* All rows together, as a model does it. */
static void attend_crew(const attn_case *c, const attn_keys *keys, const float *q, const float *sinks, float *out)
{
    liz_attn attn = attn_of(c, &tested);
    for (size_t i = 0; i < (size_t)c->n_runs * run_rows(c); i++)
        liz_attn_add(&attn, attn_row(c, i, q, sinks, out));
    assert_true(liz_attn_multiplies(&attn, attn.n_rows) ==
                (tested.gemm_bf16 != NULL && c->elem == LIZ_ATTN_BF16 && c->n_embd % 32 == 0 && attn.n_rows > 1));
    tested.tiles_begin();
    if (c->n_shared > 0)
        liz_attn_look(&attn, 0, attn.n_rows, keys->k_pages, keys->v_pages, 0, c->n_shared);
    for (size_t run = 0; run < (size_t)c->n_runs; run++)
        liz_attn_look(&attn, run * run_rows(c), (run + 1) * run_rows(c), keys[run].k_pages, keys[run].v_pages,
                      c->n_shared, run_pos(c, run) + (size_t)c->n_tok);
    liz_attn_finish(&attn);
    tested.tiles_end();
}

/* Keys of each run; those that are shared are the first run's pages, and pages outside all windows must not be looked
 * at. */
static void fill_keys(const attn_case *c, attn_keys *keys)
{
    for (size_t run = 0; run < (size_t)c->n_runs; run++) {
        attn_keys *at = &keys[run];
        size_t pos = run_pos(c, run), n_keys = pos + (size_t)c->n_tok, n = (size_t)c->n_embd;
        size_t n_unseen = pos + 1 > c->window ? pos + 1 - c->window : 0;
        at->k = gauss_floats((n_keys + LIZ_ATTN_PAGE) * n);
        at->v = gauss_floats((n_keys + LIZ_ATTN_PAGE) * n);
        memcpy(at->k, keys->k, c->n_shared * n * sizeof(float));
        memcpy(at->v, keys->v, c->n_shared * n * sizeof(float));
        fill_pages(c->elem, n_keys, c->n_embd, false, at->k, at->k_pages);
        fill_pages(c->elem, n_keys, c->n_embd, true, at->v, at->v_pages);
        for (size_t p = 0; p < n_unseen / LIZ_ATTN_PAGE; p++)
            at->k_pages[p] = at->v_pages[p] = NULL;
    }
}

/* Rows together against the reference row by row, and that against double. */
static void check_attention(attn_case c)
{
    static const char *const names[] = {"attend bf16", "attend f32", "attend int8"};
    size_t n_embd = (size_t)c.n_embd, n_rows = (size_t)c.n_runs * run_rows(&c), n_out = n_rows * n_embd;
    attn_keys keys[LIZ_ATTN_ROWS];
    fill_keys(&c, keys);
    float *q = gauss_floats(n_out), *sinks = gauss_floats((size_t)c.n_group), *want = guarded(n_out * 4);
    uint8_t *got = canaries_new(n_out * 4);
    entry = names[c.elem];
    for (size_t i = 0; i < n_rows; i++) {
        const attn_keys *own = &keys[i / run_rows(&c)];
        liz_attn attn = attn_of(&c, &ref);
        liz_attn_row row = attn_row(&c, i, q, sinks, want);
        double right[256];
        liz_attn_add(&attn, row);
        liz_attn_look(&attn, 0, 1, own->k_pages, own->v_pages, 0, row.n_keys);
        liz_attn_finish(&attn);
        attend_double(&c, &row, own, right);
        for (size_t j = 0; j < n_embd; j++)
            assert_true(fabs(right[j] - (double)want[i * n_embd + j]) < (c.elem == LIZ_ATTN_F32 ? 2e-5 : 0.05));
    }
    attend_crew(&c, keys, q, sinks, (float *)(void *)got);
    compare(want, (float *)(void *)got, n_out, entry, c.pos, n_rows);
    canaries_check(got, n_out * 4, entry);
    guards_release();
}

static void test_attention(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 128, 129, 160, 257, 300};
    static const size_t windows[] = {SIZE_MAX, 1, 16, 17, 40, 130};
    static const struct {
        int n_group, n_embd;
        bool sinks;
        float softcap;
    } shapes[] = {{1, 64, false, 0}, {3, 32, true, 0}, {1, 16, false, 1.5f}, {2, 80, true, 0}, {2, 32, false, 50}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
            for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
                for (size_t j = w % 2; j < sizeof shapes / sizeof *shapes; j += 2)
                    check_attention((attn_case){.elem = (liz_attn_elem)elem,
                                                .pos = lengths[i] - 1,
                                                .window = windows[w],
                                                .n_runs = 1,
                                                .n_tok = 1,
                                                .n_group = shapes[j].n_group,
                                                .n_embd = shapes[j].n_embd,
                                                .sinks = shapes[j].sinks,
                                                .softcap = shapes[j].softcap});
}

/* Neighbouring tokens. */
static void test_attention_runs(void **state)
{
    (void)state;
    static const size_t begins[] = {0, 1, 15, 31, 32, 100, 120, 127, 128, 250, 380};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        for (int n_group = 1; n_group <= 8; n_group *= 2)
            for (int n_tok = 1; n_tok * n_group <= LIZ_ATTN_ROWS; n_tok += n_tok < 3 ? 1 : n_tok < 30 ? 5 : 31) {
                attn_case c = {.elem = n_tok % 3 == 2 ? (liz_attn_elem)(i % LIZ_ATTN_ELEM_COUNT) : LIZ_ATTN_BF16,
                               .pos = begins[i],
                               .window = SIZE_MAX,
                               .n_runs = 1,
                               .n_tok = n_tok,
                               .n_group = n_group,
                               .n_embd = n_tok % 2 ? 64 : 32,
                               .sinks = i % 3 == 1,
                               .softcap = i % 4 == 2 ? 30 : 0};
                check_attention(c);
                c.window = 1 + (i * 37 + (size_t)n_tok) % 170;
                check_attention(c);
            }
}

/* Sequences that begin alike. */
static void test_attention_crews(void **state)
{
    (void)state;
    for (size_t n_shared = 128; n_shared <= 256; n_shared += 128)
        for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
            for (int n_group = 1; n_group <= 4; n_group++)
                for (int n_tok = 1; n_tok <= 3; n_tok++) {
                    attn_case c = {.elem = (liz_attn_elem)elem,
                                   .pos = n_shared + (size_t)(elem * 20 + n_tok),
                                   .window = SIZE_MAX,
                                   .n_shared = n_shared,
                                   .n_runs =
                                       LIZ_ATTN_ROWS / (n_group * n_tok) < 9 ? LIZ_ATTN_ROWS / (n_group * n_tok) : 9,
                                   .n_tok = n_tok,
                                   .n_group = n_group,
                                   .n_embd = n_group == 3 ? 80 : 64,
                                   .sinks = n_tok == 2,
                                   .softcap = n_group == 2 ? 30 : 0};
                    assert_true(c.n_runs > 1);
                    check_attention(c);
                    c.window = 150;
                    check_attention(c);
                }
}

/* ---- Benchmark ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

/* One token's group of four heads, and eight tokens', over 4,096 keys of one kv head. */
static void bench_attention(liz_attn_elem elem, int n_embd)
{
    enum { N_KEYS = 4096, N_GROUP = 4 };
    static const char *const names[] = {"bf16", "f32", "int8"};
    static const uint8_t *k_pages[N_KEYS / LIZ_ATTN_PAGE], *v_pages[N_KEYS / LIZ_ATTN_PAGE];
    attn_case c = {.elem = elem, .window = SIZE_MAX, .n_runs = 1, .n_group = N_GROUP, .n_embd = n_embd};
    size_t n = (size_t)n_embd, bytes = 2 * N_KEYS / LIZ_ATTN_PAGE * attn_page_bytes(elem, n);
    fill_pages(elem, N_KEYS, n_embd, false, gauss_floats(N_KEYS * n), k_pages);
    fill_pages(elem, N_KEYS, n_embd, true, gauss_floats(N_KEYS * n), v_pages);
    float *q = gauss_floats(LIZ_ATTN_ROWS * n), *out = guarded(4 * LIZ_ATTN_ROWS * n);
    for (c.n_tok = 1; c.n_tok <= LIZ_ATTN_ROWS / N_GROUP; c.n_tok *= LIZ_ATTN_ROWS / N_GROUP) {
        double best = 1e9;
        c.pos = N_KEYS - (size_t)c.n_tok;
        tested.tiles_begin();
        for (int r = 0; r < 9; r++) {
            liz_attn attn = attn_of(&c, &tested);
            double t = seconds();
            for (size_t i = 0; i < run_rows(&c); i++)
                liz_attn_add(&attn, attn_row(&c, i, q, NULL, out));
            liz_attn_look(&attn, 0, attn.n_rows, k_pages, v_pages, 0, N_KEYS);
            liz_attn_finish(&attn);
            t = seconds() - t;
            best = t < best ? t : best;
        }
        tested.tiles_end();
        printf("%s,attend %s,%d keys x %d,%zu,warm,%.0f,%.2f,%.1f\n", liz_cpu_tier_name(tested.tier), names[elem],
               N_KEYS, n_embd, run_rows(&c), best * 1e9, (double)bytes / best / 1e9,
               4.0 * (double)run_rows(&c) * N_KEYS * (double)n / best / 1e9);
    }
    guards_release();
}

/* `arg`: the only weight type to time, or "attend", or NULL. */
static void bench(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    printf("tier,entry,shape,tokens,cache,ns,GB/s,GFLOP/s\n");
    static const size_t tokens[] = {1, 4, 8, 16, 32, 64, 512};
    for (int tier = LIZ_TIER_C; tier <= (int)liz_cpu_tier_best(); tier++) {
        liz_kernel_init(&tested, (liz_tier_id)tier);
        for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT && (arg == NULL || strcmp(arg, "attend") == 0); elem++)
            for (int n_embd = 64; n_embd <= 128; n_embd *= 2)
                bench_attention((liz_attn_elem)elem, n_embd);
        for (int i = 0; i < N_DTYPES; i++)
            for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
                bool chosen = arg == NULL || strcmp(arg, liz_dtype_info_get(dtypes[i])->name) == 0;
                if (!chosen || (tier == LIZ_TIER_C && tokens[t] > 1))
                    continue;
                bench_matmul(dtypes[i], 512, 2048, tokens[t], "warm");
                if ((tokens[t] == 1 || tokens[t] == 32) && tier > LIZ_TIER_C)
                    bench_matmul(dtypes[i], 65536, 2048, tokens[t], "cold");
            }
    }
}

/* ---- Running ---- */

static int test_result;

/* Tests run where kernels run: with denormals flushed to zero. */
static void run_all(void *arg, int member, int n_members)
{
    (void)arg, (void)member, (void)n_members;
    const struct CMUnitTest once[] = {
        cmocka_unit_test(test_packed_index_is_a_permutation),
        cmocka_unit_test(test_pack_means_the_weights),
        cmocka_unit_test(test_scales_that_are_not_finite),
        cmocka_unit_test(test_reference_is_right),
    };
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_walk),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_runs),
        cmocka_unit_test(test_attention_crews),
    };
    liz_kernel_init(&tested, LIZ_TIER_C);
    test_result |= cmocka_run_group_tests_name("kernel c", once, NULL, NULL);
    for (int tier = LIZ_TIER_AVX2; tier <= LIZ_TIER_AMX; tier++) {
        const char *name = liz_cpu_tier_name((liz_tier_id)tier);
        if (tier > (int)liz_cpu_tier_best()) {
            fprintf(stderr, "# SKIPPED: kernel tier %s: NOT RUN, this machine lacks it\n", name);
            continue;
        }
        liz_kernel_init(&tested, (liz_tier_id)tier);
        test_result |= cmocka_run_group_tests_name(name, each, NULL, NULL);
    }
#if defined(__x86_64__)
    if (liz_cpu_has_avxvnni()) {
        liz_kernel_init(&tested, LIZ_TIER_AVX2);
        liz_kernel_dot_avx2(&tested);
        liz_kernel_gemm_avx2(&tested);
        test_result |= cmocka_run_group_tests_name("avx2 without vnni", each, NULL, NULL);
    }
#endif
}

int main(int argc, char **argv)
{
    const char *seed = getenv("LIZZIE_TEST_SEED");
    rng_seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    fprintf(stderr, "# seed %llu\n", (unsigned long long)rng_seed);
    signal(SIGSEGV, crashed);
    signal(SIGILL, crashed);
    signal(SIGBUS, crashed);
    liz_kernel_init(&ref, LIZ_TIER_C);
    liz_cpu_tier_best(); /* asks for AMX before the first tile */
    liz_team *team;
    if (liz_team_open(&team, 1, NULL) != LIZ_OK)
        return 1;
    bool benching = argc > 1 && strcmp(argv[1], "--bench") == 0;
    liz_team_run(team, benching ? bench : run_all, argc > 2 ? argv[2] : NULL);
    liz_team_close(team);
    return test_result;
}
