/* model.c - opening a model, planning its memory, loading and closing it. */
#include "model/model.h"

#include "base/carve.h"
#include "kernel/attend.h"
#include "model/model_core.h"
#include "model/model_lora.h"
#include "sys/memory.h"

#include <stdlib.h>

liz_status liz_model_open(liz_model **out, const liz_gguf *gguf, liz_error *err)
{
    liz_str type;
    *out = NULL;
    if (liz_gguf_str(gguf, "general.type", &type) && liz_str_is(type, "adapter"))
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: is an adapter, no model: give it after --lora",
                        liz_gguf_path(gguf));
    liz_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    m->gguf = gguf;
    liz_status status = liz_hparams_read(&m->h, gguf, err);
    status = status ?: liz_weights_bind(&m->w, &m->h, gguf, err);
    if (status == LIZ_OK && (m->cache_layers = calloc((size_t)m->h.n_layer, sizeof *m->cache_layers)) == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", liz_gguf_path(gguf));
    if (status != LIZ_OK) {
        liz_model_close(m);
        return status;
    }
    for (int i = 0; i < m->h.n_layer; i++)
        m->cache_layers[i] = (liz_cache_layer){m->h.n_head_kv, m->h.n_embd_k, m->h.n_embd_v};
    m->params = (liz_model_params){
        .arch = m->h.family->arch,
        .n_vocab = m->h.n_vocab,
        .n_ctx_train = m->h.n_ctx_train,
        .n_embd = m->h.n_embd,
        .n_layer = m->h.n_layer,
        .n_expert = m->h.n_expert,
        .n_expert_used = m->h.n_expert_used,
        .cache_layers = m->cache_layers,
        .n_params = m->w.n_params,
        .n_params_active = m->w.n_params_active,
        .work_layers = m->w.work_layers,
        .work_output = m->w.work_output,
    };
    *out = m;
    return LIZ_OK;
}

void liz_model_close(liz_model *m)
{
    if (m == NULL)
        return;
    liz_act_close(&m->act);
    liz_act_close(&m->made);
    liz_memory_unmap(m->scratch, m->scratch_bytes);
    liz_weights_close(&m->w);
    free(m->members);
    free(m->cache_layers);
    free(m);
}

const liz_model_params *liz_model_params_get(const liz_model *m) { return &m->params; }

liz_status liz_model_adapter_add(liz_model *m, const liz_adapter *adapter, float scale, liz_error *err)
{
    LIZ_ASSERT(m->n_adapters < LIZ_LORAS_MAX);
    return liz_lora_bind(&m->w, &m->h, adapter, m->n_adapters++, scale, err);
}

void liz_model_watch(liz_model *m, liz_model_on_input *on_input, void *user)
{
    m->on_input = on_input;
    m->on_input_user = user;
}

void liz_model_profile_into(liz_model *m, liz_model_profile *profile) { m->profile = profile; }

/* ---- Memory of a step ---- */

/* n rows of `width` floats, whose bytes fit: widths are bounded (model_params.h). */
static float *carve_floats(liz_carver *c, uint64_t n, uint64_t width) { return liz_carve(c, n, width * sizeof(float)); }

static void carve_experts(liz_model *m, uint64_t n_tok, liz_carver *c)
{
    const liz_hparams *h = &m->h;
    uint64_t n_used = (uint64_t)h->n_expert_used, n_expert = (uint64_t)h->n_expert, id = sizeof(int32_t);
    uint64_t n_act = liz_moe_act_rows(h, (size_t)n_tok);
    m->moe.logits = carve_floats(c, n_tok, n_expert);
    m->moe.weights = carve_floats(c, n_tok, n_used);
    m->moe.chosen = liz_carve(c, n_tok, n_used * id);
    m->moe.pair_of = liz_carve(c, n_tok, n_used * id);
    m->moe.pair_expert = liz_carve(c, n_tok, n_used * id);
    m->moe.pair_token = liz_carve(c, n_tok, n_used * id);
    m->moe.act_token = liz_carve(c, n_act, id);
    m->moe.act_pair = liz_carve(c, n_act, id);
    m->moe.runs = liz_carve(c, n_expert, sizeof *m->moe.runs);
    m->buf.expert = carve_floats(c, n_tok * n_used, (uint64_t)h->n_embd);
}

