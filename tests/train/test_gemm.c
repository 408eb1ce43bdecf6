/* test_gemm.c - training's products: those of every tier are the portable one's, bit for bit, and right; by rows and by
 * columns, whole or added, and where A has fewer columns than the panels of B (the keys before a block of queries). */
#include "sys/cpu.h"
#include "train/gemm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 300, OUT = 608 }; /* rows of results are whole cache lines, or nothing would be streamed */

static uint64_t seed = 1;

static void fill_random(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(seed >> 40) / (float)(1 << 24) - 0.5f;
    }
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

typedef struct gemm_case {
    size_t m, n, k, k_panels; /* of A and of B */
    bool by_columns;
    liz_gemm_to to;
} gemm_case;

/* Of both arrays; those by columns have at most MOST of them. */
static size_t stride_of(const gemm_case *t) { return t->k_panels > MOST ? t->k_panels : MOST; }

static void product(liz_tier_id tier, const gemm_case *t, const float *a, const float *b, float *c)
{
    liz_kernel kernel;
    liz_grad_kernel grad;
    liz_kernel_init(&kernel, tier);
    liz_grad_kernel_init(&grad, tier);
    liz_gemm g = {.kernel = &kernel, .grad = &grad};
    liz_rows rows = {aligned_alloc(64, (liz_rows_bytes(&g, t->m, t->k) + 63) / 64 * 64), t->m, t->k};
    liz_panels panels = {aligned_alloc(64, liz_panels_bytes(&g, t->n, t->k_panels)), t->n, t->k_panels};
    memset(rows.data, 0, liz_rows_bytes(&g, t->m, t->k)); /* tiles read whole groups of rows */
    liz_rows_put(&g, &rows, (liz_source){a, stride_of(t), t->by_columns}, 0, t->m);
    liz_panels_put(&g, &panels, (liz_source){b, stride_of(t), t->by_columns}, 0, liz_panel_count(t->n), false);
    liz_gemm_mul(&g, &rows, &panels, 0, t->m, 0, liz_panel_count(t->n), c, OUT, t->to);
    free(rows.data);
    free(panels.data);
}

static void check(const gemm_case *t)
{
    enum { N = 600 * 900, N_OUT = MOST * OUT };
    size_t stride = stride_of(t);
    _Alignas(64) static float a[N], b[N], first[N_OUT], wanted[N_OUT], got[N_OUT];
    fill_random(a, N);
    fill_random(b, N);
    fill_random(first, N_OUT);
    memcpy(wanted, first, sizeof wanted);
    product(LIZ_TIER_C, t, a, b, wanted);
    size_t step = 1 + t->m * t->n * t->k / 20000000; /* of the great ones, some */
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = i % step; j < t->n; j += step) {
            double sum = t->to == LIZ_GEMM_ADD ? (double)first[i * OUT + j] : 0;
            for (size_t k = 0; k < t->k; k++)
                sum += (double)rounded(a[t->by_columns ? k * stride + i : i * stride + k]) *
                       (double)rounded(b[t->by_columns ? k * stride + j : j * stride + k]);
            assert_true(fabs(sum - (double)wanted[i * OUT + j]) < 2e-5 + 1e-8 * (double)t->k);
        }
    for (liz_tier_id tier = LIZ_TIER_AVX2; tier <= liz_cpu_tier_best(); tier++) {
        memcpy(got, first, sizeof got);
        product(tier, t, a, b, got);
        if (memcmp(got, wanted, sizeof got) != 0)
            fail_msg("tier %s: %zu x %zu x %zu of %zu%s%s", liz_cpu_tier_name(tier), t->m, t->n, t->k, t->k_panels,
                     t->by_columns ? ", by columns" : "", (const char *[]){"", ", added", ", streamed"}[t->to]);
    }
}

static void test_products(void **state)
{
    (void)state;
    static const size_t sizes[][4] = {{1, 1, 1, 1},       {5, 16, 32, 32},      {64, 64, 64, 64},  {64, 64, 64, 128},
                                      {64, 64, 128, 300}, {33, 40, 65, 96},     {37, 80, 96, 97},  {64, 32, 31, 256},
                                      {70, 17, 257, 300}, {100, 300, 200, 300}, {300, 33, 32, 65}, {64, 48, 192, 256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int way = 0; way < 6; way++) {
            const size_t *s = sizes[i];
            check(&(gemm_case){s[0], s[1], s[2], s[3], way % 2 == 1, (liz_gemm_to)(way / 2)});
        }
    for (int to = LIZ_GEMM_PUT; to <= LIZ_GEMM_STREAM;
         to++) { /* more k than is added up at once; and many rows at once */
        check(&(gemm_case){20, 18, 4200, 4201, false, (liz_gemm_to)to});
        if (to != LIZ_GEMM_PUT)
            check(&(gemm_case){70, 600, 900, 900, false, (liz_gemm_to)to});
    }
}

int main(void)
{
    liz_cpu_tier_best(); /* asks for AMX before the first tile */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products)};
    return cmocka_run_group_tests_name("training's products", tests, NULL, NULL);
}
