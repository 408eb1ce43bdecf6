/* str.c - UTF-8 by the book (RFC 3629). */
#include "base/str.h"

#include <stdint.h>

size_t liz_utf8_decode(const char *text, size_t n, unsigned *code)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned value;
    size_t len;
    if (s[0] < 0x80) {
        value = s[0], len = 1;
    } else if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        value = s[0] & 0x1Fu, len = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        value = s[0] & 0x0Fu, len = 3;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        value = s[0] & 0x07u, len = 4;
    } else {
        return 0;
    }
    if (n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3Fu);
    }
    bool overlong = (len == 3 && value < 0x800) || (len == 4 && value < 0x10000);
    if (overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    if (code != NULL)
        *code = value;
    return len;
}

size_t liz_utf8_encode(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
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
