/* vocab.h - a model's vocabulary: text to token ids and back.
 *
 * Read from a GGUF file's tokenizer.ggml.* keys. Five algorithms: SentencePiece (merges by score), BPE
 * behind the model's own pre-tokenizer, WordPiece, Unigram, RWKV's. Immutable once open, so any thread may use it;
 * what a call needs beyond that it allocates for itself. */
#ifndef LIZ_TEXT_VOCAB_H
#define LIZ_TEXT_VOCAB_H

#include "base/buf.h"
#include "format/gguf.h"

typedef struct liz_text_vocab liz_text_vocab;

typedef enum liz_token_kind { /* tokenizer.ggml.token_type */
                              LIZ_TOKEN_NORMAL = 1,
                              LIZ_TOKEN_UNKNOWN = 2,
                              LIZ_TOKEN_CONTROL = 3,
                              LIZ_TOKEN_USER_DEFINED = 4,
                              LIZ_TOKEN_UNUSED = 5,
                              LIZ_TOKEN_BYTE = 6
} liz_token_kind;

/* Copies what it needs: the file may be closed afterwards. LIZ_E_UNSUPPORTED names an unknown tokenizer
 * model or pre-tokenizer; LIZ_E_STATE: the file holds no vocabulary; LIZ_E_FORMAT, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_text_vocab_open(liz_text_vocab **out, const liz_gguf *gguf, liz_error *err);
void liz_text_vocab_close(liz_text_vocab *vocab);

int32_t liz_text_vocab_size(const liz_text_vocab *vocab);
const char *liz_text_vocab_model(const liz_text_vocab *vocab); /* "llama", "gpt2" and so on */
const char *liz_text_vocab_pre(const liz_text_vocab *vocab);   /* pre-tokenizer in use, "" where none applies */
bool liz_text_vocab_pre_assumed(const liz_text_vocab *vocab);  /* the file named none: llama.cpp's default */
int32_t liz_text_vocab_bos(const liz_text_vocab *vocab);       /* -1 where there is none */
int32_t liz_text_vocab_eos(const liz_text_vocab *vocab);
bool liz_text_vocab_add_bos(const liz_text_vocab *vocab);
bool liz_text_vocab_add_eos(const liz_text_vocab *vocab);
bool liz_text_vocab_is_end(const liz_text_vocab *vocab, int32_t token); /* EOS, EOT, EOM and tokens known as such */
/* LIZ_TOKEN_UNUSED for an id outside the vocabulary. */
liz_token_kind liz_text_vocab_kind(const liz_text_vocab *vocab, int32_t token);
/* The token as the file writes it. */
liz_str liz_text_vocab_token(const liz_text_vocab *vocab, int32_t token);
/* The id of a token written exactly so; -1 where there is none. */
int32_t liz_text_vocab_find(const liz_text_vocab *vocab, liz_str token);

/* The values of LIZ_TOKENIZE_AFFIXES and LIZ_TOKENIZE_SPECIAL in <lizzie.h>. */
enum {
    LIZ_TEXT_AFFIXES = 1, /* add BOS and EOS (BERT: CLS and SEP) where the model file asks for them */
    LIZ_TEXT_SPECIAL = 2  /* control tokens written in the text are those tokens */
};

/* Gives `*tokens`, released with free().
 * LIZ_E_LIMIT for more than 2^31 - 1 bytes, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_text_encode(const liz_text_vocab *vocab, liz_str text, unsigned flags, int32_t **tokens,
                                          size_t *n_tokens, liz_error *err);

/* The same for a text of which the ranges data[2 * i] up to data[2 * i + 1], ascending, are data: a control token that
 * has a byte in one is text. */
LIZ_MUST_CHECK liz_status liz_text_encode_marked(const liz_text_vocab *vocab, liz_str text, unsigned flags,
                                                 const size_t *data, size_t n_data, int32_t **tokens, size_t *n_tokens,
                                                 liz_error *err);

/* Appends the bytes of one token as it stands within a text. `at_start` applies the rule for the first
 * token (SentencePiece drops the space it put there). Control and unknown tokens give nothing unless `special`,
 * and neither does an id outside the vocabulary. */
void liz_text_decode_token(const liz_text_vocab *vocab, int32_t token, bool at_start, bool special, liz_buf *out);

/* Streaming: bytes of tokens go in, whole UTF-8 characters come out. A zeroed struct is the start. */
typedef struct liz_text_stream {
    char pending[4]; /* the start of a character */
    int n_pending;
} liz_text_stream;

/* Appends to `out` what is complete after `bytes` [n]; invalid bytes become U+FFFD. */
void liz_text_stream_push(liz_text_stream *stream, const char *bytes, size_t n, liz_buf *out);
/* Appends U+FFFD for what never became a character. */
void liz_text_stream_finish(liz_text_stream *stream, liz_buf *out);

#endif
