/* engine_trie.c - sorted choices to a trie in preorder: each adds the nodes by which it differs from the one before. */
#include "engine/engine_trie.h"

#include <stdlib.h>
#include <string.h>

static size_t n_common(const liz_choice *a, const liz_choice *b)
{
    size_t i = 0;
    while (i < a->n_tokens && i < b->n_tokens && a->tokens[i] == b->tokens[i])
        i++;
    return i;
}

/* By tokens, a beginning before what it begins; equal ones by their place. */
static int compare(const void *pa, const void *pb, void *arg)
{
    const liz_choice *choices = arg;
    int32_t ia = *(const int32_t *)pa, ib = *(const int32_t *)pb;
    const liz_choice *a = &choices[ia], *b = &choices[ib];
    size_t i = n_common(a, b);
    if (i == a->n_tokens || i == b->n_tokens)
        return a->n_tokens != b->n_tokens ? (a->n_tokens < b->n_tokens ? -1 : 1) : ia - ib;
    return a->tokens[i] < b->tokens[i] ? -1 : 1;
}

/* Counts nodes, the root included, and the longest choice. */
static liz_status measure(liz_trie *trie, const liz_choice *choices, size_t n, size_t *n_nodes, liz_error *err)
{
    *n_nodes = 1;
    if (n > LIZ_CHOICES_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "choices: %zu given: at most %d are possible", n, LIZ_CHOICES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (choices[i].n_tokens == 0)
            return liz_fail(err, LIZ_E_USAGE, "choice %zu: it has no tokens", i);
        if (choices[i].n_tokens > INT32_MAX / 4 - *n_nodes)
            return liz_fail(err, LIZ_E_LIMIT, "choices: they have too many tokens together");
        *n_nodes += choices[i].n_tokens;
        if ((int32_t)choices[i].n_tokens > trie->depth)
            trie->depth = (int32_t)choices[i].n_tokens;
    }
    return LIZ_OK;
}

/* `path` [depth + 1] holds the nodes of the choice added last. */
static void choice_add(liz_trie *trie, const liz_choice *choice, int32_t id, size_t n_shared, int32_t *path)
{
    for (size_t d = n_shared; d < choice->n_tokens; d++) {
        int32_t node = trie->n_nodes++;
        trie->nodes[node] =
            (liz_trie_node){.parent = path[d], .depth = (int32_t)d + 1, .next = node + 1, .run = -1, .choice = -1};
        trie->tokens[node] = choice->tokens[d];
        path[d + 1] = node;
    }
    trie->nodes[path[choice->n_tokens]].choice = id;
}

static liz_status nodes_add(liz_trie *trie, const liz_choice *choices, const int32_t *order, int32_t *path,
                            liz_error *err)
{
    trie->nodes[0] = (liz_trie_node){.parent = -1, .next = 1, .run = -1, .choice = -1};
    trie->n_nodes = 1;
    for (int32_t i = 0; i < trie->n_choices; i++) {
        const liz_choice *choice = &choices[order[i]];
        size_t n_shared = i > 0 ? n_common(choice, &choices[order[i - 1]]) : 0;
        if (n_shared == choice->n_tokens)
            return liz_fail(err, LIZ_E_USAGE, "choices %d and %d: are the same tokens", order[i - 1], order[i]);
        choice_add(trie, choice, order[i], n_shared, path);
    }
    for (int32_t node = trie->n_nodes - 1; node > 0; node--) {
        liz_trie_node *parent = &trie->nodes[trie->nodes[node].parent];
        if (trie->nodes[node].next > parent->next)
            parent->next = trie->nodes[node].next;
    }
    return LIZ_OK;
}

static int32_t run_add(liz_trie *trie, int32_t node, int32_t parent)
{
    trie->runs[trie->n_runs] = (liz_trie_run){.node = node, .n = 1, .parent = parent, .slot = -1};
    if (parent >= 0)
        trie->runs[parent].n_open++;
    return trie->n_runs++;
}

static void runs_add(liz_trie *trie, bool with_end)
{
    trie->nodes[0].run = run_add(trie, 0, -1);
    for (int32_t i = 1; i < trie->n_nodes; i++) {
        liz_trie_node *node = &trie->nodes[i];
        int32_t run = trie->nodes[node->parent].run;
        bool is_leaf = node->next == i + 1;
        if (is_leaf && !with_end)
            continue;
        bool forks = trie->nodes[liz_trie_child(node->parent)].next < trie->nodes[node->parent].next;
        if (node->parent == 0 || forks)
            run = run_add(trie, i, run);
        else
            trie->runs[run].n++;
        node->run = run;
    }
}

liz_status liz_engine_trie_build(liz_trie *trie, liz_arena *arena, const liz_choice *choices, size_t n, bool with_end,
                                 liz_error *err)
{
    size_t n_nodes;
    *trie = (liz_trie){.n_choices = (int32_t)n};
    LIZ_TRY(measure(trie, choices, n, &n_nodes, err));
    int32_t *order = liz_arena_array(arena, n, sizeof *order);
    int32_t *path = liz_arena_array(arena, (size_t)trie->depth + 1, sizeof *path);
    trie->nodes = liz_arena_array(arena, n_nodes, sizeof *trie->nodes);
    trie->tokens = liz_arena_array(arena, n_nodes, sizeof *trie->tokens);
    trie->runs = liz_arena_array(arena, n_nodes, sizeof *trie->runs);
    if (!order || !path || !trie->nodes || !trie->tokens || !trie->runs)
        return liz_fail(err, LIZ_E_MEMORY, "choices: no memory for %zu tokens", n_nodes - 1);
    for (size_t i = 0; i < n; i++)
        order[i] = (int32_t)i;
    qsort_r(order, n, sizeof *order, compare, (void *)(uintptr_t)choices);
    liz_status status = nodes_add(trie, choices, order, path, err);
    if (status == LIZ_OK)
        runs_add(trie, with_end);
    return status;
}
