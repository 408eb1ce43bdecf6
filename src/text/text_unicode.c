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

static void fill_block(uint8_t *out, unsigned block)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned code = block << 8 | i;
        out[i] = (uint8_t)((unsigned)utf8proc_category((utf8proc_int32_t)code) | (is_white_space(code) ? 32u : 0));
    }
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
