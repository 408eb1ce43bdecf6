/* text_merge.c - see text_merge.h.
 *
 * Words of up to 23 bytes are looked up in the call's cache first; prose repeats itself. What is not there is merged
 * through a heap, a window of some thousand symbols at a time, so that a word of 64 MB needs no more memory than one of
 * 64 kB and the heap stays in the nearest cache.
 *
 * Why windows are exact. Let A and B be two neighbouring stretches of a word, merged each for itself. Merging
 * AB gives the same tokens as A and B together unless some merge crosses the border; and whether one does is
 * decided by the last token of A and the first of B alone: up to the first crossing merge, everything has gone
 * as in A and in B; the symbols at the border have always lain within those two tokens; and "lowest priority,
 * then leftmost" picks, among the pairs within those two, the same one whatever stands around them. So if the
 * text of these two tokens, merged by itself, keeps the border, so does the word. A window is therefore merged,
 * its tokens but for the last few are kept, the next window begins after them, and the border is checked: it
 * holds at once when the next window begins with the very token that stood there before, and is tried by merging
 * the two tokens otherwise. Should a border ever fail, the word starts over with a window twice as long, which
 * ends, at the latest, with a window as long as the word. */
#include "text/text_merge.h"

#include <stdlib.h>

enum { CAP_MIN = 64, RESERVE_MIN = 256, WHOLE_WORD_MAX = 1024 };

static size_t seed(const liz_text_vocab *vocab, liz_str text, int32_t *symbol, uint32_t *start, size_t max, size_t *n)
{
    return vocab->spaced ? liz_text_spm_seed(vocab, text.p, text.n, symbol, start, max, n)
                         : liz_text_bpe_seed(vocab, text.p, text.n, symbol, start, max, n);
}

static void emit(liz_text_merger *merger, int32_t symbol, const char *bytes, size_t n)
{
    if (symbol >= 0 && symbol < merger->vocab->n_tokens)
        liz_text_ids_push(merger->out, symbol);
    else
        liz_text_push_bytes(merger->vocab, bytes, n, merger->out);
}

/* ---- a window ---- */

/* A heap of four children a node, entries beyond the last one being UINT64_MAX: the least of four is found without
 * a branch that could be guessed wrongly, and half as many levels are walked. */
enum { HEAP_ARITY = 4 };

static void window_free(liz_text_window *w)
{
    free(w->heap);
    *w = (liz_text_window){0};
}

/* One piece of memory: the heap first, whose entries are the widest. */
static bool window_reserve(liz_text_window *w, size_t cap)
{
    if (cap <= w->cap)
        return true;
    cap = cap < CAP_MIN ? CAP_MIN : cap;
    size_t n_heap = 3 * cap + HEAP_ARITY;
    window_free(w);
    w->heap = malloc(n_heap * sizeof *w->heap + (6 * cap + 1) * sizeof(uint32_t));
    if (w->heap == NULL)
        return false;
    w->symbol = (int32_t *)(w->heap + n_heap);
    w->merged = w->symbol + cap;
    w->next = (uint32_t *)w->merged + cap;
    w->prev = w->next + cap;
    w->priority = w->prev + cap;
    w->start = w->priority + cap;
    w->cap = cap;
    return true;
}

static void heap_push(liz_text_window *w, uint64_t entry)
{
    size_t i = w->n_heap++;
    for (size_t parent; i > 0 && w->heap[parent = (i - 1) / HEAP_ARITY] > entry; i = parent)
        w->heap[i] = w->heap[parent];
    w->heap[i] = entry;
}

static uint64_t heap_pop(liz_text_window *w)
{
    uint64_t *heap = w->heap, top = heap[0], last = heap[--w->n_heap];
    heap[w->n_heap] = UINT64_MAX;
    size_t i = 0;
    for (size_t child; (child = HEAP_ARITY * i + 1) < w->n_heap;) {
        size_t a = child + (heap[child + 1] < heap[child]);
        size_t b = child + 2 + (heap[child + 3] < heap[child + 2]);
        size_t least = heap[b] < heap[a] ? b : a;
        if (heap[least] >= last)
            break;
        heap[i] = heap[least];
        i = least;
    }
    if (w->n_heap > 0)
        heap[i] = last;
    return top;
}

#define NO_PLACE UINT32_MAX

/* Rates the pair whose left symbol is at `place`. A merge pushes two entries and has popped one, and there are
 * fewer merges than symbols: 3 * cap entries are enough. */
