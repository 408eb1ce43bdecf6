/* model_params.c - the table of families, and reading hyperparameters under their keys. */
#include "model/model_params.h"

#include <math.h>
#include <stdio.h>

static const liz_family families[] = {
    {.arch = "llama", .rope = LIZ_ROPE_NORM},
    {.arch = "mistral3", .rope = LIZ_ROPE_NORM},
    {.arch = "qwen2", .rope = LIZ_ROPE_NEOX},
    {.arch = "qwen3", .rope = LIZ_ROPE_NEOX, .qk_norm = true},
    {.arch = "smollm3", .rope = LIZ_ROPE_NORM, .rope_skip = 4},
    {.arch = "gpt2", .norm = LIZ_NORM_LAYER, .ffn = LIZ_FFN_GELU, .qkv_fused = true, .positions = true},
};

const liz_family *liz_family_find(liz_str arch)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (liz_str_is(arch, families[i].arch))
            return &families[i];
    return NULL;
}

typedef struct reader {
    const liz_gguf *gguf;
    const char *arch;
    liz_error *err;
    liz_status status; /* of the first failure; later reads do nothing */
    char key[128];
} reader;

static const char *key_of(reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

/* An integer from 1 to `max`; an array of equal values counts as one. `missing` < 0: the key must be there. */
static int64_t read_count(reader *r, const char *name, int64_t missing, int64_t max)
{
    if (r->status != LIZ_OK)
        return 1;
    const liz_gguf_entry *e = liz_gguf_find(r->gguf, key_of(r, name));
    if (e == NULL && missing >= 0)
        return missing;
    if (e == NULL) {
        r->status = liz_fail(r->err, LIZ_E_FORMAT, "%s: the key is missing", r->key);
        return 1;
    }
    liz_gguf_type type = e->type == LIZ_GGUF_ARRAY ? e->elem_type : e->type;
    bool whole = type != LIZ_GGUF_STRING && type != LIZ_GGUF_ARRAY && type != LIZ_GGUF_F32 && type != LIZ_GGUF_F64;
    int64_t value = whole && e->n > 0 ? liz_gguf_entry_i64(e, 0) : 0;
    if (value < 1 || value > max) {
        r->status = liz_fail(r->err, LIZ_E_FORMAT, "%s: not a whole number from 1 to %lld", r->key, (long long)max);
        return 1;
    }
    for (uint64_t i = 1; i < e->n; i++)
        if (liz_gguf_entry_i64(e, i) != value) {
            r->status = liz_fail(r->err, LIZ_E_UNSUPPORTED, "%s: layers that differ are not supported", r->key);
            return 1;
        }
    return value;
}

/* A positive finite number; 0, negative and absent mean `missing`. */
static double read_positive(reader *r, const char *name, double missing)
{
    double value;
    if (!liz_gguf_f64(r->gguf, key_of(r, name), &value) || !(value > 0))
        return missing;
    if (!isfinite(value) && r->status == LIZ_OK)
        r->status = liz_fail(r->err, LIZ_E_FORMAT, "%s: not a finite number", r->key);
    return value;
}

static void refuse(reader *r, const char *what)
{
    if (r->status == LIZ_OK)
        r->status = liz_fail(r->err, LIZ_E_UNSUPPORTED, "%s: %s is not supported", r->key, what);
}

static void read_rope(reader *r, liz_hparams *h)
{
    h->n_rot = (int)read_count(r, "rope.dimension_count", h->n_embd_k, h->n_embd_k);
    h->rope_base = read_positive(r, "rope.freq_base", 10000.0);
    double factor = read_positive(r, "rope.scaling.factor", 0);
    if (factor == 0)
        factor = read_positive(r, "rope.scale_linear", 1);
    h->rope_scale = 1 / factor;
    liz_str type;
    if (factor != 1 && liz_gguf_str(r->gguf, key_of(r, "rope.scaling.type"), &type) && !liz_str_is(type, "linear") &&
        !liz_str_is(type, "none"))
        refuse(r, "this kind of rope scaling");
    if (h->n_rot % 2 != 0 && r->status == LIZ_OK)
        r->status = liz_fail(r->err, LIZ_E_FORMAT, "%s.rope.dimension_count: %d is odd", r->arch, h->n_rot);
}

/* Settings that would change the numbers and that no family of the table computes. */
static void refuse_unknown_settings(reader *r)
{
    static const char *const numbers[] = {"expert_count",
                                          "attention.sliding_window",
                                          "attention.scale",
                                          "logit_scale",
                                          "embedding_scale",
                                          "residual_scale",
                                          "attention.clamp_kqv",
                                          "attention.temperature_scale",
                                          "attention.max_alibi_bias"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (read_positive(r, numbers[i], 0) != 0)
            refuse(r, "a value other than 0");
    bool flag = false;
    if (liz_gguf_bool(r->gguf, key_of(r, "use_parallel_residual"), &flag) && flag)
        refuse(r, "true");
    flag = true;
    if (liz_gguf_bool(r->gguf, key_of(r, "attention.causal"), &flag) && !flag)
        refuse(r, "false");
}

static void read_heads(reader *r, liz_hparams *h)
{
    h->n_head = (int)read_count(r, "attention.head_count", -1, LIZ_HEADS_MAX);
    h->n_head_kv = (int)read_count(r, "attention.head_count_kv", h->n_head, LIZ_HEADS_MAX);
    h->n_embd_k = (int)read_count(r, "attention.key_length", h->n_embd / h->n_head, LIZ_HEAD_DIM_MAX);
    h->n_embd_v = (int)read_count(r, "attention.value_length", h->n_embd / h->n_head, LIZ_HEAD_DIM_MAX);
    if (r->status != LIZ_OK)
        return;
    if (h->n_head % h->n_head_kv != 0)
        r->status = liz_fail(r->err, LIZ_E_FORMAT, "%s.attention.head_count_kv: %d does not divide the %d heads",
                             r->arch, h->n_head_kv, h->n_head);
    else if (h->n_embd_k % 16 != 0 || h->n_embd_v % 16 != 0)
        r->status =
            liz_fail(r->err, LIZ_E_UNSUPPORTED,
                     "%s.attention.key_length: heads of %d and %d elements are not supported: multiples of 16 are",
                     r->arch, h->n_embd_k, h->n_embd_v);
}

liz_status liz_hparams_read(liz_hparams *out, const liz_gguf *gguf, liz_error *err)
{
    liz_hparams h = {0};
    liz_str arch;
    if (!liz_gguf_str(gguf, "general.architecture", &arch))
        return liz_fail(err, LIZ_E_FORMAT, "%s: general.architecture is missing", liz_gguf_path(gguf));
    h.family = liz_family_find(arch);
    if (h.family == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: architecture '%.*s' is not supported", liz_gguf_path(gguf),
                        arch.n > 64 ? 64 : (int)arch.n, arch.p);
    reader r = {.gguf = gguf, .arch = h.family->arch, .err = err};
    h.n_layer = (int)read_count(&r, "block_count", -1, LIZ_LAYERS_MAX);
    h.n_embd = (int)read_count(&r, "embedding_length", -1, LIZ_EMBD_MAX);
    h.n_ff = (int)read_count(&r, "feed_forward_length", -1, LIZ_EMBD_MAX);
    h.n_ctx_train = (int32_t)read_count(&r, "context_length", -1, LIZ_CTX_MAX);
    read_heads(&r, &h);
    if (h.family->rope != LIZ_ROPE_NONE)
        read_rope(&r, &h);
    bool layer_norm = h.family->norm == LIZ_NORM_LAYER;
    h.norm_eps = (float)read_positive(
        &r, layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-5);
    refuse_unknown_settings(&r);
    *out = h;
    return r.status == LIZ_OK ? LIZ_OK : liz_fail_within(err, r.status, "%s", liz_gguf_path(gguf));
}
