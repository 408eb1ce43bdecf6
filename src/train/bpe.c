/* bpe.c - counting pieces and merging pairs.
 *
 * Distinct pieces are words, sequences of symbols with a count. A table holds every pair of neighbours: how often it
 * occurs, and in which words (a chain, which may name words that have lost it). A heap orders pairs by count; an entry
 * that no longer tells the pair's count is put right or dropped when it comes up. A merge walks the chain of its pair
 * only, so the work is that of the symbols that change. */
#include "train/bpe.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "text/text_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_MAX = 256, NONE = -1 };

typedef struct word {
    uint64_t count;
    size_t at; /* of its symbols; of its bytes while counting */
    uint32_t n;
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t chain; /* newest occurrence */
} pair;

typedef struct occurrence {
    uint32_t word;
    int32_t next;
} occurrence;

typedef struct candidate {
    int64_t count;
    int32_t left, right;
} candidate;

/* An array that grows. */
#define LIST(type)                                                                                                     \
    struct {                                                                                                           \
        type *v;                                                                                                       \
        size_t n, cap;                                                                                                 \
    }

struct liz_bpe {
    const liz_text_pre *pre;
    char pre_name[64];
    const liz_text_unicode *unicode;
    LIST(char) bytes;
    LIST(word) words;
    LIST(int32_t) symbols;
    LIST(pair) pairs;
    LIST(occurrence) occurrences;
    LIST(candidate) heap;
    LIST(liz_bpe_merge) merges;
    int32_t *slots; /* [n_slots] hash table of words */
    size_t n_slots;
    liz_text_pairs pair_at; /* where each stands among `pairs` */
    bool failed;
};

static bool noted(liz_bpe *bpe, bool ok)
{
    bpe->failed = bpe->failed || !ok;
    return ok;
}

#define ROOM(list, more)                                                                                               \
    noted(bpe, liz_array_room(&bpe->list.v, &bpe->list.cap, bpe->list.n + (more), sizeof *bpe->list.v))

liz_status liz_bpe_open(liz_bpe **out, const char *pre, liz_error *err)
{
    const liz_text_pre *found = liz_text_pre_find(liz_str_of(pre));
    if (found == NULL || found->spaced)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "pre-tokenizer \"%s\": not one that byte-level BPE is trained with",
                        pre);
    liz_bpe *bpe = calloc(1, sizeof *bpe);
    if (bpe == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a tokenizer");
    bpe->pre = found;
    snprintf(bpe->pre_name, sizeof bpe->pre_name, "%s", pre);
    bpe->unicode = liz_text_unicode_get();
    *out = bpe;
    return LIZ_OK;
}

void liz_bpe_close(liz_bpe *bpe)
{
    if (bpe == NULL)
        return;
    free(bpe->bytes.v);
    free(bpe->words.v);
    free(bpe->symbols.v);
    free(bpe->pairs.v);
    free(bpe->occurrences.v);
    free(bpe->heap.v);
    free(bpe->merges.v);
    free(bpe->slots);
    liz_text_pairs_free(&bpe->pair_at);
    free(bpe);
}

/* ---- Counting ---- */

static size_t slot_of(const liz_bpe *bpe, const char *p, size_t n)
{
    return liz_hash_seeded(0, p, n) & (bpe->n_slots - 1);
}

/* Twice the slots, and every word where it belongs now. */
static bool slots_grow(liz_bpe *bpe)
{
    free(bpe->slots);
    bpe->n_slots = bpe->n_slots != 0 ? 2 * bpe->n_slots : 1 << 16;
    bpe->slots = malloc(bpe->n_slots * sizeof *bpe->slots);
    if (bpe->slots == NULL)
        return false;
    memset(bpe->slots, 0xFF, bpe->n_slots * sizeof *bpe->slots);
    for (size_t i = 0; i < bpe->words.n; i++) {
        size_t at = slot_of(bpe, bpe->bytes.v + bpe->words.v[i].at, bpe->words.v[i].n);
        while (bpe->slots[at] != NONE)
            at = (at + 1) & (bpe->n_slots - 1);
        bpe->slots[at] = (int32_t)i;
    }
    return true;
}

