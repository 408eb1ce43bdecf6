/* test_rope.c - rotary frequencies against the published formulas, written out in libm's double. */
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"
#include "model/model_rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-12 * fabs(b)); }

static void test_plain_and_linear(void **state)
{
    (void)state;
    double freqs[64];
    float factors[64];
    for (int i = 0; i < 64; i++)
        factors[i] = 1 + 0.25f * (float)i;
    liz_rope r = {.n_dims = 128, .base = 500000, .scale = 0.125, .magnitude = 1};
    assert_int_equal(liz_rope_fill(&r, NULL, 8192, freqs, NULL), LIZ_OK);
    for (int i = 0; i < 64; i++)
        near(freqs[i], pow(500000, -i / 64.0) / 8);
    assert_int_equal(liz_rope_fill(&r, factors, 8192, freqs, NULL), LIZ_OK);
    for (int i = 0; i < 64; i++)
        near(freqs[i], pow(500000, -i / 64.0) / 8 / (double)factors[i]);
}

/* YaRN (arXiv 2309.00071): pair i turns orig * freq / 2 pi times; a ramp between beta_fast and beta_slow turns. */
static void test_yarn(void **state)
{
    (void)state;
    enum { N = 64 };
    double freqs[N / 2], base = 150000, orig = 4096;
    liz_rope r = {.n_dims = N,
                  .base = base,
                  .scale = 1 / 32.0,
                  .ramp = 1,
                  .beta_fast = 32,
                  .beta_slow = 1,
                  .n_ctx_orig = orig,
                  .magnitude = 1};
    assert_int_equal(liz_rope_fill(&r, NULL, 131072, freqs, NULL), LIZ_OK);
    double low = floor(N * log(orig / (32 * 2 * M_PI)) / (2 * log(base)));
    double high = ceil(N * log(orig / (2 * M_PI)) / (2 * log(base)));
    assert_true(low > 1 && high < N / 2 - 1 && high > low);
    int n_kept = 0, n_scaled = 0;
    for (int i = 0; i < N / 2; i++) {
        double free = pow(base, -2.0 * i / N), mix = (i - low) / (high - low);
        mix = mix < 0 ? 0 : mix > 1 ? 1 : mix;
        near(freqs[i], free / 32 * mix + free * (1 - mix));
        n_kept += mix == 0;
        n_scaled += mix == 1;
    }
    assert_true(n_kept > 0 && n_scaled > 0);
}

static void test_absurd(void **state)
{
    (void)state;
    double freqs[8];
    static const struct {
        double base, scale;
        float factor;
    } cases[] = {{10000, 1, 0}, {10000, 1, NAN}, {10000, 1, 1e-12f}, {1e-300, 1, 1}, {10000, 1e30, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_rope r = {.n_dims = 16, .base = cases[i].base, .scale = cases[i].scale, .magnitude = 1};
        float factors[8];
        for (int k = 0; k < 8; k++)
            factors[k] = cases[i].factor;
        liz_error err;
        assert_int_equal(liz_rope_fill(&r, factors, 1 << 20, freqs, &err), LIZ_E_FORMAT);
        assert_non_null(strstr(err.text, "absurd"));
    }
}

/* A file with these keys alone, read. */
static liz_rope read_keys(const char *type, float factor, float attn_factor, float log_mul, const char **refused)
{
    const char *path = temp_path("rope.gguf");
    liz_gguf_writer *w;
    liz_gguf *gguf;
    static liz_error err;
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, &err), LIZ_OK);
    liz_gguf_put_str(w, "x.rope.scaling.type", liz_str_of(type));
    liz_gguf_put_f32(w, "x.rope.scaling.factor", factor);
    liz_gguf_put_f32(w, "x.rope.scaling.attn_factor", attn_factor);
    liz_gguf_put_f32(w, "x.rope.scaling.yarn_log_multiplier", log_mul);
    liz_gguf_put_f32(w, "x.rope.scaling.yarn_ext_factor", -1);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);
    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
    liz_keys keys = {.gguf = gguf, .arch = "x", .err = &err};
    liz_rope rope;
    liz_rope_read(&keys, 64, 4096, &rope);
    *refused = keys.status != LIZ_OK ? err.text : NULL;
    liz_gguf_close(gguf);
    return rope;
}

static void test_settings(void **state)
{
    (void)state;
    const char *refused;
    liz_rope r = read_keys("linear", 8, 1, 0, &refused);
    assert_true(r.scale == 0.125 && r.ramp == 0 && r.magnitude == 1 && r.n_dims == 64 && r.n_ctx_orig == 4096);
    r = read_keys("none", 8, 1, 0, &refused);
    assert_true(r.scale == 1 && r.ramp == 0);
    r = read_keys("yarn", 32, 1, 0, &refused);
    assert_true(r.scale == 1 / 32.0 && r.ramp == 1);
    near(r.magnitude, 0.1 * log(32) + 1);
    r = read_keys("yarn", 32, 2, 1, &refused); /* the model has learned it: what is left is the stated factor */
    near(r.magnitude, 2);
    r = read_keys("longrope", 4, 1.19f, 0, &refused);
    assert_true(r.scale == 1 && (float)r.magnitude == 1.19f);
    assert_null(refused);
    read_keys("spiral", 4, 1, 0, &refused);
    assert_non_null(refused);
    assert_non_null(strstr(refused, "x.rope.scaling.type: 'spiral'"));
    read_keys("linear", INFINITY, 1, 0, &refused);
    assert_non_null(refused);
    assert_non_null(strstr(refused, "x.rope.scaling.factor"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain_and_linear), cmocka_unit_test(test_yarn),
                                       cmocka_unit_test(test_absurd), cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests_name("rotary positions", tests, NULL, NULL);
}
