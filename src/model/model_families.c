/* model_families.c - the table of families: a row says how a decoder differs from the plainest one (model_params.h). */
#include "model/model_params.h"

#include <math.h>

static void gemma_defaults(liz_hparams *h) { h->embd_scale = sqrtf((float)h->n_embd); }

static void gemma2_defaults(liz_hparams *h)
{
    gemma_defaults(h);
    h->window = 4096;
    h->attn_softcap = 50;
    h->logit_softcap = 30;
    if (h->n_layer == 46) /* the 27B's queries are scaled by another width than its heads */
        h->attn_scale = 1 / sqrtf((float)(h->n_embd / h->n_head));
}

static void gemma3_defaults(liz_hparams *h)
{
    gemma_defaults(h);
    if (h->n_layer == 62) /* likewise */
        h->attn_scale = 1 / sqrtf((float)(h->n_embd / h->n_head));
}

static const liz_family families[] = {
    {.arch = "llama", .rope = LIZ_ROPE_NORM, .router = LIZ_ROUTER_SOFTMAX, .router_norm = true},
    {.arch = "mistral3", .rope = LIZ_ROPE_NORM, .reads = LIZ_READS_QUERY_GROWTH},
    {.arch = "qwen2", .rope = LIZ_ROPE_NEOX},
    {.arch = "qwen3", .rope = LIZ_ROPE_NEOX, .head_norm = LIZ_HEAD_NORM_EACH},
    {.arch = "qwen3moe",
     .rope = LIZ_ROPE_NEOX,
     .head_norm = LIZ_HEAD_NORM_EACH,
     .router = LIZ_ROUTER_SOFTMAX,
     .router_norm = true},
    {.arch = "smollm3", .rope = LIZ_ROPE_NORM, .rope_skip = 4},
    {.arch = "gpt2", .norm = LIZ_NORM_LAYER, .ffn = LIZ_FFN_GELU, .ungated = true, .positions = true},
    {.arch = "gemma", .rope = LIZ_ROPE_NEOX, .ffn = LIZ_FFN_GELU, .defaults = gemma_defaults},
    {.arch = "gemma2",
     .rope = LIZ_ROPE_NEOX,
     .ffn = LIZ_FFN_GELU,
     .norm_place = LIZ_NORM_AROUND,
     .window_period = 2,
     .reads = LIZ_READS_ATTN_SOFTCAP | LIZ_READS_LOGIT_SOFTCAP | LIZ_READS_ATTN_SCALE,
     .defaults = gemma2_defaults},
    {.arch = "gemma3",
     .rope = LIZ_ROPE_NEOX,
     .ffn = LIZ_FFN_GELU,
     .norm_place = LIZ_NORM_AROUND,
     .head_norm = LIZ_HEAD_NORM_EACH,
     .window_period = 6,
     .window_rope_base = 10000,
     .window_rope_plain = true,
     .reads = LIZ_READS_LOGIT_SOFTCAP | LIZ_READS_ATTN_SCALE,
     .defaults = gemma3_defaults},
    {.arch = "phi3", .rope = LIZ_ROPE_NEOX, .window_period = LIZ_WINDOW_EVERYWHERE},
    {.arch = "olmo2",
     .rope = LIZ_ROPE_NEOX,
     .norm_place = LIZ_NORM_AFTER,
     .head_norm = LIZ_HEAD_NORM_ALL,
     .window_period = 4,
     .window_rope_plain = true},
    {.arch = "gpt-oss",
     .rope = LIZ_ROPE_NEOX,
     .ffn = LIZ_FFN_SWIGLU_OAI,
     .ffn_norm = "post_attention_norm",
     .sinks = true,
     .window_period = 2,
     .router = LIZ_ROUTER_CHOSEN},
    {.arch = "granite", .rope = LIZ_ROPE_NORM, .reads = LIZ_READS_SCALES | LIZ_READS_ROPE_SWITCH},
    {.arch = "starcoder2",
     .norm = LIZ_NORM_LAYER,
     .ffn = LIZ_FFN_GELU,
     .ungated = true,
     .rope = LIZ_ROPE_NEOX,
     .window_period = LIZ_WINDOW_EVERYWHERE},
};

const liz_family *liz_family_find(liz_str arch)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (liz_str_is(arch, families[i].arch))
            return &families[i];
    return NULL;
}