/* The rows that live through a step, then those of attention, feed-forward and output, which are never alive together
 * and share their place. */
static void carve_rows(liz_model *m, const liz_model_opts *o, liz_carver *c)
{
    const liz_hparams *h = &m->h;
    uint64_t n = (uint64_t)o->n_batch_max;
    m->buf.x = carve_floats(c, n, (uint64_t)h->n_embd);
    m->buf.h = carve_floats(c, n, (uint64_t)h->n_embd);
    for (int i = 0; i < h->n_rope; i++) {
        m->buf.cos[i] = carve_floats(c, n, (uint64_t)h->rope[i].n_dims / 2);
        m->buf.sin[i] = carve_floats(c, n, (uint64_t)h->rope[i].n_dims / 2);
    }
    uint64_t shared = c->used;
    m->buf.q = carve_floats(c, n, (uint64_t)(h->n_head * h->n_embd_k));
    m->buf.k = carve_floats(c, n, (uint64_t)(h->n_head_kv * h->n_embd_k));
    m->buf.v = carve_floats(c, n, (uint64_t)(h->n_head_kv * h->n_embd_v));
    m->buf.attn = carve_floats(c, n, (uint64_t)(h->n_head * h->n_embd_v));
    c->used = shared;
    uint64_t n_ff = (uint64_t)h->n_ff, n_ff_used = (uint64_t)h->n_expert_used * (uint64_t)h->n_ff_expert;
    m->buf.gate = carve_floats(c, n, h->family->ungated ? 0 : n_ff > n_ff_used ? n_ff : n_ff_used);
    m->buf.up = carve_floats(c, n, n_ff > n_ff_used ? n_ff : n_ff_used);
    if (h->n_expert > 0)
        carve_experts(m, n, c);
    c->used = shared;
    m->buf.logits = carve_floats(c, (uint64_t)o->n_logits_max, (uint64_t)h->n_vocab);
    c->used = c->most;
}

static void carve_all(liz_model *m, const liz_model_opts *o, liz_member *members, int n_members, liz_carver *c)
{
    const liz_hparams *h = &m->h;
    uint64_t n_pages = liz_div_up((size_t)o->n_ctx, LIZ_ATTN_PAGE) + 1;
    carve_rows(m, o, c);
    m->tokens = liz_carve(c, (uint64_t)o->n_batch_max, sizeof *m->tokens);
    m->runs = liz_carve(c, (uint64_t)o->n_batch_max, sizeof *m->runs);
    m->crews = liz_carve(c, (uint64_t)o->n_batch_max, sizeof *m->crews);
    m->logit_rows = liz_carve(c, (uint64_t)o->n_logits_max, sizeof *m->logit_rows);
    for (int i = 0; i < h->n_rope; i++)
        m->rope_freqs[i] = liz_carve(c, (uint64_t)h->rope[i].n_dims / 2, sizeof(double));
    for (int i = 0; i < n_members; i++) {
        liz_member *s = members != NULL ? &members[i] : &(liz_member){0};
        s->matmul = liz_carve(c, liz_matmul_scratch_bytes((size_t)o->n_batch_max), 1);
        s->attn = carve_floats(c, LIZ_ATTN_SCRATCH_FLOATS(h->n_embd_k, h->n_embd_v), 1);
        s->k_pages = liz_carve(c, n_pages, sizeof *s->k_pages);
        s->v_pages = liz_carve(c, n_pages, sizeof *s->v_pages);
        uint64_t n_gathered = (int)LIZ_PAGE_TOKENS == (int)LIZ_ATTN_PAGE ? 0 : n_pages * LIZ_ATTN_PAGE;
        s->gathered = liz_carve(c, n_gathered, (uint64_t)(h->n_embd_k + h->n_embd_v) * sizeof(float));
        s->score = carve_floats(c, (uint64_t)h->n_expert, 1);
        s->lora = carve_floats(c, liz_lora_scratch_floats(&m->w), 1);
    }
}

/* Tokens of the widest input that take as much room as a step's activations at most: experts meet more rows, which are
 * narrower. */
