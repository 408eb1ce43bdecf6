/* json_write.c - strings escaped as far as JSON wants it, and numbers in their shortest form.
 *
 * The shortest form is found by trying: one digit more until the text reads back as the same number. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of a maximal part of a character that breaks off (Unicode 15, section 3.9: substitution of maximal
 * subparts), 1 where not even its first byte can stand. */
static size_t invalid_run(const char *text, size_t n)
{
    for (size_t len = n < 3 ? n : 3; len > 1; len--)
        if (liz_utf8_incomplete_suffix(text, len) == len)
            return len;
    return 1;
}

static void write_escape(liz_buf *buf, unsigned char c)
{
    switch (c) {
    case '"': liz_buf_append(buf, "\\\"", 2); break;
    case '\\': liz_buf_append(buf, "\\\\", 2); break;
    case '\b': liz_buf_append(buf, "\\b", 2); break;
    case '\f': liz_buf_append(buf, "\\f", 2); break;
    case '\n': liz_buf_append(buf, "\\n", 2); break;
    case '\r': liz_buf_append(buf, "\\r", 2); break;
    case '\t': liz_buf_append(buf, "\\t", 2); break;
    default: liz_buf_printf(buf, "\\u%04x", c); break;
    }
}

void liz_json_write_string(liz_buf *buf, liz_str text)
{
    liz_buf_putc(buf, '"');
    for (size_t i = 0, run = 0; i < text.n; run = i) {
        while (i < text.n && (unsigned char)text.p[i] >= 0x20 && (unsigned char)text.p[i] < 0x80 && text.p[i] != '"' &&
               text.p[i] != '\\')
            i++;
        liz_buf_append(buf, text.p + run, i - run);
        if (i == text.n)
            break;
        if ((unsigned char)text.p[i] < 0x80) {
            write_escape(buf, (unsigned char)text.p[i++]);
            continue;
        }
        size_t n = liz_utf8_decode(text.p + i, text.n - i, NULL);
        if (n > 0) {
            liz_buf_append(buf, text.p + i, n);
        } else {
            n = invalid_run(text.p + i, text.n - i);
            liz_buf_append(buf, "\xEF\xBF\xBD", 3);
        }
        i += n;
    }
    liz_buf_putc(buf, '"');
}

/* 9 digits tell all floats apart, 17 all doubles. */
static void write_number(liz_buf *buf, double value, bool is_float)
{
    char text[32] = "null";
    for (int digits = 1; isfinite(value) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    liz_buf_puts(buf, text);
}

void liz_json_write_float(liz_buf *buf, float value) { write_number(buf, (double)value, true); }
void liz_json_write_double(liz_buf *buf, double value) { write_number(buf, value, false); }
