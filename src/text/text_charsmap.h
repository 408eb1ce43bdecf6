/* text_charsmap.h - SentencePiece's precompiled character map: what the beginning of a text is replaced by.
 *
 * The map is a blob of the model file: four bytes for the length of a tree, the tree, and the replacements, each ended
 * by NUL. The tree is a double array of 32-bit units (the darts-clone layout): the child of a unit by a byte is at the
 * unit's own place, exclusive-or its offset, exclusive-or the byte; it is one if it carries that byte as its label.
 * The blob is not trusted: an index outside it ends the match, and replacements have a longest length. */
#ifndef LIZ_TEXT_CHARSMAP_H
#define LIZ_TEXT_CHARSMAP_H

#include "format/gguf.h"

typedef struct liz_text_charsmap {
    uint32_t *units; /* [n_units] */
    size_t n_units;
    char *replacements; /* [n_replacements], the last one NUL */
    size_t n_replacements;
} liz_text_charsmap;

/* Without the key the map is empty. LIZ_E_FORMAT, LIZ_E_LIMIT, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_text_charsmap_open(liz_text_charsmap *map, const liz_gguf *gguf, const char *key,
                                                 liz_error *err);
void liz_text_charsmap_free(liz_text_charsmap *map);

/* The bytes of the longest entry that `text` [n] begins with, its replacement in `*to`; 0: none. */
size_t liz_text_charsmap_match(const liz_text_charsmap *map, const char *text, size_t n, liz_str *to);

#endif
