/* test_str.c - UTF-8 against the definition: every code point, every sequence of up to three bytes, and the corners. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The definition, slowly: the bytes are a character when encoding what they would mean gives them back. */
static size_t decode_slowly(const unsigned char *s, size_t n, unsigned *code)
{
    static const unsigned char lead_mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    char again[4];
    for (size_t len = 1; len <= 4 && len <= n; len++) {
        unsigned value = s[0] & lead_mask[len];
        for (size_t i = 1; i < len; i++)
            value = value << 6 | (s[i] & 0x3Fu);
        if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
            continue;
        if (liz_utf8_encode(value, again) == len && memcmp(again, s, len) == 0) {
            *code = value;
            return len;
        }
    }
    return 0;
}

static void test_every_code_point(void **state)
{
    (void)state;
    char text[4];
    for (unsigned code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000)
            continue;
        unsigned back = ~0u;
        size_t n = liz_utf8_encode(code, text);
        assert_int_equal(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        if (liz_utf8_decode(text, n, &back) != n || back != code || liz_utf8_valid_prefix(text, n) != n)
            fail_msg("U+%04X", code);
        for (size_t cut = 1; cut < n; cut++) {
            if (liz_utf8_decode(text, cut, NULL) != 0 || liz_utf8_incomplete_suffix(text, cut) != cut)
                fail_msg("U+%04X cut at %zu", code, cut);
        }
        assert_int_equal(liz_utf8_incomplete_suffix(text, n), 0);
    }
}

static void test_every_three_bytes(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 1u << 24; v++) {
        unsigned char s[4] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v, 0x80};
        unsigned want_code = 0, got_code = 0;
        if (s[0] < 0x80 && (v & 0xFFFF) != 0)
            continue;
        size_t want = decode_slowly(s, 4, &want_code), got = liz_utf8_decode((char *)s, 4, &got_code);
        if (want != got || (want > 0 && want_code != got_code))
            fail_msg("%02x %02x %02x 80: %zu, not %zu", s[0], s[1], s[2], got, want);
    }
}

static void test_valid_prefix(void **state)
{
    (void)state;
    char text[64];
    for (size_t bad = 0; bad < sizeof text; bad++) {
        memset(text, 'a', sizeof text);
        text[bad] = '\xFF';
        assert_int_equal(liz_utf8_valid_prefix(text, sizeof text), bad);
    }
    assert_int_equal(liz_utf8_valid_prefix("abc\xE2\x82", 5), 3);
    assert_int_equal(liz_utf8_valid_prefix("", 0), 0);
}

static void test_incomplete_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"", 0},         {"a", 0},        {"\x80", 0},         {"a\xC3", 1},       {"a\xC1", 0},
                 {"\xE0\x9F", 0}, {"\xE0\xA0", 2}, {"\xED\xA0", 0},     {"\xF0\x8F", 0},    {"\xF0\x9F\x98", 3},
                 {"\xF4\x90", 0}, {"\xF5", 0},     {"\xE2\x82\xAC", 0}, {"\x80\x80\x80", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (liz_utf8_incomplete_suffix(cases[i].text, strlen(cases[i].text)) != cases[i].n)
            fail_msg("case %zu", i);
}

static void test_slices(void **state)
{
    (void)state;
    assert_true(liz_str_is(liz_str_of("abc"), "abc"));
    assert_false(liz_str_is(liz_str_of("abc"), "abd"));
    assert_true(liz_str_eq((liz_str){NULL, 0}, liz_str_of("")));
    assert_true(liz_str_starts(liz_str_of("abc"), "ab"));
    assert_false(liz_str_starts(liz_str_of("a"), "ab"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_code_point),
                                       cmocka_unit_test(test_every_three_bytes), cmocka_unit_test(test_valid_prefix),
                                       cmocka_unit_test(test_incomplete_suffix), cmocka_unit_test(test_slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
