/* test_small.c - the small things of base: buffers, arenas, Philox against published vectors, hashes, errors, the log,
 * checked arithmetic. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_buf(void **state)
{
    (void)state;
    liz_buf buf;
    liz_buf_init(&buf, 10);
    liz_buf_puts(&buf, "abc");
    liz_buf_putc(&buf, '\0');
    liz_buf_printf(&buf, "%d", 123456);
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data,
                        "abc\0"
                        "123456",
                        11);
    liz_buf_puts(&buf, ""); /* full is not failed */
    assert_false(liz_buf_failed(&buf));
    liz_buf_putc(&buf, 'x');
    assert_true(liz_buf_failed(&buf));
    assert_int_equal(buf.len, 10);
    assert_null(liz_buf_take(&buf));
    liz_buf_clear(&buf);
    assert_false(liz_buf_failed(&buf));
    liz_buf_printf(&buf, "%s", "longer than ten bytes");
    assert_true(liz_buf_failed(&buf) && buf.len == 0);
    liz_buf_clear(&buf);
    char *empty = liz_buf_take(&buf);
    assert_string_equal(empty, "");
    free(empty);
    liz_buf_free(&buf);
}

static void test_buf_grows(void **state)
{
    (void)state;
    liz_buf buf;
    liz_buf_init(&buf, 1000003);
    for (int i = 0; i < 1000003; i++)
        liz_buf_putc(&buf, (char)('a' + i % 26));
    assert_false(liz_buf_failed(&buf));
    assert_int_equal(buf.data[1000002], 'a' + 1000002 % 26);
    liz_buf_putc(&buf, 'x');
    assert_true(liz_buf_failed(&buf));
    liz_buf_free(&buf);
}

static void test_arena(void **state)
{
    (void)state;
    liz_arena arena;
    liz_arena_init(&arena, 1 << 20);
    size_t total = 0;
    for (size_t size = 1; size < 4000; size = size * 2 + 1) {
        unsigned char *p = liz_arena_alloc(&arena, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xAA, size);
        total += (size + 63) / 64 * 64;
        assert_int_equal(arena.used_bytes, total);
    }
    assert_null(liz_arena_alloc(&arena, 1 << 20));
    assert_null(liz_arena_alloc(&arena, SIZE_MAX));
    assert_null(liz_arena_array(&arena, SIZE_MAX / 2, 3));
    assert_string_equal(liz_arena_strdup(&arena, "abc", 2), "ab");
    assert_string_equal(liz_arena_strdup(&arena, NULL, 0), "");
    liz_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    unsigned char *again = liz_arena_alloc(&arena, 3000);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(again[i], 0); /* zeroed, though it was written before */
    liz_arena_free(&arena);
    liz_arena_free(&arena);
}

/* The known answers that the authors publish with Random123 (philox4x32, 10 rounds). */
static void test_philox(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], result[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_philox counter;
        memcpy(counter.v, cases[i].counter, sizeof counter.v);
        liz_philox got = liz_philox4x32((uint64_t)cases[i].key[1] << 32 | cases[i].key[0], counter);
        assert_memory_equal(got.v, cases[i].result, sizeof got.v);
    }
    assert_true(liz_row_seed(0, 0, 0, 0) == 0xe169c58d6627e8d5u);
}

static void test_draws(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double x = liz_draw(42, i, LIZ_DRAW_TOKEN);
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum > 49500 && sum < 50500);
    assert_true(liz_draw(1, 0, 0) != liz_draw(2, 0, 0) && liz_draw(1, 1, 0) != liz_draw(1, 1ull << 32, 0) &&
                liz_draw(1, 0, 0) != liz_draw(1, 0, LIZ_DRAW_XTC));
}

