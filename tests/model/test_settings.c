/* test_settings.c - settings of a file that must show in the numbers, and those that must be refused by name. */
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/logits/"

enum { N_TOK = 80, N_VOCAB = 128, ROW_BYTES = N_VOCAB * 4 };

static void require_reference(void)
{
    if (access(REFERENCE "README.md", R_OK) != 0) {
        fprintf(stderr, "# SKIPPED: " REFERENCE " is not here\n");
        skip();
    }
}

static const char *edited(const char *name, gguf_edit edit)
{
    char from[128];
    snprintf(from, sizeof from, REFERENCE "%s.gguf", name);
    const char *path = temp_path("edited.gguf");
    gguf_copy(from, path, edit);
    return path;
}

static void fill_tokens(int32_t *tokens, int32_t first)
{
    tokens[0] = first;
    for (int i = 1; i < N_TOK; i++)
        tokens[i] = (i * i * 13 + 7 * i) % N_VOCAB;
}

/* In how many of the last rows do the logits of these tokens depend on the first one? Position of the last that does.
 */
static int last_that_sees_first(const char *path, bed_opts o, int32_t chunk)
{
    int32_t tokens[2][N_TOK];
    float *logits[2];
    for (int i = 0; i < 2; i++) {
        fill_tokens(tokens[i], 5 + i);
        logits[i] = bed_logits(path, tokens[i], N_TOK, chunk, o);
    }
    int last = N_TOK - 1;
    while (last > 0 && memcmp(logits[0] + last * N_VOCAB, logits[1] + last * N_VOCAB, ROW_BYTES) == 0)
        last--;
    free(logits[0]);
    free(logits[1]);
    return last;
}

/* Two layers that all have a window of w: what is 2 (w - 1) back is the last that is seen. */
static void test_window_cuts(void **state)
{
    (void)state;
    require_reference();
    static const int windows[] = {1, 8, 31, 33};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        const gguf_change changes[] = {
            {.key = "phi3.attention.sliding_window", .type = LIZ_GGUF_U32, .u32 = (uint32_t)windows[i]}, {.key = NULL}};
        const char *path = edited("phi3-dense", (gguf_edit){.changes = changes});
        for (int tier = (int)bed_tier_first(); tier <= (int)liz_cpu_tier_best(); tier++) {
            bed_opts o = {.tier = (liz_tier_id)tier, .n_threads = 2};
            assert_int_equal(last_that_sees_first(path, o, tier % 2 ? 0 : 9), 2 * (windows[i] - 1));
        }
    }
    bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 1};
    assert_int_equal(last_that_sees_first(REFERENCE "phi3-dense.gguf", o, 0), N_TOK - 1);
}

/* The pattern says which layers: with one windowed layer and one that sees all, everything is seen; with both, not. */
static void test_window_pattern(void **state)
{
    (void)state;
    require_reference();
    static const struct {
        uint32_t bits;
        int last;
    } cases[] = {{1, N_TOK - 1}, {2, N_TOK - 1}, {3, 62}, {0, N_TOK - 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const gguf_change changes[] = {{.key = "gpt-oss.attention.sliding_window_pattern",
                                        .type = LIZ_GGUF_ARRAY,
                                        .n_array = 2,
                                        .u32 = cases[i].bits},
                                       {.key = NULL}};
        const char *path = edited("gpt-oss-moe", (gguf_edit){.changes = changes});
        bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 2};
        assert_int_equal(last_that_sees_first(path, o, 0), cases[i].last);
    }
}

/* Do the logits differ from those of the file as it is? */
static bool shows(const char *name, const gguf_change *changes, const char *poison, int32_t n_ctx)
{
    int32_t tokens[N_TOK];
    char path[128];
    fill_tokens(tokens, 9);
    snprintf(path, sizeof path, REFERENCE "%s.gguf", name);
    bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 1, .n_ctx = N_TOK};
    float *plain = bed_logits(path, tokens, N_TOK, 0, o);
    o.n_ctx = n_ctx;
    float *changed = bed_logits(edited(name, (gguf_edit){.changes = changes, .poison = poison}), tokens, N_TOK, 0, o);
    bool differs = memcmp(plain, changed, (size_t)N_TOK * ROW_BYTES) != 0;
    free(plain);
    free(changed);
    return differs;
}

