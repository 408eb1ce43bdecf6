/* str.c - UTF-8 (RFC 3629), and counting. */
#include "base/str.h"

#include <stdint.h>
#include <utf8proc.h>

size_t liz_utf8_decode(const char *text, size_t n, unsigned *code)
{
    utf8proc_int32_t value;
    utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &value);
    if (len > 0 && code != NULL)
        *code = (unsigned)value;
    return len > 0 ? (size_t)len : 0;
}

size_t liz_utf8_encode(unsigned code, char *out)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

/* Eight bytes at a time while they are ASCII. */
static size_t ascii_run(const char *text, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, text + i, 8);
        if (word & 0x8080808080808080u)
            break;
    }
    return i;
}

size_t liz_utf8_valid_prefix(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        i += ascii_run(text + i, n - i);
        if (i == n)
            break;
        size_t len = liz_utf8_decode(text + i, n - i, NULL);
        if (len == 0)
            return i;
        i += len;
    }
    return i;
}

size_t liz_utf8_incomplete_suffix(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t back_max = n < 3 ? n : 3;
    for (size_t back = 1; back <= back_max; back++) {
        unsigned char c = s[n - back];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t len = c >= 0xF0 && c <= 0xF4 ? 4 : c >= 0xE0 && c <= 0xEF ? 3 : c >= 0xC2 && c <= 0xDF ? 2 : 1;
        if (len <= back)
            return 0;
        /* The second byte already rules out overlong forms, surrogates and values past U+10FFFF. */
        if (back >= 2) {
            unsigned char d = s[n - back + 1];
            bool bad = (c == 0xE0 && d < 0xA0) || (c == 0xED && d > 0x9F) || (c == 0xF0 && d < 0x90) ||
                       (c == 0xF4 && d > 0x8F);
            if (bad)
                return 0;
        }
        return back;
    }
    return 0;
}

liz_str liz_utf8_unmarked(liz_str text)
{
    return liz_str_starts(text, "\xEF\xBB\xBF") ? (liz_str){text.p + 3, text.n - 3} : text;
}

size_t liz_utf8_count(liz_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return n;
}

size_t liz_str_words(liz_str text)
{
    size_t n = 0;
    for (size_t i = 0, inside = 0; i < text.n; i++) {
        bool space = text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r');
        n += !space && !inside;
        inside = !space;
    }
    return n;
}

int liz_str_compare(liz_str a, liz_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}
