/* pack_form.h - how each form of packed weights is put together: between pack.c and pack_rows.c. */
#ifndef LIZ_KERNEL_PACK_FORM_H
#define LIZ_KERNEL_PACK_FORM_H

#include "kernel/pack.h"

/* What gives a_j and b_j. NONE: a float form; APPLIED: nothing, as t is stored; ONE: 256 and 0; then the `liz_scales_`.
 */
typedef enum liz_scales_kind {
    LIZ_SCALES_NONE,
    LIZ_SCALES_APPLIED,
    LIZ_SCALES_ONE,
    LIZ_SCALES_A,
    LIZ_SCALES_AB,
    LIZ_SCALES_K32,
    LIZ_SCALES_K16,
    LIZ_SCALES_S16,
    LIZ_SCALES_T32
} liz_scales_kind;

/* A form of packed weights. */
typedef struct liz_pack_form {
    const char *name;
    size_t block_bytes; /* of 256 elements, or of a group of 32 */
    liz_scales_kind scales;
    int zero;              /* v(q) = q - zero */
    size_t four, two, one; /* where the planes begin in a block; 0: there is none */
} liz_pack_form;

const liz_pack_form *liz_pack_form_get(liz_pack pack);

/* The greatest |v(q)| that the grid of an integer type is made for. */
double liz_pack_value_max(liz_dtype dtype);

#endif
