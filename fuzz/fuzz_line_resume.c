/* fuzz_line_resume.c - what a line finds when it begins: an input is OUT, its side file and OUT.retry, between lines
 * "====". The line runs on the fake engine; it goes on, begins anew or refuses.
 *
 * So that inputs come far without knowing today's hashes, a byte 1 stands for the genuine OUT of the job, 2 for its
 * side file when finished and 3 for it half way. Where the line says that all is done, every line of OUT is the row of
 * its place; where nothing of OUT was there to be kept, OUT is the undisturbed one. */
#include "fuzz.h"
#include "line/line.h"
#include "line/line_row.h"

#include <string.h>
#include <unistd.h>

enum { N_ROWS = 6, N_HALF = 3 };

static char folder[] = "/dev/shm/lizzie-fuzz-XXXXXX";
static liz_buf genuine[4]; /* by the byte that stands for it */

/* A file of the folder; a static text that lives until eight further calls. */
static const char *in_folder(const char *name)
{
    static char paths[8][64];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, liz_str text, bool expand)
{
    const char *path = in_folder(name);
    liz_buf buf;
    liz_buf_init(&buf, 1 << 26);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (expand && c >= 1 && c <= 3)
            liz_buf_append_str(&buf, liz_buf_str(&genuine[c]));
        else
            liz_buf_putc(&buf, (char)c);
    }
    unlink(path);
    FILE *file = buf.len > 0 ? fopen(path, "we") : NULL;
    if (file != NULL) {
        FUZZ_CHECK(fwrite(buf.data, 1, buf.len, file) == buf.len);
        fclose(file);
    }
    liz_buf_free(&buf);
}

static void get(liz_buf *buf, const char *name)
{
    liz_buf_init(buf, 1 << 26);
    FUZZ_CHECK(liz_file_read_whole(liz_files_system(), in_folder(name), buf, NULL) == LIZ_OK);
}

static bool run(bool retry, uint64_t limit, liz_line_report *report)
{
    liz_line_opts opts;
    liz_error err = {0};
    liz_line_opts_init(&opts);
    opts.model_path = in_folder("model");
    opts.in_path = in_folder("in.jsonl");
    opts.out_path = in_folder("out");
    opts.prompt = "Say {{t}}";
    opts.max_tokens = 4;
    opts.retry_failed = retry;
    opts.limit = limit;
    liz_status status = liz_line_run(&opts, report, &err);
    FUZZ_CHECK(status == LIZ_OK || (err.code == status && err.text[0] != '\0'));
    liz_line_report_free(report);
    return status == LIZ_OK;
}

static void remove_folder(void)
{
    static const char *const names[] = {"out", "out.lizzie", "out.lizzie.tmp", "out.retry", "in.jsonl", "model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    rmdir(folder);
    for (int i = 1; i <= 3; i++)
        liz_buf_free(&genuine[i]);
}

static void prepare(void)
{
    static const char rows[] = "{\"t\":\"a\"}\n{\"t\":\"b\"}\n{}\n{\"t\":\"d\"}\n[\n{\"t\":\"f\"}\n";
    liz_line_report report;
    FUZZ_CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    put("model", liz_str_of("ctx=64\n"), false);
    put("in.jsonl", liz_str_of(rows), false);
    FUZZ_CHECK(run(false, N_HALF, &report) && report.outcome == LIZ_LINE_LIMITED);
    get(&genuine[3], "out.lizzie");
    FUZZ_CHECK(run(false, 0, &report) && report.outcome == LIZ_LINE_DONE);
    get(&genuine[1], "out");
    get(&genuine[2], "out.lizzie");
}

static void check_rows(const liz_buf *out)
{
    const char *p = out->data;
    for (uint64_t i = 0; i < N_ROWS; i++) {
        const char *end = memchr(p, '\n', out->len - (size_t)(p - out->data));
        FUZZ_CHECK(end != NULL && liz_line_row_matches((liz_str){p, (size_t)(end - p)}, LIZ_LINE_FORM_PLAIN, i));
        p = end + 1;
    }
    FUZZ_CHECK(p == out->data + out->len);
}

static void check_run(bool retry, liz_str out, liz_str side, liz_str again)
{
    liz_line_report report;
    liz_buf got;
    put("out", out, true);
    put("out.lizzie", side, true);
    put("out.retry", again, true);
    unlink(in_folder("out.lizzie.tmp"));
    if (!run(retry, 0, &report))
        return;
    get(&got, "out");
    if (!retry)
        check_rows(&got);
    if (!retry && report.progress.n_rows_before == 0)
        FUZZ_CHECK(liz_str_eq(liz_buf_str(&got), liz_buf_str(&genuine[1])));
    liz_buf_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (genuine[1].data == NULL)
        prepare();
    liz_str rest = fuzz_text(data, size);
    liz_str out = fuzz_part(&rest), side = fuzz_part(&rest), again = fuzz_part(&rest);
    check_run(false, out, side, again);
    check_run(true, out, side, again);
    return 0;
}
