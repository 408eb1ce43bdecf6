/* test_gguf_write.c - what is written reads back the same; what goes wrong leaves no file behind. */
#include "../lib/gguf_asm.h"
#include "../lib/gguf_check.h"
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static liz_gguf_writer *writer_new(const char *name)
{
    liz_gguf_writer *writer = NULL;
    liz_error err;
    if (liz_gguf_writer_open(&writer, NULL, temp_path(name), &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return writer;
}

static void test_round_trip(void **state)
{
    (void)state;
    liz_error err;
    liz_gguf_writer *w = writer_new("out.gguf");
    liz_gguf_put_u32(w, "u32", 7);
    liz_gguf_put_u64(w, "u64", UINT64_MAX);
    liz_gguf_put_i32(w, "i32", -7);
    liz_gguf_put_f32(w, "f32", 0.25f);
    liz_gguf_put_bool(w, "bool", true);
    liz_gguf_put_str(w, "str", (liz_str){"a\0b", 3});
    liz_gguf_put_strs(w, "strs", (liz_str[]){liz_str_of("one"), {NULL, 0}}, 2);
    liz_gguf_put_array(w, "i16s", LIZ_GGUF_I16, (int16_t[]){-1, 2, 3}, 3);
    static const char *const names[] = {"first", "second", "third"};
    liz_gguf_declare_tensor(w, liz_str_of(names[0]), LIZ_DTYPE_F32, 1, (uint64_t[]){3});
    liz_gguf_declare_tensor(w, liz_str_of(names[1]), LIZ_DTYPE_Q4_0, 2, (uint64_t[]){2, 64});
    liz_gguf_declare_tensor(w, liz_str_of(names[2]), LIZ_DTYPE_I8, 4, (uint64_t[]){2, 1, 3, 5});
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    unsigned char data[12 + 72 + 30];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + 1);
    for (size_t at = 0; at < sizeof data; at += 19) /* pieces that cross the tensors' borders */
        assert_int_equal(liz_gguf_writer_data(w, data + at, sizeof data - at < 19 ? sizeof data - at : 19, &err),
                         LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);

    liz_gguf *gguf = NULL;
    uint64_t number;
    liz_str text;
    bool truth = false;
    assert_int_equal(liz_gguf_open(&gguf, temp_path("out.gguf"), &err), LIZ_OK);
    assert_int_equal(liz_gguf_version(gguf), 3);
    assert_int_equal(liz_gguf_n_entries(gguf), 8);
    assert_true(liz_gguf_u64(gguf, "u64", &number) && number == UINT64_MAX);
    assert_int_equal(liz_gguf_entry_i64(liz_gguf_find(gguf, "i32"), 0), -7);
    assert_true(liz_gguf_entry_f64(liz_gguf_find(gguf, "f32"), 0) == 0.25);
    assert_true(liz_gguf_bool(gguf, "bool", &truth) && truth);
    assert_true(liz_gguf_str(gguf, "str", &text) && liz_str_eq(text, (liz_str){"a\0b", 3}));
    assert_true(liz_str_is(liz_gguf_find(gguf, "strs")->strings[1], ""));
    assert_int_equal(liz_gguf_entry_i64(liz_gguf_find(gguf, "i16s"), 0), -1);
    const unsigned char *expected = data;
    for (size_t i = 0; i < 3; i++) {
        const liz_gguf_tensor *tensor = liz_gguf_tensor_find(gguf, names[i]);
        assert_ptr_equal(tensor, liz_gguf_tensor_at(gguf, i));
        assert_memory_equal(tensor->data, expected, tensor->size_bytes);
        expected += tensor->size_bytes;
    }
    assert_ptr_equal(expected, data + sizeof data);
    assert_int_equal(liz_gguf_tensor_find(gguf, "third")->shape[3], 5);
    liz_gguf_close(gguf);
}

/* Copying every entry of a file gives a file that says the same, with the same hash. */
static void check_copy(const char *path)
{
    size_t n, n_copy;
    char *text = file_read(path, &n);
    assert_non_null(text);
    gguf_asm assembled;
    gguf_assemble(&assembled, text);
    liz_gguf *from = NULL, *to = NULL;
    liz_error err;
    assert_int_equal(liz_gguf_open(&from, gguf_asm_write(&assembled), &err), LIZ_OK);
    liz_gguf_writer *w = writer_new("copy.gguf");
    liz_gguf_put_entries(w, from, NULL);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);
    assert_int_equal(liz_gguf_open(&to, temp_path("copy.gguf"), &err), LIZ_OK);
    assert_int_equal(liz_gguf_n_entries(to), liz_gguf_n_entries(from));
    assert_true(liz_hash_eq(liz_gguf_hash(to, 0), liz_gguf_hash(from, 0)));
    char *copy = file_read(temp_path("copy.gguf"), &n_copy);
    assert_true(n_copy >= assembled.files[0].bytes.len); /* a copied file is padded to the alignment */
    assert_memory_equal(copy, assembled.files[0].bytes.data, assembled.files[0].bytes.len);
    free(copy);
    free(text);
    liz_gguf_close(from);
    liz_gguf_close(to);
    gguf_asm_free(&assembled);
}

static void test_copy(void **state)
{
    (void)state;
    check_copy("tests/cases/gguf/valid/every_type/case");
    check_copy("tests/cases/gguf/valid/array_of_arrays/case");
}

