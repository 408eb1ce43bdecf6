/* name_index.c - open addressing with linear probing, half full at most. */
#include "format/name_index.h"

#include "base/hash.h"

#include <sys/random.h>

static uint64_t seed_draw(const void *fallback)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)(uintptr_t)fallback; /* where the memory happens to be: better than nothing */
    return seed;
}

static liz_str item_name(const liz_name_index *index, size_t i)
{
    liz_str name;
    memcpy(&name, (const char *)index->items + i * index->stride, sizeof name);
    return name;
}

/* The slot that holds `name`, or the free one where it belongs. */
static uint32_t *slot_of(const liz_name_index *index, liz_str name)
{
    size_t at = liz_hash_seeded(index->seed, name.p, name.n) & (index->n_slots - 1);
    while (index->slots[at] != 0 && !liz_str_eq(item_name(index, index->slots[at] - 1), name))
        at = (at + 1) & (index->n_slots - 1);
    return &index->slots[at];
}

bool liz_name_index_build(liz_name_index *index, const void *items, size_t n, size_t stride, liz_arena *arena,
                          size_t *twin)
{
    LIZ_ASSERT(n < UINT32_MAX / 2);
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    uint32_t *slots = liz_arena_array(arena, n_slots, sizeof *slots);
    if (slots == NULL)
        return false;
    *index = (liz_name_index){items, stride, slots, n_slots, seed_draw(slots)};
    *twin = LIZ_NAME_ABSENT;
    for (size_t i = 0; i < n; i++) {
        uint32_t *slot = slot_of(index, item_name(index, i));
        if (*slot != 0) {
            *twin = i;
            break;
        }
        *slot = (uint32_t)i + 1;
    }
    return true;
}

size_t liz_name_index_find(const liz_name_index *index, liz_str name)
{
    if (index->n_slots == 0)
        return LIZ_NAME_ABSENT;
    uint32_t slot = *slot_of(index, name);
    return slot == 0 ? LIZ_NAME_ABSENT : slot - 1;
}
