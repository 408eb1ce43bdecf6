/* attention_body.h - attention over cache pages, written once for all tiers (see lanes.h and attention.h). */
#include "kernel/attention.h"

/* Scores of one half of a page's keys against q, unscaled. */
LIZ_LANE_FN liz_v16 score_half_bf16(const uint16_t *page, int half, const float *q, int n_embd)
{
    const uint16_t *tile = page + half * 16 * (size_t)n_embd;
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

LIZ_LANE_FN liz_v16 score_half_f32(const float *page, int half, const float *q, int n_embd)
{
    const float *tile = page + half * 16 * (size_t)n_embd;
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
        int width = n_embd - i < 16 ? n_embd - i : 16;
        for (int pair = 0; pair < LIZ_GROUP_LEN / 2; pair++) {
            liz_v16 ve, vo;
            weights_bf16(page + i * LIZ_ATTN_PAGE + pair * width * 2, 0, &ve, &vo);
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

LIZ_LANE_FN void query_bf16(const float *x, int n_embd, float *q) { ROWS(round_bf16)(x, (size_t)n_embd, q); }
LIZ_LANE_FN void query_f32(const float *x, int n_embd, float *q) { memcpy(q, x, (size_t)n_embd * sizeof *q); }

static void ROWS(store_key_bf16)(const float *x, int n_embd, int slot, void *page)
{
    for (int i = 0; i < n_embd; i++)
        ((uint16_t *)page)[liz_attn_k_index(LIZ_ATTN_BF16, n_embd, slot, i)] = liz_f32_to_bf16(x[i]);
}

static void ROWS(store_key_f32)(const float *x, int n_embd, int slot, void *page)
{
    for (int i = 0; i < n_embd; i++)
        ((float *)page)[liz_attn_k_index(LIZ_ATTN_F32, n_embd, slot, i)] = x[i];
}

static void ROWS(store_value_bf16)(const float *x, int n_embd, int slot, void *page)
{
    for (int i = 0; i < n_embd; i++)
        ((uint16_t *)page)[liz_attn_v_index(LIZ_ATTN_BF16, n_embd, slot, i)] = liz_f32_to_bf16(x[i]);
}

static void ROWS(store_value_f32)(const float *x, int n_embd, int slot, void *page)
{
    memcpy((float *)page + slot * (size_t)n_embd, x, (size_t)n_embd * sizeof *x);
}

/* ---- int8 ---- */

LIZ_LANE_FN int i8_groups(int n_embd) { return (n_embd + LIZ_GROUP_LEN - 1) / LIZ_GROUP_LEN; }
LIZ_LANE_FN int i8_least(int a, int b) { return a < b ? a : b; }
/* The scales behind a page's bytes. */
LIZ_LANE_FN uint16_t *i8_scales(const void *page, int n_embd)
{
    return (uint16_t *)((uintptr_t)page + liz_attn_scale_at(n_embd, 0, 0));
}

/* The greatest of n (16 or 32) numbers, 0 where they are too small to divide by; not-a-number where one is not finite.
 */
LIZ_LANE_FN float i8_range(const float *x, int n)
{
    const liz_v16 infinite = liz_v16_set(INFINITY);
    liz_v16 most = liz_v16_zero();
    bool finite = true;
    for (int i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_abs(liz_v16_load(x + i));
        finite = finite && liz_m16_all(liz_v16_lt(v, infinite));
        most = liz_v16_max(v, most);
    }
    float greatest = liz_v16_max_lane(most);
    return !finite ? NAN : greatest < 0x1p-100f ? 0.0f : greatest;
}

/* Whole numbers up to 127 and their scale, a bfloat16, rounded up. */
LIZ_LANE_FN float i8_quantize(const float *x, int n, int8_t *q)
{
    float most = i8_range(x, n);
    if (!(most > 0)) {
        memset(q, 0, (size_t)n);
        return most;
    }
    float d = liz_f32_from_bits((liz_f32_bits(most / 127.0f) + 0xFFFF) & 0xFFFF0000);
    const liz_v16 inverse = liz_v16_set(1.0f / d);
    for (int i = 0; i < n; i += 16)
        liz_v16_store_i8(q + i, liz_v16_rint(liz_v16_mul(liz_v16_load(x + i), inverse)));
    return d;
}

enum { WIDE_BASE = 254, WIDE_MOST = 127 * WIDE_BASE };

/* What meets the stored bytes is finer: whole numbers up to 32,258 as 254 * high + low, and sums of each. */
typedef struct i8_wide {
    float d;
    int32_t high_sum, low_sum;
    int8_t high[LIZ_GROUP_LEN], low[LIZ_GROUP_LEN];
} i8_wide;

LIZ_LANE_FN void i8_widen(const float *x, int n, i8_wide *to)
{
    float most = i8_range(x, n);
    *to = (i8_wide){.d = most / WIDE_MOST};
    if (!(most > 0))
        return;
    const liz_v16 inverse = liz_v16_set(WIDE_MOST / most);
    for (int i = 0; i < n; i += 16) {
        liz_v16 whole = liz_v16_rint(liz_v16_mul(liz_v16_load(x + i), inverse));
        liz_v16 high = liz_v16_rint(liz_v16_mul(whole, liz_v16_set(1.0f / WIDE_BASE)));
        liz_v16_store_i8(to->high + i, high);
        liz_v16_store_i8(to->low + i, liz_v16_fma(high, liz_v16_set(-WIDE_BASE), whole));
    }
    for (int i = 0; i < n; i++) {
        to->high_sum += to->high[i];
        to->low_sum += to->low[i];
    }
}

/* The products of n stored numbers for each lane, `stride` bytes from four to four, with as many wide ones. */
LIZ_LANE_FN liz_v16 i8_dot(const int8_t *x, size_t stride, const i8_wide *w, int n)
{
    liz_i16 high = liz_i16_begin(w->high_sum), low = liz_i16_begin(w->low_sum);
    for (int i = 0; i < n; i += 4, x += stride) {
        high = liz_i16_dot4(high, x, w->high + i);
        low = liz_i16_dot4(low, x, w->low + i);
    }
    return liz_v16_fma(liz_v16_of_i16(high), liz_v16_set(WIDE_BASE), liz_v16_of_i16(low));
}

/* Bytes of a token's vector, for `place` to put into the page, and its scales. */
LIZ_LANE_FN void i8_store(const float *x, int n_embd, int slot, void *page,
                          size_t (*place)(liz_attn_elem, int, int, int))
{
    for (int i = 0, g = 0; i < n_embd; i += LIZ_GROUP_LEN, g++) {
        int8_t q[LIZ_GROUP_LEN];
        int n = i8_least(n_embd - i, LIZ_GROUP_LEN);
        float d = i8_quantize(x + i, n, q);
        i8_scales(page, n_embd)[g * LIZ_ATTN_PAGE + slot] = liz_f32_to_bf16(d);
        for (int j = 0; j < n; j++)
            ((int8_t *)page)[place(LIZ_ATTN_I8, n_embd, slot, i + j)] = q[j];
    }
}

static void ROWS(store_key_i8)(const float *x, int n_embd, int slot, void *page)
{
    i8_store(x, n_embd, slot, page, liz_attn_k_index);
}

static void ROWS(store_value_i8)(const float *x, int n_embd, int slot, void *page)
{
    i8_store(x, n_embd, slot, page, liz_attn_v_index);
}

LIZ_LANE_FN void query_i8(const float *x, int n_embd, float *q)
{
    i8_wide *groups = (i8_wide *)(void *)q;
    for (int i = 0; i < n_embd; i += LIZ_GROUP_LEN)
        i8_widen(x + i, i8_least(n_embd - i, LIZ_GROUP_LEN), groups++);
}

LIZ_LANE_FN liz_v16 score_half_i8(const int8_t *page, int half, const float *q, int n_embd)
{
    const i8_wide *groups = (const i8_wide *)(const void *)q;
    const int8_t *tile = page + half * 16 * n_embd;
    const uint16_t *scales = i8_scales(page, n_embd) + 16 * half;
    liz_v16 score = liz_v16_zero();
    for (int i = 0; i < n_embd; i += LIZ_GROUP_LEN, scales += LIZ_ATTN_PAGE, groups++) {
        liz_v16 dots = i8_dot(tile + 16 * i, 64, groups, i8_least(n_embd - i, LIZ_GROUP_LEN));
        score = liz_v16_fma(dots, liz_v16_mul(liz_v16_load_bf16(scales), liz_v16_set(groups->d)), score);
    }
    return score;
}

LIZ_LANE_FN void value_page_i8(const int8_t *page, const float *p, int n_embd, float *o)
{
    const uint16_t *scales = i8_scales(page, n_embd);
    for (int first = 0; first < n_embd; first += LIZ_GROUP_LEN, scales += LIZ_ATTN_PAGE) {
        float weights[LIZ_ATTN_PAGE];
        i8_wide w;
        for (int t = 0; t < LIZ_ATTN_PAGE; t += 16) { /* of unseen keys the scales may be anything */
            liz_v16 seen = liz_v16_load(p + t), scaled = liz_v16_mul(seen, liz_v16_load_bf16(scales + t));
            scaled = liz_v16_select(liz_v16_lt(liz_v16_zero(), seen), scaled, liz_v16_zero());
            liz_v16_store(weights + t, scaled);
        }
        i8_widen(weights, LIZ_ATTN_PAGE, &w);
        for (int i = first; i < i8_least(n_embd, first + LIZ_GROUP_LEN); i += 16) {
            liz_v16 dots = i8_dot(page + 4 * i, 4 * (size_t)n_embd, &w, LIZ_ATTN_PAGE);
            liz_v16_store(o + i, liz_v16_fma(dots, liz_v16_set(w.d), liz_v16_load(o + i)));
        }
    }
}

/* ---- The softmax, and blocks together ---- */

/* Scores of 16 keys from key `at`, scaled, minus infinity where the row does not see them. */
LIZ_LANE_FN liz_v16 scaled(const float *s, size_t at, liz_attn_seen seen, float scale, float softcap)
{
    const liz_v16 unseen = liz_v16_set(-INFINITY), cap = liz_v16_set(softcap);
    liz_v16 v = liz_v16_mul(liz_v16_load(s + at), liz_v16_set(scale));
    if (softcap > 0)
        v = liz_v16_mul(liz_v16_tanh(liz_v16_div(v, cap)), cap);
    v = seen.end > at ? liz_v16_keep_n(v, seen.end - at, unseen) : unseen;
    return seen.first > at ? liz_v16_keep_n(unseen, seen.first - at, v) : v;
}

/* First what is greatest in each row, then p: so that many rows are under way at once, not one from end to end. */
LIZ_LANE_FN void softmax_rows(const liz_attn_scores *of, const bool whole, size_t begin, size_t end, float softcap,
                              bool round, float *m, float *l)
{
    const liz_attn_seen all = {0, LIZ_KEY_BLOCK};
    for (size_t i = 0; i < of->n_rows; i++) {
        float *s = of->s + i * LIZ_KEY_BLOCK;
        liz_v16 most = liz_v16_set(-INFINITY);
        for (size_t at = begin; at < end; at += 16) {
            liz_v16 v = scaled(s, at, whole ? all : of->seen[i], of->scale, softcap);
            liz_v16_store(s + at, v);
            most = liz_v16_max(v, most);
        }
        m[i] = liz_v16_max_lane(most);
    }
    for (size_t i = 0; i < of->n_rows; i++) {
        float *s = of->s + i * LIZ_KEY_BLOCK;
        bool any = whole || of->seen[i].first < of->seen[i].end;
        const liz_v16 greatest = liz_v16_set(m[i]);
        liz_v16 sums = liz_v16_zero();
        for (size_t at = begin; at < end; at += LIZ_GROUP_LEN) {
            liz_v16 p[2];
            for (int half = 0; half < 2; half++) {
                p[half] = liz_v16_exp_below(liz_v16_sub(liz_v16_load(s + at + 16 * half), greatest));
                p[half] = round ? liz_v16_round_bf16_positive(p[half]) : p[half];
                p[half] = any ? p[half] : liz_v16_zero();
                sums = liz_v16_add(sums, p[half]);
                if (of->p == NULL)
                    liz_v16_store(s + at + 16 * half, p[half]);
            }
            if (of->p != NULL)
                liz_v16_store_upper(of->p + i * LIZ_KEY_BLOCK + at - begin, p[0], p[1], of->order);
        }
        l[i] = liz_v16_sum(sums);
    }
}

/* Most blocks are seen whole, which spares their copy all masks. */
static void ROWS(attn_softmax)(const liz_attn_scores *of, float *m, float *l)
{
    bool whole = of->begin == 0 && of->end == LIZ_KEY_BLOCK && !(of->softcap > 0) && of->round;
    for (size_t i = 0; i < of->n_rows && whole; i++)
        whole = of->seen[i].first == 0 && of->seen[i].end == LIZ_KEY_BLOCK;
    if (whole)
        softmax_rows(of, true, 0, LIZ_KEY_BLOCK, 0, true, m, l);
    else
        softmax_rows(of, false, of->begin, of->end, of->softcap, of->round, m, l);
}

/* Factors of sixteen rows at a time, then the rows. */
static void ROWS(attn_merge)(const liz_attn_sums *run, const liz_attn_sums *block, size_t n_rows, int n_embd)
{
    for (size_t first = 0; first < n_rows; first += 16) {
        float kept[16], added[16];
        liz_v16 m = liz_v16_load(run->m + first), m_block = liz_v16_load(block->m + first);
        liz_v16 l = liz_v16_load(run->l + first), l_block = liz_v16_load(block->l + first);
        liz_v16 greatest = liz_v16_max(m, m_block);
        liz_v16 f = liz_v16_exp(liz_v16_sub(m, greatest)), g = liz_v16_exp(liz_v16_sub(m_block, greatest));
        liz_v16 sum = liz_v16_add(liz_v16_mul(l, f), liz_v16_mul(l_block, g));
        liz_m16 unmet = liz_v16_lt(l_block, liz_v16_set(0.5f)); /* what is greatest has p = 1, or nothing is a number */
        liz_v16_store(run->m + first, liz_v16_select(unmet, m, greatest));
        liz_v16_store(run->l + first, liz_v16_select(unmet, l, sum));
        liz_v16_store(kept, f);
        liz_v16_store(added, g);
        for (size_t i = first; i < n_rows && i < first + 16; i++) {
            float *o = run->o + i * run->o_stride;
            const float *o_block = block->o + i * block->o_stride;
            const liz_v16 old = liz_v16_set(kept[i - first]), new = liz_v16_set(added[i - first]);
            if (block->l[i] == 0)
                continue;
            for (int j = 0; j < n_embd; j += 16)
                liz_v16_store(o + j,
                              liz_v16_fma(liz_v16_load(o_block + j), new, liz_v16_mul(liz_v16_load(o + j), old)));
        }
    }
}

#define ATTEND_BLOCK(TYPE, ROUND)                                                                                      \
    static void ROWS(attn_query_##TYPE)(const float *x, int n_embd, float *q) { query_##TYPE(x, n_embd, q); }          \
                                                                                                                       \
    static float ROWS(attn_block_##TYPE)(const liz_attn_block *b, float *m, float *o)                                  \
    {                                                                                                                  \
        size_t first_page = b->seen.first / LIZ_GROUP_LEN, end_page = (b->seen.end + 31) / LIZ_GROUP_LEN;              \
        float l;                                                                                                       \
        for (size_t t = 2 * first_page; t < 2 * end_page; t++)                                                         \
            liz_v16_store(b->s + 16 * t, score_half_##TYPE((const void *)b->k[t / 2], t % 2, b->q, b->n_embd_k));      \
        liz_attn_scores scores = {.s = b->s,                                                                           \
                                  .n_rows = 1,                                                                         \
                                  .begin = first_page * LIZ_GROUP_LEN,                                                 \
                                  .end = end_page * LIZ_GROUP_LEN,                                                     \
                                  .seen = &b->seen,                                                                    \
                                  .scale = b->scale,                                                                   \
                                  .softcap = b->softcap,                                                               \
                                  .round = ROUND};                                                                     \
        ROWS(attn_softmax)(&scores, m, &l);                                                                            \
        memset(o, 0, (size_t)b->n_embd_v * sizeof *o);                                                                 \
        for (size_t t = first_page; t < end_page; t++)                                                                 \
            value_page_##TYPE((const void *)b->v[t], b->s + LIZ_GROUP_LEN * t, b->n_embd_v, o);                        \
        return l;                                                                                                      \
    }

ATTEND_BLOCK(bf16, true)
ATTEND_BLOCK(f32, false)
ATTEND_BLOCK(i8, false)

static void ROWS(liz_kernel_attention)(liz_kernel *kernel)
{
#define ATTENTION_ENTRIES(ID, name)                                                                                    \
    kernel->store_key[LIZ_ATTN_##ID] = ROWS(store_key_##name);                                                         \
    kernel->store_value[LIZ_ATTN_##ID] = ROWS(store_value_##name);                                                     \
    kernel->attn_query[LIZ_ATTN_##ID] = ROWS(attn_query_##name);                                                       \
    kernel->attn_block[LIZ_ATTN_##ID] = ROWS(attn_block_##name);
    ATTENTION_ENTRIES(BF16, bf16)
    ATTENTION_ENTRIES(F32, f32)
    ATTENTION_ENTRIES(I8, i8)
    kernel->attn_softmax = ROWS(attn_softmax);
    kernel->attn_merge = ROWS(attn_merge);
}
