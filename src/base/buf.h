/* buf.h - a byte buffer that grows to a stated maximum.
 *
 * Appending past the maximum, or when memory is short, marks the buffer as failed and leaves what it
 * holds; further appends do nothing. A caller builds a whole text and asks once (`liz_buf_failed`). */
#ifndef LIZ_BASE_BUF_H
#define LIZ_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

/* `data` is NUL-terminated beyond `len` once anything was appended. A zeroed struct with `len_max` set is a valid empty
 * buffer. */
typedef struct liz_buf {
    char *data;
    size_t len, cap, len_max;
    bool failed, is_full; /* is_full: for want of `len_max`, not of memory */
} liz_buf;

void liz_buf_init(liz_buf *buf, size_t len_max);
void liz_buf_free(liz_buf *buf);

/* Empties the buffer and forgets a failure; keeps its memory. */
void liz_buf_clear(liz_buf *buf);

/* Takes back all that was appended since it held `len` bytes, with a failure on the way. */
void liz_buf_cut(liz_buf *buf, size_t len);

bool liz_buf_reserve(liz_buf *buf, size_t n_more);
void liz_buf_append(liz_buf *buf, const char *text, size_t n);
void liz_buf_append_str(liz_buf *buf, liz_str text);
void liz_buf_puts(liz_buf *buf, const char *text);
void liz_buf_putc(liz_buf *buf, char c);
void liz_buf_printf(liz_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool liz_buf_failed(const liz_buf *buf) { return buf->failed; }
static inline liz_str liz_buf_str(const liz_buf *buf) { return (liz_str){buf->data, buf->len}; }

/* Room for n elements of `size` bytes in an array that doubles; false, with the array as it was, when memory is short.
 * For arrays that are not bytes: `array` is the address of the pointer. */
bool liz_array_room(void *array, size_t *cap, size_t n, size_t size);

/* Gives the bytes, NUL-terminated, and empties the buffer; NULL when it failed. Released with free(). */
char *liz_buf_take(liz_buf *buf);

#endif
