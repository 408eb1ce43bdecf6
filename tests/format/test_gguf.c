/* test_gguf.c - opening and asking: values and their ranges, what is not a file, the reference files, speed. */
#include "../lib/gguf_asm.h"
#include "../lib/gguf_check.h"
#include "../lib/temp_dir.h"
#include "format/gguf.h"
#include "format/gguf_write.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static liz_gguf *open_text(const char *text)
{
    gguf_asm assembled;
    liz_gguf *gguf = NULL;
    liz_error err;
    gguf_assemble(&assembled, text);
    if (liz_gguf_open(&gguf, gguf_asm_write(&assembled), &err) != LIZ_OK)
        fail_msg("%s", err.text);
    gguf_asm_free(&assembled);
    return gguf;
}

/* ---- Values ------------------------------------------------------------------------------------ */

static const char values[] = "head 0 9\n"
                             "key u8 u8\nu8 200\n"
                             "key i32 i32\ni32 -5\n"
                             "key u64 u64\nu64 0xffffffffffffffff\n"
                             "key f32 f32\nf32 -2.5\n"
                             "key nan f32\nu32 0x7fc00000\n"
                             "key huge f64\nu64 0x7fe0000000000000\n"
                             "key bool bool\nu8 1\n"
                             "key text string\nstr abc\n"
                             "key list array\narray u32 2\nu32 1\nu32 2\n";

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool is_u64;
        uint64_t u64;
        int64_t i64; /* of liz_gguf_entry_i64, which clamps */
    } rows[] = {{"u8", true, 200, 200}, {"i32", false, 0, -5}, {"u64", true, UINT64_MAX, INT64_MAX},
                {"f32", false, 0, -2},  {"nan", false, 0, 0},  {"huge", false, 0, INT64_MAX},
                {"bool", false, 0, 1}};
    liz_gguf *gguf = open_text(values);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 42;
        assert_int_equal(liz_gguf_u64(gguf, rows[i].key, &value), rows[i].is_u64);
        assert_int_equal(value, rows[i].is_u64 ? rows[i].u64 : 42);
        assert_int_equal(liz_gguf_entry_i64(liz_gguf_find(gguf, rows[i].key), 0), rows[i].i64);
    }
    uint64_t value;
    assert_false(liz_gguf_u64(gguf, "text", &value));
    assert_false(liz_gguf_u64(gguf, "list", &value));
    assert_false(liz_gguf_u64(gguf, "absent", &value));
    assert_null(liz_gguf_find(gguf, ""));
    liz_gguf_close(gguf);
}

static void test_other_kinds(void **state)
{
    (void)state;
    liz_gguf *gguf = open_text(values);
    double number = 0;
    bool truth = false;
    liz_str text;
    assert_true(liz_gguf_f64(gguf, "f32", &number) && number == -2.5);
    assert_true(liz_gguf_f64(gguf, "i32", &number) && number == -5);
    assert_true(liz_gguf_f64(gguf, "u64", &number) && number == 0x1p64);
    assert_false(liz_gguf_f64(gguf, "bool", &number) || liz_gguf_f64(gguf, "list", &number));
    assert_true(liz_gguf_bool(gguf, "bool", &truth) && truth);
    assert_false(liz_gguf_bool(gguf, "u8", &truth));
    assert_true(liz_gguf_str(gguf, "text", &text) && liz_str_is(text, "abc"));
    assert_false(liz_gguf_str(gguf, "list", &text));
    liz_gguf_close(gguf);
}

static void test_finds_each(void **state)
{
    (void)state;
    liz_gguf *gguf = open_text(values);
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++) {
        char key[16];
        snprintf(key, sizeof key, "%.*s", LIZ_STR_ARG(liz_gguf_entry_at(gguf, i)->key));
        assert_ptr_equal(liz_gguf_find(gguf, key), liz_gguf_entry_at(gguf, i));
    }
    assert_null(liz_gguf_tensor_find(gguf, "absent"));
    liz_gguf_close(gguf);
    liz_gguf_close(NULL);
}

