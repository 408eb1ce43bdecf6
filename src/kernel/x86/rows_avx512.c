/* rows_avx512.c - rows_body.h in zmm registers. */
#define LIZ_TIER avx512
#include "kernel/rows_body.h"
