/* dot_ref.c - the integer dot product as defined, in plain C: the oracle of the other tiers. */
#include "kernel/kernel_tiers.h"

#include <math.h>

static int32_t dot_block(const int8_t *t, const int8_t *q)
{
    int32_t sum = 0;
    for (int i = 0; i < LIZ_BLOCK_LEN; i++)
        sum += t[i] * q[i];
    return sum;
}

static void dot_integer(liz_pack pack, const uint8_t *panel, size_t n_blocks, const int8_t *q, const float *d,
                        size_t n_tok, float *y, size_t y_stride)
{
    for (size_t tok = 0; tok < n_tok; tok++)
        for (int row = 0; row < LIZ_PANEL_ROWS; row++)
            y[tok * y_stride + (size_t)row] = 0;
    for (size_t b = 0; b < n_blocks; b++, panel += liz_pack_block_bytes(pack)) {
        for (int row = 0; row < LIZ_PANEL_ROWS; row++) {
            int8_t t[LIZ_BLOCK_LEN];
            float d_row;
            liz_pack_decode(pack, panel, row, t, &d_row);
            for (size_t tok = 0; tok < n_tok; tok++) {
                float *acc = &y[tok * y_stride + (size_t)row];
                int32_t sum = dot_block(t, q + (tok * liz_act_stride(n_blocks) + b) * LIZ_BLOCK_LEN);
                *acc = fmaf((float)sum, d_row * d[tok * n_blocks + b], *acc);
            }
        }
    }
}

#define DOT_I8(ID, name, types)                                                                                        \
    static void dot_##name(const void *panel, size_t n_blocks, const int8_t *q, const float *d, const int32_t *sum,    \
                           size_t n_tok, float *y, size_t y_stride)                                                    \
    {                                                                                                                  \
        (void)sum;                                                                                                     \
        dot_integer(LIZ_PACK_##ID, panel, n_blocks, q, d, n_tok, y, y_stride);                                         \
    }
LIZ_PACKS_INTEGER(DOT_I8)

static void tiles_none(void) {}

void liz_kernel_dot_ref(liz_kernel *kernel)
{
    kernel->tiles_begin = kernel->tiles_end = tiles_none;
#define ENTRY(ID, name, types) kernel->dot_i8[LIZ_PACK_##ID] = dot_##name;
    LIZ_PACKS_INTEGER(ENTRY)
}
