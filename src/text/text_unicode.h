/* text_unicode.h - what the tokenizers ask about a character, as one word of bits.
 *
 * Bit c is set for a character of general category c (utf8proc's numbering, Unicode 15), so that a class such
 * as \p{L} is a mask and a test is one `and`. Bit 28, the category of surrogates, which UTF-8 cannot spell, marks the
 * script Han instead; bit 30 White_Space (what \s means in the published patterns); bit 31 a byte that is no part of
 * valid UTF-8: it counts as a character of its own, of no category. */
#ifndef LIZ_TEXT_UNICODE_H
#define LIZ_TEXT_UNICODE_H

#include "base/str.h"

#include <stdint.h>

#define LIZ_CHAR_LU (1u << 1)
#define LIZ_CHAR_LL (1u << 2)
#define LIZ_CHAR_LT (1u << 3)
#define LIZ_CHAR_LM (1u << 4)
#define LIZ_CHAR_LO (1u << 5)
#define LIZ_CHAR_L (0x1Fu << 1)
#define LIZ_CHAR_MN (1u << 6)
#define LIZ_CHAR_M (0x7u << 6)
#define LIZ_CHAR_ND (1u << 9)
#define LIZ_CHAR_NL (1u << 10)
#define LIZ_CHAR_N (0x7u << 9)
#define LIZ_CHAR_PC (1u << 12)
#define LIZ_CHAR_P (0x7Fu << 12)
#define LIZ_CHAR_S (0xFu << 19)
#define LIZ_CHAR_Z (0x7u << 23)
#define LIZ_CHAR_CC (1u << 26)
#define LIZ_CHAR_C (0xBu << 26 | 1u) /* controls, formats, private use, unassigned */
#define LIZ_CHAR_HAN (1u << 28)
#define LIZ_CHAR_SPACE (1u << 30)
#define LIZ_CHAR_INVALID (1u << 31)

/* Unicode 15 has 156 different blocks. */
enum { LIZ_TEXT_UNICODE_BLOCKS_MAX = 256 };

/* One byte a code point (category, 32 for White_Space, 64 for Han), behind one table of blocks. */
typedef struct liz_text_unicode {
    uint32_t ascii[128];    /* masks */
    uint16_t block[0x1100]; /* which block holds code points 256 * i and on */
    uint8_t value[LIZ_TEXT_UNICODE_BLOCKS_MAX][256];
} liz_text_unicode;

/* Built on the first call; any thread. */
const liz_text_unicode *liz_text_unicode_get(void);

static inline uint32_t liz_text_code_mask(const liz_text_unicode *unicode, unsigned code)
{
    uint8_t value = unicode->value[unicode->block[code >> 8]][code & 255];
    return 1u << (value & 31) | (uint32_t)(value & 32) << 25 | (uint32_t)(value & 64) << 22;
}

/* The mask of the character at `text` [n], n >= 1, and its bytes (1 for an invalid byte) and code point. */
static inline uint32_t liz_text_char(const liz_text_unicode *unicode, const char *text, size_t n, size_t *len,
                                     unsigned *code)
{
    unsigned char first = (unsigned char)*text;
    *len = 1;
    *code = first;
    if (first < 0x80)
        return unicode->ascii[first];
    size_t n_bytes = liz_utf8_decode(text, n, code);
    if (n_bytes == 0)
        return LIZ_CHAR_INVALID;
    *len = n_bytes;
    return liz_text_code_mask(unicode, *code);
}

#endif
