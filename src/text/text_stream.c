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

void liz_text_stream_push(liz_text_stream *stream, const char *bytes, size_t n, liz_buf *out)
{
    for (size_t i = 0, len; i < n;) {
        if (stream->n_pending == 0) {
            len = liz_utf8_valid_prefix(bytes + i, n - i);
            liz_buf_append(out, bytes + i, len);
            i += len;
            if (i == n)
                return;
        }
        stream->pending[stream->n_pending++] = bytes[i++];
        switch (lead_of(stream->pending, (size_t)stream->n_pending, &len)) {
        case LEAD_START: continue;
        case LEAD_CHARACTER: liz_buf_append(out, stream->pending, len); break;
        case LEAD_BROKEN:
            liz_buf_puts(out, replacement);
            i -= (size_t)stream->n_pending - len; /* what was held began a character: at most the new byte is left */
            break;
        }
        stream->n_pending = 0;
    }
}

void liz_text_stream_finish(liz_text_stream *stream, liz_buf *out)
{
    if (stream->n_pending > 0)
        liz_buf_puts(out, replacement);
    stream->n_pending = 0;
}
