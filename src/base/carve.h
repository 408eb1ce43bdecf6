/* carve.h - a block of memory cut into arrays by code that runs twice: first without a block, to count its bytes. */
#ifndef LIZ_BASE_CARVE_H
#define LIZ_BASE_CARVE_H

#include "base/checked.h"

enum { LIZ_CARVE_ALIGN = 64 };

/* Arrays that are never alive together share their place where `used` is set back; the whole takes `most`. */
typedef struct liz_carver {
    uint8_t *base; /* NULL: only counts */
    uint64_t used, most;
    bool overflow;
} liz_carver;

/* An array of n elements of `size` bytes, aligned; NULL without a block. */
static inline void *liz_carve(liz_carver *c, uint64_t n, uint64_t size)
{
    uint64_t bytes, at = c->used;
    if (!liz_u64_mul(n, size, &bytes) || !liz_u64_round_up(bytes, LIZ_CARVE_ALIGN, &bytes) ||
        !liz_u64_add(c->used, bytes, &c->used))
        c->overflow = true;
    c->most = c->used > c->most ? c->used : c->most;
    return c->base != NULL ? c->base + at : NULL;
}

#endif
