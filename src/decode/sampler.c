/* sampler.c - the steps from logits to a token, without ever sorting a vocabulary.
 *
 * A first pass over the logits finds the largest of every block of 64 ids; most steps then look only into blocks that
 * can matter. Candidates that survive are a short list of (key, weight): the key orders them by logit, then lowest id
 * first, as one integer, and no two are equal. One routine does all the choosing: `prefix_select` moves the smallest
 * prefix, in descending key order, whose measure reaches a target to the front: measured by count it is top-k, by
 * weight top-p, and with the id as key and a random target it is the draw itself. It is a radix selection, linear in
 * the worst case.
 *
 * Before top-k, every token is a candidate without being listed ("dense"). Bounds that shorten a list before an exact
 * step are conservative: they only decide what is looked at, never what is kept. */
#include "decode/sampler.h"

#include "base/half.h"
#include "base/philox.h"
#include "decode/prob.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    uint64_t key;
    uint64_t weight;
} candidate;

typedef struct change {
    int32_t token;
    float logit; /* before */
} change;

struct liz_sampler {
    int32_t n_vocab;
    size_t n_blocks;
    float *block_max;    /* [n_blocks] */
    uint64_t *block_sum; /* [n_blocks] */
    candidate *list;     /* [n_vocab] */
    change *changes;     /* [n_vocab + LIZ_PENALTY_LAST] */
    size_t n_changes;
};

/* The logits of one call and what the first pass found. */
typedef struct field {
    const float *logits;
    size_t n;
    float max;
} field;

/* Bounds leave this much room, in logits, for the error of the exponential. */
static const float margin = 1e-3f;

size_t liz_sampler_bytes(int32_t n_vocab)
{
    size_t n = (size_t)n_vocab, n_blocks = n / LIZ_PROB_BLOCK + 1;
    return sizeof(liz_sampler) + n_blocks * (sizeof(float) + sizeof(uint64_t)) + n * sizeof(candidate) +
           (n + LIZ_PENALTY_LAST) * sizeof(change);
}

liz_status liz_sampler_open(liz_sampler **out, int32_t n_vocab, liz_error *err)
{
    if (n_vocab < 1 || n_vocab > LIZ_PROB_VOCAB_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "sampling: a vocabulary of %d tokens: at most %d are possible", n_vocab,
                        LIZ_PROB_VOCAB_MAX);
    liz_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        goto fail;
    size_t n = (size_t)n_vocab;
    sampler->n_vocab = n_vocab;
    sampler->n_blocks = (n + LIZ_PROB_BLOCK - 1) / LIZ_PROB_BLOCK;
    sampler->block_max = calloc(sampler->n_blocks, sizeof *sampler->block_max);
    sampler->block_sum = calloc(sampler->n_blocks, sizeof *sampler->block_sum);
    sampler->list = calloc(n, sizeof *sampler->list);
    sampler->changes = calloc(n + LIZ_PENALTY_LAST, sizeof *sampler->changes);
    if (!sampler->block_max || !sampler->block_sum || !sampler->list || !sampler->changes)
        goto fail;
    *out = sampler;
    return LIZ_OK;
fail:
    liz_sampler_close(sampler);
    return liz_fail(err, LIZ_E_MEMORY, "sampling: no memory for a vocabulary of %d tokens", n_vocab);
}

void liz_sampler_close(liz_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->changes);
    free(sampler->list);
    free(sampler->block_sum);
    free(sampler->block_max);
    free(sampler);
}

/* ---- settings ---- */

static liz_status out_of_range(liz_error *err, const char *name, float value, const char *range)
{
    return liz_fail(err, LIZ_E_USAGE, "sampling: %s is %g: it must be %s", name, (double)value, range);
}

