/* model_params.c - a file's keys to hyperparameters, each checked, unknown ones that would change the numbers refused.
 */
#include "model/model_params.h"

#include <math.h>
#include <stddef.h>

/* Positive numbers that some families compute with. `reads` 0: none does. Elsewhere a value is refused, unless files
 * are known to carry it idly. */
static const struct {
    const char *key;
    unsigned reads;
    size_t at; /* the float it goes to */
    bool idle;
} settings[] = {
    {"attn_logit_softcapping", LIZ_READS_ATTN_SOFTCAP, offsetof(liz_hparams, attn_softcap), true},
    {"final_logit_softcapping", LIZ_READS_LOGIT_SOFTCAP, offsetof(liz_hparams, logit_softcap), true},
    {"attention.scale", LIZ_READS_SCALES | LIZ_READS_ATTN_SCALE, offsetof(liz_hparams, attn_scale), false},
    {"embedding_scale", LIZ_READS_SCALES, offsetof(liz_hparams, embd_scale), false},
    {"residual_scale", LIZ_READS_SCALES, offsetof(liz_hparams, residual_scale), false},
    {"logit_scale", LIZ_READS_SCALES, offsetof(liz_hparams, logit_divisor), false},
    {"attention.temperature_scale", LIZ_READS_QUERY_GROWTH, offsetof(liz_hparams, query_growth.beta), false},
    {"attention.clamp_kqv", 0, 0, false},
    {"attention.max_alibi_bias", 0, 0, false},
    {"attention.output_scale", 0, 0, false},
    {"attention.value_scale", 0, 0, false},
    {"expert_shared_count", 0, 0, false},
    {"expert_group_count", 0, 0, false},
    {"moe_every_n_layers", 0, 0, false},
    {"interleave_moe_layer_step", 0, 0, false},
};

static void read_settings(liz_keys *k, liz_hparams *h)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        double value = liz_keys_positive(k, settings[i].key, 0);
        if (value > 0 && (h->family->reads & settings[i].reads) != 0)
            *(float *)(void *)((char *)h + settings[i].at) = (float)value;
        else if (value > 0 && !settings[i].idle)
            liz_keys_fail(k, LIZ_E_UNSUPPORTED, settings[i].key, "a value other than 0 is not supported");
    }
    if (liz_keys_flag(k, "use_parallel_residual", false))
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "use_parallel_residual", "true is not supported");
    if (!liz_keys_flag(k, "attention.causal", true))
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "attention.causal", "false is not supported");
}

static void read_heads(liz_keys *k, liz_hparams *h)
{
    h->n_head = (int)liz_keys_count(k, "attention.head_count", -1, LIZ_HEADS_MAX);
    h->n_head_kv = (int)liz_keys_count(k, "attention.head_count_kv", h->n_head, LIZ_HEADS_MAX);
    h->n_embd_k = (int)liz_keys_count(k, "attention.key_length", h->n_embd / h->n_head, LIZ_HEAD_DIM_MAX);
    h->n_embd_v = (int)liz_keys_count(k, "attention.value_length", h->n_embd / h->n_head, LIZ_HEAD_DIM_MAX);
    if (k->status != LIZ_OK)
        return;
    if (h->n_head % h->n_head_kv != 0)
        liz_keys_fail(k, LIZ_E_FORMAT, "attention.head_count_kv", "%d does not divide the %d heads", h->n_head_kv,
                      h->n_head);
    else if (h->n_embd_k < 16 || h->n_embd_k % 16 != 0 || h->n_embd_v < 16 || h->n_embd_v % 16 != 0)
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "attention.key_length",
                      "heads of %d and %d elements are not supported: multiples of 16 are", h->n_embd_k, h->n_embd_v);
    h->attn_scale = 1.0f / sqrtf((float)h->n_embd_k);
}

/* Which layers have a window: as an array says, or all but each period's last. */
static void read_windows(liz_keys *k, liz_hparams *h)
{
    const char *window = "attention.sliding_window", *pattern = "attention.sliding_window_pattern";
    h->window = (int32_t)liz_keys_optional(k, window, h->window, LIZ_CTX_MAX);
    if (h->window == 0 || k->status != LIZ_OK)
        return;
    if (h->family->window_period == 0) {
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, window, "a value other than 0 is not supported");
        return;
    }
    int64_t flag;
    bool is_array = liz_keys_element(k, pattern, 0, &flag);
    int period = is_array ? 0 : (int)liz_keys_optional(k, pattern, h->family->window_period, LIZ_LAYERS_MAX);
    for (int i = 0; i < h->n_layer; i++) {
        if (is_array && !liz_keys_element(k, pattern, (size_t)i, &flag))
            liz_keys_fail(k, LIZ_E_FORMAT, pattern, "has fewer elements than there are layers");
        h->layers[i].windowed = is_array ? flag != 0 : i % period != period - 1;
    }
    if (liz_keys_optional(k, "attention.key_length_swa", h->n_embd_k, INT32_MAX) != h->n_embd_k ||
        liz_keys_optional(k, "attention.value_length_swa", h->n_embd_v, INT32_MAX) != h->n_embd_v)
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "attention.key_length_swa", "layers that differ are not supported");
}

