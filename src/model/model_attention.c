/* model_attention.c - the first half of a layer: queries, keys and values, positions, the cache, attention over it. */
#include "base/checked.h"
#include "kernel/attend.h"
#include "model/model_core.h"

/* Norm and rotary position of `n_heads` heads of one token, in place. */
static void turn_heads(const liz_worker *w, int layer, const liz_norm *head_norm, size_t t, float *x, int n_heads)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    size_t n = (size_t)h->n_embd_k;
    int which = h->layers[layer].windowed ? h->n_rope - 1 : 0;
    liz_rope_shape shape = {h->rope[0].n_dims, h->family->rope == LIZ_ROPE_NEOX};
    size_t angles = t * (size_t)shape.n_dims / 2;
    if (h->family->head_norm == LIZ_HEAD_NORM_ALL)
        m->kernel.rms_norm(x, head_norm->weight, h->norm_eps, n * (size_t)n_heads, x);
    for (int i = 0; i < n_heads; i++, x += n) {
        if (h->family->head_norm == LIZ_HEAD_NORM_EACH)
            m->kernel.rms_norm(x, head_norm->weight, h->norm_eps, n, x);
        if (h->layers[layer].roped)
            m->kernel.rope(x, m->buf.cos[which] + angles, m->buf.sin[which] + angles, shape);
    }
}

_Static_assert((int)LIZ_ATTN_BF16 == (int)LIZ_CACHE_BF16 && (int)LIZ_ATTN_F32 == (int)LIZ_CACHE_F32 &&
                   (int)LIZ_ATTN_I8 == (int)LIZ_CACHE_INT8,
               "kernel and cache number their types alike");

/* A build for tests has cache pages of one token: there elements lie in order, then scales, and attention brings them
 * into its own pages first. */
enum { SINGLE = LIZ_PAGE_TOKENS == 1 };
_Static_assert(SINGLE || (int)LIZ_PAGE_TOKENS == (int)LIZ_ATTN_PAGE, "a page of the cache is one of attention");

typedef size_t index_fn(liz_attn_elem elem, int n_embd, int token, int i);

/* Between place `slot` of attention's page and a page of one token. */
static void move_token(liz_attn_elem elem, index_fn *index, int n_embd, uint8_t *page, int slot, uint8_t *single,
                       bool into_page)
{
    size_t size = elem == LIZ_ATTN_F32 ? 4 : elem == LIZ_ATTN_BF16 ? 2 : 1;
    for (int i = 0; i < n_embd; i++, single += size) {
        uint8_t *at = page + index(elem, n_embd, slot, i) * size;
        memcpy(into_page ? at : single, into_page ? single : at, size);
    }
    for (int g = 0; g * LIZ_GROUP_LEN < n_embd && elem == LIZ_ATTN_I8; g++, single += 2) {
        uint8_t *at = page + liz_attn_scale_at(n_embd, slot, g);
        memcpy(into_page ? at : single, into_page ? single : at, 2);
    }
}

/* One head's key or value to the cache. */
static void store_head(const liz_worker *w, bool is_key, const float *x, int n_embd, int slot, uint8_t *page)
{
    liz_attn_elem elem = (liz_attn_elem)liz_cache_elem_type(w->cache);
    uint8_t *to = SINGLE ? w->m->members[w->id].gathered : page;
    (is_key ? w->m->kernel.store_key : w->m->kernel.store_value)[elem](x, n_embd, slot, to);
    if (SINGLE)
        move_token(elem, is_key ? liz_attn_k_index : liz_attn_v_index, n_embd, to, slot, page, false);
}

/* One token's keys and values into its page. */
static void store_kv(const liz_worker *w, int layer, size_t t, const float *k, const float *v)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    const liz_token *tok = &m->tokens[t];
    int32_t page = w->seqs[tok->seq].pages[tok->pos / LIZ_PAGE_TOKENS];
    int slot = tok->pos % LIZ_PAGE_TOKENS;
    liz_cache_type type = liz_cache_elem_type(w->cache);
    uint8_t *k_page = liz_cache_k(w->cache, layer, page), *v_page = liz_cache_v(w->cache, layer, page);
    for (int i = 0; i < h->n_head_kv; i++, k += h->n_embd_k, v += h->n_embd_v) {
        store_head(w, true, k, h->n_embd_k, slot, k_page);
        store_head(w, false, v, h->n_embd_v, slot, v_page);
        k_page += liz_cache_head_bytes(type, h->n_embd_k);
        v_page += liz_cache_head_bytes(type, h->n_embd_v);
    }
}

