/* checkpoint.h - the state of a training run on disk.
 *
 * What a step needs of those before it: how far it is, the history, and of every trained parameter the weights and the
 * optimizer's averages. A checkpoint replaces the one before at once and durably, so whenever the process dies or the
 * disk is full, the last one that was finished is there. It ends in a hash of all before it. Numbers are in the
 * machine's order of bytes. */
#ifndef LIZ_TRAIN_CHECKPOINT_H
#define LIZ_TRAIN_CHECKPOINT_H

#include "base/hash.h"
#include "train/history.h"
#include "train/tape.h"

/* All members are eight bytes: checkpoints hold it as it is. */
typedef struct liz_train_state {
    uint64_t step;                            /* that were made */
    uint64_t n_steps;                         /* of the whole run; 0: not decided yet */
    uint64_t n_tokens, n_items;               /* taken from the feed */
    uint64_t n_bad;                           /* the last so many steps had no gradient that is a number */
    uint64_t n_worse;                         /* the last so many validations were no better than the best */
    double best_valid, last_valid, last_loss; /* a target's; NaN: none yet */
    double seconds;                           /* of training */
} liz_train_state;

typedef struct liz_checkpoint {
    liz_hash job; /* what is trained: another job's checkpoint is refused */
    liz_train_state state;
    liz_history_list history;
} liz_checkpoint;

/* LIZ_E_IO: the one before is still there. */
LIZ_MUST_CHECK liz_status liz_checkpoint_write(const liz_checkpoint *checkpoint, liz_tape *tape, const liz_files *files,
                                               const char *path, liz_error *err);

/* Fills state, history and the tape's parameters; `job` says whose it must be. LIZ_E_FORMAT for a file that is damaged,
 * of another job, or holds what is not a number; LIZ_E_IO, LIZ_E_MEMORY. After a failure the tape is of no use. */
LIZ_MUST_CHECK liz_status liz_checkpoint_read(liz_checkpoint *checkpoint, liz_tape *tape, const liz_files *files,
                                              const char *path, liz_error *err);

#endif
