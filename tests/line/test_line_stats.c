/* test_line_stats.c - the numbers of --stats and of the report, against the texts in OUT and the times that the fake
 * engine tells: 5 us in the queue, 100 us for each token that it computed of a prompt, 1000 us for each that it made.
 */
#include "base/json.h"
#include "line_lab.h"

enum { N_ROWS = 40 };

/* Line `i` of a file; tree and text are in the arena. */
static const liz_json *line_of(const char *path, size_t i, liz_arena *arena)
{
    liz_buf text = lab_get(path);
    liz_json *json;
    const char *line = text.data;
    for (; i > 0; i--)
        line = strchr(line, '\n') + 1;
    size_t n = strcspn(line, "\n");
    const char *copy = liz_arena_strdup(arena, line, n);
    assert_int_equal(liz_json_read(&json, (liz_str){copy, n}, arena, NULL), LIZ_OK);
    liz_buf_free(&text);
    return json;
}

static size_t number(const liz_json *object, const char *key)
{
    double value = 0;
    const liz_json *member = liz_json_member(object, key);
    if (member == NULL || !liz_json_double(member, &value))
        fail_msg("no number %s in %.*s", key, LIZ_STR_ARG(object->source));
    return (size_t)value;
}

static void check_row(const liz_json *stats, const liz_json *row, size_t n_completions, liz_line_progress *sum)
{
    size_t n_prompt = number(stats, "prompt_tokens"), n_reused = number(stats, "prompt_tokens_reused");
    size_t n_made = number(stats, "completion_tokens");
    assert_int_equal(number(stats, "index"), number(row, "index"));
    assert_int_equal(number(stats, "queue_us"), 5 * n_completions);
    assert_int_equal(number(stats, "prefill_us"), 100 * (n_completions * n_prompt - n_reused));
    assert_int_equal(number(stats, "decode_us"), 1000 * n_made);
    sum->n_reused_tokens += n_reused;
    if (liz_json_member(row, "error") != NULL) {
        assert_non_null(liz_json_member(stats, "error"));
        return;
    }
    assert_null(liz_json_member(stats, "error"));
    assert_int_equal(n_prompt, number(row, "prompt_tokens"));
    assert_int_equal(n_made, number(row, "completion_tokens"));
    sum->n_prompt_tokens += n_completions * n_prompt; /* each read it, most of it in the prefix cache */
    sum->n_completion_tokens += n_made;
}

static void check_line(int32_t n_completions, bool cache_off)
{
    liz_line_report report;
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.stats_path = "stats";
    opts.n_completions = n_completions;
    opts.sampling.temperature = 1;
    opts.engine.prefix_cache_off = cache_off;
    lab_remove_out("out");
    unlink("stats");
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("stats"), N_ROWS);
    liz_line_progress sum = {0};
    for (size_t i = 0; i < N_ROWS; i++) {
        liz_arena arena = {.size_max = 1 << 24};
        check_row(line_of("stats", i, &arena), line_of("out", i, &arena), (size_t)n_completions, &sum);
        liz_arena_free(&arena);
    }
    assert_int_equal(report.progress.n_made, N_ROWS);
    assert_int_equal(report.progress.n_prompt_tokens, sum.n_prompt_tokens);
    assert_int_equal(report.progress.n_completion_tokens, sum.n_completion_tokens);
    assert_int_equal(report.progress.n_reused_tokens, sum.n_reused_tokens);
    assert_true(sum.n_completion_tokens > 2 * N_ROWS && (sum.n_reused_tokens == 0) == cache_off);
}

static void test_rows(void **state)
{
    (void)state;
    lab_puts("model", "");
    lab_make_input("in.jsonl", N_ROWS, false);
    check_line(1, false);
    check_line(1, true);
    check_line(3, false);
}

/* A record that cannot be read asked the engine for nothing. */
static void test_error_rows(void **state)
{
    (void)state;
    liz_arena arena = {.size_max = 1 << 20};
    lab_puts("model", "");
    lab_make_input("in.jsonl", N_ROWS, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.stats_path = "stats";
    lab_remove_out("out");
    unlink("stats");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    const liz_json *stats = line_of("stats", 3, &arena);
    assert_non_null(liz_json_member(stats, "error"));
    static const char *const keys[] = {"queue_us",      "prefill_us",           "decode_us",
                                       "prompt_tokens", "prompt_tokens_reused", "completion_tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(number(stats, keys[i]), 0);
    liz_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_error_rows),
    };
    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
