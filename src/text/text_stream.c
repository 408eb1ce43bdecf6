/* text_stream.c - bytes in, whole UTF-8 characters out.
 *
 * A token may end in the middle of a character. What could still become one is held back; what cannot becomes
 * U+FFFD, one for each maximal subpart (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"): the
 * longest run of bytes that begins some character, or else a single byte. So the output does not depend on how
 * the bytes were cut into pushes. */
#include "text/vocab.h"

static const char replacement[] = "\xEF\xBF\xBD";

/* What the bytes `text` [n], n >= 1, begin with: a character of *len bytes, the start of one (*len = n), or a
 * maximal subpart of *len bytes that is no character. */
typedef enum lead { LEAD_CHARACTER, LEAD_START, LEAD_BROKEN } lead;

static lead lead_of(const char *text, size_t n, size_t *len)
{
    *len = liz_utf8_decode(text, n, NULL);
    if (*len != 0)
        return LEAD_CHARACTER;
    for (size_t m = n < 3 ? n : 3; m > 0; m--) {
        if (liz_utf8_incomplete_suffix(text, m) == m) {
            *len = m;
            return m == n ? LEAD_START : LEAD_BROKEN;
        }
    }
    *len = 1;
    return LEAD_BROKEN;
}

/* Adds bytes to the held ones until these are a character or broken; returns how many it took. */
static size_t pending_extend(liz_text_stream *stream, const char *bytes, size_t n, liz_buf *out)
{
    size_t used = 0;
    while (stream->n_pending > 0 && used < n) {
        stream->pending[stream->n_pending++] = bytes[used++];
        size_t len;
        switch (lead_of(stream->pending, (size_t)stream->n_pending, &len)) {
        case LEAD_START: break;
        case LEAD_CHARACTER:
            liz_buf_append(out, stream->pending, len);
            stream->n_pending = 0;
            break;
        case LEAD_BROKEN:
            /* All held before were the start of a character, so only the new byte is left over. */
            liz_buf_puts(out, replacement);
            stream->n_pending = 0;
            used--;
            break;
        }
    }
    return used;
}

void liz_text_stream_push(liz_text_stream *stream, const char *bytes, size_t n, liz_buf *out)
{
    size_t i = pending_extend(stream, bytes, n, out);
    while (i < n) {
        size_t n_valid = liz_utf8_valid_prefix(bytes + i, n - i);
        liz_buf_append(out, bytes + i, n_valid);
        i += n_valid;
        if (i == n)
            return;
        size_t len;
        if (lead_of(bytes + i, n - i, &len) == LEAD_START) {
            memcpy(stream->pending, bytes + i, len);
            stream->n_pending = (int)len;
            return;
        }
        liz_buf_puts(out, replacement);
        i += len;
    }
}

void liz_text_stream_finish(liz_text_stream *stream, liz_buf *out)
{
    if (stream->n_pending > 0)
        liz_buf_puts(out, replacement);
    stream->n_pending = 0;
}
