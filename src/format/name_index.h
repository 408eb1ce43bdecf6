/* name_index.h - finding a key or a tensor by its name in constant time.
 *
 * A table over an array of structs whose first member is a `liz_str` name. The names come from outside, so the hash
 * is seeded at random: nobody can write a file whose names all fall on one slot. Built once, then read-only. */
#ifndef LIZ_FORMAT_NAME_INDEX_H
#define LIZ_FORMAT_NAME_INDEX_H

#include "base/arena.h"
#include "base/str.h"

/* A zeroed struct is an index without names. */
typedef struct liz_name_index {
    const void *items; /* borrowed */
    size_t stride;     /* bytes from one item to the next */
    uint32_t *slots;   /* item + 1, or 0 for a free slot */
    size_t n_slots;    /* a power of two, at least twice the items */
    uint64_t seed;
} liz_name_index;

#define LIZ_NAME_ABSENT SIZE_MAX

/* Indexes items [n] of `stride` bytes, in memory of `arena`. Where two have the same name, `*twin` is the later of
 * them and the index is of no use; otherwise it is LIZ_NAME_ABSENT. False when memory is short. */
bool liz_name_index_build(liz_name_index *index, const void *items, size_t n, size_t stride, liz_arena *arena,
                          size_t *twin);

/* The item of that name, or LIZ_NAME_ABSENT. */
size_t liz_name_index_find(const liz_name_index *index, liz_str name);

#endif
