/* test_quantize.c - floats to every type and back: no worse than another implementation's files, sane for the nastiest
 * blocks, refused where a type cannot hold them, nearer where importance says so. */
#include "base/half.h"
#include "format/gguf.h"
#include "tensor/quant.h"
#include "tensor/quantize.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/"

enum { LEN = 1024, BLOCK_LEN = 256, ROW_BYTES_MAX = 4 * LEN };

/* A type, and the most error that normal deviates may come back with (normalised mean square). */
static const struct {
    liz_dtype dtype;
    double error_max;
} types[] = {
    {LIZ_DTYPE_F32, 0},       {LIZ_DTYPE_F16, 8e-8},     {LIZ_DTYPE_BF16, 4e-6},   {LIZ_DTYPE_Q4_0, 7e-3},
    {LIZ_DTYPE_Q4_1, 5.2e-3}, {LIZ_DTYPE_Q5_0, 1.8e-3},  {LIZ_DTYPE_Q5_1, 1.3e-3}, {LIZ_DTYPE_Q8_0, 2.8e-5},
    {LIZ_DTYPE_Q2_K, 7.2e-2}, {LIZ_DTYPE_Q3_K, 2.2e-2},  {LIZ_DTYPE_Q4_K, 5.2e-3}, {LIZ_DTYPE_Q5_K, 1.3e-3},
    {LIZ_DTYPE_Q6_K, 3.2e-4}, {LIZ_DTYPE_IQ4_NL, 6e-3},  {LIZ_DTYPE_IQ4_XS, 6e-3}, {LIZ_DTYPE_TQ1_0, 0.2},
    {LIZ_DTYPE_TQ2_0, 0.2},   {LIZ_DTYPE_MXFP4, 1.4e-2},
};
enum { N_TYPES = sizeof types / sizeof *types };

static uint64_t state_of_random = 1;

static uint32_t random_bits(void)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state_of_random >> 32);
}

static float random_normal(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += random_bits() * 0x1p-32;
    return (float)sum;
}

/* Sum of importance * (x - y)^2 over that of importance * x^2; 0 where x is nothing and y too. */
static double error_of(const float *x, const float *y, const float *importance, size_t n)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i], w = importance != NULL ? (double)importance[i] : 1;
        error += w * d * d;
        size += w * (double)x[i] * (double)x[i];
    }
    return error > 0 ? error / size : 0;
}

static void there_and_back(liz_dtype dtype, const float *x, const float *importance, float *y)
{
    uint8_t bytes[ROW_BYTES_MAX];
    assert_true(liz_quantize_row(dtype, x, importance, bytes, LEN));
    liz_dequantize_row(dtype, bytes, y, LEN);
}

static void test_normal_weights(void **state)
{
    (void)state;
    float x[LEN], y[LEN];
    for (int i = 0; i < LEN; i++)
        x[i] = 0.02f * random_normal();
    for (int t = 0; t < N_TYPES; t++) {
        there_and_back(types[t].dtype, x, NULL, y);
        double error = error_of(x, y, NULL, LEN);
        if (!(error <= types[t].error_max))
            fail_msg("%s: error %g", liz_dtype_info_get(types[t].dtype)->name, error);
    }
}

/* Blocks that weights have now and then, four of each: what is left of them may be no more than this share of their
 * greatest. Types of few levels cannot do better on some. */
