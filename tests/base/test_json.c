/* test_json.c - the reader on the kinds of cases that public JSON parsing suites hold (what must be read, what must be
 * refused), numbers as written, duplicate keys, depth; the writer by reading back. */
#include "base/json.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(literal)                                                                                                     \
    (liz_str) { (literal), sizeof(literal) - 1 }

static liz_arena arena = {.size_max = 256u << 20};

/* Reads a copy without slack behind it, so that a sanitizer sees a read past the end. */
static liz_status read_copy(liz_json **out, liz_str text, liz_error *err)
{
    static char *copy;
    free(copy);
    copy = malloc(text.n ? text.n : 1);
    memcpy(copy, text.p, text.n);
    liz_arena_reset(&arena);
    return liz_json_read(out, (liz_str){copy, text.n}, &arena, err);
}

static const liz_str accepted[] = {
    S("null"),
    S(" true "),
    S("\tfalse\r\n"),
    S("\"\""),
    S("[]"),
    S("{}"),
    S("[[]   ]"),
    S("[1,null,\"a\",{},[2]]"),
    S("{\"a\":[{\"b\":{}}],\"c\":-0}"),
    S("0"),
    S("-0"),
    S("-0.0"),
    S("123e65"),
    S("0e+1"),
    S("0E-2"),
    S("1.5e3"),
    S("-0.0000000000000000000000000000000000000000000000000000000000000001"),
    S("123456789012345678901234567890"),
    S("1e400"),
    S("[20e1, 1E22, 1e-3]"),
    S("\"\\u0060\\u012a\\u12AB\""),
    S("\"\\uD801\\udc37\""),
    S("\"\\ud83d\\ude39\\ud83d\\udc8d\""),
    S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    S("\"\\\\u0000\""),
    S("\"\\u0000\""),
    S("\"\xEF\xBF\xBF\""),
    S("\"\xF4\x8F\xBF\xBF\""),
    S("\"\x7F\""),
    S("\"\xE2\x80\xA8\xE2\x80\xA9\""),
    S("\"a/*b*/c/*d//e\""),
    S("{\"\":0}"),
    S("{\"foo\\u0000bar\": 42}"),
    S("{\"min\": -1.0e+28, \"max\": 1.0e+28}"),
    S("[\"\\uDBFF\\uDFFF\"]"),
};

static const liz_str refused[] = {
    S(""),
    S(" "),
    S("nul"),
    S("True"),
    S("[1 true]"),
    S("[1,]"),
    S("[,1]"),
    S("[1,,2]"),
    S("[\"\",]"),
    S("[1"),
    S("["),
    S("]"),
    S("[}"),
    S("[1}"),
    S("{\"a\":1]"),
    S("{"),
    S("{\"a\""),
    S("{\"a\":"),
    S("{\"a\":1"),
    S("{\"a\":1,}"),
    S("{,\"a\":1}"),
    S("{\"a\" 1}"),
    S("{\"a\"::1}"),
    S("{a:1}"),
    S("{1:1}"),
    S("{'a':0}"),
    S("{\"a\":1 \"b\":2}"),
    S("{null:null}"),
    S("{\"a\":1}}"),
    S("{}#"),
    S("{}/**/"),
    S("[1] [2]"),
    S("1 2"),
    S("+1"),
    S("-"),
    S("--1"),
    S("- 1"),
    S("01"),
    S("-01"),
    S("00"),
    S("1."),
    S(".5"),
    S("-.5"),
    S("1.e1"),
    S("1e"),
    S("1e+"),
    S("1eE2"),
    S("0e"),
    S("0.3e"),
    S("1+2"),
    S("0x42"),
    S("1_000"),
    S("1 000.0"),
    S("Infinity"),
    S("-Infinity"),
    S("NaN"),
    S("\xEF\xBC\x91"),
    S("\""),
    S("\"abc"),
    S("\"\\"),
    S("\"\\\""),
    S("\"\\x00\""),
    S("\"\\'\""),
    S("\"\\u\""),
    S("\"\\u00A"),
    S("\"\\u00AG\""),
    S("\"\\uD834\""),
    S("\"\\uD834\\uDd\""),
    S("\"\\uD800\\u\""),
    S("\"\\uD800\\uD800\""),
    S("\"\\uDC00\""),
    S("\"\\uD888\\u1234\""),
    S("\"\\uD800abc\""),
    S("\"a\0b\""),
    S("\"new\nline\""),
    S("\"\t\""),
    S("\"\x1F\""),
    S("'single'"),
    S("abc"),
    S("\xEF\xBB\xBF{}"),
    S("\xFF"),
    S("\"\xFF\""),
    S("\"\xE0\xFF\""),
    S("\"\xC0\xAF\""),
    S("\"\xED\xA0\x80\""),
    S("\"\xF4\x90\x80\x80\""),
    S("\"\xE2\x82\""),
    S("\"\x81\""),
    S("\"\\n\xFF\""),
    S("[1\f]"),
    S("[\xC2\xA0]"),
    S("[\xE2\x81\xA0]"),
    S("[1]\0"),
    S("{\"a\":1,\"a\":1}"),
    S("{\"a\":1,\"\\u0061\":2}"),
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        liz_json *value;
        liz_error err = {0};
        if (read_copy(&value, accepted[i], &err) != LIZ_OK)
            fail_msg("refused: %.*s: %s", LIZ_STR_ARG(accepted[i]), err.text);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        liz_json *value;
        liz_error err = {0};
        if (read_copy(&value, refused[i], &err) == LIZ_OK)
            fail_msg("accepted: %.*s", LIZ_STR_ARG(refused[i]));
        assert_int_equal(err.code, LIZ_E_FORMAT);
        assert_true(err.offset <= refused[i].n && err.line >= 1 && err.column >= 1);
    }
}

