/* text_trie.c - see text_trie.h.
 *
 * Sorted by their bytes, the strings below a node are a range of the list. Nodes are made in order of depth: each
 * hands its range out to its children, byte by byte. Every string is looked at once for each of its bytes. */
#include "text/text_trie.h"

#include "base/checked.h"

#include <stdlib.h>

typedef struct range {
    int32_t lo, hi;
} range;

static int by_bytes(const void *a, const void *b, void *user)
{
    const liz_text_strings *strings = user;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    liz_str s = liz_text_strings_at(strings, i), t = liz_text_strings_at(strings, j);
    int order = liz_str_compare(s, t);
    return order != 0 ? order : (i > j) - (i < j);
}

/* One for the root and one for each byte that a string does not share with the one before it. */
static size_t count_nodes(const liz_text_strings *strings, const int32_t *ids, size_t n)
{
    size_t n_nodes = 1;
    for (size_t i = 0; i < n; i++) {
        liz_str s = liz_text_strings_at(strings, ids[i]), t = {NULL, 0};
        if (i > 0)
            t = liz_text_strings_at(strings, ids[i - 1]);
        size_t shared = 0;
        while (shared < s.n && shared < t.n && s.p[shared] == t.p[shared])
            shared++;
        n_nodes += s.n - shared;
    }
    return n_nodes;
}

static void fill(liz_text_trie *trie, const liz_text_strings *strings, const int32_t *ids, range *below, size_t n_nodes)
{
    uint32_t n_made = 1, level_end = 1, depth = 0;
    for (uint32_t node = 0; node < n_nodes; node++) {
        if (node == level_end) {
            level_end = n_made;
            depth++;
        }
        range r = below[node];
        trie->value[node] = -1;
        for (; r.lo < r.hi && liz_text_strings_at(strings, ids[r.lo]).n == depth; r.lo++)
            if (trie->value[node] < 0)
                trie->value[node] = ids[r.lo];
        trie->child[node] = n_made;
        while (r.lo < r.hi) {
            uint8_t byte = (uint8_t)liz_text_strings_at(strings, ids[r.lo]).p[depth];
            range *child = &below[n_made];
            child->lo = r.lo;
            while (r.lo < r.hi && (uint8_t)liz_text_strings_at(strings, ids[r.lo]).p[depth] == byte)
                r.lo++;
            child->hi = r.lo;
            trie->byte[n_made++] = byte;
        }
    }
    trie->child[n_nodes] = n_made;
    for (uint32_t i = trie->child[0]; i < trie->child[1]; i++)
        trie->first[trie->byte[i]] = i;
}

bool liz_text_trie_init(liz_text_trie *trie, const liz_text_strings *strings, int32_t *ids, size_t n)
{
    qsort_r(ids, n, sizeof *ids, by_bytes, (void *)(uintptr_t)strings);
    size_t n_nodes = count_nodes(strings, ids, n), n_bytes;
    *trie = (liz_text_trie){0};
    if (n_nodes >= UINT32_MAX || !liz_size_mul(n_nodes + 1, sizeof(range), &n_bytes))
        return false;
    range *below = malloc(n_bytes);
    trie->child = malloc((n_nodes + 1) * sizeof *trie->child);
    trie->byte = malloc(n_nodes);
    trie->value = malloc(n_nodes * sizeof *trie->value);
    bool ok = below != NULL && trie->child != NULL && trie->byte != NULL && trie->value != NULL;
    if (ok) {
        below[0] = (range){0, (int32_t)n};
        fill(trie, strings, ids, below, n_nodes);
    }
    free(below);
    return ok;
}

void liz_text_trie_free(liz_text_trie *trie)
{
    free(trie->child);
    free(trie->byte);
    free(trie->value);
}

int32_t liz_text_trie_longest(const liz_text_trie *trie, const char *text, size_t n, size_t *len)
{
    int32_t found = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n && (node = liz_text_trie_step(trie, node, (uint8_t)text[i])) != 0; i++)
        if (trie->value[node] >= 0) {
            found = trie->value[node];
            *len = i + 1;
        }
    return found;
}