static void test_nasty_blocks(void **state)
{
    (void)state;
    float x[LEN], y[LEN];
    enum { ZEROS, ONE_HOT, ONE_NEGATIVE, CONSTANT, PLUS_MINUS, HUGE, TINY, DENORMAL, OUTLIERS, N_KINDS };
    for (int kind = 0; kind < N_KINDS; kind++) {
        float greatest = 0;
        for (int i = 0; i < LEN; i++) {
            switch (kind) {
            case ZEROS: x[i] = 0; break;
            case ONE_HOT: x[i] = i % BLOCK_LEN == 77 ? 0.7f : 0; break;
            case ONE_NEGATIVE: x[i] = i % BLOCK_LEN == 78 ? -0.7f : 0; break;
            case CONSTANT: x[i] = i < 2 * BLOCK_LEN ? 0.3f : -0.3f; break;
            case PLUS_MINUS: x[i] = i % 2 != 0 ? 0.3f : -0.3f; break;
            case HUGE: x[i] = i % 3 != 0 ? 65504 : -65504; break;
            case TINY: x[i] = 1e-6f * random_normal(); break;
            case DENORMAL: x[i] = 1e-40f * random_normal(); break;
            case OUTLIERS: x[i] = i % 64 == 5 ? 50 : 0.02f * random_normal(); break;
            }
            greatest = fabsf(x[i]) > greatest ? fabsf(x[i]) : greatest;
        }
        for (int t = 0; t < N_TYPES; t++) {
            there_and_back(types[t].dtype, x, NULL, y);
            double error = 0, share = kind == TINY ? 1 : 0.34;
            for (int i = 0; i < LEN; i++)
                error = fmax(error, isfinite(y[i]) ? fabs((double)x[i] - (double)y[i]) : INFINITY);
            if (!(error <= share * (double)greatest + 1e-38))
                fail_msg("%s: kind %d: error %g of %g", liz_dtype_info_get(types[t].dtype)->name, kind, error,
                         (double)greatest);
            if (kind == ONE_HOT || kind == ONE_NEGATIVE)
                assert_true(fabsf(y[kind == ONE_HOT ? 77 : 78]) > 0.45f && fabsf(y[79]) < 0.01f);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 65536, -1e30f};
    float x[LEN] = {0};
    uint8_t bytes[ROW_BYTES_MAX];
    for (int t = 0; t < N_TYPES; t++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            bool wide = types[t].dtype == LIZ_DTYPE_F32 || types[t].dtype == LIZ_DTYPE_BF16;
            x[LEN - 1] = bad[k];
            assert_int_equal(liz_quantize_row(types[t].dtype, x, NULL, bytes, LEN), wide && isfinite(bad[k]));
        }
    x[LEN - 1] = FLT_MAX; /* rounds to infinity in bfloat16 */
    assert_true(liz_quantize_row(LIZ_DTYPE_F32, x, NULL, bytes, LEN));
    assert_false(liz_quantize_row(LIZ_DTYPE_BF16, x, NULL, bytes, LEN));
}

/* What the fields of a block say, written again, is the same block. */
static void test_parts(void **state)
{
    (void)state;
    int n_types = 0;
    for (uint32_t dtype = 0; dtype < LIZ_DTYPE_COUNT; dtype++) {
        const liz_dtype_info *info = liz_dtype_info_get(dtype);
        if (info == NULL || liz_quant_type_get((liz_dtype)dtype) == NULL)
            continue;
        n_types++;
        for (int k = 0; k < 1000; k++) {
            uint8_t block[256], again[256];
            liz_quant_parts parts = {0}, back = {0};
            for (int i = 0; i < info->block_bytes; i++)
                block[i] = (uint8_t)(random_bits() >> 24);
            liz_quant_unpack((liz_dtype)dtype, block, &parts);
            if (!isfinite(parts.d) || !isfinite(parts.dmin))
                continue;
            liz_quant_pack((liz_dtype)dtype, &parts, again);
            liz_quant_unpack((liz_dtype)dtype, again, &back);
            assert_memory_equal(&back, &parts, sizeof parts);
            if (dtype != LIZ_DTYPE_TQ1_0) /* several bytes have the same digits there */
                assert_memory_equal(again, block, (size_t)info->block_bytes);
        }
    }
    assert_int_equal(n_types, N_TYPES - 3);
}

/* Where half of the columns count a hundred times as much, the weighted error must fall in every type of blocks. */
static void test_importance(void **state)
{
    (void)state;
    float x[LEN], importance[LEN], plain[LEN], weighted[LEN];
    for (int i = 0; i < LEN; i++) {
        x[i] = 0.02f * random_normal();
        importance[i] = random_bits() >> 31 != 0 ? 1.98f : 0.02f;
    }
    for (int t = 3; t < N_TYPES; t++) {
        there_and_back(types[t].dtype, x, NULL, plain);
        there_and_back(types[t].dtype, x, importance, weighted);
        double before = error_of(x, plain, importance, LEN), after = error_of(x, weighted, importance, LEN);
        if (!(after < before))
            fail_msg("%s: weighted error %g, was %g", liz_dtype_info_get(types[t].dtype)->name, after, before);
    }
    for (int i = 0; i < LEN; i++)
        importance[i] = 0;
    for (int t = 3; t < N_TYPES; t++) {
        there_and_back(types[t].dtype, x, importance, weighted);
        for (int i = 0; i < LEN; i++)
            assert_true(isfinite(weighted[i]));
    }
}

typedef struct errors {
    double ours, theirs;
} errors;

/* Of all matrices of a file of reference/quants, from the same F32 model. */
static errors compare(const liz_gguf *original, const liz_gguf *theirs)
{
    errors sum = {0, 0};
    for (size_t i = 0; i < liz_gguf_n_tensors(theirs); i++) {
        const liz_gguf_tensor *to = liz_gguf_tensor_at(theirs, i);
        char name[128];
        snprintf(name, sizeof name, "%.*s", LIZ_STR_ARG(to->name));
        const liz_gguf_tensor *from = liz_gguf_tensor_find(original, name);
        if (to->n_dim < 2)
            continue;
        assert_non_null(from);
        assert_int_equal(from->dtype, LIZ_DTYPE_F32);
        size_t n = (size_t)to->shape[1], n_rows = (size_t)to->shape[0];
        float *y = malloc(n * sizeof *y), *x = malloc(n * sizeof *x);
        uint8_t *bytes = malloc(n * sizeof *y);
        for (size_t row = 0; row < n_rows; row++) {
            memcpy(x, from->data + row * n * sizeof *x, n * sizeof *x);
            liz_dequantize_row(to->dtype, to->data + row * (size_t)to->size_bytes / n_rows, y, n);
            for (size_t k = 0; k < n; k++)
                sum.theirs += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            assert_true(liz_quantize_row(to->dtype, x, NULL, bytes, n));
            liz_dequantize_row(to->dtype, bytes, y, n);
            for (size_t k = 0; k < n; k++)
                sum.ours += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
        }
        free(x);
        free(y);
        free(bytes);
    }
    return sum;
}

static void test_beside_reference(void **state)
{
    (void)state;
    liz_gguf *original, *theirs;
    if (access(REFERENCE "quants", R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: no ../shared/reference/quants\n");
        skip();
    }
    assert_int_equal(liz_gguf_open(&original, REFERENCE "logits/llama-gqa.gguf", NULL), LIZ_OK);
    int n_compared = 0;
    for (int t = 0; t < N_TYPES; t++) {
        char path[128];
        const char *name = liz_dtype_info_get(types[t].dtype)->name;
        snprintf(path, sizeof path, REFERENCE "quants/llama-%s.gguf", name);
        if (liz_gguf_open(&theirs, path, NULL) != LIZ_OK)
            continue;
        errors e = compare(original, theirs);
        fprintf(stderr, "# %s: error %.4g, the reference's %.4g\n", name, e.ours, e.theirs);
        assert_true(e.ours <= 1.02 * e.theirs);
        liz_gguf_close(theirs);
        n_compared++;
    }
    liz_gguf_close(original);
    assert_int_equal(n_compared, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_weights), cmocka_unit_test(test_nasty_blocks),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_importance),     cmocka_unit_test(test_beside_reference),
    };
    return cmocka_run_group_tests_name("tensor quantize", tests, NULL, NULL);
}
