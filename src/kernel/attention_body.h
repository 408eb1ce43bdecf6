/* attention_body.h - attention over cache pages, written once for all tiers (see lanes.h and attention.h). */
#include "kernel/attention.h"

/* Scores of the 16 keys of one tile against q, unscaled. */
LIZ_LANE_FN liz_v16 score_tile_bf16(const uint16_t *tile, const float *q, int n_embd)
{
    liz_v16 sum = liz_v16_zero();
    for (int i = 0; i < n_embd; i += LIZ_GROUP_LEN) {
        liz_v16 even = liz_v16_zero(), odd = liz_v16_zero();
        int end = n_embd - i < LIZ_GROUP_LEN ? n_embd : i + LIZ_GROUP_LEN;
        for (int j = i; j < end; j += 2) {
            liz_v16 ke, ko;
            weights_bf16(tile, (size_t)j / 2, &ke, &ko);
            even = liz_v16_fma(ke, liz_v16_set(q[j]), even);
            odd = liz_v16_fma(ko, liz_v16_set(q[j + 1]), odd);
        }
        sum = liz_v16_add(sum, liz_v16_add(even, odd));
    }
    return sum;
}

LIZ_LANE_FN liz_v16 score_tile_f32(const float *tile, const float *q, int n_embd)
{
    liz_v16 sum = liz_v16_zero();
    for (int i = 0; i < n_embd; i += LIZ_GROUP_LEN) {
        liz_v16 even = liz_v16_zero(), odd = liz_v16_zero();
        int end = n_embd - i < LIZ_GROUP_LEN ? n_embd : i + LIZ_GROUP_LEN;
        for (int j = i; j < end; j += 2) {
            even = liz_v16_fma(liz_v16_load(tile + 16 * j), liz_v16_set(q[j]), even);
            odd = liz_v16_fma(liz_v16_load(tile + 16 * (j + 1)), liz_v16_set(q[j + 1]), odd);
        }
        sum = liz_v16_add(sum, liz_v16_add(even, odd));
    }
    return sum;
}

/* o [n_embd] += the sum over a page's 32 keys of p v. */
LIZ_LANE_FN void value_page_bf16(const uint16_t *page, const float *p, int n_embd, float *o)
{
    for (int i = 0; i < n_embd; i += 16) {
        liz_v16 even = liz_v16_zero(), odd = liz_v16_zero();
        for (int pair = 0; pair < LIZ_GROUP_LEN / 2; pair++) {
            liz_v16 ve, vo;
            weights_bf16(page + ((size_t)pair * (size_t)n_embd + (size_t)i) * 2, 0, &ve, &vo);
            even = liz_v16_fma(ve, liz_v16_set(p[2 * pair]), even);
            odd = liz_v16_fma(vo, liz_v16_set(p[2 * pair + 1]), odd);
        }
        liz_v16_store(o + i, liz_v16_add(liz_v16_load(o + i), liz_v16_add(even, odd)));
    }
}

LIZ_LANE_FN void value_page_f32(const float *page, const float *p, int n_embd, float *o)
{
    for (int i = 0; i < n_embd; i += 16) {
        liz_v16 even = liz_v16_zero(), odd = liz_v16_zero();
        for (int key = 0; key < LIZ_GROUP_LEN; key += 2) {
            even = liz_v16_fma(liz_v16_load(page + (size_t)key * (size_t)n_embd + i), liz_v16_set(p[key]), even);
            odd =
                liz_v16_fma(liz_v16_load(page + (size_t)(key + 1) * (size_t)n_embd + i), liz_v16_set(p[key + 1]), odd);
        }
        liz_v16_store(o + i, liz_v16_add(liz_v16_load(o + i), liz_v16_add(even, odd)));
    }
}

/* Scores of a block become p; returns their sum and the greatest score. Keys [first, end) of it are seen; p of the
 * others in their pages is zero. */
LIZ_LANE_FN float softmax_block(float *s, size_t first, size_t end, float scale, float softcap, bool round,
                                float *greatest)
{
    size_t t_begin = first / LIZ_GROUP_LEN * 2, t_end = (end + 15) / 16;
    const liz_v16 unseen = liz_v16_set(-INFINITY), cap = liz_v16_set(softcap);
    liz_v16 most = unseen, sums = liz_v16_zero();
    for (size_t t = t_begin; t < t_end; t++) {
        liz_v16 v = liz_v16_mul(liz_v16_load(s + 16 * t), liz_v16_set(scale));
        if (softcap > 0)
            v = liz_v16_mul(liz_v16_tanh(liz_v16_div(v, cap)), cap);
        v = liz_v16_keep_n(v, end - 16 * t, unseen);
        if (first > 16 * t)
            v = liz_v16_keep_n(unseen, first - 16 * t, v);
        liz_v16_store(s + 16 * t, v);
        most = liz_v16_max(v, most);
    }
    float m = liz_v16_max_lane(most);
    for (size_t t = t_begin; t < t_end; t++) {
        liz_v16 p = liz_v16_exp(liz_v16_sub(liz_v16_load(s + 16 * t), liz_v16_set(m)));
        if (round)
            p = liz_v16_round_bf16(p);
        liz_v16_store(s + 16 * t, p);
        sums = liz_v16_add(sums, p);
    }
    for (size_t i = 16 * t_end; i % LIZ_GROUP_LEN != 0; i++)
        s[i] = 0;
    *greatest = m;
    return liz_v16_sum(sums);
}

