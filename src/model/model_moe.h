/* model_moe.h - mixtures of experts: which experts a token meets, and the step's tokens ordered by expert.
 *
 * A (token, expert) is a pair. Pairs are grouped into runs by expert, experts ascending and tokens in their order, so
 * that an expert's weights are read once a step for all its tokens. Which experts a token meets, with what weights, and
 * the order in which they are summed depend on the token's own numbers alone. */
#ifndef LIZ_MODEL_MODEL_MOE_H
#define LIZ_MODEL_MODEL_MOE_H

#include "kernel/kernel.h"
#include "model/model_params.h"

typedef struct liz_moe_run {
    int expert;
    size_t pair, n; /* pairs [pair, pair + n) */
    size_t act_row; /* where its activations begin */
} liz_moe_run;

typedef struct liz_moe {
    float *logits;        /* [n_tok, n_expert] of the router */
    int32_t *chosen;      /* [n_tok, n_expert_used] by rank: the likeliest first, ties to the lowest id */
    float *weights;       /* likewise */
    int32_t *pair_of;     /* likewise: where in the order of pairs */
    int32_t *pair_expert; /* [n_pairs] */
    int32_t *pair_token;  /* [n_pairs] */
    int32_t *act_token;   /* [n_act] the token of each row of activations, -1 in the gaps between runs */
    int32_t *act_pair;    /* [n_act] its pair, likewise */
    liz_moe_run *runs;    /* [n_expert] experts that some token meets */
    size_t n_pairs, n_act, n_runs;
} liz_moe;

/* Rows of activations, gaps included, that n_tok tokens take at most. */
size_t liz_moe_act_rows(const liz_hparams *h, size_t n_tok);

/* The experts of one token by rank and their weights [n_expert_used]. `logits` [n_expert] are overwritten; `bias`
 * [n_expert], may be NULL, counts for choosing only; `score` [n_expert] is scratch. What is not a number is chosen
 * last. */
void liz_moe_route(const liz_kernel *kernel, const liz_hparams *h, float *logits, const float *bias, float *score,
                   int32_t *chosen, float *weights);

/* Fills in everything after `weights` from `chosen`. One member does it. */
void liz_moe_group(liz_moe *moe, const liz_hparams *h, size_t n_tok);

#endif
