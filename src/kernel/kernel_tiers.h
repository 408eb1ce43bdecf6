/* kernel_tiers.h - what each tier's files add to the table, and what they have in common; private to the kernel room.
 */
#ifndef LIZ_KERNEL_KERNEL_TIERS_H
#define LIZ_KERNEL_KERNEL_TIERS_H

#include "kernel/grad.h"

#define LIZ_INLINE static inline __attribute__((always_inline, unused))

/* How far ahead of its use a panel is asked for: the hardware's own prefetch stops at every page. */
enum { LIZ_PREFETCH_BYTES = 2048 };

/* Asks for the sixteenth part `row` of the block at `block`, which need not exist. */
LIZ_INLINE void liz_prefetch_row(const uint8_t *block, size_t block_bytes, int row)
{
    const uint8_t *part = block + (size_t)row * (block_bytes / LIZ_PANEL_ROWS);
    for (size_t i = 0; i < block_bytes / LIZ_PANEL_ROWS; i += 64)
        __builtin_prefetch(part + i);
}

/* gemm_NAME, a liz_gemm_i8_fn: a file's gemm_integer with its decode_block_NAME. */
#define LIZ_GEMM_I8(name)                                                                                              \
    static void gemm_##name(const void *panels, size_t n_blocks, const liz_act_i8 *act, size_t n_tok, void *scratch,   \
                            float *y, size_t y_stride, size_t n_rows, liz_gemm_to to)                                  \
    {                                                                                                                  \
        const size_t bytes = sizeof(liz_block_##name), pair = 2 * LIZ_PANEL_ROWS;                                      \
        for (size_t row = 0; row < n_rows; row += pair)                                                                \
            gemm_integer((const uint8_t *)panels + row / LIZ_PANEL_ROWS * n_blocks * bytes, bytes, n_blocks, act,      \
                         n_tok, scratch, y + row, y_stride, n_rows - row < pair ? n_rows - row : pair,                 \
                         decode_block_##name, to);                                                                     \
    }

void liz_kernel_rows_ref(liz_kernel *kernel);
void liz_kernel_dot_ref(liz_kernel *kernel);
void liz_kernel_peak_ref(liz_kernel *kernel);
void liz_grad_kernel_ref(liz_grad_kernel *kernel);
#if defined(__x86_64__)
void liz_kernel_rows_avx2(liz_kernel *kernel);
void liz_kernel_dot_avx2(liz_kernel *kernel);
void liz_kernel_gemm_avx2(liz_kernel *kernel);
void liz_kernel_dot_avxvnni(liz_kernel *kernel);
void liz_kernel_gemm_avxvnni(liz_kernel *kernel);
void liz_kernel_peak_avxvnni(liz_kernel *kernel);
void liz_kernel_rows_avx512(liz_kernel *kernel);
void liz_kernel_dot_avx512(liz_kernel *kernel);
void liz_kernel_gemm_avx512(liz_kernel *kernel);
void liz_kernel_gemm_avx512bf16(liz_kernel *kernel);
void liz_kernel_gemm_amx(liz_kernel *kernel);
void liz_kernel_attention_amx(liz_kernel *kernel);
void liz_kernel_peak_avx2(liz_kernel *kernel);
void liz_kernel_peak_avx512(liz_kernel *kernel);
void liz_kernel_peak_amx(liz_kernel *kernel);
void liz_grad_kernel_avx2(liz_grad_kernel *kernel);
void liz_grad_kernel_avx512(liz_grad_kernel *kernel);
#endif

#endif
