/* text_vocab.c - opening a vocabulary, and asking it about its tokens.
 *
 * Opening goes in an order that later steps rely on: the tokens as the file writes them (text, kind); their
 * roles (BOS, EOS, ends, kinds corrected); the tables of the algorithm; and the set of tokens that are cut out of
 * a text first. What decoding a token gives is worked out here once (`piece`), so that decoding is a copy.
 * The arrays of the file are not trusted: lengths must agree, ids are held against the count, a token has a
 * longest length. Of tokens written alike the first is what text becomes; an empty token is never matched. */
#include "text/text_impl.h"

#include "base/checked.h"

#include <stdlib.h>

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581 */

bool liz_text_ids_reserve(liz_text_ids *ids, size_t n_more)
{
    ids->failed = ids->failed || !liz_array_room(&ids->v, &ids->cap, ids->n + n_more, sizeof *ids->v);
    return !ids->failed;
}

int32_t liz_text_find_plain(const liz_text_vocab *vocab, liz_str text)
{
    int32_t id = liz_text_index_find(&vocab->by_text, text);
    if (id < 0)
        return -1;
    return LIZ_TEXT_PLAIN_KINDS >> vocab->kind[id] & 1 ? id : -1;
}

void liz_text_push_bytes(const liz_text_vocab *vocab, const char *bytes, size_t n, liz_text_ids *out)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = vocab->byte_token[(unsigned char)bytes[i]];
        if (id < 0)
            id = vocab->unk;
        if (id >= 0)
            liz_text_ids_push(out, id);
    }
}

/* ---- tokens as the file writes them ---- */

static liz_status read_texts(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "tokens";
    const liz_gguf_entry *tokens = liz_gguf_find(gguf, key);
    if (tokens == NULL || tokens->type != LIZ_GGUF_ARRAY || tokens->elem_type != LIZ_GGUF_STRING || tokens->n == 0)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a list of tokens: convert the model again", liz_gguf_path(gguf),
                        key);
    if (tokens->n > LIZ_TEXT_TOKENS_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "%s: %s: more than %u tokens", liz_gguf_path(gguf), key, LIZ_TEXT_TOKENS_MAX);
    size_t n_bytes = 0;
    for (uint64_t i = 0; i < tokens->n; i++) {
        if (tokens->strings[i].n > LIZ_TEXT_TOKEN_LEN_MAX)
            return liz_fail(err, LIZ_E_LIMIT, "%s: %s: token %llu is longer than %d bytes", liz_gguf_path(gguf), key,
                            (unsigned long long)i, LIZ_TEXT_TOKEN_LEN_MAX);
        n_bytes += tokens->strings[i].n;
    }
    if (n_bytes > UINT32_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "%s: %s: more than 4 GiB of tokens", liz_gguf_path(gguf), key);
    vocab->n_tokens = (int32_t)tokens->n;
    if (!liz_text_strings_init(&vocab->text, tokens->n, n_bytes) ||
        !liz_text_index_init(&vocab->by_text, &vocab->text, tokens->n))
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory for %d tokens", liz_gguf_path(gguf), vocab->n_tokens);
    uint32_t at = 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        liz_str text = tokens->strings[i];
        if (text.n > 0)
            memcpy(vocab->text.bytes + at, text.p, text.n);
        vocab->text.off[i + 1] = at += (uint32_t)text.n;
        if (text.n > 0)
            liz_text_index_add(&vocab->by_text, i);
    }
    return LIZ_OK;
}

/* Kinds that GGUF does not define count as normal. */
static liz_status read_kinds(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "token_type";
    const liz_gguf_entry *types = liz_gguf_find(gguf, key);
    if (types != NULL && (types->type != LIZ_GGUF_ARRAY || !liz_gguf_type_is_integer(types->elem_type)))
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a list of integers: convert the model again",
                        liz_gguf_path(gguf), key);
    if (types != NULL && types->n != (uint64_t)vocab->n_tokens)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: has %llu entries for %d tokens: convert the model again",
                        liz_gguf_path(gguf), key, (unsigned long long)types->n, vocab->n_tokens);
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        int64_t kind = types != NULL ? liz_gguf_entry_i64(types, (uint64_t)i) : LIZ_TOKEN_NORMAL;
        vocab->kind[i] = kind >= LIZ_TOKEN_NORMAL && kind <= LIZ_TOKEN_BYTE ? (uint8_t)kind : LIZ_TOKEN_NORMAL;
    }
    return LIZ_OK;
}

