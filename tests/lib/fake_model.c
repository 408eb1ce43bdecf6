/* fake_model.c - see the header. A token is written as a raw 16-bit number into the first key of layer 0 and,
 * disguised, into the last value of layer 1, so that both arrays and both layers take part. */
#include "fake_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_LAYER = 2, N_HEAD = 2, N_EMBD_K = 4, N_EMBD_V = 6, MASK = 0x2A5A };

static const liz_cache_layer cache_layers[N_LAYER] = {{N_HEAD, N_EMBD_K, N_EMBD_V}, {N_HEAD, N_EMBD_K, N_EMBD_V}};
static fake_model_opts fake;
static uint64_t n_computed, alone_adapters;

struct liz_model {
    fake_model_opts fake;
    liz_model_params params;
    liz_model_opts opts;
    float *logits;
};

void fake_model_setup(const fake_model_opts *opts)
{
    fake = *opts;
    n_computed = 0;
}

uint64_t fake_model_n_computed(void) { return n_computed; }
void fake_model_adapters(uint64_t set) { alone_adapters = set; }

liz_status liz_model_open(liz_model **out, const liz_gguf *gguf, liz_error *err)
{
    (void)gguf, (void)err;
    liz_model *model = calloc(1, sizeof *model);
    LIZ_ASSERT(model != NULL && fake.n_vocab > 0);
    model->fake = fake;
    model->params = (liz_model_params){.arch = "fake",
                                       .n_vocab = fake.n_vocab,
                                       .n_ctx_train = fake.n_ctx_train,
                                       .n_embd = 8,
                                       .n_layer = N_LAYER,
                                       .cache_layers = cache_layers,
                                       .n_params = 1};
    *out = model;
    return LIZ_OK;
}

void liz_model_close(liz_model *model)
{
    if (model == NULL)
        return;
    free(model->logits);
    free(model);
}

const liz_model_params *liz_model_params_get(const liz_model *model) { return &model->params; }

void liz_model_profile_into(liz_model *model, liz_model_profile *profile) { (void)model, (void)profile; }

liz_status liz_model_adapter_add(liz_model *model, const liz_adapter *adapter, float scale, liz_error *err)
{
    (void)model, (void)adapter, (void)scale;
    return liz_fail(err, LIZ_E_UNSUPPORTED, "fake model: it takes sets of adapters, but no files");
}

liz_status liz_model_memory(const liz_model *model, const liz_model_opts *opts, uint64_t *weights_bytes,
                            uint64_t *scratch_bytes, liz_error *err)
{
    (void)err;
    *weights_bytes = model->fake.weights_bytes;
    *scratch_bytes = model->fake.scratch_bytes_per_seq * (uint64_t)opts->n_seqs_max;
    return LIZ_OK;
}

liz_status liz_model_load(liz_model *model, liz_team *team, const liz_model_opts *opts, liz_error *err)
{
    (void)team, (void)err;
    model->opts = *opts;
    model->logits = calloc((size_t)opts->n_logits_max, (size_t)model->fake.n_vocab * sizeof(float));
    LIZ_ASSERT(model->logits != NULL);
    return LIZ_OK;
}

/* ---- the function of tokens that stands for a model ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

/* Logits from -8 to 8 in steps that make ties likely. */
static void logits_of(const fake_model_opts *opts, uint64_t history, int32_t last, float *logits)
{
    for (int32_t i = 0; i < opts->n_vocab; i++) {
        uint64_t h = mix(mix(history, (uint64_t)i), 0x51);
        logits[i] = (float)((int)(h >> 40 & 0x1FF) - 256) / 32.0f;
    }
    if (opts->has_habits && (history >> 33 & 3) != 0)
        logits[(last * 5 + 3) % 8] += 20;
    if (opts->nan_token != 0 && last == opts->nan_token)
        logits[opts->n_vocab / 2] = __builtin_nanf("");
}

void fake_model_logits(const int32_t *tokens, size_t n, float *logits)
{
    uint64_t history = alone_adapters;
    for (size_t i = 0; i < n; i++)
        history = mix(history, (uint64_t)tokens[i] + 1);
    logits_of(&fake, history, tokens[n - 1], logits);
}

