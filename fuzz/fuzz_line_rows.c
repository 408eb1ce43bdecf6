/* fuzz_line_rows.c - the line's input: the bytes are read as JSONL (OpenAI requests too), as CSV and as TSV.
 *
 * Of every record: it becomes fields or an error row; what a field gives as JSON is JSON; and the line of OUT that it
 * ends as is one line of JSON which a resume knows again. */
#include "fuzz.h"
#include "line/line_request.h"

#include "sys/files.h"

#include <string.h>
#include <unistd.h>

static int memory_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user, (void)path, (void)flags, (void)mode;
    return fuzz_file_fd();
}

static void check_json(const liz_buf *text)
{
    liz_arena arena = {.size_max = 1 << 28};
    liz_json *json;
    FUZZ_CHECK(liz_json_read(&json, liz_buf_str(text), &arena, NULL) == LIZ_OK);
    liz_arena_free(&arena);
}

static void check_fields(const liz_line_record *record)
{
    liz_buf json, names;
    liz_buf_init(&json, 1 << 28);
    liz_buf_init(&names, 100);
    liz_line_record_names(record, &names);
    static const char *const fields[] = {"text", "id", "prompt", "\xC3\xA9", ""};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        liz_str text;
        liz_buf_clear(&json);
        bool there = liz_line_record_text(record, fields[i], &text);
        FUZZ_CHECK(liz_line_record_json(record, fields[i], &json) == there);
        if (there)
            check_json(&json);
    }
    liz_buf_free(&json);
    liz_buf_free(&names);
}

static void check_out(liz_line_row *row, liz_line_form form)
{
    liz_buf out;
    liz_buf_init(&out, 1 << 28);
    liz_line_row_write(row, form, NULL, &out);
    FUZZ_CHECK(!liz_buf_failed(&out) && memchr(out.data, '\n', out.len) == out.data + out.len - 1);
    check_json(&out);
    FUZZ_CHECK(liz_line_row_matches((liz_str){out.data, out.len - 1}, form, row->index));
    bool is_error;
    FUZZ_CHECK(liz_line_row_is_error((liz_str){out.data, out.len - 1}, &is_error, NULL) == LIZ_OK);
    FUZZ_CHECK(is_error == (row->error_code != NULL));
    liz_buf_free(&out);
}

static void read_record(const liz_line_cut *cut, const liz_line_header *header)
{
    static liz_line_ask ask;
    liz_arena arena = {.size_max = 1 << 26};
    liz_line_record record;
    liz_line_row row;
    liz_line_form form = LIZ_LINE_FORM_PLAIN;
    memset(&ask, 0, sizeof ask);
    liz_line_row_init(&row);
    liz_line_row_reset(&row);
    row.index = cut->index;
    if (liz_line_record_read(&record, cut, header, &arena, &row)) {
        check_fields(&record);
        if (header == NULL && liz_line_openai_is(&record)) {
            form = LIZ_LINE_FORM_OPENAI;
            bool read = liz_line_openai_read(&record, &arena, &row, &ask);
            FUZZ_CHECK(read == (row.error_code == NULL));
        } else {
            liz_line_record_json(&record, "id", &row.id);
        }
    }
    check_out(&row, form);
    liz_line_row_free(&row);
    liz_arena_free(&arena);
}

static void read_rows(const liz_files *files, const char *name)
{
    liz_line_input *in = NULL;
    liz_line_header header = {0};
    liz_line_cut cut;
    bool got = true;
    uint64_t n = 0, consumed, total;
    liz_status status = liz_line_input_open(&in, files, name, LIZ_LINE_INPUT_GUESS, NULL, NULL);
    bool has_header = status == LIZ_OK && liz_line_input_separator(in) != 0;
    if (has_header && liz_line_input_header(in).n > 0)
        status = liz_line_header_read(&header, in, name, NULL);
    bool goes_on = status == LIZ_OK && (!has_header || header.n_names > 0);
    while (goes_on && got) {
        status = liz_line_input_next(in, &cut, &got, NULL);
        if (status != LIZ_OK || !got)
            break;
        FUZZ_CHECK(cut.index == n++ && liz_line_input_mark(in).n == n);
        read_record(&cut, has_header ? &header : NULL);
        liz_line_input_bytes(in, &consumed, &total);
        FUZZ_CHECK(consumed <= total);
    }
    liz_line_header_free(&header);
    liz_line_input_close(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liz_files files = *liz_files_system();
    files.open = memory_open;
    fuzz_file(data, size, 0);
    read_rows(&files, "in.jsonl");
    read_rows(&files, "in.csv");
    read_rows(&files, "in.tsv");
    return 0;
}
