/* checked.h - arithmetic on sizes that come from outside: true and the result, or false on overflow. */
#ifndef LIZ_BASE_CHECKED_H
#define LIZ_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool liz_size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool liz_size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool liz_u64_add(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool liz_u64_mul(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }

/* Rounds `n` up to a multiple of `unit` (a power of two). */
static inline bool liz_u64_round_up(uint64_t n, uint64_t unit, uint64_t *out)
{
    if (!liz_u64_add(n, unit - 1, out))
        return false;
    *out &= ~(unit - 1);
    return true;
}

static inline size_t liz_least(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t liz_most(size_t a, size_t b) { return a > b ? a : b; }
static inline int32_t liz_least_i32(int32_t a, int32_t b) { return a < b ? a : b; }

/* a / b rounded up, for sizes that are our own and cannot overflow. */
static inline size_t liz_div_up(size_t a, size_t b) { return (a + b - 1) / b; }

#endif
