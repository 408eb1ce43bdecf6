/* course.h - a training: the job's side file, threads, options with their defaults, the loop of steps, checkpoints, the
 * log and the curve; the same for whole models and adapters. `train` and `tune` bring a tape and feeds.
 *
 * A step takes `batch` items of the feed, which is walked through in an order that is drawn anew for each epoch, and
 * computes them in parts of at most the tape's tokens, whose gradients add up. What a step does follows from the seed
 * and its number alone, so a run that goes on from a checkpoint ends in the same bytes. With a length in hours the
 * number of steps is the clock's doing; it is decided once, when the decay begins, and kept in the checkpoint. */
#ifndef LIZ_TRAIN_COURSE_H
#define LIZ_TRAIN_COURSE_H

#include "sys/cpu.h"
#include "text/vocab.h"
#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/graph.h"
#include "train/job.h"
#include "train/optimizer.h"

#include <stdatomic.h>

/* Options that all training shares. Zeros are defaults, but for those which may be 0: liz_course_opts_init sets these.
 */
typedef struct liz_course_opts {
    uint64_t batch;                                 /* items of a step */
    double tokens, epochs, hours;                   /* the length: one of them */
    const char *schedule;                           /* wsd, cosine */
    double rate, warmup, decay, weight_decay, clip; /* warmup: steps; decay: share of the steps; clip 0: none */
    const char *optimizer;                          /* muon, adamw */
    uint64_t valid_every, patience;
    double checkpoint_minutes;
    uint64_t seed;
    int n_threads;
    bool restart;
    const char *log_path, *plot_path;
    const atomic_int *stop; /* not 0: end soon, with a checkpoint; may be NULL */
} liz_course_opts;

void liz_course_opts_init(liz_course_opts *opts);

typedef enum liz_train_event {
    LIZ_TRAIN_READING, /* a file is being read: path */
    LIZ_TRAIN_PLANNED, /* the run begins or goes on */
    LIZ_TRAIN_STEPPED,
    LIZ_TRAIN_VALIDATED,
    LIZ_TRAIN_SAVED,
    LIZ_TRAIN_FINISHED, /* OUT is written, or was by an earlier run */
} liz_train_event;

typedef struct liz_train_progress {
    const char *path;
    const liz_train_state *state;
    const liz_point *point; /* the last step; NULL: none yet */
    uint64_t n_params, n_vocab, n_documents, n_data_tokens, n_data_bytes, n_valid_tokens, memory_bytes;
    uint64_t model_bytes;                    /* of a frozen model's file, beside; 0: none */
    double token_ops;                        /* arithmetic of a token */
    double bytes_per_token, words_per_token; /* of the validation text; 0: none */
    const char *sample;                      /* what the model made of the sample's text; NULL: not asked for */
    bool resumes, was_finished;
} liz_train_progress;

typedef void liz_train_fn(void *user, liz_train_event event, const liz_train_progress *progress);

/* The options as the loop takes them. */
typedef struct liz_plan {
    size_t batch;
    uint64_t n_steps;     /* 0: until the hours are over */
    bool is_cosine;       /* a cosine down to a tenth; else steady, then falling to zero */
    uint64_t n_warmup;    /* steps of rising rates */
    double decay_share;   /* of the steps, at the end: steady schedule */
    uint64_t valid_every; /* steps; 0: at the end only */
    size_t n_valid;       /* items of a validation at most */
    double checkpoint_s;  /* seconds between checkpoints */
} liz_plan;

typedef struct liz_course {
    const liz_course_opts *opts;
    const liz_files *files;
    liz_train_fn *on_event;
    void *user;
    liz_train_progress progress; /* filled as things become known */
    liz_job job;
    liz_tier_id tier;
    liz_team *team;
    /* Brought by whom the course is of, closed with it. */
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_tape *tape;
    liz_graph *graph;
    liz_feed feed, valid; /* valid of no items: there is none */
    size_t n_part;        /* tokens computed together: the tape's */
    liz_plan plan;
    liz_optimizer_opts optimizer_opts;
    liz_optimizer *optimizer;
    liz_checkpoint now;
    /* After a validation, before it is told; may be NULL. */
    liz_status (*on_valid)(void *user, liz_error *err);
    void *valid_user;
} liz_course;

/* Takes the job's lock and makes a team. What liz_job_open gives, LIZ_E_USAGE. The course is closed either way. */
LIZ_MUST_CHECK liz_status liz_course_open(liz_course *course, const liz_course_opts *opts, const liz_files *files,
                                          const char *out, liz_train_fn *on_event, void *user, liz_error *err);
void liz_course_close_tape(liz_course *course);
void liz_course_close(liz_course *course);

/* Opens model and vocabulary of a file, and gives the context that the model was made for, 0 where it does not say. */
LIZ_MUST_CHECK liz_status liz_course_open_model(liz_course *course, const char *path, uint64_t *n_ctx, liz_error *err);
/* The tape of the model, for `n_part` tokens whatever `how` says of them. */
LIZ_MUST_CHECK liz_status liz_course_open_tape(liz_course *course, const liz_graph_opts *opts, liz_tape_opts how,
                                               liz_error *err);

/* Settles what depends on no data, and adds it to the job's settings. LIZ_E_USAGE, LIZ_E_STATE. */
LIZ_MUST_CHECK liz_status liz_course_settle_first(liz_course *course, liz_error *err);
/* Then the rest, `n_item` being the tokens of an item as a rule. LIZ_E_STATE. */
LIZ_MUST_CHECK liz_status liz_course_settle(liz_course *course, size_t n_item, liz_error *err);

/* Trains the tape from the beginning or the job's checkpoint to the end; the last checkpoint is written then.
 * LIZ_E_CANCELLED after `stop`, when the checkpoint is there; LIZ_E_NUMERIC when the loss stays no number; LIZ_E_IO,
 * LIZ_E_MEMORY, LIZ_E_FORMAT for a damaged checkpoint, and what on_valid gives. */
LIZ_MUST_CHECK liz_status liz_course_run(liz_course *course, liz_error *err);

/* OUT is written: the job is done. */
LIZ_MUST_CHECK liz_status liz_course_finish(liz_course *course, liz_error *err);
/* OUT was written by an earlier run of the same settings. */
void liz_course_was_finished(liz_course *course);

void liz_course_tell(liz_course *course, liz_train_event event);
/* The same of a step, validation or checkpoint, once it is in the log and the curve. */
LIZ_MUST_CHECK liz_status liz_course_note(liz_course *course, liz_train_event event, liz_error *err);

#endif