/* ---- What is not a model ------------------------------------------------------------------------ */

static void expect_failure(const char *path, liz_status expected, const char *part)
{
    liz_gguf *gguf = NULL;
    liz_error err = {0};
    liz_status status = liz_gguf_open(&gguf, path, &err);
    assert_int_equal(status, expected);
    assert_int_equal(liz_gguf_open(&gguf, path, NULL), expected);
    assert_true(gguf_error_is_clear(&err, status, path));
    if (strstr(err.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, part);
}

static void test_not_a_file(void **state)
{
    (void)state;
    expect_failure(temp_path("nothing.gguf"), LIZ_E_IO, "No such file");
    expect_failure(temp_dir(), LIZ_E_IO, "is a directory");
    expect_failure("/dev/null", LIZ_E_IO, "not an ordinary file");
    assert_int_equal(mkfifo(temp_path("pipe.gguf"), 0600), 0);
    expect_failure(temp_path("pipe.gguf"), LIZ_E_IO, "not an ordinary file"); /* and does not wait for a writer */
    expect_failure(temp_write("empty.gguf", "", 0), LIZ_E_FORMAT, "is empty");
}

/* Root may read everything, so root tries it as somebody else. */
static void test_unreadable(void **state)
{
    (void)state;
    const char *path = temp_write("locked.gguf", "GGUF", 4);
    assert_int_equal(chmod(path, 0), 0);
    bool is_root = geteuid() == 0;
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    expect_failure(path, LIZ_E_IO, "Permission denied");
    if (is_root)
        assert_int_equal(seteuid(0), 0);
}

/* A long path must not push the reason out of the text. */
static void test_long_path(void **state)
{
    (void)state;
    char name[220];
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 6, ".gguf", 6);
    char path[4000];
    size_t n = (size_t)snprintf(path, sizeof path, "%s", temp_dir());
    for (int i = 0; i < 10; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "/.");
    snprintf(path + n, sizeof path - n, "/%s", name);
    liz_gguf *gguf = NULL;
    liz_error err;
    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_E_IO);
    assert_non_null(strstr(err.text, "No such file"));
    assert_non_null(strstr(err.text, "nnn.gguf"));
}

/* ---- Memory ------------------------------------------------------------------------------------ */

static liz_gguf *write_and_open(const char *name, size_t n_floats)
{
    liz_gguf_writer *writer;
    liz_error err;
    float *data = malloc(n_floats * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < n_floats; i++)
        data[i] = (float)i;
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, temp_path(name), &err), LIZ_OK);
    liz_gguf_declare_tensor(writer, liz_str_of("t"), LIZ_DTYPE_F32, 1, (uint64_t[]){n_floats});
    assert_int_equal(liz_gguf_writer_begin(writer, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_data(writer, data, n_floats * sizeof *data, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(writer, &err), LIZ_OK);
    liz_gguf_writer_close(writer);
    free(data);
    liz_gguf *gguf = NULL;
    assert_int_equal(liz_gguf_open(&gguf, temp_path(name), &err), LIZ_OK);
    return gguf;
}

/* Resident pages of the mapping that holds `p`, from /proc/self/smaps. */
static long mapped_resident_kb(const void *p)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;
    long rss = -1;
    while (file != NULL && rss < 0 && fgets(line, sizeof line, file) != NULL) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            here = (uintptr_t)p >= begin && (uintptr_t)p < end;
        else if (here)
            sscanf(line, "Rss: %ld", &rss);
    }
    if (file != NULL)
        fclose(file);
    return rss;
}

