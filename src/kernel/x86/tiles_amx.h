/* tiles_amx.h - what products on AMX tiles have in common. */
#ifndef LIZ_KERNEL_TILES_AMX_H
#define LIZ_KERNEL_TILES_AMX_H

#include "kernel/kernel_tiers.h"

#include <immintrin.h>

enum { LIZ_TILE_BYTES = 1024 };

/* GCC's tile loads do not say that they read memory: stores from before must not move behind them, nor those after
 * before them. */
LIZ_INLINE void liz_tiles_keep_order(void) { __asm__ volatile("" : : : "memory"); }

/* Tiles 0 to 3, which hold sums. */
LIZ_INLINE void liz_tiles_zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

#endif
