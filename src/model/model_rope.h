/* model_rope.h - rotary positions: how a file scales them, and the frequencies that follow.
 *
 * Pair i of a head turns by position * freq_i. Unscaled, freq_i = base^(-2i / n_dims), divided by factor i where the
 * file has factors (Llama 3, longrope). Linear scaling multiplies all by `scale`. YaRN mixes: pairs that turn often
 * within the original context keep their frequency, slow ones are scaled, with a ramp between; and cos and sin are
 * multiplied by a magnitude. Frequencies are double and come without libm, so every machine has the same bits. */
#ifndef LIZ_MODEL_MODEL_ROPE_H
#define LIZ_MODEL_MODEL_ROPE_H

#include "model/model_keys.h"

typedef struct liz_rope {
    int n_dims; /* elements of a head that turn, even */
    double base, scale;
    double ramp; /* how much of YaRN's mixing; 0: none */
    double beta_fast, beta_slow;
    double n_ctx_orig; /* context before scaling */
    double magnitude;
} liz_rope;

void liz_rope_read(liz_keys *keys, int n_embd_k, int32_t n_ctx_train, liz_rope *out);

/* freqs [n_dims / 2]; `factors` [n_dims / 2] divide, NULL for none. LIZ_E_FORMAT when an angle within n_ctx positions
 * would be no number that can be turned by. */
LIZ_MUST_CHECK liz_status liz_rope_fill(const liz_rope *rope, const float *factors, int32_t n_ctx, double *freqs,
                                        liz_error *err);

/* Queries that grow with every further stretch of `n_ctx` positions, so that attention stays as sharp among more keys:
 * at position p they are multiplied, after the rotation, by 1 + beta * ln(1 + floor(p / n_ctx)). */
typedef struct liz_query_growth {
    float beta; /* 0: they do not grow */
    int32_t n_ctx;
} liz_query_growth;

/* Computed in double and rounded once; 1 in the first stretch. */
float liz_query_growth_at(const liz_query_growth *growth, int32_t position);

#endif
