/* dtype.h - the element types of tensors in model files.
 *
 * Numbers and block layouts are GGUF's (ggml's type table). A row of a quantised tensor is a sequence of
 * blocks of `block_len` elements, `block_bytes` each. A type is listed even where Lizzie cannot compute
 * with it yet, so that it can be refused by name; `readable` says which can be dequantised. */
#ifndef LIZ_TENSOR_DTYPE_H
#define LIZ_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum liz_dtype {
    LIZ_DTYPE_F32 = 0,
    LIZ_DTYPE_F16 = 1,
    LIZ_DTYPE_Q4_0 = 2,
    LIZ_DTYPE_Q4_1 = 3,
    LIZ_DTYPE_Q5_0 = 6,
    LIZ_DTYPE_Q5_1 = 7,
    LIZ_DTYPE_Q8_0 = 8,
    LIZ_DTYPE_Q8_1 = 9,
    LIZ_DTYPE_Q2_K = 10,
    LIZ_DTYPE_Q3_K = 11,
    LIZ_DTYPE_Q4_K = 12,
    LIZ_DTYPE_Q5_K = 13,
    LIZ_DTYPE_Q6_K = 14,
    LIZ_DTYPE_Q8_K = 15,
    LIZ_DTYPE_IQ2_XXS = 16,
    LIZ_DTYPE_IQ2_XS = 17,
    LIZ_DTYPE_IQ3_XXS = 18,
    LIZ_DTYPE_IQ1_S = 19,
    LIZ_DTYPE_IQ4_NL = 20,
    LIZ_DTYPE_IQ3_S = 21,
    LIZ_DTYPE_IQ2_S = 22,
    LIZ_DTYPE_IQ4_XS = 23,
    LIZ_DTYPE_I8 = 24,
    LIZ_DTYPE_I16 = 25,
    LIZ_DTYPE_I32 = 26,
    LIZ_DTYPE_I64 = 27,
    LIZ_DTYPE_F64 = 28,
    LIZ_DTYPE_IQ1_M = 29,
    LIZ_DTYPE_BF16 = 30,
    LIZ_DTYPE_TQ1_0 = 34,
    LIZ_DTYPE_TQ2_0 = 35,
    LIZ_DTYPE_MXFP4 = 39,
    LIZ_DTYPE_NVFP4 = 40,
    LIZ_DTYPE_Q1_0 = 41,
    LIZ_DTYPE_Q2_0 = 42,
    LIZ_DTYPE_COUNT = 43
} liz_dtype;

typedef struct liz_dtype_info {
    const char *name; /* "Q4_K"; NULL for a number that names no type */
    int block_len;    /* elements in a block; 1 for plain types */
    int block_bytes;
    bool readable; /* liz_dequantize_row knows it */
} liz_dtype_info;

/* NULL when `dtype` (any number from a file) names no type. */
const liz_dtype_info *liz_dtype_info_get(uint32_t dtype);

/* The readable type of this name, in any case; false when there is none. */
bool liz_dtype_find(const char *name, liz_dtype *out);

/* Bytes of a row of `n` elements; false when n is no multiple of the block or the size overflows. */
bool liz_dtype_row_bytes(uint32_t dtype, uint64_t n, uint64_t *bytes);

#endif
