/* adjust.c - bias, penalties and DRY.
 *
 * A token's logit before its first change goes into a log, a bit for each token telling that it is there, so the log
 * never holds more than the vocabulary.
 *
 * DRY looks for repetitions with the Z-algorithm, going back from the sequence's end: z[i] is how many tokens before
 * the last i equal those at the end. It takes time in proportion to its window, whatever the text: a sequence of one
 * token alone costs no more than any other. */
#include "decode/adjust.h"

enum { DRY_LENGTH_STANDARD = 2, DRY_RANGE_STANDARD = 4096, DRY_EXPONENT_MAX = 64 };
static const float dry_base_standard = 1.75f, dry_penalty_max = 1e9f;

typedef struct change {
    int32_t token;
    float logit; /* before */
} change;

struct liz_adjuster {
    change *changes; /* [n_vocab] */
    size_t n_changes;
    uint64_t *changed; /* a bit for each token that is among them */
    uint8_t *steps;    /* [n_vocab] of DRY: its exponent and 1; 0 between calls */
    uint16_t z[LIZ_DRY_RANGE_MAX];
};

liz_adjuster *liz_adjuster_place(liz_carver *carver, int32_t n_vocab)
{
    liz_adjuster *a = liz_carve(carver, 1, sizeof *a);
    change *changes = liz_carve(carver, (size_t)n_vocab, sizeof *changes);
    uint64_t *changed = liz_carve(carver, (size_t)n_vocab / 64 + 1, sizeof *changed);
    uint8_t *steps = liz_carve(carver, (size_t)n_vocab, sizeof *steps);
    if (a != NULL)
        a->changes = changes, a->changed = changed, a->steps = steps;
    return a;
}

void liz_adjust_set(liz_adjuster *a, float *logits, int32_t token, float logit)
{
    uint64_t *word = &a->changed[token / 64], bit = (uint64_t)1 << token % 64;
    if (!(*word & bit))
        a->changes[a->n_changes++] = (change){token, logits[token]};
    *word |= bit;
    logits[token] = logit;
}

void liz_adjust_undo(liz_adjuster *a, float *logits)
{
    while (a->n_changes > 0) {
        const change *c = &a->changes[--a->n_changes];
        logits[c->token] = c->logit;
        a->changed[c->token / 64] = 0;
    }
}

/* ---- penalties ---- */

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
static void penalties_apply(liz_adjuster *a, const liz_sampling *s, const liz_history *h, float *logits)
{
    size_t n = h->n < LIZ_PENALTY_LAST ? h->n : LIZ_PENALTY_LAST;
    const int32_t *recent = h->tokens + (h->n - n);
    for (size_t i = 0; i < n; i++) {
        int n_before = 0, n_times = 0;
        for (size_t j = 0; j < n; j++) {
            n_times += recent[j] == recent[i];
            n_before += j < i && recent[j] == recent[i];
        }
        if (n_before == 0)
            liz_adjust_set(a, logits, recent[i], logit_penalised(s, logits[recent[i]], n_times));
    }
}

/* ---- DRY ---- */

/* What DRY looks at, going back from the end: place 0 is the last token. */
typedef struct window {
    const int32_t *end;  /* behind the last token */
    const uint8_t *ends; /* behind the last flag; NULL: nothing breaks */
    size_t n;
    size_t n_free; /* tokens since the last that breaks */
} window;

static int32_t token_at(const window *w, size_t i) { return w->end[-1 - (ptrdiff_t)i]; }
static bool breaks_at(const window *w, size_t i) { return w->ends != NULL && w->ends[-1 - (ptrdiff_t)i] != 0; }

static window window_of(const liz_sampling *s, const liz_history *h)
{
    size_t range = s->dry_range != 0 ? (size_t)s->dry_range : DRY_RANGE_STANDARD;
    window w = {h->tokens + h->n, h->breaks != NULL ? h->breaks + h->n : NULL, h->n < range ? h->n : range, 0};
    while (w.n_free < w.n && !breaks_at(&w, w.n_free))
        w.n_free++;
    return w;
}

/* [begin, end) is the known match that reaches farthest: inside it an earlier value tells. */
static void matches_fill(const window *w, uint16_t *z)
{
    size_t begin = 0, end = 0;
    for (size_t i = 1; i < w->n; i++) {
        size_t n = i < end ? z[i - begin] : 0;
        if (i + n >= end) {
            for (n = end > i ? end - i : 0; i + n < w->n && token_at(w, n) == token_at(w, i + n);)
                n++;
            begin = i;
            end = i + n;
        }
        z[i] = (uint16_t)n;
    }
}

static float dry_penalty(const liz_sampling *s, int exponent)
{
    float base = s->dry_base != 0 ? s->dry_base : dry_base_standard, penalty = s->dry_multiplier;
    for (int i = 0; i < exponent; i++)
        penalty = penalty * base < dry_penalty_max ? penalty * base : dry_penalty_max;
    return penalty;
}

/* The token before place i, in the text the one after it, continues a repetition of z[i] tokens. */
static void dry_apply(liz_adjuster *a, const liz_sampling *s, const liz_history *h, float *logits)
{
    window w = window_of(s, h);
    size_t allowed = s->dry_allowed_length != 0 ? (size_t)s->dry_allowed_length : DRY_LENGTH_STANDARD;
    if (w.n_free < allowed)
        return;
    matches_fill(&w, a->z);
    for (size_t i = 1; i < w.n; i++) {
        size_t n = a->z[i] < w.n_free ? a->z[i] : w.n_free;
        if (n < allowed || breaks_at(&w, i - 1))
            continue;
        size_t step = n - allowed < DRY_EXPONENT_MAX ? n - allowed + 1 : DRY_EXPONENT_MAX + 1;
        uint8_t *most = &a->steps[token_at(&w, i - 1)];
        *most = step > *most ? (uint8_t)step : *most;
    }
    for (size_t i = 1; i < w.n; i++) {
        int32_t token = token_at(&w, i - 1);
        if (a->steps[token] > 0)
            liz_adjust_set(a, logits, token, logits[token] - dry_penalty(s, a->steps[token] - 1));
        a->steps[token] = 0;
    }
}

void liz_adjust(liz_adjuster *a, const liz_sampling *s, const liz_history *h, float *logits)
{
    for (size_t i = 0; i < s->n_bias; i++)
        liz_adjust_set(a, logits, s->bias[i].token, logits[s->bias[i].token] + s->bias[i].bias);
    if (penalties_on(s))
        penalties_apply(a, s, h, logits);
    if (s->dry_multiplier > 0)
        dry_apply(a, s, h, logits);
}
