/* engine_imatrix.h - how much each input of each matrix matters: the mean square of what arrives there over a text.
 *
 * An error of a weight costs its square times the mean square of the input that it meets; so these numbers are the
 * weights of the least squares by which a matrix is quantised. They are kept in the GGUF form that llama.cpp defined:
 * general.type is "imatrix", and each tensor NAME has NAME.in_sum2 [matrices, n_in], sums of squares, and NAME.counts
 * [matrices, 1], how many inputs were summed. */
#ifndef LIZ_ENGINE_ENGINE_IMATRIX_H
#define LIZ_ENGINE_ENGINE_IMATRIX_H

#include "format/gguf.h"

/* Opens a file of that form, to be closed with liz_gguf_close. LIZ_E_FORMAT for a file of another kind. */
LIZ_MUST_CHECK liz_status liz_imatrix_open(liz_gguf **out, const char *path, liz_error *err);

/* Gives `*importance` [matrices, n_in] for a tensor, 1 on average in each matrix, released with free(); NULL where the
 * file has nothing for it. LIZ_E_FORMAT when what it has does not fit the tensor or holds no sane numbers. */
LIZ_MUST_CHECK liz_status liz_imatrix_of(const liz_gguf *imatrix, const liz_gguf_tensor *tensor, float **importance,
                                         liz_error *err);

#endif