static void count_piece(liz_bpe *bpe, liz_str piece)
{
    if (bpe->failed || (2 * bpe->words.n >= bpe->n_slots && !slots_grow(bpe))) {
        bpe->failed = true;
        return;
    }
    size_t at = slot_of(bpe, piece.p, piece.n);
    for (; bpe->slots[at] != NONE; at = (at + 1) & (bpe->n_slots - 1)) {
        word *w = &bpe->words.v[bpe->slots[at]];
        if (w->n == piece.n && memcmp(bpe->bytes.v + w->at, piece.p, piece.n) == 0) {
            w->count++;
            return;
        }
    }
    if (bpe->words.n >= INT32_MAX || !ROOM(words, 1) || !ROOM(bytes, piece.n)) {
        bpe->failed = true;
        return;
    }
    memcpy(bpe->bytes.v + bpe->bytes.n, piece.p, piece.n);
    bpe->slots[at] = (int32_t)bpe->words.n;
    bpe->words.v[bpe->words.n++] = (word){1, bpe->bytes.n, (uint32_t)piece.n};
    bpe->bytes.n += piece.n;
}

/* Pieces longer than any token should be (rules of dashes, long numbers) teach nothing. */
liz_status liz_bpe_count(liz_bpe *bpe, liz_str text, liz_error *err)
{
    liz_text_pre_cursor cursor;
    liz_text_pre_cursor_init(&cursor, bpe->unicode, bpe->pre, text);
    for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece);)
        if (piece.n <= PIECE_MAX)
            count_piece(bpe, piece);
    return bpe->failed ? liz_fail(err, LIZ_E_MEMORY, "no memory for a tokenizer's words") : LIZ_OK;
}

/* ---- The heap: the greatest count first, then the lowest ids ---- */

static bool before(candidate a, candidate b)
{
    if (a.count != b.count)
        return a.count > b.count;
    return a.left != b.left ? a.left < b.left : a.right < b.right;
}

static void heap_push(liz_bpe *bpe, const pair *p)
{
    if (p->count < 2 || !ROOM(heap, 1))
        return;
    candidate c = {p->count, p->left, p->right};
    size_t i = bpe->heap.n++;
    for (; i > 0 && before(c, bpe->heap.v[(i - 1) / 2]); i = (i - 1) / 2)
        bpe->heap.v[i] = bpe->heap.v[(i - 1) / 2];
    bpe->heap.v[i] = c;
}

static candidate heap_pop(liz_bpe *bpe)
{
    candidate *v = bpe->heap.v, top = v[0], last = v[--bpe->heap.n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < bpe->heap.n; i = child) {
        if (child + 1 < bpe->heap.n && before(v[child + 1], v[child]))
            child++;
        if (!before(v[child], last))
            break;
        v[i] = v[child];
    }
    v[i] = last;
    return top;
}

/* ---- Pairs ---- */

/* NULL when memory ran out. */
static pair *pair_of(liz_bpe *bpe, int32_t left, int32_t right)
{
    int32_t at;
    if (liz_text_pairs_find(&bpe->pair_at, left, right, &at) != LIZ_TEXT_PRIORITY_NONE)
        return &bpe->pairs.v[at];
    if (bpe->pairs.n >= INT32_MAX || !ROOM(pairs, 1) ||
        !liz_text_pairs_add(&bpe->pair_at, left, right, 0, (int32_t)bpe->pairs.n))
        return NULL;
    bpe->pairs.v[bpe->pairs.n] = (pair){left, right, 0, NONE};
    return &bpe->pairs.v[bpe->pairs.n++];
}

