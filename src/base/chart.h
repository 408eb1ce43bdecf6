/* chart.h - lines over two axes, drawn as SVG. */
#ifndef LIZ_BASE_CHART_H
#define LIZ_BASE_CHART_H

#include "base/buf.h"

typedef struct liz_chart {
    liz_buf *out;               /* a failure stays in it */
    double x_max, y_min, y_max; /* the axes: x from 0; what lies outside is drawn at the border */
} liz_chart;

typedef enum liz_chart_line { LIZ_CHART_BLUE, LIZ_CHART_RED } liz_chart_line;

/* The head, with axes of round numbers. `title` and `x_name` are plain text. The limits are set and not equal. */
void liz_chart_begin(const liz_chart *chart, const char *title, const char *x_name);
void liz_chart_line_begin(const liz_chart *chart, liz_chart_line line);
void liz_chart_point(const liz_chart *chart, double x, double y);
void liz_chart_line_end(const liz_chart *chart);
void liz_chart_end(const liz_chart *chart);

#endif
