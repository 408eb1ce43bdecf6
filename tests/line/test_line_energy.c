/* test_line_energy.c - joules of a job and of its rows: pots and shares, a made-up powercap tree whose counter wraps, a
 * whole line on the fake engine. */
#include "base/json.h"
#include "line/line_energy.h"
#include "line_lab.h"

static void zone(const char *folder, const char *name, uint64_t uj)
{
    char path[128], text[64];
    snprintf(path, sizeof path, "rapl/%s", folder);
    mkdir("rapl", 0700);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "rapl/%s/name", folder);
    lab_puts(path, name);
    snprintf(path, sizeof path, "rapl/%s/max_energy_range_uj", folder);
    lab_puts(path, "100000000");
    snprintf(path, sizeof path, "rapl/%s/energy_uj", folder);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)uj);
    lab_puts(path, text);
}

static void assert_near(double got, double wanted)
{
    if (fabs(got - wanted) > 1e-6)
        fail_msg("%.9f, expected %.9f", got, wanted);
}

/* 60 tokens and 6 joules, then 40 and 2: shares by tokens of what is in the pot, and nothing is left at the end. */
static void test_shares(void **state)
{
    (void)state;
    liz_line_energy energy;
    zone("intel-rapl:0", "package-0", 95000000);
    zone("intel-rapl:1", "package-1", 0);
    setenv("LIZZIE_POWERCAP", "rapl", 1);
    liz_line_energy_open(&energy, 0);
    unsetenv("LIZZIE_POWERCAP");
    assert_true(energy.known);
    zone("intel-rapl:1", "package-1", 6000000);
    assert_near(liz_line_energy_read_j(&energy), 6);
    energy.read_us = UINT64_MAX / 2; /* so that sharing does not read by itself */
    assert_near(liz_line_energy_share_j(&energy, 20, 60), 2);
    assert_near(liz_line_energy_share_j(&energy, 0, 60), 0); /* an error row */
    zone("intel-rapl:0", "package-0", 96000000);
    zone("intel-rapl:1", "package-1", 7000000);
    assert_near(liz_line_energy_read_j(&energy), 8);
    assert_near(liz_line_energy_share_j(&energy, 40, 100), 3);
    zone("intel-rapl:0", "package-0", 0); /* the counter went round: 4 joules more */
    liz_line_energy_read_j(&energy);
    assert_near(liz_line_energy_share_j(&energy, 40, 100), 7);
    assert_near(energy.used_j, 12);
    assert_near(energy.pot_j, 0);
    assert_near(liz_line_energy_share_j(&energy, 5, 100), 0); /* more than was computed is not charged */
}

static void test_unknown(void **state)
{
    (void)state;
    liz_line_energy energy;
    setenv("LIZZIE_POWERCAP", "no-such-folder", 1);
    liz_line_energy_open(&energy, 0);
    assert_true(liz_line_energy_read_j(&energy) < 0 && liz_line_energy_share_j(&energy, 1, 1) < 0);
    liz_line_energy_open(&energy, 50);
    usleep(20000);
    assert_true(liz_line_energy_read_j(&energy) >= 1);
    unsetenv("LIZZIE_POWERCAP");
}

/* The sum of a member over all lines of --stats; below 0 where a line lacks it. */
static double stats_sum(const char *key, size_t *n_lines)
{
    liz_buf stats = lab_get("stats");
    double sum = 0;
    *n_lines = 0;
    for (char *at = stats.data, *end; *at != '\0' && (end = strchr(at, '\n')) != NULL; at = end + 1, ++*n_lines) {
        liz_arena arena = {.size_max = 1 << 20};
        liz_json *json;
        double value = -1e9;
        assert_int_equal(liz_json_read(&json, (liz_str){at, (size_t)(end - at)}, &arena, NULL), LIZ_OK);
        const liz_json *member = liz_json_member(json, key);
        if (member != NULL)
            assert_true(liz_json_double(member, &value));
        sum += value;
        liz_arena_free(&arena);
    }
    liz_buf_free(&stats);
    return sum;
}

/* The counter climbs by 30 joules at each report of progress, past its range. */
static void climb(void *user, const liz_line_progress *progress)
{
    uint64_t *uj = user;
    (void)progress;
    *uj = (*uj + 30000000) % 100000000;
    zone("intel-rapl:0", "package-0", *uj);
}

static void test_line(void **state)
{
    (void)state;
    uint64_t uj = 80000000;
    size_t n;
    liz_line_report report;
    lab_make_input("in.jsonl", 300, true);
    lab_puts("model", "step_us=3000\n");
    zone("intel-rapl:0", "package-0", uj);
    zone("intel-rapl:1", "package-1", 7);
    setenv("LIZZIE_POWERCAP", "rapl", 1);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.stats_path = "stats";
    opts.engine.n_parallel = 4;
    opts.on_progress = climb;
    opts.user = &uj;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    double shared = stats_sum("joules", &n);
    assert_int_equal(n, 300);
    /* Whole climbs; what came after the last row was written is nobody's. */
    assert_true(report.progress.joules >= 30 && fabs(fmod(report.progress.joules + 1, 30) - 1) < 1e-3);
    assert_true(shared > 0 && shared <= report.progress.joules + 1e-3);
    assert_true(shared >= report.progress.joules - 60.001);
    assert_true(report.progress.n_words_read >= 300 && report.progress.n_words_written >= 300);

    lab_remove_out("out");
    unlink("stats");
    unlink("rapl/intel-rapl:0/energy_uj"); /* cannot be read: no row has joules */
    unlink("rapl/intel-rapl:1/energy_uj");
    opts.on_progress = NULL;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_true(report.progress.joules < 0 && stats_sum("joules", &n) < -1e9 && n == 300);
    assert_true(stats_sum("prompt_tokens_reused", &n) > 0 && stats_sum("queue_us", &n) >= 0);

    lab_remove_out("out");
    unlink("stats");
    opts.watts = 100;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    double wanted = 100 * (double)report.progress.elapsed_us * 1e-6;
    shared = stats_sum("joules", &n);
    assert_true(fabs(report.progress.joules - wanted) < 0.05 * wanted);
    assert_true(shared > 0.5 * wanted && shared <= report.progress.joules + 1e-3);
    unsetenv("LIZZIE_POWERCAP");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