static void pair_add(liz_bpe *bpe, int32_t left, int32_t right, size_t word_at, int64_t count)
{
    pair *p = pair_of(bpe, left, right);
    if (p == NULL || bpe->occurrences.n >= INT32_MAX || !ROOM(occurrences, 1)) {
        bpe->failed = true;
        return;
    }
    p->count += count;
    bool known = p->chain != NONE && bpe->occurrences.v[p->chain].word == word_at;
    if (count < 0 || known)
        return;
    bpe->occurrences.v[bpe->occurrences.n] = (occurrence){(uint32_t)word_at, p->chain};
    p->chain = (int32_t)bpe->occurrences.n++;
}

/* Words from bytes to symbols, and every pair counted. */
static void begin(liz_bpe *bpe)
{
    bpe->failed = bpe->failed || !liz_text_pairs_init(&bpe->pair_at, 1 << 15) || !ROOM(symbols, bpe->bytes.n);
    if (bpe->failed)
        return;
    for (size_t i = 0; i < bpe->bytes.n; i++)
        bpe->symbols.v[i] = (uint8_t)bpe->bytes.v[i];
    for (size_t i = 0; i < bpe->words.n; i++) {
        const word *w = &bpe->words.v[i];
        const int32_t *s = bpe->symbols.v + w->at;
        for (uint32_t k = 0; k + 1 < w->n; k++)
            pair_add(bpe, s[k], s[k + 1], i, (int64_t)w->count);
    }
    for (size_t i = 0; i < bpe->pairs.n; i++)
        heap_push(bpe, &bpe->pairs.v[i]);
}

/* One word: its occurrences of the pair become `merged`, its other pairs follow. */
static void merge_word(liz_bpe *bpe, size_t at, int32_t left, int32_t right, int32_t merged)
{
    word *w = &bpe->words.v[at];
    int32_t *s = bpe->symbols.v + w->at;
    int64_t count = (int64_t)w->count;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        if (i + 1 >= w->n || s[i] != left || s[i + 1] != right) {
            s[n++] = s[i];
            continue;
        }
        if (n > 0) {
            pair_add(bpe, s[n - 1], left, at, -count);
            pair_add(bpe, s[n - 1], merged, at, count);
        }
        if (i + 2 < w->n) {
            pair_add(bpe, right, s[i + 2], at, -count);
            pair_add(bpe, merged, s[i + 2], at, count);
        }
        s[n++] = merged;
        i++;
    }
    w->n = n;
}

/* Pairs with the new symbol are new, and the only ones that have become more. */
static void merge_pair(liz_bpe *bpe, candidate best, int32_t merged)
{
    size_t n_before = bpe->pairs.n;
    int32_t chain = pair_of(bpe, best.left, best.right)->chain;
    for (; chain != NONE && !bpe->failed; chain = bpe->occurrences.v[chain].next)
        merge_word(bpe, bpe->occurrences.v[chain].word, best.left, best.right, merged);
    pair *p = pair_of(bpe, best.left, best.right);
    p->count = 0;
    p->chain = NONE;
    for (size_t i = n_before; i < bpe->pairs.n; i++)
        heap_push(bpe, &bpe->pairs.v[i]);
}

liz_status liz_bpe_merge_all(liz_bpe *bpe, size_t n_tokens, liz_error *err)
{
    if (n_tokens < 256 || n_tokens > LIZ_TEXT_TOKENS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "%zu tokens: a byte-level vocabulary has 256 to %u", n_tokens,
                        LIZ_TEXT_TOKENS_MAX);
    begin(bpe);
    while (!bpe->failed && bpe->merges.n + 256 < n_tokens && bpe->heap.n > 0) {
        candidate best = heap_pop(bpe);
        pair *p = pair_of(bpe, best.left, best.right);
        if (p->count != best.count) {
            heap_push(bpe, p->count < best.count ? p : &(pair){0});
            continue;
        }
        if (!ROOM(merges, 1))
            break;
        bpe->merges.v[bpe->merges.n] = (liz_bpe_merge){best.left, best.right};
        merge_pair(bpe, best, (int32_t)(256 + bpe->merges.n++));
    }
    return bpe->failed ? liz_fail(err, LIZ_E_MEMORY, "no memory for a tokenizer's pairs") : LIZ_OK;
}

