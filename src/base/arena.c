/* arena.c - chunks in a list, bumped from the front. */
#include "base/arena.h"

#include "base/checked.h"
#include "base/tiny.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE_MIN = LIZ_OR_TINY(64 * 1024, 64), ALIGN = 64 };

struct liz_arena_chunk {
    liz_arena_chunk *next;
    size_t size, used;
    _Alignas(ALIGN) unsigned char data[];
};

void liz_arena_init(liz_arena *arena, size_t size_max) { *arena = (liz_arena){.size_max = size_max}; }

static liz_arena_chunk *chunk_new(size_t size)
{
    size_t total;
    if (!liz_size_add(size, sizeof(liz_arena_chunk) + ALIGN, &total))
        return NULL;
    liz_arena_chunk *chunk = aligned_alloc(ALIGN, total / ALIGN * ALIGN);
    if (chunk != NULL)
        *chunk = (liz_arena_chunk){.size = size};
    return chunk;
}

void *liz_arena_alloc(liz_arena *arena, size_t size)
{
    size_t need;
    arena->refused = false;
    if (!liz_size_add(size, ALIGN - 1, &need))
        return NULL;
    need = need / ALIGN * ALIGN;
    if (need > arena->size_max - arena->used_bytes)
        return NULL;
    liz_arena_chunk *chunk = arena->chunk;
    if (chunk == NULL || chunk->size - chunk->used < need) {
        chunk = chunk_new(need > CHUNK_SIZE_MIN ? need : CHUNK_SIZE_MIN);
        arena->refused = chunk == NULL;
        if (chunk == NULL)
            return NULL;
        chunk->next = arena->chunk;
        arena->chunk = chunk;
    }
    void *p = chunk->data + chunk->used;
    chunk->used += need;
    arena->used_bytes += need;
    memset(p, 0, need);
    return p;
}

void *liz_arena_array(liz_arena *arena, size_t n, size_t size)
{
    size_t total;
    return liz_size_mul(n, size, &total) ? liz_arena_alloc(arena, total) : NULL;
}

char *liz_arena_strdup(liz_arena *arena, const char *text, size_t n)
{
    size_t total;
    char *copy = liz_size_add(n, 1, &total) ? liz_arena_alloc(arena, total) : NULL;
    if (copy != NULL && n > 0)
        memcpy(copy, text, n);
    return copy;
}

static void chunks_free(liz_arena_chunk *chunk)
{
    while (chunk != NULL) {
        liz_arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void liz_arena_reset(liz_arena *arena)
{
    if (arena->chunk != NULL) {
        chunks_free(arena->chunk->next);
        arena->chunk->next = NULL;
        arena->chunk->used = 0;
    }
    arena->used_bytes = 0;
}

void liz_arena_free(liz_arena *arena)
{
    chunks_free(arena->chunk);
    arena->chunk = NULL;
    arena->used_bytes = 0;
}
