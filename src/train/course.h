/* course.h - what every training has around its loop: the job's side file, threads, options with their defaults, the
 * log and the curve, and going on from a checkpoint. `train` and `tune` bring a tape and feeds. */
#ifndef LIZ_TRAIN_COURSE_H
#define LIZ_TRAIN_COURSE_H

#include "sys/cpu.h"
#include "train/job.h"
#include "train/loop.h"

/* Options of the loop and the optimizer that all training shares. Zeros are defaults, but for those which may be 0:
 * liz_course_opts_init sets these. */
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
    const atomic_int *stop;
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
    uint64_t n_step_tokens;                  /* of a step at most */
    double token_ops;                        /* arithmetic of a token */
    double bytes_per_token, words_per_token; /* of the validation text; 0: none */
    const char *sample;                      /* what the model made of the sample's text; NULL: not asked for */
    bool resumes, was_finished;
} liz_train_progress;

typedef void liz_train_fn(void *user, liz_train_event event, const liz_train_progress *progress);

typedef struct liz_course {
    const liz_course_opts *opts;
    const liz_files *files;
    liz_train_fn *on_event;
    void *user;
    liz_train_progress progress; /* filled as things become known */
    liz_job job;
    liz_tier_id tier;
    liz_team *team;
    liz_loop_opts loop_opts;
    liz_optimizer_opts optimizer_opts;
    liz_optimizer *optimizer;
    liz_loop loop;
    /* After a validation, before it is told; may be NULL. */
    liz_status (*on_valid)(void *user, struct liz_course *course, liz_error *err);
    void *valid_user;
} liz_course;

/* Takes the job's lock and makes a team. What liz_job_open gives, LIZ_E_USAGE. The course is closed either way. */
LIZ_MUST_CHECK liz_status liz_course_open(liz_course *course, const liz_course_opts *opts, const liz_files *files,
                                          const char *out, liz_train_fn *on_event, void *user, liz_error *err);
void liz_course_close(liz_course *course);

/* Turns options into numbers, `n_item` being the tokens of an item as a rule, and adds them to the job's settings.
 * LIZ_E_USAGE, LIZ_E_STATE. */
LIZ_MUST_CHECK liz_status liz_course_settle(liz_course *course, const liz_feed *feed, const liz_feed *valid,
                                            size_t n_item, liz_error *err);

/* Trains `tape`, planned for parts of `n_tok_max` tokens, from the beginning or the job's checkpoint to the end. As
 * liz_loop_run, and what reading a checkpoint and writing log and curve give. */
LIZ_MUST_CHECK liz_status liz_course_run(liz_course *course, liz_tape *tape, size_t n_tok_max, const liz_feed *feed,
                                         const liz_feed *valid, liz_error *err);

/* OUT is written: the job is done. */
LIZ_MUST_CHECK liz_status liz_course_finish(liz_course *course, liz_error *err);

void liz_course_tell(liz_course *course, liz_train_event event);

#endif
