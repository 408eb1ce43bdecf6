/* grad_body.h - training's operations on rows, written once for all tiers (see lanes.h, grad.h). */
#include "kernel/angle.h"
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"

#define GRAD_CAT_(name, tier) name##_##tier
#define GRAD_CAT(name, tier) GRAD_CAT_(name, tier)
#define GRAD(name) GRAD_CAT(name, LIZ_TIER)

/* i-th lane's worth of a row whose end may be inside it; zeros past the end. */
#define AT(p) liz_v16_load_n((p) + i, n - i)
#define PUT(p, v) liz_v16_store_n((p) + i, (v), n - i)
#define EACH for (size_t i = 0; i < n; i += 16)

/* Asks for what comes a KiB later of an array that lies in memory: a processor's own guess ends with the page. */
#define ASK(p) __builtin_prefetch((p) + i + 256)

/* ---- Norms ---- */

static void GRAD(norm_stats)(const float *x, float eps, size_t n, float *mean, float *inverse)
{
    liz_v16 sums = liz_v16_zero(), squares = liz_v16_zero();
    if (mean != NULL) {
        EACH sums = liz_v16_add(sums, AT(x));
        *mean = liz_v16_sum(sums) / (float)n;
    }
    liz_v16 centre = liz_v16_set(mean != NULL ? *mean : 0);
    EACH
    {
        liz_v16 v = liz_v16_keep_n(liz_v16_sub(AT(x), centre), n - i, liz_v16_zero());
        squares = liz_v16_fma(v, v, squares);
    }
    *inverse = 1.0f / sqrtf(liz_v16_sum(squares) / (float)n + eps);
}

/* With h = (x - mean) inverse and g = dy weight: dx += inverse (g - mean(g) - h mean(g h)); mean(g) is left out of a
 * root mean square norm. */
static void GRAD(norm_back)(const float *x, const float *weight, const float *dy, const float *mean, float inverse,
                            size_t n, float *dx)
{
    liz_v16 centre = liz_v16_set(mean != NULL ? *mean : 0), inv = liz_v16_set(inverse);
    liz_v16 sum_g = liz_v16_zero(), sum_gh = liz_v16_zero();
    EACH
    {
        liz_v16 g = AT(dy);
        if (weight != NULL)
            g = liz_v16_mul(g, AT(weight));
        sum_g = liz_v16_add(sum_g, g);
        sum_gh = liz_v16_fma(g, liz_v16_mul(liz_v16_sub(AT(x), centre), inv), sum_gh);
    }
    liz_v16 mean_g = liz_v16_set(mean != NULL ? liz_v16_sum(sum_g) / (float)n : 0);
    liz_v16 mean_gh = liz_v16_set(liz_v16_sum(sum_gh) / (float)n);
    EACH
    {
        liz_v16 g = AT(dy), h = liz_v16_mul(liz_v16_sub(AT(x), centre), inv);
        if (weight != NULL)
            g = liz_v16_mul(g, AT(weight));
        g = liz_v16_sub(liz_v16_sub(g, mean_g), liz_v16_mul(h, mean_gh));
        PUT(dx, liz_v16_fma(g, inv, AT(dx)));
    }
}

/* ---- Elementwise ---- */

LIZ_LANE_FN liz_v16 sigmoid(liz_v16 x)
{
    liz_v16 one = liz_v16_set(1.0f);
    return liz_v16_div(one, liz_v16_add(liz_v16_exp(liz_v16_sub(liz_v16_zero(), x)), one));
}

/* y = gate s up with s = sigmoid(gate): dy/dgate = up s (1 + gate (1 - s)). */
static void GRAD(silu_mul_back)(const float *gate, const float *up, const float *dy, size_t n, float *dgate, float *dup)
{
    const liz_v16 one = liz_v16_set(1.0f);
    EACH
    {
        liz_v16 g = AT(gate), s = sigmoid(g), d = AT(dy);
        liz_v16 slope = liz_v16_mul(s, liz_v16_fma(g, liz_v16_sub(one, s), one));
        liz_v16 u = AT(up);
        PUT(dup, liz_v16_mul(d, liz_v16_mul(g, s)));
        PUT(dgate, liz_v16_mul(d, liz_v16_mul(u, slope)));
    }
}

/* y = x s(2u), u = a (x + b x^3): dy/dx = s + x s (1 - s) 2a (1 + 3 b x^2). */
static void GRAD(gelu_back)(const float *x, const float *dy, size_t n, float *dx)
{
    const liz_v16 one = liz_v16_set(1.0f), a2 = liz_v16_set(2 * 0.7978845608f), b = liz_v16_set(0.044715f);
    EACH
    {
        liz_v16 v = AT(x), square = liz_v16_mul(v, v);
        liz_v16 s = sigmoid(liz_v16_mul(liz_v16_fma(liz_v16_mul(square, v), b, v), a2));
        liz_v16 inner = liz_v16_mul(a2, liz_v16_fma(liz_v16_mul(square, liz_v16_set(3.0f)), b, one));
        liz_v16 slope = liz_v16_fma(liz_v16_mul(liz_v16_mul(v, s), liz_v16_sub(one, s)), inner, s);
        PUT(dx, liz_v16_fma(AT(dy), slope, AT(dx)));
    }
}

static void GRAD(softcap_back)(const float *y, float cap, const float *dy, size_t n, float *dx)
{
    const liz_v16 one = liz_v16_set(1.0f), c = liz_v16_set(cap);
    EACH
    {
        liz_v16 t = liz_v16_div(AT(y), c);
        PUT(dx, liz_v16_mul(AT(dy), liz_v16_sub(one, liz_v16_mul(t, t))));
    }
}

/* ---- Softmax ---- */