const liz_bpe_merge *liz_bpe_merges(const liz_bpe *bpe, size_t *n)
{
    *n = bpe->merges.n;
    return bpe->merges.v;
}

/* ---- The file ---- */

/* Two strings with `between` (none: 0) between them; empty when memory is short. */
static liz_str joined(liz_arena *arena, liz_str a, char between, liz_str b)
{
    size_t n = a.n + (between != 0) + b.n;
    char *p = liz_arena_alloc(arena, n);
    if (p == NULL)
        return (liz_str){0};
    memcpy(p, a.p, a.n);
    if (between != 0)
        p[a.n] = between;
    memcpy(p + n - b.n, b.p, b.n);
    return (liz_str){p, n};
}

/* Tokens [256 + n] as a byte-level vocabulary writes them, and merges [n]. */
static bool write_strings(const liz_bpe *bpe, liz_arena *arena, liz_str *tokens, liz_str *merges)
{
    bool ok = true;
    for (unsigned code = 0; code <= 0x143; code++) {
        char text[4];
        size_t n = liz_utf8_encode(code, text);
        if (liz_text_bpe_byte(code) >= 0)
            tokens[liz_text_bpe_byte(code)] = joined(arena, (liz_str){text, n}, 0, (liz_str){"", 0});
    }
    for (size_t i = 0; i < 256; i++)
        ok = ok && tokens[i].n > 0;
    for (size_t i = 0; ok && i < bpe->merges.n; i++) {
        liz_str left = tokens[bpe->merges.v[i].left], right = tokens[bpe->merges.v[i].right];
        tokens[256 + i] = joined(arena, left, 0, right);
        merges[i] = joined(arena, left, ' ', right);
        ok = tokens[256 + i].n > 0 && merges[i].n > 0;
    }
    return ok;
}

liz_status liz_bpe_put(const liz_bpe *bpe, liz_gguf_writer *writer, const char *const *specials, size_t n_specials,
                       size_t end, liz_error *err)
{
    size_t n_plain = 256 + bpe->merges.n, n = n_plain + n_specials;
    liz_arena arena;
    liz_arena_init(&arena, (size_t)1 << 30);
    liz_str *tokens = liz_arena_array(&arena, n, sizeof *tokens);
    liz_str *merges = liz_arena_array(&arena, bpe->merges.n + 1, sizeof *merges);
    int32_t *kinds = liz_arena_array(&arena, n, sizeof *kinds);
    bool ok = tokens != NULL && merges != NULL && kinds != NULL && write_strings(bpe, &arena, tokens, merges);
    if (ok) {
        for (size_t i = 0; i < n; i++)
            kinds[i] = i < n_plain ? LIZ_TOKEN_NORMAL : LIZ_TOKEN_CONTROL;
        for (size_t i = 0; i < n_specials; i++)
            tokens[n_plain + i] = liz_str_of(specials[i]);
        liz_gguf_put_str(writer, LIZ_TEXT_KEY "model", liz_str_of("gpt2"));
        liz_gguf_put_str(writer, LIZ_TEXT_KEY "pre", liz_str_of(bpe->pre_name));
        liz_gguf_put_strs(writer, LIZ_TEXT_KEY "tokens", tokens, n);
        liz_gguf_put_array(writer, LIZ_TEXT_KEY "token_type", LIZ_GGUF_I32, kinds, n);
        liz_gguf_put_strs(writer, LIZ_TEXT_KEY "merges", merges, bpe->merges.n);
        liz_gguf_put_u32(writer, LIZ_TEXT_KEY "bos_token_id", (uint32_t)(n_plain + end));
        liz_gguf_put_u32(writer, LIZ_TEXT_KEY "eos_token_id", (uint32_t)(n_plain + end));
        liz_gguf_put_bool(writer, LIZ_TEXT_KEY "add_bos_token", true);
    }
    liz_arena_free(&arena);
    return ok ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for a vocabulary");
}
