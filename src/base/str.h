/* str.h - slices of bytes that somebody else owns. */
#ifndef LIZ_BASE_STR_H
#define LIZ_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated; `p` may be NULL when `n` is 0. */
typedef struct liz_str {
    const char *p;
    size_t n;
} liz_str;

/* For printf: printf("%.*s", LIZ_STR_ARG(s)). */
#define LIZ_STR_ARG(s) (int)(s).n, (s).p

static inline liz_str liz_str_of(const char *text) { return (liz_str){text, strlen(text)}; }
static inline bool liz_str_eq(liz_str a, liz_str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool liz_str_is(liz_str a, const char *text) { return liz_str_eq(a, liz_str_of(text)); }
static inline bool liz_str_starts(liz_str a, const char *text)
{
    size_t n = strlen(text);
    return a.n >= n && memcmp(a.p, text, n) == 0;
}

static inline bool liz_str_ends(liz_str a, const char *text)
{
    size_t n = strlen(text);
    return a.n >= n && memcmp(a.p + a.n - n, text, n) == 0;
}

/* Below, at or above 0 as `a` comes before `b`, is `b`, or comes after it, by bytes: for UTF-8 as its code points do.
 */
int liz_str_compare(liz_str a, liz_str b);

/* What stands behind a byte order mark of UTF-8, or all of it where there is none. */
liz_str liz_utf8_unmarked(liz_str text);

/* Runs of what is no white space (of ASCII). */
size_t liz_str_words(liz_str text);

/* Characters of valid UTF-8. */
size_t liz_utf8_count(liz_str text);

/* Bytes of the UTF-8 character at the start of `text` [n] (RFC 3629: no surrogates, no overlong forms,
 * at most U+10FFFF), its code point in `*code` (may be NULL); 0 when the bytes are not one. n >= 1. */
size_t liz_utf8_decode(const char *text, size_t n, unsigned *code);

/* Writes `code` (a scalar value) to `out` [4]; returns the bytes written. */
size_t liz_utf8_encode(unsigned code, char *out);

/* The offset of the first byte that is not part of valid UTF-8; `n` when all of it is valid. */
size_t liz_utf8_valid_prefix(const char *text, size_t n);

/* How many bytes at the end of `text` [n] begin a character that more bytes could complete (0 to 3). */
size_t liz_utf8_incomplete_suffix(const char *text, size_t n);

#endif