/* Files that differ within an array of arrays alone have different hashes. */
static void test_hash_of_arrays(void **state)
{
    (void)state;
    liz_hash hashes[2];
    for (int i = 0; i < 2; i++) {
        uint8_t inner[13] = {LIZ_GGUF_U8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, (uint8_t)i};
        liz_gguf_entry entry = {.key = liz_str_of("k"),
                                .type = LIZ_GGUF_ARRAY,
                                .elem_type = LIZ_GGUF_ARRAY,
                                .n = 1,
                                .data = inner,
                                .arrays_bytes = sizeof inner};
        liz_error err;
        liz_gguf *gguf;
        liz_gguf_writer *w = writer_new("arrays.gguf");
        liz_gguf_put_entry(w, &entry);
        assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
        assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
        liz_gguf_writer_close(w);
        assert_int_equal(liz_gguf_open(&gguf, temp_path("arrays.gguf"), &err), LIZ_OK);
        hashes[i] = liz_gguf_hash(gguf, 0);
        liz_gguf_close(gguf);
    }
    assert_false(liz_hash_eq(hashes[0], hashes[1]));
}

/* ---- Failures ------------------------------------------------------------------------------------ */

static void expect_no_file(const char *name)
{
    char part[64];
    snprintf(part, sizeof part, "%s.part", name);
    assert_int_not_equal(access(temp_path(name), F_OK), 0);
    assert_int_not_equal(access(temp_path(part), F_OK), 0);
}

static void test_wrong_amount_of_data(void **state)
{
    (void)state;
    liz_error err;
    liz_gguf_writer *w = writer_new("short.gguf");
    liz_gguf_declare_tensor(w, liz_str_of("a"), LIZ_DTYPE_F32, 1, (uint64_t[]){2});
    liz_gguf_declare_tensor(w, liz_str_of("b"), LIZ_DTYPE_F32, 1, (uint64_t[]){2});
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_data(w, (float[]){1, 2, 3}, 12, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_E_STATE);
    assert_non_null(strstr(err.text, "tensor 'b': lacks 4 bytes"));
    assert_int_equal(liz_gguf_writer_data(w, (float[]){1, 2}, 8, &err), LIZ_E_STATE);
    liz_gguf_writer_close(w);
    expect_no_file("short.gguf");
}

static void test_wrong_declarations(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        liz_dtype dtype;
        int n_dim;
        uint64_t shape[4];
    } rows[] = {{"", "tensor ''", LIZ_DTYPE_F32, 1, {1}},
                {"row", "tensor 'row'", LIZ_DTYPE_Q4_K, 2, {2, 100}},
                {"zero", "tensor 'zero'", LIZ_DTYPE_F32, 2, {0, 4}},
                {"dims", "tensor 'dims'", LIZ_DTYPE_F32, 5, {1}},
                {"huge", "tensor 'huge'", LIZ_DTYPE_F32, 2, {1ULL << 40, 1ULL << 40}},
                {"type", "tensor 'type'", (liz_dtype)5, 1, {32}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        liz_error err;
        liz_gguf_writer *w = writer_new("wrong.gguf");
        liz_gguf_declare_tensor(w, liz_str_of(rows[i].name), rows[i].dtype, rows[i].n_dim, rows[i].shape);
        liz_gguf_declare_tensor(w, liz_str_of("fine"), LIZ_DTYPE_F32, 1, (uint64_t[]){1});
        assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_E_USAGE);
        assert_non_null(strstr(err.text, rows[i].text));
        liz_gguf_writer_close(w);
        expect_no_file("wrong.gguf");
    }
}

static void test_wrong_keys(void **state)
{
    (void)state;
    liz_error err;
    liz_gguf_writer *w = writer_new("wrong.gguf");
    liz_gguf_put_u32(w, "general.alignment", 64);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_E_USAGE);
    liz_gguf_writer_close(w);
    w = writer_new("wrong.gguf");
    liz_gguf_put_array(w, "strings", LIZ_GGUF_STRING, NULL, 0);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_E_USAGE);
    liz_gguf_writer_close(w);
    w = writer_new("wrong.gguf"); /* a key put twice is noticed when the file is read back */
    liz_gguf_put_u32(w, "twice", 1);
    liz_gguf_put_u32(w, "twice", 1);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_E_FORMAT);
    assert_non_null(strstr(err.text, "key 'twice'"));
    liz_gguf_writer_close(w);
    expect_no_file("wrong.gguf");
}

static void test_unwritable(void **state)
{
    (void)state;
    liz_gguf_writer *writer = NULL;
    liz_error err;
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, temp_path("no/such/folder.gguf"), &err), LIZ_E_IO);
    assert_non_null(strstr(err.text, "folder.gguf"));
}

/* A full disk, as a limit on the size of files: the old file stays. */
static void test_disk_full(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *data = calloc(N, sizeof *data);
    assert_non_null(data);
    temp_write("kept.gguf", "old", 3);
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    liz_error err = {0};
    liz_gguf_writer *w = writer_new("kept.gguf");
    liz_gguf_declare_tensor(w, liz_str_of("t"), LIZ_DTYPE_F32, 1, (uint64_t[]){N});
    liz_status status = liz_gguf_writer_begin(w, &err);
    if (status == LIZ_OK)
        status = liz_gguf_writer_data(w, data, N * sizeof *data, &err);
    if (status == LIZ_OK)
        status = liz_gguf_writer_finish(w, &err);
    liz_gguf_writer_close(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    free(data);
    assert_int_equal(status, LIZ_E_IO);
    assert_non_null(strstr(err.text, "kept.gguf"));
    size_t n;
    char *kept = file_read(temp_path("kept.gguf"), &n);
    assert_string_equal(kept, "old");
    free(kept);
    assert_int_not_equal(access(temp_path("kept.gguf.part"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),         cmocka_unit_test(test_copy),
        cmocka_unit_test(test_hash_of_arrays),     cmocka_unit_test(test_wrong_amount_of_data),
        cmocka_unit_test(test_wrong_declarations), cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_unwritable),         cmocka_unit_test(test_disk_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
