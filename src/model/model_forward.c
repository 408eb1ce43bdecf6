/* model_forward.c - a step: the batch's tokens through all layers, and the logits that are asked for. */
#include "base/checked.h"
#include "kernel/angle.h"
#include "kernel/attend.h"
#include "model/model_core.h"
#include "tensor/quant.h"

static void table_row(const liz_gguf_tensor *table, int32_t row, size_t n, float *y)
{
    uint64_t row_bytes = table->size_bytes / liz_gguf_n_rows(table);
    liz_dequantize_row(table->dtype, table->data + (uint64_t)row * row_bytes, y, n);
}

/* Sines and cosines of token t's position. */
static void turn_position(liz_model *m, size_t t, int which)
{
    const liz_rope *rope = &m->h.rope[which];
    size_t half = (size_t)rope->n_dims / 2;
    float *cos = m->buf.cos[which] + t * half, *sin = m->buf.sin[which] + t * half;
    for (size_t i = 0; i < half; i++) {
        double s, c;
        liz_angle_sincos(m->tokens[t].pos * m->rope_freqs[which][i], &s, &c);
        sin[i] = (float)(s * rope->magnitude);
        cos[i] = (float)(c * rope->magnitude);
    }
}

static void embed(const liz_worker *w, size_t t)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd;
    float *x = m->buf.x + t * n, *h = m->buf.h + t * n;
    table_row(m->w.token_embd, m->tokens[t].token, n, x);
    if (m->h.embd_scale != 1)
        m->kernel.scale(x, m->h.embd_scale, n, x);
    if (m->w.position_embd != NULL) {
        table_row(m->w.position_embd, m->tokens[t].pos, n, h);
        m->kernel.add(x, h, n, x);
    }
    for (int i = 0; i < m->h.n_rope; i++)
        turn_position(m, t, i);
}

static void finish_logits(const liz_model *m, float *logits)
{
    size_t n = (size_t)m->h.n_vocab;
    add_bias(m, &m->w.output, 0, logits);
    if (m->h.logit_divisor != 1)
        m->kernel.scale(logits, 1 / m->h.logit_divisor, n, logits);
    if (m->h.logit_softcap > 0)
        m->kernel.softcap(logits, m->h.logit_softcap, n, logits);
}

static void output(const liz_worker *w)
{
    liz_model *m = w->m;
    size_t n = (size_t)m->h.n_embd, n_rows = w->n_logits, begin, end;
    if (n_rows == 0)
        return;
    meet(w);
    liz_team_share(n_rows, 1, w->id, w->n, &begin, &end);
    for (size_t i = begin; i < end; i++)
        norm_row(m, &m->w.output_norm, m->buf.x + (size_t)m->logit_rows[i] * n, n, m->buf.h + i * n);
    prepare(w, m->buf.h, n_rows, n, form_of(&m->w.output));
    linear(w, &m->w.output, n_rows, m->buf.logits);
    meet(w);
    liz_adapt_rows rows = {.x = m->buf.h, .y = m->buf.logits, .token = m->logit_rows};
    liz_model_adapt(w, &m->w.output, &rows, begin, end);
    for (size_t i = begin; i < end; i++)
        finish_logits(m, m->buf.logits + i * (size_t)m->h.n_vocab);
    lap(w, LIZ_PART_OUTPUT, linear_bytes(&m->w.output));
}

static void run_member(void *arg, int id, int n_members)
{
    liz_worker w = *(const liz_worker *)arg;
    liz_deal deal = {.team = w.m->team, .member = id};
    w.id = id;
    w.n = n_members;
    w.deal = &deal;
    liz_team_share(w.n_tok, 1, id, n_members, &w.begin, &w.end);
    for (size_t t = w.begin; t < w.end; t++)
        embed(&w, t);
    lap(&w, LIZ_PART_EMBED, 0);
    for (int layer = 0; layer < w.m->h.n_layer; layer++) {
        liz_model_attention(&w, layer);
        (w.m->h.layers[layer].sparse ? liz_model_experts : liz_model_feed_forward)(&w, layer);
    }
    output(&w);
}

/* Tokens whose heads attend together: as many as have room, so that keys are read seldom, but some items for each
 * member. */
static size_t run_most(const liz_model *m, size_t n_tok)
{
    size_t n_group = (size_t)(m->h.n_head / m->h.n_head_kv), n_items = 8 * (size_t)liz_team_size(m->team);
    size_t n_rows = liz_most(n_tok * (size_t)m->h.n_head / n_items, LIZ_ATTN_MEET);
    return liz_most(liz_least(n_rows, LIZ_ATTN_ROWS) / n_group, 1);
}