static liz_status open_tokens(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    LIZ_TRY(read_texts(vocab, gguf, err));
    vocab->kind = calloc((size_t)vocab->n_tokens, 1);
    vocab->flags = calloc((size_t)vocab->n_tokens, 1);
    if (vocab->kind == NULL || vocab->flags == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory for %d tokens", liz_gguf_path(gguf), vocab->n_tokens);
    return read_kinds(vocab, gguf, err);
}

/* ---- tokens as they stand within a text ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The byte of a token written <0xE2>; -1 when it is not written so. */
static int byte_of(liz_str text)
{
    if (text.n != 6 || !liz_str_starts(text, "<0x") || text.p[5] != '>')
        return -1;
    int hi = hex_digit(text.p[3]), lo = hex_digit(text.p[4]);
    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* Each writes the piece of a normal token to `out`, which has room for the text, and gives its length. */
static size_t piece_spaced(liz_str text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        bool mark = text.n - i >= 3 && memcmp(text.p + i, space_mark, 3) == 0;
        out[n++] = mark ? ' ' : text.p[i];
        i += mark ? 3 : 1;
    }
    return n;
}

static size_t piece_byte_level(liz_str text, char *out)
{
    size_t n = 0;
    for (size_t i = 0, len; i < text.n; i += len) {
        unsigned code;
        len = liz_utf8_decode(text.p + i, text.n - i, &code);
        int byte = len > 0 ? liz_text_bpe_byte(code) : -1;
        if (byte < 0) { /* no byte-level token: what it says is what it is */
            memcpy(out, text.p, text.n);
            return text.n;
        }
        out[n++] = (char)byte;
    }
    return n;
}

/* RWKV's: \t, \n, \r, \x and two digits; any other character after a backslash is itself. */
static size_t piece_escaped(liz_str text, char *out)
{
    static const char names[] = "tnr", bytes[] = "\t\n\r";
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' && i + 1 < text.n) {
            c = text.p[++i];
            const char *name = strchr(names, c);
            int hi = c == 'x' && text.n - i > 2 ? hex_digit(text.p[i + 1]) : -1,
                lo = hi < 0 ? -1 : hex_digit(text.p[i + 2]);
            if (lo >= 0) {
                c = (char)(hi << 4 | lo);
                i += 2;
            } else if (c != '\0' && name != NULL) {
                c = bytes[name - names];
            }
        }
        out[n++] = c;
    }
    return n;
}

static size_t piece_of(const liz_text_vocab *vocab, liz_str text, char *out)
{
    if (vocab->algorithm == LIZ_TEXT_RWKV)
        return piece_escaped(text, out);
    return vocab->algorithm == LIZ_TEXT_BPE && !vocab->spaced ? piece_byte_level(text, out) : piece_spaced(text, out);
}

static liz_status build_pieces(liz_text_vocab *vocab, liz_error *err)
{
    size_t n = (size_t)vocab->n_tokens;
    if (!liz_text_strings_init(&vocab->piece, n, vocab->text.off[n]))
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory for %zu tokens", n);
    uint32_t at = 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        liz_str text = liz_text_of(vocab, i);
        char *out = vocab->piece.bytes + at;
        int byte = vocab->kind[i] == LIZ_TOKEN_BYTE ? byte_of(text) : -1;
        if (byte >= 0) {
            *out = (char)byte;
            at += 1;
        } else if (vocab->kind[i] == LIZ_TOKEN_NORMAL || vocab->kind[i] == LIZ_TOKEN_UNUSED) {
            at += (uint32_t)piece_of(vocab, text, out);
        } else {
            memcpy(out, text.p, text.n);
            at += (uint32_t)text.n;
        }
        vocab->piece.off[i + 1] = at;
    }
    return LIZ_OK;
}

/* ---- open and close ---- */

static liz_status choose_algorithm(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "model";
    liz_str model;
    bool present = liz_gguf_str(gguf, key, &model);
    if (!present || liz_str_is(model, "none") || liz_str_is(model, "no_vocab") || liz_str_is(model, "test"))
        return liz_fail(err, LIZ_E_STATE,
                        "%s: the file holds no vocabulary: give token ids, or a file with a tokenizer",
                        liz_gguf_path(gguf));
    static const struct {
        const char *name;
        liz_text_algorithm algorithm;
    } known[] = {{"llama", LIZ_TEXT_SPM},      {"gpt2", LIZ_TEXT_BPE},   {"gemma4", LIZ_TEXT_BPE},
                 {"bert", LIZ_TEXT_WORDPIECE}, {"t5", LIZ_TEXT_UNIGRAM}, {"rwkv", LIZ_TEXT_RWKV}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!liz_str_is(model, known[i].name))
            continue;
        vocab->model = known[i].name;
        vocab->algorithm = known[i].algorithm;
        return LIZ_OK;
    }
    return liz_fail(err, LIZ_E_UNSUPPORTED,
                    "%s: %s: tokenizer \"%.*s\" is not known: known are llama, gpt2, gemma4, bert, t5 and rwkv",
                    liz_gguf_path(gguf), key, model.n < 64 ? (int)model.n : 64, model.p);
}

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

/* What is cut out of a text: user-defined tokens always; control and unknown tokens when the caller allows it. */
static liz_status open_specials(liz_text_vocab *vocab, liz_error *err)
{
    unsigned defined = 1u << LIZ_TOKEN_USER_DEFINED, special = 1u << LIZ_TOKEN_CONTROL | 1u << LIZ_TOKEN_UNKNOWN;
    LIZ_TRY(liz_text_open_set(vocab, &vocab->defined, &vocab->text, defined, err));
    return liz_text_open_set(vocab, &vocab->special, &vocab->text, defined | special, err);
}

