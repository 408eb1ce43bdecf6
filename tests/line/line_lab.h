/* line_lab.h - what tests of the whole line share: a folder of their own, files in it, a job on the fake engine. */
#ifndef LIZ_TESTS_LINE_LINE_LAB_H
#define LIZ_TESTS_LINE_LINE_LAB_H

#include "base/buf.h"
#include "base/status.h"
#include "line/line.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char lab_folder[64];

/* Group setup: a new folder, which is then the working directory. In memory where there is such a place. */
static inline int lab_open(void **state)
{
    (void)state;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(lab_folder, sizeof lab_folder, "%s/lizzie-line-XXXXXX", base);
    return mkdtemp(lab_folder) != NULL && chdir(lab_folder) == 0 ? 0 : -1;
}

static inline int lab_close(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", lab_folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static inline void lab_put(const char *path, const char *text, size_t n)
{
    text = text ? text : "";
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static inline void lab_puts(const char *path, const char *text) { lab_put(path, text, strlen(text)); }

/* The content of a file; empty where there is none. Owned by the caller. */
static inline liz_buf lab_get(const char *path)
{
    liz_buf buf;
    liz_buf_init(&buf, 1u << 30);
    if (access(path, F_OK) == 0)
        assert_int_equal(liz_file_read_whole(liz_files_system(), path, &buf, NULL), LIZ_OK);
    liz_buf_puts(&buf, "");
    return buf;
}

static inline void lab_assert_same(const char *a, const char *b)
{
    liz_buf x = lab_get(a), y = lab_get(b);
    if (!liz_str_eq(liz_buf_str(&x), liz_buf_str(&y)))
        fail_msg("%s (%zu bytes) and %s (%zu bytes) differ:\n%.2000s\n---\n%.2000s", a, x.len, b, y.len, x.data,
                 y.data);
    liz_buf_free(&x);
    liz_buf_free(&y);
}

static inline void lab_assert_text(const char *path, const char *text)
{
    liz_buf x = lab_get(path);
    assert_string_equal(x.data, text);
    liz_buf_free(&x);
}

static inline size_t lab_n_lines(const char *path)
{
    liz_buf x = lab_get(path);
    size_t n = 0;
    for (size_t i = 0; i < x.len; i++)
        n += x.data[i] == '\n';
    liz_buf_free(&x);
    return n;
}

static inline void lab_remove_out(const char *out)
{
    char path[256];
    unlink(out);
    snprintf(path, sizeof path, "%s.lizzie", out);
    unlink(path);
    snprintf(path, sizeof path, "%s.lizzie.tmp", out);
    unlink(path);
    snprintf(path, sizeof path, "%s.retry", out);
    unlink(path);
}

/* Options of a job "model in.jsonl -> out", prompt "Say: {{text}}", up to 12 tokens. */
static inline liz_line_opts lab_opts(const char *in, const char *out)
{
    liz_line_opts opts;
    liz_line_opts_init(&opts);
    opts.model_path = "model";
    opts.in_path = in;
    opts.out_path = out;
    opts.prompt = "Say: {{text}}";
    opts.max_tokens = 12;
    return opts;
}

/* Runs a job; the outcome is -1 when it failed, and `err` says why. */
static inline int lab_run(const liz_line_opts *opts, liz_line_report *report, liz_error *err)
{
    liz_line_report own;
    liz_error own_err;
    if (report == NULL)
        report = &own;
    if (err == NULL)
        err = &own_err;
    *err = (liz_error){0};
    liz_status status = liz_line_run(opts, report, err);
    liz_line_report_free(report);
    return status == LIZ_OK ? (int)report->outcome : -1;
}

static inline void lab_run_ok(const liz_line_opts *opts, liz_line_outcome outcome)
{
    liz_error err;
    int got = lab_run(opts, NULL, &err);
    if (got != (int)outcome)
        fail_msg("outcome %d, expected %d: %s", got, outcome, err.text);
}

static inline void lab_run_fails(const liz_line_opts *opts, liz_status code, const char *text)
{
    liz_error err;
    int got = lab_run(opts, NULL, &err);
    if (got != -1 || err.code != code || strstr(err.text, text) == NULL)
        fail_msg("outcome %d, %s: %s: expected %s: %s", got, liz_status_name(err.code), err.text, liz_status_name(code),
                 text);
}

/* `n` rows of {"id","text"}; every seventh is broken in one of several ways when `broken`. */
static inline void lab_make_input(const char *path, int n, bool broken)
{
    static const char *const bad[] = {"{\"id\":1}", "{\"text\":", "[1]", "{\"text\":\"\xFF\"}"};
    liz_buf buf;
    liz_buf_init(&buf, 1u << 30);
    for (int i = 0; i < n; i++) {
        if (broken && i % 7 == 3)
            liz_buf_printf(&buf, "%s\n", bad[i / 7 % 4]);
        else
            liz_buf_printf(&buf, "{\"id\":\"r%d\",\"text\":\"message %d\",\"n\":%d.50}\n", i, i * 31 % 97, i);
    }
    lab_put(path, buf.data, buf.len);
    liz_buf_free(&buf);
}

#endif
