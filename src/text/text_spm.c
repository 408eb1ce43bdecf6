/* text_spm.c - SentencePiece vocabularies (tokenizer.ggml.model = "llama"): merges by score.
 *
 * A text begins as its characters, a space being U+2581. Two neighbours may merge when what they spell is a
 * token, and the token with the highest score goes first. A character that stays alone and is no token
 * becomes its bytes.
 * The file lists tokens, not merges. Opening works them out: every way to cut a token into two symbols is one
 * entry of the pair table that BPE uses too, so that merging never touches a string.
 * Where no token holds a space after something else (true of Llama's and Phi's), a word and the space before
 * the next can never merge; the text is then cut there, and words are cached like BPE's. */
#include "text/text_merge.h"

#include "base/half.h"

#include <math.h>
#include <stdio.h>

enum { SPACE_MARK = 0x2581, CODE_INVALID = 0x110000 };

/* The character at `text` [n] as a number: its code point, or CODE_INVALID + the byte. */
static size_t char_at(const char *text, size_t n, unsigned *code)
{
    size_t len = liz_utf8_decode(text, n, code);
    if (len > 0)
        return len;
    *code = CODE_INVALID + (unsigned char)*text;
    return 1;
}

/* Scores as priorities: the highest score is the lowest number. NaN is the worst score. */
static uint32_t priority_of(double score)
{
    float f = isnan(score) ? -INFINITY : (float)score + 0.0f; /* -0 becomes 0 */
    uint32_t bits = liz_f32_bits(f);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

liz_status liz_text_find_scores(const liz_text_vocab *vocab, const liz_gguf *gguf, const liz_gguf_entry **out,
                                liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "scores";
    *out = liz_gguf_find(gguf, key);
    if (*out == NULL)
        return LIZ_OK;
    liz_gguf_type type = (*out)->elem_type;
    if ((*out)->type != LIZ_GGUF_ARRAY || type == LIZ_GGUF_STRING || type == LIZ_GGUF_ARRAY || type == LIZ_GGUF_BOOL)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a list of numbers: convert the model again",
                        liz_gguf_path(gguf), key);
    if ((*out)->n != (uint64_t)vocab->n_tokens)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: has %llu entries for %d tokens: convert the model again",
                        liz_gguf_path(gguf), key, (unsigned long long)(*out)->n, vocab->n_tokens);
    return LIZ_OK;
}

static bool is_plain(const liz_text_vocab *vocab, int32_t id)
{
    return liz_text_find_plain(vocab, liz_text_of(vocab, id)) == id;
}

/* -1: the character occurs in no token. */
static int32_t symbol_of_code(const liz_text_vocab *vocab, unsigned code)
{
    int32_t symbol = -1;
    (void)liz_text_pairs_find(&vocab->code_symbol, (int32_t)code, 0, &symbol);
    return symbol;
}

/* Gives every character of a plain token a symbol: its own token, or a number past the tokens. */
static bool add_characters(liz_text_vocab *vocab, liz_str text, int32_t *n_symbols)
{
    for (size_t i = 0, len; i < text.n; i += len) {
        unsigned code;
        len = char_at(text.p + i, text.n - i, &code);
        if (symbol_of_code(vocab, code) >= 0)
            continue;
        int32_t id = liz_text_find_plain(vocab, (liz_str){text.p + i, len});
        if (!liz_text_pairs_add(&vocab->code_symbol, (int32_t)code, 0, 0, id >= 0 ? id : (*n_symbols)++))
            return false;
    }
    return true;
}

/* The symbol that spells `text`; -1 for none. */
static int32_t symbol_of(const liz_text_vocab *vocab, liz_str text)
{
    unsigned code;
    if (char_at(text.p, text.n, &code) == text.n)
        return symbol_of_code(vocab, code);
    return liz_text_find_plain(vocab, text);
}

