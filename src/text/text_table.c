/* text_table.c - see text_table.h. */
#include "text/text_table.h"

#include "base/checked.h"

#include <stdlib.h>
#include <sys/random.h>

static uint64_t salt(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value)
        value = 0x9E3779B97F4A7C15u; /* so early after boot, results are right and a hostile file is slow */
    return value;
}

/* A power of two, at least twice `n`. */
static size_t slots_for(size_t n)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    return n_slots;
}

bool liz_text_strings_init(liz_text_strings *strings, size_t n, size_t n_bytes)
{
    strings->off = calloc(n + 1, sizeof *strings->off);
    strings->bytes = malloc(n_bytes + 1);
    return strings->off != NULL && strings->bytes != NULL;
}

void liz_text_strings_free(liz_text_strings *strings)
{
    free(strings->bytes);
    free(strings->off);
}

bool liz_text_index_init(liz_text_index *index, const liz_text_strings *strings, size_t n_max)
{
    size_t n_slots = slots_for(n_max);
    *index = (liz_text_index){strings, calloc(n_slots, sizeof *index->slots), n_slots - 1, salt()};
    return index->slots != NULL;
}

void liz_text_index_free(liz_text_index *index) { free(index->slots); }

/* The slot where `text` is, or the empty one where it would be. */
static uint64_t *index_slot(const liz_text_index *index, liz_str text, uint64_t *tag)
{
    uint64_t hash = liz_hash_seeded(index->seed, text.p, text.n);
    *tag = hash & 0xFFFFFFFF00000000u;
    for (size_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        uint64_t slot = index->slots[i];
        if (slot == 0)
            return &index->slots[i];
        int32_t at = (int32_t)((uint32_t)slot - 1);
        if ((slot & 0xFFFFFFFF00000000u) == *tag && liz_str_eq(liz_text_strings_at(index->strings, at), text))
            return &index->slots[i];
    }
}

void liz_text_index_add(liz_text_index *index, int32_t i)
{
    uint64_t tag, *slot = index_slot(index, liz_text_strings_at(index->strings, i), &tag);
    if (*slot == 0)
        *slot = tag | ((uint32_t)i + 1);
}

int32_t liz_text_index_find(const liz_text_index *index, liz_str text)
{
    uint64_t tag;
    return (int32_t)((uint32_t)*index_slot(index, text, &tag) - 1);
}

bool liz_text_pairs_init(liz_text_pairs *pairs, size_t n_max)
{
    size_t n_slots = slots_for(n_max), n_bytes;
    if (!liz_size_mul(n_slots, sizeof *pairs->slots, &n_bytes))
        return false;
    *pairs = (liz_text_pairs){malloc(n_bytes), 0, n_slots - 1, salt() | 1, 64 - __builtin_ctzll(n_slots)};
    if (pairs->slots != NULL)
        memset(pairs->slots, 0xFF, n_bytes);
    return pairs->slots != NULL;
}

void liz_text_pairs_free(liz_text_pairs *pairs) { free(pairs->slots); }

static liz_text_pair *pair_slot(const liz_text_pairs *pairs, uint64_t key)
{
    size_t i = liz_text_pair_slot(pairs, key);
    while (pairs->slots[i].key != key && pairs->slots[i].key != UINT64_MAX)
        i = (i + 1) & pairs->mask;
    return &pairs->slots[i];
}

static bool pairs_grow(liz_text_pairs *pairs)
{
    liz_text_pairs wider;
    if (!liz_text_pairs_init(&wider, pairs->mask + 1))
        return false;
    for (size_t i = 0; i <= pairs->mask; i++)
        if (pairs->slots[i].key != UINT64_MAX)
            *pair_slot(&wider, pairs->slots[i].key) = pairs->slots[i];
    wider.n = pairs->n;
    free(pairs->slots);
    *pairs = wider;
    return true;
}

bool liz_text_pairs_add(liz_text_pairs *pairs, int32_t left, int32_t right, uint32_t priority, int32_t symbol)
{
    if (pairs->n * 2 > pairs->mask && !pairs_grow(pairs))
        return false;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    liz_text_pair *slot = pair_slot(pairs, key);
    if (slot->key == UINT64_MAX) {
        *slot = (liz_text_pair){key, priority, symbol};
        pairs->n++;
    }
    return true;
}
