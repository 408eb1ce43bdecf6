/* text_special.c - tokens that are cut out of a text before it is tokenised.
 *
 * User-defined tokens always; control and unknown tokens when the caller allows it. The leftmost one is cut
 * first, the longest of those that begin together. A text costs one step a byte while nothing begins there, and at
 * most the longest special token where something nearly does. */
#include "text/text_impl.h"

#include <stdlib.h>

liz_status liz_text_open_set(const liz_text_vocab *vocab, liz_text_trie *set, const liz_text_strings *strings,
                             unsigned kinds, liz_error *err)
{
    int32_t *ids = malloc((size_t)vocab->n_tokens * sizeof *ids);
    size_t n = 0;
    for (int32_t i = 0; ids != NULL && i < vocab->n_tokens; i++)
        if ((kinds >> vocab->kind[i] & 1) && liz_text_strings_at(strings, i).n > 0)
            ids[n++] = i;
    bool ok = ids != NULL && liz_text_trie_init(set, strings, ids, n);
    free(ids);
    return ok ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for a tree of its tokens");
}

liz_status liz_text_open_specials(liz_text_vocab *vocab, liz_error *err)
{
    unsigned defined = 1u << LIZ_TOKEN_USER_DEFINED, special = 1u << LIZ_TOKEN_CONTROL | 1u << LIZ_TOKEN_UNKNOWN;
    LIZ_TRY(liz_text_open_set(vocab, &vocab->defined, &vocab->text, defined, err));
    return liz_text_open_set(vocab, &vocab->special, &vocab->text, defined | special, err);
}

size_t liz_text_special_next(const liz_text_trie *set, const char *text, size_t n, int32_t *id)
{
    *id = -1;
    bool empty = set->child[0] == set->child[1];
    for (size_t i = 0, len; i < n && !empty; i++) {
        if (set->first[(unsigned char)text[i]] == 0)
            continue;
        *id = liz_text_trie_longest(set, text + i, n - i, &len);
        if (*id >= 0)
            return i;
    }
    return n;
}