/* All query heads of one token. */
static void grow_queries(const liz_worker *w, size_t t, float *q, size_t n)
{
    const liz_model *m = w->m;
    float scale = liz_query_growth_at(&m->h.query_growth, m->tokens[t].pos);
    if (scale != 1)
        m->kernel.scale(q, scale, n, q);
}

/* Biases, head norms and positions of one token's queries, keys and values; keys and values go to the cache. */
static void finish_qkv(const liz_worker *w, int layer, size_t t)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    float *q = m->buf.q + t * (size_t)l->q.matrix.n_out, *k = m->buf.k + t * (size_t)l->k.matrix.n_out;
    float *v = m->buf.v + t * (size_t)l->v.matrix.n_out;
    add_bias(m, &l->q, 0, q);
    add_bias(m, &l->k, 0, k);
    add_bias(m, &l->v, 0, v);
    turn_heads(w, layer, &l->q_norm, t, q, m->h.n_head);
    grow_queries(w, t, q, (size_t)l->q.matrix.n_out);
    turn_heads(w, layer, &l->k_norm, t, k, m->h.n_head_kv);
    store_kv(w, layer, t, k, v);
}

/* Page `p` of attention from pages of single tokens: its keys and values of one head. */
static void gather_page(const liz_worker *w, int layer, int kv_head, const int32_t *pages, size_t p, size_t n_keys)
{
    const liz_hparams *h = &w->m->h;
    liz_member *s = &w->m->members[w->id];
    liz_cache_type type = liz_cache_elem_type(w->cache);
    liz_attn_elem elem = (liz_attn_elem)type;
    size_t n_k = (size_t)h->n_embd_k, n_v = (size_t)h->n_embd_v, first = p * LIZ_ATTN_PAGE;
    uint8_t *k = s->gathered + first * (n_k + n_v) * sizeof(float), *v = k + LIZ_ATTN_PAGE * n_k * sizeof(float);
    memset(k, 0, LIZ_ATTN_PAGE * (n_k + n_v) * sizeof(float));
    for (size_t t = 0; t < LIZ_ATTN_PAGE && first + t < n_keys; t++) {
        uint8_t *k_from = liz_cache_k(w->cache, layer, pages[first + t]);
        uint8_t *v_from = liz_cache_v(w->cache, layer, pages[first + t]);
        k_from += (size_t)kv_head * liz_cache_head_bytes(type, h->n_embd_k);
        v_from += (size_t)kv_head * liz_cache_head_bytes(type, h->n_embd_v);
        move_token(elem, liz_attn_k_index, h->n_embd_k, k, (int)t, k_from, true);
        move_token(elem, liz_attn_v_index, h->n_embd_v, v, (int)t, v_from, true);
    }
    s->k_pages[p] = k;
    s->v_pages[p] = v;
}

/* The pages of one kv head that hold a run's keys [from, to). */
static void run_pages(const liz_worker *w, int layer, const liz_run *run, int kv_head, size_t from, size_t to)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    liz_member *s = &m->members[w->id];
    liz_cache_type type = liz_cache_elem_type(w->cache);
    size_t k_off = (size_t)kv_head * liz_cache_head_bytes(type, h->n_embd_k);
    size_t v_off = (size_t)kv_head * liz_cache_head_bytes(type, h->n_embd_v);
    const int32_t *pages = w->seqs[m->tokens[run->first].seq].pages;
    for (size_t p = from / LIZ_ATTN_PAGE; p * LIZ_ATTN_PAGE < to; p++) {
        if (SINGLE) {
            gather_page(w, layer, kv_head, pages, p, to);
            continue;
        }
        s->k_pages[p] = (uint8_t *)liz_cache_k(w->cache, layer, pages[p]) + k_off;
        s->v_pages[p] = (uint8_t *)liz_cache_v(w->cache, layer, pages[p]) + v_off;
    }
}