static bool add_pairs(liz_text_vocab *vocab, int32_t id, uint32_t priority)
{
    liz_str text = liz_text_of(vocab, id);
    unsigned code;
    for (size_t cut = char_at(text.p, text.n, &code); cut < text.n; cut += char_at(text.p + cut, text.n - cut, &code)) {
        int32_t left = symbol_of(vocab, (liz_str){text.p, cut});
        int32_t right = left < 0 ? -1 : symbol_of(vocab, (liz_str){text.p + cut, text.n - cut});
        if (right >= 0 && !liz_text_pairs_add(&vocab->pairs, left, right, priority, id))
            return false;
    }
    return true;
}

bool liz_text_holds_inner_space(liz_str text)
{
    unsigned before = SPACE_MARK, code;
    for (size_t i = 0; i < text.n; before = code) {
        i += char_at(text.p + i, text.n - i, &code);
        if (code == SPACE_MARK && before != SPACE_MARK)
            return true;
    }
    return false;
}

bool liz_text_open_characters(liz_text_vocab *vocab)
{
    if (!liz_text_pairs_init(&vocab->code_symbol, 1024))
        return false;
    int32_t n_symbols = vocab->n_tokens;
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if (is_plain(vocab, i) && !add_characters(vocab, liz_text_of(vocab, i), &n_symbols))
            return false;
    for (unsigned code = 0; code < 128; code++)
        vocab->ascii_symbol[code] = symbol_of_code(vocab, code == ' ' ? SPACE_MARK : code);
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        vocab->byte_token[byte] = liz_text_vocab_find(vocab, liz_str_of(text));
    }
    return true;
}

static bool build_pairs(liz_text_vocab *vocab, const liz_gguf_entry *scores)
{
    if (!liz_text_pairs_init(&vocab->pairs, (size_t)vocab->n_tokens))
        return false;
    vocab->splits_at_space = true;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        if (!is_plain(vocab, i))
            continue;
        double score = scores != NULL ? liz_gguf_entry_f64(scores, (uint64_t)i) : 0;
        if (!add_pairs(vocab, i, priority_of(score)))
            return false;
        vocab->splits_at_space &= !liz_text_holds_inner_space(liz_text_of(vocab, i));
    }
    return true;
}

liz_status liz_text_open_spm(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const liz_gguf_entry *scores;
    LIZ_TRY(liz_text_find_scores(vocab, gguf, &scores, err));
    if (!liz_text_open_characters(vocab) || !build_pairs(vocab, scores))
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for its merges");
    return LIZ_OK;
}

size_t liz_text_spm_seed(const liz_text_vocab *vocab, const char *text, size_t n, int32_t *symbol, uint32_t *start,
                         size_t max, size_t *n_symbols)
{
    size_t i = 0, k = 0;
    for (; i < n && k < max; k++) {
        unsigned code = (unsigned char)text[i];
        start[k] = (uint32_t)i;
        if (code < 0x80) {
            symbol[k] = vocab->ascii_symbol[code];
            i++;
        } else {
            i += char_at(text + i, n - i, &code);
            symbol[k] = symbol_of_code(vocab, code);
        }
    }
    *n_symbols = k;
    return i;
}

/* The bytes of a space, or of U+2581, at `text` [n]; 0 when another character stands there. */
static size_t space_at(const char *text, size_t n)
{
    if (*text == ' ')
        return 1;
    return *text == '\xE2' && n >= 3 && text[1] == '\x96' && text[2] == '\x81' ? 3 : 0;
}

/* Spaces and what follows them up to the next space. */
static size_t word_len(liz_str text)
{
    size_t i = 0, len;
    while (i < text.n && (len = space_at(text.p + i, text.n - i)) > 0)
        i += len;
    while (i < text.n && space_at(text.p + i, text.n - i) == 0)
        i++;
    return i;
}

void liz_text_spm_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text)
{
    const char *end = text.n > 0 ? text.p + text.n : NULL; /* a text without bytes may stand nowhere */
    while (text.n > 0) {
        size_t n = vocab->splits_at_space ? word_len(text) : text.n;
        liz_text_merge_word(merger, (liz_str){text.p, n}, end);
        text = (liz_str){text.p + n, text.n - n};
    }
}
