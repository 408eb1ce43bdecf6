/* text_table.h - the tables a vocabulary is made of: strings, and hash tables over them.
 *
 * All are built once and then only read. Hash tables are open addressing with linear probing, at most half
 * full, so that a lookup needs no bound but the empty slot. Each is salted at random: nobody can write a file
 * whose entries all fall on one slot. */
#ifndef LIZ_TEXT_TABLE_H
#define LIZ_TEXT_TABLE_H

#include "base/hash.h"
#include "base/str.h"

#include <stdint.h>

/* `n` byte strings behind one another. */
typedef struct liz_text_strings {
    char *bytes;
    uint32_t *off; /* [n + 1] */
} liz_text_strings;

bool liz_text_strings_init(liz_text_strings *strings, size_t n, size_t n_bytes); /* false: no memory */
void liz_text_strings_free(liz_text_strings *strings);

static inline liz_str liz_text_strings_at(const liz_text_strings *strings, int32_t i)
{
    return (liz_str){strings->bytes + strings->off[i], strings->off[i + 1] - strings->off[i]};
}

/* From a string to its index. Of equal strings the first one added is found. */
typedef struct liz_text_index {
    const liz_text_strings *strings;
    uint64_t *slots; /* upper half of the hash, index + 1; 0: empty */
    size_t mask;
    uint64_t seed;
} liz_text_index;

bool liz_text_index_init(liz_text_index *index, const liz_text_strings *strings, size_t n_max);
void liz_text_index_free(liz_text_index *index);
void liz_text_index_add(liz_text_index *index, int32_t i);
int32_t liz_text_index_find(const liz_text_index *index, liz_str text); /* -1: none */

/* From two numbers to a symbol: from neighbouring symbols to what they merge to, from a code point (and 0) to its own.
 */
typedef struct liz_text_pair {
    uint64_t key;      /* left << 32 | right; UINT64_MAX: empty */
    uint32_t priority; /* lower merges first */
    int32_t symbol;
} liz_text_pair;

/* No merge has this priority. */
#define LIZ_TEXT_PRIORITY_NONE UINT32_MAX

typedef struct liz_text_pairs {
    liz_text_pair *slots;
    size_t n, mask;
    uint64_t factor; /* odd */
    int shift;
} liz_text_pairs;

bool liz_text_pairs_init(liz_text_pairs *pairs, size_t n_max);
void liz_text_pairs_free(liz_text_pairs *pairs);
/* Keeps what is there when the pair is known already. Grows as needed; false: no memory. */
bool liz_text_pairs_add(liz_text_pairs *pairs, int32_t left, int32_t right, uint32_t priority, int32_t symbol);

static inline size_t liz_text_pair_slot(const liz_text_pairs *pairs, uint64_t key)
{
    return (size_t)((key ^ key >> 29) * pairs->factor >> pairs->shift);
}

/* The priority of merging `left` and `right`, and what they become. Either may be negative: no merge. */
static inline uint32_t liz_text_pairs_find(const liz_text_pairs *pairs, int32_t left, int32_t right, int32_t *symbol)
{
    if ((left | right) < 0)
        return LIZ_TEXT_PRIORITY_NONE;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = liz_text_pair_slot(pairs, key);; i = (i + 1) & pairs->mask) {
        const liz_text_pair *slot = &pairs->slots[i];
        if (slot->key == key) {
            *symbol = slot->symbol;
            return slot->priority;
        }
        if (slot->key == UINT64_MAX)
            return LIZ_TEXT_PRIORITY_NONE;
    }
}

#endif