/* The running (m, l, o) takes in a block's. */
LIZ_LANE_FN void merge_block(float *m, float *l, float *o, float m_block, float l_block, const float *o_block,
                             int n_embd)
{
    float greatest = *m > m_block ? *m : m_block;
    float factors[16] = {*m - greatest, m_block - greatest};
    liz_v16_store(factors, liz_v16_exp(liz_v16_load(factors)));
    for (int i = 0; i < n_embd; i += 16) {
        liz_v16 kept = liz_v16_mul(liz_v16_load(o + i), liz_v16_set(factors[0]));
        liz_v16_store(o + i, liz_v16_fma(liz_v16_load(o_block + i), liz_v16_set(factors[1]), kept));
    }
    *l = *l * factors[0] + l_block * factors[1];
    *m = greatest;
}

/* One head. `k` and `v` are the pages' bytes of this kv head; `sink` may be NULL. */
#define ATTEND_HEAD(TYPE, ROUND)                                                                                       \
    LIZ_LANE_FN void attend_head_##TYPE(const liz_attn_args *a, const float *q_head, const float *sink, float *out)    \
    {                                                                                                                  \
        float *q = a->scratch, *s = q + a->n_embd_k, *o_block = s + LIZ_KEY_BLOCK, *o = o_block + a->n_embd_v + 16;    \
        if (ROUND)                                                                                                     \
            ROWS(round_bf16)(q_head, (size_t)a->n_embd_k, q);                                                          \
        else                                                                                                           \
            memcpy(q, q_head, (size_t)a->n_embd_k * sizeof *q);                                                        \
        float m = 0, l = 0, *sums = o;                                                                                 \
        for (size_t at = a->first_key / LIZ_KEY_BLOCK * LIZ_KEY_BLOCK; at < a->n_keys; at += LIZ_KEY_BLOCK) {          \
            size_t first = a->first_key > at ? a->first_key - at : 0;                                                  \
            size_t end = a->n_keys - at < LIZ_KEY_BLOCK ? a->n_keys - at : LIZ_KEY_BLOCK;                              \
            size_t page = at / LIZ_GROUP_LEN, first_page = first / LIZ_GROUP_LEN;                                      \
            for (size_t t = 2 * first_page; 16 * t < end; t++) {                                                       \
                const attend_##TYPE *tile = (const void *)a->k[page + t / 2];                                          \
                liz_v16_store(s + 16 * t, score_tile_##TYPE(tile + t % 2 * 16 * (size_t)a->n_embd_k, q, a->n_embd_k)); \
            }                                                                                                          \
            float m_block, l_block = softmax_block(s, first, end, a->scale, a->softcap, ROUND, &m_block);              \
            memset(sums, 0, (size_t)a->n_embd_v * sizeof *sums);                                                       \
            for (size_t t = first_page; LIZ_GROUP_LEN * t < end; t++)                                                  \
                value_page_##TYPE((const void *)a->v[page + t], s + LIZ_GROUP_LEN * t, a->n_embd_v, sums);             \
            if (sums == o)                                                                                             \
                m = m_block, l = l_block;                                                                              \
            else                                                                                                       \
                merge_block(&m, &l, o, m_block, l_block, o_block, a->n_embd_v);                                        \
            sums = o_block;                                                                                            \
        }                                                                                                              \
        if (sink != NULL) {                                                                                            \
            memset(o_block, 0, (size_t)a->n_embd_v * sizeof *o_block);                                                 \
            merge_block(&m, &l, o, *sink, 1.0f, o_block, a->n_embd_v);                                                 \
        }                                                                                                              \
        liz_v16 inverse = liz_v16_set(1.0f / l);                                                                       \
        for (int i = 0; i < a->n_embd_v; i += 16)                                                                      \
            liz_v16_store(out + i, liz_v16_fma(liz_v16_load(o + i), inverse, liz_v16_zero()));                         \
    }                                                                                                                  \
                                                                                                                       \
    static void ROWS(attend_##TYPE)(const liz_attn_args *a)                                                            \
    {                                                                                                                  \
        for (int h = 0; h < a->n_group; h++)                                                                           \
            attend_head_##TYPE(a, a->q + (size_t)h * (size_t)a->n_embd_k, a->sinks != NULL ? a->sinks + h : NULL,      \
                               a->out + (size_t)h * (size_t)a->n_embd_v);                                              \
    }

typedef uint16_t attend_bf16;
typedef float attend_f32;
ATTEND_HEAD(bf16, true)
ATTEND_HEAD(f32, false)
