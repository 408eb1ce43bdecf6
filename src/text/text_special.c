/* text_special.c - tokens that are cut out of a text before it is tokenised.
 *
 * User-defined tokens always; control and unknown tokens when the caller allows it. The leftmost one is cut
 * first, the longest of those that begin together.
 * The set is the list of ids sorted by their bytes. The tokens that share a beginning are then a range of it,
 * and each byte of the text narrows the range: no table but the list. A text costs one step a byte while nothing
 * begins there, and at most the longest special token where something nearly does. */
#include "text/text_impl.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b, void *user)
{
    const liz_text_vocab *vocab = user;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    liz_str s = liz_text_of(vocab, i), t = liz_text_of(vocab, j);
    int order = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);
    if (order == 0)
        order = (s.n > t.n) - (s.n < t.n);
    return order != 0 ? order : (i > j) - (i < j);
}

static liz_status open_set(liz_text_vocab *vocab, liz_text_specials *set, unsigned kinds, liz_error *err)
{
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        set->n += (kinds >> vocab->kind[i] & 1) && liz_text_of(vocab, i).n > 0;
    set->ids = malloc(((size_t)set->n + 1) * sizeof *set->ids);
    if (set->ids == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for its special tokens");
    int32_t n = 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if ((kinds >> vocab->kind[i] & 1) && liz_text_of(vocab, i).n > 0)
            set->ids[n++] = i;
    qsort_r(set->ids, (size_t)n, sizeof *set->ids, by_bytes, vocab);
    int32_t at = 0;
    for (unsigned c = 0; c <= 256; c++) {
        while (at < n && (unsigned char)*liz_text_of(vocab, set->ids[at]).p < c)
            at++;
        set->first[c] = at;
    }
    return LIZ_OK;
}

liz_status liz_text_open_specials(liz_text_vocab *vocab, liz_error *err)
{
    unsigned defined = 1u << LIZ_TOKEN_USER_DEFINED;
    liz_status status = open_set(vocab, &vocab->defined, defined, err);
    if (status != LIZ_OK)
        return status;
    return open_set(vocab, &vocab->special, defined | 1u << LIZ_TOKEN_CONTROL | 1u << LIZ_TOKEN_UNKNOWN, err);
}

/* The first of ids[lo, hi), all longer than `depth` and alike so far, whose byte there is not below `byte`. */
static int32_t lower_bound(const liz_text_vocab *vocab, const liz_text_specials *set, int32_t lo, int32_t hi,
                           size_t depth, unsigned byte)
{
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)liz_text_of(vocab, set->ids[mid]).p[depth] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int32_t liz_text_special_at(const liz_text_vocab *vocab, const liz_text_specials *set, const char *text, size_t n)
{
    if (n == 0)
        return -1;
    unsigned byte = (unsigned char)*text;
    int32_t lo = set->first[byte], hi = set->first[byte + 1], found = -1;
    for (size_t depth = 1; lo < hi; depth++) {
        /* Those that end here come first; of equal ones the lowest id. */
        if (liz_text_of(vocab, set->ids[lo]).n == depth)
            found = set->ids[lo];
        while (lo < hi && liz_text_of(vocab, set->ids[lo]).n == depth)
            lo++;
        if (depth == n)
            break;
        byte = (unsigned char)text[depth];
        lo = lower_bound(vocab, set, lo, hi, depth, byte);
        hi = lower_bound(vocab, set, lo, hi, depth, byte + 1);
    }
    return found;
}

size_t liz_text_special_next(const liz_text_vocab *vocab, const liz_text_specials *set, const char *text, size_t n,
                             int32_t *id)
{
    *id = -1;
    if (set->n == 0)
        return n;
    for (size_t i = 0; i < n; i++) {
        unsigned byte = (unsigned char)text[i];
        if (set->first[byte] == set->first[byte + 1])
            continue;
        *id = liz_text_special_at(vocab, set, text + i, n - i);
        if (*id >= 0)
            return i;
    }
    return n;
}
