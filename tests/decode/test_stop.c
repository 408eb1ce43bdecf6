/* test_stop.c - stop strings against a slow search, with the text cut into random pieces. */
#include "decode/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The text before the string that is complete first, the longest where several are; all of it where there is none. */
static size_t oracle(const char *text, size_t n, const char *const *stops, size_t n_stops, bool *found)
{
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_stops; i++) {
            size_t len = strlen(stops[i]);
            if (len <= end && len > longest && memcmp(text + end - len, stops[i], len) == 0)
                longest = len;
        }
        *found = longest > 0;
        if (*found)
            return end - longest;
    }
    *found = false;
    return n;
}

static void text_check(const char *text, size_t n, const char *const *stops, size_t n_stops, unsigned seed)
{
    liz_stop *stop;
    liz_buf out;
    bool found, stopped = false;
    size_t n_expected = oracle(text, n, stops, n_stops, &found), at = 0;
    liz_buf_init(&out, 1 << 20);
    assert_int_equal(liz_stop_open(&stop, "stop string", stops, n_stops, NULL), LIZ_OK);
    while (at < n && !stopped) {
        seed = seed * 1103515245u + 12345;
        size_t piece = 1 + (seed >> 16) % 5;
        piece = piece > n - at ? n - at : piece;
        size_t before = out.len;
        stopped = liz_stop_push(stop, (liz_str){text + at, piece}, &out);
        assert_true(out.len - before <= piece + LIZ_STOP_LEN_MAX);
        at += piece;
    }
    assert_int_equal(stopped, found);
    if (!stopped)
        liz_stop_finish(stop, &out);
    assert_int_equal(out.len, n_expected);
    if (n_expected > 0)
        assert_memory_equal(out.data, text, n_expected);
    liz_stop_close(stop);
    liz_buf_free(&out);
}

static void test_examples(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *stops[3];
    } cases[] = {
        {"hello END world", {"END"}},
        {"hello EN world", {"END"}},
        {"EEND", {"END"}},
        {"ababababac", {"ababac"}},
        {"abcd", {"abcd", "bc"}},
        {"xabc", {"c", "abc", "bc"}},
        {"na\xC3\xAFve", {"\xC3\xAFv"}},
        {"", {"x"}},
        {"x", {"x"}},
        {"aaaaab", {"aaab", "aab"}},
        {"the end", {"end", "the x"}},
        {"\n\n", {"\n\n", "\n"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n_stops = 0;
        while (n_stops < 3 && cases[i].stops[n_stops] != NULL)
            n_stops++;
        for (unsigned seed = 0; seed < 20; seed++)
            text_check(cases[i].text, strlen(cases[i].text), cases[i].stops, n_stops, seed);
    }
}

/* Two letters only, so that strings overlap with themselves and each other. */
static void test_random(void **state)
{
    (void)state;
    unsigned seed = 1;
    int n_found = 0, n_rounds = 20000;
    for (int round = 0; round < n_rounds; round++) {
        char text[64], strings[LIZ_STOP_MAX][9];
        const char *stops[LIZ_STOP_MAX];
        size_t n = 0, n_stops;
        seed = seed * 1103515245u + 12345;
        n = (seed >> 16) % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + ((seed = seed * 1103515245u + 12345) >> 16) % 2);
        n_stops = (seed >> 18) % (LIZ_STOP_MAX + 1);
        for (size_t i = 0; i < n_stops; i++) {
            size_t len = 1 + ((seed = seed * 1103515245u + 12345) >> 16) % 8;
            for (size_t j = 0; j < len; j++)
                strings[i][j] = (char)('a' + ((seed = seed * 1103515245u + 12345) >> 16) % 2);
            strings[i][len] = '\0';
            stops[i] = strings[i];
        }
        bool found;
        oracle(text, n, stops, n_stops, &found);
        n_found += found;
        text_check(text, n, stops, n_stops, seed);
    }
    assert_true(n_found > n_rounds / 10 && n_found < n_rounds);
}

/* What cannot become a stop string comes out at once. */
static void test_holds_back_no_more_than_it_must(void **state)
{
    (void)state;
    liz_stop *stop;
    liz_buf out;
    const char *stops[] = {"END"};
    liz_buf_init(&out, 100);
    assert_int_equal(liz_stop_open(&stop, "stop string", stops, 1, NULL), LIZ_OK);
    assert_false(liz_stop_push(stop, liz_str_of("abE"), &out));
    assert_string_equal(out.data, "ab");
    assert_false(liz_stop_push(stop, liz_str_of("N"), &out));
    assert_string_equal(out.data, "ab");
    assert_false(liz_stop_push(stop, liz_str_of("x"), &out));
    assert_string_equal(out.data, "abENx");
    liz_stop_close(stop);
    liz_buf_free(&out);
}

/* Watching: every piece in which a string becomes complete, overlaps included. */
static void test_watch(void **state)
{
    (void)state;
    const char *breakers[] = {"\n", "aba", "ab"};
    const struct {
        const char *piece;
        bool seen;
    } pieces[] = {{"x\n", true}, {"a", false}, {"b", true},  {"a", true},
                  {"", false},   {"ba", true}, {"c", false}, {"\n\n", true}};
    liz_stop *stop;
    assert_int_equal(liz_stop_open(&stop, "sequence breaker", breakers, 3, NULL), LIZ_OK);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        assert_int_equal(liz_stop_watch(stop, liz_str_of(pieces[i].piece)), pieces[i].seen);
    liz_stop_close(stop);
}

static void test_refused(void **state)
{
    (void)state;
    char longest[LIZ_STOP_LEN_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[LIZ_STOP_LEN_MAX + 1] = '\0';
    const char *many[LIZ_STOP_MAX + 1], *too_long[] = {longest}, *empty[] = {"ok", ""}, *broken[] = {"\xAF"};
    for (int i = 0; i <= LIZ_STOP_MAX; i++)
        many[i] = "x";
    liz_stop *stop;
    assert_int_equal(liz_stop_open(&stop, "stop string", many, LIZ_STOP_MAX + 1, NULL), LIZ_E_LIMIT);
    assert_int_equal(liz_stop_open(&stop, "stop string", too_long, 1, NULL), LIZ_E_LIMIT);
    assert_int_equal(liz_stop_open(&stop, "stop string", empty, 2, NULL), LIZ_E_USAGE);
    assert_int_equal(liz_stop_open(&stop, "stop string", broken, 1, NULL), LIZ_E_USAGE);
    longest[LIZ_STOP_LEN_MAX] = '\0';
    for (unsigned seed = 0; seed < 3; seed++)
        text_check("xxxxxx", 6, too_long, 1, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_holds_back_no_more_than_it_must),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
