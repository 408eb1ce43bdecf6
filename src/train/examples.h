/* examples.h - rows to tune by: tokens that are given, and tokens that are to be learnt.
 *
 * A row is a JSON object of one of three forms. {"prompt", "completion"}: raw text, the completion and the token that
 * ends a text are learnt. {"messages"}: through the model's chat template, with what else that takes; the turns of the
 * assistant are learnt, as the template writes them. {"text"}: all of it is learnt. Tokens are those that the model
 * meets when it runs: a prompt's are its own, whatever follows it. Control tokens written in what is data are text.
 *
 * Where a template changes what came before a turn once the conversation goes on, each turn is an example of its own.
 */
#ifndef LIZ_TRAIN_EXAMPLES_H
#define LIZ_TRAIN_EXAMPLES_H

#include "base/hash.h"
#include "base/json.h"
#include "lizzie.h"
#include "text/vocab.h"
#include "train/feed.h"

typedef struct liz_examples liz_examples;

/* `vocab` and `chat` (NULL: there is none, or it is not to be used) are borrowed. Examples of more than `n_tok_max`
 * tokens are refused. LIZ_E_UNSUPPORTED: the vocabulary has no token that ends a text. */
LIZ_MUST_CHECK liz_status liz_examples_open(liz_examples **out, const liz_text_vocab *vocab, const liz_template *chat,
                                            size_t n_tok_max, liz_error *err);
void liz_examples_close(liz_examples *examples);

/* Adds a row; `where` names it in errors. LIZ_E_FORMAT: it has none of the forms, or the template refuses it;
 * LIZ_E_LIMIT: it is too long; LIZ_E_MEMORY. Nothing is added then. */
LIZ_MUST_CHECK liz_status liz_examples_add(liz_examples *examples, const liz_json *row, const char *where,
                                           liz_error *err);

/* Moves a share of the examples, one at least, to `valid` (empty), chosen by a hash of their tokens: equal ones stay
 * together. A single example stays where it is. */
LIZ_MUST_CHECK liz_status liz_examples_split(liz_examples *examples, double share, liz_examples *valid, liz_error *err);

size_t liz_examples_n(const liz_examples *examples);
size_t liz_examples_n_tokens(const liz_examples *examples);
size_t liz_examples_n_targets(const liz_examples *examples); /* tokens that are to be learnt */
size_t liz_examples_longest(const liz_examples *examples);
liz_hash liz_examples_hash(const liz_examples *examples);

/* An item is an example; `examples` is borrowed. `n_tok_max`: tokens of the longest that the feed's user makes room
 * for. */
liz_feed liz_examples_feed(const liz_examples *examples, size_t n_tok_max);

#endif
