/* peak_amx.c - what tiles can do at most: four sums of 16 x 16, from two left and two right tiles. */
#include "kernel/kernel_tiers.h"

#include <immintrin.h>

static uint64_t peak_int8(size_t n_rounds)
{
    for (size_t r = 0; r < n_rounds; r++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    return 4 * 2 * 16 * 16 * 64 * (uint64_t)n_rounds;
}

static uint64_t peak_bf16(size_t n_rounds)
{
    for (size_t r = 0; r < n_rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return 4 * 2 * 16 * 16 * 32 * (uint64_t)n_rounds;
}

void liz_kernel_peak_amx(liz_kernel *kernel)
{
    kernel->peak_int8 = peak_int8;
    kernel->peak_bf16 = peak_bf16;
}
