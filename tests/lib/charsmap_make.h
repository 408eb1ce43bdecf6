/* charsmap_make.h - a precompiled character map from a list of replacements. */
#ifndef TESTS_LIB_CHARSMAP_MAKE_H
#define TESTS_LIB_CHARSMAP_MAKE_H

#include "base/buf.h"

typedef struct charsmap_entry {
    const char *from, *to;
} charsmap_entry;

/* Appends the map of `entries` [n], which are sorted by their bytes. Aborts when they need too large a tree. */
void charsmap_make(liz_buf *out, const charsmap_entry *entries, size_t n);

#endif
