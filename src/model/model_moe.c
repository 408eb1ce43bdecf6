/* model_moe.c - routing, and the counting sort by expert. */
#include "model/model_moe.h"

#include "kernel/matmul.h"

#include <math.h>
#include <string.h>

size_t liz_moe_act_rows(const liz_hparams *h, size_t n_tok)
{
    size_t n_pairs = n_tok * (size_t)h->n_expert_used;
    size_t n_runs = n_pairs < (size_t)h->n_expert ? n_pairs : (size_t)h->n_expert;
    return n_pairs + n_runs * (LIZ_ACT_ALIGN - 1);
}

/* The sum of normalised weights is at least this, as in the models' own code. */
static const float weight_sum_min = 0x1p-14f;

void liz_moe_route(const liz_kernel *kernel, const liz_hparams *h, float *logits, const float *bias, float *score,
                   int32_t *chosen, float *weights)
{
    size_t n = (size_t)h->n_expert, n_used = (size_t)h->n_expert_used;
    if (h->router == LIZ_ROUTER_SOFTMAX)
        kernel->softmax(logits, n, logits);
    else if (h->router == LIZ_ROUTER_SIGMOID)
        kernel->sigmoid(logits, n, logits);
    for (size_t e = 0; e < n; e++) {
        score[e] = bias != NULL ? logits[e] + bias[e] : logits[e];
        if (isnan(score[e]))
            score[e] = -INFINITY;
    }
    for (size_t i = 0; i < n_used; i++) {
        size_t best = n;
        for (size_t e = 0; e < n; e++)
            if (!isnan(score[e]) && (best == n || score[e] > score[best]))
                best = e;
        score[best] = NAN; /* taken */
        chosen[i] = (int32_t)best;
        weights[i] = logits[best];
    }
    if (h->router == LIZ_ROUTER_CHOSEN)
        kernel->softmax(weights, n_used, weights);
    float sum = 0, scale = h->expert_scale;
    for (size_t i = 0; i < n_used; i++)
        sum += weights[i];
    if (h->router_norm)
        scale /= sum < weight_sum_min ? weight_sum_min : sum;
    for (size_t i = 0; i < n_used; i++)
        weights[i] *= scale;
}

void liz_moe_group(liz_moe *moe, const liz_hparams *h, size_t n_tok)
{
    size_t n_used = (size_t)h->n_expert_used, n_expert = (size_t)h->n_expert;
    moe->n_pairs = n_tok * n_used;
    for (size_t e = 0; e < n_expert; e++)
        moe->runs[e] = (liz_moe_run){.expert = (int)e};
    for (size_t i = 0; i < moe->n_pairs; i++)
        moe->runs[moe->chosen[i]].n++;
    size_t pair = 0, act = 0;
    for (size_t e = 0; e < n_expert; e++) {
        liz_moe_run *run = &moe->runs[e];
        run->pair = pair;
        run->act_row = act;
        pair += run->n;
        act += (run->n + LIZ_ACT_ALIGN - 1) / LIZ_ACT_ALIGN * LIZ_ACT_ALIGN;
        run->n = 0; /* counted again below */
    }
    moe->n_act = act;
    memset(moe->act_token, -1, act * sizeof *moe->act_token);
    memset(moe->act_pair, -1, act * sizeof *moe->act_pair);
    for (size_t i = 0; i < moe->n_pairs; i++) {
        liz_moe_run *run = &moe->runs[moe->chosen[i]];
        size_t at = run->pair + run->n, row = run->act_row + run->n++;
        moe->pair_of[i] = (int32_t)at;
        moe->pair_expert[at] = run->expert;
        moe->pair_token[at] = (int32_t)(i / n_used);
        moe->act_token[row] = (int32_t)(i / n_used);
        moe->act_pair[row] = (int32_t)at;
    }
    moe->n_runs = 0;
    for (size_t e = 0; e < n_expert; e++)
        if (moe->runs[e].n > 0)
            moe->runs[moe->n_runs++] = moe->runs[e];
}
