/* text_bpe.c - byte-level BPE (tokenizer.ggml.model = "gpt2"): merges by rank, behind a pre-tokenizer.
 *
 * The pre-tokenizer cuts the text into pieces (text_pre.h); a piece begins as its bytes, and the merges of the
 * file are tried in their order. The file writes bytes as printable characters (GPT-2's table), both in tokens
 * and in merges; opening undoes that. A merge whose parts or product are not tokens can never be used and
 * is left out.
 * Gemma 4's kind writes its tokens as SentencePiece does (`spaced`): pieces are lines and begin as their characters. */
#include "text/text_merge.h"

#include "base/log.h"

/* GPT-2 writes printable bytes as themselves and the other 68 as U+0100 and on, in order. */
int liz_text_bpe_byte(unsigned code)
{
    if ((code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD))
        return (int)code;
    if (code >= 0x100 && code <= 0x120)
        return (int)(code - 0x100);
    if (code >= 0x121 && code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}

static bool open_symbols(liz_text_vocab *vocab)
{
    if (vocab->spaced)
        return liz_text_open_characters(vocab);
    for (unsigned code = 0; code <= 0x143; code++) {
        int byte = liz_text_bpe_byte(code);
        char text[4];
        if (byte >= 0)
            vocab->byte_token[byte] = liz_text_find_plain(vocab, (liz_str){text, liz_utf8_encode(code, text)});
    }
    return true;
}

/* "LEFT RIGHT", the border being the first space after the first byte. False when it is not that. */
static bool cut_merge(liz_str merge, liz_str *left, liz_str *right)
{
    const char *space = merge.n > 1 ? memchr(merge.p + 1, ' ', merge.n - 1) : NULL;
    if (space == NULL)
        return false;
    *left = (liz_str){merge.p, (size_t)(space - merge.p)};
    *right = (liz_str){space + 1, merge.n - left->n - 1};
    return right->n > 0;
}

/* Gives false only when memory is short. */
static bool add_merge(liz_text_vocab *vocab, liz_str merge, uint32_t rank, size_t *n_unusable)
{
    liz_str left, right;
    char product[2 * LIZ_TEXT_TOKEN_LEN_MAX];
    int32_t l = -1, r = -1, whole = -1;
    if (merge.n <= sizeof product && cut_merge(merge, &left, &right)) {
        memcpy(product, left.p, left.n);
        memcpy(product + left.n, right.p, right.n);
        l = liz_text_find_plain(vocab, left);
        r = liz_text_find_plain(vocab, right);
        whole = liz_text_find_plain(vocab, (liz_str){product, left.n + right.n});
    }
    if (l < 0 || r < 0 || whole < 0) {
        ++*n_unusable;
        return true;
    }
    if (vocab->spaced)
        vocab->splits_at_space &= !liz_text_holds_inner_space(liz_text_of(vocab, whole));
    return liz_text_pairs_add(&vocab->pairs, l, r, rank, whole);
}

static liz_status open_merges(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "merges";
    const liz_gguf_entry *merges = liz_gguf_find(gguf, key),
                         none = {.type = LIZ_GGUF_ARRAY, .elem_type = LIZ_GGUF_STRING};
    if (merges == NULL && vocab->pre->needs_no_merges)
        merges = &none;
    if (merges == NULL || merges->type != LIZ_GGUF_ARRAY || merges->elem_type != LIZ_GGUF_STRING)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a list of merges: convert the model again", liz_gguf_path(gguf),
                        key);
    if (merges->n >= LIZ_TEXT_PRIORITY_NONE)
        return liz_fail(err, LIZ_E_LIMIT, "%s: %s: too many merges", liz_gguf_path(gguf), key);
    size_t n_unusable = 0;
    vocab->splits_at_space = true;
    bool ok = liz_text_pairs_init(&vocab->pairs, merges->n);
    for (uint64_t i = 0; ok && i < merges->n; i++)
        ok = add_merge(vocab, merges->strings[i], (uint32_t)i, &n_unusable);
    if (!ok)
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for its merges");
    if (n_unusable > 0)
        liz_log(LIZ_LOG_INFO, "text", "%zu of %llu merges name no tokens: left out", n_unusable,
                (unsigned long long)merges->n);
    return LIZ_OK;
}

/* For models that take a whole piece as one token where there is one. */
static liz_status open_whole_pieces(liz_text_vocab *vocab, liz_error *err)
{
    if (!vocab->pre->ignore_merges)
        return LIZ_OK;
    if (!liz_text_index_init(&vocab->by_piece, &vocab->piece, (size_t)vocab->n_tokens))
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for its tokens");
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if (vocab->kind[i] == LIZ_TOKEN_NORMAL && liz_text_of(vocab, i).n > 0)
            liz_text_index_add(&vocab->by_piece, i);
    return LIZ_OK;
}

liz_status liz_text_open_bpe(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    if (!open_symbols(vocab))
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for its characters");
    LIZ_TRY(open_merges(vocab, gguf, err));
    return open_whole_pieces(vocab, err);
}

size_t liz_text_bpe_seed(const liz_text_vocab *vocab, const char *text, size_t n, int32_t *symbol, uint32_t *start,
                         size_t max, size_t *n_symbols)
{
    size_t k = n < max ? n : max;
    for (size_t i = 0; i < k; i++) {
        symbol[i] = vocab->byte_token[(unsigned char)text[i]];
        start[i] = (uint32_t)i;
    }
    *n_symbols = k;
    return k;
}

/* A line, or a run of line ends, of a vocabulary whose tokens are spaced. */
static void encode_line(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str line)
{
    int32_t id = vocab->pre->whole_lines && *line.p == '\n' ? liz_text_find_plain(vocab, line) : -1;
    if (id >= 0)
        liz_text_ids_push(merger->out, id);
    else
        liz_text_spm_encode(vocab, merger, line);
}

void liz_text_bpe_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text)
{
    liz_text_pre_cursor cursor;
    liz_text_pre_cursor_init(&cursor, vocab->unicode, vocab->pre, text);
    for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece);)
        if (vocab->spaced)
            encode_line(vocab, merger, piece);
        else
            liz_text_merge_word(merger, piece, text.p + text.n);
}
