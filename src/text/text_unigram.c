/* text_unigram.c - Unigram vocabularies (tokenizer.ggml.model = "t5"): the likeliest row of tokens.
 *
 * A text is first brought to the model's normal form: its character map is applied at each place, the longest entry
 * first; a space becomes U+2581, runs of spaces one where the file says so; a byte that is not UTF-8 becomes U+FFFD.
 * Then of all rows of tokens that spell it the one with the greatest sum of scores is taken (Viterbi). From left to
 * right, each character that begins a token offers a better way to the token's end; the first of equal ways stays.
 * A character that is no token by itself may also be unknown, ten below the worst score; unknown neighbours are one.
 *
 * Where no token holds a space after something else and a space is a token, a row of tokens is one for each word,
 * so words are cut there and cached like the others' (text_merge.h). A long word goes block after block: cells for
 * one block are all that is held, with a copy of those that reach into each next one. The way back then needs the
 * cells of a block once more and makes them again, from the last block to the first. So any word costs time in
 * proportion to its length and a thousandth of its length in memory. */
#include "text/text_merge.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 1 << 16, REPLACEMENT_LEN_MAX = 4096 };

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581 */

/* ---- the character map ----
 *
 * SentencePiece's precompiled one is a blob of the model file: four bytes for the length of a tree, the tree, and the
 * replacements, each ended by NUL. The tree is a double array of 32-bit units (the darts-clone layout): the child of a
 * unit by a byte is at the unit's own place, exclusive-or its offset, exclusive-or the byte; it is one if it carries
 * that byte as its label. Bits 0 to 7 and 31 of a unit are its label (a value has bit 31), bit 8 says that an entry
 * ends here, bits 10 to 30 are the offset, shifted left by eight where bit 9 is set. The value of an entry is the unit
 * at its offset: where its replacement begins.
 * The blob is not trusted: an index outside it ends the match, and replacements have a longest length. */

static liz_status check_lengths(const liz_text_charsmap *map, const liz_gguf *gguf, const char *key, liz_error *err)
{
    if (map->replacements[map->n_replacements - 1] != '\0')
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: its last replacement does not end: convert the model again",
                        liz_gguf_path(gguf), key);
    for (size_t i = 0, len; i < map->n_replacements; i += len + 1) {
        len = strlen(map->replacements + i);
        if (len > REPLACEMENT_LEN_MAX)
            return liz_fail(err, LIZ_E_LIMIT, "%s: %s: a replacement is longer than %d bytes", liz_gguf_path(gguf), key,
                            REPLACEMENT_LEN_MAX);
    }
    return LIZ_OK;
}

/* Without the key the map is empty. */
static liz_status charsmap_open(liz_text_charsmap *map, const liz_gguf *gguf, const char *key, liz_error *err)
{
    const liz_gguf_entry *blob = liz_gguf_find(gguf, key);
    if (blob == NULL || (blob->type == LIZ_GGUF_ARRAY && blob->n == 0))
        return LIZ_OK;
    uint64_t n_tree = 0;
    bool bytes = blob->type == LIZ_GGUF_ARRAY && blob->elem_type <= LIZ_GGUF_I8 && blob->n > 4;
    for (unsigned i = 0; bytes && i < 4; i++)
        n_tree |= (uint64_t)(liz_gguf_entry_i64(blob, i) & 255) << 8 * i;
    if (!bytes || n_tree >= blob->n - 4)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a character map: convert the model again", liz_gguf_path(gguf),
                        key);
    map->n_units = (size_t)n_tree / 4;
    map->n_replacements = (size_t)(blob->n - 4 - n_tree);
    map->units = calloc(map->n_units + 1, sizeof *map->units);
    map->replacements = malloc(map->n_replacements);
    if (map->units == NULL || map->replacements == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: %s: out of memory", liz_gguf_path(gguf), key);
    for (size_t i = 0; i < 4 * map->n_units; i++)
        map->units[i / 4] |= (uint32_t)(liz_gguf_entry_i64(blob, 4 + i) & 255) << 8 * (i % 4);
    for (size_t i = 0; i < map->n_replacements; i++)
        map->replacements[i] = (char)liz_gguf_entry_i64(blob, 4 + n_tree + i);
    return check_lengths(map, gguf, key, err);
}

static uint32_t offset_of(uint32_t unit) { return unit >> 10 << (unit >> 6 & 8); }

