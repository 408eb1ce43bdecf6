/* test_shared_keys.c - sequences whose first pages are the same attend together, and each gets the logits that it gets
 * alone: with sinks and windows too, for every type of cache and tier. */
#include "../lib/model_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/logits/"

enum { N_SHARED = 128, N_STEPS = 3, N_OWN_MAX = 5 * N_STEPS, N_VOCAB = 128 };

/* Tokens of sequence s: alike at first. */
static void fill_tokens(int32_t *tokens, int s)
{
    for (int i = 0; i < N_SHARED + N_OWN_MAX; i++)
        tokens[i] = (i * 29 + 3 + (i < N_SHARED ? 0 : 7 * s)) % N_VOCAB;
}

/* Logits after the shared tokens, row after row, of n_seqs sequences of which s takes n_tok[s] tokens a step, and bytes
 * of keys and values read. */
static uint64_t own_logits(const char *path, bed_opts o, const int32_t *n_tok, float *out[BED_SEQS_MAX])
{
    int32_t tokens[BED_SEQS_MAX][N_SHARED + N_OWN_MAX], n_first[BED_SEQS_MAX] = {0};
    const int32_t *of[BED_SEQS_MAX];
    model_bed bed;
    liz_model_profile profile = {0};
    o.n_batch = N_SHARED;
    o.n_ctx = N_SHARED + N_OWN_MAX;
    bed_open(&bed, path, o);
    assert_int_equal(bed.n_vocab, N_VOCAB);
    int begins = 0;
    while (n_tok[begins] == 0)
        begins++;
    for (int s = 0; s < BED_SEQS_MAX; s++) {
        fill_tokens(tokens[s], s);
        of[s] = tokens[s];
        out[s] = calloc(N_OWN_MAX * N_VOCAB, sizeof(float));
    }
    n_first[begins] = N_SHARED;
    bed_step(&bed, of, n_first, BED_SEQS_MAX);
    for (int s = 0; s < BED_SEQS_MAX; s++) {
        memcpy(bed.pages[s], bed.pages[begins], N_SHARED / LIZ_PAGE_TOKENS * sizeof *bed.pages[s]);
        bed.n_done[s] = N_SHARED;
    }
    liz_model_profile_into(bed.model, &profile);
    for (int step = 0; step < N_STEPS; step++) {
        const float *logits = bed_step(&bed, of, n_tok, BED_SEQS_MAX);
        for (int s = 0; s < BED_SEQS_MAX; s++) {
            size_t n = (size_t)n_tok[s] * N_VOCAB;
            memcpy(out[s] + (size_t)step * n, logits, n * sizeof *logits);
            logits += n;
        }
    }
    bed_close(&bed);
    return profile.bytes[LIZ_PART_ATTENTION];
}

static void check_file(const char *path, bed_opts o)
{
    static const int32_t n_tok[BED_SEQS_MAX] = {1, 5, 2};
    float *together[BED_SEQS_MAX], *alone[BED_SEQS_MAX];
    uint64_t n_together = own_logits(path, o, n_tok, together), n_alone = 0;
    for (int s = 0; s < BED_SEQS_MAX; s++) {
        int32_t only[BED_SEQS_MAX] = {0};
        only[s] = n_tok[s];
        n_alone += own_logits(path, o, only, alone);
        assert_memory_equal(together[s], alone[s], (size_t)(N_STEPS * n_tok[s]) * N_VOCAB * sizeof(float));
        assert_true(alone[s][0] != 0);
        for (int i = 0; i < BED_SEQS_MAX; i++)
            free(alone[i]);
    }
    for (int s = 0; s < BED_SEQS_MAX; s++)
        free(together[s]);
    if (!(n_together < n_alone / 2)) /* the shared keys once, not three times */
        fail_msg("%s: %llu bytes read together, %llu apart", path, (unsigned long long)n_together,
                 (unsigned long long)n_alone);
}

static void test_shared_keys(void **state)
{
    (void)state;
    if (access(REFERENCE, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: no " REFERENCE "\n");
        skip();
    }
    static const liz_cache_type types[] = {LIZ_CACHE_BF16, LIZ_CACHE_F32, LIZ_CACHE_INT8};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (liz_tier_id tier = bed_tier_first(); tier <= liz_cpu_tier_best(); tier++) {
            bed_opts o = {.tier = tier, .n_threads = 2, .cache_type = types[i]};
            check_file(REFERENCE "llama-gqa.gguf", o);
            check_file(REFERENCE "gpt-oss-moe.gguf", o);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared_keys)};
    return cmocka_run_group_tests_name("shared keys", tests, NULL, NULL);
}
