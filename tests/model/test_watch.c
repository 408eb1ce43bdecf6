/* test_watch.c - what a model shows of its matrices' inputs: every one of them, every token once, the same numbers for
 * any threads, tier and chunks. */
#include "../lib/model_bed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/logits/"

enum { N_TOK = 40, TENSORS_MAX = 64, EXPERTS_MAX = 64, IN_MAX = 1024 };

/* Sums of squares, by tensor, matrix and column; members write columns of their own. */
typedef struct seen {
    const liz_gguf *gguf;
    double sums[TENSORS_MAX][EXPERTS_MAX][IN_MAX];
    uint64_t counts[TENSORS_MAX][EXPERTS_MAX];
} seen;

static void on_input(void *user, const liz_model_input *in)
{
    seen *s = user;
    size_t tensor = (size_t)(in->tensor - liz_gguf_tensor_at(s->gguf, 0)), begin, end;
    size_t n_in = (size_t)in->tensor->shape[in->tensor->n_dim - 1];
    if (tensor >= TENSORS_MAX || in->i >= EXPERTS_MAX || n_in > IN_MAX)
        abort(); /* a member of the team cannot fail a test */
    liz_team_share(n_in, 1, in->member, in->n_members, &begin, &end);
    for (size_t t = 0; t < in->n_tok; t++)
        for (size_t k = begin; k < end; k++) {
            float x = in->x[(in->rows != NULL ? (size_t)in->rows[t] : t) * n_in + k];
            s->sums[tensor][in->i][k] += (double)x * (double)x;
        }
    if (in->member == 0)
        s->counts[tensor][in->i] += in->n_tok;
}

static seen *watch(const char *path, bed_opts opts, int32_t chunk)
{
    model_bed bed;
    int32_t ids[N_TOK];
    seen *s = calloc(1, sizeof *s);
    bed_open(&bed, path, opts);
    s->gguf = bed.gguf;
    liz_model_watch(bed.model, on_input, s);
    for (int32_t i = 0; i < N_TOK; i++)
        ids[i] = (i * 29 + 3) % bed.n_vocab;
    for (int32_t at = 0; at < N_TOK; at += chunk) {
        const int32_t *tokens = ids;
        int32_t n = N_TOK - at < chunk ? N_TOK - at : chunk;
        bed_step(&bed, &tokens, &n, 1);
    }
    for (size_t i = 0; i < liz_gguf_n_tensors(bed.gguf); i++) { /* every matrix saw every token */
        const liz_gguf_tensor *t = liz_gguf_tensor_at(bed.gguf, i);
        uint64_t n_seen = 0;
        for (int e = 0; e < EXPERTS_MAX; e++)
            n_seen += s->counts[i][e];
        char name[128];
        snprintf(name, sizeof name, "%.*s", LIZ_STR_ARG(t->name));
        bool is_table =
            strcmp(name, "token_embd.weight") == 0 && liz_gguf_tensor_find(bed.gguf, "output.weight") != NULL;
        uint64_t times = t->n_dim < 2 || is_table ? 0 : 1;
        if (t->n_dim == 3)
            assert_true(liz_gguf_u64(bed.gguf, "llama.expert_used_count", &times));
        assert_int_equal(n_seen, times * N_TOK);
    }
    bed_close(&bed);
    s->gguf = NULL;
    return s;
}

static void check_file(const char *path)
{
    bed_opts opts = {
        .tier = bed_tier_first(), .n_threads = 1, .n_batch = N_TOK, .n_ctx = 128, .cache_type = LIZ_CACHE_F32};
    seen *first = watch(path, opts, N_TOK);
    static const struct {
        int n_threads;
        int32_t chunk;
    } ways[] = {{2, N_TOK}, {3, 7}, {1, 1}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (liz_tier_id tier = bed_tier_first(); tier <= liz_cpu_tier_best(); tier++) {
            opts.tier = tier;
            opts.n_threads = ways[i].n_threads;
            seen *other = watch(path, opts, ways[i].chunk);
            assert_memory_equal(other, first, sizeof *first);
            free(other);
        }
    free(first);
}

static void test_watch(void **state)
{
    (void)state;
    if (access(REFERENCE, R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: no " REFERENCE "\n");
        skip();
    }
    check_file(REFERENCE "llama-gqa.gguf");
    check_file(REFERENCE "llama-moe.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_watch)};
    return cmocka_run_group_tests_name("model watch", tests, NULL, NULL);
}
