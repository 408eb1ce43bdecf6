/* cases.h - tests that are data: tests/cases/WHAT/{valid,invalid}/NAME/, each folder a test. */
#ifndef LIZ_TESTS_CASES_H
#define LIZ_TESTS_CASES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Runs `check` for every folder of tests/cases/WHAT, with the folder's path as its state; at least `n_least` of them.
 * Returns what main does. */
int cases_run(const char *what, size_t n_least, void (*check)(void **state));

/* The text of a file of the case, NUL-terminated; NULL where there is none. Released with free(). */
char *case_read(const char *folder, const char *name);
bool case_is_valid(const char *folder);
/* Compares what came out with the case's file `expected`; with LIZZIE_TEST_PRINT set, prints it instead. */
void case_expect(const char *folder, const char *got);

#endif