static void test_hash(void **state)
{
    (void)state;
    char hex[33];
    liz_hash a = liz_hash_bytes("abc", 3), back;
    liz_hash_hex(a, hex);
    assert_int_equal(strlen(hex), 32);
    assert_true(liz_hash_from_hex(&back, hex) && liz_hash_eq(a, back));
    assert_false(liz_hash_from_hex(&back, "12"));
    hex[5] = 'g';
    assert_false(liz_hash_from_hex(&back, hex));
    assert_false(liz_hash_eq(liz_hash_chain(a, "x", 1), liz_hash_chain(a, "y", 1)));
    assert_false(liz_hash_eq(liz_hash_chain(liz_hash_chain(a, "x", 1), "y", 1), liz_hash_chain(a, "xy", 2)));
    liz_hasher *hasher = liz_hasher_new();
    for (int i = 0; i < 3; i++)
        liz_hasher_update(hasher, &"abc"[i], 1);
    assert_true(liz_hash_eq(liz_hasher_digest(hasher), a));
    liz_hasher_free(hasher);
    /* XXH3-128 of nothing, as xxHash publishes it. */
    liz_hash_hex(liz_hash_bytes("", 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

static void test_status(void **state)
{
    (void)state;
    liz_error err;
    assert_int_equal(liz_fail(&err, LIZ_E_IO, "%s: gone", "file"), LIZ_E_IO);
    assert_int_equal(liz_fail_within(&err, LIZ_E_FORMAT, "row %d", 7), LIZ_E_FORMAT);
    assert_string_equal(err.text, "row 7: file: gone");
    assert_int_equal(err.code, LIZ_E_FORMAT);
    assert_int_equal(liz_fail_within(&err, LIZ_E_IO, "row %d", 7), LIZ_E_IO);
    assert_string_equal(err.text, "row 7: file: gone");
    assert_int_equal(liz_fail_within(&err, LIZ_E_IO, "row"), LIZ_E_IO);
    assert_string_equal(err.text, "row: row 7: file: gone");
    assert_int_equal(liz_fail_at(&err, LIZ_E_LIMIT, 99, "x"), LIZ_E_LIMIT);
    assert_int_equal(err.offset, 99);
    assert_int_equal(liz_fail(NULL, LIZ_E_USAGE, "x"), LIZ_E_USAGE);
    assert_int_equal(liz_fail_within(NULL, LIZ_E_USAGE, "x"), LIZ_E_USAGE);
    char big[2 * LIZ_ERROR_TEXT_MAX];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (size_t n = 500; n < 520; n++) { /* texts that fill what there is */
        (void)liz_fail(&err, LIZ_E_IO, "%.*s", (int)n, big);
        (void)liz_fail_within(&err, LIZ_E_IO, "%.*s", (int)(n - 500) * 30, big);
        assert_true(strlen(err.text) < sizeof err.text);
    }
    (void)liz_fail(&err, LIZ_E_FORMAT, "type is %s",
                   "a\x1b[2J\x7f \xc2\x9b"
                   "1m\xff \xc3\xa9\r\nc"); /* what a file says */
    assert_string_equal(err.text, "type is a?[2J? ??1m? \xc3\xa9?\nc");
    assert_string_equal(liz_status_name(LIZ_E_NUMERIC), "LIZ_E_NUMERIC");
    assert_string_equal(liz_status_name((liz_status)-99), "LIZ_E_UNKNOWN");
}

static void count_line(void *user, liz_log_level level, const char *subject, const char *text)
{
    snprintf(user, 64, "%d %s %s", level, subject, text);
}

static void test_log(void **state)
{
    (void)state;
    char line[64] = "";
    liz_log(LIZ_LOG_WARN, "x", "nobody listens");
    liz_log_install(count_line, line, LIZ_LOG_INFO);
    liz_log(LIZ_LOG_DEBUG, "x", "too fine");
    assert_string_equal(line, "");
    liz_log(LIZ_LOG_INFO, "cache", "%d pages", 3);
    assert_string_equal(line, "1 cache 3 pages");
    liz_log_install(NULL, NULL, LIZ_LOG_WARN);
}

static void test_checked(void **state)
{
    (void)state;
    size_t s;
    uint64_t u;
    assert_true(liz_size_add(1, 2, &s) && s == 3);
    assert_false(liz_size_add(SIZE_MAX, 1, &s));
    assert_false(liz_size_mul(SIZE_MAX / 2 + 1, 2, &s));
    assert_true(liz_u64_mul(1ull << 32, (1ull << 32) - 1, &u));
    assert_false(liz_u64_mul(1ull << 32, 1ull << 32, &u));
    assert_true(liz_u64_round_up(65, 64, &u) && u == 128);
    assert_true(liz_u64_round_up(64, 64, &u) && u == 64);
    assert_false(liz_u64_round_up(UINT64_MAX - 3, 64, &u));
    assert_int_equal(liz_div_up(7, 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf),    cmocka_unit_test(test_buf_grows), cmocka_unit_test(test_arena),
        cmocka_unit_test(test_philox), cmocka_unit_test(test_draws),     cmocka_unit_test(test_hash),
        cmocka_unit_test(test_status), cmocka_unit_test(test_log),       cmocka_unit_test(test_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
