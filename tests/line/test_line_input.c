/* test_line_input.c - cutting records: line ends, blank lines, byte order marks, quotes across lines, records that are
 * too large, and the hash that a resume relies on; all with reads of every size. Templates too. */
#include "line_lab.h"

#include "line/line_input.h"
#include "line/line_prompt.h"

static size_t read_max = SIZE_MAX;
static ssize_t read_little(void *user, int fd, void *data, size_t n)
{
    return liz_files_system()->read(user, fd, data, n < read_max ? n : read_max);
}

/* The records of a text, joined by '|'. */
static void cut_all(const char *path, const char *text, size_t n, liz_buf *out, liz_hash *hash)
{
    liz_files files = *liz_files_system();
    liz_line_input *in;
    liz_line_cut cut;
    bool got = true;
    files.read = read_little;
    lab_put(path, text, n);
    liz_buf_clear(out);
    assert_int_equal(liz_line_input_open(&in, &files, path, LIZ_LINE_INPUT_GUESS, NULL, NULL), LIZ_OK);
    liz_buf_append_str(out, liz_line_input_header(in));
    liz_buf_puts(out, liz_line_input_separator(in) != 0 ? "#" : "");
    for (uint64_t i = 0;; i++) {
        assert_int_equal(liz_line_input_next(in, &cut, &got, NULL), LIZ_OK);
        if (!got)
            break;
        assert_int_equal(cut.index, i);
        if (i % 2 == 1) { /* a record given again is the same one */
            liz_line_input_unget(in);
            assert_int_equal(liz_line_input_next(in, &cut, &got, NULL), LIZ_OK);
            assert_true(got && cut.index == i);
        }
        liz_buf_append_str(out, cut.text);
        liz_buf_putc(out, '|');
    }
    *hash = liz_line_input_mark(in).hash;
    liz_line_input_close(in);
}

static const struct {
    const char *path, *text, *records;
} cuts[] = {
    {"a.jsonl", "", ""},
    {"a.jsonl", "\n\n \t\r\n", ""},
    {"a.jsonl", "{}", "{}|"},
    {"a.jsonl", "{}\n", "{}|"},
    {"a.jsonl", "a\r\nb\n\nc\rd\n", "a|b|c\rd|"},
    {"a.jsonl", "\xEF\xBB\xBF{}\n{}", "{}|{}|"},
    {"a.jsonl", "\"a\nb\"\n", "\"a|b\"|"},
    {"a.jsonl", "a\r\r\n", "a\r|"},
    {"a.csv", "h\na\nb", "h#a|b|"},
    {"a.CSV", "h\r\na\r\n", "h#a|"},
    {"a.csv", "\xEF\xBB\xBFh,i\n\"a\nb\",c\n", "h,i#\"a\nb\",c|"},
    {"a.csv", "\"h\nh\"\n\"a\"\"\nb\"\nx\"y\nz\n", "\"h\nh\"#\"a\"\"\nb\"|x\"y|z|"},
    {"a.csv", "h\n\"a,\n", "h#\"a,|"},
    {"a.csv", "\n\nh\n\n\na\n", "h#a|"},
    {"a.csv", "h,i\na,\"b\"\n,\n", "h,i#a,\"b\"|,|"},
    {"a.tsv", "h\ti\n\"a\tb\nc\t\"\n", "h\ti#\"a\tb|c\t\"|"},
};

static void test_cuts(void **state)
{
    (void)state;
    liz_buf out;
    liz_buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        liz_hash first = {0}, hash;
        for (read_max = 1; read_max < 9; read_max++) {
            cut_all(cuts[i].path, cuts[i].text, strlen(cuts[i].text), &out, &hash);
            if (strcmp(out.data ? out.data : "", cuts[i].records) != 0)
                fail_msg("case %zu, reads of %zu: %s", i, read_max, out.data);
            if (read_max > 1)
                assert_true(liz_hash_eq(hash, first));
            first = hash;
        }
    }
    read_max = SIZE_MAX;
    liz_buf_free(&out);
}

static void test_hash(void **state)
{
    (void)state;
    liz_buf out;
    liz_hash a, b;
    liz_buf_init(&out, 1 << 16);
    cut_all("a.jsonl", "x\ny\n", 4, &out, &a);
    cut_all("a.jsonl", "x\r\n\r\ny", 6, &out, &b);
    assert_true(liz_hash_eq(a, b)); /* line ends do not count */
    static const char *const others[] = {"y\nx\n", "xy\n", "x\ny\nz\n", "x \ny\n", "x\n", "x\n,y"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cut_all("a.jsonl", others[i], strlen(others[i]), &out, &b);
        assert_false(liz_hash_eq(a, b));
    }
    cut_all("a.csv", "h\nx\n", 4, &out, &a);
    cut_all("a.csv", "i\nx\n", 4, &out, &b);
    assert_false(liz_hash_eq(a, b)); /* the header counts */
    liz_buf_free(&out);
}

