/* line_record.c - reading one record.
 *
 * CSV by RFC 4180: a field is quoted as a whole or not at all, quotes inside are doubled, spaces belong to the field.
 * What breaks these rules is an error row that says where, never a guess. In TSV a field is what stands between tabs.
 */
#include "line/line_record.h"

#include <string.h>

/* ---- CSV and TSV -------------------------------------------------------------------------------- */

static const char never_closed[] = "a quote is never closed";

static size_t n_line_ends(liz_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

/* Reads a quoted field whose opening quote is at `*at`; its text goes to `w`. NULL, or what is wrong. */
static const char *csv_quoted(const char **at, const char *end, char **w)
{
    const char *p = *at + 1;
    for (;; p++) {
        if (p == end)
            return never_closed;
        if (*p == '"' && (p + 1 == end || p[1] != '"'))
            break;
        p += *p == '"';
        *(*w)++ = *p;
    }
    *at = p + 1;
    return *at < end && **at != ',' ? "something follows a closing quote" : NULL;
}

static const char *tsv_field(const char **at, const char *end, char **w)
{
    while (*at < end && **at != '\t')
        *(*w)++ = *(*at)++;
    return NULL;
}

static const char *csv_plain(const char **at, const char *end, char **w)
{
    const char *p = *at;
    for (; p < end && *p != ','; p++) {
        if (*p == '"')
            return "a quote stands inside a field that is not quoted";
        *(*w)++ = *p;
    }
    *at = p;
    return NULL;
}

static const char *take_field(char separator, const char **at, const char *end, char **w)
{
    if (separator == '\t')
        return tsv_field(at, end, w);
    return *at < end && **at == '"' ? csv_quoted(at, end, w) : csv_plain(at, end, w);
}

/* Splits a row into at most `n_max` fields; `*n` counts all. NULL, or what is wrong. */
static const char *split(liz_str text, char separator, liz_arena *arena, liz_str *fields, size_t n_max, size_t *n)
{
    char *w = liz_arena_alloc(arena, text.n + 1);
    if (w == NULL)
        return "it does not fit into memory";
    const char *at = text.p, *end = text.p + text.n;
    for (*n = 0;; at++) {
        char *first = w;
        const char *wrong = take_field(separator, &at, end, &w);
        if (wrong != NULL)
            return wrong;
        if (*n < n_max)
            fields[*n] = (liz_str){first, (size_t)(w - first)};
        ++*n;
        if (at == end)
            return NULL;
    }
}

static liz_status header_check(const liz_line_header *header, const char *form, const char *path, liz_error *err)
{
    for (size_t i = 0; i < header->n_names; i++) {
        if (header->names[i].n == 0)
            return liz_fail(err, LIZ_E_USAGE, "%s: column %zu of the %s header has no name: name it", path, i + 1,
                            form);
        for (size_t k = 0; k < i; k++)
            if (liz_str_eq(header->names[i], header->names[k]))
                return liz_fail(err, LIZ_E_USAGE, "%s: the %s header names \"%.*s\" twice: rename one", path, form,
                                LIZ_STR_ARG(header->names[i]));
    }
    return LIZ_OK;
}

liz_status liz_line_header_read(liz_line_header *header, const liz_line_input *in, const char *path, liz_error *err)
{
    liz_str text = liz_line_input_header(in);
    *header = (liz_line_header){.arena = {.size_max = 64u << 20}, .separator = liz_line_input_separator(in)};
    const char *form = header->separator == '\t' ? "TSV" : "CSV";
    if (text.n == 0)
        return liz_fail(err, LIZ_E_USAGE, "%s: has no %s header: its first line must name the fields", path, form);
    if (liz_utf8_valid_prefix(text.p, text.n) != text.n)
        return liz_fail(err, LIZ_E_USAGE, "%s: the %s header is not UTF-8: convert the file to UTF-8", path, form);
    size_t n_max = 1;
    for (size_t i = 0; i < text.n; i++)
        n_max += text.p[i] == header->separator;
    if (n_max > 10000)
        return liz_fail(err, LIZ_E_LIMIT, "%s: the %s header has more than 10000 columns: is this %s?", path, form,
                        form);
    header->names = liz_arena_array(&header->arena, n_max, sizeof *header->names);
    if (header->names == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its header", path);
    const char *wrong = split(text, header->separator, &header->arena, header->names, n_max, &header->n_names);
    if (wrong != NULL && header->arena.refused)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its header", path);
    if (wrong != NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: the %s header cannot be read: %s", path, form, wrong);
    return header_check(header, form, path, err);
}

void liz_line_header_free(liz_line_header *header) { liz_arena_free(&header->arena); }

static bool fields_read(liz_line_record *record, const liz_line_cut *cut, const liz_line_header *header,
                        liz_arena *arena, liz_line_row *row)
{
    size_t n = 0;
    record->header = header;
    record->values = liz_arena_array(arena, header->n_names, sizeof *record->values);
    const char *wrong = record->values == NULL
                            ? "it does not fit into memory"
                            : split(cut->text, header->separator, arena, record->values, header->n_names, &n);
    size_t n_more = wrong == never_closed ? n_line_ends(cut->text) : 0;
    if (n_more > 0)
        liz_line_row_fail(row, LIZ_ROW_INVALID_CSV, "%s: it takes in %zu more lines, up to the end of the input", wrong,
                          n_more);
    else if (wrong != NULL)
        liz_line_row_fail(row, LIZ_ROW_INVALID_CSV, "%s", wrong);
    else if (n != header->n_names)
        liz_line_row_fail(row, LIZ_ROW_INVALID_CSV, "it has %zu fields and the header %zu", n, header->n_names);
    return row->error_code == NULL;
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static bool json_read(liz_line_record *record, const liz_line_cut *cut, liz_arena *arena, liz_line_row *row)
{
    liz_json *json;
    liz_error err;
    liz_status status = liz_json_read(&json, cut->text, arena, &err);
    if (status == LIZ_E_MEMORY)
        liz_line_row_fail(row, LIZ_ROW_TOO_LARGE, "its JSON takes more than %zu MiB of memory", arena->size_max >> 20);
    else if (status != LIZ_OK)
        liz_line_row_fail(row, LIZ_ROW_INVALID_JSON, "%s", err.text);
    else if (json->type != LIZ_JSON_OBJECT)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "it is JSON, but not an object");
    else
        record->json = json;
    return row->error_code == NULL;
}

bool liz_line_record_read(liz_line_record *record, const liz_line_cut *cut, const liz_line_header *header,
                          liz_arena *arena, liz_line_row *row)
{
    *record = (liz_line_record){0};
    size_t n_valid = liz_utf8_valid_prefix(cut->text.p, cut->text.n);
    if (cut->too_large)
        liz_line_row_fail(row, LIZ_ROW_TOO_LARGE, "it is larger than %zu MiB", LIZ_LINE_RECORD_MAX >> 20);
    else if (n_valid != cut->text.n)
        liz_line_row_fail(row, LIZ_ROW_INVALID_UTF8, "byte %zu is not UTF-8", n_valid + 1);
    if (row->error_code != NULL)
        return false;
    return header != NULL ? fields_read(record, cut, header, arena, row) : json_read(record, cut, arena, row);
}

/* ---- Fields ------------------------------------------------------------------------------------- */

static const liz_str *named_field(const liz_line_record *record, const char *name)
{
    for (size_t i = 0; record->header != NULL && i < record->header->n_names; i++)
        if (liz_str_is(record->header->names[i], name))
            return &record->values[i];
    return NULL;
}

bool liz_line_record_text(const liz_line_record *record, const char *name, liz_str *text)
{
    const liz_str *value = named_field(record, name);
    const liz_json *member = liz_json_member(record->json, name);
    if (value == NULL && member == NULL)
        return false;
    *text = value != NULL ? *value : member->type == LIZ_JSON_STRING ? member->string : member->source;
    return true;
}

bool liz_line_record_has(const liz_line_record *record, const char *name)
{
    liz_str text;
    return liz_line_record_text(record, name, &text);
}

bool liz_line_record_json(const liz_line_record *record, const char *name, liz_buf *out)
{
    const liz_str *value = named_field(record, name);
    const liz_json *member = liz_json_member(record->json, name);
    if (value != NULL)
        liz_json_write_string(out, *value);
    else if (member != NULL)
        liz_buf_append_str(out, member->source);
    return value != NULL || member != NULL;
}

void liz_line_record_names(const liz_line_record *record, liz_buf *out)
{
    const liz_json *member = record->json ? record->json->first_child : NULL;
    size_t n = record->header ? record->header->n_names : record->json ? record->json->n_children : 0;
    for (size_t i = 0; i < n; i++) {
        liz_str name = record->header ? record->header->names[i] : member->key;
        if (out->len + name.n + 2 > out->len_max)
            return;
        liz_buf_puts(out, i ? ", " : "");
        liz_buf_append_str(out, name);
        member = member ? member->next : NULL;
    }
}

/* ---- All of a file ------------------------------------------------------------------------------ */

liz_status liz_line_records_each(const char *path, liz_line_input_form form, liz_line_record_fn *take, void *user,
                                 liz_error *err)
{
    liz_line_input *in = NULL;
    liz_line_header header = {0};
    const liz_line_header *columns = NULL;
    liz_line_cut cut;
    bool got = true;
    liz_status status = liz_line_input_open(&in, liz_files_system(), path, form, NULL, err);
    if (status == LIZ_OK && liz_line_input_separator(in) != 0) {
        status = liz_line_header_read(&header, in, path, err);
        columns = &header;
    }
    while (status == LIZ_OK && got) {
        status = liz_line_input_next(in, &cut, &got, err);
        if (status == LIZ_OK && got)
            status = take(user, columns, &cut, err);
    }
    liz_line_header_free(&header);
    liz_line_input_close(in);
    return status;
}
