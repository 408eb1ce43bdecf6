/* quant.h - what the bytes of quantised tensors mean: scalar dequantisation, the oracle of everything else.
 *
 * Formulas and layouts are those of the GGUF types (ggml's block structures). All fields are little endian. `d`, `dmin`
 * are binary16. Q4_0: 32 elements, d, 16 bytes: element i is the low nibble of byte i, i + 16 the high one; w = d (q -
 * 8). Q5_0: d, 32 fifth bits (bit i of element i), then nibbles as Q4_0; w = d (q - 16). Q8_0: d, 32 signed bytes; w =
 * d q. Q4_K: 256 elements in 8 sub-blocks of 32; d, dmin, 12 bytes of 6-bit scales s and minima m, 128 bytes of
 * nibbles: of each 32 bytes the low nibbles are one sub-block and the high ones the next; w = d s q - dmin m. Q6_K: 256
 * elements in 16 sub-blocks of 16; 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales s, d; w = d s
 * (q - 32). */
#ifndef LIZ_TENSOR_QUANT_H
#define LIZ_TENSOR_QUANT_H

#include "tensor/dtype.h"

/* Writes `n` floats, n a multiple of the type's block, of a row at `src` (no alignment needed). `dtype` is readable. */
void liz_dequantize_row(liz_dtype dtype, const void *src, float *dst, size_t n);

/* The 6-bit scale and minimum of sub-block j (0 to 7) in the 12 bytes that Q4_K and Q5_K keep them in. */
void liz_q4k_scale_min(const uint8_t scales[12], int j, uint8_t *scale, uint8_t *min);

/* The 256 values q (0 to 63) of a Q6_K block, from its 128 low-nibble and 64 high-pair bytes. */
void liz_q6k_unpack(const uint8_t *low, const uint8_t *high, uint8_t q[256]);

#endif
