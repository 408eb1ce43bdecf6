/* json.h - JSON as RFC 8259 defines it, strictly, with numbers kept as they were written.
 *
 * The reader builds a tree in an arena. Numbers stay source text, so 0.1 and 20-digit ids survive;
 * strings are decoded to UTF-8; keys keep their order; a duplicate key is an error. Depth and size are
 * bounded. The writer appends to a buffer and escapes what must be escaped. */
#ifndef LIZ_BASE_JSON_H
#define LIZ_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

#define LIZ_JSON_DEPTH_MAX 128

typedef enum liz_json_type {
    LIZ_JSON_NULL,
    LIZ_JSON_FALSE,
    LIZ_JSON_TRUE,
    LIZ_JSON_NUMBER,
    LIZ_JSON_STRING,
    LIZ_JSON_ARRAY,
    LIZ_JSON_OBJECT
} liz_json_type;

/* Children of an array or object are a list in source order. `source` is the value's text as written. */
typedef struct liz_json {
    liz_json_type type;
    liz_str source;
    liz_str string; /* decoded text of a string (may hold NUL); text of a number */
    liz_str key;    /* decoded, when the value is a member of an object */
    size_t n_children;
    struct liz_json *first_child, *next;
} liz_json;

/* Reads one value with nothing but white space around it. `text` is borrowed as long as the tree lives.
 * Errors carry offset, line and column. LIZ_E_FORMAT, LIZ_E_LIMIT (depth), LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_json_read(liz_json **out, liz_str text, liz_arena *arena, liz_error *err);

/* The member of an object; NULL when there is none or `object` is not one. */
const liz_json *liz_json_member(const liz_json *object, const char *key);

/* True and the value when the number is an integer in range as written (no fraction or exponent that
 * leaves one). */
bool liz_json_int64(const liz_json *value, int64_t *out);
bool liz_json_double(const liz_json *value, double *out);

/* Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, one for each
 * maximal invalid run of the Unicode standard's recommendation. */
void liz_json_write_string(liz_buf *buf, liz_str text);

/* Appends a number in the shortest form that reads back as the same float (or double); null when it is not finite,
 * which JSON cannot say. */
void liz_json_write_float(liz_buf *buf, float value);
void liz_json_write_double(liz_buf *buf, double value);

/* Appends what stands before a member's value, a comma included where it is not the first; NULL for an element. */
void liz_json_key(liz_buf *buf, const char *key);
/* The same, and the bracket that opens an object or an array. */
void liz_json_open(liz_buf *buf, const char *key, char bracket);
/* The same with the value; `json` is JSON already. */
void liz_json_put(liz_buf *buf, const char *key, liz_str json);
void liz_json_put_str(liz_buf *buf, const char *key, liz_str text);
void liz_json_put_int(liz_buf *buf, const char *key, int64_t value);
void liz_json_put_u64(liz_buf *buf, const char *key, uint64_t value);
void liz_json_put_float(liz_buf *buf, const char *key, float value);
void liz_json_put_double(liz_buf *buf, const char *key, double value);
void liz_json_put_bool(liz_buf *buf, const char *key, bool value);

#endif