/* Comparisons are written so that NaN fails them. */
liz_status liz_sampling_check(const liz_sampling *s, int32_t n_vocab, liz_error *err)
{
    if (!(s->temperature == 0 || (s->temperature >= 1e-6f && s->temperature <= 1e6f)))
        return out_of_range(err, "temperature", s->temperature, "0, or from 1e-6 to 1e6");
    if (s->top_k < 0)
        return liz_fail(err, LIZ_E_USAGE, "sampling: top_k is %d: it must be 0 or more", s->top_k);
    if (!(s->top_p == 0 || (s->top_p >= 1e-6f && s->top_p <= 1)))
        return out_of_range(err, "top_p", s->top_p, "0, or from 1e-6 to 1");
    if (!(s->min_p == 0 || (s->min_p >= 1e-9f && s->min_p <= 1)))
        return out_of_range(err, "min_p", s->min_p, "0, or from 1e-9 to 1");
    if (!(s->repeat_penalty == 0 || (s->repeat_penalty >= 0.01f && s->repeat_penalty <= 100)))
        return out_of_range(err, "repeat_penalty", s->repeat_penalty, "0, or from 0.01 to 100");
    if (!(fabsf(s->frequency_penalty) <= 1000))
        return out_of_range(err, "frequency_penalty", s->frequency_penalty, "from -1000 to 1000");
    if (!(fabsf(s->presence_penalty) <= 1000))
        return out_of_range(err, "presence_penalty", s->presence_penalty, "from -1000 to 1000");
    if (s->n_bias > (size_t)n_vocab)
        return liz_fail(err, LIZ_E_USAGE, "sampling: %zu logit biases: there are only %d tokens", s->n_bias, n_vocab);
    for (size_t i = 0; i < s->n_bias; i++) {
        const liz_logit_bias *b = &s->bias[i];
        if (b->token < 0 || b->token >= n_vocab)
            return liz_fail(err, LIZ_E_USAGE, "sampling: logit bias for token %d: the vocabulary ends at %d", b->token,
                            n_vocab - 1);
        if (!(b->bias <= 1e6f && (b->bias >= -1e6f || b->bias == -INFINITY)))
            return out_of_range(err, "a logit bias", b->bias, "from -1e6 to 1e6, or -infinity");
    }
    return LIZ_OK;
}

/* ---- logit bias and penalties ---- */

static void logit_set(liz_sampler *sampler, float *logits, int32_t token, float logit)
{
    sampler->changes[sampler->n_changes++] = (change){token, logits[token]};
    logits[token] = logit;
}

static void logits_restore(liz_sampler *sampler, float *logits)
{
    while (sampler->n_changes > 0) {
        const change *c = &sampler->changes[--sampler->n_changes];
        logits[c->token] = c->logit;
    }
}

static bool penalties_on(const liz_sampling *s)
{
    return (s->repeat_penalty != 0 && s->repeat_penalty != 1) || s->frequency_penalty != 0 || s->presence_penalty != 0;
}

static float logit_penalised(const liz_sampling *s, float logit, int n_times)
{
    if (s->repeat_penalty != 0)
        logit = logit > 0 ? logit / s->repeat_penalty : logit * s->repeat_penalty;
    logit = logit - (float)n_times * s->frequency_penalty;
    return logit - s->presence_penalty;
}

/* Each distinct token once: at its first place among the recent ones. */
static void penalties_apply(liz_sampler *sampler, const liz_sampling *s, float *logits, const int32_t *recent, size_t n)
{
    if (n > LIZ_PENALTY_LAST) {
        recent += n - LIZ_PENALTY_LAST;
        n = LIZ_PENALTY_LAST;
    }
    for (size_t i = 0; i < n; i++) {
        int n_before = 0, n_times = 0;
        for (size_t j = 0; j < n; j++) {
            n_times += recent[j] == recent[i];
            n_before += j < i && recent[j] == recent[i];
        }
        if (n_before == 0)
            logit_set(sampler, logits, recent[i], logit_penalised(s, logits[recent[i]], n_times));
    }
}

/* ---- candidates ---- */

/* Floats as integers of the same order; -0 is made 0 first. */
static uint64_t key_of(float logit, int32_t id)
{
    uint32_t bits = liz_f32_bits(logit + 0.0f);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (0xFFFFFFFFu - (uint32_t)id);
}

static int32_t key_id(uint64_t key) { return (int32_t)(0xFFFFFFFFu - (uint32_t)key); }

static void candidate_swap(candidate *a, candidate *b)
{
    candidate t = *a;
    *a = *b;
    *b = t;
}

/* Reorders list [n] by the digit at `shift`: those above `digit`, those equal to it, those below. */
static void digit_partition(candidate *list, size_t n, int shift, unsigned digit, size_t *n_above, size_t *n_equal)
{
    size_t above = 0, at = 0, below = n;
    while (at < below) {
        unsigned d = list[at].key >> shift & 0xFF;
        if (d > digit)
            candidate_swap(&list[above++], &list[at++]);
        else if (d < digit)
            candidate_swap(&list[--below], &list[at]);
        else
            at++;
    }
    *n_above = above;
    *n_equal = at - above;
}

/* Moves to the front the least number of candidates, in descending order of keys, whose measure (their weight, or 1
 * each) sums to `target` or more, and returns that number; the last of them in order ends up last. 1 <= target <= the
 * sum of all. */
