/* engine_trie.h - the choices of a request as a trie of tokens: shared beginnings are there once.
 *
 * Nodes stand in preorder, the root, which is the prompt's last token, first: so a stretch without a fork is a run of
 * neighbours, and is computed in one go. A run begins where its parent forks and goes on for as long as there is one
 * child; the root is a run of its own. Data alone: what the model says is filled in by engine_choose.c. */
#ifndef LIZ_ENGINE_ENGINE_TRIE_H
#define LIZ_ENGINE_ENGINE_TRIE_H

#include "base/arena.h"
#include "lizzie.h"

typedef struct liz_trie_node {
    int32_t parent, depth; /* depth: tokens up to this one; 0 for the root */
    int32_t next;          /* the first node behind all that hang on this one */
    int32_t run;           /* that computes it; -1: nothing is asked of it */
    int32_t choice;        /* that ends here; -1: none */
    float logprob;         /* of its token after its parent's */
    float logprob_end;     /* of the end after it, where a choice ends here */
    double sum;            /* of the log-probabilities up to its token */
} liz_trie_node;

typedef struct liz_trie_run {
    int32_t node, n;  /* nodes [node, node + n) */
    int32_t parent;   /* -1: the root's */
    int32_t n_done;   /* of its nodes */
    int32_t n_open;   /* runs that follow it and are not over, with all that follow them */
    int32_t slot;     /* where its keys and values are; -1: nowhere yet */
    bool is_borrowed; /* the slot is its parent's */
    bool is_lent;     /* a run that follows has borrowed the slot */
} liz_trie_run;

typedef struct liz_trie {
    liz_trie_node *nodes; /* [n_nodes] */
    int32_t *tokens;      /* [n_nodes] */
    liz_trie_run *runs;   /* [n_runs], in preorder too */
    int32_t n_nodes, n_runs, n_choices;
    int32_t depth; /* of the longest choice */
} liz_trie;

/* Builds the trie in `arena`. Where `with_end` is false the leaves are not to be computed, since nothing is asked of
 * what follows them. LIZ_E_USAGE for an empty choice, and for two of equal tokens; LIZ_E_LIMIT, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_engine_trie_build(liz_trie *trie, liz_arena *arena, const liz_choice *choices, size_t n,
                                                bool with_end, liz_error *err);

/* The first of a node's children, and the sibling after one: below `nodes[parent].next`, or there is none. */
static inline int32_t liz_trie_child(int32_t node) { return node + 1; }

#endif
