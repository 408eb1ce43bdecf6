/* buf.c - doubling growth, bounded. */
#include "base/buf.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>

enum { CAP_MIN = 64 };

void liz_buf_init(liz_buf *buf, size_t len_max) { *buf = (liz_buf){.len_max = len_max}; }

void liz_buf_free(liz_buf *buf)
{
    free(buf->data);
    *buf = (liz_buf){.len_max = buf->len_max};
}

void liz_buf_clear(liz_buf *buf) { liz_buf_cut(buf, 0); }

void liz_buf_cut(liz_buf *buf, size_t len)
{
    buf->len = len;
    buf->failed = buf->is_full = false;
    if (buf->data != NULL)
        buf->data[len] = '\0';
}

bool liz_buf_reserve(liz_buf *buf, size_t n_more)
{
    if (buf->failed || n_more > buf->len_max - buf->len) {
        buf->is_full = buf->is_full || !buf->failed;
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + n_more + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap < CAP_MIN ? CAP_MIN : buf->cap;
    while (cap < need)
        cap = cap > buf->len_max / 2 ? buf->len_max + 1 : cap * 2;
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void liz_buf_append(liz_buf *buf, const char *text, size_t n)
{
    if (!liz_buf_reserve(buf, n))
        return;
    if (n > 0)
        memcpy(buf->data + buf->len, text, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void liz_buf_append_str(liz_buf *buf, liz_str text) { liz_buf_append(buf, text.p, text.n); }
void liz_buf_puts(liz_buf *buf, const char *text) { liz_buf_append(buf, text, strlen(text)); }
void liz_buf_putc(liz_buf *buf, char c) { liz_buf_append(buf, &c, 1); }

void liz_buf_printf(liz_buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        buf->failed = true;
    else if (liz_buf_reserve(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

bool liz_array_room(void *array, size_t *cap, size_t n, size_t size)
{
    void *old, *larger = NULL;
    size_t wants = n > 2 * *cap ? n + CAP_MIN : 2 * *cap, n_bytes;
    if (n <= *cap)
        return true;
    memcpy(&old, array, sizeof old);
    if (liz_size_mul(wants, size, &n_bytes))
        larger = realloc(old, n_bytes);
    if (larger == NULL)
        return false;
    memcpy(array, &larger, sizeof larger);
    *cap = wants;
    return true;
}

char *liz_buf_take(liz_buf *buf)
{
    char *data = liz_buf_reserve(buf, 0) ? buf->data : NULL;
    if (data == NULL)
        return NULL;
    data[buf->len] = '\0';
    *buf = (liz_buf){.len_max = buf->len_max};
    return data;
}
