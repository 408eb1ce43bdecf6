/* model_bed.h - a model, its team and its cache, for tests that step it themselves. */
#ifndef TESTS_LIB_MODEL_BED_H
#define TESTS_LIB_MODEL_BED_H

#include "cache/cache.h"
#include "model/model.h"

enum { BED_ADAPTERS_MAX = 2, BED_SEQS_MAX = 3, BED_TOKENS_MAX = 192, BED_PAGES_MAX = BED_TOKENS_MAX / LIZ_PAGE_TOKENS };

typedef struct bed_opts {
    liz_tier_id tier;
    int n_threads;
    int32_t n_batch; /* tokens of a step at most */
    int32_t n_ctx;
    liz_cache_type cache_type;
    const char *adapters[BED_ADAPTERS_MAX]; /* their files; NULL ends the list */
    float scale;                            /* of all of them */
} bed_opts;

typedef struct model_bed {
    liz_gguf *gguf;
    liz_model *model;
    liz_team *team;
    liz_cache *cache;
    int32_t n_vocab;
    int32_t pages[BED_SEQS_MAX][BED_PAGES_MAX]; /* of each sequence, not in the order of their ids */
    int32_t n_done[BED_SEQS_MAX];
    liz_adapter *adapters[BED_ADAPTERS_MAX];
    uint64_t sets[BED_SEQS_MAX]; /* of each sequence */
} model_bed;

/* Fails the test when the file cannot be opened or loaded. */
void bed_open(model_bed *bed, const char *path, bed_opts opts);
void bed_close(model_bed *bed);

/* One step: n_tok[s] tokens for each sequence s (0: it rests), all with logits. Row after row, sequences in order. */
const float *bed_step(model_bed *bed, const int32_t *const *tokens, const int32_t *n_tok, int n_seqs);

/* Logits [n_tok, n_vocab] of one sequence from the beginning in steps of `chunk` (0: one step). free() it. */
float *bed_logits(const char *path, const int32_t *tokens, int32_t n_tok, int32_t chunk, bed_opts opts);

/* The tier that tests compare with: under sanitizers the C tier takes minutes and shows nothing that AVX2 does not. */
liz_tier_id bed_tier_first(void);

#endif
