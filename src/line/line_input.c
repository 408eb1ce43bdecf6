/* line_input.c - cutting a stream of bytes into records.
 *
 * One buffer holds the record being cut and whatever was read beyond it; it grows with the largest record, up to
 * LIZ_LINE_RECORD_MAX. A larger record is passed over to its end and reported as too large, so that one broken line
 * (or a quote that is never closed) costs its row and not the job. The hash is a chain over the records' bytes, line
 * ends left out: a file rewritten with other line ends is still the same input.
 *
 * CSV is cut by a machine of four states that looks at every byte once; whether a row is well-formed is decided when
 * it is read. */
#include "line/line_input.h"

#include "base/tiny.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_SIZE = LIZ_OR_TINY(256 * 1024, 24), POLL_MS = 100 };

typedef enum csv_state { CSV_FIELD_START, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE } csv_state;

struct liz_line_input {
    const liz_files *files;
    const char *path;
    const atomic_bool *stop;
    int fd;
    char separator;
    bool at_end, is_stream, given_again, keeps_blank;
    liz_buf buf;
    size_t at, scanned; /* the next record begins at `at`; up to `scanned` no end of it was found */
    size_t dropped;     /* bytes of a record that is too large, no longer in the buffer */
    csv_state state;
    uint64_t line, lines_in_record;
    uint64_t n_bytes, n_bytes_total;
    liz_line_mark mark, mark_before;
    liz_buf header;
    liz_line_cut last;
};

/* ---- Bytes -------------------------------------------------------------------------------------- */

static bool stopped(const liz_line_input *in) { return in->stop != NULL && atomic_load(in->stop); }

/* Waits for a pipe or terminal to have something; false once stopped. */
static bool wait_readable(liz_line_input *in)
{
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    while (!stopped(in)) {
        int n = poll(&p, 1, POLL_MS);
        if (n != 0 && !(n < 0 && errno == EINTR))
            return true;
    }
    return false;
}

/* Moves what is unread to the front and appends more; sets `at_end` when there is none. */
static liz_status fill(liz_line_input *in, liz_error *err)
{
    liz_buf *buf = &in->buf;
    if (in->at > 0) {
        memmove(buf->data, buf->data + in->at, buf->len - in->at);
        buf->len -= in->at;
        in->scanned -= in->at;
        in->at = 0;
    }
    if (in->is_stream && !wait_readable(in)) {
        in->at_end = true;
        return LIZ_OK;
    }
    if (!liz_buf_reserve(buf, READ_SIZE))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a record", in->path);
    size_t n;
    LIZ_TRY(liz_file_read(in->files, in->fd, in->path, buf->data + buf->len, READ_SIZE, &n, err));
    in->at_end = n == 0;
    buf->len += n;
    in->n_bytes += n;
    return LIZ_OK;
}

/* ---- Where a record ends ------------------------------------------------------------------------ */

/* Each finds the line end that closes the record in [scanned, len) and moves `scanned` behind it; false when the
 * buffer holds none. */
static bool scan_line(liz_line_input *in)
{
    const char *end = memchr(in->buf.data + in->scanned, '\n', in->buf.len - in->scanned);
    in->scanned = end ? (size_t)(end - in->buf.data) + 1 : in->buf.len;
    in->lines_in_record += end != NULL;
    return end != NULL;
}

static csv_state csv_next(csv_state state, char c)
{
    if (state == CSV_QUOTED)
        return c == '"' ? CSV_QUOTE : CSV_QUOTED;
    if (c == ',')
        return CSV_FIELD_START;
    if (c == '"' && state != CSV_PLAIN)
        return CSV_QUOTED;
    return CSV_PLAIN;
}

static bool scan_csv(liz_line_input *in)
{
    while (in->scanned < in->buf.len) {
        char c = in->buf.data[in->scanned++];
        in->lines_in_record += c == '\n';
        if (c == '\n' && in->state != CSV_QUOTED) {
            in->state = CSV_FIELD_START;
            return true;
        }
        in->state = csv_next(in->state, c);
    }
    return false;
}

