/* grad_avx2.c - grad_body.h in ymm registers. */
#define LIZ_TIER avx2
#include "kernel/grad_body.h"
