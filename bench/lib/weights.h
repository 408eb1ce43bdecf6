/* weights.h - rows of random weights in any type that Lizzie computes with.
 *
 * A weight is a normal deviate times `sigma`. Quantised rows are not quantised from floats: their integers are drawn
 * from the distribution that quantising normal deviates gives, and their scales follow from `sigma`, varied by a
 * quarter from block to block. So they are valid, of sane magnitude, and cost a nanosecond a weight; types that are
 * rarer draw their codes evenly and cost ten. */
#ifndef BENCH_LIB_WEIGHTS_H
#define BENCH_LIB_WEIGHTS_H

#include "tensor/dtype.h"

/* Makes the tables. Call first. */
void bench_weights_init(void);

bool bench_weights_can(liz_dtype dtype);

/* Writes a row of `n` elements (whole blocks) to `out`. The bytes depend on the arguments alone. */
void bench_weights_row(liz_dtype dtype, uint64_t seed, uint32_t tensor, uint64_t row, size_t n, double sigma,
                       void *out);

/* A row of F32 around 1, as norms have. */
void bench_norm_row(uint64_t seed, uint32_t tensor, size_t n, float *out);

#endif