/* Every text that must be read is refused when it is cut anywhere, unless what is left is a value itself. */
static void test_truncated(void **state)
{
    (void)state;
    static const liz_str whole =
        S("{\"a\":[1.5e-3,\"x\\ud83d\\ude39\\n\",true,false,null,{\"b\":{}}],\"c\":\"\xE2\x82\xAC\"}");
    liz_json *value;
    assert_int_equal(read_copy(&value, whole, NULL), LIZ_OK);
    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(read_copy(&value, (liz_str){whole.p, n}, NULL), LIZ_E_FORMAT);
}

/* Any single changed byte gives a value or a clean refusal. */
static void test_mutated(void **state)
{
    (void)state;
    static const liz_str whole = S("{\"k\":[-0.5E+7,\"\\u00e9\\\"\",true,null],\"\xC3\xA9\":{}}");
    char text[64];
    for (size_t i = 0; i < whole.n; i++) {
        for (int byte = 0; byte < 256; byte++) {
            liz_json *value;
            memcpy(text, whole.p, whole.n);
            text[i] = (char)byte;
            liz_status status = read_copy(&value, (liz_str){text, whole.n}, NULL);
            assert_true(status == LIZ_OK || status == LIZ_E_FORMAT);
        }
    }
}

static void test_tree(void **state)
{
    (void)state;
    static const liz_str text = S(" {\"id\" : 12345678901234567890, \"t\":\"a\\u00e9\\u0000z\", \"l\":[0.10, [ ] ] } ");
    liz_json *root;
    assert_int_equal(read_copy(&root, text, NULL), LIZ_OK);
    assert_int_equal(root->n_children, 3);
    assert_true(
        liz_str_is(root->source, "{\"id\" : 12345678901234567890, \"t\":\"a\\u00e9\\u0000z\", \"l\":[0.10, [ ] ] }"));
    assert_true(liz_str_is(liz_json_member(root, "id")->string, "12345678901234567890"));
    liz_str t = liz_json_member(root, "t")->string;
    assert_int_equal(t.n, 5);
    assert_memory_equal(t.p, "a\xC3\xA9\0z", 5);
    const liz_json *list = liz_json_member(root, "l");
    assert_true(liz_str_is(list->first_child->source, "0.10"));
    assert_true(liz_str_is(list->first_child->next->source, "[ ]"));
    assert_null(liz_json_member(root, "none"));
    assert_null(liz_json_member(list, "id"));
    assert_null(liz_json_member(NULL, "id"));
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * LIZ_JSON_DEPTH_MAX + 2];
    liz_json *value;
    for (size_t depth = LIZ_JSON_DEPTH_MAX; depth <= LIZ_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        liz_status status = read_copy(&value, (liz_str){text, 2 * depth}, NULL);
        assert_int_equal(status, depth == LIZ_JSON_DEPTH_MAX ? LIZ_OK : LIZ_E_LIMIT);
    }
    size_t n = 1000000;
    char *deep = malloc(n);
    memset(deep, '[', n);
    assert_int_equal(read_copy(&value, (liz_str){deep, n}, NULL), LIZ_E_LIMIT);
    free(deep);
}

