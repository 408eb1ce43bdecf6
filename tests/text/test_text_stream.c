/* test_text_stream.c - whole characters come out, however the bytes are cut. */
#include "text/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define R "\xEF\xBF\xBD"

static const struct stream_case {
    const char *in, *out;
} cases[] = {
    {"plain", "plain"},
    {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\xA6\x99", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\xA6\x99"},
    /* The table of the Unicode standard for maximal subparts. */
    {"a\xF1\x80\x80\xE1\x80\xC2"
     "b\x80"
     "c\x80\xBF"
     "d",
     "a" R R R "b" R "c" R R "d"},
    {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
     "A",
     R R R R R R R R "A"},
    {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
     "A",
     R R R R R R R R "A"},
    {"\xF4\x91\x92\x93\xFF"
     "A\x80\xBF"
     "B",
     R R R R R "A" R R "B"},
    {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
     "A",
     R R R R "A"},
    {"\xF0\x9F\xA6", R},
    {"\xE2\x82\xE2\x82\xAC", R "\xE2\x82\xAC"},
    {"\xF0\x9F\xF0\x9F\xA6\x99", R "\xF0\x9F\xA6\x99"},
};

static void check_cut(const struct stream_case *c, size_t first, size_t second)
{
    size_t n = strlen(c->in);
    liz_text_stream stream = {0};
    liz_buf out;
    liz_buf_init(&out, 1000);
    liz_text_stream_push(&stream, c->in, first, &out);
    liz_text_stream_push(&stream, c->in + first, second, &out);
    assert_int_equal(liz_utf8_valid_prefix(out.data, out.len), out.len); /* nothing half ever came out */
    liz_text_stream_push(&stream, c->in + first + second, n - first - second, &out);
    liz_text_stream_finish(&stream, &out);
    assert_true(liz_str_eq(liz_buf_str(&out), liz_str_of(c->out)));
    liz_buf_free(&out);
}

static void test_all_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].in);
        for (size_t first = 0; first <= n; first++)
            for (size_t second = 0; first + second <= n; second++)
                check_cut(&cases[i], first, second);
    }
}

/* Random bytes, pushed one at a time or all at once, give the same. */
static void test_random_bytes(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 20000; round++) {
        char bytes[12];
        liz_buf a, b;
        liz_text_stream s = {0}, t = {0};
        liz_buf_init(&a, 1000);
        liz_buf_init(&b, 1000);
        for (size_t i = 0; i < sizeof bytes; i++) {
            static const unsigned char pool[] = {0x41, 0x80, 0xBF, 0x9F, 0xA0, 0xC2,
                                                 0xE0, 0xE1, 0xED, 0xF0, 0xF4, 0xFF};
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)pool[(seed >> 33) % sizeof pool];
            liz_text_stream_push(&s, &bytes[i], 1, &a);
        }
        liz_text_stream_finish(&s, &a);
        liz_text_stream_push(&t, bytes, sizeof bytes, &b);
        liz_text_stream_finish(&t, &b);
        assert_true(liz_str_eq(liz_buf_str(&a), liz_buf_str(&b)));
        assert_int_equal(liz_utf8_valid_prefix(a.data, a.len), a.len);
        liz_buf_free(&a);
        liz_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_cuts), cmocka_unit_test(test_random_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
