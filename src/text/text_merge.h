/* text_merge.h - turning words into tokens by merging neighbours, for SentencePiece and BPE alike.
 *
 * Both algorithms are one: symbols stand in a row; of all neighbouring pairs that may merge, the one with the
 * lowest priority number goes first (ties: leftmost), until none is left. */
#ifndef LIZ_TEXT_MERGE_H
#define LIZ_TEXT_MERGE_H

#include "text/text_impl.h"

enum { LIZ_TEXT_CACHE_KEY_MAX = 23, LIZ_TEXT_CACHE_IDS_MAX = 9, LIZ_TEXT_WINDOW = 4096 };

/* A word and its tokens: one cache line. */
typedef struct liz_text_cached {
    uint64_t key[3]; /* the bytes, zero beyond; the length in the last one */
    int32_t n_ids;
    int32_t ids[LIZ_TEXT_CACHE_IDS_MAX];
} liz_text_cached;

/* What merging a long word needs: symbols in a doubly linked row, and a heap of candidate pairs. */
typedef struct liz_text_window {
    size_t cap;
    int32_t *symbol;    /* [cap] */
    uint32_t *start;    /* [cap] offset of the symbol's first byte */
    uint32_t *next;     /* [cap] */
    uint32_t *prev;     /* [cap] */
    uint32_t *priority; /* [cap] of the symbol with its right neighbour */
    int32_t *merged;    /* [cap] what these become */
    uint64_t *heap;     /* [3 * cap + 4] priority << 32 | left symbol's place */
    size_t n_heap;
} liz_text_window;

/* One encoding call's state. A zeroed struct with the first three set is ready. */
struct liz_text_merger {
    const liz_text_vocab *vocab;
    liz_text_ids *out;
    size_t window_min; /* symbols merged at a time at first; LIZ_TEXT_WINDOW but for tests */
    liz_text_cached *cache;
    size_t cache_mask;
    liz_text_window window;
    size_t n_restarts; /* words whose windows proved too short */
    void *cells;       /* [n_cells] Unigram's, see text_unigram.c */
    size_t n_cells;
    bool failed; /* out of memory */
};

/* A cache fit for a text of `n_text` bytes. Without memory there is none, which only costs time. */
void liz_text_merger_open_cache(liz_text_merger *merger, size_t n_text);
void liz_text_merger_free(liz_text_merger *merger);

/* A word of a Unigram vocabulary, past the cache. */
void liz_text_unigram_word(liz_text_merger *merger, liz_str word);

/* Appends the tokens of one word. `text_end` is the end of the buffer the word lies in: up to there may be read. */
void liz_text_merge_word(liz_text_merger *merger, liz_str word, const char *text_end);

#endif
