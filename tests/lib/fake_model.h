/* fake_model.h - a model without weights, for tests of the engine.
 *
 * It implements model/model.h. The logits of a position are a hash of all tokens of its sequence up to there, which it
 * reads back from where earlier steps wrote them: the cache pages. So a wrong page table, a page shared or reused
 * wrongly, a token computed twice or never changes what comes out. It checks the limits it was loaded with and that no
 * page is written by one sequence of a step while another has it. Linked in front of the library, it takes the place of
 * src/model. */
#ifndef LIZ_TESTS_FAKE_MODEL_H
#define LIZ_TESTS_FAKE_MODEL_H

#include "model/model.h"

typedef struct fake_model_opts {
    int32_t n_vocab;                               /* at most 30000 */
    int32_t nan_token;                             /* after this token the logits are not numbers; 0: never */
    int32_t fail_token;                            /* a step in which this token is computed fails; 0: never */
    uint64_t weights_bytes, scratch_bytes_per_seq; /* what liz_model_memory says */
    int32_t n_ctx_train;
    bool has_habits; /* three times in four the likeliest token follows from the last one alone: text repeats itself */
} fake_model_opts;

/* For the models opened from now on. */
void fake_model_setup(const fake_model_opts *opts);

/* The token that is likeliest after `tokens` [n], computed without a cache. */
int32_t fake_model_likeliest(const int32_t *tokens, size_t n);
/* The set of adapters that these take their sequence to have; at first none. */
void fake_model_adapters(uint64_t set);
/* All logits after `tokens` [n]. */
void fake_model_logits(const int32_t *tokens, size_t n, float *logits);

/* Tokens computed by all models since the last setup. */
uint64_t fake_model_n_computed(void);

#endif