static void window_rate(const liz_text_pairs *pairs, liz_text_window *w, uint32_t place)
{
    uint32_t right = w->next[place];
    w->priority[place] = right == NO_PLACE
                             ? LIZ_TEXT_PRIORITY_NONE
                             : liz_text_pairs_find(pairs, w->symbol[place], w->symbol[right], &w->merged[place]);
    if (w->priority[place] != LIZ_TEXT_PRIORITY_NONE)
        heap_push(w, (uint64_t)w->priority[place] << 32 | place);
}

/* Merges the `n` >= 1 symbols in the window. The row starts at place 0. */
static void window_merge(const liz_text_pairs *pairs, liz_text_window *w, size_t n)
{
    w->n_heap = 0;
    memset(w->heap, 0xFF, (3 * n + HEAP_ARITY) * sizeof *w->heap);
    for (uint32_t i = 0; i < n; i++) {
        w->prev[i] = i == 0 ? NO_PLACE : i - 1;
        w->next[i] = i + 1 == n ? NO_PLACE : i + 1;
    }
    for (uint32_t i = 0; i < n; i++)
        window_rate(pairs, w, i);
    while (w->n_heap > 0) {
        uint64_t entry = heap_pop(w);
        uint32_t place = (uint32_t)entry;
        /* An entry whose pair has changed since is stale. */
        if (w->priority[place] != (uint32_t)(entry >> 32))
            continue;
        uint32_t gone = w->next[place], right = w->next[gone];
        w->symbol[place] = w->merged[place];
        w->priority[gone] = LIZ_TEXT_PRIORITY_NONE;
        w->next[place] = right;
        if (right != NO_PLACE)
            w->prev[right] = place;
        window_rate(pairs, w, place);
        if (w->prev[place] != NO_PLACE)
            window_rate(pairs, w, w->prev[place]);
    }
}

/* ---- window after window ---- */

/* Whether merging `text` by itself leaves a border at offset `border`. */
static bool border_holds(liz_text_merger *merger, liz_str text, size_t border)
{
    liz_text_window w = {0};
    if (!window_reserve(&w, text.n)) {
        merger->failed = true;
        return true;
    }
    size_t n;
    seed(merger->vocab, text, w.symbol, w.start, w.cap, &n);
    window_merge(&merger->vocab->pairs, &w, n);
    uint32_t place = 0;
    while (place != NO_PLACE && w.start[place] < border)
        place = w.next[place];
    bool holds = place != NO_PLACE && w.start[place] == border;
    window_free(&w);
    return holds;
}

/* The last token of the windows before, and what stood after it. */
typedef struct seam {
    size_t last_start; /* offset in the word */
    int32_t after;     /* symbol */
    size_t after_len;
    bool set;
} seam;

static size_t symbol_end(const liz_text_window *w, uint32_t place, size_t n_bytes)
{
    return w->next[place] == NO_PLACE ? n_bytes : w->start[w->next[place]];
}

/* Whether the window at `pos`, merged, may follow what was kept before it. */
static bool seam_holds(liz_text_merger *merger, liz_str word, size_t pos, size_t n_bytes, const seam *before)
{
    const liz_text_window *w = &merger->window;
    size_t first_len = symbol_end(w, 0, n_bytes);
    if (!before->set || (w->symbol[0] == before->after && first_len == before->after_len))
        return true;
    liz_str both = {word.p + before->last_start, pos + first_len - before->last_start};
    return border_holds(merger, both, pos - before->last_start);
}

/* How many of a window's `n` symbols only serve to settle those before them. In proportion, so that a longer
 * window also looks further ahead. */
static size_t reserve_of(size_t n)
{
    size_t reserve = n / 16 > RESERVE_MIN ? n / 16 : RESERVE_MIN;
    return reserve < n / 2 ? reserve : n / 2;
}

/* One pass over the word with windows of `n_symbols`; false when a border failed. */
static bool encode_windows(liz_text_merger *merger, liz_str word, size_t n_symbols)
{
    liz_text_window *w = &merger->window;
    seam before = {0};
    for (size_t pos = 0; pos < word.n && !merger->failed;) {
        size_t n;
        liz_str rest = {word.p + pos, word.n - pos};
        size_t n_bytes = seed(merger->vocab, rest, w->symbol, w->start, n_symbols, &n);
        uint32_t keep_before = n_bytes == rest.n ? UINT32_MAX : w->start[n - reserve_of(n)];
        window_merge(&merger->vocab->pairs, w, n);
        if (!seam_holds(merger, word, pos, n_bytes, &before))
            return false;
        uint32_t place = 0;
        for (; place != NO_PLACE && symbol_end(w, place, n_bytes) <= keep_before; place = w->next[place]) {
            emit(merger, w->symbol[place], rest.p + w->start[place], symbol_end(w, place, n_bytes) - w->start[place]);
            before.last_start = pos + w->start[place];
        }
        if (place == NO_PLACE)
            return true;
        if (place == 0)
            return false; /* one token fills the window */
        before.set = true;
        before.after = w->symbol[place];
        before.after_len = symbol_end(w, place, n_bytes) - w->start[place];
        pos += w->start[place];
    }
    return true;
}

