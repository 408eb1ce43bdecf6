/* sampler.c - the steps from logits to a token, without ever sorting a vocabulary.
 *
 * Top-k, top-p and min-p each keep the tokens down to some place in the order "larger logit first, then lower id", so
 * what survives is described by that place alone: the cut. Every step moves it up; the draw is a sum over the tokens
 * inside it. Typical and XTC also take tokens from the upper end: those are forbidden like any other, and undone with
 * the rest.
 *
 * A first pass finds the largest logit of every block of 64 ids, and later passes skip blocks that lie outside. To find
 * a cut, tokens are counted (or their weights summed) into bins by their distance from the largest logit; only in the
 * bin where the sum reaches its target are tokens listed and selected exactly, by radix, on a key that orders them as
 * one integer. Bounds that shorten a pass are conservative: they decide what is looked at, never what is kept. */
#include "decode/sampler.h"

#include "base/half.h"
#include "base/philox.h"
#include "decode/adjust.h"
#include "decode/prob.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    uint64_t key;
    uint64_t measure; /* its weight, or 1 */
} candidate;

/* What survives: tokens with a larger logit, and those with this logit up to this id. */
typedef struct cut {
    float logit;
    int32_t id;
} cut;

static const cut cut_none = {-INFINITY, INT32_MAX};
static const float xtc_threshold_standard = 0.1f;

enum { SURPRISE_UNIT = 65536, SURPRISE_STEP = 1024, N_DISTANCES = 28 * SURPRISE_UNIT / SURPRISE_STEP + 1 };

struct liz_sampler {
    const liz_prob_ops *prob;
    int32_t n_vocab;
    size_t n_blocks;
    float *block_max;    /* [n_blocks] */
    uint64_t *block_sum; /* [n_blocks] */
    candidate *list;     /* [n_vocab] */
    liz_adjuster *adjuster;
};

/* The logits of one call, and the largest of what is left. */
typedef struct field {
    const float *logits;
    size_t n;
    float max;
    float *changing; /* the logits, where they may be changed */
} field;

/* The sampler's arrays lie behind it in one block; returns its bytes. */
static size_t place(liz_sampler *s, int32_t n_vocab, uint8_t *block)
{
    liz_carver c = {.base = block};
    (void)liz_carve(&c, 1, sizeof *s);
    s->n_vocab = n_vocab;
    s->n_blocks = liz_div_up((size_t)n_vocab, LIZ_PROB_BLOCK);
    s->block_max = liz_carve(&c, s->n_blocks, sizeof *s->block_max);
    s->block_sum = liz_carve(&c, s->n_blocks, sizeof *s->block_sum);
    s->list = liz_carve(&c, (size_t)n_vocab, sizeof *s->list);
    s->adjuster = liz_adjuster_place(&c, n_vocab);
    return (size_t)c.used;
}

size_t liz_sampler_bytes(int32_t n_vocab) { return place(&(liz_sampler){0}, n_vocab, NULL); }

liz_status liz_sampler_open(liz_sampler **out, int32_t n_vocab, int n_lanes, liz_error *err)
{
    if (n_vocab < 1 || n_vocab > LIZ_PROB_VOCAB_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "sampling: a vocabulary of %d tokens: at most %d are possible", n_vocab,
                        LIZ_PROB_VOCAB_MAX);
    liz_sampler *sampler = calloc(1, liz_sampler_bytes(n_vocab));
    if (sampler == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "sampling: no memory for a vocabulary of %d tokens", n_vocab);
    place(sampler, n_vocab, (uint8_t *)sampler);
    sampler->prob = liz_prob_ops_of(n_lanes);
    *out = sampler;
    return LIZ_OK;
}

void liz_sampler_close(liz_sampler *sampler) { free(sampler); }

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

/* Moves to the front the least number of candidates, in descending order of keys, whose measures sum to `target` or
 * more, and returns that number; the last of them in order ends up last. 1 <= target <= the sum of all. */