static void test_drop(void **state)
{
    (void)state;
    liz_gguf *gguf = write_and_open("large.gguf", 1 << 20);
    const liz_gguf_tensor *tensor = liz_gguf_tensor_find(gguf, "t");
    uint64_t sum = gguf_touch(gguf);
    long before = mapped_resident_kb(tensor->data);
    assert_true(before >= 4096);
    for (uint64_t at = 0; at < tensor->size_bytes; at += 999) /* ranges that begin and end within pages */
        liz_gguf_drop(gguf, tensor->data + at, tensor->size_bytes - at < 999 ? tensor->size_bytes - at : 999);
    assert_true(mapped_resident_kb(tensor->data) <= 64);
    assert_int_equal(gguf_touch(gguf), sum);
    liz_gguf_drop(gguf, tensor->data, 0);
    liz_gguf_close(gguf);
}

/* ---- Real files --------------------------------------------------------------------------------- */

static void test_reference_files(void **state)
{
    (void)state;
    glob_t found = {0};
    if (glob("../shared/reference/*/*.gguf", 0, NULL, &found) != 0) {
        fprintf(stderr, "# SKIPPED: ../shared/reference is absent\n");
        skip();
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        liz_gguf *gguf = NULL;
        liz_error err;
        if (liz_gguf_open(&gguf, found.gl_pathv[i], &err) != LIZ_OK)
            fail_msg("%s", err.text);
        assert_true(gguf_touch(gguf) > 0);
        for (size_t k = 0; k < liz_gguf_n_tensors(gguf); k++)
            assert_int_equal((uintptr_t)liz_gguf_tensor_at(gguf, k)->data % 32, 0);
        liz_gguf_close(gguf);
    }
    globfree(&found);
}

static void write_vocabulary(const char *path, size_t n_tokens, size_t n_merges)
{
    enum { TEXT_LEN = 12 };
    liz_gguf_writer *writer;
    liz_error err;
    char(*texts)[TEXT_LEN] = malloc((n_tokens + n_merges) * sizeof *texts);
    liz_str *strings = malloc((n_tokens + n_merges) * sizeof *strings);
    assert_true(texts != NULL && strings != NULL);
    for (size_t i = 0; i < n_tokens + n_merges; i++) {
        snprintf(texts[i], TEXT_LEN, "%zx", i * 2654435761u % 1000000007u);
        strings[i] = liz_str_of(texts[i]);
    }
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, path, &err), LIZ_OK);
    liz_gguf_put_strs(writer, "tokenizer.ggml.tokens", strings, n_tokens);
    liz_gguf_put_strs(writer, "tokenizer.ggml.merges", strings + n_tokens, n_merges);
    assert_int_equal(liz_gguf_writer_begin(writer, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(writer, &err), LIZ_OK);
    liz_gguf_writer_close(writer);
    free(strings);
    free(texts);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* not the other processes' time */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void test_large_vocabulary_opens_fast(void **state)
{
    (void)state;
    const char *path = temp_path("vocabulary.gguf");
    write_vocabulary(path, 128256, 280147);
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        liz_gguf *gguf = NULL;
        double begin = seconds_now();
        assert_int_equal(liz_gguf_open(&gguf, path, NULL), LIZ_OK);
        double took = seconds_now() - begin;
        best = took < best ? took : best;
        assert_int_equal(liz_gguf_find(gguf, "tokenizer.ggml.merges")->n, 280147);
        liz_gguf_close(gguf);
    }
    printf("# 128256 tokens and 280147 merges: %.1f ms\n", best * 1e3);
    assert_true(SANITIZED || best < 0.050);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_integers),
                                       cmocka_unit_test(test_other_kinds),
                                       cmocka_unit_test(test_finds_each),
                                       cmocka_unit_test(test_not_a_file),
                                       cmocka_unit_test(test_unreadable),
                                       cmocka_unit_test(test_long_path),
                                       cmocka_unit_test(test_drop),
                                       cmocka_unit_test(test_reference_files),
                                       cmocka_unit_test(test_large_vocabulary_opens_fast)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