static size_t prefix_select(candidate *list, size_t n, uint64_t target, bool by_weight)
{
    size_t begin = 0, end = n; /* before `begin` all are kept; from `end` none */
    uint64_t sum = 0;          /* of those before `begin` */
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint64_t sums[256] = {0};
        for (size_t i = begin; i < end; i++)
            sums[list[i].key >> shift & 0xFF] += by_weight ? list[i].weight : 1;
        unsigned digit = 255;
        for (; digit > 0 && sum + sums[digit] < target; digit--)
            sum += sums[digit];
        size_t n_above, n_equal;
        digit_partition(list + begin, end - begin, shift, digit, &n_above, &n_equal);
        begin += n_above;
        end = begin + n_equal;
    }
    return end;
}

/* Lists the tokens whose logit is at least `bound`, impossible ones never, with their weights at temperature 1. */
static size_t candidates_gather(liz_sampler *sampler, const field *f, float bound)
{
    size_t n = 0;
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        if (sampler->block_max[block] < bound)
            continue;
        size_t begin = block * LIZ_PROB_BLOCK, end = begin + LIZ_PROB_BLOCK < f->n ? begin + LIZ_PROB_BLOCK : f->n;
        for (size_t i = begin; i < end; i++)
            if (f->logits[i] >= bound && f->logits[i] > -INFINITY)
                sampler->list[n++] =
                    (candidate){key_of(f->logits[i], (int32_t)i), liz_prob_weight(f->logits[i], f->max, 1)};
    }
    return n;
}

/* A logit that the k-th largest is not below: the k-th largest among the blocks' largest. */
static float top_k_bound(liz_sampler *sampler, size_t k)
{
    if (k > sampler->n_blocks)
        return -INFINITY;
    for (size_t i = 0; i < sampler->n_blocks; i++)
        sampler->list[i] = (candidate){.key = key_of(sampler->block_max[i], (int32_t)i)};
    prefix_select(sampler->list, sampler->n_blocks, k, false);
    return sampler->block_max[key_id(sampler->list[k - 1].key)];
}

static size_t top_k_keep(liz_sampler *sampler, const field *f, size_t k)
{
    size_t n = candidates_gather(sampler, f, top_k_bound(sampler, k));
    return n > k ? prefix_select(sampler->list, n, k, false) : n;
}

/* ceil(a * b / 2^53), rounded down instead where `down`. */
static uint64_t scale53(uint64_t a, uint64_t b, bool down)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)((product + (down ? 0 : ((uint64_t)1 << 53) - 1)) >> 53);
}

/* The weight that a prefix must reach to hold a share `top_p` of `total`. */
static uint64_t nucleus_target(float top_p, uint64_t total)
{
    return scale53((uint64_t)ceil((double)top_p * 0x1p53), total, false);
}

/* The nucleus of all tokens. One that belongs to it has `total - target` or more in itself and those after it, of which
 * none is heavier: what is lighter than an n-th of that need not be looked at. */
static size_t nucleus_of_all(liz_sampler *sampler, const field *f, float top_p)
{
    uint64_t total = liz_prob_sum(f->logits, f->n, f->max, 1, NULL);
    uint64_t target = nucleus_target(top_p, total);
    double weight_min = (double)((total - target) / f->n + 1) * 0x1p-40;
    float bound = (float)((double)f->max + liz_prob_log(weight_min)) - margin;
    size_t n = candidates_gather(sampler, f, bound);
    return prefix_select(sampler->list, n, target, true);
}

static size_t nucleus_of_list(liz_sampler *sampler, size_t n, float top_p)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += sampler->list[i].weight;
    return prefix_select(sampler->list, n, nucleus_target(top_p, total), true);
}

static size_t min_p_keep(liz_sampler *sampler, size_t n, float min_p)
{
    uint64_t weight_min = (uint64_t)ceil((double)min_p * 0x1p40);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++)
        if (sampler->list[i].weight >= weight_min)
            sampler->list[n_kept++] = sampler->list[i];
    return n_kept;
}

/* ---- the choice ---- */

static int32_t token_likeliest(const liz_sampler *sampler, const field *f)
{
    size_t block = 0;
    while (sampler->block_max[block] != f->max)
        block++;
    size_t i = block * LIZ_PROB_BLOCK;
    while (f->logits[i] != f->max)
        i++;
    return (int32_t)i;
}

/* A number below `total`: the draw in [0, 1) times it, rounded down. */
static uint64_t draw_below(uint64_t total, uint64_t seed, uint64_t position)
{
    return scale53((uint64_t)(liz_draw(seed, position) * 0x1p53), total, true);
}

