/* grad_avx512.c - grad_body.h in zmm registers. */
#define LIZ_TIER avx512
#include "kernel/grad_body.h"
