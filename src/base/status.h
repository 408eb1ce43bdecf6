/* status.h - how a function in src/ fails: one line that fills the error and returns the code.
 *
 * LIZ_OK is 0, so GNU C's `a ?: b` reads as "unless a failed, b": `status = status ?: next(..., err)` goes on where all
 * went well so far, and keeps what failed first. */
#ifndef LIZ_BASE_STATUS_H
#define LIZ_BASE_STATUS_H

#include "lizzie_status.h"

#include <stdarg.h>

/* Fills `*err` (may be NULL) with code and formatted text, position fields 0, and returns `code`. */
liz_status liz_fail(liz_error *err, liz_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same at a byte offset of what was read. */
liz_status liz_fail_at(liz_error *err, liz_status code, size_t offset, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "`fmt`: " before the text of an error that a callee filled, unless it begins so already. Returns `code`. */
liz_status liz_fail_within(liz_error *err, liz_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Passes a failure on to the caller: for a row of steps of which none owns what a return would lose. */
#define LIZ_TRY(call)                                                                                                  \
    do {                                                                                                               \
        liz_status status_of_call = (call);                                                                            \
        if (status_of_call != LIZ_OK)                                                                                  \
            return status_of_call;                                                                                     \
    } while (0)

/* A programmer error: stays on in release builds. Nothing from a file or socket may reach it. */
#define LIZ_ASSERT(cond) ((cond) ? (void)0 : liz_assert_failed(#cond, __FILE__, __LINE__))

/* The same in loops that must be fast: checked in debug and sanitizer builds only. */
#ifdef LIZ_DEBUG
#define LIZ_DASSERT(cond) LIZ_ASSERT(cond)
#else
#define LIZ_DASSERT(cond) ((void)sizeof(cond))
#endif

_Noreturn void liz_assert_failed(const char *cond, const char *file, int line);

#endif
