/* test_line_around.c - what stands around OUT: text that others append to it, its permissions and links, the side file
 * after a mistake in the command, --stats, what a dry run and the report count. */
#include "line_lab.h"

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed)
        lab_puts("model", "ctx=64\n");
    return failed;
}

static int fresh(void **state)
{
    (void)state;
    const char *const paths[] = {"stats", "link", "real", "real.lizzie", "real.retry", "link.lizzie", "link.retry"};
    lab_remove_out("out");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        unlink(paths[i]);
    return 0;
}

static void append(const char *path, const char *text)
{
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- OUT ---------------------------------------------------------------------------------------- */

static void test_appended_by_others(void **state)
{
    (void)state;
    static const char *const texts[] = {"my own note\n", "my own", "{\"index\":9,\"text\":\"another\"}\n",
                                        "note",          "\n",     "{\"index\":2,\"text\":\"whole\"}\n"};
    lab_make_input("in.jsonl", 4, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    for (int limit = 0; limit <= 2; limit += 2)
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            lab_remove_out("out");
            opts.limit = (uint64_t)limit;
            lab_run_ok(&opts, limit ? LIZ_LINE_LIMITED : LIZ_LINE_DONE);
            append("out", texts[i]);
            opts.limit = 0;
            lab_run_fails(&opts, LIZ_E_STATE, limit ? "out: line 3 is not the row" : "out: line 5 is not the row");
            liz_buf out = lab_get("out");
            assert_non_null(strstr(out.data, texts[i])); /* and nothing is lost */
            liz_buf_free(&out);
        }
}

/* --limit that the input does not exceed finishes the job. */
static void test_limit_is_all(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 5, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.limit = 5;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    lab_run_ok(&opts, LIZ_LINE_NOTHING);
    lab_remove_out("out");
    opts.limit = 4;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    opts.n_shards = 2; /* of which the second has two rows, and a record of the first follows them */
    opts.shard = 1;
    opts.limit = 2;
    lab_remove_out("out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
}

/* What the engine would refuse in every row is told before OUT is there, and by a dry run. */
static void test_refused_before(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 2, false);
    const liz_logit_bias outside = {1 << 20, 1};
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    for (int dry = 0; dry < 2; dry++) {
        opts.dry_run = dry;
        opts.sampling.bias = &outside;
        opts.sampling.n_bias = 1;
        lab_run_fails(&opts, LIZ_E_USAGE, "the vocabulary ends at");
        opts.sampling.n_bias = 0;
        opts.sampling.temperature = 1e-9f;
        lab_run_fails(&opts, LIZ_E_USAGE, "temperature");
        opts.sampling.temperature = 0;
        opts.stop_tokens[0] = "999999";
        opts.n_stop_tokens = 1;
        lab_run_fails(&opts, LIZ_E_USAGE, "the vocabulary ends at");
        opts.n_stop_tokens = 0;
        assert_int_not_equal(access("out", F_OK), 0);
    }
    opts.dry_run = false;
    lab_run_ok(&opts, LIZ_LINE_DONE);
}

/* A refusal names all that differs, however long the values. */
static void test_all_differences(void **state)
{
    (void)state;
    char system[200];
    memset(system, 's', sizeof system - 1);
    system[sizeof system - 1] = '\0';
    lab_make_input("in.jsonl", 2, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.system = system;
    opts.seed = 5;
    lab_run_fails(&opts, LIZ_E_STATE, "), seed (was 0, is 5): use those");
    opts.prompt = "{{text}}";
    opts.max_tokens = 3;
    opts.n_keep = 1;
    opts.keep[0] = "n";
    lab_run_fails(&opts, LIZ_E_STATE, "with other settings: system, prompt, seed, max-tokens, keep: use those");
}

/* ---- --retry-failed ----------------------------------------------------------------------------- */

/* Six rows, of which one fails: its prompt is longer than the context. */
static liz_line_opts one_fails(const char *out)
{
    liz_buf in = {.len_max = 1 << 16};
    for (int i = 0; i < 6; i++)
        liz_buf_printf(&in, "{\"text\":\"%.*s\"}\n", i == 4 ? 70 : 3,
                       "0123456789012345678901234567890123456789012345678901234567890123456789");
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    return lab_opts("in.jsonl", out);
}

static void test_retry_beside(void **state)
{
    (void)state;
    struct stat st;
    liz_line_report report;
    liz_line_opts opts = one_fails("link");
    opts.stats_path = "stats";
    assert_int_equal(symlink("real", "link"), 0);
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("stats"), 6);
    assert_int_equal(chmod("real", 0600) + chmod("link.lizzie", 0600), 0);
    opts.retry_failed = true;
    opts.engine.n_ctx = 128;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_failed, 0);
    assert_int_equal(report.progress.n_rows, 6);
    assert_int_equal(report.progress.n_made, 1);
    assert_int_equal(lab_n_lines("stats"), 7); /* those of the rows that are kept are kept */
    assert_true(lstat("link", &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(stat("real", &st) == 0 && (st.st_mode & 0777) == 0600);
    assert_true(stat("link.lizzie", &st) == 0 && (st.st_mode & 0777) == 0600);
    assert_int_equal(lab_n_lines("real"), 6);
    rename("in.jsonl", "real.retry"); /* an input that the retry would be written over */
    opts.in_path = "real.retry";
    lab_run_fails(&opts, LIZ_E_USAGE, "real.retry: is IN and also a file that stands beside OUT");
}

/* ---- --stats ------------------------------------------------------------------------------------ */

/* A line that a full disk or a kill tore is cut off. */
static void test_torn_stats(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 6, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.stats_path = "stats";
    opts.limit = 3;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    append("stats", "{\"index\":3,\"queue_us\":30");
    opts.limit = 4;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    assert_int_equal(lab_n_lines("stats"), 4);
    lab_puts("stats", "{\"index\":0,\"queue_us\":30"); /* nothing but a torn line */
    opts.limit = 0;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("stats"), 2);
    liz_buf stats = lab_get("stats");
    assert_null(strstr(stats.data, "\"queue_us\":30{"));
    liz_buf_free(&stats);
}

/* Rows to a stream begin anew each time, and so do their stats. */
static void test_stats_of_streams(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 3, false);
    liz_line_opts opts = lab_opts("in.jsonl", "/dev/null");
    opts.stats_path = "stats";
    for (int i = 0; i < 2; i++) {
        lab_run_ok(&opts, LIZ_LINE_DONE);
        assert_int_equal(lab_n_lines("stats"), 3);
    }
    opts.retry_failed = true;
    lab_run_fails(&opts, LIZ_E_USAGE, "/dev/null: is no file");
}

