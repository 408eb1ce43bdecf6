/* model_rope.c - reading the settings and computing frequencies. */
#include "model/model_rope.h"

#include "kernel/angle.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const double angle_max = 0x1p26; /* liz_angle_sincos */

/* YaRN's magnitude of a factor; with `log_mul` the part that the model has learned already is divided out. */
static double yarn_magnitude(double factor, double log_mul)
{
    double grown = factor > 1 ? 0.1 * liz_angle_log(factor) : 0;
    return (1 + grown) / (1 + log_mul * grown);
}

void liz_rope_read(liz_keys *k, int n_embd_k, int32_t n_ctx_train, liz_rope *out)
{
    liz_rope r = {.scale = 1, .magnitude = 1};
    r.n_dims = (int)liz_keys_count(k, "rope.dimension_count", n_embd_k, n_embd_k);
    r.base = liz_keys_positive(k, "rope.freq_base", 10000.0);
    r.n_ctx_orig = (double)liz_keys_optional(k, "rope.scaling.original_context_length", n_ctx_train, INT32_MAX);
    r.beta_fast = liz_keys_positive(k, "rope.scaling.yarn_beta_fast", 32);
    r.beta_slow = liz_keys_positive(k, "rope.scaling.yarn_beta_slow", 1);
    r.magnitude = liz_keys_positive(k, "rope.scaling.attn_factor", 1);
    double factor = liz_keys_positive(k, "rope.scaling.factor", liz_keys_positive(k, "rope.scale_linear", 1));
    liz_str type = {"linear", 6};
    liz_gguf_str(k->gguf, liz_keys_name(k, "rope.scaling.type"), &type);
    if (liz_str_is(type, "linear") || liz_str_is(type, "yarn"))
        r.scale = 1 / factor;
    else if (!liz_str_is(type, "none") && !liz_str_is(type, "longrope"))
        liz_keys_fail(k, LIZ_E_UNSUPPORTED, "rope.scaling.type", "'%.*s' is not supported",
                      type.n > 32 ? 32 : (int)type.n, type.p);
    if (liz_str_is(type, "yarn")) {
        r.ramp = liz_keys_positive(k, "rope.scaling.yarn_ext_factor", 1);
        r.magnitude *= yarn_magnitude(factor, liz_keys_positive(k, "rope.scaling.yarn_log_multiplier", 0));
    }
    if (r.n_dims % 2 != 0)
        liz_keys_fail(k, LIZ_E_FORMAT, "rope.dimension_count", "%d is odd", r.n_dims);
    *out = r;
}

float liz_query_growth_at(const liz_query_growth *g, int32_t position)
{
    if (g->beta == 0 || position < g->n_ctx)
        return 1;
    return (float)(1 + (double)g->beta * liz_angle_log(1 + position / g->n_ctx));
}

/* The pair that turns `turns` times within the original context. */
static double pair_of_turns(const liz_rope *r, double turns)
{
    return r->n_dims * liz_angle_log(r->n_ctx_orig / (turns * 2 * pi)) / (2 * liz_angle_log(r->base));
}

liz_status liz_rope_fill(const liz_rope *r, const float *factors, int32_t n_ctx, double *freqs, liz_error *err)
{
    double low = 0, high = 0;
    if (r->ramp > 0) {
        low = fmax(floor(pair_of_turns(r, r->beta_fast)), 0);
        high = fmin(ceil(pair_of_turns(r, r->beta_slow)), r->n_dims - 1);
    }
    for (int i = 0; i < r->n_dims / 2; i++) {
        double free = liz_angle_pow(r->base, -2.0 * i / r->n_dims);
        if (factors != NULL)
            free /= (double)factors[i];
        freqs[i] = free * r->scale;
        if (r->ramp > 0) {
            double kept = r->ramp * (1 - fmin(fmax((i - low) / fmax(high - low, 0.001), 0), 1));
            freqs[i] = freqs[i] * (1 - kept) + free * kept;
        }
        if (!(fabs(freqs[i]) * n_ctx < angle_max))
            return liz_fail(err, LIZ_E_FORMAT, "rotary positions: the frequency of pair %d is absurd", i);
    }
    return LIZ_OK;
}
