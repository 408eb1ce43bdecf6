/* sampling.c - the ranges of the settings: one table, from which they are checked and refused by name. */
#include "decode/sampler.h"

#include <math.h>
#include <string.h>

typedef struct range {
    const char *name;
    size_t at;
    bool is_whole;
    float min, max; /* where it is not 0 */
} range;

#define FLOAT(field) #field, offsetof(liz_sampling, field), false
#define WHOLE(field) #field, offsetof(liz_sampling, field), true

/* 0 is always allowed: it turns a step off, or stands for a default. */
static const range ranges[] = {
    {FLOAT(temperature), 1e-6f, 1e6f},
    {WHOLE(top_k), 0, (float)INT32_MAX},
    {FLOAT(top_p), 1e-6f, 1},
    {FLOAT(min_p), 1e-9f, 1},
    {FLOAT(repeat_penalty), 0.01f, 100},
    {FLOAT(frequency_penalty), -1000, 1000},
    {FLOAT(presence_penalty), -1000, 1000},
    {FLOAT(typical_p), 1e-6f, 1},
    {FLOAT(xtc_probability), 1e-6f, 1},
    {FLOAT(xtc_threshold), 1e-6f, 0.5f},
    {FLOAT(dry_multiplier), 1e-6f, 1000},
    {FLOAT(dry_base), 1, 16},
    {WHOLE(dry_allowed_length), 1, LIZ_DRY_RANGE_MAX},
    {WHOLE(dry_range), 1, LIZ_DRY_RANGE_MAX},
};

/* Comparisons are written so that NaN fails them. */
static liz_status range_check(const range *r, const liz_sampling *s, liz_error *err)
{
    int32_t whole;
    float value;
    memcpy(&whole, (const char *)s + r->at, sizeof whole);
    memcpy(&value, (const char *)s + r->at, sizeof value);
    value = r->is_whole ? (float)whole : value;
    if (value == 0 || (value >= r->min && value <= r->max))
        return LIZ_OK;
    const char *zero = r->min > 0 ? "0, or " : "";
    return liz_fail(err, LIZ_E_USAGE, "sampling: %s is %g: it must be %sfrom %g to %g", r->name, (double)value, zero,
                    (double)r->min, (double)r->max);
}

static liz_status bias_check(const liz_logit_bias *b, int32_t n_vocab, liz_error *err)
{
    if (b->token < 0 || b->token >= n_vocab)
        return liz_fail(err, LIZ_E_USAGE, "sampling: logit bias for token %d: the vocabulary ends at %d", b->token,
                        n_vocab - 1);
    if (!(b->bias <= 1e6f && (b->bias >= -1e6f || b->bias == -INFINITY)))
        return liz_fail(err, LIZ_E_USAGE,
                        "sampling: the logit bias for token %d is %g: it must be from -1e6 to 1e6, or -infinity",
                        b->token, (double)b->bias);
    return LIZ_OK;
}

liz_status liz_sampling_check(const liz_sampling *s, int32_t n_vocab, liz_error *err)
{
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges && status == LIZ_OK; i++)
        status = range_check(&ranges[i], s, err);
    if (status == LIZ_OK && s->n_bias > (size_t)n_vocab)
        status = liz_fail(err, LIZ_E_USAGE, "sampling: %zu logit biases: there are only %d tokens", s->n_bias, n_vocab);
    for (size_t i = 0; i < s->n_bias && status == LIZ_OK; i++)
        status = bias_check(&s->bias[i], n_vocab, err);
    return status;
}
