/* arena.h - memory released all at once.
 *
 * An arena hands out zeroed memory from chunks and frees it together: one for a model, a sequence, a
 * request, a step. Its maximum is set at init, so nothing grows without bound. Not thread safe. */
#ifndef LIZ_BASE_ARENA_H
#define LIZ_BASE_ARENA_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct liz_arena_chunk liz_arena_chunk;

/* A zeroed struct with `size_max` set is a valid empty arena. */
typedef struct liz_arena {
    liz_arena_chunk *chunk; /* newest first */
    size_t used_bytes;      /* handed out, all chunks */
    size_t size_max;
    bool refused; /* the last NULL was for want of the system's memory, not of `size_max` */
} liz_arena;

void liz_arena_init(liz_arena *arena, size_t size_max);

/* Zeroed memory aligned to 64 bytes, or NULL when the maximum or the system's memory is reached. */
void *liz_arena_alloc(liz_arena *arena, size_t size);

/* The same for `n` elements of `size` bytes; overflow is NULL. */
void *liz_arena_array(liz_arena *arena, size_t n, size_t size);

/* A NUL-terminated copy of `text` [n]. */
char *liz_arena_strdup(liz_arena *arena, const char *text, size_t n);

/* Forgets what was handed out; keeps the newest chunk. */
void liz_arena_reset(liz_arena *arena);
void liz_arena_free(liz_arena *arena);

#endif
