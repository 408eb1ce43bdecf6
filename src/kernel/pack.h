/* pack.h - weights as the kernels read them.
 *
 * A matrix W [n_out, n_in] is cut into panels of 16 rows (outputs), each padded with zero rows and, along k, with zeros
 * to whole blocks. One layout serves all tiers and batch sizes; a panel is read front to back.
 *
 * Integer types. In blocks of 256 along k every weight becomes one signed byte t on a grid that the row's block sets,
 * w ~ d * t. The bytes are not stored: a block keeps the file's small integers q and what turns them into t:
 *     t = (a_j * v(q) + b_j + 128) >> 8         (16-bit arithmetic; a_j, b_j of sub-block j)
 * with v(q) the number that q stands for (q less a zero point, or an entry of a table), and d = max|w| over what the
 * block can express, / 127, so that |t| <= 127, but in i8 where a file has bytes of -128. A dot product of 256 elements
 * is one exact integer, and floating point is touched once a block. docs/kernels.md has the error this costs and what
 * the alternatives cost in time.
 * The order of a block's elements ("packed order") is that of the nibbles: element k = 128 h + 32 l + 16 p + i
 * (h, p < 2, l < 4, i < 16) stands at 128 h + 64 p + 16 l + i. It is common to all integer types, so that
 * activations are quantised once for all the matrices they meet.
 *
 * A block is what gives a_j and b_j (one of the `liz_scales_` below, which all begin with d), then the planes of q's
 * bits that the form has: nibbles, pairs, single bits, the lowest bits first.
 *
 * Float types. BF16 (F16 is rounded to it) and F32, k in groups of 32: for each pair of elements (k, k + 1), 16 rows.
 */
#ifndef LIZ_KERNEL_PACK_H
#define LIZ_KERNEL_PACK_H

#include "tensor/dtype.h"

#include <stdbool.h>

enum { LIZ_PANEL_ROWS = 16, LIZ_BLOCK_LEN = 256, LIZ_GROUP_LEN = 32 };

/* The integer forms: X(LIZ_PACK_..., liz_block_..., types it serves). */
#define LIZ_PACKS_PLANES(X)                                                                                            \
    X(I2, i2, "TQ1_0, TQ2_0")                                                                                          \
    X(I2K, i2k, "Q2_K")                                                                                                \
    X(I3K, i3k, "Q3_K")                                                                                                \
    X(I4, i4, "Q4_0")                                                                                                  \
    X(I4M, i4m, "Q4_1")                                                                                                \
    X(I4K, i4k, "Q4_K")                                                                                                \
    X(I4T, i4t, "IQ4_NL, IQ4_XS, MXFP4")                                                                               \
    X(I5, i5, "Q5_0")                                                                                                  \
    X(I5M, i5m, "Q5_1")                                                                                                \
    X(I5K, i5k, "Q5_K")                                                                                                \
    X(I6K, i6k, "Q6_K")
#define LIZ_PACKS_INTEGER(X) LIZ_PACKS_PLANES(X) X(I8, i8, "Q8_0")

typedef enum liz_pack {
    LIZ_PACK_F32,  /* F32 */
    LIZ_PACK_BF16, /* BF16, F16 */
#define LIZ_PACK_ID(ID, name, types) LIZ_PACK_##ID,
    LIZ_PACKS_INTEGER(LIZ_PACK_ID)
#undef LIZ_PACK_ID
        LIZ_PACK_COUNT
} liz_pack;

/* ---- Scales of a block of 16 rows ---- */

/* a_j of sub-blocks of 32 as they are. */
typedef struct liz_scales_a {
    float d[16];
    int16_t a[16][8];
} liz_scales_a;

typedef struct liz_scales_ab {
    float d[16];
    int16_t a[16][8], b[16][8];
} liz_scales_ab;

/* a_j = (s_j * r + 32) >> 6, b_j = (m_j * rm + 32) >> 6; s, m < 64 of sub-blocks of 32. */
typedef struct liz_scales_k32 {
    float d[16];
    int16_t r[16], rm[16];
    uint8_t s[16][8], m[16][8];
} liz_scales_k32;

/* a_j = (s_j * r + 8) >> 4, b_j = (m_j * rm + 8) >> 4; s_j the low, m_j the high nibble of sm, for sub-blocks of 16 in
 * packed order: sm[8 h + 4 p + l]. */
typedef struct liz_scales_k16 {
    float d[16];
    int16_t r[16], rm[16];
    uint8_t sm[16][16];
} liz_scales_k16;

/* a_j = (s_j * r + 64) >> 7 for sub-blocks of 16 in packed order. */
typedef struct liz_scales_s16 {
    float d[16];
    int16_t r[16];
    uint8_t reserved[32];
    int8_t s[16][16];
} liz_scales_s16;

/* The same for sub-blocks of 32; v(q) is in the block. */
typedef struct liz_scales_t32 {
    float d[16];
    int16_t r[16];
    int8_t values[16];
    uint8_t reserved[16];
    int8_t s[16][8];
} liz_scales_t32;

/* ---- Planes ---- */

/* Nibbles: byte 16 j + i holds elements 32 j + i (low) and 32 j + 16 + i of k. */
typedef uint8_t liz_plane_4[16][128];
/* Pairs: bits 2 c, 2 c + 1 of byte i belong to element 64 c + i in packed order. */
typedef uint8_t liz_plane_2[16][64];
/* Bits: bit e % 8 of byte e / 8 belongs to element e in packed order. */
typedef uint8_t liz_plane_1[16][32];

/* ---- Blocks ---- */

typedef struct liz_block_i2 { /* t = q - 1 */
    float d[16];
    liz_plane_2 two;
} liz_block_i2;

#define LIZ_FOUR liz_plane_4 four;
#define LIZ_TWO liz_plane_2 two;
#define LIZ_ONE liz_plane_1 one;
#define LIZ_BLOCK(name, kind, planes)                                                                                  \
    typedef struct liz_block_##name {                                                                                  \
        liz_scales_##kind scales;                                                                                      \
        planes                                                                                                         \
    } liz_block_##name;
LIZ_BLOCK(i2k, k16, LIZ_TWO)
LIZ_BLOCK(i3k, s16, LIZ_TWO LIZ_ONE)
LIZ_BLOCK(i4, a, LIZ_FOUR)
LIZ_BLOCK(i4m, ab, LIZ_FOUR)
LIZ_BLOCK(i4k, k32, LIZ_FOUR)
LIZ_BLOCK(i4t, t32, LIZ_FOUR)
LIZ_BLOCK(i5, a, LIZ_FOUR LIZ_ONE)
LIZ_BLOCK(i5m, ab, LIZ_FOUR LIZ_ONE)
LIZ_BLOCK(i5k, k32, LIZ_FOUR LIZ_ONE)
LIZ_BLOCK(i6k, s16, LIZ_FOUR LIZ_TWO)
#undef LIZ_BLOCK
#undef LIZ_ONE
#undef LIZ_TWO
#undef LIZ_FOUR

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
