/* stop.h - stop strings across token borders.
 *
 * Text comes in pieces; what can no longer be part of a stop string comes out at once, the rest is held back. The earliest
 * match in the text wins; among matches that begin together, the one that is complete first. */
#ifndef LIZ_DECODE_STOP_H
#define LIZ_DECODE_STOP_H

#include "base/buf.h"

#define LIZ_STOP_MAX 16
#define LIZ_STOP_LEN_MAX 256

typedef struct liz_stop liz_stop;

/* LIZ_E_LIMIT for more than LIZ_STOP_MAX strings or one longer than LIZ_STOP_LEN_MAX, LIZ_E_USAGE for an empty one. Copies them. */
LIZ_MUST_CHECK liz_status liz_stop_open(liz_stop **out, const char *const *strings, size_t n, liz_error *err);
void liz_stop_close(liz_stop *stop);

/* Appends to `out` the text now certain. True when a stop string appeared: the text ends before it, and nothing more may be pushed. */
bool liz_stop_push(liz_stop *stop, liz_str text, liz_buf *out);
/* The text ended otherwise: appends what was held back. */
void liz_stop_finish(liz_stop *stop, liz_buf *out);

#endif
