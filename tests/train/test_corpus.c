/* test_corpus.c - files cut into documents, and what is said of files that are not text. */
#include "../lib/temp_dir.h"
#include "train/corpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Documents as they come, "|" after each end, "+" after each part. */
static liz_status note(void *user, liz_str text, bool ends, liz_error *err)
{
    (void)err;
    liz_buf_append_str(user, text);
    liz_buf_puts(user, ends ? "|" : "+");
    return LIZ_OK;
}

static const struct sample {
    const char *name, *bytes, *documents;
} samples[] = {
    {"a.txt", "one\ntwo\n<|endoftext|>\nthree", "one\ntwo\n|three|"},
    {"b.txt", "<|endoftext|>\n<|endoftext|>\n", ""},
    {"c.txt", "inside <|endoftext|> a line\n", "inside <|endoftext|> a line\n|"},
    {"d.txt", "", ""},
    {"e.jsonl", "{\"text\":\"a\\nb\"}\n\n{\"text\":\"c\",\"x\":1}", "a\nb|c|"},
};

static const struct refused {
    const char *name, *bytes, *said;
} refused_files[] = {
    {"bad.txt", "fine\n\xff\xfe\n", "bad.txt: line 2: is not UTF-8"},
    {"bad.jsonl", "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n", "bad.jsonl: line 2: has no \"text\""},
    {"worse.jsonl", "{\"text\":\n", "worse.jsonl: line 1: "},
    {"number.jsonl", "{\"text\":7}\n", "number.jsonl: line 1: has no \"text\""},
};

static void test_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const char *path = temp_write(samples[i].name, samples[i].bytes, strlen(samples[i].bytes));
        liz_buf got;
        liz_error err;
        liz_buf_init(&got, 1 << 20);
        liz_buf_puts(&got, "");
        assert_int_equal(liz_corpus_read(liz_files_system(), path, note, &got, &err), LIZ_OK);
        assert_string_equal(got.data != NULL ? got.data : "", samples[i].documents);
        liz_buf_free(&got);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_files / sizeof *refused_files; i++) {
        const char *path = temp_write(refused_files[i].name, refused_files[i].bytes, strlen(refused_files[i].bytes));
        liz_buf got;
        liz_error err;
        liz_buf_init(&got, 1 << 20);
        assert_int_equal(liz_corpus_read(liz_files_system(), path, note, &got, &err), LIZ_E_FORMAT);
        if (strstr(err.text, refused_files[i].said) == NULL)
            fail_msg("said: %s", err.text);
        liz_buf_free(&got);
    }
    liz_error err;
    assert_int_equal(liz_corpus_read(liz_files_system(), temp_path("none"), note, NULL, &err), LIZ_E_IO);
}

/* Longer than a piece: parts that together are the document; a line that is too long is refused. */
static void test_long(void **state)
{
    (void)state;
    size_t n = LIZ_CORPUS_LINE_MAX + 2;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    for (size_t i = 999; i < 3u << 20; i += 1000)
        text[i] = '\n';
    liz_buf got;
    liz_error err;
    liz_buf_init(&got, 8 << 20);
    assert_int_equal(liz_corpus_read(liz_files_system(), temp_write("long.txt", text, 3u << 20), note, &got, &err),
                     LIZ_OK);
    assert_int_equal(got.len, (3u << 20) + 3);
    assert_int_equal(got.data[got.len - 1], '|');
    liz_buf_free(&got);
    memset(text, 'x', n);
    assert_int_equal(liz_corpus_read(liz_files_system(), temp_write("line.txt", text, n), note, &got, &err),
                     LIZ_E_LIMIT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_documents), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