/* Gives up the bytes of a record that has become too large, but for its beginning. */
static void drop_excess(liz_line_input *in)
{
    size_t held = in->scanned - in->at;
    if (held <= LIZ_LINE_RECORD_MAX)
        return;
    size_t excess = held - LIZ_LINE_RECORD_MAX;
    memmove(in->buf.data + in->scanned - excess, in->buf.data + in->scanned, in->buf.len - in->scanned);
    in->buf.len -= excess;
    in->scanned -= excess;
    in->dropped += excess;
}

static liz_str trimmed_of_line_end(liz_str text)
{
    if (text.n > 0 && text.p[text.n - 1] == '\n')
        text.n--;
    if (text.n > 0 && text.p[text.n - 1] == '\r')
        text.n--;
    return text;
}

/* No record: in CSV and TSV spaces and tabs belong to fields. */
static bool is_blank(const liz_line_input *in, liz_str text)
{
    if (in->separator != 0)
        return text.n == 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r')
            return false;
    return true;
}

/* Cuts the next record or blank line; `*got` false at the end of the file. */
static liz_status cut_next(liz_line_input *in, liz_line_cut *cut, bool *got, liz_error *err)
{
    in->at = in->scanned;
    in->dropped = 0;
    in->state = CSV_FIELD_START;
    in->line += in->lines_in_record;
    in->lines_in_record = 0;
    while (!(in->separator == ',' ? scan_csv(in) : scan_line(in)) && !in->at_end) {
        drop_excess(in);
        LIZ_TRY(fill(in, err));
    }
    drop_excess(in);
    liz_str text = {in->buf.data + in->at, in->scanned - in->at};
    /* A stream that was told to stop ends in the middle of a record, which is not one. */
    *got = text.n > 0 && !(in->at_end && stopped(in));
    bool is_closed = text.n > 0 && text.p[text.n - 1] == '\n';
    *cut = (liz_line_cut){.line = in->line, .text = text, .is_closed = is_closed, .too_large = in->dropped > 0};
    if (!cut->too_large)
        cut->text = trimmed_of_line_end(text);
    return LIZ_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------ */

static bool name_ends(const char *path, const char *end)
{
    size_t n = strlen(path), n_end = strlen(end);
    return n >= n_end && strcasecmp(path + n - n_end, end) == 0;
}

/* Of text in UTF-16, which need not begin with a mark, every other byte is NUL. */
static bool looks_like_utf16(liz_str head)
{
    if (liz_str_starts(head, "\xFF\xFE") || liz_str_starts(head, "\xFE\xFF"))
        return true;
    bool even = head.n >= 4 && head.p[0] == '\0' && head.p[2] == '\0', odd = head.n >= 4 && !head.p[1] && !head.p[3];
    return even != odd;
}

static liz_status skip_mark(liz_line_input *in, liz_error *err)
{
    while (in->buf.len < 4 && !in->at_end) {
        LIZ_TRY(fill(in, err));
    }
    liz_str head = liz_buf_str(&in->buf);
    if (looks_like_utf16(head))
        return liz_fail(err, LIZ_E_FORMAT, "%s: is UTF-16: convert it to UTF-8, for example with iconv -t utf-8",
                        in->path);
    in->scanned = head.n - liz_utf8_unmarked(head).n;
    return LIZ_OK;
}

/* True when the first character that is not white space is something other than a brace. */
static bool looks_like_csv(const liz_line_input *in)
{
    size_t i = in->scanned;
    while (i < in->buf.len && strchr(" \t\r\n", in->buf.data[i]) != NULL)
        i++;
    return i < in->buf.len && in->buf.data[i] != '{';
}

static char separator_of(const liz_line_input *in, liz_line_input_form form)
{
    if (form == LIZ_LINE_INPUT_JSONL || form == LIZ_LINE_INPUT_LINES)
        return 0;
    if (form == LIZ_LINE_INPUT_TSV || name_ends(in->path, ".tsv"))
        return '\t';
    return (strcmp(in->path, "-") == 0 ? looks_like_csv(in) : name_ends(in->path, ".csv")) ? ',' : 0;
}

static liz_status read_header(liz_line_input *in, liz_error *err)
{
    liz_line_cut cut = {0};
    bool got = true;
    do {
        LIZ_TRY(cut_next(in, &cut, &got, err));
    } while (got && is_blank(in, cut.text));
    if (!got)
        return LIZ_OK;
    liz_buf_append_str(&in->header, cut.text);
    if (liz_buf_failed(&in->header) && !in->header.is_full)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its header", in->path);
    if (liz_buf_failed(&in->header))
        return liz_fail(err, LIZ_E_LIMIT, "%s: its header is larger than %zu bytes", in->path, in->header.len_max);
    return LIZ_OK;
}

static liz_status open_file(liz_line_input *in, liz_error *err)
{
    struct stat st;
    if (strcmp(in->path, "-") == 0)
        in->fd = STDIN_FILENO;
    else {
        LIZ_TRY(liz_file_open(in->files, in->path, O_RDONLY, &in->fd, err));
    }
    if (fstat(in->fd, &st) != 0)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be examined: %m", in->path);
    if (S_ISDIR(st.st_mode))
        return liz_fail(err, LIZ_E_IO, "%s: is a folder: name a file of rows", in->path);
    in->is_stream = !S_ISREG(st.st_mode);
    in->n_bytes_total = in->is_stream ? 0 : (uint64_t)st.st_size;
    return LIZ_OK;
}

liz_status liz_line_input_open(liz_line_input **out, const liz_files *files, const char *path, liz_line_input_form form,
                               const atomic_bool *stop, liz_error *err)
{
    liz_line_input *in = calloc(1, sizeof *in);
    if (in == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to read it", path);
    *in = (liz_line_input){
        .files = files, .path = path, .stop = stop, .fd = -1, .line = 1, .keeps_blank = form == LIZ_LINE_INPUT_LINES};
    liz_buf_init(&in->buf, LIZ_LINE_RECORD_MAX + 2 * READ_SIZE);
    liz_buf_init(&in->header, 1 << 20);
    liz_status status = open_file(in, err);
    status = status ?: skip_mark(in, err);
    if (status == LIZ_OK) {
        in->separator = separator_of(in, form);
        status = in->separator != 0 ? read_header(in, err) : LIZ_OK;
    }
    if (status != LIZ_OK) {
        liz_line_input_close(in);
        return status;
    }
    liz_str name = liz_str_of(in->separator == ',' ? "csv" : in->separator == '\t' ? "tsv" : "jsonl");
    in->mark.hash = liz_hash_chain(liz_hash_bytes(name.p, name.n), in->header.data, in->header.len);
    *out = in;
    return LIZ_OK;
}

void liz_line_input_close(liz_line_input *in)
{
    if (in == NULL)
        return;
    if (in->fd != STDIN_FILENO)
        liz_file_close(in->files, &in->fd);
    liz_buf_free(&in->buf);
    liz_buf_free(&in->header);
    free(in);
}

/* ---- Records ------------------------------------------------------------------------------------ */

liz_status liz_line_input_next(liz_line_input *in, liz_line_cut *cut, bool *got, liz_error *err)
{
    *got = true;
    if (!in->given_again) {
        do {
            LIZ_TRY(cut_next(in, &in->last, got, err));
        } while (*got && !in->last.too_large && !in->keeps_blank && is_blank(in, in->last.text));
    }
    in->given_again = false;
    if (!*got)
        return LIZ_OK;
    in->mark_before = in->mark;
    in->mark.hash = liz_hash_chain(in->mark.hash, in->last.text.p, in->last.text.n);
    if (in->last.too_large)
        in->mark.hash = liz_hash_chain(in->mark.hash, &in->dropped, sizeof in->dropped);
    in->last.index = in->mark.n++;
    *cut = in->last;
    return LIZ_OK;
}

void liz_line_input_unget(liz_line_input *in)
{
    LIZ_ASSERT(in->mark.n > 0 && !in->given_again);
    in->given_again = true;
    in->mark = in->mark_before;
}

char liz_line_input_separator(const liz_line_input *in) { return in->separator; }
liz_str liz_line_input_header(const liz_line_input *in) { return liz_buf_str(&in->header); }
liz_line_mark liz_line_input_mark(const liz_line_input *in) { return in->mark; }

void liz_line_input_bytes(const liz_line_input *in, uint64_t *consumed, uint64_t *total)
{
    *consumed = in->n_bytes - (in->buf.len - in->scanned);
    *total = in->n_bytes_total;
}
