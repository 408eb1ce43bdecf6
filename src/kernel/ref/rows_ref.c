/* rows_ref.c - rows_body.h for any machine. */
#define LIZ_TIER ref
#include "kernel/rows_body.h"
