/* vocab_file.h - vocabulary files for tests, written as lists in a line of text. */
#ifndef TESTS_LIB_VOCAB_FILE_H
#define TESTS_LIB_VOCAB_FILE_H

#include "format/gguf_write.h"
#include "text/vocab.h"

#define KEY "tokenizer.ggml."

/* A list written as texts between semicolons; the first thousand count. */
void put_list(liz_gguf_writer *w, const char *key, const char *list);
/* The model and its tokens. */
void put_model(liz_gguf_writer *w, const char *model, const char *tokens);
/* The kinds of the tokens, a digit each. */
void put_kinds(liz_gguf_writer *w, const char *digits);

typedef void put_file(liz_gguf_writer *w);

/* Opens the vocabulary of a file that holds what `put` writes. Aborts when the file cannot be made. */
liz_status vocab_open_file(liz_text_vocab **out, put_file *put, liz_error *err);
/* The same where it must open. */
liz_text_vocab *vocab_open(put_file *put);

/* The ids of a text as "1 2 3"; a static text. Aborts when the text cannot be encoded. */
const char *vocab_ids(const liz_text_vocab *vocab, liz_str text, unsigned flags);

#endif
