/* quantize.h - floats to the bytes of any type that can be read: the inverse of liz_dequantize_row, as near as the type
 * allows.
 *
 * What is sought is the least sum of importance * (x - w)^2 over each block, w being what the bytes mean. The result
 * depends on the arguments alone. */
#ifndef LIZ_TENSOR_QUANTIZE_H
#define LIZ_TENSOR_QUANTIZE_H

#include "tensor/dtype.h"

/* Writes `n` elements, a multiple of the type's block, to `dst` (no alignment needed). `dtype` is readable.
 * `importance` [n]: what an error of each counts, finite and >= 0; NULL: all alike. False, with `dst` undefined, when
 * one of x [n] is not finite, or greater than 65504 and the type none of F32 and BF16. */
bool liz_quantize_row(liz_dtype dtype, const float *x, const float *importance, void *dst, size_t n);

#endif
