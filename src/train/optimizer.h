/* optimizer.h - from gradients to new weights: Adam with decoupled decay for vectors and tables, Muon for matrices.
 *
 * AdamW: Loshchilov and Hutter 2019. Muon: K. Jordan et al. 2024: the momentum of a matrix's gradient is brought near
 * an orthogonal one by five Newton-Schulz steps, which moves every direction of the matrix alike; scaled by 0.2
 * sqrt(longer side), it takes Adam's rates (Liu et al. 2025). Gradients are clipped
 * by their norm over all parameters, which is summed in pieces of fixed size, in order. */
#ifndef LIZ_TRAIN_OPTIMIZER_H
#define LIZ_TRAIN_OPTIMIZER_H

#include "train/tape.h"

typedef struct liz_optimizer liz_optimizer;

typedef struct liz_optimizer_opts {
    float rate; /* at the peak of the schedule */
    bool muon;  /* for matrices; else Adam for everything */
    float decay;
    float clip; /* of the gradient's norm; 0: none */
} liz_optimizer_opts;

/* `tape` is planned; borrowed. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_optimizer_open(liz_optimizer **out, liz_tape *tape, liz_team *team,
                                             const liz_optimizer_opts *opts, liz_error *err);
void liz_optimizer_close(liz_optimizer *optimizer);

/* One step, counted from 1, at `share` of the peak rates, by the gradients of the backwards since the last; these are
 * forgotten then, and operands up to date. Gives the gradient's norm before clipping; not-a-number leaves the weights
 * as they were. */
float liz_optimizer_step(liz_optimizer *optimizer, uint64_t step, float share);

#endif
