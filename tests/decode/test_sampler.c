/* test_sampler.c - the sampler against a slow one that sorts everything, on many kinds of logits and settings; its
 * exponential and logarithm against the C library's; and what must be refused. A failure names its seed. */
#include "base/philox.h"
#include "decode/prob.h"
#include "decode/sampler.h"
#include "sys/cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_MAX = 40000, N_ROUNDS = 6000 };

static const liz_history nothing = {0};
static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state++;
    liz_philox r = liz_philox4x32(7, (liz_philox){{(uint32_t)random_state, (uint32_t)(random_state >> 32), 0, 0}});
    return (uint64_t)r.v[1] << 32 | r.v[0];
}
static int below(int n) { return (int)(random_next() % (uint64_t)n); }
static float uniform(void) { return (float)(random_next() >> 40) * 0x1p-24f; }

/* Widths that this machine has. */
static int n_widths(void)
{
    liz_tier_id tier = liz_cpu_tier_best();
    return tier == LIZ_TIER_C ? 1 : tier == LIZ_TIER_AVX2 ? 2 : 3;
}
static int lanes_any(void) { return 4 << below(n_widths()); }

/* ---- the oracle: docs/sampling.md, sentence by sentence ---- */

typedef struct entry {
    int32_t id;
    float logit;
} entry;

