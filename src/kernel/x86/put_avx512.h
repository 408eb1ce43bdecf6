/* put_avx512.h - how products reach y: 16 rows of a token at a time, as a liz_gemm_to says. */
#ifndef LIZ_KERNEL_PUT_AVX512_H
#define LIZ_KERNEL_PUT_AVX512_H

#include "kernel/kernel_tiers.h"

#include <immintrin.h>

/* The first n of 16 rows, or all. */
LIZ_INLINE __mmask16 liz_rows_mask(size_t n) { return n >= 16 ? 0xFFFF : (__mmask16)((1u << n) - 1); }

/* What is asked for, where it can be had: lines that are not whole are not streamed. */
LIZ_INLINE liz_gemm_to liz_put_for(const float *y, size_t y_stride, liz_gemm_to to)
{
    bool is_whole = ((uintptr_t)y | y_stride * sizeof *y) % 64 == 0;
    return to == LIZ_GEMM_STREAM && !is_whole ? LIZ_GEMM_PUT : to;
}

LIZ_INLINE void liz_put_rows(float *y, __m512 x, __mmask16 rows, liz_gemm_to to)
{
    if (to == LIZ_GEMM_ADD)
        x = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, y), x);
    if (rows != 0xFFFF)
        _mm512_mask_storeu_ps(y, rows, x);
    else if (to == LIZ_GEMM_STREAM)
        _mm512_stream_ps(y, x);
    else
        _mm512_storeu_ps(y, x);
}

#endif
