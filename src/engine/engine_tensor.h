/* engine_tensor.h - a tensor on its way from one model file into another: read a chunk of rows at a time, changed by
 * whoever has something to change, written in a type that may be another one.
 *
 * All members of a team work on a chunk; behind it the file's pages are dropped, so memory stays bounded whatever a
 * tensor's size. The bytes written do not depend on the number of members. */
#ifndef LIZ_ENGINE_ENGINE_TENSOR_H
#define LIZ_ENGINE_ENGINE_TENSOR_H

#include "format/gguf.h"
#include "format/gguf_write.h"
#include "sys/team.h"

/* Changes row `row` (of all the tensor's, counted from 0) in place, on this member of the team. */
typedef void liz_tensor_edit(void *user, int member, uint64_t row, float *x, size_t n);

typedef struct liz_tensor_job {
    const liz_gguf *gguf;
    const liz_gguf_tensor *tensor; /* of it */
    liz_dtype dtype;               /* to be written; rows are whole blocks of it */
    /* What an error of each column counts, around 1 on average: a row for each of the tensor's matrices (a tensor of
     * three dimensions holds several); NULL: all alike. */
    const float *importance; /* [matrices, n_in] */
    liz_tensor_edit *edit;   /* NULL: none */
    /* Reports bytes of this tensor read so far; NULL: not. False ends it with LIZ_E_CANCELLED. */
    bool (*on_bytes)(void *user, uint64_t done);
    void *user; /* of both */
} liz_tensor_job;

/* What writing in another type cost: sums over all weights w that became v, of w^2, (w - v)^2, and the same weighted by
 * importance. */
typedef struct liz_tensor_loss {
    double size, error, size_weighted, error_weighted;
} liz_tensor_loss;

/* Writes the tensor that was declared next. Where its type stays and nothing edits it, its bytes are copied. Adds to
 * `*loss` (may be NULL). LIZ_E_UNSUPPORTED for a type that cannot be read, LIZ_E_NUMERIC for a weight that is not
 * finite or that the type cannot hold, both naming the tensor; LIZ_E_IO, LIZ_E_MEMORY, LIZ_E_CANCELLED. */
LIZ_MUST_CHECK liz_status liz_tensor_write(liz_gguf_writer *writer, liz_team *team, const liz_tensor_job *job,
                                           liz_tensor_loss *loss, liz_error *err);

#endif
