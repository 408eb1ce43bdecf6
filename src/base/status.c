/* status.c - filling errors, and the end of a broken program. */
#include "base/status.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text may repeat what a file or a request says: it stays UTF-8, and nothing in it steers a terminal. */
static void text_clean(char *text)
{
    size_t n = strlen(text), at;
    while ((at = liz_utf8_valid_prefix(text, n)) < n)
        text[at] = '?';
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        if (c == 0xC2 && next < 0xA0) /* U+0080 to U+009F */
            text[i] = text[i + 1] = '?';
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
            text[i] = '?';
    }
}

static void error_fill(liz_error *err, liz_status code, size_t offset, const char *fmt, va_list args)
{
    if (err == NULL)
        return;
    *err = (liz_error){.code = code, .offset = offset};
    vsnprintf(err->text, sizeof err->text, fmt, args);
    text_clean(err->text);
}

liz_status liz_fail(liz_error *err, liz_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    error_fill(err, code, 0, fmt, args);
    va_end(args);
    return code;
}

liz_status liz_fail_at(liz_error *err, liz_status code, size_t offset, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    error_fill(err, code, offset, fmt, args);
    va_end(args);
    return code;
}

liz_status liz_fail_within(liz_error *err, liz_status code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    char inner[LIZ_ERROR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof inner && strncmp(inner, err->text, (size_t)n) == 0 && inner[n] == ':') {
        memcpy(err->text, inner, sizeof inner); /* a room below named it already */
    } else if (n >= 0 && (size_t)n + 3 < sizeof err->text) {
        memcpy(err->text + n, ": ", 2);
        stpncpy(err->text + n + 2, inner, sizeof err->text - (size_t)n - 3)[0] = '\0';
    }
    text_clean(err->text);
    err->code = code;
    return code;
}

const char *liz_status_name(liz_status status)
{
    switch (status) {
    case LIZ_OK: return "LIZ_OK";
    case LIZ_E_USAGE: return "LIZ_E_USAGE";
    case LIZ_E_IO: return "LIZ_E_IO";
    case LIZ_E_FORMAT: return "LIZ_E_FORMAT";
    case LIZ_E_UNSUPPORTED: return "LIZ_E_UNSUPPORTED";
    case LIZ_E_MEMORY: return "LIZ_E_MEMORY";
    case LIZ_E_LIMIT: return "LIZ_E_LIMIT";
    case LIZ_E_BUSY: return "LIZ_E_BUSY";
    case LIZ_E_STATE: return "LIZ_E_STATE";
    case LIZ_E_CANCELLED: return "LIZ_E_CANCELLED";
    case LIZ_E_NUMERIC: return "LIZ_E_NUMERIC";
    }
    return "LIZ_E_UNKNOWN";
}

void liz_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "lizzie: internal error: %s:%d: %s does not hold: please report it\n", file, line, cond);
    abort();
}
