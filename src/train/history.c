/* history.c - the log's lines and the drawing of the curve. */
#include "train/history.h"

#include "base/chart.h"
#include "base/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 30, BINS = 400 };

liz_status liz_history_add(liz_history_list *history, const liz_point *point, liz_error *err)
{
    if (!liz_array_room(&history->v, &history->cap, history->n + 1, sizeof *history->v))
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the history of %zu steps", history->n + 1);
    history->v[history->n++] = *point;
    return LIZ_OK;
}

void liz_history_free(liz_history_list *history)
{
    free(history->v);
    *history = (liz_history_list){0};
}

/* ---- The log ---- */

static void put_line(liz_buf *out, const liz_point *p)
{
    liz_buf_printf(out, "{\"step\":%" PRIu64 ",\"tokens\":%" PRIu64, p->step, p->n_tokens);
    liz_json_put_float(out, "loss", (float)p->loss);
    liz_json_put_float(out, "rate", (float)p->rate);
    liz_json_put_float(out, "gradient_norm", (float)p->norm);
    if (!isnan(p->valid))
        liz_json_put_float(out, "valid_loss", (float)p->valid);
    liz_json_put_float(out, "seconds", (float)p->seconds);
    liz_json_put_float(out, "tokens_s", (float)p->tokens_s);
    liz_buf_puts(out, "}\n");
}

liz_status liz_history_log(const liz_history_list *history, bool last_only, const liz_files *files, const char *path,
                           liz_error *err)
{
    liz_buf text;
    liz_buf_init(&text, TEXT_MAX);
    for (size_t i = last_only ? history->n - 1 : 0; i < history->n; i++)
        put_line(&text, &history->v[i]);
    liz_status status = liz_file_write_text(files, path, last_only ? O_APPEND : O_TRUNC, &text, err);
    liz_buf_free(&text);
    return status;
}

/* ---- The curve ---- */

/* The frame leaves the steep beginning out: it ends at the loss that the first tenth comes down to. */
static liz_chart chart_of(const liz_history_list *h, double unit)
{
    liz_chart c = {.x_max = 1 / unit, .y_min = INFINITY};
    for (size_t i = 0; i < h->n; i++) {
        const liz_point *p = &h->v[i];
        c.x_max = fmax(c.x_max, (double)p->n_tokens / unit);
        c.y_min = fmin(c.y_min, isnan(p->valid) ? p->loss : fmin(p->loss, p->valid));
        if (i >= h->n / 10)
            c.y_max = fmax(c.y_max, p->loss);
    }
    if (!(c.y_min < c.y_max))
        c = (liz_chart){.x_max = c.x_max, .y_max = fmax(c.y_max, 1)};
    c.y_min = floor(c.y_min * 10) / 10;
    c.y_max = ceil(c.y_max * 10) / 10;
    return c;
}

/* The training loss as means of up to 400 bins of steps. */
static void draw_training(const liz_chart *c, const liz_history_list *h, double unit)
{
    size_t n_bins = h->n < BINS ? h->n : BINS;
    liz_chart_line_begin(c, LIZ_CHART_BLUE);
    for (size_t bin = 0; bin < n_bins; bin++) {
        size_t first = bin * h->n / n_bins, end = (bin + 1) * h->n / n_bins;
        double sum = 0;
        for (size_t i = first; i < end; i++)
            sum += h->v[i].loss;
        liz_chart_point(c, (double)h->v[end - 1].n_tokens / unit, sum / (double)(end - first));
    }
    liz_chart_line_end(c);
}

static void draw_validation(const liz_chart *c, const liz_history_list *h, double unit)
{
    liz_chart_line_begin(c, LIZ_CHART_RED);
    for (size_t i = 0; i < h->n; i++)
        if (!isnan(h->v[i].valid))
            liz_chart_point(c, (double)h->v[i].n_tokens / unit, h->v[i].valid);
    liz_chart_line_end(c);
}

static double last_valid(const liz_history_list *h)
{
    for (size_t i = h->n; i > 0; i--)
        if (!isnan(h->v[i - 1].valid))
            return h->v[i - 1].valid;
    return NAN;
}

liz_status liz_history_plot(const liz_history_list *h, const liz_files *files, const char *path, liz_error *err)
{
    liz_buf out;
    char title[128] = "loss a token, nats: training (blue)";
    double valid = last_valid(h), unit = h->n > 0 && h->v[h->n - 1].n_tokens >= 1000000 ? 1e6 : 1;
    liz_chart c = chart_of(h, unit);
    liz_buf_init(&out, TEXT_MAX);
    c.out = &out;
    if (!isnan(valid))
        snprintf(title + strlen(title), 64, " and validation (red), last %.4f", valid);
    liz_chart_begin(&c, title, unit > 1 ? "million tokens" : "tokens");
    draw_training(&c, h, unit);
    draw_validation(&c, h, unit);
    liz_chart_end(&c);
    liz_status status = liz_file_write_text(files, path, O_TRUNC, &out, err);
    liz_buf_free(&out);
    return status;
}