/* Many members: a duplicate at any distance is found, and it takes no square of time. */
static void test_many_members(void **state)
{
    (void)state;
    enum { N = 100000 };
    for (int duplicate = 0; duplicate < 2; duplicate++) {
        liz_buf text;
        liz_buf_init(&text, 64u << 20);
        for (int i = 0; i < N; i++)
            liz_buf_printf(&text, "%s\"k%d\":%d", i ? "," : "{", duplicate && i == N - 1 ? 7 : i, i);
        liz_buf_putc(&text, '}');
        liz_json *value;
        liz_error err;
        assert_int_equal(read_copy(&value, liz_buf_str(&text), &err), duplicate ? LIZ_E_FORMAT : LIZ_OK);
        liz_buf_free(&text);
    }
}

static void test_memory_limit(void **state)
{
    (void)state;
    liz_arena small = {.size_max = 256};
    liz_json *value;
    assert_int_equal(liz_json_read(&value, S("[1,2,3,4,5]"), &small, NULL), LIZ_E_MEMORY);
    liz_arena_free(&small);
}

static void test_error_position(void **state)
{
    (void)state;
    liz_json *value;
    liz_error err;
    assert_int_equal(read_copy(&value, S("{\n  \"\xC3\xA9\": x}"), &err), LIZ_E_FORMAT);
    assert_int_equal(err.offset, 10);
    assert_int_equal(err.line, 2);
    assert_int_equal(err.column, 8);
    assert_string_equal(err.text, "a value is missing at line 2, column 8");
    assert_int_equal(read_copy(&value, S("{\"\xC3\xA9\": x}"), &err), LIZ_E_FORMAT);
    assert_string_equal(err.text, "a value is missing at column 7");
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"1.0", true, 1},
        {"-12.500e1", true, -125},
        {"1e3", true, 1000},
        {"120e-1", true, 12},
        {"1.5", false, 0},
        {"1e-1", false, 0},
        {"1e19", false, 0},
        {"0e999999999999999999999", true, 0},
        {"1e999999999999999999999", false, 0},
        {"1e-999999999999999999999", false, 0},
        {"0.0000", true, 0},
        {"12345678901234567890123", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_json *value;
        int64_t n = -1;
        assert_int_equal(read_copy(&value, liz_str_of(cases[i].text), NULL), LIZ_OK);
        if (liz_json_int64(value, &n) != cases[i].ok || (cases[i].ok && n != cases[i].value))
            fail_msg("%s: %lld", cases[i].text, (long long)n);
    }
    liz_json *text;
    int64_t n;
    double x;
    assert_int_equal(read_copy(&text, S("\"1\""), NULL), LIZ_OK);
    assert_false(liz_json_int64(text, &n) || liz_json_double(text, &x) || liz_json_int64(NULL, &n));
}

static void test_doubles(void **state)
{
    (void)state;
    liz_json *value;
    double x;
    assert_int_equal(read_copy(&value, S("-1.25e2"), NULL), LIZ_OK);
    assert_true(liz_json_double(value, &x) && x == -125.0);
    assert_int_equal(read_copy(&value, S("1e400"), NULL), LIZ_OK);
    assert_false(liz_json_double(value, &x));
    char digits[400] = "0.";
    memset(digits + 2, '3', sizeof digits - 3);
    assert_int_equal(read_copy(&value, liz_str_of(digits), NULL), LIZ_OK);
    assert_true(liz_json_double(value, &x) && x == 1.0 / 3);
}

