/* corpus.h - text to train on: files of documents, and the tokens they become.
 *
 * A text file holds paragraphs; a line <|endoftext|> stands between documents. A file whose name ends in .jsonl holds
 * a document a line, {"text": ...}. Files are read a piece at a time, so their size is not limited by memory; a
 * document longer than a piece comes in several, cut after a line. Text that is not UTF-8 is an error with its place.
 */
#ifndef LIZ_TRAIN_CORPUS_H
#define LIZ_TRAIN_CORPUS_H

#include "sys/files.h"
#include "text/vocab.h"
#include "train/feed.h"

/* A document, or a part of one: `ends` where it ends. What it returns other than LIZ_OK stops the reading. */
typedef liz_status liz_corpus_fn(void *user, liz_str text, bool ends, liz_error *err);

/* LIZ_E_IO, LIZ_E_FORMAT (file and line), LIZ_E_LIMIT for a line beyond LIZ_CORPUS_LINE_MAX, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_corpus_read(const liz_files *files, const char *path, liz_corpus_fn *fn, void *user,
                                          liz_error *err);
#define LIZ_CORPUS_LINE_MAX ((size_t)64 << 20)

/* Every document's tokens, one document after the other: `begin`, those of its text, and `end` where that is another
 * token. One token may do both: then the next document's first is what ends the one before. */
typedef struct liz_tokens {
    int32_t *v;
    size_t n, cap, n_documents, n_bytes, n_words; /* of text; words have white space between them */
    int32_t begin, end;                           /* set before the first file is added */
    size_t n_ctx;                                 /* of the feed's rows */
} liz_tokens;

/* Appends what `path` holds. As liz_corpus_read; LIZ_E_FORMAT for a file without text. */
LIZ_MUST_CHECK liz_status liz_tokens_add(liz_tokens *tokens, const liz_files *files, const char *path,
                                         const liz_text_vocab *vocab, liz_error *err);
void liz_tokens_free(liz_tokens *tokens);

/* The text as rows of `n_ctx` tokens, each row's documents apart; every token but the first is a target once. */
liz_feed liz_tokens_feed(liz_tokens *tokens, size_t n_ctx);

#endif
