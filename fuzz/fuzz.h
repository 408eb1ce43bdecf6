/* fuzz.h - what the fuzz targets share.
 *
 * A target is fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput; its corpus is fuzz/corpus/NAME/. It must not crash, leak or
 * run long on any input, and FUZZ_CHECK holds it to what must be true of every input. docs/testing.md says how to run
 * them. */
#ifndef LIZ_FUZZ_FUZZ_H
#define LIZ_FUZZ_FUZZ_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The input as text; `p` is never NULL. */
static inline liz_str fuzz_text(const uint8_t *data, size_t size)
{
    return (liz_str){size ? (const char *)data : "", size};
}

/* A file in memory that holds `data` [size] and then `n_zeros` zeros: its path, the same each time. */
const char *fuzz_file(const void *data, size_t size, size_t n_zeros);
/* A new descriptor at the beginning of that file. */
int fuzz_file_fd(void);

/* The part of `*rest` before the first line "====" (or all of it), which is taken off. */
liz_str fuzz_part(liz_str *rest);
/* A copy that ends with NUL. Released with free(). */
char *fuzz_copy(liz_str text);

#endif
