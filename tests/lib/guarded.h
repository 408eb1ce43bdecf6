/* guarded.h - random numbers and memory for tests of kernels: an unreadable page behind inputs, canaries around
 * outputs. */
#ifndef LIZ_TESTS_GUARDED_H
#define LIZ_TESTS_GUARDED_H

#include <stddef.h>
#include <stdint.h>

extern uint64_t rng_seed;
uint32_t rnd(void);
float rnd_unit(void); /* 0 to 1 */
float rnd_gauss(void);

/* `n` bytes that end where an unreadable page begins, rounded so that the start is aligned to 64. */
void *guarded(size_t n);
void guards_release(void);

/* `n` bytes between canaries, to be checked and freed. */
uint8_t *canaries_new(size_t n);
void canaries_check(uint8_t *p, size_t n, const char *what);

#endif
