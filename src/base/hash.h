/* hash.h - 128-bit content hashes (XXH3 of xxHash): equality of files, inputs and token pages.
 *
 * Fast and well distributed, not cryptographic: it detects change, it does not stop a forger. */
#ifndef LIZ_BASE_HASH_H
#define LIZ_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct liz_hash {
    uint64_t lo, hi;
} liz_hash;

/* Running state of a hash over bytes that come in pieces. */
typedef struct liz_hasher liz_hasher;

liz_hash liz_hash_bytes(const void *data, size_t n);

/* The hash of `data` [n] that follows `before`: a chain, one link at a time. */
liz_hash liz_hash_chain(liz_hash before, const void *data, size_t n);

/* A 64-bit hash under a seed, for tables of names that come from outside: without the seed nobody can
 * choose names that collide. */
uint64_t liz_hash_seeded(uint64_t seed, const void *data, size_t n);

/* NULL when memory is short. */
liz_hasher *liz_hasher_new(void);
void liz_hasher_update(liz_hasher *hasher, const void *data, size_t n);
liz_hash liz_hasher_digest(const liz_hasher *hasher); /* of all so far; more may follow */
void liz_hasher_free(liz_hasher *hasher);

static inline bool liz_hash_eq(liz_hash a, liz_hash b) { return a.lo == b.lo && a.hi == b.hi; }

/* 32 lower-case hexadecimal digits and a NUL. */
void liz_hash_hex(liz_hash hash, char out[33]);
/* False when `hex` is not 32 hexadecimal digits. */
bool liz_hash_from_hex(liz_hash *out, const char *hex);

#endif