int32_t fake_model_likeliest(const int32_t *tokens, size_t n)
{
    float *logits = calloc((size_t)fake.n_vocab, sizeof *logits);
    LIZ_ASSERT(logits != NULL);
    fake_model_logits(tokens, n, logits);
    int32_t best = 0;
    for (int32_t i = 1; i < fake.n_vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    free(logits);
    return best;
}

/* ---- through the cache ---- */

/* Where a token is kept: heads and the page's tokens before it, then its own elements. */
static char *place_k(const liz_cache *cache, const int32_t *pages, int32_t position)
{
    size_t elem = liz_cache_elem_type(cache) == LIZ_CACHE_F32 ? 4 : 2;
    int32_t slot = position % LIZ_PAGE_TOKENS;
    return (char *)liz_cache_k(cache, 0, pages[position / LIZ_PAGE_TOKENS]) + (size_t)slot * N_EMBD_K * elem;
}

static char *place_v(const liz_cache *cache, const int32_t *pages, int32_t position)
{
    size_t elem = liz_cache_elem_type(cache) == LIZ_CACHE_F32 ? 4 : 2;
    size_t slot = (size_t)((N_HEAD - 1) * LIZ_PAGE_TOKENS + position % LIZ_PAGE_TOKENS);
    size_t last = slot * N_EMBD_V + N_EMBD_V - 1;
    return (char *)liz_cache_v(cache, N_LAYER - 1, pages[position / LIZ_PAGE_TOKENS]) + last * elem;
}

/* A page's bytes depend on the set of adapters too. */
static void token_write(const liz_cache *cache, const liz_batch_seq *seq, int32_t position, int32_t token)
{
    const int32_t *pages = seq->pages;
    uint16_t k = (uint16_t)(token + 1), v = (uint16_t)(k ^ MASK ^ seq->adapters << 12);
    memcpy(place_k(cache, pages, position), &k, sizeof k);
    memcpy(place_v(cache, pages, position), &v, sizeof v);
}

static int32_t token_read(const liz_cache *cache, const liz_batch_seq *seq, int32_t position)
{
    const int32_t *pages = seq->pages;
    uint16_t k, v;
    memcpy(&k, place_k(cache, pages, position), sizeof k);
    memcpy(&v, place_v(cache, pages, position), sizeof v);
    LIZ_ASSERT(k != 0 && (uint16_t)(k ^ MASK ^ seq->adapters << 12) == v);
    return k - 1;
}

static bool page_is_written(const liz_batch_seq *seq, int32_t page)
{
    for (int32_t i = seq->n_past / LIZ_PAGE_TOKENS; i * LIZ_PAGE_TOKENS < seq->n_past + seq->n_tok; i++)
        if (seq->pages[i] == page)
            return true;
    return false;
}

static void batch_check(const liz_model *model, const liz_cache *cache, const liz_batch_seq *seqs, int n_seqs)
{
    int32_t n_tok = 0, n_logits = 0;
    LIZ_ASSERT(n_seqs >= 1 && n_seqs <= model->opts.n_seqs_max);
    for (int i = 0; i < n_seqs; i++) {
        const liz_batch_seq *s = &seqs[i];
        LIZ_ASSERT(s->n_tok >= 1 && s->n_past >= 0 && s->n_past + s->n_tok <= model->opts.n_ctx);
        LIZ_ASSERT(s->n_logits >= 0 && s->n_logits <= s->n_tok);
        n_tok += s->n_tok;
        n_logits += s->n_logits;
        for (int32_t j = 0; j < s->n_tok; j++)
            LIZ_ASSERT(s->tokens[j] >= 0 && s->tokens[j] < model->fake.n_vocab);
        for (int32_t j = 0; j * LIZ_PAGE_TOKENS < s->n_past + s->n_tok; j++) {
            LIZ_ASSERT(s->pages[j] >= 0 && s->pages[j] < liz_cache_pages_total(cache));
            for (int other = 0; other < n_seqs; other++)
                LIZ_ASSERT(other == i || !page_is_written(&seqs[other], s->pages[j]));
        }
    }
    LIZ_ASSERT(n_tok <= model->opts.n_batch_max && n_logits <= model->opts.n_logits_max);
}

static liz_status seq_compute(liz_model *model, liz_cache *cache, const liz_batch_seq *s, float **row, liz_error *err)
{
    uint64_t history = s->adapters;
    for (int32_t i = 0; i < s->n_past; i++)
        history = mix(history, (uint64_t)token_read(cache, s, i) + 1);
    for (int32_t i = 0; i < s->n_tok; i++) {
        int32_t token = s->tokens[i];
        if (model->fake.fail_token != 0 && token == model->fake.fail_token)
            return liz_fail(err, LIZ_E_LIMIT, "fake model: token %d: it fails on purpose", token);
        token_write(cache, s, s->n_past + i, token);
        history = mix(history, (uint64_t)token + 1);
        if (i >= s->n_tok - s->n_logits) {
            logits_of(&model->fake, history, token, *row);
            *row += model->fake.n_vocab;
        }
    }
    n_computed += (uint64_t)s->n_tok;
    return LIZ_OK;
}

liz_status liz_model_forward(liz_model *model, liz_cache *cache, const liz_batch_seq *seqs, int n_seqs, float **logits,
                             liz_error *err)
{
    liz_status status = LIZ_OK;
    float *row = model->logits;
    batch_check(model, cache, seqs, n_seqs);
    for (int i = 0; i < n_seqs && status == LIZ_OK; i++)
        status = seq_compute(model, cache, &seqs[i], &row, err);
    *logits = model->logits;
    return status;
}
