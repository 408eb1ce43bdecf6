/* text_impl.h - the inside of a vocabulary, shared by the files of this room.
 *
 * A vocabulary is tables, written once by the open functions and read-only after. A call that encodes owns
 * everything else: its output, its word cache, its window of symbols (text_merge.h). So no lock is needed. */
#ifndef LIZ_TEXT_IMPL_H
#define LIZ_TEXT_IMPL_H

#include "base/buf.h"
#include "text/text_pre.h"
#include "text/text_table.h"
#include "text/text_trie.h"
#include "text/vocab.h"

/* Longer tokens do not occur; the bound keeps the work of opening a hostile file in proportion to its size. */
#define LIZ_TEXT_TOKEN_LEN_MAX 4096
#define LIZ_TEXT_TOKENS_MAX (1u << 26)

typedef enum liz_text_algorithm {
    LIZ_TEXT_SPM,
    LIZ_TEXT_BPE,
    LIZ_TEXT_WORDPIECE,
    LIZ_TEXT_UNIGRAM,
    LIZ_TEXT_RWKV
} liz_text_algorithm;

/* The kinds of tokens that plain text may become. */
#define LIZ_TEXT_PLAIN_KINDS (1u << LIZ_TOKEN_NORMAL | 1u << LIZ_TOKEN_USER_DEFINED | 1u << LIZ_TOKEN_UNUSED)

enum {
    LIZ_TEXT_ENDS = 1,   /* generating it ends the text */
    LIZ_TEXT_RSTRIP = 2, /* swallows the white space after it */
    LIZ_TEXT_LSTRIP = 4  /* and before it */
};

/* What the beginning of a text is replaced by (text_unigram.c). */
typedef struct liz_text_charsmap {
    uint32_t *units; /* [n_units] */
    size_t n_units;
    char *replacements; /* [n_replacements], the last one NUL */
    size_t n_replacements;
} liz_text_charsmap;

struct liz_text_vocab {
    const char *model; /* as the file names it */
    liz_text_algorithm algorithm;
    bool spaced; /* tokens write a space as U+2581 and a byte as <0x0A> */
    const liz_text_unicode *unicode;
    int32_t n_tokens;
    liz_text_strings text;  /* [n_tokens] as the file writes them */
    liz_text_strings piece; /* [n_tokens] as they stand within a text */
    liz_text_index by_text;
    uint8_t *kind;  /* [n_tokens] liz_token_kind */
    uint8_t *flags; /* [n_tokens] */
    int32_t bos, eos, unk, sep;
    bool add_bos, add_eos, add_sep;
    bool leading_space;    /* a text begins with a space that is not its own */
    liz_text_trie defined; /* user-defined tokens */
    liz_text_trie special; /* these, control and unknown tokens */

    /* SentencePiece and BPE: symbols 0 to n_tokens - 1 are the tokens, those after them characters that only occur
     * inside tokens; -1 is a character or byte that occurs in none. */
    liz_text_pairs pairs;
    int32_t byte_token[256]; /* -1: the vocabulary has none */

    /* Where `spaced` */
    int32_t ascii_symbol[128];
    liz_text_pairs code_symbol; /* other characters, and 0; 0x110000 + b is the invalid byte b */
    bool splits_at_space;       /* nothing merges a space to what is before it, so words stand for themselves */

    /* BPE */
    const liz_text_pre *pre;
    char pre_name[LIZ_TEXT_PRE_NAME_MAX + 1];
    bool pre_assumed;
    liz_text_index by_piece; /* filled where pre->ignore_merges */

    /* WordPiece */
    bool lowercase, strip_accents;
    size_t piece_len_max;

    /* Unigram and RWKV */
    liz_text_trie plain; /* by `text` and `piece` */
    float *score;        /* [n_tokens] */
    float unknown_score;
    liz_text_charsmap charsmap;
    bool joins_spaces;
};

/* Token ids as they come. A failed push is remembered; the caller asks once. */
typedef struct liz_text_ids {
    int32_t *v;
    size_t n, cap;
    bool failed;
} liz_text_ids;

bool liz_text_ids_reserve(liz_text_ids *ids, size_t n_more);

static inline void liz_text_ids_push(liz_text_ids *ids, int32_t id)
{
    if (ids->n == ids->cap && !liz_text_ids_reserve(ids, 1))
        return;
    ids->v[ids->n++] = id;
}

static inline liz_str liz_text_of(const liz_text_vocab *vocab, int32_t id)
{
    return liz_text_strings_at(&vocab->text, id);
}

/* The token written `text` that plain text may become: not a control, unknown or byte token; -1 for none. */
int32_t liz_text_find_plain(const liz_text_vocab *vocab, liz_str text);

/* Bytes that no token covers: their byte tokens, else the unknown token, else nothing. */
void liz_text_push_bytes(const liz_text_vocab *vocab, const char *bytes, size_t n, liz_text_ids *out);

/* Opening, in this order; each reads its keys of the file. */
liz_status liz_text_open_roles(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err);
liz_status liz_text_open_spm(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err);
liz_status liz_text_open_bpe(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err);
liz_status liz_text_open_unigram(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err);
void liz_text_open_wordpiece(liz_text_vocab *vocab, const liz_gguf *gguf);

/* The byte that a code point of a byte-level token stands for; -1 for none. */
int liz_text_bpe_byte(unsigned code);

/* The tokens of these kinds (bits) that are not empty, as `strings` [n_tokens] write them. */
liz_status liz_text_open_set(const liz_text_vocab *vocab, liz_text_trie *set, const liz_text_strings *strings,
                             unsigned kinds, liz_error *err);

/* The characters of a vocabulary whose tokens are spaced, and its byte tokens. False: no memory. */
bool liz_text_open_characters(liz_text_vocab *vocab);

/* tokenizer.ggml.scores, of the right length; NULL where the file has none. */
liz_status liz_text_find_scores(const liz_text_vocab *vocab, const liz_gguf *gguf, const liz_gguf_entry **out,
                                liz_error *err);

/* Whether U+2581 stands in `text` after another character. */
bool liz_text_holds_inner_space(liz_str text);

/* The symbols that `text` [n] begins as, at most `max`: symbol and offset of each. Gives the bytes covered. */
size_t liz_text_spm_seed(const liz_text_vocab *vocab, const char *text, size_t n, int32_t *symbol, uint32_t *start,
                         size_t max, size_t *n_symbols);
size_t liz_text_bpe_seed(const liz_text_vocab *vocab, const char *text, size_t n, int32_t *symbol, uint32_t *start,
                         size_t max, size_t *n_symbols);

/* A stretch of text without special tokens. */
typedef struct liz_text_merger liz_text_merger;
void liz_text_spm_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text);
void liz_text_bpe_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text);
/* `normal` is room for the text's normal form. */
void liz_text_unigram_encode(const liz_text_vocab *vocab, liz_text_merger *merger, liz_str text, liz_buf *normal);
void liz_text_wordpiece_encode(const liz_text_vocab *vocab, liz_str text, liz_text_ids *out);

/* What the file's keys begin with. */
#define LIZ_TEXT_KEY "tokenizer.ggml."

#endif