static size_t prefix_select(candidate *list, size_t n, uint64_t target)
{
    size_t begin = 0, end = n; /* before `begin` all are kept; from `end` none */
    uint64_t sum = 0;          /* of those before `begin` */
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint64_t sums[256] = {0};
        for (size_t i = begin; i < end; i++)
            sums[list[i].key >> shift & 0xFF] += list[i].measure;
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

/* ---- cuts ---- */

static bool cut_has(cut c, float logit, size_t id)
{
    return logit > c.logit || (logit == c.logit && (int32_t)id <= c.id);
}

/* A logit that is surely below all that are less than `distance` below the largest, whatever was rounded. */
static float bound_at(const field *f, double distance)
{
    double max = (double)f->max;
    return (float)(max - distance - 1e-3 - fabs(max) * 0x1p-22);
}

static size_t block_end(const field *f, size_t block)
{
    size_t end = (block + 1) * LIZ_PROB_BLOCK;
    return end < f->n ? end : f->n;
}

/* The bins of a block's tokens, LIZ_PROB_BINS for those outside `c` or below `bound`, which is not below c.logit. */
static void block_bins(const liz_sampler *sampler, const field *f, cut c, float bound, size_t block,
                       int32_t bins[LIZ_PROB_BLOCK])
{
    size_t begin = block * LIZ_PROB_BLOCK, end = block_end(f, block);
    sampler->prob->bins(f->logits + begin, end - begin, f->max, bound, bins);
    for (size_t i = begin; i < end && bound == c.logit && (int32_t)end > c.id; i++)
        if (!cut_has(c, f->logits[i], i))
            bins[i - begin] = LIZ_PROB_BINS;
}

/* Sums the tokens inside `c` and not below `bound` into bins: their weights at temperature 1, or 1 each. */
static void bins_fill(const liz_sampler *sampler, const field *f, cut c, float bound, bool by_weight,
                      uint64_t sums[LIZ_PROB_BINS + 1])
{
    uint64_t weights[LIZ_PROB_BLOCK];
    int32_t bins[LIZ_PROB_BLOCK];
    memset(sums, 0, (LIZ_PROB_BINS + 1) * sizeof *sums);
    for (size_t i = 0; i < LIZ_PROB_BLOCK; i++)
        weights[i] = 1;
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        size_t begin = block * LIZ_PROB_BLOCK;
        if (sampler->block_max[block] < bound)
            continue;
        if (by_weight)
            sampler->prob->weights(f->logits + begin, block_end(f, block) - begin, f->max, 1, weights);
        block_bins(sampler, f, c, bound, block, bins);
        for (size_t i = 0; i < LIZ_PROB_BLOCK; i++)
            sums[bins[i]] += weights[i];
    }
}

/* Lists the tokens inside `c` that are not below `bound` and, unless `bin` is LIZ_PROB_BINS, in that bin. */
static size_t candidates_list(liz_sampler *sampler, const field *f, cut c, float bound, int32_t bin, bool by_weight)
{
    int32_t bins[LIZ_PROB_BLOCK];
    size_t n = 0;
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        if (sampler->block_max[block] < bound)
            continue;
        block_bins(sampler, f, c, bound, block, bins);
        for (size_t i = 0; i < LIZ_PROB_BLOCK; i++) {
            size_t id = block * LIZ_PROB_BLOCK + i;
            if (bin == LIZ_PROB_BINS ? bins[i] < bin : bins[i] == bin)
                sampler->list[n++] = (candidate){key_of(f->logits[id], (int32_t)id),
                                                 by_weight ? liz_prob_weight(f->logits[id], f->max, 1) : 1};
        }
    }
    return n;
}

/* The cut after the shortest prefix of the tokens inside `c` whose measure reaches `target`, known not to go below
 * `bound`. */
static cut cut_at(liz_sampler *sampler, const field *f, cut c, float bound, uint64_t target, bool by_weight)
{
    uint64_t sums[LIZ_PROB_BINS + 1], sum = 0;
    int32_t bin = 0;
    bins_fill(sampler, f, c, bound, by_weight, sums);
    for (; bin < LIZ_PROB_BINS - 1 && sum + sums[bin] < target; bin++)
        sum += sums[bin];
    float bin_bound = bin < LIZ_PROB_BINS - 1 ? bound_at(f, (double)(bin + 1) / LIZ_PROB_BINS_A_UNIT) : bound;
    size_t n = candidates_list(sampler, f, c, bin_bound > bound ? bin_bound : bound, bin, by_weight);
    LIZ_ASSERT(n > 0);
    int32_t id = key_id(sampler->list[prefix_select(sampler->list, n, target - sum) - 1].key);
    return (cut){f->logits[id], id};
}

