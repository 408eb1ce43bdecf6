/* tiers.h - what tests of kernels share: each tier that the machine has, in turn, against the C reference.
 *
 * Random inputs come from a printed seed, and the name of the entry under test is told when one crashes. */
#ifndef LIZ_TESTS_TIERS_H
#define LIZ_TESTS_TIERS_H

#include "kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern liz_kernel ref, tested;
extern const char *entry; /* under test */

/* In guarded memory. The first has zeros, large numbers and denormals among them. */
float *random_floats(size_t n);
float *gauss_floats(size_t n);

/* Fails unless they are the same bits, or both not a number; the rest is for the message. */
void compare(const float *a, const float *b, size_t n, const char *what, size_t n_in, size_t n_tok);

double seconds(void);

typedef struct tiers_tests {
    const struct CMUnitTest *once; /* with the C tier */
    size_t n_once;
    const struct CMUnitTest *each; /* with every other */
    size_t n_each;
    void (*bench)(liz_tier_id tier, const char *arg); /* what --bench [ARG] does with each tier */
    const char *bench_arg;                            /* these two are tiers_main's */
    int result;
} tiers_tests;

int tiers_main(int argc, char **argv, tiers_tests *tests);

#endif
