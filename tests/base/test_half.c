/* test_half.c - 16-bit floats against a slow oracle: all 65,536 of each kind, and rounding judged by distance in
 * double. */
#include "base/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

/* What the bits mean, by the definition. */
static double meaning(uint16_t h, int exponent_bits)
{
    int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = h >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = h & ((1 << mantissa_bits) - 1);
    double sign = h & 0x8000 ? -1 : 1, fraction = ldexp(mantissa, -mantissa_bits);
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias));
}

static bool same(double a, double b) { return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b)); }

static void test_decode_all(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        if (!same(meaning((uint16_t)h, 5), (double)liz_f16_to_f32((uint16_t)h)))
            fail_msg("f16 %04x", h);
        if (!same(meaning((uint16_t)h, 8), (double)liz_bf16_to_f32((uint16_t)h)))
            fail_msg("bf16 %04x", h);
    }
}

/* `h` is the nearest to x: no neighbour is nearer, and on a tie it is the even one. */
static bool is_nearest(double x, uint16_t h, int exponent_bits)
{
    double got = meaning(h, exponent_bits);
    uint16_t infinity = (uint16_t)(((1u << exponent_bits) - 1) << (15 - exponent_bits));
    double bound =
        ldexp(2 - ldexp(1, exponent_bits - 16), (1 << (exponent_bits - 1)) - 1); /* half a step past the largest */
    if (fabs(x) >= bound || (h & 0x7FFF) == infinity)
        return fabs(x) >= bound && (h & 0x7FFF) == infinity;
    for (int step = -1; step <= 1; step += 2) {
        uint16_t other = (uint16_t)(h + step);
        if ((other & 0x7FFF) >= infinity || (h & 0x8000) != (other & 0x8000))
            continue;
        double d = fabs(got - x), d_other = fabs(meaning(other, exponent_bits) - x);
        if (d_other < d || (d_other == d && (h & 1)))
            return false;
    }
    return true;
}

static void check_rounding(float x)
{
    uint16_t f16 = liz_f32_to_f16(x), bf16 = liz_f32_to_bf16(x);
    if (!is_nearest((double)x, f16, 5) || (f16 >> 15 != 0) != (signbit(x) != 0))
        fail_msg("f16 of %a is %04x", (double)x, f16);
    bool denormal = fabsf(x) < 0x1p-126f;
    if (denormal ? (bf16 & 0x7FFF) != 0 : !is_nearest((double)x, bf16, 8))
        fail_msg("bf16 of %a is %04x", (double)x, bf16);
}

static void test_encode(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) { /* every value, half way to the next, and a hair to both sides of that */
        float here = liz_f16_to_f32((uint16_t)h), next = liz_f16_to_f32((uint16_t)(h + 1));
        if (isfinite(here)) {
            check_rounding(here);
            if (liz_f32_to_f16(here) != h)
                fail_msg("f16 %04x does not come back", h);
        }
        if (!isfinite(here) || !isfinite(next) || (h & 0x7FFF) == 0x7FFF)
            continue;
        float middle = (here + next) / 2;
        check_rounding(middle);
        check_rounding(nextafterf(middle, here));
        check_rounding(nextafterf(middle, next));
    }
    uint32_t bits = 12345;
    for (int i = 0; i < 2000000; i++) {
        bits = bits * 1664525u + 1013904223u;
        float x = liz_f32_from_bits(bits ^ bits >> 13);
        if (isfinite(x))
            check_rounding(x);
    }
    static const float corners[] = {0.0f,         -0.0f,         65504.0f, 65519.99f,       65520.0f,
                                    1e30f,        0x1p-24f,      0x1p-25f, 0x1.000002p-25f, 0x1p-14f,
                                    0x1.ffcp-15f, 3.4028235e38f, 1e-45f,   0x1p-126f,       0x1.fffffcp-127f};
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++) {
        check_rounding(corners[i]);
        check_rounding(-corners[i]);
    }
}

static void test_special(void **state)
{
    (void)state;
    assert_int_equal(liz_f32_to_f16(INFINITY), 0x7C00);
    assert_int_equal(liz_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(liz_f32_to_bf16(-INFINITY), 0xFF80);
    for (uint32_t payload = 1; payload < 1u << 23; payload = payload * 2 + 1) {
        float x = liz_f32_from_bits(0x7F800000u | payload);
        assert_true(isnan(liz_f16_to_f32(liz_f32_to_f16(x))) && isnan(liz_bf16_to_f32(liz_f32_to_bf16(x))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode_all), cmocka_unit_test(test_encode),
                                       cmocka_unit_test(test_special)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
