/* philox.h - counter-based random numbers: a pure function of key and counter.
 *
 * Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 * The draw at a place never depends on the draws before it, which is what makes rows reproducible. */
#ifndef LIZ_BASE_PHILOX_H
#define LIZ_BASE_PHILOX_H

#include <stdint.h>

typedef struct liz_philox {
    uint32_t v[4];
} liz_philox;

static inline liz_philox liz_philox4x32(uint64_t key, liz_philox counter)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter.v[0], c1 = counter.v[1], c2 = counter.v[2], c3 = counter.v[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return (liz_philox){{c0, c1, c2, c3}};
}

/* The seed of a row: the low 64 bits of Philox keyed by the job's seed at (index, sample, attempt, 0). */
static inline uint64_t liz_row_seed(uint64_t seed, uint32_t index, uint32_t sample, uint32_t attempt)
{
    liz_philox r = liz_philox4x32(seed, (liz_philox){{index, sample, attempt, 0}});
    return (uint64_t)r.v[1] << 32 | r.v[0];
}

/* What a draw decides; each has its own counter, so that one never tells of another. */
enum { LIZ_DRAW_TOKEN = 0, LIZ_DRAW_XTC = 1 };

/* The draw for the token at `position` under a row's seed: uniform in [0, 1), a multiple of 2^-53. */
static inline double liz_draw(uint64_t row_seed, uint64_t position, uint32_t purpose)
{
    liz_philox counter = {{(uint32_t)position, (uint32_t)(position >> 32), purpose, 0}};
    liz_philox r = liz_philox4x32(row_seed, counter);
    uint64_t bits = (uint64_t)r.v[1] << 32 | r.v[0];
    return (double)(bits >> 11) * 0x1p-53;
}

#endif