static void read_positions(liz_keys *k, liz_hparams *h)
{
    const liz_family *f = h->family;
    bool off = (f->reads & LIZ_READS_ROPE_SWITCH) != 0 && !liz_keys_flag(k, "rope.scaling.finetuned", true);
    if (f->rope == LIZ_ROPE_NONE || off)
        return;
    liz_rope_read(k, h->n_embd_k, h->n_ctx_train, &h->rope[0]);
    liz_rope *own = &h->rope[1];
    *own = h->rope[0];
    if (f->window_rope_plain)
        own->scale = own->magnitude = 1, own->ramp = 0;
    own->base = liz_keys_positive(k, "rope.freq_base_swa", f->window_rope_base > 0 ? f->window_rope_base : own->base);
    h->n_rope = h->window > 0 ? 2 : 1;
    for (int i = 0; i < h->n_layer; i++)
        h->layers[i].roped = f->rope_skip == 0 || (i + 1) % f->rope_skip != 0;
    if (h->window > 0 && liz_keys_optional(k, "rope.dimension_count_swa", own->n_dims, INT32_MAX) != own->n_dims)
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "rope.dimension_count_swa", "layers that differ are not supported");
}

/* Where queries grow, the original context has to be there: no other length may stand in for it. */
static void read_query_growth(liz_keys *k, liz_hparams *h)
{
    const char *n_ctx = "rope.scaling.original_context_length";
    if (h->query_growth.beta == 0)
        return;
    h->query_growth.n_ctx = (int32_t)liz_keys_optional(k, n_ctx, 0, INT32_MAX);
    if (h->query_growth.n_ctx == 0)
        liz_keys_fail(k, LIZ_E_FORMAT, n_ctx, "is missing or 0, and attention.temperature_scale needs it");
}

static void read_experts(liz_keys *k, liz_hparams *h)
{
    h->n_expert = (int)liz_keys_optional(k, "expert_count", 0, LIZ_EXPERTS_MAX);
    if (h->n_expert == 0 || k->status != LIZ_OK)
        return;
    if (h->family->router == LIZ_ROUTER_NONE) {
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "expert_count", "this architecture with experts is not supported");
        return;
    }
    h->n_expert_used = (int)liz_keys_count(k, "expert_used_count", -1, h->n_expert);
    h->n_ff_expert = (int)liz_keys_optional(k, "expert_feed_forward_length", h->n_ff, LIZ_EMBD_MAX);
    int64_t kind = liz_keys_optional(k, "expert_gating_func", h->family->router, INT32_MAX);
    if (kind > LIZ_ROUTER_CHOSEN)
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "expert_gating_func", "%lld is not supported", (long long)kind);
    h->router = (liz_router_kind)kind;
    h->router_norm = h->family->router_norm || liz_keys_flag(k, "expert_weights_norm", false);
    h->expert_scale = (float)liz_keys_positive(k, "expert_weights_scale", 1);
    int64_t n_dense = liz_keys_optional(k, "leading_dense_block_count", 0, LIZ_LAYERS_MAX);
    for (int i = 0; i < h->n_layer; i++)
        h->layers[i].sparse = i >= n_dense;
}

liz_status liz_hparams_read(liz_hparams *h, const liz_gguf *gguf, liz_error *err)
{
    *h = (liz_hparams){.embd_scale = 1, .residual_scale = 1, .logit_divisor = 1};
    liz_str arch;
    if (!liz_gguf_str(gguf, "general.architecture", &arch))
        return liz_fail(err, LIZ_E_FORMAT, "%s: general.architecture is missing", liz_gguf_path(gguf));
    h->family = liz_family_find(arch);
    if (h->family == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED,
                        "%s: architecture '%.*s' is not supported: docs/models.md lists those that are",
                        liz_gguf_path(gguf), arch.n > 64 ? 64 : (int)arch.n, arch.p);
    liz_keys k = {.gguf = gguf, .arch = h->family->arch, .err = err};
    h->n_layer = (int)liz_keys_count(&k, "block_count", -1, LIZ_LAYERS_MAX);
    h->n_embd = (int)liz_keys_count(&k, "embedding_length", -1, LIZ_EMBD_MAX);
    h->n_ff = (int)liz_keys_count(&k, "feed_forward_length", -1, LIZ_EMBD_MAX);
    h->n_ctx_train = (int32_t)liz_keys_count(&k, "context_length", -1, LIZ_CTX_MAX);
    read_heads(&k, h);
    if (k.status == LIZ_OK && h->family->defaults != NULL)
        h->family->defaults(h);
    read_settings(&k, h);
    read_windows(&k, h);
    read_positions(&k, h);
    read_query_growth(&k, h);
    read_experts(&k, h);
    bool layer_norm = h->family->norm == LIZ_NORM_LAYER;
    h->norm_eps = (float)liz_keys_positive(
        &k, layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-5);
    return k.status == LIZ_OK ? LIZ_OK : liz_fail_within(err, k.status, "%s", liz_gguf_path(gguf));
}