static void assert_written(liz_str text, const char *expected)
{
    liz_buf buf;
    liz_buf_init(&buf, 4096);
    liz_json_write_string(&buf, text);
    assert_string_equal(buf.data, expected);
    liz_buf_free(&buf);
}

static void test_write_string(void **state)
{
    (void)state;
    assert_written(S(""), "\"\"");
    assert_written(S("a\"b\\c/\b\f\n\r\t\x01\x7F"), "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\x7F\"");
    assert_written(S("a\0b"), "\"a\\u0000b\"");
    assert_written(S("\xC3\xA9\xF0\x9F\x98\xB9"), "\"\xC3\xA9\xF0\x9F\x98\xB9\"");
    /* The example of the Unicode standard, table 3-11: one U+FFFD for each maximal subpart. */
    assert_written(S("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
                   "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x41\"");
    assert_written(S("\xC0\xAF"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written(S("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

/* Strings of all bytes, written, read back as themselves where they are UTF-8. */
static void test_round_trip(void **state)
{
    (void)state;
    liz_buf buf;
    liz_buf_init(&buf, 1 << 24);
    char text[4];
    for (unsigned code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 61) {
        if (code >= 0xD800 && code < 0xE000)
            continue;
        liz_buf_clear(&buf);
        size_t n = liz_utf8_encode(code, text);
        liz_json_write_string(&buf, (liz_str){text, n});
        liz_json *value;
        assert_int_equal(read_copy(&value, liz_buf_str(&buf), NULL), LIZ_OK);
        assert_true(liz_str_eq(value->string, (liz_str){text, n}));
    }
    liz_buf_free(&buf);
}

static void test_write_numbers(void **state)
{
    (void)state;
    liz_buf buf;
    liz_buf_init(&buf, 4096);
    float floats[] = {0.0f, -0.0f, 0.1f, 1e20f, -1.5f, 3.4028235e38f, 1e-45f, 16777216.0f, -2.3025851f};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++, liz_buf_putc(&buf, ' '))
        liz_json_write_float(&buf, floats[i]);
    assert_string_equal(buf.data, "0 -0 0.1 1e+20 -1.5 3.4028235e+38 1e-45 16777216 -2.3025851 ");
    liz_buf_clear(&buf);
    double doubles[] = {0.1, 1.0 / 3, 1e300, 5e-324, 9007199254740993.0};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++, liz_buf_putc(&buf, ' '))
        liz_json_write_double(&buf, doubles[i]);
    assert_string_equal(buf.data, "0.1 0.3333333333333333 1e+300 5e-324 9007199254740992 ");
    liz_buf_clear(&buf);
    liz_json_write_float(&buf, -1.0f / 0.0f);
    assert_string_equal(buf.data, "null");
    liz_buf_free(&buf);
}

/* Commas stand between members and elements, wherever brackets and values that end like brackets stand. */
static void test_write_members(void **state)
{
    (void)state;
    liz_buf buf = {.len_max = 4096};
    liz_json_open(&buf, NULL, '{');
    liz_json_put_str(&buf, "a[", liz_str_of("{"));
    liz_json_open(&buf, "b", '[');
    liz_json_put_int(&buf, NULL, INT64_MIN);
    liz_json_put_u64(&buf, NULL, UINT64_MAX);
    liz_json_open(&buf, NULL, '{');
    liz_buf_putc(&buf, '}');
    liz_json_put_bool(&buf, NULL, false);
    liz_buf_putc(&buf, ']');
    liz_json_put(&buf, "c", liz_str_of("[]"));
    liz_json_put_float(&buf, "d", 0.1f);
    liz_json_put_double(&buf, "e", 0.1);
    liz_json_key(&buf, "\"");
    liz_buf_puts(&buf, "null}");
    assert_string_equal(buf.data, "{\"a[\":\"{\",\"b\":[-9223372036854775808,18446744073709551615,{},false],\"c\":[],"
                                  "\"d\":0.1,\"e\":0.1,\"\\\"\":null}");
    liz_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated),      cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_tree),           cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_members),   cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_error_position), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles),        cmocka_unit_test(test_write_string),
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_write_numbers),
        cmocka_unit_test(test_write_members),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    liz_arena_free(&arena);
    return failed;
}