/* A record of 70 MiB costs its row and not those beside it, and its end counts in the hash. */
static void test_too_large(void **state)
{
    (void)state;
    size_t n = (size_t)70 << 20;
    char *text = malloc(n);
    liz_hash hash[2];
    for (int i = 0; i < 2; i++) {
        liz_line_input *in;
        liz_line_cut cut;
        bool got;
        memset(text, 'x', n);
        text[1] = text[n - 3 - (size_t)i] = '\n';
        lab_put("big.jsonl", text, n);
        assert_int_equal(liz_line_input_open(&in, liz_files_system(), "big.jsonl", LIZ_LINE_INPUT_GUESS, NULL, NULL),
                         LIZ_OK);
        assert_true(liz_line_input_next(in, &cut, &got, NULL) == LIZ_OK && got && cut.text.n == 1 && !cut.too_large);
        assert_true(liz_line_input_next(in, &cut, &got, NULL) == LIZ_OK && got && cut.too_large);
        hash[i] = liz_line_input_mark(in).hash;
        assert_true(liz_line_input_next(in, &cut, &got, NULL) == LIZ_OK && got && cut.text.n == 2 + (size_t)i);
        assert_true(liz_line_input_next(in, &cut, &got, NULL) == LIZ_OK && !got);
        liz_line_input_close(in);
    }
    assert_false(liz_hash_eq(hash[0], hash[1]));
    unlink("big.jsonl");
    free(text);
}

static void test_utf16(void **state)
{
    (void)state;
    liz_line_input *in;
    liz_error err;
    static const liz_str texts[] = {{"\xFF\xFE{\0}\0", 6}, {"\xFE\xFF\0{\0}", 6}, {"{\0}\0", 4}, {"\0{\0}", 4}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lab_put("a.jsonl", texts[i].p, texts[i].n);
        assert_int_equal(liz_line_input_open(&in, liz_files_system(), "a.jsonl", LIZ_LINE_INPUT_GUESS, NULL, &err),
                         LIZ_E_FORMAT);
        assert_non_null(strstr(err.text, "is UTF-16"));
    }
    lab_put("a.jsonl", "\0\0\0\0", 4); /* a broken row like any other */
    assert_int_equal(liz_line_input_open(&in, liz_files_system(), "a.jsonl", LIZ_LINE_INPUT_GUESS, NULL, &err), LIZ_OK);
    liz_line_input_close(in);
}

/* ---- Templates ---------------------------------------------------------------------------------- */

static void test_templates(void **state)
{
    (void)state;
    static const struct {
        const char *system, *prompt, *text; /* text NULL: refused */
    } cases[] = {
        {NULL, "", ""},
        {NULL, "plain", "plain"},
        {NULL, "{{a}}", "A"},
        {NULL, "x{{a}}y{{ b }}z", "xAy1.50z"},
        {NULL, "{{a}}{{a}}", "AA"},
        {"sys {{b}}", "p", "sys 1.50\n\np"},
        {NULL, "\\{{a}} {x} {{c d}}", "{{a}} {x} [1, {}]"},
        {NULL, "{\"k\":{\"v\":{{b}}}}", "{\"k\":{\"v\":1.50}}"},
        {NULL, "{{a", NULL},
        {NULL, "{{}}", NULL},
        {NULL, "{{  }}", NULL},
        {"{{", "{{a}}", NULL},
    };
    liz_arena arena = {.size_max = 1 << 24};
    liz_line_row row;
    liz_line_record record;
    liz_line_cut cut = {.text = liz_str_of("{\"a\":\"A\",\"b\":1.50,\"c d\":[1, {}]}")};
    liz_line_row_init(&row);
    assert_true(liz_line_record_read(&record, &cut, NULL, &arena, &row));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_line_template *template = NULL;
        liz_buf out;
        liz_buf_init(&out, 1 << 16);
        liz_status status = liz_line_template_compile(&template, cases[i].system, cases[i].prompt, NULL);
        assert_int_equal(status, cases[i].text ? LIZ_OK : LIZ_E_USAGE);
        if (status == LIZ_OK) {
            liz_line_prompter prompter = {.template = template};
            assert_int_equal(liz_line_prompt_text(&prompter, &record, &row, &out, NULL), LIZ_OK);
            liz_buf_puts(&out, "");
            assert_string_equal(out.data ? out.data : "", cases[i].text);
            liz_line_template_free(template);
        }
        liz_buf_free(&out);
    }
    liz_line_row_free(&row);
    liz_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts), cmocka_unit_test(test_hash),
                                       cmocka_unit_test(test_too_large), cmocka_unit_test(test_utf16),
                                       cmocka_unit_test(test_templates)};
    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
