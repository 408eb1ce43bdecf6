/* test_quant.c - types whose meaning no reference file shows, and which types there are.
 *
 * MXFP4 is checked against the OCP Microscaling specification read literally: an element is E2M1 (sign, two bits of
 * exponent with bias 1, one of mantissa), the shared scale E8M0 (a power of two with bias 127, 255 not a number). */
#include "kernel/pack.h"
#include "tensor/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static double e2m1(int code)
{
    int exponent = code >> 1 & 3, mantissa = code & 1;
    double x = exponent == 0 ? mantissa * 0.5 : ldexp(1 + mantissa * 0.5, exponent - 1);
    return code & 8 ? -x : x;
}

static void test_mxfp4(void **state)
{
    (void)state;
    for (int scale = 0; scale < 256; scale++)
        for (int shift = 0; shift < 16; shift++) {
            uint8_t block[17] = {(uint8_t)scale};
            float w[32];
            for (int i = 0; i < 16; i++) /* elements 0 to 15 are low nibbles, 16 to 31 high ones */
                block[1 + i] = (uint8_t)(((i + shift) & 15) | (15 - i) << 4);
            liz_dequantize_row(LIZ_DTYPE_MXFP4, block, w, 32);
            for (int i = 0; i < 32; i++) {
                double want = ldexp(e2m1(i < 16 ? (i + shift) & 15 : 31 - i), scale - 127);
                if (scale == 255)
                    assert_true(isnan(w[i]));
                else
                    assert_true(w[i] == (float)want); /* 6 * 2^127 is infinity in both */
            }
        }
}

/* A base-3 digit of TQ1_0, for every byte that a quantiser writes: ceil(256 n / 243) for n below 243. */
static void test_tq1_0_digits(void **state)
{
    (void)state;
    for (int n = 0; n < 243; n++) {
        uint8_t block[54] = {0};
        float w[256];
        block[7] = (uint8_t)((n * 256 + 242) / 243);
        block[53] = 0x3C; /* d = 1 */
        liz_dequantize_row(LIZ_DTYPE_TQ1_0, block, w, 256);
        for (int digit = 0, unit = 81; digit < 5; digit++, unit /= 3)
            assert_true(w[32 * digit + 7] == (float)(n / unit % 3 - 1));
    }
}

/* What can be read can be packed; the rest is named, so that it can be refused by name. */
static void test_types(void **state)
{
    (void)state;
    static const char *const refused[] = {"Q8_1",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
                                          "IQ3_S", "IQ2_S", "IQ1_M",   "I8",     "I16",     "I32",
                                          "I64",   "F64",   "NVFP4",   "Q1_0",   "Q2_0"};
    int n_refused = 0, n_computed = 0;
    for (uint32_t type = 0; type < LIZ_DTYPE_COUNT; type++) {
        const liz_dtype_info *info = liz_dtype_info_get(type);
        liz_pack pack;
        if (info == NULL)
            continue;
        assert_int_equal(liz_pack_of((liz_dtype)type, &pack), info->readable);
        n_computed += info->readable;
        for (size_t i = 0; i < sizeof refused / sizeof *refused && !info->readable; i++)
            n_refused += strcmp(info->name, refused[i]) == 0;
    }
    assert_int_equal(n_refused, sizeof refused / sizeof *refused);
    assert_int_equal(n_computed, 18);
    assert_null(liz_dtype_info_get(LIZ_DTYPE_COUNT));
    assert_null(liz_dtype_info_get(4)); /* a number that once was one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mxfp4),
        cmocka_unit_test(test_tq1_0_digits),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests_name("tensor quant", tests, NULL, NULL);
}
