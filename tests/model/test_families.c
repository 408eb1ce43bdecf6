/* test_families.c - what a file means that leaves out every key it may leave out, family by family, as the published
 * configurations of the models say: which layers see a window, how positions turn in them, routers, caps and scales.
 *
 * A file has the model's shape, rotary positions that are scaled, and no more. What is expected stands in the tables
 * below and is copied from the models' own configurations, not from the table that it is to hold to account. */
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"
#include "model/model_weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const float base = 500000, factor = 8; /* of every file's positions */

/* `layers` repeats: w sees a window, a all; W and A likewise, without rotary positions. */
typedef struct published {
    const char *model, *arch;
    int n_layer, n_embd, n_head, n_embd_head;
    uint32_t n_expert, n_expert_used, window_key, period_key; /* 0: the file has no such key */
    /* what that means */
    const char *layers;
    int32_t window;
    int query_width; /* scores are divided by its root; 0: n_embd_head */
    float attn_softcap, logit_softcap, window_base;
    bool embd_scaled, window_plain; /* by the root of n_embd; layers with a window do not scale positions */
    liz_router_kind router;
    bool router_norm;
} published;

static const published models[] = {
    {"Llama 3.2 1B", "llama", 16, 2048, 32, 64, .layers = "a"},
    {"Mixtral 8x7B", "llama", 32, 4096, 32, 128, 8, 2, .layers = "a", .router = LIZ_ROUTER_SOFTMAX,
     .router_norm = true},
    {"Ministral 3 3B", "mistral3", 26, 3072, 32, 128, .layers = "a"},
    {"Qwen2.5 0.5B", "qwen2", 24, 896, 14, 64, .layers = "a"},
    {"Qwen3 0.6B", "qwen3", 28, 1024, 16, 128, .layers = "a"},
    {"Qwen3 30B A3B", "qwen3moe", 48, 2048, 32, 128, 128, 8, .layers = "a", .router = LIZ_ROUTER_SOFTMAX,
     .router_norm = true},
    {"SmolLM3 3B", "smollm3", 36, 2048, 16, 128, .layers = "aaaA"},
    {"GPT-2", "gpt2", 12, 768, 12, 64, .layers = "A"},
    {"Gemma 2B", "gemma", 18, 2048, 8, 256, .layers = "a", .embd_scaled = true},
    {"Gemma 2 2B", "gemma2", 26, 2304, 8, 256, .layers = "wa", .window = 4096, .attn_softcap = 50, .logit_softcap = 30,
     .window_base = 500000, .embd_scaled = true},
    {"Gemma 2 27B", "gemma2", 46, 4608, 32, 128, .layers = "wa", .window = 4096, .query_width = 144, .attn_softcap = 50,
     .logit_softcap = 30, .window_base = 500000, .embd_scaled = true},
    {"Gemma 3 1B", "gemma3", 26, 1152, 4, 256, .window_key = 512, .layers = "wwwwwa", .window = 512,
     .window_base = 10000, .embd_scaled = true, .window_plain = true},
    {"Gemma 3 27B", "gemma3", 62, 5376, 32, 128, .window_key = 1024, .layers = "wwwwwa", .window = 1024,
     .query_width = 168, .window_base = 10000, .embd_scaled = true, .window_plain = true},
    {"Phi-3 mini 4k", "phi3", 32, 3072, 32, 96, .window_key = 2047, .layers = "w", .window = 2047,
     .window_base = 500000},
    {"Phi-4", "phi3", 40, 5120, 40, 128, .layers = "a"},
    {"OLMo 2 7B", "olmo2", 32, 4096, 32, 128, .layers = "a"},
    {"Olmo 3 7B", "olmo2", 32, 4096, 32, 128, .window_key = 4096, .layers = "wwwa", .window = 4096,
     .window_base = 500000, .window_plain = true},
    {"gpt-oss 20B", "gpt-oss", 24, 2880, 64, 64, 32, 4, .window_key = 128, .layers = "wa", .window = 128,
     .window_base = 500000, .router = LIZ_ROUTER_CHOSEN},
    {"Granite 3.3 2B", "granite", 40, 2048, 32, 64, .layers = "a"},
    {"StarCoder2 3B", "starcoder2", 30, 3072, 24, 128, .window_key = 4096, .layers = "w", .window = 4096,
     .window_base = 500000},
    /* a file may say which of its layers see all: every so-many-th; every first one, all of them */
    {"every 3rd", "gemma3", 26, 1152, 4, 256, .window_key = 512, .period_key = 3, .layers = "wwa", .window = 512,
     .window_base = 10000, .embd_scaled = true, .window_plain = true},
    {"every 7th", "gpt-oss", 24, 2880, 64, 64, .window_key = 128, .period_key = 7, .layers = "wwwwwwa", .window = 128,
     .window_base = 500000},
    {"every one", "starcoder2", 30, 3072, 24, 128, .window_key = 4096, .period_key = 1, .layers = "a", .window = 4096,
     .window_base = 500000},
};