/* The bytes of the longest entry that `text` [n] begins with, its replacement in `*to`; 0: none. */
static size_t charsmap_match(const liz_text_charsmap *map, const char *text, size_t n, liz_str *to)
{
    size_t found = 0;
    uint32_t at = map->n_units > 0 ? offset_of(map->units[0]) : 0, unit;
    /* A NUL would lead to the value of what came before it. */
    for (size_t i = 0; i < n && text[i] != '\0'; i++) {
        at ^= (uint8_t)text[i];
        if (at >= map->n_units || ((unit = map->units[at]) & 0x800000FFu) != (uint8_t)text[i])
            break;
        at ^= offset_of(unit);
        uint32_t value = at < map->n_units ? map->units[at] & 0x7FFFFFFFu : UINT32_MAX;
        if (!(unit >> 8 & 1) || value >= map->n_replacements)
            continue;
        found = i + 1;
        *to = liz_str_of(map->replacements + value);
    }
    return found;
}

/* ---- opening ---- */

static liz_status read_scores(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const liz_gguf_entry *scores;
    LIZ_TRY(liz_text_find_scores(vocab, gguf, &scores, err));
    vocab->score = malloc((size_t)vocab->n_tokens * sizeof *vocab->score);
    if (vocab->score == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory for %d scores", liz_gguf_path(gguf), vocab->n_tokens);
    float worst = HUGE_VALF;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        double score = scores != NULL ? liz_gguf_entry_f64(scores, (uint64_t)i) : 0;
        vocab->score[i] = isnan(score) ? -1e30f : (float)fmin(fmax(score, -1e30), 1e30);
        if (vocab->kind[i] == LIZ_TOKEN_NORMAL)
            worst = fminf(worst, vocab->score[i]);
        else if (vocab->kind[i] == LIZ_TOKEN_USER_DEFINED)
            vocab->score[i] = 0;
    }
    vocab->unknown_score = fminf(worst, 1e30f) - 10.0f;
    return LIZ_OK;
}

liz_status liz_text_open_unigram(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    (void)liz_gguf_bool(gguf, LIZ_TEXT_KEY "remove_extra_whitespaces", &vocab->joins_spaces);
    LIZ_TRY(read_scores(vocab, gguf, err));
    LIZ_TRY(charsmap_open(&vocab->charsmap, gguf, LIZ_TEXT_KEY "precompiled_charsmap", err));
    LIZ_TRY(liz_text_open_set(vocab, &vocab->plain, &vocab->text, LIZ_TEXT_PLAIN_KINDS, err));
    vocab->splits_at_space = liz_text_find_plain(vocab, liz_str_of(space_mark)) >= 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        liz_str text = liz_text_of(vocab, i);
        if (!(LIZ_TEXT_PLAIN_KINDS >> vocab->kind[i] & 1))
            continue;
        vocab->splits_at_space &= !liz_text_holds_inner_space(text);
        if (text.n > vocab->piece_len_max)
            vocab->piece_len_max = text.n;
    }
    return LIZ_OK;
}

/* ---- the normal form ---- */

/* What the text `text` [n] begins with and what stands for it; gives the bytes of the former. */
static size_t normal_form(const liz_text_vocab *vocab, const char *text, size_t n, liz_str *to)
{
    size_t len = charsmap_match(&vocab->charsmap, text, n, to);
    if (len > 0)
        return len;
    len = liz_utf8_decode(text, n, NULL);
    *to = len > 0 ? (liz_str){text, len} : liz_str_of("\xEF\xBF\xBD");
    return len > 0 ? len : 1;
}

static void normalise(const liz_text_vocab *vocab, liz_str text, liz_buf *out)
{
    bool in_word = false, begun = false;
    for (size_t i = 0; i < text.n;) {
        liz_str to;
        i += normal_form(vocab, text.p + i, text.n - i, &to);
        for (size_t k = 0; k < to.n; k++) {
            bool space = to.p[k] == ' ';
            if (space ? !vocab->joins_spaces : !in_word && (vocab->joins_spaces || (vocab->leading_space && !begun))) {
                liz_buf_puts(out, space_mark);
                begun |= !space;
            }
            if (!space)
                liz_buf_putc(out, to.p[k]);
            in_word = !space;
        }
    }
}

/* ---- the likeliest row ---- */

/* The best way to a place: the token that ends there (-1: unknown) and its bytes. */
typedef struct cell {
    double score;
    int32_t id;
    uint32_t len;
} cell;

static void clear(cell *cells, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cells[i] = (cell){-HUGE_VAL, -1, 1};
}

static inline void offer(cell *to, double score, int32_t id, size_t len)
{
    if (score > to->score)
        *to = (cell){score, id, (uint32_t)len};
}

/* The bytes of the character at `text` [n] by its first one. */
static inline size_t char_len(const char *text, size_t n)
{
    unsigned char c = (unsigned char)*text;
    size_t len = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return len < n ? len : n;
}

