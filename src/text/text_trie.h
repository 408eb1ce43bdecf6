/* text_trie.h - which strings of a set stand at a place of a text.
 *
 * A tree of bytes, built once and then only read. The children of a node have neighbouring numbers and stand in the
 * order of their bytes, so a node costs nine bytes and a step is a search among at most 256 of them. Numbers grow
 * with depth: node 0 is the root and nobody's child. */
#ifndef LIZ_TEXT_TRIE_H
#define LIZ_TEXT_TRIE_H

#include "text/text_table.h"

typedef struct liz_text_trie {
    uint32_t *child;     /* [n_nodes + 1] the children of node i are child[i] up to child[i + 1] */
    uint8_t *byte;       /* [n_nodes] that leads to the node */
    int32_t *value;      /* [n_nodes] the string that ends here; -1: none */
    uint32_t first[256]; /* the root's child for a byte; 0: none */
} liz_text_trie;

/* Of the strings `ids` [n], none of them empty; sorts `ids`. Of equal strings the lowest id counts. False: no memory.
 */
bool liz_text_trie_init(liz_text_trie *trie, const liz_text_strings *strings, int32_t *ids, size_t n);
void liz_text_trie_free(liz_text_trie *trie);

/* The child of `node` by `byte`; 0: none. */
static inline uint32_t liz_text_trie_step(const liz_text_trie *trie, uint32_t node, uint8_t byte)
{
    if (node == 0)
        return trie->first[byte];
    uint32_t lo = trie->child[node], n = trie->child[node + 1] - lo;
    const uint8_t *at = n == 0 ? NULL : (const uint8_t *)memchr(trie->byte + lo, byte, n);
    return at == NULL ? 0 : (uint32_t)(at - trie->byte);
}

/* The longest string that `text` [n] begins with, and its length; -1: none. */
int32_t liz_text_trie_longest(const liz_text_trie *trie, const char *text, size_t n, size_t *len);

#endif
