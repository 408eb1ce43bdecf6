/* prob_avx512.c - the passes over logits in vectors of 16 floats. */
#define PROB_LANES 16
#define PROB_OPS liz_prob_ops_avx512
#include "decode/prob_body.h"
