/* train.h - training a model: what `lizzie train` does.
 *
 * From text to a model file: a tokenizer is trained or taken over, a model of the given shape begins at random (or an
 * existing one goes on), the loop trains it, and the file is written. Everything that decides the file's bytes is in
 * the options and the data; threads and instruction sets are not among it. Call from one thread. */
#ifndef LIZ_TRAIN_TRAIN_H
#define LIZ_TRAIN_TRAIN_H

#include "train/course.h"
#include "train/shape.h"

typedef struct liz_paths {
    char *const *v;
    size_t n;
} liz_paths;

typedef struct liz_train_opts {
    liz_course_opts common;
    const char *out;
    liz_paths data, valid;
    const char *init;               /* a model file to go on from; shape and tokenizer are its own then */
    const char *tokenizer;          /* a model file whose tokenizer is taken; NULL: one is trained on the data */
    const char *pre;                /* the pre-tokenizer of the one that is trained */
    liz_paths specials;             /* further control tokens of it */
    const char *shape_name, *dtype; /* f32, bf16, f16 */
    liz_model_shape shape;
    int32_t n_part;     /* tokens computed together */
    const char *sample; /* a text that is continued at each validation */
    bool recompute;
} liz_train_opts;

/* Trains, or goes on with what was interrupted. LIZ_E_CANCELLED after `stop`, with a checkpoint written; LIZ_E_STATE
 * when OUT or its job is another one; LIZ_E_USAGE and whatever reading, training and writing give. */
LIZ_MUST_CHECK liz_status liz_train(const liz_train_opts *opts, const liz_files *files, liz_train_fn *on_event,
                                    void *user, liz_error *err);

#endif
