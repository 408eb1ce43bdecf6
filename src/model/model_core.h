/* model_core.h - what a loaded model is made of, and how a member of the team works in a step; private to the room.
 *
 * A step is one run of the team: every member walks the same layers, does its part of each operation and meets the
 * others at a barrier where the next operation reads what another member wrote. Operations on rows are shared out by
 * tokens (liz_team_share); matrices are dealt by outputs, attention by (rows together, kv head), to whoever gets to
 * them (liz_deal). All buffers are made at load; a step allocates nothing. */
#ifndef LIZ_MODEL_MODEL_CORE_H
#define LIZ_MODEL_MODEL_CORE_H

#include "kernel/matmul.h"
#include "model/model.h"
#include "model/model_moe.h"
#include "model/model_weights.h"
#include "sys/clock.h"

/* What a step computes on, [n_tok, ...] each. */
typedef struct liz_buffers {
    float *x;               /* residual stream [n_embd] */
    float *h;               /* normed, and what returns to the stream [n_embd] */
    float *q, *k, *v;       /* [n_head * n_embd_k], [n_head_kv * n_embd_k], [n_head_kv * n_embd_v] */
    float *attn;            /* [n_head * n_embd_v] */
    float *gate, *up;       /* [n_ff]; of experts [pairs of the step, n_ff_expert] */
    float *expert;          /* [pairs, n_embd] */
    float *cos[2], *sin[2]; /* [n_dims / 2], for liz_hparams.rope */
    float *logits;          /* [n_logits_max, n_vocab] */
} liz_buffers;

/* What one member needs for itself. */
typedef struct liz_member {
    uint8_t *matmul;
    float *attn;
    const uint8_t **k_pages, **v_pages; /* [pages of n_ctx] */
    uint8_t *gathered;                  /* those pages, where the cache has pages of one token; model_attention.c */
    float *score;                       /* [n_expert] */
    float *lora;                        /* model_lora.c */
} liz_member;

/* One token of a step. */
typedef struct liz_token {
    int32_t token, pos;
    int32_t seq;
} liz_token;

/* Neighbouring tokens of a sequence. */
typedef struct liz_run {
    int32_t first, n; /* tokens of the step */
    int32_t page;     /* where its first block of keys ends, -1 where that is not whole */
} liz_run;

/* Runs that attend together, and how many keys from the first on lie in the same pages for all, in whole blocks. */
typedef struct liz_crew {
    size_t first, n, n_shared;
} liz_crew;

struct liz_model {
    const liz_gguf *gguf;
    liz_hparams h;
    liz_weights w;
    liz_model_params params;
    liz_cache_layer *cache_layers;
    liz_model_opts opts;
    liz_team *team;
    liz_kernel kernel;
    liz_gated_fn *activate; /* the family's */
    liz_act act;
    liz_act made;                 /* what members make of their own products */
    liz_act_source prepared;      /* what `act` was made from */
    liz_model_on_input *on_input; /* NULL: nobody watches */
    void *on_input_user;
    liz_model_profile *profile; /* NULL: none is kept */
    uint64_t lap_us;            /* when the part of the step that runs began */
    liz_buffers buf;
    liz_moe moe;
    liz_member *members;
    liz_token *tokens; /* [n_batch_max] */
    liz_run *runs;     /* [n_runs], at most one for each token */
    liz_crew *crews;   /* [n_crews], likewise */
    size_t n_runs, n_crews;
    int32_t *logit_rows;   /* [n_logits_max] tokens of the step */
    double *rope_freqs[2]; /* [n_dims / 2] */
    int n_adapters;
    uint8_t *scratch;
    uint64_t scratch_bytes;
};

/* A member inside a step. */
typedef struct liz_worker {
    liz_model *m;
    liz_cache *cache;
    const liz_batch_seq *seqs;
    size_t n_tok, n_logits;
    int id, n;
    liz_deal *deal;
    size_t begin, end; /* its tokens in operations on rows */
} liz_worker;

void liz_model_attention(const liz_worker *w, int layer);
void liz_model_feed_forward(const liz_worker *w, int layer);
void liz_model_experts(const liz_worker *w, int layer);

/* Rows of a matrix's input and output, and whose they are. A list that is NULL says i for row i. */
typedef struct liz_adapt_rows {
    const float *x;        /* [.., n_in] */
    float *y;              /* [.., n_out] */
    const int32_t *x_row;  /* row i of y comes of this row of x */
    const int32_t *token;  /* and is of this token of the step */
    const int32_t *expert; /* which meets this expert; NULL: the only one */
} liz_adapt_rows;

/* Adds to rows [begin, end) of y what the adapters of their tokens make of x. By the member that finishes these rows,
 * once the matrix's own products are there. */
void liz_model_adapt(const liz_worker *w, const liz_linear *l, const liz_adapt_rows *rows, size_t begin, size_t end);

/* ---- What the parts of a step share ---- */

static inline void meet(const liz_worker *w) { liz_team_barrier(w->m->team); }