/* A logit that the k-th largest is not below: the k-th largest among the blocks' largest. */
static float top_k_bound(liz_sampler *sampler, size_t k)
{
    size_t n = sampler->n_blocks;
    if (k > n)
        return -INFINITY;
    for (size_t i = 0; i < n; i++)
        sampler->list[i] = (candidate){key_of(sampler->block_max[i], (int32_t)i), 1};
    return sampler->block_max[key_id(sampler->list[prefix_select(sampler->list, n, k) - 1].key)];
}

static cut cut_top_k(liz_sampler *sampler, const field *f, size_t k)
{
    if (k >= f->n)
        return cut_none;
    return cut_at(sampler, f, cut_none, top_k_bound(sampler, k), k, false);
}

/* ceil(a * b / 2^53), rounded down instead where `down`. */
static uint64_t scale53(uint64_t a, uint64_t b, bool down)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)((product + (down ? 0 : ((uint64_t)1 << 53) - 1)) >> 53);
}

/* The sum of the weights inside `c`, and each block's into `block_sum`. */
static uint64_t cut_sum(liz_sampler *sampler, const field *f, cut c, float inv_temp)
{
    uint64_t total = 0;
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        uint64_t sum = 0;
        size_t begin = block * LIZ_PROB_BLOCK, end = block_end(f, block);
        if (sampler->block_max[block] >= c.logit) {
            size_t border = (size_t)c.id + 1; /* from here an equal logit is outside */
            border = border < begin ? begin : border > end ? end : border;
            sum = sampler->prob->sum(f->logits + begin, border - begin, f->max, inv_temp, c.logit, false) +
                  sampler->prob->sum(f->logits + border, end - border, f->max, inv_temp, c.logit, true);
        }
        sampler->block_sum[block] = sum;
        total += sum;
    }
    return total;
}

/* A logit that the nucleus does not go below. Most are small: if the tokens down to the bound of the NUCLEUS_GUESS
 * likeliest weigh enough, that is it. Otherwise: a token of the nucleus has more than `total - target` in itself and
 * those after it, none of which is heavier (but for rounding), so it weighs more than an n-th of that. */
static float nucleus_bound(liz_sampler *sampler, const field *f, cut c, uint64_t total, uint64_t target)
{
    enum { NUCLEUS_GUESS = 256 };
    float guess = top_k_bound(sampler, NUCLEUS_GUESS);
    if (guess > c.logit && cut_sum(sampler, f, (cut){guess, INT32_MAX}, 1) >= target)
        return guess;
    uint64_t share = (total - target) / f->n;
    float bound = bound_at(f, -liz_prob_log((share > 3 ? (double)(share - 2) : 1) * 0x1p-40));
    return bound > c.logit ? bound : c.logit;
}

static cut cut_top_p(liz_sampler *sampler, const field *f, cut c, float top_p)
{
    uint64_t total = cut_sum(sampler, f, c, 1);
    uint64_t target = scale53((uint64_t)ceil((double)top_p * 0x1p53), total, false);
    return cut_at(sampler, f, c, nucleus_bound(sampler, f, c, total, target), target, true);
}

/* Forbids the tokens before this one, which becomes the likeliest. */
static void top_forbid(liz_sampler *sampler, field *f, float logit, int32_t id)
{
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        float most = -INFINITY;
        if (sampler->block_max[block] < logit)
            continue;
        for (size_t i = block * LIZ_PROB_BLOCK; i < block_end(f, block); i++) {
            if (f->logits[i] > logit || (f->logits[i] == logit && i < (size_t)id))
                liz_adjust_set(sampler->adjuster, f->changing, (int32_t)i, -INFINITY);
            most = f->logits[i] > most ? f->logits[i] : most;
        }
        sampler->block_max[block] = most;
    }
    f->max = logit;
}

/* How much less likely than the largest, in 2^-16 nats. */
static uint32_t surprise_of(const field *f, float logit)
{
    float distance = f->max - logit;
    return (uint32_t)((distance < 28 ? distance : 28) * SURPRISE_UNIT);
}

