/* pack.h - weights as the kernels read them.
 *
 * A matrix W [n_out, n_in] is cut into panels of 16 rows (outputs), each padded with zero rows and, along k, with zeros
 * to whole blocks. One layout serves all tiers and batch sizes; a panel is read front to back.
 *
 * Integer types. In blocks of 256 along k every weight becomes one signed byte t on a grid that the row's block sets,
 * w ~ d * t. The bytes are not stored: a block keeps the file's small integers q and what turns them into t:
 *     t = (a_j * q' + b_j + 128) >> 8         (16-bit arithmetic; a_j, b_j of sub-block j)
 * with q' = q less its zero point, and d = max|w| over what the block can express, / 127. So a dot product of 256
 * elements is one exact integer, and floating point is touched once a block. docs/kernels.md has the error this costs
 * and what the alternatives cost in time.
 * The order of a block's elements ("packed order") is that of the nibbles: element k = 128 h + 32 l + 16 p + i
 * (h, p < 2, l < 4, i < 16) stands at 128 h + 64 p + 16 l + i. It is common to all integer types, so that
 * activations are quantised once for all the matrices they meet.
 *
 * Float types. BF16 (F16 is rounded to it) and F32, k in groups of 32: for each pair of elements (k, k + 1), 16 rows.
 */
#ifndef LIZ_KERNEL_PACK_H
#define LIZ_KERNEL_PACK_H

#include "tensor/dtype.h"

#include <stdbool.h>

enum { LIZ_PANEL_ROWS = 16, LIZ_BLOCK_LEN = 256, LIZ_GROUP_LEN = 32 };

typedef enum liz_pack {
    LIZ_PACK_F32,  /* F32 */
    LIZ_PACK_BF16, /* BF16, F16 */
    LIZ_PACK_I4,   /* Q4_0: nibbles, a scale for 32 */
    LIZ_PACK_I4K,  /* Q4_K: nibbles, 6-bit scales and minima for 32 */
    LIZ_PACK_I5,   /* Q5_0: nibbles and a fifth bit, a scale for 32 */
    LIZ_PACK_I6K,  /* Q6_K: nibbles and two more bits, an 8-bit scale for 16 */
    LIZ_PACK_I8,   /* Q8_0: the bytes t themselves */
    LIZ_PACK_COUNT
} liz_pack;

typedef struct liz_block_i4 {
    float d[16];
    int16_t a[16][8];
    uint8_t low[16][128]; /* byte 16 j + i: elements 32 j + i (low nibble) and 32 j + 16 + i */
} liz_block_i4;

/* a_j = (s_j * r + 32) >> 6, b_j = (m_j * rm + 32) >> 6 */
typedef struct liz_block_i4k {
    float d[16];
    int16_t r[16], rm[16];
    uint8_t s[16][8], m[16][8];
    uint8_t low[16][128];
} liz_block_i4k;

typedef struct liz_block_i5 {
    float d[16];
    int16_t a[16][8];
    uint8_t low[16][128];
    uint8_t high[16][32]; /* bit e % 8 of byte e / 8: element e in packed order */
} liz_block_i5;

/* a_j = (s_j * r + 64) >> 7 for 16 sub-blocks of 16, in packed order: s[8 h + 4 p + l] */
typedef struct liz_block_i6k {
    float d[16];
    int16_t r[16];
    uint8_t reserved[32];
    int8_t s[16][16];
    uint8_t low[16][128];
    uint8_t high[16][64]; /* bits 2 c, 2 c + 1 of byte i: element 64 c + i in packed order */
} liz_block_i6k;

typedef struct liz_block_i8 {
    float d[16];
    int8_t t[16][256];
} liz_block_i8;

/* A packed matrix. `data` is 64-byte aligned. */
typedef struct liz_matrix {
    liz_pack pack;
    int32_t n_out, n_in;
    uint8_t *data;
} liz_matrix;

/* False when weights of this type cannot be computed with. */
bool liz_pack_of(liz_dtype dtype, liz_pack *pack);
const char *liz_pack_name(liz_pack pack);
bool liz_pack_is_integer(liz_pack pack);

/* Bytes of one panel, and of a whole matrix; n_out and n_in are positive. */
size_t liz_pack_panel_bytes(liz_pack pack, int32_t n_in);
size_t liz_pack_matrix_bytes(liz_pack pack, int32_t n_out, int32_t n_in);

/* Blocks of 256 (integer) or groups of 32 (float) along k. */
size_t liz_pack_units(liz_pack pack, int32_t n_in);

/* Packs panel `i` of rows at `src` (file bytes of the whole matrix, rows contiguous) into its place in `matrix`. */
void liz_pack_panel(const liz_matrix *matrix, liz_dtype dtype, const uint8_t *src, size_t i);

/* The bytes t of one row of an integer block, in packed order, and its d: the definition that every tier decodes to. */
void liz_pack_decode(liz_pack pack, const void *block, int row, int8_t t[256], float *d);
size_t liz_pack_block_bytes(liz_pack pack);

/* Where element k of a block stands in packed order. */
static inline int liz_packed_index(int k) { return (k & 128) | (k & 16) << 2 | (k & 96) >> 1 | (k & 15); }

#endif
