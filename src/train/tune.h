/* tune.h - tuning a model by an adapter: what `lizzie tune` does.
 *
 * The model stays as its file has it, quantised; the matrices that are asked for get an adapter (graph.h), which the
 * loop trains on examples, and which is written in the GGUF form that llama.cpp reads. Where examples are held back for
 * validation, the adapter that did best on them is the one that is written. Everything that decides its bytes is in the
 * options and the examples. Call from one thread. */
#ifndef LIZ_TRAIN_TUNE_H
#define LIZ_TRAIN_TUNE_H

#include "train/course.h"
#include "train/examples.h"

typedef struct liz_tune_opts {
    const liz_course_opts *common;
    const char *model, *out;
    int32_t rank;              /* 0: 16 */
    float alpha;               /* 0: twice the rank */
    const char *targets;       /* names with commas; NULL: all but experts */
    int32_t n_ctx;             /* tokens of an example at most; 0: the model's context */
    int32_t n_part;            /* tokens computed together; 0: 1024, or the longest example */
    double valid_share;        /* of the examples, held back where no others are given for validation */
    uint64_t memory_max_bytes; /* of the model's file and the training; 0: what the machine has */
    bool raw;                  /* the chat template is not used */
} liz_tune_opts;

/* Sets what may be 0, and of `common` the rate: 5e-4. */
void liz_tune_opts_init(liz_tune_opts *opts, liz_course_opts *common);
/* Fills what `common` leaves open as tuning wants it: 3 epochs, 16 examples a step, AdamW without decay, a cosine, an
 * end after 5 validations that brought nothing. */
void liz_tune_defaults(liz_course_opts *common);

/* Adds the examples for training, or for validation, by liz_examples_add. `has_chat`: the model has a chat template. */
typedef liz_status liz_tune_read_fn(void *user, liz_examples *to, bool valid, bool has_chat, liz_error *err);

/* As liz_train. LIZ_E_MEMORY tells what it would take before anything is begun. */
LIZ_MUST_CHECK liz_status liz_tune(const liz_tune_opts *opts, const liz_files *files, liz_tune_read_fn *read,
                                   liz_train_fn *on_event, void *user, liz_error *err);

#endif
