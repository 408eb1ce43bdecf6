/* test_activations.c - e^x and what is made of it, against libm in double. That other tiers give the reference's bits
 * on usual numbers is test_kernel.c's; here they meet the ends of what a float can hold. */
#include "../lib/guarded.h"

#include "kernel/kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static liz_kernel ref;

/* Activations and probabilities against libm in double. */
static void test_activations_are_right(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        float g = 40 * (rnd_unit() - 0.5f), u = 20 * (rnd_unit() - 0.5f), y[2];
        double x = (double)g, up = (double)u, clamped = fmin(x, 7), cubic = x + 0.044715 * x * x * x;
        ref.silu_mul(&g, &u, 1, &y[0]);
        double want = x / (1 + exp(-x)) * up;
        assert_true(fabs((double)y[0] - want) <= 1e-6 * fabs(want) + 1e-30);
        ref.gelu_mul(&g, NULL, 1, &y[0]);
        want = x / 2 * (1 + tanh(0.79788456080286536 * cubic));
        assert_true(fabs((double)y[0] - want) <= 1e-6 * fabs(x));
        ref.swiglu_oai(&g, &u, 1, &y[0]);
        want = clamped / (1 + exp(-1.702 * clamped)) * (fmax(fmin(up, 7), -7) + 1);
        assert_true(fabs((double)y[0] - want) <= 1e-6 * (fabs(clamped) + fabs(want)));
        ref.sigmoid(&g, 1, &y[0]);
        want = 1 / (1 + exp(-x));
        assert_true(fabs((double)y[0] - want) <= 1e-6 * want);
        float pair[2] = {g, u};
        ref.softmax(pair, 2, y);
        want = 1 / (1 + exp(up - x));
        assert_true(fabs((double)y[0] - want) <= 4e-6 * want + 1e-30 && fabsf(y[0] + y[1] - 1) < 1e-6f);
    }
}

/* Where e^x ends: infinity above 88.73, 0 below -87.3, not-a-number as it is; in every tier the same bits. */
static const float far[] = {88.5f,     88.72f, 88.73f,  88.99f, 89.0f,   89.01f, 200.0f, 1e30f,
                            INFINITY,  -87.2f, -87.29f, -87.3f, -87.31f, -88.0f, -90.0f, -1e30f,
                            -INFINITY, NAN,    -0.0f,   0.0f,   1e-40f,  -1e9f};
enum { N_FAR = sizeof far / sizeof *far };

static void test_exponential_ends(void **state)
{
    (void)state;
    float x[N_FAR], want[N_FAR], got[N_FAR];
    for (int i = 0; i < N_FAR; i++)
        x[i] = -far[i];
    ref.sigmoid(x, N_FAR, want);
    for (int i = 0; i < N_FAR; i++) {
        double right = 1 / (1 + exp((double)far[i] > 88.7228 ? INFINITY : (double)far[i]));
        assert_true(isnan(far[i]) ? isnan(want[i]) : fabs((double)want[i] - right) <= 1e-6 * right);
    }
    for (int tier = LIZ_TIER_AVX2; tier <= (int)liz_cpu_tier_best(); tier++) {
        liz_kernel tested;
        liz_kernel_init(&tested, (liz_tier_id)tier);
        tested.sigmoid(x, N_FAR, got);
        assert_memory_equal(want, got, sizeof got);
    }
}

static void test_tanh_is_right(void **state)
{
    (void)state;
    for (int i = 0; i < 4000; i++) {
        float x = (i % 2 ? 1.0f : 30.0f) * (rnd_unit() - 0.5f), y;
        ref.softcap(&x, 1.0f, 1, &y);
        assert_true(fabs((double)y - tanh((double)x)) <= 4e-7 * fabs(tanh((double)x)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations_are_right),
        cmocka_unit_test(test_exponential_ends),
        cmocka_unit_test(test_tanh_is_right),
    };
    rng_seed = 1;
    liz_kernel_init(&ref, LIZ_TIER_C);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