static size_t window_of(const liz_hparams *h, int layer)
{
    return h->layers[layer].windowed ? (size_t)h->window : SIZE_MAX;
}

/* The first key that a token sees. */
static size_t first_key(const liz_token *tok, size_t window)
{
    size_t n_keys = (size_t)tok->pos + 1;
    return n_keys > window ? n_keys - window : 0;
}

/* Query heads [head, head + n_heads) of a run's tokens. */
static void add_rows(const liz_worker *w, int layer, const liz_run *run, int head, int n_heads, liz_attn *attn)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    const float *sinks = m->w.layers[layer].sinks;
    for (int32_t t = run->first; t < run->first + run->n; t++)
        for (int i = head; i < head + n_heads; i++) {
            size_t at = (size_t)t * (size_t)h->n_head + (size_t)i;
            liz_attn_add(attn, (liz_attn_row){.q = m->buf.q + at * (size_t)h->n_embd_k,
                                              .first_key = first_key(&m->tokens[t], window_of(h, layer)),
                                              .n_keys = (size_t)m->tokens[t].pos + 1,
                                              .sink = sinks != NULL ? sinks + i : NULL,
                                              .out = m->buf.attn + at * (size_t)h->n_embd_v});
        }
}

/* Rows [begin, end) look at their keys before `to`, those before `from` but for whole blocks left out. */
static void look(const liz_worker *w, int layer, const liz_run *run, int kv_head, size_t from, size_t to,
                 liz_attn *attn, size_t begin, size_t end)
{
    const liz_member *s = &w->m->members[w->id];
    size_t first = SIZE_MAX;
    for (size_t i = begin; i < end; i++)
        first = liz_least(first, attn->rows[i].first_key);
    from = liz_most(from, first / LIZ_KEY_BLOCK * LIZ_KEY_BLOCK);
    run_pages(w, layer, run, kv_head, from, to);
    liz_attn_look(attn, begin, end, s->k_pages, s->v_pages, from, to);
}

/* Attention of a crew and of query heads that share a kv head: first to the keys that all runs share, then each run to
 * its own. */
static void attend(const liz_worker *w, int layer, const liz_crew *crew, int kv_head, int head, int n_heads)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    const liz_cache_type type = liz_cache_elem_type(w->cache);
    liz_attn_row rows[LIZ_ATTN_ROWS];
    liz_attn attn = {.kernel = &m->kernel,
                     .elem = (liz_attn_elem)type,
                     .n_embd_k = h->n_embd_k,
                     .n_embd_v = h->n_embd_v,
                     .k_bytes = liz_cache_head_bytes(type, h->n_embd_k),
                     .v_bytes = liz_cache_head_bytes(type, h->n_embd_v),
                     .scale = h->attn_scale,
                     .softcap = h->attn_softcap,
                     .scratch = m->members[w->id].attn,
                     .rows = rows};
    const liz_run *runs = &m->runs[crew->first];
    for (size_t i = 0; i < crew->n; i++)
        add_rows(w, layer, &runs[i], head, n_heads, &attn);
    if (crew->n_shared > 0)
        look(w, layer, &runs[0], kv_head, 0, crew->n_shared, &attn, 0, attn.n_rows);
    for (size_t i = 0, row = 0; i < crew->n; i++) {
        size_t end = row + (size_t)(runs[i].n * n_heads);
        look(w, layer, &runs[i], kv_head, crew->n_shared, attn.rows[end - 1].n_keys, &attn, row, end);
        row = end;
    }
    liz_attn_finish(&attn);
}

/* All query heads that share a kv head. */
static void attend_group(const liz_worker *w, int layer, const liz_crew *crew, int kv_head)
{
    int n_group = w->m->h.n_head / w->m->h.n_head_kv;
    for (int first = 0; first < n_group; first += LIZ_ATTN_ROWS)
        attend(w, layer, crew, kv_head, kv_head * n_group + first, liz_least_i32(n_group - first, LIZ_ATTN_ROWS));
}

static int32_t sequence_of(const liz_model *m, size_t crew)
{
    return m->tokens[m->runs[m->crews[crew].first].first].seq;
}

