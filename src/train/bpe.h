/* bpe.h - training a byte-level BPE tokenizer (Sennrich et al. 2016, over bytes as in GPT-2).
 *
 * Text is cut into pieces by a pre-tokenizer; pieces are counted, then the most frequent pair of neighbouring symbols
 * becomes a new symbol, again and again. Of equally frequent pairs the one with the lower ids is taken, so the result
 * depends on the text alone. Token b is byte b; token 256 + i is merge i. */
#ifndef LIZ_TRAIN_BPE_H
#define LIZ_TRAIN_BPE_H

#include "base/str.h"
#include "format/gguf_write.h"

typedef struct liz_bpe liz_bpe;

typedef struct liz_bpe_merge {
    int32_t left, right;
} liz_bpe_merge;

/* `pre` names a pre-tokenizer as tokenizer.ggml.pre does. LIZ_E_UNSUPPORTED, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_bpe_open(liz_bpe **out, const char *pre, liz_error *err);
void liz_bpe_close(liz_bpe *bpe);

/* Counts the pieces of a document. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_bpe_count(liz_bpe *bpe, liz_str text, liz_error *err);

/* Merges until there are `n_tokens` (256 or more) or no pair occurs twice. LIZ_E_USAGE, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_bpe_merge_all(liz_bpe *bpe, size_t n_tokens, liz_error *err);

/* The merges found, in order. */
const liz_bpe_merge *liz_bpe_merges(const liz_bpe *bpe, size_t *n);

/* Puts the vocabulary into a model file: these tokens, then `specials` [n_specials] as control tokens, of which number
 * `end` ends a text and begins one. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_bpe_put(const liz_bpe *bpe, liz_gguf_writer *writer, const char *const *specials,
                                      size_t n_specials, size_t end, liz_error *err);

#endif