static int by_logit(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

/* The longest run that ends before `at` and equals the end of the window, whose own run holds no breaker. */
static int oracle_match(const int32_t *window, const uint8_t *breaks, int n, int at)
{
    int len = 0;
    while (len < at && window[at - 1 - len] == window[n - 1 - len] && !breaks[n - 1 - len])
        len++;
    return len;
}

static void oracle_dry(const liz_sampling *s, float *logits, const liz_history *h)
{
    int n = h->n < (size_t)s->dry_range ? (int)h->n : s->dry_range;
    const int32_t *window = h->tokens + h->n - n;
    const uint8_t *breaks = h->breaks + h->n - n;
    for (int first = 1; first < n; first++) {
        int longest = 0;
        bool seen = false;
        for (int i = 0; i < first; i++)
            seen = seen || (i > 0 && window[i] == window[first]);
        for (int at = 1; at < n && !seen; at++)
            if (window[at] == window[first] && !breaks[at] && oracle_match(window, breaks, n, at) > longest)
                longest = oracle_match(window, breaks, n, at);
        if (seen || longest < s->dry_allowed_length)
            continue;
        float penalty = s->dry_multiplier;
        for (int i = 0; i < longest - s->dry_allowed_length && i < 64; i++)
            penalty = fminf(penalty * s->dry_base, 1e9f);
        logits[window[first]] -= penalty;
    }
}

static void oracle_adjust(const liz_sampling *s, float *logits, const liz_history *h)
{
    const int32_t *recent = h->tokens;
    size_t n_recent = h->n;
    for (size_t i = 0; i < s->n_bias; i++)
        logits[s->bias[i].token] += s->bias[i].bias;
    size_t first = n_recent > 64 ? n_recent - 64 : 0;
    for (size_t i = first; i < n_recent; i++) {
        int n_times = 0;
        bool seen = false;
        for (size_t j = first; j < n_recent; j++) {
            n_times += recent[j] == recent[i];
            seen = seen || (j < i && recent[j] == recent[i]);
        }
        float *l = &logits[recent[i]];
        if (seen)
            continue;
        if (s->repeat_penalty != 0)
            *l = *l > 0 ? *l / s->repeat_penalty : *l * s->repeat_penalty;
        *l -= (float)n_times * s->frequency_penalty;
        *l -= s->presence_penalty;
    }
    if (s->dry_multiplier > 0)
        oracle_dry(s, logits, h);
}

static uint64_t ceil_mul(double share, uint64_t total)
{
    unsigned __int128 product = (unsigned __int128)(uint64_t)ceil(share * 0x1p53) * total;
    uint64_t whole = (uint64_t)(product >> 53);
    return whole + ((product & (((uint64_t)1 << 53) - 1)) != 0);
}

/* How far the surprise of an entry lies from the mean surprise, both in whole 2^-16 nats below the likeliest. */
static int64_t surprise(float max, float logit) { return (int64_t)(fminf(max - logit, 28) * 65536); }

static int oracle_typical(float typical_p, entry *list, int n)
{
    float max = list[0].logit;
    uint64_t total = 0, sum = 0;
    unsigned __int128 weighted = 0;
    int64_t reach = -1;
    for (int i = 0; i < n; i++) {
        uint64_t weight = liz_prob_weight(list[i].logit, max, 1);
        total += weight;
        weighted += (unsigned __int128)weight * (uint64_t)surprise(max, list[i].logit);
    }
    int64_t mean = (int64_t)(weighted / total);
    while (sum < ceil_mul((double)typical_p, total)) { /* widens to the next nearest, all that are as near at once */
        int64_t next = INT64_MAX;
        for (int i = 0; i < n; i++) {
            int64_t d = llabs(surprise(max, list[i].logit) - mean);
            next = d > reach && d < next && liz_prob_weight(list[i].logit, max, 1) > 0 ? d : next;
        }
        reach = next;
        for (int i = 0; i < n; i++)
            if (llabs(surprise(max, list[i].logit) - mean) == reach)
                sum += liz_prob_weight(list[i].logit, max, 1);
    }
    int n_kept = 0;
    for (int i = 0; i < n; i++)
        if (llabs(surprise(max, list[i].logit) - mean) <= reach && liz_prob_weight(list[i].logit, max, 1) > 0)
            list[n_kept++] = list[i];
    return n_kept;
}

static int oracle_xtc(const liz_sampling *s, entry *list, int n, uint64_t position)
{
    uint64_t total = 0;
    int n_likely = 0;
    for (int i = 0; i < n; i++)
        total += liz_prob_weight(list[i].logit, list[0].logit, 1);
    while (n_likely < n &&
           liz_prob_weight(list[n_likely].logit, list[0].logit, 1) >= ceil_mul((double)s->xtc_threshold, total))
        n_likely++;
    if (n_likely < 2 || liz_draw(s->seed, position, LIZ_DRAW_XTC) >= (double)s->xtc_probability)
        return n;
    memmove(list, list + n_likely - 1, (size_t)(n - n_likely + 1) * sizeof *list);
    return n - n_likely + 1;
}

static int32_t oracle_choose(const liz_sampling *s, const float *original, int n, const liz_history *h,
                             uint64_t position)
{
    static float logits[N_MAX];
    static entry list[N_MAX];
    memcpy(logits, original, (size_t)n * sizeof *logits);
    oracle_adjust(s, logits, h);
    int n_list = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return LIZ_CHOICE_NAN;
        if (logits[i] > -INFINITY)
            list[n_list++] = (entry){i, logits[i]};
    }
    if (n_list == 0)
        return LIZ_CHOICE_NONE;
    qsort(list, (size_t)n_list, sizeof *list, by_logit);
    if (s->temperature == 0)
        return list[0].id;
    if (s->top_k > 0 && s->top_k < n_list)
        n_list = s->top_k;
    if (s->typical_p > 0 && s->typical_p < 1)
        n_list = oracle_typical(s->typical_p, list, n_list);
    float max = list[0].logit;
    if (s->top_p > 0 && s->top_p < 1) {
        uint64_t total = 0, sum = 0;
        for (int i = 0; i < n_list; i++)
            total += liz_prob_weight(list[i].logit, max, 1);
        int n_kept = 0;
        while (sum < ceil_mul((double)s->top_p, total))
            sum += liz_prob_weight(list[n_kept++].logit, max, 1);
        n_list = n_kept;
    }
    if (s->min_p > 0) {
        int n_kept = 0;
        for (int i = 0; i < n_list; i++)
            if (list[i].logit >= (float)((double)max + liz_prob_log((double)s->min_p)))
                list[n_kept++] = list[i];
        n_list = n_kept;
    }
    if (s->xtc_probability > 0)
        n_list = oracle_xtc(s, list, n_list, position);
    max = list[0].logit;
    qsort(list, (size_t)n_list, sizeof *list, by_id);
    uint64_t total = 0, sum = 0;
    for (int i = 0; i < n_list; i++)
        total += liz_prob_weight(list[i].logit, max, 1.0f / s->temperature);
    unsigned __int128 scaled =
        (unsigned __int128)(uint64_t)(liz_draw(s->seed, position, LIZ_DRAW_TOKEN) * 0x1p53) * total;
    int i = 0;
    while ((sum += liz_prob_weight(list[i].logit, max, 1.0f / s->temperature)) <= (uint64_t)(scaled >> 53))
        i++;
    return list[i].id;
}

