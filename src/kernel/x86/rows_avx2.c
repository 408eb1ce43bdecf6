/* rows_avx2.c - rows_body.h in ymm registers. */
#define LIZ_TIER avx2
#include "kernel/rows_body.h"
