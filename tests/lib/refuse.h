/* refuse.h - attempts at something with memory refused at the n-th request, for every n. Links as alloc_fail.h says. */
#ifndef LIZ_TESTS_REFUSE_H
#define LIZ_TESTS_REFUSE_H

#include "lizzie.h"

typedef liz_status attempt_fn(const void *with, liz_error *err);

/* Each time there is LIZ_E_MEMORY with a text, or the request could be done without; nothing is leaked, no file stays
 * open, and at least one attempt fails. */
void refuse_each(const char *what, attempt_fn *attempt, const void *with);

/* Writes the file that `source` describes (gguf_asm.h), with zeros behind it, into the test's folder. */
void file_make(char path[512], const char *name, const char *source, size_t n_zeros);

/* Writes three files there: a model, the same with this chat template, and an adapter for it. */
void models_make(const char *chat_template, char model[512], char chat[512], char adapter[512]);

#endif
