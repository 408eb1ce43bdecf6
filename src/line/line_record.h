/* line_record.h - what is in a record: named fields of JSON, CSV or TSV.
 *
 * A field gives its text, which goes into prompts, and its JSON, which goes into OUT. The text of a JSON string is the
 * string; of anything else it is the JSON as written, so 0.10 stays 0.10. Fields of CSV and TSV are strings. */
#ifndef LIZ_LINE_LINE_RECORD_H
#define LIZ_LINE_LINE_RECORD_H

#include "base/json.h"
#include "line/line_input.h"
#include "line/line_row.h"

/* The names of a header's columns. */
typedef struct liz_line_header {
    liz_arena arena;
    char separator; /* a comma or a tab */
    liz_str *names;
    size_t n_names;
} liz_line_header;

/* Reads the header of an input that has one, named `path` in errors. LIZ_E_USAGE for a malformed header, a column
 * without a name or two of the same. Closable when zeroed. */
LIZ_MUST_CHECK liz_status liz_line_header_read(liz_line_header *header, const liz_line_input *in, const char *path,
                                               liz_error *err);
void liz_line_header_free(liz_line_header *header);

typedef struct liz_line_record {
    const liz_json *json;          /* the object; NULL for CSV and TSV */
    const liz_line_header *header; /* of these */
    liz_str *values;               /* as many as there are names */
} liz_line_record;

/* Reads `cut` into memory of `arena`; `header` is NULL for JSONL. On failure the row becomes an error row and false is
 * returned. */
bool liz_line_record_read(liz_line_record *record, const liz_line_cut *cut, const liz_line_header *header,
                          liz_arena *arena, liz_line_row *row);

/* The field's text; false when there is none. */
bool liz_line_record_text(const liz_line_record *record, const char *name, liz_str *text);
bool liz_line_record_has(const liz_line_record *record, const char *name);
/* Appends the field's JSON; false when there is none. */
bool liz_line_record_json(const liz_line_record *record, const char *name, liz_buf *out);

/* "a, b, c": the names that there are, as many as fit. */
void liz_line_record_names(const liz_line_record *record, liz_buf *out);

/* Takes a record of a file; `columns` NULL for JSONL. */
typedef liz_status liz_line_record_fn(void *user, const liz_line_header *columns, const liz_line_cut *cut,
                                      liz_error *err);
/* Calls `take` for each record of a file until it fails. As liz_line_input_open, liz_line_header_read and `take`. */
LIZ_MUST_CHECK liz_status liz_line_records_each(const char *path, liz_line_input_form form, liz_line_record_fn *take,
                                                void *user, liz_error *err);

#endif
