/* test_summary.c - the numbers of the summary after a line, of a report that is made up. */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What the summary prints to standard error; a static text. */
static const char *summary_of(const liz_line_report *report, const cli_args *args)
{
    static char text[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    cli_summary_print(report, args);
    fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* 12 rows made in 30 seconds, after 8 of an earlier run. */
static liz_line_progress made_up(void)
{
    return (liz_line_progress){.n_rows = 20,
                               .n_rows_before = 8,
                               .n_made = 12,
                               .n_failed = 3,
                               .n_truncated = 2,
                               .n_prompt_tokens = 9000,
                               .n_reused_tokens = 4000,
                               .n_completion_tokens = 600,
                               .n_words_read = 6000,
                               .n_words_written = 450,
                               .elapsed_us = 30000000,
                               .joules = -1};
}

static void test_rates(void **state)
{
    (void)state;
    const cli_args args = {.price_kwh = 0.25};
    const liz_line_report report = {.progress = made_up()};
    assert_string_equal(summary_of(&report, &args),
                        "rows: 20 (8 of them from before), 3 failed, 2 shortened by --truncate\n"
                        "tokens: 9000 in (4000 of them saved by the prefix cache), 600 out\n"
                        "time: 30.0 s, 0.4 rows/s, 320 tokens/s\n"
                        "speed: 12000 words a minute read, 900 written (a person reads 250)\n");
}

/* 864 J for the 12 rows of this run are 72 J a row, so 72 MJ for a million: 20 kWh. */
static void test_cost(void **state)
{
    (void)state;
    cli_args args = {.price_kwh = 0.25};
    liz_line_report report = {.progress = made_up()};
    report.progress.joules = 864;
    assert_non_null(strstr(summary_of(&report, &args),
                           "energy: 864.0 J, 72.000 J a row; a million rows: 20.00 kWh, 5.00 at 0.25 a kWh\n"));
    args.line.watts = 28.8;
    assert_non_null(strstr(summary_of(&report, &args), "energy: 864.0 J (by --watts), 72.000 J a row;"));
}

static void test_choices(void **state)
{
    (void)state;
    static const char *const choices[] = {"no", "yes", "never"};
    liz_line_tally tally[] = {{3, 1.5}, {9, 8.1}, {0, 0}};
    const cli_args args = {.line = {.choices = choices, .n_choices = 3}};
    const liz_line_report report = {.progress = made_up(), .choices = tally};
    assert_non_null(strstr(summary_of(&report, &args), "choices:        9   75.0 %  mean probability 0.90  yes\n"
                                                       "                3   25.0 %  mean probability 0.50  no\n"));
}

/* Nothing was made: nothing is divided by it. */
static void test_nothing(void **state)
{
    (void)state;
    const cli_args args = {0};
    const liz_line_report report = {.progress = {.n_rows = 5, .n_rows_before = 5, .joules = 7, .elapsed_us = 1000}};
    assert_string_equal(summary_of(&report, &args), "rows: 5 (5 of them from before), 0 failed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
