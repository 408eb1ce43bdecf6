/* loop.h - the training loop: batches, schedule, steps, validation, checkpoints; the same for whole models and
 * adapters.
 *
 * A step takes `batch` items of the feed, which is walked through in an order that is drawn anew for each epoch, and
 * computes them in parts of at most the tape's tokens, whose gradients add up. What a step does follows from the seed
 * and its number alone, so a run that goes on from a checkpoint ends in the same bytes. With a length in hours the
 * number of steps is the clock's doing; it is decided once, when the decay begins, and kept in the checkpoint. */
#ifndef LIZ_TRAIN_LOOP_H
#define LIZ_TRAIN_LOOP_H

#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/optimizer.h"

#include <stdatomic.h>

typedef enum liz_schedule { LIZ_SCHEDULE_WSD, LIZ_SCHEDULE_COSINE } liz_schedule;

typedef struct liz_loop_opts {
    size_t batch;     /* items of a step */
    uint64_t n_steps; /* 0: until `hours` are over */
    double hours;
    liz_schedule schedule; /* steady, then falling to zero; or a cosine down to a tenth */
    uint64_t n_warmup;     /* steps of rising rates */
    double decay_share;    /* of the steps, at the end: steady schedule */
    uint64_t valid_every;  /* steps; 0: at the end only */
    size_t n_valid;        /* items of a validation at most; 0: all */
    uint64_t patience;     /* validations without a better one that end the run; 0: none do */
    double checkpoint_s;   /* seconds between checkpoints */
    uint64_t seed;         /* of the order of items */
} liz_loop_opts;

typedef enum liz_loop_event {
    LIZ_LOOP_STEP,  /* a step was made: the history's last point is its */
    LIZ_LOOP_VALID, /* and a validation after it */
    LIZ_LOOP_SAVED, /* a checkpoint was written */
} liz_loop_event;

typedef struct liz_loop liz_loop;

/* What the loop works with, all borrowed. */
struct liz_loop {
    const liz_loop_opts *opts;
    const liz_files *files;
    const char *checkpoint_path;
    liz_tape *tape;
    size_t n_tok_max; /* of the tape: a part's tokens at most */
    liz_optimizer *optimizer;
    const liz_feed *feed, *valid; /* valid: may be NULL */
    const atomic_int *stop;       /* not 0: end soon, with a checkpoint; may be NULL */
    liz_status (*on_event)(void *user, liz_loop_event event, const liz_loop *loop, liz_error *err);
    void *user;
    liz_checkpoint now; /* job is set by the caller, who reads the rest from a checkpoint where there is one */
};

/* Steps of an epoch. */
uint64_t liz_loop_epoch_steps(const liz_feed *feed, size_t batch);

/* Trains to the end, from where `now` stands; the last checkpoint is written then. LIZ_E_CANCELLED after `stop`, when
 * the checkpoint is there; LIZ_E_NUMERIC when the loss stays no number; LIZ_E_IO, LIZ_E_MEMORY, and what on_event
 * gives. */
LIZ_MUST_CHECK liz_status liz_loop_run(liz_loop *loop, liz_error *err);

#endif
