/* fuzz_json.c - the reader of JSON: every value of what it accepts is JSON by itself, strings survive being written and
 * read again, and nothing is found that is not there. */
#include "base/json.h"
#include "fuzz.h"

#include <string.h>

static void check_string(liz_str text)
{
    liz_arena arena = {.size_max = 1 << 26};
    liz_buf buf;
    liz_json *again;
    liz_buf_init(&buf, 1 << 26);
    liz_json_write_string(&buf, text);
    FUZZ_CHECK(liz_json_read(&again, liz_buf_str(&buf), &arena, NULL) == LIZ_OK);
    FUZZ_CHECK(again->type == LIZ_JSON_STRING && liz_str_eq(again->string, text));
    liz_buf_free(&buf);
    liz_arena_free(&arena);
}

static void check_numbers(const liz_json *value)
{
    int64_t whole;
    double number;
    bool is_whole = liz_json_int64(value, &whole), is_number = liz_json_double(value, &number);
    FUZZ_CHECK(value->type == LIZ_JSON_NUMBER || (!is_whole && !is_number));
    FUZZ_CHECK(!is_whole || (is_number && (double)whole == number));
}

/* Each value is checked against its own source, so the depth of recursion is that of the reader. */
static void check_value(const liz_json *value, liz_str within, int depth)
{
    size_t n = 0;
    FUZZ_CHECK(depth <= LIZ_JSON_DEPTH_MAX);
    FUZZ_CHECK(value->source.n > 0 && value->source.p >= within.p &&
               value->source.p + value->source.n <= within.p + within.n);
    if (value->type == LIZ_JSON_STRING)
        check_string(value->string);
    check_numbers(value);
    for (const liz_json *child = value->first_child; child != NULL; child = child->next, n++) {
        check_value(child, value->source, depth + 1);
        if (value->type == LIZ_JSON_OBJECT && memchr(child->key.p ? child->key.p : "", '\0', child->key.n) == NULL) {
            char *key = fuzz_copy(child->key.n ? child->key : (liz_str){"", 0});
            FUZZ_CHECK(liz_json_member(value, key) == child);
            free(key);
        }
    }
    FUZZ_CHECK(n == value->n_children);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liz_arena arena = {.size_max = 1 << 26};
    liz_json *json = NULL;
    liz_error err = {0};
    liz_str text = fuzz_text(data, size);
    liz_status status = liz_json_read(&json, text, &arena, &err);
    if (status == LIZ_OK)
        check_value(json, text, 0);
    else
        FUZZ_CHECK(err.code == status && err.text[0] != '\0');
    liz_arena_free(&arena);
    return 0;
}