static uint32_t distance_of(const field *f, float logit, uint32_t mean)
{
    uint32_t surprise = surprise_of(f, logit);
    return surprise > mean ? surprise - mean : mean - surprise;
}

/* The mean surprise of the tokens inside `c`, by weight; and the sum of their weights. */
static uint32_t surprise_mean(const liz_sampler *sampler, const field *f, cut c, uint64_t *total)
{
    unsigned __int128 sum = 0;
    *total = 0;
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        uint64_t weights[LIZ_PROB_BLOCK], part = 0; /* a weight times its surprise is below 2^55 */
        size_t begin = block * LIZ_PROB_BLOCK, end = block_end(f, block);
        sampler->prob->weights(f->logits + begin, end - begin, f->max, 1, weights);
        for (size_t i = begin; i < end; i++) {
            uint64_t weight = cut_has(c, f->logits[i], i) ? weights[i - begin] : 0;
            *total += weight;
            part += weight * surprise_of(f, f->logits[i]);
        }
        sum += part;
    }
    return (uint32_t)(sum / *total);
}

/* Sums the weights of the tokens inside `c` by their distance from the mean: all, in steps of SURPRISE_STEP, or those
 * in step `only` one by one. */
static void distances_sum(const liz_sampler *sampler, const field *f, cut c, uint32_t mean, uint32_t only,
                          uint64_t *sums)
{
    memset(sums, 0, N_DISTANCES * sizeof *sums);
    for (size_t block = 0; block < sampler->n_blocks; block++) {
        uint64_t weights[LIZ_PROB_BLOCK];
        size_t begin = block * LIZ_PROB_BLOCK, end = block_end(f, block);
        sampler->prob->weights(f->logits + begin, end - begin, f->max, 1, weights);
        for (size_t i = begin; i < end; i++) {
            uint32_t distance = distance_of(f, f->logits[i], mean);
            if (!cut_has(c, f->logits[i], i))
                continue;
            if (only == N_DISTANCES)
                sums[distance / SURPRISE_STEP] += weights[i - begin];
            else if (distance / SURPRISE_STEP == only)
                sums[distance % SURPRISE_STEP] += weights[i - begin];
        }
    }
}

/* Moves `*rest` on to what is left of it in the sum that it ends in. */
static uint32_t sums_walk(const uint64_t *sums, uint64_t *rest)
{
    uint32_t i = 0;
    for (; sums[i] < *rest; i++)
        *rest -= sums[i];
    return i;
}

/* Keeps the tokens whose surprise is nearest to the mean, so many that they weigh enough, and all that are as near as
 * the last of them. */
static cut cut_typical(liz_sampler *sampler, field *f, cut c, float typical_p)
{
    uint64_t total, sums[N_DISTANCES];
    uint32_t mean = surprise_mean(sampler, f, c, &total);
    uint64_t rest = scale53((uint64_t)ceil((double)typical_p * 0x1p53), total, false);
    distances_sum(sampler, f, c, mean, N_DISTANCES, sums);
    uint32_t step = sums_walk(sums, &rest);
    distances_sum(sampler, f, c, mean, step, sums);
    uint32_t reach = step * SURPRISE_STEP + sums_walk(sums, &rest);
    float least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < f->n; i++) {
        float logit = f->logits[i];
        if (!cut_has(c, logit, i) || distance_of(f, logit, mean) > reach || liz_prob_weight(logit, f->max, 1) == 0)
            continue;
        least = logit < least ? logit : least;
        most = logit > most ? logit : most;
    }
    top_forbid(sampler, f, most, 0);
    return least > c.logit ? (cut){least, INT32_MAX} : c;
}

static cut cut_min_p(const field *f, cut c, float min_p)
{
    float logit = (float)((double)f->max + liz_prob_log((double)min_p));
    return logit > c.logit ? (cut){logit, INT32_MAX} : c;
}

