/* text_wordpiece.c - WordPiece (tokenizer.ggml.model = "bert"): the longest tokens that spell a word.
 *
 * The rules are BERT's own, as its tokenizer publishes them. The text is cleaned (controls and U+FFFD vanish),
 * ideographs stand alone, accents are stripped (canonical decomposition without category Mn) and letters lowered
 * where the model is uncased. White space and punctuation end words; a punctuation mark is a word. A word longer
 * than 100 characters, or one that tokens cannot spell, is the unknown token. llama.cpp differs in several
 * points (docs/tokenizers.md). A byte that is not UTF-8 makes its word unknown.
 * The file writes the start of a word as U+2581 and continuations bare. */
#include "text/text_impl.h"

#include <utf8proc.h>

enum { WORD_CHARS_MAX = 100, MARK_LEN = 3, DECOMPOSED_MAX = 32 };

/* A word as it grows, after U+2581. `n_chars` keeps counting past the longest. */
typedef struct word {
    char text[MARK_LEN + 4 * WORD_CHARS_MAX];
    size_t len, n_chars;
} word;

static void word_reset(word *w)
{
    memcpy(w->text, "\xE2\x96\x81", MARK_LEN);
    w->len = MARK_LEN;
    w->n_chars = 0;
}

static void word_append(word *w, unsigned code)
{
    if (w->n_chars++ < WORD_CHARS_MAX)
        w->len += liz_utf8_encode(code, w->text + w->len);
}

/* The longest token at the start of `text`, -1 for none. */
static int32_t longest_token(const liz_text_vocab *vocab, liz_str text)
{
    for (size_t n = text.n < vocab->piece_len_max ? text.n : vocab->piece_len_max; n > 0; n--) {
        bool inside_char = n < text.n && ((unsigned char)text.p[n] & 0xC0) == 0x80;
        int32_t id = inside_char ? -1 : liz_text_find_plain(vocab, (liz_str){text.p, n});
        if (id >= 0)
            return id;
    }
    return -1;
}

static void word_finish(const liz_text_vocab *vocab, word *w, liz_text_ids *out)
{
    if (w->n_chars == 0)
        return;
    size_t n_before = out->n, at = 0;
    bool spelt = w->n_chars <= WORD_CHARS_MAX;
    while (spelt && at < w->len) {
        int32_t id = longest_token(vocab, (liz_str){w->text + at, w->len - at});
        spelt = id >= 0;
        if (spelt) {
            liz_text_ids_push(out, id);
            at += liz_text_of(vocab, id).n;
        }
    }
    if (!spelt) {
        out->n = n_before;
        if (vocab->unk >= 0)
            liz_text_ids_push(out, vocab->unk);
    }
    word_reset(w);
}

static void word_alone(const liz_text_vocab *vocab, word *w, unsigned code, liz_text_ids *out)
{
    word_finish(vocab, w, out);
    word_append(w, code);
    word_finish(vocab, w, out);
}

/* The blocks of ideographs as BERT lists them. */
static bool is_ideograph(unsigned c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* All ASCII signs count, also those that Unicode calls symbols. */
static bool is_punctuation(uint32_t mask, unsigned code)
{
    return (mask & LIZ_CHAR_P) || (code < 0x80 && (mask & LIZ_CHAR_S));
}

/* A character that has been cleaned and, where the model wants it, decomposed. */
static void take_char(const liz_text_vocab *vocab, word *w, unsigned code, liz_text_ids *out)
{
    uint32_t mask = liz_text_code_mask(vocab->unicode, code);
    if (vocab->strip_accents && (mask & LIZ_CHAR_MN))
        return;
    if (vocab->lowercase)
        code = (unsigned)utf8proc_tolower((utf8proc_int32_t)code);
    if (is_punctuation(mask, code))
        word_alone(vocab, w, code, out);
    else
        word_append(w, code);
}

static void take_decomposed(const liz_text_vocab *vocab, word *w, unsigned code, liz_text_ids *out)
{
    utf8proc_int32_t parts[DECOMPOSED_MAX];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)code, parts, DECOMPOSED_MAX, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 0 || n > DECOMPOSED_MAX) {
        take_char(vocab, w, code, out);
        return;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        take_char(vocab, w, (unsigned)parts[i], out);
}

void liz_text_wordpiece_encode(const liz_text_vocab *vocab, liz_str text, liz_text_ids *out)
{
    word w;
    word_reset(&w);
    for (size_t i = 0, len; i < text.n; i += len) {
        unsigned code;
        uint32_t mask = liz_text_char(vocab->unicode, text.p + i, text.n - i, &len, &code);
        if (mask & LIZ_CHAR_INVALID) {
            word_append(&w, 0xFFFD);
            continue;
        }
        bool plain_space = code == '\t' || code == '\n' || code == '\r';
        if (code == 0xFFFD || ((mask & LIZ_CHAR_C) && !plain_space))
            continue;
        if (mask & LIZ_CHAR_SPACE)
            word_finish(vocab, &w, out);
        else if (is_ideograph(code))
            word_alone(vocab, &w, code, out);
        else if (code >= 0x80 && vocab->strip_accents)
            take_decomposed(vocab, &w, code, out);
        else
            take_char(vocab, &w, code, out);
    }
    word_finish(vocab, &w, out);
}

void liz_text_open_wordpiece(liz_text_vocab *vocab, const liz_gguf *gguf)
{
    vocab->lowercase = true;
    (void)liz_gguf_bool(gguf, LIZ_TEXT_KEY "normalizer.lowercase", &vocab->lowercase);
    vocab->strip_accents = vocab->lowercase;
    (void)liz_gguf_bool(gguf, LIZ_TEXT_KEY "normalizer.strip_accents", &vocab->strip_accents);
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if (liz_text_of(vocab, i).n > vocab->piece_len_max)
            vocab->piece_len_max = liz_text_of(vocab, i).n;
}