/* The first token in id order at which the cumulative weight exceeds the draw. */
static int32_t draw_from_all(liz_sampler *sampler, const field *f, float inv_temp, uint64_t seed, uint64_t position)
{
    uint64_t total = liz_prob_sum(f->logits, f->n, f->max, inv_temp, sampler->block_sum);
    uint64_t rest = draw_below(total, seed, position);
    size_t block = 0;
    for (; rest >= sampler->block_sum[block]; block++)
        rest -= sampler->block_sum[block];
    for (size_t i = block * LIZ_PROB_BLOCK;; i++) {
        uint64_t weight = liz_prob_weight(f->logits[i], f->max, inv_temp);
        if (rest < weight)
            return (int32_t)i;
        rest -= weight;
    }
}

static int32_t draw_from_list(liz_sampler *sampler, size_t n, const field *f, float inv_temp, uint64_t seed,
                              uint64_t position)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        candidate *c = &sampler->list[i];
        int32_t id = key_id(c->key);
        *c = (candidate){(uint32_t)c->key, liz_prob_weight(f->logits[id], f->max, inv_temp)};
        total += c->weight;
    }
    size_t n_upto = prefix_select(sampler->list, n, draw_below(total, seed, position) + 1, true);
    return key_id(sampler->list[n_upto - 1].key);
}

static int32_t choose(liz_sampler *sampler, const liz_sampling *s, const field *f, uint64_t position)
{
    const float inv_temp = 1.0f / s->temperature;
    bool nucleus = s->top_p > 0 && s->top_p < 1, listed = false;
    size_t n = 0;
    if (s->top_k > 0 && (size_t)s->top_k < f->n) {
        n = top_k_keep(sampler, f, (size_t)s->top_k);
        listed = true;
    }
    if (nucleus) {
        n = listed ? nucleus_of_list(sampler, n, s->top_p) : nucleus_of_all(sampler, f, s->top_p);
        listed = true;
    }
    if (s->min_p > 0) {
        if (!listed)
            n = candidates_gather(sampler, f, (float)((double)f->max + liz_prob_log((double)s->min_p)) - margin);
        n = min_p_keep(sampler, n, s->min_p);
        listed = true;
    }
    if (!listed)
        return draw_from_all(sampler, f, inv_temp, s->seed, position);
    return draw_from_list(sampler, n, f, inv_temp, s->seed, position);
}

int32_t liz_sampler_choose(liz_sampler *sampler, const liz_sampling *s, float *logits, const int32_t *recent,
                           size_t n_recent, uint64_t position)
{
    field f = {logits, (size_t)sampler->n_vocab, 0};
    int32_t token;
    for (size_t i = 0; i < s->n_bias; i++)
        logit_set(sampler, logits, s->bias[i].token, logits[s->bias[i].token] + s->bias[i].bias);
    if (penalties_on(s))
        penalties_apply(sampler, s, logits, recent, n_recent);
    if (!liz_prob_scan(logits, f.n, sampler->block_max, &f.max))
        token = LIZ_CHOICE_NAN;
    else if (f.max == -INFINITY)
        token = LIZ_CHOICE_NONE;
    else
        token = s->temperature == 0 ? token_likeliest(sampler, &f) : choose(sampler, s, &f, position);
    logits_restore(sampler, logits);
    return token;
}

/* ---- log-probabilities ---- */

static void list_sort(candidate *list, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && list[j].key > list[j - 1].key; j--)
            candidate_swap(&list[j], &list[j - 1]);
}

double liz_sampler_logprobs(liz_sampler *sampler, const float *logits, int n_top, liz_token_logprob *top, int *n_found)
{
    field f = {logits, (size_t)sampler->n_vocab, 0};
    if (n_found != NULL)
        *n_found = 0;
    if (!liz_prob_scan(logits, f.n, sampler->block_max, &f.max) || f.max == -INFINITY)
        return NAN;
    uint64_t total = liz_prob_sum(logits, f.n, f.max, 1, NULL);
    double norm = (double)f.max + liz_prob_log((double)total * 0x1p-40);
    if (n_top == 0)
        return norm;
    size_t n = top_k_keep(sampler, &f, (size_t)n_top);
    list_sort(sampler->list, n);
    for (size_t i = 0; i < n; i++) {
        int32_t id = key_id(sampler->list[i].key);
        top[i] = (liz_token_logprob){id, (float)((double)logits[id] - norm)};
    }
    *n_found = (int)n;
    return norm;
}
