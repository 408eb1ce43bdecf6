/* grad_ref.c - grad_body.h for any machine. */
#define LIZ_TIER ref
#include "kernel/grad_body.h"
