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

/* X(LIZ_DTYPE_..., its number, elements in a block, bytes of one, whether liz_dequantize_row knows it). */
#define LIZ_DTYPES(X)                                                                                                  \
    X(F32, 0, 1, 4, true)                                                                                              \
    X(F16, 1, 1, 2, true)                                                                                              \
    X(Q4_0, 2, 32, 18, true)                                                                                           \
    X(Q4_1, 3, 32, 20, true)                                                                                           \
    X(Q5_0, 6, 32, 22, true)                                                                                           \
    X(Q5_1, 7, 32, 24, true)                                                                                           \
    X(Q8_0, 8, 32, 34, true)                                                                                           \
    X(Q8_1, 9, 32, 36, false)                                                                                          \
    X(Q2_K, 10, 256, 84, true)                                                                                         \
    X(Q3_K, 11, 256, 110, true)                                                                                        \
    X(Q4_K, 12, 256, 144, true)                                                                                        \
    X(Q5_K, 13, 256, 176, true)                                                                                        \
    X(Q6_K, 14, 256, 210, true)                                                                                        \
    X(Q8_K, 15, 256, 292, false)                                                                                       \
    X(IQ2_XXS, 16, 256, 66, false)                                                                                     \
    X(IQ2_XS, 17, 256, 74, false)                                                                                      \
    X(IQ3_XXS, 18, 256, 98, false)                                                                                     \
    X(IQ1_S, 19, 256, 50, false)                                                                                       \
    X(IQ4_NL, 20, 32, 18, true)                                                                                        \
    X(IQ3_S, 21, 256, 110, false)                                                                                      \
    X(IQ2_S, 22, 256, 82, false)                                                                                       \
    X(IQ4_XS, 23, 256, 136, true)                                                                                      \
    X(I8, 24, 1, 1, false)                                                                                             \
    X(I16, 25, 1, 2, false)                                                                                            \
    X(I32, 26, 1, 4, false)                                                                                            \
    X(I64, 27, 1, 8, false)                                                                                            \
    X(F64, 28, 1, 8, false)                                                                                            \
    X(IQ1_M, 29, 256, 56, false)                                                                                       \
    X(BF16, 30, 1, 2, true)                                                                                            \
    X(TQ1_0, 34, 256, 54, true)                                                                                        \
    X(TQ2_0, 35, 256, 66, true)                                                                                        \
    X(MXFP4, 39, 32, 17, true)                                                                                         \
    X(NVFP4, 40, 64, 36, false)                                                                                        \
    X(Q1_0, 41, 128, 18, false)                                                                                        \
    X(Q2_0, 42, 64, 18, false)

#define LIZ_DTYPE_ID(ID, number, ...) LIZ_DTYPE_##ID = (number),
typedef enum liz_dtype { LIZ_DTYPES(LIZ_DTYPE_ID) LIZ_DTYPE_COUNT = 43 } liz_dtype;
#undef LIZ_DTYPE_ID

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
