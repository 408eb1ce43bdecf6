/* history.c - the log's lines and the drawing of the curve. */
#include "train/history.h"

#include "base/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 30, BINS = 400, WIDTH = 800, HEIGHT = 420, LEFT = 56, RIGHT = 16, TOP = 28, BOTTOM = 44 };

liz_status liz_history_add(liz_history_list *history, const liz_point *point, liz_error *err)
{
    if (history->n == history->cap) {
        size_t cap = history->cap > 0 ? 2 * history->cap : 256;
        liz_point *v = realloc(history->v, cap * sizeof *v);
        if (v == NULL)
            return liz_fail(err, LIZ_E_MEMORY, "no memory for the history of %zu steps", cap);
        history->v = v;
        history->cap = cap;
    }
    history->v[history->n++] = *point;
    return LIZ_OK;
}

void liz_history_free(liz_history_list *history)
{
    free(history->v);
    *history = (liz_history_list){0};
}

/* ---- The log ---- */

static void put_number(liz_buf *out, const char *name, double value)
{
    liz_buf_printf(out, ",\"%s\":", name);
    liz_json_write_float(out, (float)value);
}

static void put_line(liz_buf *out, const liz_point *p)
{
    liz_buf_printf(out, "{\"step\":%" PRIu64 ",\"tokens\":%" PRIu64, p->step, p->n_tokens);
    put_number(out, "loss", p->loss);
    put_number(out, "rate", p->rate);
    put_number(out, "gradient_norm", p->norm);
    if (!isnan(p->valid))
        put_number(out, "valid_loss", p->valid);
    put_number(out, "seconds", p->seconds);
    put_number(out, "tokens_s", p->tokens_s);
    liz_buf_puts(out, "}\n");
}

/* A text for people, which need not outlive a power cut. */
static liz_status write_text(const liz_files *files, const char *path, int flags, const liz_buf *text, liz_error *err)
{
    int fd = -1;
    if (liz_buf_failed(text))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to write it", path);
    liz_status status = liz_file_open(files, path, O_WRONLY | O_CREAT | flags, &fd, err);
    if (status == LIZ_OK)
        status = liz_file_write(files, fd, path, text->data, text->len, err);
    liz_file_close(files, &fd);
    return status;
}

liz_status liz_history_log(const liz_history_list *history, bool last_only, const liz_files *files, const char *path,
                           liz_error *err)
{
    liz_buf text;
    liz_buf_init(&text, TEXT_MAX);
    for (size_t i = last_only ? history->n - 1 : 0; i < history->n; i++)
        put_line(&text, &history->v[i]);
    liz_status status = write_text(files, path, last_only ? O_APPEND : O_TRUNC, &text, err);
    liz_buf_free(&text);
    return status;
}

/* ---- The curve ---- */

typedef struct frame {
    double x_max, y_min, y_max; /* tokens; losses */
} frame;

static double x_of(const frame *f, double tokens) { return LEFT + tokens / f->x_max * (WIDTH - LEFT - RIGHT); }
static double y_of(const frame *f, double loss)
{
    double clipped = fmin(fmax(loss, f->y_min), f->y_max);
    return TOP + (f->y_max - clipped) / (f->y_max - f->y_min) * (HEIGHT - TOP - BOTTOM);
}

/* The frame leaves the steep beginning out: it ends at the loss that the first tenth comes down to. */
static frame frame_of(const liz_history_list *h)
{
    frame f = {1, INFINITY, 0};
    for (size_t i = 0; i < h->n; i++) {
        const liz_point *p = &h->v[i];
        f.x_max = fmax(f.x_max, (double)p->n_tokens);
        f.y_min = fmin(f.y_min, isnan(p->valid) ? p->loss : fmin(p->loss, p->valid));
        if (i >= h->n / 10)
            f.y_max = fmax(f.y_max, p->loss);
    }
    if (!(f.y_min < f.y_max))
        f = (frame){f.x_max, 0, fmax(f.y_max, 1)};
    f.y_min = floor(f.y_min * 10) / 10;
    f.y_max = ceil(f.y_max * 10) / 10;
    return f;
}

/* The least step of 1, 2 or 5 times a power of ten that cuts `span` into eight at most. */
static double tick_of(double span)
{
    double power = pow(10, floor(log10(span / 8)));
    return power * (span / power <= 8 ? 1 : span / power <= 16 ? 2 : span / power <= 40 ? 5 : 10);
}

static void draw_axes(liz_buf *out, const frame *f)
{
    double tick = tick_of(f->y_max - f->y_min);
    for (double y = ceil(f->y_min / tick - 1e-9) * tick; y <= f->y_max + 1e-9; y += tick)
        liz_buf_printf(out,
                       "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                       LEFT, y_of(f, y), WIDTH - RIGHT, LEFT - 6, y_of(f, y) + 4, round(y * 1e6) / 1e6);
    tick = tick_of(f->x_max);
    for (double x = 0; x <= f->x_max * (1 + 1e-9); x += tick)
        liz_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x_of(f, x),
                       HEIGHT - BOTTOM + 18, f->x_max >= 1e6 ? x / 1e6 : x);
    liz_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", WIDTH - RIGHT, HEIGHT - 8,
                   f->x_max >= 1e6 ? "million tokens" : "tokens");
}

/* The training loss as means of up to 400 bins of steps. */
static void draw_training(liz_buf *out, const frame *f, const liz_history_list *h)
{
    size_t n_bins = h->n < BINS ? h->n : BINS;
    liz_buf_puts(out, "<polyline class=\"t\" points=\"");
    for (size_t bin = 0; bin < n_bins; bin++) {
        size_t first = bin * h->n / n_bins, end = (bin + 1) * h->n / n_bins;
        double sum = 0;
        for (size_t i = first; i < end; i++)
            sum += h->v[i].loss;
        liz_buf_printf(out, "%.1f,%.1f ", x_of(f, (double)h->v[end - 1].n_tokens),
                       y_of(f, sum / (double)(end - first)));
    }
    liz_buf_puts(out, "\"/>\n");
}

static void draw_validation(liz_buf *out, const frame *f, const liz_history_list *h)
{
    liz_buf_puts(out, "<polyline class=\"v\" points=\"");
    for (size_t i = 0; i < h->n; i++)
        if (!isnan(h->v[i].valid))
            liz_buf_printf(out, "%.1f,%.1f ", x_of(f, (double)h->v[i].n_tokens), y_of(f, h->v[i].valid));
    liz_buf_puts(out, "\"/>\n");
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
    frame f = frame_of(h);
    double valid = last_valid(h);
    liz_buf_init(&out, TEXT_MAX);
    liz_buf_printf(
        &out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n"
        "<style>text{font:12px sans-serif;fill:#444}polyline{fill:none;stroke-width:1.5}.g{stroke:#ddd}"
        ".t{stroke:#7a9cc6}.v{stroke:#c0392b;stroke-width:2}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"18\">loss a token, nats: "
        "training (blue)",
        WIDTH, HEIGHT, LEFT);
    if (!isnan(valid))
        liz_buf_printf(&out, " and validation (red), last %.4f", valid);
    liz_buf_puts(&out, "</text>\n");
    draw_axes(&out, &f);
    if (h->n > 0)
        draw_training(&out, &f, h);
    draw_validation(&out, &f, h);
    liz_buf_puts(&out, "</svg>\n");
    liz_status status = write_text(files, path, O_TRUNC, &out, err);
    liz_buf_free(&out);
    return status;
}
