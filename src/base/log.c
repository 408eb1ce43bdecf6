/* log.c - one sink for the process. */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static liz_log_sink *log_sink;
static void *log_user;
static liz_log_level log_level_max;

void liz_log_install(liz_log_sink *sink, void *user, liz_log_level level_max)
{
    log_sink = sink;
    log_user = user;
    log_level_max = level_max;
}

void liz_log(liz_log_level level, const char *subject, const char *fmt, ...)
{
    if (log_sink == NULL || level > log_level_max)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_sink(log_user, level, subject, text);
}
