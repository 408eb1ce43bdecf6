/* chart.c - the drawing of charts. */
#include "base/chart.h"

#include <math.h>

enum { WIDTH = 800, HEIGHT = 420, LEFT = 56, RIGHT = 16, TOP = 28, BOTTOM = 44 };

static double x_of(const liz_chart *c, double x)
{
    return LEFT + fmin(x, c->x_max) / c->x_max * (WIDTH - LEFT - RIGHT);
}

static double y_of(const liz_chart *c, double y)
{
    double clipped = fmin(fmax(y, c->y_min), c->y_max);
    return TOP + (c->y_max - clipped) / (c->y_max - c->y_min) * (HEIGHT - TOP - BOTTOM);
}

/* The least step of 1, 2 or 5 times a power of ten that cuts `span` into eight at most. */
static double tick_of(double span)
{
    double power = pow(10, floor(log10(span / 8)));
    return power * (span / power <= 8 ? 1 : span / power <= 16 ? 2 : span / power <= 40 ? 5 : 10);
}

static void draw_axes(const liz_chart *c, const char *x_name)
{
    double tick = tick_of(c->y_max - c->y_min);
    for (double y = ceil(c->y_min / tick - 1e-9) * tick; y <= c->y_max + 1e-9 * tick; y += tick)
        liz_buf_printf(c->out,
                       "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                       LEFT, y_of(c, y), WIDTH - RIGHT, LEFT - 6, y_of(c, y) + 4, round(y * 1e6) / 1e6 + 0.0);
    tick = tick_of(c->x_max);
    for (double x = 0; x <= c->x_max * (1 + 1e-9); x += tick)
        liz_buf_printf(c->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x_of(c, x),
                       HEIGHT - BOTTOM + 18, x);
    liz_buf_printf(c->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", WIDTH - RIGHT, HEIGHT - 8,
                   x_name);
}

void liz_chart_begin(const liz_chart *c, const char *title, const char *x_name)
{
    liz_buf_printf(
        c->out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n"
        "<style>text{font:12px sans-serif;fill:#444}polyline{fill:none;stroke-width:2}.g{stroke:#ddd}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"18\">%s</text>\n",
        WIDTH, HEIGHT, LEFT, title);
    draw_axes(c, x_name);
}

void liz_chart_line_begin(const liz_chart *c, liz_chart_line line)
{
    static const char *const colours[] = {[LIZ_CHART_BLUE] = "#7a9cc6", [LIZ_CHART_RED] = "#c0392b"};
    liz_buf_printf(c->out, "<polyline stroke=\"%s\" points=\"", colours[line]);
}

void liz_chart_point(const liz_chart *c, double x, double y)
{
    liz_buf_printf(c->out, "%.1f,%.1f ", x_of(c, x), y_of(c, y));
}

void liz_chart_line_end(const liz_chart *c) { liz_buf_puts(c->out, "\"/>\n"); }
void liz_chart_end(const liz_chart *c) { liz_buf_puts(c->out, "</svg>\n"); }
