/* line_input.h - the input file as a stream of records.
 *
 * A record is a line of JSONL, a row of CSV after its header (RFC 4180: it may span lines inside quotes), or a line of
 * TSV after its header. Blank lines are no records and not counted. A byte order mark at the beginning is skipped.
 * Records are cut here and hashed; what is in them is line_record's business. One reader thread. */
#ifndef LIZ_LINE_LINE_INPUT_H
#define LIZ_LINE_LINE_INPUT_H

#include "base/buf.h"
#include "base/hash.h"
#include "sys/files.h"

#include <stdatomic.h>

#define LIZ_LINE_RECORD_MAX ((size_t)64 << 20)

typedef struct liz_line_input liz_line_input;

/* How much of an input was consumed: records, and a hash over them, the header and the form. */
typedef struct liz_line_mark {
    uint64_t n;
    liz_hash hash;
} liz_line_mark;

typedef struct liz_line_cut {
    uint64_t index; /* counted from 0 */
    uint64_t line;  /* of the file, counted from 1, where it begins */
    liz_str text;   /* without its line end; valid until the next call */
    bool is_closed; /* a line end followed */
    bool too_large; /* larger than LIZ_LINE_RECORD_MAX: `text` is its beginning */
} liz_line_cut;

typedef enum liz_line_input_form {
    LIZ_LINE_INPUT_GUESS,
    LIZ_LINE_INPUT_JSONL,
    LIZ_LINE_INPUT_LINES, /* the same with blank lines as records, for a line out for each line in */
    LIZ_LINE_INPUT_TSV
} liz_line_input_form;

/* `path` "-" is standard input. A guess is CSV when the name ends in .csv, or on standard input when the first
 * character is no brace, and TSV when it ends in .tsv. Reading from a pipe or terminal ends early once `*stop` (may be
 * NULL) is true. LIZ_E_IO, LIZ_E_FORMAT for UTF-16, LIZ_E_LIMIT for a header that is too large. Gives `*out`. */
LIZ_MUST_CHECK liz_status liz_line_input_open(liz_line_input **out, const liz_files *files, const char *path,
                                              liz_line_input_form form, const atomic_bool *stop, liz_error *err);
void liz_line_input_close(liz_line_input *in);

/* What stands between the fields of a record: a comma (CSV), a tab (TSV), or 0 (JSONL, which has no header). */
char liz_line_input_separator(const liz_line_input *in);
/* The header row as text; empty when the file is. Owned by the input. */
liz_str liz_line_input_header(const liz_line_input *in);

/* The next record; `*got` false at the end. LIZ_E_IO, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_input_next(liz_line_input *in, liz_line_cut *cut, bool *got, liz_error *err);
/* The record just given will be given once more. */
void liz_line_input_unget(liz_line_input *in);

/* Of every record given so far (not those ungiven). */
liz_line_mark liz_line_input_mark(const liz_line_input *in);
/* Bytes consumed, and the file's size (0 where it has none). */
void liz_line_input_bytes(const liz_line_input *in, uint64_t *consumed, uint64_t *total);

#endif
