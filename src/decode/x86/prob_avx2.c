/* prob_avx2.c - the passes over logits in vectors of 8 floats. */
#define PROB_LANES 8
#define PROB_OPS liz_prob_ops_avx2
#include "decode/prob_body.h"