/* Cuts a sequence's tokens of the step into runs, as long as there is room. */
static void add_runs(liz_model *m, const liz_batch_seq *seq, size_t first, size_t most)
{
    size_t n_tok = (size_t)seq->n_tok;
    for (size_t t = 0; t < n_tok; t += most) {
        size_t n = liz_least(n_tok - t, most);
        bool whole = (size_t)seq->n_past + t + n >= LIZ_KEY_BLOCK;
        m->runs[m->n_runs++] =
            (liz_run){(int32_t)(first + t), (int32_t)n, whole ? seq->pages[LIZ_KEY_BLOCK / LIZ_PAGE_TOKENS - 1] : -1};
    }
}

/* Runs that begin with the same block of keys come to stand beside each other. Few are out of place. */
static void sort_runs(liz_model *m)
{
    for (size_t i = 1; i < m->n_runs; i++) {
        liz_run run = m->runs[i];
        size_t at = i;
        for (; at > 0 && m->runs[at - 1].page > run.page; at--)
            m->runs[at] = m->runs[at - 1];
        m->runs[at] = run;
    }
}

/* Keys from the first on that two runs have in the same pages, in whole blocks. */
static size_t keys_shared(const liz_worker *w, const liz_run *a, const liz_run *b)
{
    const liz_token *x = &w->m->tokens[a->first], *y = &w->m->tokens[b->first];
    const int32_t *x_pages = w->seqs[x->seq].pages, *y_pages = w->seqs[y->seq].pages;
    size_t n = liz_least((size_t)(x->pos + a->n), (size_t)(y->pos + b->n)) / LIZ_PAGE_TOKENS, i = 0;
    while (i < n && x_pages[i] == y_pages[i])
        i++;
    return i * LIZ_PAGE_TOKENS / LIZ_KEY_BLOCK * LIZ_KEY_BLOCK;
}

/* Neighbouring runs that share keys attend together while there is room. */
static void form_crews(const liz_worker *w, int n_seqs)
{
    liz_model *m = w->m;
    size_t most = run_most(m, w->n_tok), room = 0, first = 0, n_shared;
    m->n_runs = 0;
    for (int i = 0; i < n_seqs; first += (size_t)w->seqs[i++].n_tok)
        add_runs(m, &w->seqs[i], first, most);
    sort_runs(m);
    m->n_crews = 0;
    for (size_t i = 0; i < m->n_runs; i++) {
        const liz_run *run = &m->runs[i];
        liz_crew *crew = &m->crews[m->n_crews - (m->n_crews > 0)];
        if ((size_t)run->n <= room && run->page >= 0 && (n_shared = keys_shared(w, &m->runs[crew->first], run)) > 0) {
            crew->n_shared = crew->n > 1 ? liz_least(crew->n_shared, n_shared) : n_shared;
            crew->n++;
            room -= (size_t)run->n;
        } else {
            m->crews[m->n_crews++] = (liz_crew){i, 1, 0};
            room = most - (size_t)run->n;
        }
    }
}

/* The sequences' tokens one after the other. False when a maximum is exceeded. */
static bool gather_tokens(liz_worker *w, int n_seqs)
{
    liz_model *m = w->m;
    if (n_seqs > m->opts.n_seqs_max)
        return false;
    for (int i = 0; i < n_seqs; i++) {
        const liz_batch_seq *seq = &w->seqs[i];
        if (seq->n_tok < 1 || w->n_tok + (size_t)seq->n_tok > (size_t)m->opts.n_batch_max ||
            seq->n_logits > seq->n_tok || w->n_logits + (size_t)seq->n_logits > (size_t)m->opts.n_logits_max ||
            seq->n_past > m->opts.n_ctx - seq->n_tok)
            return false;
        for (int32_t t = 0; t < seq->n_tok; t++) {
            if (t >= seq->n_tok - seq->n_logits)
                m->logit_rows[w->n_logits++] = (int32_t)w->n_tok;
            m->tokens[w->n_tok++] = (liz_token){seq->tokens[t], seq->n_past + t, i};
        }
    }
    return true;
}

liz_status liz_model_forward(liz_model *m, liz_cache *cache, const liz_batch_seq *seqs, int n_seqs, float **logits,
                             liz_error *err)
{
    liz_worker step = {.m = m, .cache = cache, .seqs = seqs};
    if (!gather_tokens(&step, n_seqs))
        return liz_fail(err, LIZ_E_LIMIT, "a step of the model: more tokens than it was opened for");
    form_crews(&step, n_seqs);
    m->lap_us = m->profile != NULL ? liz_clock_us() : 0;
    liz_team_run(m->team, run_member, &step);
    *logits = m->buf.logits;
    return LIZ_OK;
}
