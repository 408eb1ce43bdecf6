/* stop.h - stop strings across token borders.
 *
 * Text comes in pieces of any size; what can no longer be part of a stop string comes out at once, the rest is held
 * back. The string that is complete first ends the text, whatever was hoped for from a longer one; among those complete
 * at the same byte the longest. So the result does not depend on where the pieces are cut. */
#ifndef LIZ_DECODE_STOP_H
#define LIZ_DECODE_STOP_H

#include "base/buf.h"
#include "base/status.h"

#define LIZ_STOP_MAX 16
#define LIZ_STOP_LEN_MAX 256

typedef struct liz_stop liz_stop;

/* `what` names such a string in errors. LIZ_E_LIMIT for more than LIZ_STOP_MAX strings or one longer than
 * LIZ_STOP_LEN_MAX bytes, LIZ_E_USAGE for one that is empty or not UTF-8. Copies them. */
LIZ_MUST_CHECK liz_status liz_stop_open(liz_stop **out, const char *what, const char *const *strings, size_t n,
                                        liz_error *err);
void liz_stop_close(liz_stop *stop);

/* Appends to `out` the text now certain: at most `text.n` bytes and LIZ_STOP_LEN_MAX held back, whole characters where
 * the text comes in whole characters. True when a stop string appeared: the text ends before it, and nothing more may
 * be pushed. */
bool liz_stop_push(liz_stop *stop, liz_str text, liz_buf *out);
/* The text ended otherwise: appends what was held back. */
void liz_stop_finish(liz_stop *stop, liz_buf *out);

/* For strings that end nothing and are only looked for, pieces of text being pushed here instead: whether one of them
 * is complete in this piece. */
bool liz_stop_watch(liz_stop *stop, liz_str text);

#endif