/* A key that is 0 is left out. */
static void put_u32(liz_gguf_writer *w, const char *arch, const char *name, uint32_t value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    if (value != 0)
        liz_gguf_put_u32(w, key, value);
}

static void put_rope(liz_gguf_writer *w, const char *arch)
{
    char key[96];
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    liz_gguf_put_f32(w, key, base);
    snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
    liz_gguf_put_f32(w, key, factor);
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    liz_gguf_put_str(w, key, liz_str_of("yarn"));
}

static liz_hparams read_model(const published *m, const char *switch_key, bool on)
{
    const char *path = temp_path("model.gguf");
    liz_gguf_writer *w;
    liz_gguf *gguf;
    liz_hparams h;
    liz_error err;
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, &err), LIZ_OK);
    liz_gguf_put_str(w, "general.architecture", liz_str_of(m->arch));
    put_u32(w, m->arch, "block_count", (uint32_t)m->n_layer);
    put_u32(w, m->arch, "embedding_length", (uint32_t)m->n_embd);
    put_u32(w, m->arch, "feed_forward_length", 4 * (uint32_t)m->n_embd);
    put_u32(w, m->arch, "context_length", 8192);
    put_u32(w, m->arch, "attention.head_count", (uint32_t)m->n_head);
    put_u32(w, m->arch, "attention.key_length", (uint32_t)m->n_embd_head);
    put_u32(w, m->arch, "attention.value_length", (uint32_t)m->n_embd_head);
    put_u32(w, m->arch, "attention.sliding_window", m->window_key);
    put_u32(w, m->arch, "attention.sliding_window_pattern", m->period_key);
    put_u32(w, m->arch, "expert_count", m->n_expert);
    put_u32(w, m->arch, "expert_used_count", m->n_expert_used);
    put_rope(w, m->arch);
    if (switch_key != NULL)
        liz_gguf_put_bool(w, switch_key, on);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);
    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
    if (liz_hparams_read(&h, gguf, &err) != LIZ_OK)
        fail_msg("%s: %s", m->model, err.text);
    liz_gguf_close(gguf);
    return h;
}

