/* lizzie_status.h - the outcome of a call, shared by the whole of Lizzie.
 *
 * An operation that can fail returns a `liz_status`: 0, or a negative code. Codes are few and say what
 * kind of thing went wrong, so that a caller can decide; the text in `liz_error` says it to a person:
 * what failed, why, and what to do. Every function takes its `liz_error *` last and accepts NULL. */
#ifndef LIZZIE_STATUS_H
#define LIZZIE_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LIZ_MUST_CHECK __attribute__((warn_unused_result))
#define LIZ_API __attribute__((visibility("default")))
#else
#define LIZ_MUST_CHECK
#define LIZ_API
#endif

typedef enum liz_status {
    LIZ_OK = 0,
    LIZ_E_USAGE = -1,       /* an argument or option is out of range or contradicts another */
    LIZ_E_IO = -2,          /* the system refused a file or device operation */
    LIZ_E_FORMAT = -3,      /* a file or message is malformed */
    LIZ_E_UNSUPPORTED = -4, /* well-formed, but names something this program does not know */
    LIZ_E_MEMORY = -5,      /* out of memory, or a plan that would not fit */
    LIZ_E_LIMIT = -6,       /* larger than a stated limit (context, depth, size) */
    LIZ_E_BUSY = -7,        /* try again later: queue full, lock held */
    LIZ_E_STATE = -8,       /* the object is not in a state that allows the call */
    LIZ_E_CANCELLED = -9,   /* the caller asked to stop */
    LIZ_E_NUMERIC = -10     /* the model produced a value that is not a number */
} liz_status;

#define LIZ_ERROR_TEXT_MAX 512

/* Filled on failure only. `offset` is a byte offset in the file or text that was read, `line` and
 * `column` count from 1; each is 0 where it does not apply. `text` is one line, without a full stop. */
typedef struct liz_error {
    liz_status code;
    size_t offset;
    int line;
    int column;
    char text[LIZ_ERROR_TEXT_MAX];
} liz_error;

/* The code's name as written above ("LIZ_E_IO"); "LIZ_E_UNKNOWN" for any other number. Never NULL. */
LIZ_API const char *liz_status_name(liz_status status);

#ifdef __cplusplus
}
#endif
#endif
