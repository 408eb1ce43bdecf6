/* text_encode.c - a text to token ids.
 *
 * Special tokens are cut out, the leftmost first, the longest of those that begin together; what lies between, a
 * stretch, goes through the vocabulary's algorithm by itself: nothing merges across a special token. SentencePiece puts
 * a space before the text and after each special token. RWKV's algorithm, the longest token at each place, is short
 * enough to stand here. Everything a call allocates is in one struct and gone at its end but the ids. */
#include "text/text_merge.h"

#include <stdlib.h>

/* What one call needs. */
typedef struct encoding {
    const liz_text_vocab *vocab;
    liz_text_ids out;
    liz_text_merger merger;
    liz_buf spaced;     /* a stretch with a space before it, or in its normal form */
    bool after_special; /* the next stretch takes the space */
    const size_t *data; /* ranges of bytes that hold no control tokens; those behind are dropped */
    size_t n_data;
} encoding;

static bool is_c_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void encode_longest(const liz_text_vocab *vocab, liz_str text, liz_text_ids *out)
{
    for (size_t i = 0, len = 1; i < text.n; i += len, len = 1) {
        int32_t id = liz_text_trie_longest(&vocab->plain, text.p + i, text.n - i, &len);
        if (id >= 0 || vocab->unk >= 0)
            liz_text_ids_push(out, id >= 0 ? id : vocab->unk);
    }
}

static void encode_stretch(encoding *e, liz_str text)
{
    const liz_text_vocab *vocab = e->vocab;
    if (text.n == 0)
        return;
    if (vocab->algorithm == LIZ_TEXT_SPM && vocab->leading_space && e->after_special) {
        liz_buf_clear(&e->spaced);
        liz_buf_putc(&e->spaced, ' ');
        liz_buf_append_str(&e->spaced, text);
        text = liz_buf_str(&e->spaced);
    }
    e->after_special = false;
    switch (vocab->algorithm) {
    case LIZ_TEXT_SPM: liz_text_spm_encode(vocab, &e->merger, text); break;
    case LIZ_TEXT_BPE: liz_text_bpe_encode(vocab, &e->merger, text); break;
    case LIZ_TEXT_WORDPIECE: liz_text_wordpiece_encode(vocab, text, &e->out); break;
    case LIZ_TEXT_UNIGRAM: liz_text_unigram_encode(vocab, &e->merger, text, &e->spaced); break;
    case LIZ_TEXT_RWKV: encode_longest(vocab, text, &e->out); break;
    }
    e->merger.failed |= liz_buf_failed(&e->spaced);
}

/* Bytes from `at` to the next that is data. */
static size_t n_until_data(encoding *e, size_t at)
{
    while (e->n_data > 0 && e->data[1] <= at) {
        e->data += 2;
        e->n_data--;
    }
    return e->n_data == 0 ? SIZE_MAX : e->data[0] > at ? e->data[0] - at : 0;
}

/* Where the next special token begins, `n` when there is none: one step a byte while nothing begins there, and at most
 * the longest special token where something nearly does. */
static size_t first_of(const liz_text_trie *set, const char *text, size_t n, int32_t *id)
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

/* Where the next special token begins at or behind `at`, and which; text.n when there is none. */
static size_t next_special(encoding *e, liz_str text, size_t at, const liz_text_trie *set, int32_t *id)
{
    for (size_t len;; at++) {
        at += first_of(set, text.p + at, text.n - at, id);
        size_t n_free = *id >= 0 ? n_until_data(e, at) : SIZE_MAX;
        if (*id < 0 || liz_text_of(e->vocab, *id).n <= n_free)
            return at;
        *id = n_free > 0 ? liz_text_trie_longest(set, text.p + at, n_free, &len) : -1;
        if (*id < 0)
            *id = liz_text_trie_longest(&e->vocab->defined, text.p + at, text.n - at, &len);
        if (*id >= 0)
            return at;
    }
}

static void encode_all(encoding *e, liz_str text, const liz_text_trie *set)
{
    for (size_t at = 0; at < text.n;) {
        int32_t id;
        size_t next = next_special(e, text, at, set, &id), end = next;
        if (id >= 0 && (e->vocab->flags[id] & LIZ_TEXT_LSTRIP))
            while (end > at && is_c_space(text.p[end - 1]))
                end--;
        encode_stretch(e, (liz_str){text.p + at, end - at});
        at = next;
        if (id < 0)
            continue;
        liz_text_ids_push(&e->out, id);
        e->after_special = true;
        at += liz_text_of(e->vocab, id).n;
        if (e->vocab->flags[id] & LIZ_TEXT_RSTRIP)
            while (at < text.n && is_c_space(text.p[at]))
                at++;
    }
}

/* False when memory is short. */
static bool encoding_open(encoding *e, size_t n_text)
{
    e->merger = (liz_text_merger){.vocab = e->vocab, .out = &e->out, .window_min = LIZ_TEXT_WINDOW};
    liz_buf_init(&e->spaced, INT32_MAX);
    if (e->vocab->algorithm != LIZ_TEXT_WORDPIECE && e->vocab->algorithm != LIZ_TEXT_RWKV)
        liz_text_merger_open_cache(&e->merger, n_text);
    e->after_special = true;
    return liz_text_ids_reserve(&e->out, n_text / 4 + 16);
}

liz_status liz_text_encode(const liz_text_vocab *vocab, liz_str text, unsigned flags, int32_t **tokens,
                           size_t *n_tokens, liz_error *err)
{
    return liz_text_encode_marked(vocab, text, flags, NULL, 0, tokens, n_tokens, err);
}

liz_status liz_text_encode_marked(const liz_text_vocab *vocab, liz_str text, unsigned flags, const size_t *data,
                                  size_t n_data, int32_t **tokens, size_t *n_tokens, liz_error *err)
{
    *tokens = NULL;
    *n_tokens = 0;
    if (text.n > INT32_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "text: %zu bytes are more than %d: cut it", text.n, INT32_MAX);
    encoding e = {.vocab = vocab, .data = data, .n_data = n_data};
    bool affixes = flags & LIZ_TEXT_AFFIXES;
    if (!encoding_open(&e, text.n))
        e.merger.failed = true;
    if (affixes && vocab->add_bos)
        liz_text_ids_push(&e.out, vocab->bos);
    if (!e.merger.failed)
        encode_all(&e, text, flags & LIZ_TEXT_SPECIAL ? &vocab->special : &vocab->defined);
    if (affixes && vocab->add_eos)
        liz_text_ids_push(&e.out, vocab->eos);
    if (affixes && vocab->add_sep)
        liz_text_ids_push(&e.out, vocab->sep);
    liz_text_merger_free(&e.merger);
    liz_buf_free(&e.spaced);
    if (e.merger.failed || e.out.failed) {
        free(e.out.v);
        return liz_fail(err, LIZ_E_MEMORY, "text: out of memory for the tokens of %zu bytes", text.n);
    }
    *tokens = e.out.v;
    *n_tokens = e.out.n;
    return LIZ_OK;
}