static float GRAD(softmax)(float *x, size_t n)
{
    liz_v16 most = liz_v16_set(-INFINITY), sums = liz_v16_zero();
    EACH most = liz_v16_max(liz_v16_keep_n(AT(x), n - i, most), most);
    float max = liz_v16_max_lane(most);
    liz_v16 shift = liz_v16_set(max);
    EACH
    {
        liz_v16 e = liz_v16_keep_n(liz_v16_exp(liz_v16_sub(AT(x), shift)), n - i, liz_v16_zero());
        sums = liz_v16_add(sums, e);
        PUT(x, e);
    }
    float sum = liz_v16_sum(sums);
    liz_v16 inverse = liz_v16_set(1.0f / sum);
    EACH PUT(x, liz_v16_mul(AT(x), inverse));
    return max + (float)liz_angle_log(sum);
}

static void GRAD(exp_of)(const float *x, float log_sum, size_t n, float *p)
{
    liz_v16 shift = liz_v16_set(log_sum);
    EACH PUT(p, liz_v16_exp(liz_v16_sub(AT(x), shift)));
}

/* ---- Vectors ---- */

static void GRAD(mul_scaled)(const float *a, float c, size_t n, float *y)
{
    liz_v16 by = liz_v16_set(c);
    EACH PUT(y, liz_v16_mul(liz_v16_mul(AT(a), AT(y)), by));
}

static void GRAD(mul_add)(const float *a, const float *b, float c, size_t n, float *y)
{
    liz_v16 by = liz_v16_set(c);
    EACH PUT(y, liz_v16_fma(liz_v16_mul(AT(a), AT(b)), by, AT(y)));
}

static float GRAD(dot)(const float *a, const float *b, size_t n)
{
    liz_v16 sums = liz_v16_zero();
    EACH sums = liz_v16_fma(AT(a), AT(b), sums);
    return liz_v16_sum(sums);
}

static void GRAD(adam)(const liz_adam *step, const float *g, size_t n, float *w, float *m, float *v)
{
    const liz_v16 beta1 = liz_v16_set(step->beta1), rest1 = liz_v16_set(1 - step->beta1);
    const liz_v16 beta2 = liz_v16_set(step->beta2), rest2 = liz_v16_set(1 - step->beta2);
    const liz_v16 fix1 = liz_v16_set(step->fix1 * step->rate), fix2 = liz_v16_set(step->fix2);
    const liz_v16 eps = liz_v16_set(step->eps), keep = liz_v16_set(1 - step->decay), scale = liz_v16_set(step->scale);
    EACH
    {
        ASK(g), ASK(w), ASK(m), ASK(v);
        liz_v16 d = liz_v16_mul(AT(g), scale);
        liz_v16 first = liz_v16_fma(AT(m), beta1, liz_v16_mul(d, rest1));
        liz_v16 second = liz_v16_fma(AT(v), beta2, liz_v16_mul(liz_v16_mul(d, d), rest2));
        liz_v16 root = liz_v16_add(liz_v16_sqrt(liz_v16_mul(second, fix2)), eps);
        PUT(m, first);
        PUT(v, second);
        PUT(w, liz_v16_sub(liz_v16_mul(AT(w), keep), liz_v16_div(liz_v16_mul(first, fix1), root)));
    }
}

/* ---- Operands ---- */

static void GRAD(transpose)(const float *src, size_t stride, float *dst, size_t dst_stride)
{
    liz_v16 rows[16];
    for (size_t r = 0; r < 16; r++)
        rows[r] = liz_v16_load(src + r * stride);
    liz_v16_transpose(rows);
    for (size_t c = 0; c < 16; c++)
        liz_v16_store(dst + c * dst_stride, rows[c]);
}

static void GRAD(pack_columns)(const float *src, size_t stride, size_t n, size_t k, size_t k_pad, bool stream,
                               uint16_t *panel)
{
    for (size_t i = 0; i < k_pad; i += 2, panel += 32) {
        liz_v16 a = i < k ? liz_v16_load_n(src + i * stride, n) : liz_v16_zero();
        liz_v16 b = i + 1 < k ? liz_v16_load_n(src + (i + 1) * stride, n) : liz_v16_zero();
        liz_v16_store_bf16_pairs(panel, a, b, stream);
    }
}

static void GRAD(pack_rows)(const float *src, size_t stride, size_t n, size_t k, size_t k_pad, bool stream,
                            uint16_t *panel)
{
    for (size_t i = 0; i < k_pad; i += 16) {
        liz_v16 rows[16];
        for (size_t r = 0; r < 16; r++)
            rows[r] = r < n && i < k ? liz_v16_load_n(src + r * stride + i, k - i) : liz_v16_zero();
        liz_v16_transpose(rows);
        for (size_t p = 0; p < 16; p += 2, panel += 32)
            liz_v16_store_bf16_pairs(panel, rows[p], rows[p + 1], stream);
    }
}

void GRAD(liz_grad_kernel)(liz_grad_kernel *kernel)
{
    *kernel = (liz_grad_kernel){
        .norm_stats = GRAD(norm_stats),
        .norm_back = GRAD(norm_back),
        .silu_mul_back = GRAD(silu_mul_back),
        .gelu_back = GRAD(gelu_back),
        .softcap_back = GRAD(softcap_back),
        .softmax = GRAD(softmax),
        .exp_of = GRAD(exp_of),
        .mul_scaled = GRAD(mul_scaled),
        .mul_add = GRAD(mul_add),
        .dot = GRAD(dot),
        .adam = GRAD(adam),
        .pack_rows = GRAD(pack_rows),
        .pack_columns = GRAD(pack_columns),
        .transpose = GRAD(transpose),
    };
}
