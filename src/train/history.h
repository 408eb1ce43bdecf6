/* history.h - what became of each step, kept for the log and the curve.
 *
 * The history is part of a checkpoint, and the files are made from it: a run that goes on writes the log anew up to its
 * checkpoint and continues there, so neither file ever tells of steps that were lost. */
#ifndef LIZ_TRAIN_HISTORY_H
#define LIZ_TRAIN_HISTORY_H

#include "sys/files.h"

#include <stdint.h>

/* A step. All members are eight bytes: checkpoints hold points as they are. */
typedef struct liz_point {
    uint64_t step, n_tokens; /* n_tokens: so far */
    double loss, rate, norm; /* a target's loss before the step; the learning rate; the gradient's norm */
    double valid;            /* a target's loss in the validation text after it; NaN: not measured */
    double seconds;          /* of training so far */
    double tokens_s;
} liz_point;

typedef struct liz_history_list {
    liz_point *v;
    size_t n, cap;
} liz_history_list;

/* LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_history_add(liz_history_list *history, const liz_point *point, liz_error *err);
void liz_history_free(liz_history_list *history);

/* Replaces `path` by all points, a JSON object a line; or appends the last one. LIZ_E_IO, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_history_log(const liz_history_list *history, bool last_only, const liz_files *files,
                                          const char *path, liz_error *err);
/* Replaces `path` by the curves of the loss, as SVG. */
LIZ_MUST_CHECK liz_status liz_history_plot(const liz_history_list *history, const liz_files *files, const char *path,
                                           liz_error *err);

#endif