static liz_status open_tables(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    vocab->unicode = liz_text_unicode_get();
    LIZ_TRY(open_tokens(vocab, gguf, err));
    LIZ_TRY(liz_text_open_roles(vocab, gguf, err));
    LIZ_TRY(build_pieces(vocab, err));
    switch (vocab->algorithm) {
    case LIZ_TEXT_SPM: LIZ_TRY(liz_text_open_spm(vocab, gguf, err)); break;
    case LIZ_TEXT_BPE: LIZ_TRY(liz_text_open_bpe(vocab, gguf, err)); break;
    case LIZ_TEXT_WORDPIECE: liz_text_open_wordpiece(vocab, gguf); break;
    case LIZ_TEXT_UNIGRAM: LIZ_TRY(liz_text_open_unigram(vocab, gguf, err)); break;
    case LIZ_TEXT_RWKV:
        LIZ_TRY(liz_text_open_set(vocab, &vocab->plain, &vocab->piece, LIZ_TEXT_PLAIN_KINDS, err));
        break;
    }
    return open_specials(vocab, err);
}

liz_status liz_text_vocab_open(liz_text_vocab **out, const liz_gguf *gguf, liz_error *err)
{
    *out = NULL;
    liz_text_vocab *vocab = calloc(1, sizeof *vocab);
    if (vocab == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "vocabulary: out of memory");
    memset(vocab->byte_token, 0xFF, sizeof vocab->byte_token);
    liz_status status = choose_algorithm(vocab, gguf, err);
    if (status == LIZ_OK)
        status = open_tables(vocab, gguf, err);
    if (status != LIZ_OK) {
        liz_text_vocab_close(vocab);
        return status;
    }
    *out = vocab;
    return LIZ_OK;
}

void liz_text_vocab_close(liz_text_vocab *vocab)
{
    if (vocab == NULL)
        return;
    liz_text_strings_free(&vocab->text);
    liz_text_strings_free(&vocab->piece);
    liz_text_index_free(&vocab->by_text);
    liz_text_index_free(&vocab->by_piece);
    liz_text_pairs_free(&vocab->pairs);
    liz_text_pairs_free(&vocab->code_symbol);
    free(vocab->kind);
    free(vocab->flags);
    free(vocab->score);
    free(vocab->charsmap.units);
    free(vocab->charsmap.replacements);
    liz_text_trie_free(&vocab->defined);
    liz_text_trie_free(&vocab->special);
    liz_text_trie_free(&vocab->plain);
    free(vocab);
}

/* ---- what a vocabulary says ---- */

static bool in_range(const liz_text_vocab *vocab, int32_t token) { return token >= 0 && token < vocab->n_tokens; }

int32_t liz_text_vocab_size(const liz_text_vocab *vocab) { return vocab->n_tokens; }

const char *liz_text_vocab_model(const liz_text_vocab *vocab) { return vocab->model; }

const char *liz_text_vocab_pre(const liz_text_vocab *vocab) { return vocab->pre_name; }
bool liz_text_vocab_pre_assumed(const liz_text_vocab *vocab) { return vocab->pre_assumed; }
int32_t liz_text_vocab_bos(const liz_text_vocab *vocab) { return vocab->bos; }
int32_t liz_text_vocab_eos(const liz_text_vocab *vocab) { return vocab->eos; }
bool liz_text_vocab_add_bos(const liz_text_vocab *vocab) { return vocab->add_bos; }
bool liz_text_vocab_add_eos(const liz_text_vocab *vocab) { return vocab->add_eos; }

bool liz_text_vocab_is_end(const liz_text_vocab *vocab, int32_t token)
{
    return in_range(vocab, token) && (vocab->flags[token] & LIZ_TEXT_ENDS);
}

liz_token_kind liz_text_vocab_kind(const liz_text_vocab *vocab, int32_t token)
{
    return in_range(vocab, token) ? (liz_token_kind)vocab->kind[token] : LIZ_TOKEN_UNUSED;
}

liz_str liz_text_vocab_token(const liz_text_vocab *vocab, int32_t token)
{
    return in_range(vocab, token) ? liz_text_of(vocab, token) : (liz_str){NULL, 0};
}

int32_t liz_text_vocab_find(const liz_text_vocab *vocab, liz_str token)
{
    return token.n > 0 ? liz_text_index_find(&vocab->by_text, token) : -1;
}

void liz_text_decode_token(const liz_text_vocab *vocab, int32_t token, bool at_start, bool special, liz_buf *out)
{
    if (!in_range(vocab, token))
        return;
    uint8_t kind = vocab->kind[token];
    if (!special && (kind == LIZ_TOKEN_CONTROL || kind == LIZ_TOKEN_UNKNOWN))
        return;
    liz_str piece = liz_text_strings_at(&vocab->piece, token);
    bool drops = at_start && vocab->leading_space && kind == LIZ_TOKEN_NORMAL && piece.n > 0 && piece.p[0] == ' ';
    liz_buf_append(out, piece.p + drops, piece.n - drops);
}