/* From the characters of `word` that begin in [begin, begin + BLOCK) to the ends of their tokens; cells[0] is for
 * `begin`. Gives the first character after them. */
static size_t forward(const liz_text_vocab *vocab, liz_str word, size_t begin, cell *cells)
{
    size_t pos = begin;
    while (pos < word.n && pos - begin < BLOCK) {
        size_t n = word.n - pos, n_char = char_len(word.p + pos, n);
        cell *from = &cells[pos - begin];
        bool known = false;
        uint32_t node = 0;
        for (size_t i = 0; i < n && (node = liz_text_trie_step(&vocab->plain, node, (uint8_t)word.p[pos + i])) != 0;) {
            int32_t id = vocab->plain.value[node];
            i++;
            if (id < 0)
                continue;
            known |= i == n_char;
            offer(&from[i], from->score + (double)vocab->score[id], id, i);
        }
        if (!known)
            offer(&from[n_char], from->score + (double)vocab->unknown_score, -1, n_char);
        pos += n_char;
    }
    return pos;
}

/* From `pos` back to the first place that is not after `begin`. */
static size_t backward(const liz_text_vocab *vocab, const cell *cells, size_t begin, size_t pos, bool *unknown,
                       liz_text_ids *out)
{
    while (pos > begin) {
        const cell *at = &cells[pos - begin];
        int32_t id = at->id < 0 ? vocab->unk : at->id;
        if (id >= 0 && !(*unknown && id == vocab->unk))
            liz_text_ids_push(out, id);
        *unknown = id == vocab->unk;
        pos -= at->len;
    }
    return pos;
}

static void reverse(int32_t *v, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        int32_t t = v[i];
        v[i] = v[n - 1 - i];
        v[n - 1 - i] = t;
    }
}

/* Where a block begins, and its first cells. */
typedef struct block {
    size_t begin;
    cell *cells; /* [reach] */
} block;

/* Blocks of at least BLOCK bytes; `reach` cells go from one to the next. */
static bool encode_blocks(liz_text_merger *merger, liz_str word, cell *cells, size_t reach)
{
    const liz_text_vocab *vocab = merger->vocab;
    size_t n_max = word.n / BLOCK + 1, n = 0;
    block *blocks = malloc(n_max * sizeof *blocks);
    cell *store = malloc(n_max * reach * sizeof *store);
    bool ok = blocks != NULL && store != NULL, unknown = false;
    for (size_t pos = 0; ok && pos < word.n; n++) {
        blocks[n] = (block){pos, store + n * reach};
        memcpy(blocks[n].cells, cells, reach * sizeof *cells);
        size_t next = forward(vocab, word, pos, cells);
        memmove(cells, cells + (next - pos), reach * sizeof *cells);
        clear(cells + reach, BLOCK + 4);
        pos = next;
    }
    for (size_t pos = word.n; ok && n-- > 0;) {
        memcpy(cells, blocks[n].cells, reach * sizeof *cells);
        clear(cells + reach, BLOCK + 4);
        (void)forward(vocab, word, blocks[n].begin, cells);
        pos = backward(vocab, cells, blocks[n].begin, pos, &unknown, merger->out);
    }
    free(blocks);
    free(store);
    return ok;
}

void liz_text_unigram_word(liz_text_merger *merger, liz_str word)
{
    size_t reach = merger->vocab->piece_len_max + 4, n_before = merger->out->n;
    bool one = word.n <= BLOCK;
    size_t n = one ? word.n + 1 : BLOCK + 4 + reach;
    if (n > merger->n_cells) {
        free(merger->cells);
        merger->n_cells = n < 256 ? 256 : n;
        merger->cells = malloc(merger->n_cells * sizeof(cell));
    }
    cell *cells = merger->cells;
    if (cells == NULL) {
        merger->n_cells = 0;
        merger->failed = true;
        return;
    }
    clear(cells, n);
    cells[0].score = 0;
    bool unknown = false;
    if (one) {
        (void)forward(merger->vocab, word, 0, cells);
        (void)backward(merger->vocab, cells, 0, word.n, &unknown, merger->out);
    } else if (!encode_blocks(merger, word, cells, reach)) {
        merger->failed = true;
    }
    if (!merger->out->failed && !merger->failed)
        reverse(merger->out->v + n_before, merger->out->n - n_before);
}

void liz_text_unigram_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text, liz_buf *normal)
{
    liz_buf_clear(normal);
    normalise(vocab, text, normal);
    liz_text_spm_encode(vocab, merger, liz_buf_str(normal));
}