/* A part of the step is over. */
static inline void lap(const liz_worker *w, liz_model_part part, uint64_t bytes)
{
    liz_model *m = w->m;
    if (m->profile == NULL || w->id != 0)
        return;
    uint64_t now_us = liz_clock_us();
    m->profile->us[part] += now_us - m->lap_us;
    m->profile->bytes[part] += bytes;
    m->lap_us = now_us;
}

/* Of a matrix; of an absent one none. */
static inline uint64_t linear_bytes(const liz_linear *l)
{
    return l->tensor != NULL ? liz_pack_matrix_bytes(l->matrix.pack, l->matrix.n_out, l->matrix.n_in) : 0;
}

static inline void norm_row(const liz_model *m, const liz_norm *norm, const float *x, size_t n, float *y)
{
    if (m->h.family->norm == LIZ_NORM_LAYER)
        m->kernel.layer_norm(x, norm->weight, norm->bias, m->h.norm_eps, n, y);
    else
        m->kernel.rms_norm(x, norm->weight, m->h.norm_eps, n, y);
}

/* The residual stream as a half of a layer sees it: normed by this member for its tokens, or as it is. */
static inline const float *stream_in(const liz_worker *w, const liz_norm *norm)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd;
    if (norm->weight == NULL)
        return m->buf.x;
    for (size_t t = w->begin; t < w->end; t++)
        norm_row(m, norm, m->buf.x + t * n, n, m->buf.h + t * n);
    return m->buf.h;
}

/* What the adapters make of this member's tokens, x [n_tok, n_in] to y. */
static inline void adapt(const liz_worker *w, const liz_linear *l, const float *x, float *y)
{
    liz_model_adapt(w, l, &(liz_adapt_rows){.x = x, .y = y}, w->begin, w->end);
}

/* Of the i-th of the matrices. */
static inline void add_bias(const liz_model *m, const liz_linear *l, int i, float *y)
{
    const float *bias = liz_linear_bias(l, i);
    if (bias != NULL)
        m->kernel.add(y, bias, (size_t)l->matrix.n_out, y);
}

/* What half a layer gives for token t, in buf.h, normed and scaled as the family does, returns to the stream. */
static inline void stream_out(const liz_worker *w, const liz_norm *post_norm, size_t t)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd;
    float *x = m->buf.x + t * n, *h = m->buf.h + t * n;
    if (post_norm->weight != NULL)
        norm_row(m, post_norm, h, n, h);
    if (m->h.residual_scale != 1)
        m->kernel.add_scaled(h, m->h.residual_scale, n, x);
    else
        m->kernel.add(x, h, n, x);
}

/* Activations for matrices of these forms, complete on return. All that `source` names is there already. */
static inline void prepare_here(const liz_worker *w, liz_act_source source, size_t n_tok, size_t n_in, unsigned forms)
{
    liz_model *m = w->m;
    if (w->id == 0)
        m->prepared = source;
    liz_act_prepare(&m->kernel, &m->act, source, n_tok, n_in, forms, w->id, w->n);
    meet(w);
    lap(w, source.activate != NULL ? LIZ_PART_ACTIVATE : LIZ_PART_PREPARE, 0);
}

/* Activations x [n_tok, n_in], which members have just written. */
static inline void prepare(const liz_worker *w, const float *x, size_t n_tok, size_t n_in, unsigned forms)
{
    meet(w);
    prepare_here(w, (liz_act_source){.x = x, .stride = n_in}, n_tok, n_in, forms);
}

/* Shows whoever watches what the i-th of the matrices is about to meet: prepared tokens from `first`. */
static inline void show_input(const liz_worker *w, const liz_linear *l, int i, size_t first, size_t n_tok)
{
    const liz_model *m = w->m;
    if (m->on_input == NULL || l->row != 0)
        return;
    const int32_t *rows = m->prepared.rows != NULL ? m->prepared.rows + first : NULL;
    m->on_input(m->on_input_user, &(liz_model_input){l->tensor, i, m->prepared.x, rows, n_tok, w->id, w->n});
}

static inline unsigned form_of(const liz_linear *l) { return l->tensor != NULL ? liz_act_form_of(l->matrix.pack) : 0; }

/* y [n_tok, n_out] = W x for the activations in `act`, this member's share; the bias is for `add_bias`. */
static inline void linear_of(const liz_worker *w, const liz_linear *l, const liz_act *act, size_t n_tok, float *y)
{
    liz_matmul(&w->m->kernel, &l->matrix, act, 0, n_tok, y, (size_t)l->matrix.n_out, w->m->members[w->id].matmul,
               w->deal);
}

/* For the prepared activations. */
static inline void linear(const liz_worker *w, const liz_linear *l, size_t n_tok, float *y)
{
    if (l->tensor == NULL)
        return;
    show_input(w, l, 0, 0, n_tok);
    linear_of(w, l, &w->m->act, n_tok, y);
}

#endif
