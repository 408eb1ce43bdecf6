/* fuzz_jinja.c - chat templates: an input is a template and its variables as JSON, between them a line "====".
 *
 * What compiles renders to the same text twice, marks of data or not; the marks are ranges of the text, ascending and
 * apart from each other. */
#include "fuzz.h"
#include "text/jinja.h"

#include <string.h>

static liz_status render(const liz_jinja *jinja, const liz_json *object, bool is_data, liz_buf *out, liz_buf *data)
{
    static const struct tm now = {.tm_year = 126, .tm_mday = 1};
    liz_error err;
    liz_buf_init(out, 1 << 28);
    liz_buf_init(data, 1 << 28);
    liz_status status = liz_jinja_render(jinja, &(liz_jinja_vars){object, is_data}, 1, &now, NULL, out, data, &err);
    FUZZ_CHECK(status == LIZ_OK || (err.code == status && err.line > 0));
    return status;
}

static void check_ranges(const liz_buf *text, const liz_buf *data)
{
    size_t n = data->len / sizeof(size_t), last = 0;
    FUZZ_CHECK(n % 2 == 0 && data->len % sizeof(size_t) == 0);
    for (size_t i = 0; i < n; i++) {
        size_t at;
        memcpy(&at, data->data + i * sizeof at, sizeof at);
        FUZZ_CHECK((i == 0 || at > last) && at <= text->len);
        last = at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liz_str rest = fuzz_text(data, size), source = fuzz_part(&rest);
    liz_arena arena = {.size_max = 1 << 26};
    liz_jinja *jinja = NULL;
    liz_json *object = NULL;
    liz_error err;
    liz_status status = liz_jinja_compile(&jinja, source, &err);
    FUZZ_CHECK(status == LIZ_OK || err.line > 0 || status == LIZ_E_MEMORY);
    if (liz_json_read(&object, rest, &arena, NULL) != LIZ_OK || object->type != LIZ_JSON_OBJECT)
        object = NULL;
    if (status == LIZ_OK) {
        liz_buf marked, plain, ranges, none;
        liz_status first = render(jinja, object, true, &marked, &ranges);
        FUZZ_CHECK(render(jinja, object, false, &plain, &none) == first);
        if (first == LIZ_OK) {
            FUZZ_CHECK(liz_str_eq(liz_buf_str(&marked), liz_buf_str(&plain)) && none.len == 0);
            check_ranges(&marked, &ranges);
        }
        liz_buf_free(&marked);
        liz_buf_free(&plain);
        liz_buf_free(&ranges);
        liz_buf_free(&none);
        liz_jinja_free(jinja);
    }
    liz_arena_free(&arena);
    return 0;
}
