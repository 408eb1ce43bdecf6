/* test_gguf_cases.c - every folder of tests/cases/gguf: `case` is assembled (tests/lib/gguf_asm.h) and opened.
 *
 * `expected` holds what must come out: of a valid file its contents, of an invalid one the code and text of the error,
 * without the folder. A new case is a new folder. */
#include "../lib/cases.h"
#include "../lib/gguf_asm.h"
#include "../lib/temp_dir.h"
#include "format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CASES_MIN = 40 };

static void put_value(liz_buf *out, const liz_gguf_entry *entry, uint64_t i)
{
    if (entry->elem_type == LIZ_GGUF_STRING)
        liz_buf_printf(out, " \"%.*s\"", LIZ_STR_ARG(entry->strings[i]));
    else if (entry->elem_type == LIZ_GGUF_F32 || entry->elem_type == LIZ_GGUF_F64)
        liz_buf_printf(out, " %g", liz_gguf_entry_f64(entry, i));
    else
        liz_buf_printf(out, " %lld", (long long)liz_gguf_entry_i64(entry, i));
}

static void put_entry(liz_buf *out, const liz_gguf_entry *entry)
{
    liz_buf_printf(out, "key %.*s %s", LIZ_STR_ARG(entry->key), liz_gguf_type_name(entry->type));
    if (entry->type == LIZ_GGUF_ARRAY)
        liz_buf_printf(out, " of %llu %s", (unsigned long long)entry->n, liz_gguf_type_name(entry->elem_type));
    bool is_nested = entry->elem_type == LIZ_GGUF_ARRAY;
    for (uint64_t i = 0; !is_nested && i < entry->n; i++)
        put_value(out, entry, i);
    for (uint64_t i = 0; is_nested && i < liz_gguf_entry_bytes(entry); i++)
        liz_buf_printf(out, i % 4 == 0 ? " %02x" : "%02x", entry->data[i]);
    liz_buf_putc(out, '\n');
}

static void put_tensor(liz_buf *out, const liz_gguf_tensor *tensor)
{
    liz_buf_printf(out, "tensor %.*s %s", LIZ_STR_ARG(tensor->name), liz_dtype_info_get(tensor->dtype)->name);
    for (int i = 0; i < tensor->n_dim; i++)
        liz_buf_printf(out, " %llu", (unsigned long long)tensor->shape[i]);
    unsigned sum = 0; /* touches every byte */
    for (uint64_t i = 0; i < tensor->size_bytes; i++)
        sum += tensor->data[i];
    liz_buf_printf(out, ": %llu bytes, sum %u\n", (unsigned long long)tensor->size_bytes, sum);
}

static void put_model(liz_buf *out, const liz_gguf *gguf)
{
    liz_buf_printf(out, "version %u, parts %zu\n", liz_gguf_version(gguf), liz_gguf_n_parts(gguf));
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++)
        put_entry(out, liz_gguf_entry_at(gguf, i));
    for (size_t i = 0; i < liz_gguf_n_tensors(gguf); i++)
        put_tensor(out, liz_gguf_tensor_at(gguf, i));
}

/* The error's text without the test's own folder. */
static void put_error(liz_buf *out, const liz_error *err)
{
    liz_buf_printf(out, "%s ", liz_status_name(err->code));
    size_t n_dir = strlen(temp_dir()) + 1;
    for (const char *p = err->text; *p != '\0';) {
        const char *at = strstr(p, temp_dir());
        size_t n = at != NULL ? (size_t)(at - p) : strlen(p);
        liz_buf_append(out, p, n);
        p += n + (at != NULL ? n_dir : 0);
    }
    liz_buf_putc(out, '\n');
}

static void check_case(void **state)
{
    const char *folder = *state;
    char *text = case_read(folder, "case");
    assert_non_null(text);
    gguf_asm assembled;
    gguf_assemble(&assembled, text);
    liz_gguf *gguf = NULL;
    liz_error err = {0};
    liz_status status = liz_gguf_open(&gguf, gguf_asm_write(&assembled), &err);
    liz_buf out;
    liz_buf_init(&out, 1 << 20);
    if (status == LIZ_OK)
        put_model(&out, gguf);
    else
        put_error(&out, &err);
    assert_int_equal(status == LIZ_OK, case_is_valid(folder));
    assert_int_equal(status, err.code);
    case_expect(folder, out.data);
    liz_gguf_close(gguf);
    for (int i = 0; i < assembled.n_files; i++)
        remove(temp_path(assembled.files[i].name)); /* the next case must not find them */
    gguf_asm_free(&assembled);
    liz_buf_free(&out);
    free(text);
}

int main(void) { return cases_run("gguf", CASES_MIN, check_case); }
