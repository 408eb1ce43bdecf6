/* engine_choose.h - a sequence that answers with one of given texts: the walk over its trie of choices.
 *
 * After the prompt all branches of the trie are computed, as many a step as there are rows of logits, and of each node
 * is kept what the model says of its children and of the end. Keys and values lie in slots: the pages behind the
 * prompt's whole ones. The first is the sequence's own; with it alone one branch after another is computed, each over
 * what the one before has left behind the fork. Other slots, as far as there are pages, let branches be computed
 * together. */
#ifndef LIZ_ENGINE_ENGINE_CHOOSE_H
#define LIZ_ENGINE_ENGINE_CHOOSE_H

#include "engine/engine_trie.h"

typedef struct liz_choose {
    liz_trie trie;
    int32_t *ends; /* [n_ends] tokens that end the text */
    size_t n_ends;
    int32_t n_table;      /* pages up to the longest choice */
    int32_t n_slot_pages; /* of them those behind the prompt's whole ones */
    int32_t n_slots;
    int32_t *tables;     /* [n_slots, n_table] */
    int32_t *slots_free; /* [n_slots] a stack */
    int32_t n_slots_free;
    bool is_begun; /* the prompt is computed */
    double *probs; /* [n_choices] */
} liz_choose;

#endif
