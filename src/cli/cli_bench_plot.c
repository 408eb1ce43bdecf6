/* cli_bench_plot.c - tokens a second over sequences together, as a curve, beside another program's. */
#include "base/chart.h"
#include "cli/cli_bench.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>

enum { COUNT_MAX = 1 << 20 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cli_bench_median(const double *values, int n)
{
    double sorted[CLI_BENCH_ROUNDS_MAX];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

static void curve_add(cli_bench_curve *c, int count, const double *values, int n_values)
{
    int at = c->n;
    if (c->n == CLI_BENCH_COUNTS_MAX || n_values < 1)
        return;
    for (; at > 0 && c->counts[at - 1] > count; at--) {
        c->counts[at] = c->counts[at - 1];
        c->tok_s[at] = c->tok_s[at - 1];
    }
    c->counts[at] = count;
    c->tok_s[at] = cli_bench_median(values, n_values);
    c->n++;
}

/* N of "decode N"; 0: it is another figure. */
static int count_of(liz_str key)
{
    static const char decode[] = "decode ";
    int n = 0;
    if (!liz_str_starts(key, decode))
        return 0;
    for (size_t i = sizeof decode - 1; i < key.n; i++)
        if (key.p[i] >= '0' && key.p[i] <= '9' && n < COUNT_MAX)
            n = 10 * n + (key.p[i] - '0');
        else
            return 0;
    return n;
}

/* The figures "decode N" of a file like `bench --json` writes. */
liz_status cli_bench_curve_read(cli_bench_curve *c, const char *path, liz_error *err)
{
    liz_buf text = {.len_max = 16u << 20};
    liz_arena arena = {.size_max = (size_t)64 << 20};
    liz_json *json = NULL;
    liz_status status = liz_file_read_whole(liz_files_system(), path, &text, err);
    if (status == LIZ_OK && liz_json_read(&json, liz_buf_str(&text), &arena, err) != LIZ_OK)
        status = liz_fail_within(err, LIZ_E_FORMAT, "%s", path);
    const liz_json *figures = status == LIZ_OK ? liz_json_member(json, "figures") : NULL;
    for (const liz_json *f = figures != NULL ? figures->first_child : NULL; f != NULL; f = f->next) {
        const liz_json *list = liz_json_member(f, "values");
        double values[CLI_BENCH_ROUNDS_MAX];
        int count = count_of(f->key), n = 0;
        if (list == NULL || count == 0)
            continue;
        for (const liz_json *v = list->first_child; v != NULL && n < CLI_BENCH_ROUNDS_MAX; v = v->next)
            n += liz_json_double(v, &values[n]) && isfinite(values[n]) && values[n] >= 0;
        curve_add(c, count, values, n);
    }
    if (status == LIZ_OK && c->n == 0)
        status = liz_fail(err, LIZ_E_FORMAT, "%s: has no figures \"decode N\": name what bench --json wrote", path);
    liz_arena_free(&arena);
    liz_buf_free(&text);
    return status;
}

static void draw(const liz_chart *chart, const cli_bench_curve *c, liz_chart_line line)
{
    liz_chart_line_begin(chart, line);
    for (int i = 0; i < c->n; i++)
        liz_chart_point(chart, c->counts[i], c->tok_s[i]);
    liz_chart_line_end(chart);
}

liz_status cli_bench_plot(const cli_args *args, const cli_bench_times *times, liz_error *err)
{
    const cli_bench_args *set = &args->bench;
    cli_bench_curve ours = {0};
    const cli_bench_curve *theirs = &times->beside;
    for (int i = 0; i < set->n_counts; i++)
        curve_add(&ours, set->counts[i], times->decode_tok_s[i], set->n_rounds);
    liz_buf out = {.len_max = 1u << 20};
    liz_chart chart = {.out = &out, .x_max = 1, .y_max = 1e-9};
    const cli_bench_curve *both[] = {&ours, theirs};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < both[k]->n; i++) {
            chart.x_max = fmax(chart.x_max, both[k]->counts[i]);
            chart.y_max = fmax(chart.y_max, 1.05 * both[k]->tok_s[i]);
        }
    liz_chart_begin(&chart,
                    theirs->n > 0 ? "tokens a second, all sequences: Lizzie (blue), the other (red)"
                                  : "tokens a second, all sequences",
                    "sequences together");
    draw(&chart, &ours, LIZ_CHART_BLUE);
    draw(&chart, theirs, LIZ_CHART_RED);
    liz_chart_end(&chart);
    liz_status status = liz_file_write_text(liz_files_system(), set->plot, O_TRUNC, &out, err);
    liz_buf_free(&out);
    return status;
}