static size_t act_tokens(const liz_model *m, const liz_model_opts *o)
{
    size_t n_tok = (size_t)o->n_batch_max;
    if (m->h.n_expert == 0)
        return n_tok;
    size_t n_in = (size_t)(m->h.n_embd > m->h.n_ff_expert ? m->h.n_embd : m->h.n_ff_expert);
    size_t n_blocks =
        liz_act_stride(liz_div_up(n_in, LIZ_BLOCK_LEN)) * (liz_moe_act_rows(&m->h, n_tok) + LIZ_ACT_ALIGN);
    size_t n_rows = liz_div_up(n_blocks, liz_act_stride(liz_div_up(m->w.n_in_max, LIZ_BLOCK_LEN)));
    return n_rows > n_tok ? n_rows : n_tok;
}

/* What dense feed-forwards make of their own products. */
static unsigned made_forms(const liz_model *m) { return m->h.n_ff > 0 ? m->w.act_forms & LIZ_ACT_I8 : 0; }

/* Members counted when memory is planned before there is a team. */
enum { MEMBERS_PLANNED = 64 };

liz_status liz_model_memory(const liz_model *model, const liz_model_opts *opts, uint64_t *weights_bytes,
                            uint64_t *scratch_bytes, liz_error *err)
{
    liz_model plan = *model;
    liz_carver c = {0};
    carve_all(&plan, opts, NULL, MEMBERS_PLANNED, &c);
    uint64_t act = liz_act_bytes(act_tokens(model, opts), model->w.n_in_max, model->w.act_forms) +
                   liz_act_bytes((size_t)opts->n_batch_max, (size_t)model->h.n_ff, made_forms(model));
    if (c.overflow || !liz_u64_add(c.used, act, scratch_bytes))
        return liz_fail(err, LIZ_E_LIMIT, "%s: the batch is too large for this machine's addresses",
                        liz_gguf_path(model->gguf));
    *weights_bytes = model->w.packed_bytes + model->w.lora_bytes + model->w.arena.used_bytes;
    return LIZ_OK;
}

static liz_status scratch_open(liz_model *m, liz_error *err)
{
    int n_members = liz_team_size(m->team);
    m->members = calloc((size_t)n_members, sizeof *m->members);
    liz_carver count = {0};
    carve_all(m, &m->opts, NULL, n_members, &count);
    m->scratch_bytes = count.used;
    m->scratch = count.overflow || m->members == NULL ? NULL : liz_memory_map(count.used);
    if (m->scratch == NULL || !liz_act_open(&m->act, act_tokens(m, &m->opts), m->w.n_in_max, m->w.act_forms) ||
        !liz_act_open(&m->made, (size_t)m->opts.n_batch_max, (size_t)m->h.n_ff, made_forms(m)))
        return liz_fail(err, LIZ_E_MEMORY, "%s: the system refused memory for a step", liz_gguf_path(m->gguf));
    liz_carver c = {.base = m->scratch};
    carve_all(m, &m->opts, m->members, n_members, &c);
    return LIZ_OK;
}

/* ---- Loading ---- */

static liz_status positions_open(liz_model *m, liz_error *err)
{
    for (int i = 0; i < m->h.n_rope; i++) {
        liz_status status = liz_weights_rope(&m->w, &m->h, i, m->opts.n_ctx, m->rope_freqs[i], err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "%s", liz_gguf_path(m->gguf));
    }
    return LIZ_OK;
}

static liz_gated_fn *activation_of(const liz_kernel *kernel, liz_ffn_kind kind)
{
    switch (kind) {
    case LIZ_FFN_GELU: return kernel->gelu_mul;
    case LIZ_FFN_SWIGLU_OAI: return kernel->swiglu_oai;
    default: return kernel->silu_mul;
    }
}

liz_status liz_model_load(liz_model *m, liz_team *team, const liz_model_opts *opts, liz_error *err)
{
    m->team = team;
    m->opts = *opts;
    liz_kernel_init(&m->kernel, opts->tier);
    m->activate = activation_of(&m->kernel, m->h.family->ffn);
    LIZ_TRY(scratch_open(m, err));
    LIZ_TRY(positions_open(m, err));
    LIZ_TRY(liz_lora_load(&m->w, &m->h, err));
    return liz_weights_load(&m->w, &m->h, m->gguf, team, opts, err);
}
