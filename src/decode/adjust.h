/* adjust.h - the steps that change logits: bias, penalties, DRY; and the log by which all changes are undone.
 *
 * docs/sampling.md is the definition. An adjuster serves one thread at a time and keeps nothing from one call to the
 * next. Nothing allocates after open. */
#ifndef LIZ_DECODE_ADJUST_H
#define LIZ_DECODE_ADJUST_H

#include "base/carve.h"
#include "decode/sampler.h"

typedef struct liz_adjuster liz_adjuster;

/* For vocabularies of `n_vocab`, >= 1, in a block of zeros; NULL while its bytes are counted. */
liz_adjuster *liz_adjuster_place(liz_carver *carver, int32_t n_vocab);

/* Bias, penalties and DRY, as far as they are on. */
void liz_adjust(liz_adjuster *adjuster, const liz_sampling *sampling, const liz_history *history, float *logits);
/* Sets one logit, so that it will be undone. */
void liz_adjust_set(liz_adjuster *adjuster, float *logits, int32_t token, float logit);
void liz_adjust_undo(liz_adjuster *adjuster, float *logits);

#endif
