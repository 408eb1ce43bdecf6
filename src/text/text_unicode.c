/* text_unicode.c - the table behind liz_text_char, made once from utf8proc.
 *
 * utf8proc knows the general category of every code point, but through a function call and two tables of its
 * own records. Here the categories are folded into blocks of 256 bytes, equal blocks shared: about 40 kB in use,
 * a few cache lines for a text in one script. Building it asks for 1.1 million code points, some milliseconds,
 * once in a process (pthread_once); after that it is read-only. It is static, so it cannot fail. */
#include "text/text_unicode.h"

#include "base/status.h"

#include <pthread.h>
#include <stdbool.h>
#include <utf8proc.h>

enum { N_BLOCKS = 0x1100 };

static liz_text_unicode shared;
static pthread_once_t shared_once = PTHREAD_ONCE_INIT;

static bool is_white_space(unsigned code)
{
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
           code == 0x3000;
}

/* Marks Script=Han of Unicode 15, which utf8proc does not tell. */
static void mark_han(uint8_t *out, unsigned block)
{
    static const unsigned ranges[][2] = {
        {0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},   {0x3007, 0x3007},
        {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},
        {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3}, {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739},
        {0x2B740, 0x2B81D}, {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2F800, 0x2FA1D}, {0x30000, 0x3134A},
        {0x31350, 0x323AF},
    };
    unsigned first = block << 8, last = first | 255;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (unsigned code = ranges[i][0] > first ? ranges[i][0] : first; code <= last && code <= ranges[i][1]; code++)
            out[code - first] |= 64;
}

static void fill_block(uint8_t *out, unsigned block)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned code = block << 8 | i;
        out[i] = (uint8_t)((unsigned)utf8proc_category((utf8proc_int32_t)code) | (is_white_space(code) ? 32u : 0));
    }
    mark_han(out, block);
}

static void build(void)
{
    unsigned n_distinct = 0;
    for (unsigned block = 0; block < N_BLOCKS; block++) {
        LIZ_ASSERT(n_distinct < LIZ_TEXT_UNICODE_BLOCKS_MAX);
        uint8_t *fresh = shared.value[n_distinct];
        fill_block(fresh, block);
        unsigned same = n_distinct;
        /* Latest first: neighbours repeat most (private use, ideographs, unassigned planes). */
        while (same > 0 && memcmp(shared.value[same - 1], fresh, 256) != 0)
            same--;
        shared.block[block] = (uint16_t)(same > 0 ? same - 1 : n_distinct);
        n_distinct += same == 0;
    }
    for (unsigned code = 0; code < 128; code++)
        shared.ascii[code] = liz_text_code_mask(&shared, code);
}

const liz_text_unicode *liz_text_unicode_get(void)
{
    pthread_once(&shared_once, build);
    return &shared;
}