/* ---- random cases ---- */

/* Peaked, flat, tied, impossible and wild logits. */
static void logits_make(float *logits, int n)
{
    int kind = below(8);
    for (int i = 0; i < n; i++) {
        float u = uniform() + uniform() + uniform() - 1.5f;
        logits[i] = kind == 0   ? u * 8
                    : kind == 1 ? u * 0.01f
                    : kind == 2 ? (float)below(4)
                    : kind == 3 ? (below(5) == 0 ? -INFINITY : u * 20)
                    : kind == 4 ? u * 1e4f
                    : kind == 5 ? -40 * uniform()
                    : kind == 7 ? 1e6f + (float)below(300) / 16
                                : u * 3;
    }
    if (kind == 6)
        logits[below(n)] = 30;
}

static void sampling_make(liz_sampling *s, liz_logit_bias *bias, int n)
{
    static const float temperatures[] = {0, 0.7f, 1, 2.5f, 0.01f};
    *s = (liz_sampling){.temperature = temperatures[below(5)], .seed = random_next(), .bias = bias};
    if (below(2))
        s->top_k = 1 + below(below(3) == 0 ? n : 60);
    if (below(2))
        s->top_p = below(6) == 0 ? 1e-6f : uniform() * 0.999f + 1e-4f;
    if (below(2))
        s->min_p = below(6) == 0 ? 1 : uniform() * 0.3f + 1e-6f;
    if (below(3) == 0)
        s->repeat_penalty = 0.8f + uniform();
    if (below(3) == 0)
        s->frequency_penalty = uniform() - 0.5f;
    if (below(3) == 0)
        s->presence_penalty = uniform() - 0.5f;
    if (below(4) == 0)
        s->typical_p = below(6) == 0 ? 1e-6f : uniform() * 0.999f + 1e-4f;
    if (below(4) == 0) {
        s->xtc_probability = below(2) ? 1 : uniform() + 1e-6f;
        s->xtc_threshold = below(3) == 0 ? 0.01f * uniform() + 1e-6f : uniform() * 0.5f + 1e-6f;
    }
    if (below(3) == 0) {
        s->dry_multiplier = uniform() * 4 + 0.1f;
        s->dry_base = 1 + uniform() * (below(4) == 0 ? 15 : 1);
        s->dry_allowed_length = 1 + below(4);
        s->dry_range = 1 + below(150);
    }
    s->n_bias = below(3) == 0 ? (size_t)below(n < 5 ? n : 5) : 0;
    for (size_t i = 0; i < s->n_bias; i++)
        bias[i] = (liz_logit_bias){below(n), below(3) == 0 ? -INFINITY : uniform() * 10 - 5};
}

static void test_same_as_oracle(void **state)
{
    (void)state;
    static float logits[N_MAX], before[N_MAX];
    static const int sizes[] = {1, 2, 3, 63, 64, 65, 130, 1000, 4999};
    int n_distinct = 0, n_last = -1;
    for (int round = 0; round < N_ROUNDS; round++) {
        random_state = (uint64_t)round << 32;
        int n = round % 40 == 0 ? N_MAX - below(9) : sizes[below(9)];
        liz_logit_bias bias[8];
        liz_sampling s;
        liz_sampler *sampler;
        int32_t recent[100];
        uint8_t breaks[100];
        liz_history history = {recent, breaks, (size_t)below(100)};
        int n_kinds = 1 + below(n < 20 ? n : 20);
        for (size_t i = 0; i < history.n; i++) {
            recent[i] = below(n_kinds);
            breaks[i] = below(12) == 0;
        }
        logits_make(logits, n);
        sampling_make(&s, bias, n);
        memcpy(before, logits, (size_t)n * sizeof *logits);
        assert_int_equal(liz_sampling_check(&s, n, NULL), LIZ_OK);
        assert_int_equal(liz_sampler_open(&sampler, n, lanes_any(), NULL), LIZ_OK);
        uint64_t position = (uint64_t)below(1000);
        int32_t token = liz_sampler_choose(sampler, &s, logits, &history, position);
        int32_t expected = oracle_choose(&s, before, n, &history, position);
        if (token != expected)
            fprintf(stderr,
                    "# round %d: %d tokens, T %g, top_k %d, top_p %g, min_p %g, typical %g, xtc %g %g, dry %g\n", round,
                    n, (double)s.temperature, s.top_k, (double)s.top_p, (double)s.min_p, (double)s.typical_p,
                    (double)s.xtc_probability, (double)s.xtc_threshold, (double)s.dry_multiplier);
        assert_int_equal(token, expected);
        assert_memory_equal(logits, before, (size_t)n * sizeof *logits); /* restored */
        n_distinct += token != n_last;
        n_last = token;
        liz_sampler_close(sampler);
    }
    assert_true(n_distinct > N_ROUNDS / 2);
}