static size_t sequence_end(const liz_model *m, size_t begin)
{
    size_t end = begin + 1;
    while (end < m->n_crews && sequence_of(m, end) == sequence_of(m, begin))
        end++;
    return end;
}

/* Items are a crew and a kv head, a sequence's crews head by head, so that the keys and values that they share stay in
 * a cache. */
static void attend_dealt(const liz_worker *w, int layer)
{
    liz_model *m = w->m;
    size_t n_heads = (size_t)m->h.n_head_kv, begin, end;
    liz_deal_begin(w->deal, m->n_crews * n_heads, 1, 1);
    m->kernel.tiles_begin();
    while (liz_deal_take(w->deal, &begin, &end)) {
        size_t first = 0, last = sequence_end(m, 0);
        for (size_t i = begin; i < end; i++) {
            while (i >= last * n_heads) {
                first = last;
                last = sequence_end(m, first);
            }
            size_t at = i - first * n_heads, n_crews = last - first;
            attend_group(w, layer, &m->crews[first + at % n_crews], (int)(at / n_crews));
        }
    }
    m->kernel.tiles_end();
}

/* Keys and values that a step reads in a layer. */
static uint64_t read_bytes(const liz_worker *w, int layer)
{
    const liz_model *m = w->m;
    const liz_hparams *h = &m->h;
    liz_cache_type type = liz_cache_elem_type(w->cache);
    uint64_t n = 0;
    for (size_t c = 0; c < m->n_crews && m->profile != NULL; c++) {
        const liz_crew *crew = &m->crews[c];
        size_t first_of_all = crew->n_shared;
        for (const liz_run *run = &m->runs[crew->first]; run < &m->runs[crew->first + crew->n]; run++) {
            size_t first = first_key(&m->tokens[run->first], window_of(h, layer));
            first_of_all = liz_least(first_of_all, first);
            n += (size_t)(m->tokens[run->first].pos + run->n) - liz_most(first, crew->n_shared);
        }
        n += crew->n_shared - first_of_all;
    }
    uint64_t page = liz_cache_head_bytes(type, h->n_embd_k) + liz_cache_head_bytes(type, h->n_embd_v);
    return n * (uint64_t)h->n_head_kv * page / LIZ_PAGE_TOKENS;
}

void liz_model_attention(const liz_worker *w, int layer)
{
    liz_model *m = w->m;
    const liz_layer *l = &m->w.layers[layer];
    const float *in = stream_in(w, &l->attn_norm);
    prepare(w, in, w->n_tok, (size_t)m->h.n_embd, form_of(&l->q) | form_of(&l->k) | form_of(&l->v));
    linear(w, &l->q, w->n_tok, m->buf.q);
    linear(w, &l->k, w->n_tok, m->buf.k);
    linear(w, &l->v, w->n_tok, m->buf.v);
    meet(w);
    lap(w, LIZ_PART_QKV, linear_bytes(&l->q) + linear_bytes(&l->k) + linear_bytes(&l->v));
    adapt(w, &l->q, in, m->buf.q);
    adapt(w, &l->k, in, m->buf.k);
    adapt(w, &l->v, in, m->buf.v);
    for (size_t t = w->begin; t < w->end; t++)
        finish_qkv(w, layer, t);
    meet(w);
    lap(w, LIZ_PART_POSITION, 0);
    attend_dealt(w, layer);
    meet(w);
    lap(w, LIZ_PART_ATTENTION, read_bytes(w, layer));
    size_t n_attn = (size_t)l->o.matrix.n_in;
    prepare_here(w, (liz_act_source){.x = m->buf.attn, .stride = n_attn}, w->n_tok, n_attn, form_of(&l->o));
    linear(w, &l->o, w->n_tok, m->buf.h);
    meet(w);
    lap(w, LIZ_PART_ATTENTION_OUT, linear_bytes(&l->o));
    adapt(w, &l->o, m->buf.attn, m->buf.h);
    for (size_t t = w->begin; t < w->end; t++) {
        add_bias(m, &l->o, 0, m->buf.h + t * (size_t)m->h.n_embd);
        stream_out(w, &l->attn_post_norm, t);
    }
    lap(w, LIZ_PART_RESIDUAL, 0);
}