/* Where the draw says so: forbids the tokens of at least this probability, but for the last of them. */
static void xtc_apply(liz_sampler *sampler, field *f, cut c, const liz_sampling *s, uint64_t position)
{
    double threshold = (double)(s->xtc_threshold != 0 ? s->xtc_threshold : xtc_threshold_standard);
    if (liz_draw(s->seed, position, LIZ_DRAW_XTC) >= (double)s->xtc_probability)
        return;
    uint64_t least = scale53((uint64_t)ceil(threshold * 0x1p53), cut_sum(sampler, f, c, 1), false), last = UINT64_MAX;
    float bound = bound_at(f, -liz_prob_log(threshold));
    size_t n = candidates_list(sampler, f, c, bound > c.logit ? bound : c.logit, LIZ_PROB_BINS, true);
    for (size_t i = 0; i < n; i++)
        if (sampler->list[i].measure >= least && sampler->list[i].key < last)
            last = sampler->list[i].key;
    if (last != UINT64_MAX)
        top_forbid(sampler, f, f->logits[key_id(last)], key_id(last));
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

/* The first token in id order at which the cumulative weight of those inside `c` exceeds the draw. */
static int32_t token_draw(liz_sampler *sampler, const field *f, cut c, const liz_sampling *s, uint64_t position)
{
    float inv_temp = 1.0f / s->temperature;
    uint64_t total = cut_sum(sampler, f, c, inv_temp);
    uint64_t rest = scale53((uint64_t)(liz_draw(s->seed, position, LIZ_DRAW_TOKEN) * 0x1p53), total, true);
    size_t block = 0;
    for (; rest >= sampler->block_sum[block]; block++)
        rest -= sampler->block_sum[block];
    for (size_t i = block * LIZ_PROB_BLOCK;; i++) {
        uint64_t weight = cut_has(c, f->logits[i], i) ? liz_prob_weight(f->logits[i], f->max, inv_temp) : 0;
        if (rest < weight)
            return (int32_t)i;
        rest -= weight;
    }
}

static int32_t token_choose(liz_sampler *sampler, field *f, const liz_sampling *s, uint64_t position)
{
    cut c = cut_none;
    if (s->temperature == 0)
        return token_likeliest(sampler, f);
    if (s->top_k > 0)
        c = cut_top_k(sampler, f, (size_t)s->top_k);
    if (s->typical_p > 0 && s->typical_p < 1)
        c = cut_typical(sampler, f, c, s->typical_p);
    if (s->top_p > 0 && s->top_p < 1)
        c = cut_top_p(sampler, f, c, s->top_p);
    if (s->min_p > 0)
        c = cut_min_p(f, c, s->min_p);
    if (s->xtc_probability > 0)
        xtc_apply(sampler, f, c, s, position);
    return token_draw(sampler, f, c, s, position);
}

int32_t liz_sampler_choose(liz_sampler *sampler, const liz_sampling *s, float *logits, const liz_history *history,
                           uint64_t position)
{
    field f = {.logits = logits, .n = (size_t)sampler->n_vocab, .changing = logits};
    int32_t token;
    liz_adjust(sampler->adjuster, s, history, logits);
    if (!sampler->prob->scan(logits, f.n, sampler->block_max, &f.max))
        token = LIZ_CHOICE_NAN;
    else if (f.max == -INFINITY)
        token = LIZ_CHOICE_NONE;
    else
        token = token_choose(sampler, &f, s, position);
    liz_adjust_undo(sampler->adjuster, logits);
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
    field f = {.logits = logits, .n = (size_t)sampler->n_vocab};
    if (n_found != NULL)
        *n_found = 0;
    if (!sampler->prob->scan(logits, f.n, sampler->block_max, &f.max) || f.max == -INFINITY)
        return NAN;
    uint64_t total = sampler->prob->sum(logits, f.n, f.max, 1, -INFINITY, false);
    double norm = (double)f.max + liz_prob_log((double)total * 0x1p-40);
    if (n_top == 0)
        return norm;
    cut c = cut_top_k(sampler, &f, (size_t)n_top);
    if (c.logit == -INFINITY)
        c.id = -1; /* impossible tokens are no alternatives */
    size_t n = candidates_list(sampler, &f, c, c.logit, LIZ_PROB_BINS, false);
    list_sort(sampler->list, n);
    for (size_t i = 0; i < n; i++) {
        int32_t id = key_id(sampler->list[i].key);
        top[i] = (liz_token_logprob){id, (float)((double)logits[id] - norm)};
    }
    *n_found = (int)n;
    return norm;
}