/* ---- by hand ---- */

/* Which of 6 tokens of these probabilities (a digit each) are drawn at all: "101000" is the first and the third. */
static void drawn_check(const double *p, const liz_sampling *s, const char *expected)
{
    float logits[6];
    char drawn[] = "000000";
    liz_sampler *sampler;
    for (int i = 0; i < 6; i++)
        logits[i] = (float)log(p[i]);
    assert_int_equal(liz_sampler_open(&sampler, 6, 4, NULL), LIZ_OK);
    for (uint64_t position = 0; position < 2000; position++)
        drawn[liz_sampler_choose(sampler, s, logits, &nothing, position)] = '1';
    assert_string_equal(drawn, expected);
    liz_sampler_close(sampler);
}

/* Surprises 2.30, 0.69, 1.61, 2.30, 2.30, 4.61 less a mean of 1.32: distances 0.95, 0.66, 0.25, 0.95, 0.95, 3.25. */
static void test_typical_by_hand(void **state)
{
    (void)state;
    static const double p[6] = {0.1, 0.5, 0.2, 0.1, 0.09, 0.01};
    static const struct {
        float typical_p;
        const char *drawn;
    } cases[] = {{1e-6f, "001000"}, {0.19f, "001000"}, {0.21f, "011000"},  {0.69f, "011000"},
                 {0.71f, "111100"}, {0.91f, "111110"}, {0.995f, "111111"}, {1, "111111"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        drawn_check(p, &(liz_sampling){.temperature = 1, .typical_p = cases[i].typical_p}, cases[i].drawn);
    /* Of the two that are left the likelier is the one that the next steps measure by. */
    drawn_check(p, &(liz_sampling){.temperature = 1, .typical_p = 0.19f, .min_p = 1, .top_p = 0.5f}, "001000");
    /* Cold, and far below the likeliest: the weights are taken anew. */
    drawn_check(p, &(liz_sampling){.temperature = 0.01f, .typical_p = 0.19f}, "001000");
}

static void test_xtc_by_hand(void **state)
{
    (void)state;
    static const double p[6] = {0.3, 0.5, 0.12, 0.04, 0.02, 0.02};
    static const struct {
        float probability, threshold, top_k;
        const char *drawn;
    } cases[] = {{1, 0.1f, 0, "001111"},  {1, 0, 0, "001111"},    {1, 0.2f, 0, "101111"},    {1, 0.4f, 0, "111111"},
                 {1, 0.03f, 0, "000111"}, {0, 0.1f, 0, "111111"}, {0.5f, 0.1f, 0, "111111"}, {1, 0.1f, 2, "100000"},
                 {1, 0.35f, 2, "100000"}, {1, 1e-6f, 0, "000001"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        drawn_check(p,
                    &(liz_sampling){.temperature = 1,
                                    .xtc_probability = cases[i].probability,
                                    .xtc_threshold = cases[i].threshold,
                                    .top_k = (int32_t)cases[i].top_k},
                    cases[i].drawn);
}

/* The tokens of a history are its letters, a capital one breaks; greedy, 'z' has logit 10, `next` 10 and what DRY may
 * take from it at most. */
static void test_dry_by_hand(void **state)
{
    (void)state;
    enum { N = 128 };
    static const struct {
        const char *history;
        char next;
        float penalty; /* with multiplier 1, base 2, allowed length 2 */
        int range;
    } cases[] = {
        {"abcab", 'c', 1, 0},      {"abcdabc", 'd', 2, 0},  {"abcdeabcd", 'e', 4, 0}, {"aab", 'a', 0, 0},
        {"abcxbcxabc", 'x', 2, 0}, {"abcabc", 'a', 2, 0},   {"aaaa", 'a', 2, 0},      {"aaaaaaaa", 'a', 32, 0},
        {"abcab", 'c', 0, 4},      {"abcab", 'c', 1, 5},    {"aBcaB", 'c', 0, 0},     {"xBcyexBcy", 'e', 1, 0},
        {"abCab", 'C', 0, 0},      {"abXabcab", 'c', 1, 0}, {"ab", 'a', 0, 0},        {"", 'a', 0, 0},
    };
    liz_sampler *sampler;
    assert_int_equal(liz_sampler_open(&sampler, N, 4, NULL), LIZ_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int over = -1; over <= 1; over += 2) { /* a little more than the penalty, and a little less */
            int32_t tokens[16];
            uint8_t breaks[16];
            float logits[N] = {0};
            liz_history h = {tokens, breaks, strlen(cases[i].history)};
            liz_sampling s = {.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2, .dry_range = cases[i].range};
            for (size_t k = 0; k < h.n; k++) {
                tokens[k] = cases[i].history[k];
                breaks[k] = cases[i].history[k] <= 'Z';
            }
            logits['z'] = 10;
            logits[(int)cases[i].next] = 10 + cases[i].penalty + 0.01f * (float)over;
            assert_int_equal(liz_sampler_choose(sampler, &s, logits, &h, 0), over > 0 ? cases[i].next : 'z');
        }
    liz_sampler_close(sampler);
}

/* The worst text for a search of repetitions, in the widest window: what grows with its square would take minutes. */
static void test_dry_is_cheap(void **state)
{
    (void)state;
    enum { N = 2 * LIZ_DRY_RANGE_MAX };
    static const int32_t tokens[N];
    float logits[2] = {2, 1};
    liz_sampler *sampler;
    liz_sampling s = {.dry_multiplier = 0.001f, .dry_base = 16, .dry_range = LIZ_DRY_RANGE_MAX};
    assert_int_equal(liz_sampler_open(&sampler, 2, 4, NULL), LIZ_OK);
    for (size_t n = N - 1000; n < N; n++)
        assert_int_equal(liz_sampler_choose(sampler, &s, logits, &(liz_history){tokens, NULL, n}, 0), 1);
    liz_sampler_close(sampler);
}

/* Draws follow the probabilities: of 40,000, each count is within 5 standard deviations. */
static void test_draws_follow_probabilities(void **state)
{
    (void)state;
    enum { N = 100, N_DRAWS = 40000 };
    float logits[N];
    int counts[N] = {0};
    double total = 0;
    liz_sampler *sampler;
    for (int i = 0; i < N; i++) {
        logits[i] = (float)(i % 13) * 0.4f;
        total += exp((double)logits[i] / 1.5);
    }
    assert_int_equal(liz_sampler_open(&sampler, N, 4, NULL), LIZ_OK);
    liz_sampling s = {.temperature = 1.5f, .seed = 42};
    for (uint64_t position = 0; position < N_DRAWS; position++)
        counts[liz_sampler_choose(sampler, &s, logits, &nothing, position)]++;
    for (int i = 0; i < N; i++) {
        double p = exp((double)logits[i] / 1.5) / total, sigma = sqrt(N_DRAWS * p * (1 - p));
        assert_true(fabs(counts[i] - N_DRAWS * p) < 5 * sigma);
    }
    liz_sampler_close(sampler);
}

static void test_not_numbers(void **state)
{
    (void)state;
    enum { N = 200 };
    static const float bad[] = {NAN, -NAN, INFINITY};
    liz_sampler *sampler;
    assert_int_equal(liz_sampler_open(&sampler, N, 4, NULL), LIZ_OK);
    for (int where = 0; where < N; where++)
        for (int kind = 0; kind < 3; kind++) {
            float logits[N] = {0};
            liz_sampling s = {.temperature = (float)(where % 2)};
            logits[where] = bad[kind];
            assert_int_equal(liz_sampler_choose(sampler, &s, logits, &nothing, 0), LIZ_CHOICE_NAN);
            assert_true(isnan(liz_sampler_logprobs(sampler, logits, 0, NULL, NULL)));
        }
    float logits[N];
    for (int i = 0; i < N; i++)
        logits[i] = -INFINITY;
    assert_int_equal(liz_sampler_choose(sampler, &(liz_sampling){0}, logits, &nothing, 0), LIZ_CHOICE_NONE);
    logits[77] = -1e30f;
    assert_int_equal(liz_sampler_choose(sampler, &(liz_sampling){.temperature = 1}, logits, &nothing, 0), 77);
    liz_sampler_close(sampler);
}

static void test_logprobs(void **state)
{
    (void)state;
    static float logits[N_MAX];
    for (int round = 0; round < 200; round++) {
        random_state = (uint64_t)(round + 1) << 40;
        int n = 1 + below(N_MAX), n_top = 1 + below(20), n_found;
        liz_token_logprob top[20];
        liz_sampler *sampler;
        logits_make(logits, n);
        double max = -INFINITY, total = 0;
        int n_possible = 0;
        for (int i = 0; i < n; i++)
            max = fmax(max, (double)logits[i]);
        for (int i = 0; i < n; i++) {
            total += exp((double)logits[i] - max);
            n_possible += logits[i] > -INFINITY;
        }
        assert_int_equal(liz_sampler_open(&sampler, n, lanes_any(), NULL), LIZ_OK);
        double norm = liz_sampler_logprobs(sampler, logits, n_top, top, &n_found);
        assert_true(fabs(norm - (max + log(total))) < 1e-6 * fmax(1, fabs(norm)));
        assert_int_equal(n_found, n_top < n_possible ? n_top : n_possible);
        for (int i = 0; i < n_found; i++) {
            assert_true(top[i].logprob == (float)((double)logits[top[i].token] - norm));
            int n_ahead = 0;
            for (int j = 0; j < n; j++)
                n_ahead += logits[j] > logits[top[i].token] || (logits[j] == logits[top[i].token] && j < top[i].token);
            assert_int_equal(n_ahead, i);
        }
        liz_sampler_close(sampler);
    }
}

static void test_exponential_and_logarithm(void **state)
{
    (void)state;
    for (int i = 0; i <= 200000; i++) {
        float x = -25.0f * (float)i / 200000;
        double expected = exp((double)x) * 0x1p40;
        assert_true(fabs((double)liz_prob_weight(x, 0, 1) - expected) <= 2.6e-7 * expected + 1);
    }
    assert_int_equal(liz_prob_weight(3, 3, 0.1f), LIZ_PROB_ONE);
    assert_int_equal(liz_prob_weight(-INFINITY, 3, 1), 0);
    assert_int_equal(liz_prob_weight(-30, 0, 1), 0);
    for (double x = 1e-12; x < 1e19; x *= 1.0137)
        assert_true(fabs(liz_prob_log(x) - log(x)) <= 5e-16 * fmax(1, fabs(log(x))));
}

/* The numeric contract: these bits, on every machine. */
static void test_weights_are_what_they_were(void **state)
{
    (void)state;
    static const struct {
        float logit;
        uint64_t weight;
    } cases[] = {
        {-0.25f, 856300519424u}, {-1, 404487733248u}, {-3.7f, 27183804416u}, {-10.03f, 48442476u}, {-20, 2266u}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(liz_prob_weight(cases[i].logit, 0, 1), cases[i].weight);
    assert_true(liz_prob_log(3) == 0x1.193ea7aad030ap+0);
    assert_true(liz_prob_log(0x1.8p-39) == -0x1.aa095170df83ap+4);
}

/* Every width gives what single weights add up to, and leaves out what is below the bound; bins never order two logits
 * the other way round. */
static void passes_check(const liz_prob_ops *ops, const float *logits, int n, float bound)
{
    uint64_t total = 0, above = 0, not_below = 0, weights[LIZ_PROB_BLOCK];
    float block_max[N_MAX / LIZ_PROB_BLOCK + 1], max, largest = -INFINITY;
    int32_t bins[LIZ_PROB_BLOCK];
    assert_true(ops->scan(logits, (size_t)n, block_max, &max));
    for (int i = 0; i < n; i++) {
        uint64_t weight = liz_prob_weight(logits[i], max, 0.9f);
        total += weight;
        above += logits[i] > bound ? weight : 0;
        not_below += logits[i] >= bound ? weight : 0;
        largest = logits[i] > largest ? logits[i] : largest;
        if (i % LIZ_PROB_BLOCK == LIZ_PROB_BLOCK - 1 || i == n - 1) {
            assert_true(block_max[i / LIZ_PROB_BLOCK] <= max);
            assert_true(i >= LIZ_PROB_BLOCK || block_max[0] == largest);
        }
    }
    assert_true(max == largest);
    assert_int_equal(ops->sum(logits, (size_t)n, max, 0.9f, -INFINITY, false), total);
    assert_int_equal(ops->sum(logits, (size_t)n, max, 0.9f, bound, true), above);
    assert_int_equal(ops->sum(logits, (size_t)n, max, 0.9f, bound, false), not_below);
    int n_block = n < LIZ_PROB_BLOCK ? n : LIZ_PROB_BLOCK;
    ops->weights(logits, (size_t)n_block, max, 0.9f, weights);
    ops->bins(logits, (size_t)n_block, max, bound, bins);
    for (int i = 0; i < n_block; i++) {
        assert_int_equal(weights[i], liz_prob_weight(logits[i], max, 0.9f));
        assert_true((bins[i] == LIZ_PROB_BINS) == (logits[i] < bound));
        assert_in_range(bins[i], 0, LIZ_PROB_BINS);
        for (int j = 0; j < i; j++)
            if (logits[i] >= bound && logits[j] >= bound && logits[i] != logits[j])
                assert_true(logits[i] > logits[j] ? bins[i] <= bins[j] : bins[i] >= bins[j]);
    }
    for (int i = n_block; i < LIZ_PROB_BLOCK; i++)
        assert_int_equal(bins[i], LIZ_PROB_BINS);
}

static void test_every_width(void **state)
{
    (void)state;
    static float logits[N_MAX];
    for (int width = 0; width < n_widths(); width++) {
        const liz_prob_ops *ops = liz_prob_ops_of(4 << width);
        assert_true(width == 0 || ops != liz_prob_ops_of(2 << width));
        for (int n = 1; n < 400; n += 7)
            for (int again = 0; again < 8; again++) {
                logits_make(logits, n);
                passes_check(ops, logits, n, again == 0 ? -INFINITY : logits[below(n)]);
            }
    }
    if (n_widths() < 3)
        fprintf(stderr, "# NOT RUN: passes of %s\n", n_widths() == 1 ? "avx2, avx512" : "avx512");
}

/* Alternatives that are fewer than asked for: the impossible ones are left out, however many. */
static void test_few_are_possible(void **state)
{
    (void)state;
    static float logits[N_MAX];
    static const int possible[] = {7, 600, 39000};
    liz_token_logprob top[20];
    int n_found;
    liz_sampler *sampler;
    for (int i = 0; i < N_MAX; i++)
        logits[i] = -INFINITY;
    for (int i = 0; i < 3; i++)
        logits[possible[i]] = (float)i;
    assert_int_equal(liz_sampler_open(&sampler, N_MAX, 4, NULL), LIZ_OK);
    liz_sampler_logprobs(sampler, logits, 20, top, &n_found);
    assert_int_equal(n_found, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(top[i].token, possible[2 - i]);
    liz_sampler_close(sampler);
}

static void test_settings_out_of_range(void **state)
{
    (void)state;
    liz_logit_bias outside = {10, 1}, infinite = {1, INFINITY}, nan = {1, NAN};
    const struct {
        liz_sampling sampling;
        const char *names;
    } cases[] = {
        {{.temperature = -1}, "temperature"},
        {{.temperature = NAN}, "temperature"},
        {{.temperature = INFINITY}, "temperature"},
        {{.temperature = 1e-20f}, "temperature"},
        {{.top_k = -1}, "top_k"},
        {{.top_p = 1.5f}, "top_p"},
        {{.top_p = NAN}, "top_p"},
        {{.min_p = -0.1f}, "min_p"},
        {{.repeat_penalty = -1}, "repeat_penalty"},
        {{.frequency_penalty = NAN}, "frequency_penalty"},
        {{.presence_penalty = INFINITY}, "presence_penalty"},
        {{.typical_p = 1.01f}, "typical_p"},
        {{.typical_p = -1}, "typical_p"},
        {{.xtc_probability = NAN}, "xtc_probability"},
        {{.xtc_probability = 2}, "xtc_probability"},
        {{.xtc_threshold = 0.6f}, "xtc_threshold"},
        {{.dry_multiplier = -0.1f}, "dry_multiplier"},
        {{.dry_multiplier = INFINITY}, "dry_multiplier"},
        {{.dry_base = 0.5f}, "dry_base"},
        {{.dry_allowed_length = -1}, "dry_allowed_length"},
        {{.dry_range = LIZ_DRY_RANGE_MAX + 1}, "dry_range"},
        {{.bias = &outside, .n_bias = 1}, "logit bias for token 10"},
        {{.bias = &infinite, .n_bias = 1}, "logit bias"},
        {{.bias = &nan, .n_bias = 1}, "logit bias"},
        {{.bias = &outside, .n_bias = 11}, "11 logit biases"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_error err;
        assert_int_equal(liz_sampling_check(&cases[i].sampling, 10, &err), LIZ_E_USAGE);
        assert_non_null(strstr(err.text, cases[i].names));
    }
}

/* What <lizzie.h> says of each setting: 0 and both ends are taken, what lies beyond them is refused by its name. */
static void test_ranges(void **state)
{
    (void)state;
#define SETTING(field) #field, offsetof(liz_sampling, field)
    static const struct {
        const char *name;
        size_t at;
        float least, most;
    } reals[] = {
        {SETTING(temperature), 1e-6f, 1e6f},
        {SETTING(top_p), 1e-6f, 1},
        {SETTING(min_p), 1e-9f, 1},
        {SETTING(repeat_penalty), 0.01f, 100},
        {SETTING(frequency_penalty), -1000, 1000},
        {SETTING(presence_penalty), -1000, 1000},
        {SETTING(typical_p), 1e-6f, 1},
        {SETTING(xtc_probability), 1e-6f, 1},
        {SETTING(xtc_threshold), 1e-6f, 0.5f},
        {SETTING(dry_multiplier), 1e-6f, 1000},
        {SETTING(dry_base), 1, 16},
    };
    static const struct {
        const char *name;
        size_t at;
        int32_t most;
    } wholes[] = {{SETTING(top_k), INT32_MAX}, {SETTING(dry_allowed_length), 32768}, {SETTING(dry_range), 32768}};
#undef SETTING
    liz_error err;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const float least = reals[i].least, most = reals[i].most;
        const float values[] = {0, least, most, nextafterf(least, -INFINITY), nextafterf(most, INFINITY), NAN};
        for (int k = 0; k < 6; k++) {
            liz_sampling s = {0};
            memcpy((char *)&s + reals[i].at, &values[k], sizeof *values);
            liz_status status = liz_sampling_check(&s, 10, &err);
            if (status != (k < 3 ? LIZ_OK : LIZ_E_USAGE) || (k >= 3 && strstr(err.text, reals[i].name) == NULL))
                fail_msg("%s = %g: %s", reals[i].name, (double)values[k], status == LIZ_OK ? "is taken" : err.text);
        }
    }
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        const int32_t most = wholes[i].most, values[] = {0, 1, most, -1, most == INT32_MAX ? INT32_MIN : most + 1};
        for (int k = 0; k < 5; k++) {
            liz_sampling s = {0};
            memcpy((char *)&s + wholes[i].at, &values[k], sizeof *values);
            liz_status status = liz_sampling_check(&s, 10, &err);
            if (status != (k < 3 ? LIZ_OK : LIZ_E_USAGE) || (k >= 3 && strstr(err.text, wholes[i].name) == NULL))
                fail_msg("%s = %d: %s", wholes[i].name, values[k], status == LIZ_OK ? "is taken" : err.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_oracle),
        cmocka_unit_test(test_typical_by_hand),
        cmocka_unit_test(test_xtc_by_hand),
        cmocka_unit_test(test_dry_by_hand),
        cmocka_unit_test(test_dry_is_cheap),
        cmocka_unit_test(test_draws_follow_probabilities),
        cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_exponential_and_logarithm),
        cmocka_unit_test(test_weights_are_what_they_were),
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_few_are_possible),
        cmocka_unit_test(test_settings_out_of_range),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
