/* alloc_fail.h - memory that is refused at the n-th request, and an account of what was not given back.
 *
 * A program that includes this is linked with --wrap for the calls by which the library takes memory, threads and
 * mappings (the Makefile's WRAP_ALLOC), so it works beneath a sanitizer too. What the C library takes for itself is
 * not seen. */
#ifndef LIZ_TESTS_ALLOC_FAIL_H
#define LIZ_TESTS_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Refuses the n-th request from now on any thread (counted from 1; 0: none), once. */
void alloc_fail_at(long n);
/* Whether it came to that; then none is refused any more. */
bool alloc_fail_stop(void);

/* What the library has taken and not given back. */
size_t alloc_n_live(void);

#endif
