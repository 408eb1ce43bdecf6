/* hash.c - XXH3-128 from libxxhash. */
#include "base/hash.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static liz_hash from_xxh(XXH128_hash_t h) { return (liz_hash){h.low64, h.high64}; }

liz_hash liz_hash_bytes(const void *data, size_t n) { return from_xxh(XXH3_128bits(data, n)); }

liz_hash liz_hash_chain(liz_hash before, const void *data, size_t n)
{
    liz_hash link[2] = {before, liz_hash_bytes(data, n)};
    return liz_hash_bytes(link, sizeof link);
}

uint64_t liz_hash_seeded(uint64_t seed, const void *data, size_t n) { return XXH3_64bits_withSeed(data, n, seed); }

liz_hasher *liz_hasher_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        XXH3_128bits_reset(state);
    return (liz_hasher *)state;
}

void liz_hasher_update(liz_hasher *hasher, const void *data, size_t n)
{
    XXH3_128bits_update((XXH3_state_t *)hasher, data, n);
}

liz_hash liz_hasher_digest(const liz_hasher *hasher)
{
    return from_xxh(XXH3_128bits_digest((const XXH3_state_t *)hasher));
}

void liz_hasher_free(liz_hasher *hasher) { XXH3_freeState((XXH3_state_t *)hasher); }

void liz_hash_hex(liz_hash hash, char out[33])
{
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.hi, (unsigned long long)hash.lo);
}

bool liz_hash_from_hex(liz_hash *out, const char *hex)
{
    unsigned long long hi, lo;
    if (strspn(hex, "0123456789abcdef") != 32 || hex[32] != '\0' || sscanf(hex, "%16llx%16llx", &hi, &lo) != 2)
        return false;
    *out = (liz_hash){.hi = hi, .lo = lo};
    return true;
}
