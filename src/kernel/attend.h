/* attend.h - attention of rows together: a row is the query of one token in one head (the formula: attention.h).
 *
 * Keys come block by block, and what is read of a block serves all rows that look at it: heads of a group, neighbouring
 * tokens, and sequences whose first pages are the same. Where the tier multiplies bfloat16 and rows are several, a
 * block is two products; else each row meets it by itself. A row's result is the same bits whoever is beside it. */
#ifndef LIZ_KERNEL_ATTEND_H
#define LIZ_KERNEL_ATTEND_H

#include "kernel/kernel.h"

/* Rows together, and of them those that meet a block at once. */
enum { LIZ_ATTN_ROWS = 128, LIZ_ATTN_MEET = 32, LIZ_ATTN_ROWS_READ = LIZ_ATTN_ROWS + 16 };

/* Floats of their scratch: for each row q in two forms and its sums; for those that meet a block scores, p and that
 * block's sums of values. Rows are read by sixteens from any, so some have as many more. */
#define LIZ_ATTN_SCRATCH_FLOATS(n_embd_k, n_embd_v)                                                                    \
    (LIZ_ATTN_ROWS * (LIZ_ATTN_QUERY_FLOATS(n_embd_k) + LIZ_ATTN_VALUE_FLOATS(n_embd_v)) +                             \
     LIZ_ATTN_MEET * (LIZ_KEY_BLOCK * 3 / 2 + LIZ_ATTN_VALUE_FLOATS(n_embd_v)) +                                       \
     LIZ_ATTN_ROWS_READ * (((size_t)(n_embd_k) + 1) / 2 + 2))

typedef struct liz_attn_row {
    const float *q;           /* [n_embd_k], rope applied */
    size_t first_key, n_keys; /* it sees positions [first_key, n_keys), at least one */
    const float *sink;        /* a score it adds that has no value; NULL for all rows or for none */
    float *out;               /* [n_embd_v] */
} liz_attn_row;

/* Set up by the caller but for the rows. Between tiles_begin and tiles_end. */
typedef struct liz_attn {
    const liz_kernel *kernel;
    liz_attn_elem elem;
    int n_embd_k, n_embd_v;
    size_t k_bytes, v_bytes; /* of a page */
    float scale, softcap;    /* softcap > 0: scores are bent to stay within it */
    float *scratch;          /* [LIZ_ATTN_SCRATCH_FLOATS(n_embd_k, n_embd_v)], 64-byte aligned */
    liz_attn_row *rows;      /* [LIZ_ATTN_ROWS] to put them in */
    size_t n_rows;
} liz_attn;

/* Adds a row. */
void liz_attn_add(liz_attn *attn, liz_attn_row row);

/* Rows [begin, end) look at keys [from, to), of which each sees its own. `k` and `v`: this layer's and kv head's bytes
 * of each page, counted from position 0; pages of which no row sees a key are not looked at. `from` and, unless no row
 * sees more, `to` are multiples of LIZ_KEY_BLOCK; a row meets its keys in ascending order. */
void liz_attn_look(liz_attn *attn, size_t begin, size_t end, const uint8_t *const *k, const uint8_t *const *v,
                   size_t from, size_t to);

/* Once they have seen all their keys: the rows' results. */
void liz_attn_finish(liz_attn *attn);

/* Whether so many rows meet a block by products. */
bool liz_attn_multiplies(const liz_attn *attn, size_t n_rows);

#endif
