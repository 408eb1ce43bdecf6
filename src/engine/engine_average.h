/* engine_average.h - the mean of models that are alike, weight by weight.
 *
 * Of models that one training went through, at ends of its rate, or that were tuned from one model, the mean of the
 * weights is often better than each (Wortsman et al. 2022, "Model soups"). */
#ifndef LIZ_ENGINE_ENGINE_AVERAGE_H
#define LIZ_ENGINE_ENGINE_AVERAGE_H

#include "format/gguf.h"

enum { LIZ_AVERAGE_MAX = 15 };

/* Models beside a first one; empty: { 0 }. */
typedef struct liz_average {
    liz_gguf *others[LIZ_AVERAGE_MAX];
    size_t n;
} liz_average;

/* Opens the files, which must have the tensors of `first` in its order, its architecture and its vocabulary.
 * LIZ_E_USAGE for too many or for one that differs, naming both files; otherwise as liz_gguf_open. `average` is to be
 * closed either way. */
LIZ_MUST_CHECK liz_status liz_average_open(liz_average *average, const liz_gguf *first, const char *const *paths,
                                           size_t n, liz_error *err);
void liz_average_close(liz_average *average);

/* x [n], row `row` of the first's tensor `i`, becomes (x + those of the others, in order) / models, the sum in double.
 */
void liz_average_row(const liz_average *average, size_t i, uint64_t row, float *x, size_t n);

#endif