#define SAME(m, got, wanted)                                                                                           \
    do {                                                                                                               \
        if (!(fabs((double)(got) - (double)(wanted)) <= 1e-6 * fabs((double)(wanted))))                                \
            fail_msg("%s: %s is %g, should be %g", (m)->model, #got, (double)(got), (double)(wanted));                 \
    } while (0)

static void check_layers(const published *m, const liz_hparams *h)
{
    size_t period = strlen(m->layers);
    for (int i = 0; i < m->n_layer; i++) {
        char kind = m->layers[(size_t)i % period];
        if (h->layers[i].windowed != (kind == 'w' || kind == 'W') || h->layers[i].roped != (kind >= 'a'))
            fail_msg("%s: layer %d: windowed %d, with positions %d, should be '%c'", m->model, i, h->layers[i].windowed,
                     h->layers[i].roped, kind);
    }
}

/* A rope that is scaled as the file says, or not at all. */
static void check_rope(const published *m, const liz_rope *r, double wanted_base, bool plain)
{
    SAME(m, r->base, wanted_base);
    SAME(m, r->scale, plain ? 1 : 1 / (double)factor);
    SAME(m, r->ramp, plain ? 0 : 1);
    SAME(m, r->magnitude, plain ? 1 : 1 + 0.1 * log((double)factor));
    SAME(m, r->n_dims, m->n_embd_head);
}

static void check_positions(const published *m, const liz_hparams *h)
{
    SAME(m, h->n_rope, strcmp(m->layers, "A") == 0 ? 0 : m->window > 0 ? 2 : 1);
    if (h->n_rope > 0)
        check_rope(m, &h->rope[0], (double)base, false);
    if (h->n_rope > 1)
        check_rope(m, &h->rope[1], (double)m->window_base, m->window_plain);
}

static void test_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const published *m = &models[i];
        liz_hparams h = read_model(m, NULL, false);
        check_layers(m, &h);
        check_positions(m, &h);
        SAME(m, h.window, m->window);
        SAME(m, h.attn_scale, 1 / sqrt(m->query_width > 0 ? m->query_width : m->n_embd_head));
        SAME(m, h.embd_scale, m->embd_scaled ? sqrt(m->n_embd) : 1);
        SAME(m, h.attn_softcap, m->attn_softcap);
        SAME(m, h.logit_softcap, m->logit_softcap);
        SAME(m, h.residual_scale, 1);
        SAME(m, h.logit_divisor, 1);
        SAME(m, h.query_growth.beta, 0);
        SAME(m, h.router, m->router);
        SAME(m, h.router_norm, m->router_norm);
    }
}

/* Granite's files may switch positions off; elsewhere the same key says something else and is written idly. */
static void test_switch(void **state)
{
    (void)state;
    static const published granite = {"Granite", "granite", 4, 256, 2, 128, .layers = "a"},
                           off = {"Granite", "granite", 4, 256, 2, 128, .layers = "A"},
                           llama = {"Llama", "llama", 4, 256, 2, 128, .layers = "a"};
    liz_hparams h = read_model(&granite, "granite.rope.scaling.finetuned", true);
    check_layers(&granite, &h);
    check_positions(&granite, &h);
    h = read_model(&granite, "granite.rope.scaling.finetuned", false);
    check_layers(&off, &h);
    check_positions(&off, &h);
    h = read_model(&llama, "llama.rope.scaling.finetuned", false);
    check_layers(&llama, &h);
}

/* Factors of a file divide all frequencies, but for layers whose window scales nothing. */
static void test_factors_of_windows(void **state)
{
    (void)state;
    enum { HALF = 64 };
    float factors[HALF];
    for (int i = 0; i < HALF; i++)
        factors[i] = 2 + (float)i;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        const published *m = &models[k];
        if (m->window == 0 || m->n_embd_head > 2 * HALF)
            continue;
        liz_hparams h = read_model(m, NULL, false);
        for (int which = 0; which < 2; which++) {
            double with[HALF], without[HALF];
            bool plain = which == 1 && m->window_plain;
            liz_weights w = {.rope_factors = factors};
            h.rope[which].ramp = 0; /* a ramp would mix what a factor divides */
            assert_int_equal(liz_weights_rope(&w, &h, which, 8192, with, NULL), LIZ_OK);
            w.rope_factors = NULL;
            assert_int_equal(liz_weights_rope(&w, &h, which, 8192, without, NULL), LIZ_OK);
            for (int i = 0; i < m->n_embd_head / 2; i++)
                SAME(m, with[i], without[i] / (plain ? 1 : (double)factors[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published), cmocka_unit_test(test_switch),
                                       cmocka_unit_test(test_factors_of_windows)};
    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
