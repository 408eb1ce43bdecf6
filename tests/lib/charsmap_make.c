/* charsmap_make.c - see charsmap_make.h. The layout is that of src/text/text_unigram.c.
 *
 * A node takes the first offset at which all its children find a free unit and which no other node has. */
#include "charsmap_make.h"

#include <stdint.h>
#include <stdlib.h>

enum { UNITS_MAX = 1 << 14 };

typedef struct tree {
    const charsmap_entry *entries;
    uint32_t units[UNITS_MAX];
    bool used[UNITS_MAX], base_used[UNITS_MAX];
    size_t n_units;
    liz_buf replacements;
} tree;

static bool base_fits(const tree *t, uint32_t base, const bool labels[256])
{
    bool fits = !t->base_used[base];
    for (unsigned c = 0; fits && c < 256; c++)
        fits = !labels[c] || !t->used[base ^ c];
    return fits;
}

static void make_node(tree *t, uint32_t node, size_t lo, size_t hi, size_t depth)
{
    bool labels[256] = {false};
    for (size_t i = lo; i < hi; i++)
        labels[(uint8_t)t->entries[i].from[depth]] = true;
    uint32_t base = 256;
    while (!base_fits(t, base, labels))
        if (++base + 256 >= UNITS_MAX)
            abort();
    t->base_used[base] = true;
    t->units[node] |= (node ^ base) << 10;
    for (unsigned c = 0; c < 256; c++)
        if (labels[c]) {
            t->used[base ^ c] = true;
            t->units[base ^ c] = c;
            t->n_units = (base ^ c) + 1 > t->n_units ? (base ^ c) + 1 : t->n_units;
        }
    if (labels[0]) { /* the first of the range ends here */
        t->units[node] |= 1u << 8;
        t->units[base] = 1u << 31 | (uint32_t)t->replacements.len;
        liz_buf_append(&t->replacements, t->entries[lo].to, strlen(t->entries[lo].to) + 1);
        lo++;
    }
    for (size_t i = lo; i < hi;) {
        uint8_t c = (uint8_t)t->entries[i].from[depth];
        size_t j = i;
        while (j < hi && (uint8_t)t->entries[j].from[depth] == c)
            j++;
        make_node(t, base ^ c, i, j, depth + 1);
        i = j;
    }
}

static void put_u32(liz_buf *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        liz_buf_putc(out, (char)(value >> 8 * i));
}

void charsmap_make(liz_buf *out, const charsmap_entry *entries, size_t n)
{
    tree *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    t->entries = entries;
    t->used[0] = true;
    liz_buf_init(&t->replacements, 1 << 16);
    make_node(t, 0, 0, n, 0);
    put_u32(out, (uint32_t)(4 * t->n_units));
    for (size_t i = 0; i < t->n_units; i++)
        put_u32(out, t->units[i]);
    liz_buf_append_str(out, liz_buf_str(&t->replacements));
    liz_buf_free(&t->replacements);
    free(t);
}
