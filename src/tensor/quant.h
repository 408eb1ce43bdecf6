/* quant.h - what the bytes of quantised tensors mean: scalar dequantisation, the oracle of everything else.
 *
 * Formulas and layouts are those of the GGUF types (ggml's block structures; MXFP4 is the OCP Microscaling format). A
 * block of any of them comes apart into small integers and scales, so that one formula serves all:
 *     w = d * s * v(q) - dmin * m
 * q: the element's code; v(q) the number it stands for, q less a zero point or an entry of a table; s, m: small
 * integers of its sub-block, 1 and 0 in types with one scale a block. All fields of a file are little endian, d and
 * dmin binary16 but for MXFP4, whose scale is a power of two. */
#ifndef LIZ_TENSOR_QUANT_H
#define LIZ_TENSOR_QUANT_H

#include "tensor/dtype.h"

/* Writes `n` floats, n a multiple of the type's block, of a row at `src` (no alignment needed). `dtype` is readable. */
void liz_dequantize_row(liz_dtype dtype, const void *src, float *dst, size_t n);

enum { LIZ_QUANT_LEN_MAX = 256, LIZ_QUANT_SUBS_MAX = 16 };

/* A block taken apart. Elements that share s and m: `sub_len` of the type. */
typedef struct liz_quant_parts {
    float d, dmin;
    int8_t s[LIZ_QUANT_SUBS_MAX];
    uint8_t m[LIZ_QUANT_SUBS_MAX];
    uint8_t q[LIZ_QUANT_LEN_MAX];
} liz_quant_parts;

typedef struct liz_quant_type {
    const int8_t *values; /* v(q), 16 of them; NULL: v(q) = q - zero */
    uint8_t sub_len;      /* 0: the whole block */
    uint8_t zero;
} liz_quant_type;

/* All types of blocks: X(LIZ_DTYPE_...). */
#define LIZ_QUANT_TYPES(X)                                                                                             \
    X(Q4_0)                                                                                                            \
    X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(IQ4_XS) X(TQ1_0) X(TQ2_0)      \
        X(MXFP4)

/* NULL for types that are not quantised, or not readable. */
const liz_quant_type *liz_quant_type_get(liz_dtype dtype);

/* A block's parts. What a type does not have (m; s and m beyond its sub-blocks) is left as it was. */
void liz_quant_unpack(liz_dtype dtype, const uint8_t *src, liz_quant_parts *parts);
/* Writes a block of a quantised type from its parts; d and dmin are numbers that its fields can hold. */
void liz_quant_pack(liz_dtype dtype, const liz_quant_parts *parts, uint8_t *dst);

#endif
