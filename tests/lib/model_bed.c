/* model_bed.c - see model_bed.h. */
#include "model_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

liz_tier_id bed_tier_first(void)
{
    return getenv("LIZZIE_TEST_SANITIZED") != NULL && liz_cpu_tier_best() > LIZ_TIER_C ? LIZ_TIER_AVX2 : LIZ_TIER_C;
}

void bed_open(model_bed *b, const char *path, bed_opts o)
{
    liz_error err;
    *b = (model_bed){0};
    if (liz_gguf_open(&b->gguf, path, &err) != LIZ_OK || liz_model_open(&b->model, b->gguf, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < BED_ADAPTERS_MAX && o.adapters[i] != NULL; i++)
        if (liz_adapter_open(&b->adapters[i], o.adapters[i], &err) != LIZ_OK ||
            liz_model_adapter_add(b->model, b->adapters[i], o.scale, &err) != LIZ_OK)
            fail_msg("%s", err.text);
    const liz_model_params *p = liz_model_params_get(b->model);
    b->n_vocab = p->n_vocab;
    assert_int_equal(liz_team_open(&b->team, o.n_threads, &err), LIZ_OK);
    liz_model_opts opts = {.tier = o.tier,
                           .n_batch_max = o.n_batch,
                           .n_logits_max = o.n_batch,
                           .n_seqs_max = BED_SEQS_MAX,
                           .n_ctx = o.n_ctx};
    if (liz_model_load(b->model, b->team, &opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_cache_opts cache_opts = {.layers = p->cache_layers,
                                 .n_layer = p->n_layer,
                                 .n_pages = BED_SEQS_MAX * BED_PAGES_MAX,
                                 .type = o.cache_type,
                                 .sharing_off = true};
    assert_int_equal(liz_cache_open(&b->cache, &cache_opts, &err), LIZ_OK);
    for (int i = BED_PAGES_MAX - 1; i >= 0; i--)
        for (int s = 0; s < BED_SEQS_MAX; s++)
            b->pages[s][i] = liz_cache_page_take(b->cache);
}

void bed_close(model_bed *b)
{
    liz_cache_close(b->cache);
    liz_model_close(b->model);
    liz_team_close(b->team);
    for (int i = 0; i < BED_ADAPTERS_MAX; i++)
        liz_adapter_close(b->adapters[i]);
    liz_gguf_close(b->gguf);
}

const float *bed_step(model_bed *b, const int32_t *const *tokens, const int32_t *n_tok, int n_seqs)
{
    liz_batch_seq seqs[BED_SEQS_MAX];
    liz_error err;
    float *logits;
    int n = 0;
    for (int s = 0; s < n_seqs; s++) {
        if (n_tok[s] == 0)
            continue;
        assert_true(b->n_done[s] + n_tok[s] <= BED_TOKENS_MAX);
        seqs[n++] = (liz_batch_seq){.pages = b->pages[s],
                                    .n_past = b->n_done[s],
                                    .n_tok = n_tok[s],
                                    .tokens = tokens[s] + b->n_done[s],
                                    .n_logits = n_tok[s],
                                    .adapters = b->sets[s]};
        b->n_done[s] += n_tok[s];
    }
    if (liz_model_forward(b->model, b->cache, seqs, n, &logits, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return logits;
}

float *bed_logits(const char *path, const int32_t *tokens, int32_t n_tok, int32_t chunk, bed_opts o)
{
    model_bed b;
    o.n_batch = chunk > 0 ? chunk : n_tok;
    o.n_ctx = o.n_ctx > 0 ? o.n_ctx : n_tok;
    bed_open(&b, path, o);
    size_t n_vocab = (size_t)b.n_vocab;
    float *out = malloc((size_t)n_tok * n_vocab * sizeof *out);
    while (b.n_done[0] < n_tok) {
        int32_t at = b.n_done[0], n = n_tok - at < o.n_batch ? n_tok - at : o.n_batch;
        const float *logits = bed_step(&b, &tokens, &n, 1);
        memcpy(out + (size_t)at * n_vocab, logits, (size_t)n * n_vocab * sizeof *out);
    }
    bed_close(&b);
    return out;
}