static void test_settings_show(void **state)
{
    (void)state;
    require_reference();
    static const struct {
        const char *file;
        gguf_change change[2];
        bool shows;
    } cases[] = {
        {"granite-dense", {{.key = "granite.logit_scale", .type = LIZ_GGUF_F32, .f32 = 2}}, true},
        {"granite-dense", {{.key = "granite.embedding_scale", .type = LIZ_GGUF_F32, .f32 = 2}}, true},
        {"granite-dense", {{.key = "granite.attention.scale", .type = LIZ_GGUF_F32, .f32 = 0.5f}}, true},
        {"granite-dense", {{.key = "granite.residual_scale", .type = LIZ_GGUF_F32, .f32 = 0.5f}}, true},
        {"gemma2-dense", {{.key = "gemma2.attn_logit_softcapping", .type = LIZ_GGUF_F32, .f32 = 5}}, true},
        {"gemma3-dense", {{.key = "gemma3.attn_logit_softcapping", .type = LIZ_GGUF_F32, .f32 = 5}}, false},
        {"gemma3-dense", {{.key = "gemma3.final_logit_softcapping", .type = LIZ_GGUF_F32, .f32 = 5}}, true},
        {"gemma3-dense", {{.key = "gemma3.rope.freq_base_swa", .type = LIZ_GGUF_F32, .f32 = 777}}, true},
        {"gemma3-dense", {{.key = "gemma3.rope.scaling.factor", .type = LIZ_GGUF_F32, .f32 = 8}}, true},
        {"gpt-oss-moe", {{.key = "gpt-oss.rope.scaling.type", .type = LIZ_GGUF_STRING, .text = "yarn"}}, false},
        {"gpt-oss-moe", {{.key = "gpt-oss.rope.scaling.factor", .type = LIZ_GGUF_F32, .f32 = 4}}, true},
        {"qwen3moe-moe", {{.key = "qwen3moe.expert_used_count", .type = LIZ_GGUF_U32, .u32 = 1}}, true},
        {"qwen3moe-moe", {{.key = "qwen3moe.expert_gating_func", .type = LIZ_GGUF_U32, .u32 = 2}}, true},
        {"qwen3moe-moe", {{.key = "qwen3moe.expert_weights_scale", .type = LIZ_GGUF_F32, .f32 = 2}}, true},
        {"llama-dense", {{.key = "llama.final_logit_softcapping", .type = LIZ_GGUF_F32, .f32 = 5}}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (shows(cases[i].file, cases[i].change, NULL, N_TOK) != cases[i].shows)
            fail_msg("%s: %s %s", cases[i].file, cases[i].change[0].key,
                     cases[i].shows ? "changes nothing" : "changes something");
    /* longrope: the long factors beyond the original context, which is made short here */
    const gguf_change orig[] = {
        {.key = "phi3.rope.scaling.original_context_length", .type = LIZ_GGUF_U32, .u32 = N_TOK}, {.key = NULL}};
    assert_false(shows("phi3-dense", orig, NULL, N_TOK));
    assert_true(shows("phi3-dense", orig, NULL, N_TOK + 1));
}

/* A file edited so is the same model as the file itself. */
static void check_same(const char *name, gguf_edit edit)
{
    int32_t tokens[N_TOK];
    char path[128];
    fill_tokens(tokens, 3);
    snprintf(path, sizeof path, REFERENCE "%s.gguf", name);
    bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 2};
    float *plain = bed_logits(path, tokens, N_TOK, 0, o), *other = bed_logits(edited(name, edit), tokens, N_TOK, 0, o);
    assert_memory_equal(plain, other, (size_t)N_TOK * ROW_BYTES);
    free(plain);
    free(other);
}

/* Gate and up of the experts in one tensor, biases too. */
static void test_merged_experts(void **state)
{
    (void)state;
    require_reference();
    check_same("gpt-oss-moe", (gguf_edit){.merge_gate_up = true});
    check_same("qwen3moe-moe", (gguf_edit){.merge_gate_up = true});
}

/* Matrices that say they have one or two more dimensions, of 1; so do the tables of tokens and of positions. */
static void test_dimensions_of_one(void **state)
{
    (void)state;
    require_reference();
    for (int n_dim = 3; n_dim <= 4; n_dim++) {
        check_same("llama-dense", (gguf_edit){.n_dim = n_dim});
        check_same("gpt2-dense", (gguf_edit){.n_dim = n_dim});
    }
}

/* What the file says and what the error must name. */
typedef struct refusal {
    const char *file;
    gguf_change change[2];
    const char *drop, *rename_from, *rename_to, *says;
} refusal;

static void check_refusal(const refusal *r)
{
    gguf_edit edit = {.changes = r->change[0].key != NULL ? r->change : NULL,
                      .drop_tensor = r->drop,
                      .rename_tensor = r->rename_from,
                      .rename_to = r->rename_to};
    liz_error err = {0};
    liz_gguf *gguf;
    liz_model *model = NULL;
    assert_int_equal(liz_gguf_open(&gguf, edited(r->file, edit), &err), LIZ_OK);
    liz_status status = liz_model_open(&model, gguf, &err);
    if (status == LIZ_OK)
        fail_msg("%s: accepted, should have said: %s", r->file, r->says);
    assert_null(model);
    if (strstr(err.text, r->says) == NULL)
        fail_msg("%s: says '%s', should name %s", r->file, err.text, r->says);
    liz_gguf_close(gguf);
}

static void test_refused(void **state)
{
    (void)state;
    require_reference();
#define U32(k, v) .change = { {.key = (k), .type = LIZ_GGUF_U32, .u32 = (v)} }
#define F32(k, v) .change = {{.key = (k), .type = LIZ_GGUF_F32, .f32 = (v)}}
    static const refusal cases[] = {
        {"qwen3moe-moe", U32("qwen3moe.expert_count", UINT32_MAX), .says = "qwen3moe.expert_count"},
        {"qwen3moe-moe", U32("qwen3moe.expert_count", 4096), .says = "blk.0.ffn_gate_inp"},
        {"qwen3moe-moe", U32("qwen3moe.expert_count", 1), .says = "qwen3moe.expert_used_count"},
        {"qwen3moe-moe", U32("qwen3moe.expert_used_count", 0), .says = "qwen3moe.expert_used_count"},
        {"qwen3moe-moe", U32("qwen3moe.expert_used_count", 3), .says = "qwen3moe.expert_used_count"},
        {"qwen3moe-moe", U32("qwen3moe.expert_feed_forward_length", UINT32_MAX), .says = "expert_feed_forward_length"},
        {"qwen3moe-moe", U32("qwen3moe.expert_feed_forward_length", 192), .says = "blk.0.ffn_gate_exps"},
        {"qwen3moe-moe", U32("qwen3moe.expert_gating_func", 9), .says = "qwen3moe.expert_gating_func"},
        {"qwen3moe-moe", U32("qwen3moe.expert_shared_count", 1), .says = "qwen3moe.expert_shared_count"},
        {"qwen3moe-moe", U32("qwen3moe.expert_group_count", 4), .says = "qwen3moe.expert_group_count"},
        {"qwen3moe-moe", U32("qwen3moe.leading_dense_block_count", 1), .says = "blk.0.ffn_gate.weight"},
        {"qwen3moe-moe", F32("qwen3moe.expert_weights_scale", INFINITY), .says = "qwen3moe.expert_weights_scale"},
        {"qwen3-dense", U32("qwen3.expert_count", 2), .says = "qwen3.expert_count"},
        {"qwen3-dense", U32("qwen3.attention.sliding_window", 16), .says = "qwen3.attention.sliding_window"},
        {"gemma3-dense", U32("gemma3.attention.sliding_window", UINT32_MAX), .says = "gemma3.attention.sliding_window"},
        {"gemma3-dense", U32("gemma3.attention.key_length_swa", 64), .says = "gemma3.attention.key_length_swa"},
        {"gemma3-dense", F32("gemma3.rope.freq_base_swa", INFINITY), .says = "gemma3.rope.freq_base_swa"},
        {"gemma3-dense", F32("gemma3.embedding_scale", 3), .says = "gemma3.embedding_scale"},
        {"gemma2-dense", F32("gemma2.attn_logit_softcapping", INFINITY), .says = "attn_logit_softcapping"},
        {"gemma2-dense",
         .change = {{.key = "gemma2.attention.sliding_window_pattern", .type = LIZ_GGUF_ARRAY, .n_array = 1}},
         .says = "gemma2.attention.sliding_window_pattern"},
        {"llama-dense", F32("llama.logit_scale", 2), .says = "llama.logit_scale"},
        {"llama-dense", F32("llama.attention.clamp_kqv", 8), .says = "llama.attention.clamp_kqv"},
        {"granite-dense", F32("granite.attention.temperature_scale", 0.1f),
         .says = "granite.attention.temperature_scale"},
        {"mistral3-dense", F32("mistral3.attention.temperature_scale", INFINITY),
         .says = "mistral3.attention.temperature_scale"},
        {"granite-dense", F32("granite.residual_scale", INFINITY), .says = "granite.residual_scale"},
        {"gpt-oss-moe", .change = {{.key = "gpt-oss.rope.scaling.type", .type = LIZ_GGUF_STRING, .text = "spiral"}},
         .says = "gpt-oss.rope.scaling.type"},
        {"gpt-oss-moe", .drop = "blk.1.attn_sinks.weight", .says = "blk.1.attn_sinks.weight is missing"},
        {"gpt-oss-moe", .drop = "blk.0.ffn_down_exps.weight", .says = "blk.0.ffn_down_exps.weight is missing"},
        {"olmo2-dense", .drop = "blk.1.post_ffw_norm.weight", .says = "blk.1.post_ffw_norm.weight is missing"},
        {"phi3-dense", .drop = "blk.0.ffn_up.weight", .says = "blk.0.ffn_gate.weight is missing"},
        {"llama-moe", .rename_from = "blk.1.attn_q.bias", .rename_to = "blk.1.ffn_up_shexp.weight",
         .says = "blk.1.ffn_up_shexp.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refusal(&cases[i]);
}

/* Factors that are no numbers are found at load, with the file's name. */
static void test_factors_that_are_no_numbers(void **state)
{
    (void)state;
    require_reference();
    liz_error err = {0};
    liz_gguf *gguf;
    liz_model *model;
    liz_team *team;
    const char *path = edited("llama-dense", (gguf_edit){.poison = "rope_freqs.weight"});
    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
    assert_int_equal(liz_model_open(&model, gguf, &err), LIZ_OK);
    assert_int_equal(liz_team_open(&team, 1, &err), LIZ_OK);
    liz_model_opts opts = {.tier = LIZ_TIER_C, .n_batch_max = 4, .n_logits_max = 4, .n_seqs_max = 1, .n_ctx = 64};
    assert_int_equal(liz_model_load(model, team, &opts, &err), LIZ_E_FORMAT);
    assert_non_null(strstr(err.text, "edited.gguf"));
    assert_non_null(strstr(err.text, "rotary positions"));
    liz_model_close(model);
    liz_team_close(team);
    liz_gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_cuts),       cmocka_unit_test(test_window_pattern),
        cmocka_unit_test(test_settings_show),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_merged_experts),    cmocka_unit_test(test_factors_that_are_no_numbers),
        cmocka_unit_test(test_dimensions_of_one),
    };
    return cmocka_run_group_tests_name("model settings", tests, NULL, NULL);
}