static void encode_merged(liz_text_merger *merger, liz_str word)
{
    size_t n_before = merger->out->n;
    LIZ_ASSERT(merger->window_min >= 2);
    for (size_t n_symbols = merger->window_min;; n_symbols *= 2) {
        if (n_symbols > word.n)
            n_symbols = word.n;
        if (!window_reserve(&merger->window, n_symbols)) {
            merger->failed = true;
            return;
        }
        if (encode_windows(merger, word, n_symbols))
            return;
        merger->out->n = n_before;
        merger->n_restarts++;
    }
}

/* ---- words ---- */

static void encode_word(liz_text_merger *merger, liz_str word)
{
    const liz_text_vocab *vocab = merger->vocab;
    if (vocab->algorithm == LIZ_TEXT_UNIGRAM) {
        liz_text_unigram_word(merger, word);
        return;
    }
    if (vocab->by_piece.slots != NULL && word.n <= WHOLE_WORD_MAX) {
        int32_t id = liz_text_index_find(&vocab->by_piece, word);
        if (id >= 0) {
            liz_text_ids_push(merger->out, id);
            return;
        }
    }
    encode_merged(merger, word);
}

static inline uint64_t low_bytes(uint64_t word, size_t n) { return n < 8 ? word & ((1ull << 8 * n) - 1) : word; }

/* The key of a word of 1 to 23 bytes. Reads whole words where the buffer allows it. */
static inline void cache_key(liz_str word, const char *text_end, uint64_t key[3])
{
    if ((size_t)(text_end - word.p) >= 24) {
        memcpy(key, word.p, 24);
        key[0] = low_bytes(key[0], word.n);
        key[1] = word.n > 8 ? low_bytes(key[1], word.n - 8) : 0;
        key[2] = word.n > 16 ? low_bytes(key[2], word.n - 16) : 0;
    } else {
        memset(key, 0, 24);
        memcpy(key, word.p, word.n);
    }
    key[2] |= (uint64_t)word.n << 56;
}

static inline size_t cache_slot(const uint64_t key[3], size_t mask)
{
    uint64_t h = (key[0] ^ key[2] * 0xC2B2AE3D27D4EB4Fu) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ key[1]) * 0x9E3779B97F4A7C15u;
    return (h >> 40) & mask;
}

void liz_text_merge_word(liz_text_merger *merger, liz_str word, const char *text_end)
{
    if (merger->failed)
        return;
    if (merger->cache == NULL || word.n > LIZ_TEXT_CACHE_KEY_MAX) {
        encode_word(merger, word);
        return;
    }
    uint64_t key[3];
    cache_key(word, text_end, key);
    liz_text_cached *cached = &merger->cache[cache_slot(key, merger->cache_mask)];
    if (cached->key[0] == key[0] && cached->key[1] == key[1] && cached->key[2] == key[2]) {
        liz_text_ids *out = merger->out;
        if (out->cap - out->n >= LIZ_TEXT_CACHE_IDS_MAX || liz_text_ids_reserve(out, LIZ_TEXT_CACHE_IDS_MAX)) {
            memcpy(out->v + out->n, cached->ids, sizeof cached->ids);
            out->n += (size_t)cached->n_ids;
        }
        return;
    }
    size_t n_before = merger->out->n;
    encode_word(merger, word);
    size_t n_ids = merger->out->n - n_before;
    if (n_ids > LIZ_TEXT_CACHE_IDS_MAX || merger->out->failed)
        return;
    memcpy(cached->key, key, sizeof key);
    cached->n_ids = (int32_t)n_ids;
    if (n_ids > 0)
        memcpy(cached->ids, merger->out->v + n_before, n_ids * sizeof *cached->ids);
}

void liz_text_merger_open_cache(liz_text_merger *merger, size_t n_text)
{
    size_t n_slots = 64;
    while (n_slots < 32768 && n_slots * 16 < n_text)
        n_slots *= 2;
    merger->cache = aligned_alloc(64, n_slots * sizeof *merger->cache);
    merger->cache_mask = n_slots - 1;
    /* No word has length 0, so a zeroed slot is empty. */
    if (merger->cache != NULL)
        memset(merger->cache, 0, n_slots * sizeof *merger->cache);
}

void liz_text_merger_free(liz_text_merger *merger)
{
    free(merger->cache);
    free(merger->cells);
    window_free(&merger->window);
}
