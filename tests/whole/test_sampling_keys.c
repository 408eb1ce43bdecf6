/* test_sampling_keys.c - general.sampling.* of a model file, through the true engine: what each of them does is what
 * its option does, an option goes before it, and a value out of range is refused by file and key. */
#include "../lib/gguf_copy.h"
#include "../lib/temp_dir.h"
#include "base/buf.h"
#include "line/line.h"
#include "lizzie.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char dreams[] = "../shared/reference/models/aidreams-260k.gguf";

static void need(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    fprintf(stderr, "# SKIPPED: %s is not there\n", path);
    skip();
}

/* A key; a value that shows in the text, one as where nothing is said, one that no setting has; and where the option
 * puts what it says. */
typedef struct setting {
    const char *key;
    float value, off, bad;
    size_t at; /* in liz_sampling */
} setting;

#define AT(field) offsetof(liz_sampling, field)
#define KEY(name) "general.sampling." name

static const setting settings[] = {
    {KEY("temp"), 3, 0, 1e7f, AT(temperature)},
    {KEY("top_p"), 0.125f, 1, 2, AT(top_p)},
    {KEY("min_p"), 0.75f, 0, -1, AT(min_p)},
    {KEY("penalty_repeat"), 50, 1, 1000, AT(repeat_penalty)},
    {KEY("xtc_probability"), 1, 0, 2, AT(xtc_probability)},
    {KEY("xtc_threshold"), 0.0078125f, 0.1f, 0.75f, AT(xtc_threshold)},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static const char *stating(const char *key, float value)
{
    const char *path = temp_path("stating.gguf");
    const gguf_change changes[] = {{.key = key, .type = LIZ_GGUF_F32, .f32 = value}, {.key = NULL}};
    gguf_copy(dreams, path, (gguf_edit){.changes = changes});
    return path;
}

/* A few rows, drawn, with XTC where the setting is its threshold, and with what the option is given (NULL: nothing). */
static liz_line_opts opts_of(const char *model, const setting *about, const float *given)
{
    liz_line_opts o;
    liz_line_opts_init(&o);
    o.model_path = model;
    o.in_path = temp_path("in.jsonl");
    o.out_path = temp_path("out");
    o.prompt = "{{text}}";
    o.raw = true;
    o.max_tokens = 24;
    o.restart = true;
    o.engine.n_threads = 1;
    if (about->at != AT(temperature))
        o.sampling.temperature = 1;
    if (about->at == AT(xtc_threshold))
        o.sampling.xtc_probability = 1;
    if (given != NULL)
        memcpy((char *)&o.sampling + about->at, given, sizeof *given);
    return o;
}

/* The rows; free() them. */
static char *rows_of(const char *model, const setting *about, const float *given)
{
    liz_line_report report;
    liz_error err;
    liz_buf out = {.len_max = 1 << 20};
    const liz_line_opts o = opts_of(model, about, given);
    if (liz_line_run(&o, &report, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.outcome, LIZ_LINE_DONE);
    liz_line_report_free(&report);
    assert_int_equal(liz_file_read_whole(liz_files_system(), o.out_path, &out, NULL), LIZ_OK);
    return liz_buf_take(&out);
}

static void input_make(void)
{
    FILE *file = fopen(temp_path("in.jsonl"), "we");
    assert_non_null(file);
    fputs("{\"text\":\"Once upon a time\"}\n{\"text\":\"The cat\"}\n{\"text\":\"\"}\n{\"text\":\"She said\"}\n", file);
    assert_int_equal(fclose(file), 0);
}

static void test_read(void **state)
{
    (void)state;
    need(dreams);
    liz_engine *engine;
    liz_engine_info info;
    const char *path = temp_path("stating.gguf");
    gguf_change changes[N_SETTINGS + 2] = {{.key = KEY("top_k"), .type = LIZ_GGUF_U32, .u32 = 17}};
    for (size_t i = 0; i < N_SETTINGS; i++)
        changes[i + 1] = (gguf_change){.key = settings[i].key, .type = LIZ_GGUF_F32, .f32 = settings[i].value};
    gguf_copy(dreams, path, (gguf_edit){.changes = changes});
    assert_int_equal(liz_engine_open(&engine, path, NULL, NULL), LIZ_OK);
    liz_engine_info_get(engine, &info);
    const float got[N_SETTINGS] = {info.temperature,    info.top_p,           info.min_p,
                                   info.repeat_penalty, info.xtc_probability, info.xtc_threshold};
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (got[i] != settings[i].value)
            fail_msg("%s is %g", settings[i].key, (double)got[i]);
    assert_int_equal(info.top_k, 17);
    liz_engine_close(engine);

    assert_int_equal(liz_engine_open(&engine, dreams, NULL, NULL), LIZ_OK);
    liz_engine_info_get(engine, &info);
    assert_true(isnan(info.temperature) && isnan(info.xtc_threshold) && info.top_k == -1);
    liz_engine_close(engine);
}

static void test_effect(void **state)
{
    (void)state;
    need(dreams);
    input_make();
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const setting *s = &settings[i];
        char *plain = rows_of(dreams, s, NULL), *asked = rows_of(dreams, s, &s->value);
        char *stated = rows_of(stating(s->key, s->value), s, NULL);
        char *over = rows_of(temp_path("stating.gguf"), s, &s->off);
        if (strcmp(plain, asked) == 0)
            fail_msg("%s: %g changes nothing", s->key, (double)s->value);
        if (strcmp(stated, asked) != 0)
            fail_msg("%s: the file's %g is not what the option says:\n%s\n%s", s->key, (double)s->value, stated, asked);
        if (strcmp(over, plain) != 0)
            fail_msg("%s: the option does not go before the file:\n%s\n%s", s->key, over, plain);
        free(plain);
        free(asked);
        free(stated);
        free(over);
    }
}

static void test_top_k(void **state)
{
    (void)state;
    need(dreams);
    input_make();
    const setting k = {KEY("top_k"), 1, 0, 0, AT(top_k)};
    const gguf_change changes[] = {{.key = k.key, .type = LIZ_GGUF_U32, .u32 = 1}, {.key = NULL}};
    gguf_copy(dreams, temp_path("stating.gguf"), (gguf_edit){.changes = changes});
    const int32_t all = 0;
    float bits;
    memcpy(&bits, &all, sizeof bits);
    char *plain = rows_of(dreams, &k, NULL), *stated = rows_of(temp_path("stating.gguf"), &k, NULL);
    char *over = rows_of(temp_path("stating.gguf"), &k, &bits);
    const setting heat = {KEY("temp"), 0, 0, 0, AT(temperature)};
    char *greedy = rows_of(dreams, &heat, &heat.value);
    assert_string_equal(stated, greedy);
    assert_string_not_equal(stated, plain);
    assert_string_equal(over, plain);
    free(plain);
    free(stated);
    free(over);
    free(greedy);
}

/* The file is at fault, not the command; with the option it runs. */
static void test_refused(void **state)
{
    (void)state;
    need(dreams);
    input_make();
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const setting *s = &settings[i];
        char wanted[512];
        liz_line_report report;
        liz_error err;
        const char *path = stating(s->key, s->bad);
        const liz_line_opts o = opts_of(path, s, NULL);
        snprintf(wanted, sizeof wanted, "%s: %s is %g: it must be ", path, s->key, (double)s->bad);
        liz_status status = liz_line_run(&o, &report, &err);
        if (status != LIZ_E_FORMAT || strncmp(err.text, wanted, strlen(wanted)) != 0)
            fail_msg("%d: %s, expected %s", status, status != LIZ_OK ? err.text : "", wanted);
        free(rows_of(path, s, &s->value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_effect),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