/* Stats that cannot be written end the line before OUT has the rows, so that each row has its own in the end. */
static void test_full_stats(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 6, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.stats_path = "/dev/full";
    if (access("/dev/full", W_OK) != 0) {
        fprintf(stderr, "# SKIPPED: there is no /dev/full\n");
        skip();
    }
    lab_run_fails(&opts, LIZ_E_IO, "/dev/full: cannot be written");
    assert_int_equal(lab_n_lines("out"), 0);
    opts.stats_path = "stats";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("stats"), 6);
}

/* ---- Counting ----------------------------------------------------------------------------------- */

/* A dry run counts the error rows that a run would make, whatever makes them. */
static void test_dry_run_counts(void **state)
{
    (void)state;
    static const char *const choices[] = {"a choice that is far too long for a context of sixty-four tokens, so", "no"};
    static const char *const bodies[] = {"\"prompt\":[99999999]", "\"prompt\":\"a\",\"top_p\":5",
                                         "\"prompt\":\"a\",\"logit_bias\":{\"99999999\":1}",
                                         "\"prompt\":\"a\",\"stop_token_ids\":[99999999]", "\"prompt\":\"a\""};
    lab_puts("in.jsonl", "{\"text\":\"a\",\"k\":1}\n{\"text\":\"b\"}\n{\"text\":\"c\",\"k\":3}\n");
    unlink("openai.jsonl");
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char row[256];
        snprintf(row, sizeof row,
                 "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{%s}}\n", bodies[i]);
        append("openai.jsonl", row);
    }
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.n_keep = 1;
    opts.keep[0] = "k";
    for (int with_choices = 0; with_choices < 2; with_choices++) {
        liz_line_report report;
        liz_error err;
        char want[64];
        opts.choices = with_choices ? choices : NULL;
        opts.n_choices = with_choices ? 2 : 0;
        lab_remove_out("out");
        opts.dry_run = false;
        assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
        assert_int_equal(report.progress.n_failed, with_choices ? 3 : 1);
        snprintf(want, sizeof want, "error rows among the first 3: %d\n", with_choices ? 3 : 1);
        opts.dry_run = true;
        assert_int_equal(liz_line_run(&opts, &report, &err), LIZ_OK);
        if (strstr(report.plan.data, want) == NULL)
            fail_msg("no %s in\n%s", want, report.plan.data);
        liz_line_report_free(&report);
    }
    liz_line_report report;
    liz_error err;
    opts = lab_opts("openai.jsonl", "out");
    opts.prompt = NULL;
    lab_remove_out("out");
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_failed, 4);
    opts.dry_run = true;
    assert_int_equal(liz_line_run(&opts, &report, &err), LIZ_OK);
    assert_non_null(strstr(report.plan.data, "error rows among the first 5: 4\n"));
    liz_line_report_free(&report);
}

/* Words read are those of the prompts, not of fields that the prompt leaves out, nor of error rows. */
static void test_words_read(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"text\":\"two words\",\"more\":\"a b c d e f g h\"}\n{\"more\":\"a b c\"}\n");
    liz_line_report report;
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_failed, 1);
    assert_int_equal(report.progress.n_words_read, 3); /* Say: two words */
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_appended_by_others), TEST(test_limit_is_all), TEST(test_refused_before),   TEST(test_all_differences),
        TEST(test_retry_beside),       TEST(test_torn_stats),   TEST(test_stats_of_streams), TEST(test_full_stats),
        TEST(test_dry_run_counts),     TEST(test_words_read),
    };
    return cmocka_run_group_tests(tests, setup, lab_close);
}
