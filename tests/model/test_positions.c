/* test_positions.c - how keys turn, against angles computed here in libm's double from the published formulas.
 *
 * All tokens of a sequence are the same one, so that but for its turning each key of a layer is the same: the first
 * one, which stands at position 0, of a file in which nothing is scaled. Keys are read where a step leaves them, in an
 * F32 cache. Queries turn by the same angles; that they do is shown by scores. */
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"
#include "kernel/attention.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/logits/"

enum { N_TOK = 40, N_VOCAB = 128, N_HEAD = 2, HEAD_MAX = 128, CHANGES_MAX = 8 };

static void require_reference(void)
{
    if (access(REFERENCE "README.md", R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: " REFERENCE " is not here\n");
        skip();
    }
}

/* A file with changes, and what its keys should do: pairs of n_dims elements turn, by frequencies of this base and
 * scale, or mixed by YaRN with these betas, and grow by the magnitude. */
typedef struct turning {
    const char *file;
    int layer, n_embd_head;
    bool neox;
    gguf_change changes[CHANGES_MAX];
    int n_dims;
    double base, scale, beta_fast, beta_slow, n_ctx_orig, magnitude; /* beta_fast 0: no YaRN */
} turning;

/* clang-format off */
#define U32(k, v) {.key = (k), .type = LIZ_GGUF_U32, .u32 = (v)}
#define F32(k, v) {.key = (k), .type = LIZ_GGUF_F32, .f32 = (v)}
#define STR(k, v) {.key = (k), .type = LIZ_GGUF_STRING, .text = (v)}
#define YARN STR("llama.rope.scaling.type", "yarn"), F32("llama.rope.scaling.factor", 8), \
             U32("llama.rope.scaling.original_context_length", 256)

static const turning turnings[] = {
    {"llama-gqa", 0, 64, false, {{0}}, 64, 10000, 1, .magnitude = 1},
    {"llama-gqa", 1, 64, false, {F32("llama.rope.freq_base", 500)}, 64, 500, 1, .magnitude = 1},
    /* half of a head's elements, and a quarter */
    {"llama-gqa", 0, 64, false, {U32("llama.rope.dimension_count", 32)}, 32, 10000, 1, .magnitude = 1},
    {"qwen2-dense", 0, 128, true, {U32("qwen2.rope.dimension_count", 32)}, 32, 10000, 1, .magnitude = 1},
    /* linear: the older key, and the newer one beside it */
    {"llama-gqa", 0, 64, false, {F32("llama.rope.scale_linear", 4)}, 64, 10000, 0.25, .magnitude = 1},
    {"llama-gqa", 0, 64, false, {F32("llama.rope.scale_linear", 4), F32("llama.rope.scaling.factor", 8)},
     64, 10000, 0.125, .magnitude = 1},
    /* YaRN by default, and with betas */
    {"llama-gqa", 0, 64, false, {YARN}, 64, 10000, 0.125, 32, 1, 256, 1.2079441541679836},
    {"llama-gqa", 0, 64, false,
     {YARN, F32("llama.rope.scaling.yarn_beta_fast", 4), F32("llama.rope.scaling.yarn_beta_slow", 2)},
     64, 10000, 0.125, 4, 2, 256, 1.2079441541679836},
    {"llama-gqa", 0, 64, false,
     {STR("llama.rope.scaling.type", "longrope"), F32("llama.rope.scaling.attn_factor", 1.25f)},
     64, 10000, 1, .magnitude = 1.25},
    /* switched off */
    {"granite-dense", 1, 128, false, {{.key = "granite.rope.scaling.finetuned", .type = LIZ_GGUF_BOOL}},
     0, 1, 1, .magnitude = 1},
    /* every fourth layer of this family has no positions */
    {"smollm3-dense", 2, 128, false, {U32("smollm3.block_count", 4)}, 128, 10000, 1, .magnitude = 1},
    {"smollm3-dense", 3, 128, false, {U32("smollm3.block_count", 4)}, 0, 1, 1, .magnitude = 1},
    /* a layer with a window, and one that sees all */
    {"gemma3-dense", 0, 128, true, {F32("gemma3.rope.freq_base_swa", 700), F32("gemma3.rope.scaling.factor", 8)},
     128, 700, 1, .magnitude = 1},
    {"gemma3-dense", 1, 128, true, {F32("gemma3.rope.freq_base_swa", 700), F32("gemma3.rope.scaling.factor", 8)},
     128, 10000, 0.125, .magnitude = 1},
};
/* clang-format on */

enum { N_LAYER = 2 }; /* of the files as they are */

/* With the file's layers twice where the case is about a later one. */
static const char *edited(const turning *c, const gguf_change *changes)
{
    char from[128];
    const char *path = temp_path("edited.gguf");
    snprintf(from, sizeof from, REFERENCE "%s.gguf", c->file);
    gguf_copy(from, path, (gguf_edit){.changes = changes, .layers_again = c->layer < N_LAYER ? 0 : N_LAYER});
    return path;
}

/* The keys of a layer after a step of tokens that are all the same. */
static void read_keys(const turning *c, const char *path, float keys[N_TOK][N_HEAD][HEAD_MAX])
{
    model_bed bed;
    int32_t tokens[N_TOK], n = N_TOK;
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = 77;
    bed_open(&bed, path,
             (bed_opts){.tier = liz_cpu_tier_best(),
                        .n_threads = 1,
                        .n_batch = N_TOK,
                        .n_ctx = N_TOK,
                        .cache_type = LIZ_CACHE_F32});
    bed_step(&bed, &(const int32_t *){tokens}, &n, 1);
    size_t head_bytes = liz_cache_head_bytes(LIZ_CACHE_F32, c->n_embd_head);
    for (int t = 0; t < N_TOK; t++)
        for (int head = 0; head < N_HEAD; head++) {
            const char *page = liz_cache_k(bed.cache, c->layer, bed.pages[0][t / LIZ_PAGE_TOKENS]);
            const float *at = (const float *)(const void *)(page + (size_t)head * head_bytes);
            for (int i = 0; i < c->n_embd_head; i++) {
                int slot = t % LIZ_PAGE_TOKENS; /* pages of one token have their elements in order */
                size_t index =
                    LIZ_PAGE_TOKENS == 1 ? (size_t)i : liz_attn_k_index(LIZ_ATTN_F32, c->n_embd_head, slot, i);
                keys[t][head][i] = at[index];
            }
        }
    bed_close(&bed);
}

/* The pair that turns `turns` times within the original context (arXiv 2309.00071). */
static double pair_of(const turning *c, double turns)
{
    return c->n_dims * log(c->n_ctx_orig / (turns * 2 * M_PI)) / (2 * log(c->base));
}

static double frequency(const turning *c, int pair)
{
    double free = pow(c->base, -2.0 * pair / c->n_dims);
    if (c->beta_fast == 0)
        return free * c->scale;
    double low = floor(pair_of(c, c->beta_fast)), high = ceil(pair_of(c, c->beta_slow));
    double mix = fmin(fmax((pair - low) / (high - low), 0), 1);
    return free * c->scale * mix + free * (1 - mix);
}

/* The key `raw` at a position. */
static void turn(const turning *c, const float *raw, int position, double *out)
{
    for (int i = 0; i < c->n_embd_head; i++)
        out[i] = (double)raw[i];
    for (int pair = 0; pair < c->n_dims / 2; pair++) {
        int a = c->neox ? pair : 2 * pair, b = c->neox ? pair + c->n_dims / 2 : 2 * pair + 1;
        double angle = position * frequency(c, pair), x = (double)raw[a], y = (double)raw[b];
        out[a] = c->magnitude * (x * cos(angle) - y * sin(angle));
        out[b] = c->magnitude * (x * sin(angle) + y * cos(angle));
    }
}

static void check_turning(const turning *c, int number)
{
    static float raw[N_TOK][N_HEAD][HEAD_MAX], keys[N_TOK][N_HEAD][HEAD_MAX];
    double differ = 0, size = 0;
    read_keys(c, edited(c, c->layer < N_LAYER ? NULL : c->changes), raw); /* which has to say how many layers it has */
    read_keys(c, edited(c, c->changes), keys);
    for (int t = 0; t < N_TOK; t++)
        for (int head = 0; head < N_HEAD; head++) {
            double wanted[HEAD_MAX];
            turn(c, raw[0][head], t, wanted);
            for (int i = 0; i < c->n_embd_head; i++) {
                differ += pow((double)keys[t][head][i] - wanted[i], 2);
                size += wanted[i] * wanted[i];
            }
        }
    if (!(size > 0 && differ < 1e-12 * size))
        fail_msg("case %d: keys of %s, layer %d, are off by %.1e", number, c->file, c->layer, sqrt(differ / size));
}

static void test_keys_turn(void **state)
{
    (void)state;
    require_reference();
    for (size_t i = 0; i < sizeof turnings / sizeof *turnings; i++)
        check_turning(&turnings[i], (int)i);
}

/* Queries and keys that are twice as long make scores four times as large: powers of two, so to the last bit. */
static void test_magnitude_of_scores(void **state)
{
    (void)state;
    require_reference();
    static const turning granite = {.file = "granite-dense"};
    const float scale = 1 / sqrtf(128);
    const gguf_change variants[][3] = {
        {F32("granite.attention.scale", 4 * scale), {0}},
        {F32("granite.rope.scaling.attn_factor", 2), {0}},
        {F32("granite.attention.scale", scale), {0}},
    };
    int32_t tokens[N_TOK];
    float *logits[3];
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (i * i * 13 + 7 * i + 5) % N_VOCAB;
    for (int i = 0; i < 3; i++)
        logits[i] = bed_logits(edited(&granite, variants[i]), tokens, N_TOK, 0,
                               (bed_opts){.tier = liz_cpu_tier_best(), .n_threads = 1, .cache_type = LIZ_CACHE_F32});
    assert_memory_equal(logits[0], logits[1], N_TOK * N_VOCAB * sizeof(float));
    assert_memory_not_equal(logits[0], logits[2], N_TOK * N_VOCAB * sizeof(float));
    for (int i = 0; i < 3; i++)
        free(logits[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys_turn), cmocka_unit_test(test_magnitude_of_scores)};
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
