/* rows_body.h - operations on rows of activations, written once for all tiers (see lanes.h).
 *
 * Sums run in sixteen lanes, element i in lane i % 16, ascending, and end in the fixed tree of liz_v16_sum. */
#include "base/half.h"
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"

#define ROWS_CAT_(name, tier) name##_##tier
#define ROWS_CAT(name, tier) ROWS_CAT_(name, tier)
#define ROWS(name) ROWS_CAT(name, LIZ_TIER)

/* ---- Activations to the forms that matrices take ---- */

static void quantize_block(const float *x, size_t n, int8_t *q, float *d, int32_t *sum)
{
    const liz_v16 infinite = liz_v16_set(INFINITY);
    liz_v16 most = liz_v16_zero();
    bool finite = true;
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_abs(liz_v16_load_n(x + i, n - i));
        finite = finite && liz_m16_all(liz_v16_lt(v, infinite));
        most = liz_v16_max(v, most);
    }
    float amax = liz_v16_max_lane(most);
    if (n < LIZ_BLOCK_LEN || !finite || amax < 0x1p-100f)
        memset(q, 0, LIZ_BLOCK_LEN);
    if (!finite || amax < 0x1p-100f) {
        *d = finite ? 0.0f : NAN;
        *sum = 0;
        return;
    }
    liz_v16 inverse = liz_v16_set(127.0f / amax), total = liz_v16_zero(); /* whole numbers: exact in float */
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 whole = liz_v16_rint(liz_v16_mul(liz_v16_load_n(x + i, n - i), inverse));
        total = liz_v16_add(total, whole);
        liz_v16_store_i8(q + liz_packed_index((int)i), whole);
    }
    *d = amax / 127.0f;
    *sum = 128 * (int32_t)liz_v16_sum(total);
}

static void ROWS(quantize_i8)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum)
{
    for (size_t k = 0; k < n; k += LIZ_BLOCK_LEN, q += LIZ_BLOCK_LEN)
        quantize_block(x + k, n - k < LIZ_BLOCK_LEN ? n - k : LIZ_BLOCK_LEN, q, d++, sum++);
}

static void ROWS(round_bf16)(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_round_bf16(liz_v16_load_n(x + i, n - i)), n - i);
}

/* ---- Norms ---- */

static void ROWS(rms_norm)(const float *x, const float *weight, float eps, size_t n, float *y)
{
    liz_v16 squares = liz_v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_load_n(x + i, n - i);
        squares = liz_v16_fma(v, v, squares);
    }
    liz_v16 inverse = liz_v16_set(1.0f / sqrtf(liz_v16_sum(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_mul(liz_v16_load_n(x + i, n - i), inverse);
        if (weight != NULL)
            v = liz_v16_mul(v, liz_v16_load_n(weight + i, n - i));
        liz_v16_store_n(y + i, v, n - i);
    }
}

static void ROWS(layer_norm)(const float *x, const float *weight, const float *bias, float eps, size_t n, float *y)
{
    liz_v16 sums = liz_v16_zero(), squares = liz_v16_zero();
    for (size_t i = 0; i < n; i += 16)
        sums = liz_v16_add(sums, liz_v16_load_n(x + i, n - i));
    liz_v16 mean = liz_v16_set(liz_v16_sum(sums) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_keep_n(liz_v16_sub(liz_v16_load_n(x + i, n - i), mean), n - i, liz_v16_zero());
        squares = liz_v16_fma(v, v, squares);
    }
    liz_v16 inverse = liz_v16_set(1.0f / sqrtf(liz_v16_sum(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_mul(liz_v16_sub(liz_v16_load_n(x + i, n - i), mean), inverse);
        v = liz_v16_mul(v, liz_v16_load_n(weight + i, n - i));
        if (bias != NULL)
            v = liz_v16_add(v, liz_v16_load_n(bias + i, n - i));
        liz_v16_store_n(y + i, v, n - i);
    }
}

/* ---- Elementwise ---- */

static void ROWS(add)(const float *a, const float *b, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_add(liz_v16_load_n(a + i, n - i), liz_v16_load_n(b + i, n - i)), n - i);
}

static void ROWS(scale)(const float *x, float a, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_mul(liz_v16_load_n(x + i, n - i), liz_v16_set(a)), n - i);
}

static void ROWS(add_scaled)(const float *x, float a, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_fma(liz_v16_load_n(x + i, n - i), liz_v16_set(a), liz_v16_load_n(y + i, n - i));
        liz_v16_store_n(y + i, v, n - i);
    }
}

/* ---- Activations of a feed-forward: y = f(gate) * up, or f(gate) where `up` is NULL ---- */

/* x / (1 + e^(-a x)) */
LIZ_LANE_FN liz_v16 silu16(liz_v16 x, float a)
{
    return liz_v16_div(x, liz_v16_add(liz_v16_exp(liz_v16_mul(x, liz_v16_set(-a))), liz_v16_set(1.0f)));
}

/* x / 2 (1 + tanh u), u = sqrt(2 / pi) (x + 0.044715 x^3); that is x (1 - 1 / (1 + e^2u)). */
LIZ_LANE_FN liz_v16 gelu16(liz_v16 x)
{
    liz_v16 cubic = liz_v16_fma(liz_v16_mul(liz_v16_mul(x, x), x), liz_v16_set(0.044715f), x);
    liz_v16 e = liz_v16_exp(liz_v16_mul(cubic, liz_v16_set(2 * 0.7978845608f)));
    return liz_v16_sub(x, liz_v16_div(x, liz_v16_add(e, liz_v16_set(1.0f))));
}

#define GATED(name, f)                                                                                                 \
    static void ROWS(name)(const float *gate, const float *up, size_t n, float *y)                                     \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i += 16) {                                                                           \
            liz_v16 g = liz_v16_load_n(gate + i, n - i), v = f;                                                        \
            liz_v16_store_n(y + i, up != NULL ? liz_v16_mul(v, liz_v16_load_n(up + i, n - i)) : v, n - i);             \
        }                                                                                                              \
    }

GATED(silu_mul, silu16(g, 1.0f))
GATED(gelu_mul, gelu16(g))

/* The clamped SwiGLU of gpt-oss. */
static void ROWS(swiglu_oai)(const float *gate, const float *up, size_t n, float *y)
{
    const liz_v16 limit = liz_v16_set(7.0f), low = liz_v16_set(-7.0f);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 g = liz_v16_load_n(gate + i, n - i), u = liz_v16_load_n(up + i, n - i);
        g = liz_v16_select(liz_v16_lt(limit, g), limit, g);
        u = liz_v16_select(liz_v16_lt(limit, u), limit, u);
        u = liz_v16_select(liz_v16_lt(u, low), low, u);
        g = silu16(g, 1.702f);
        liz_v16_store_n(y + i, liz_v16_fma(g, u, g), n - i);
    }
}

/* ---- Probabilities ---- */

static void ROWS(softmax)(const float *x, size_t n, float *y)
{
    liz_v16 most = liz_v16_set(-INFINITY), sums = liz_v16_zero();
    for (size_t i = 0; i < n; i += 16)
        most = liz_v16_max(liz_v16_keep_n(liz_v16_load_n(x + i, n - i), n - i, most), most);
    liz_v16 m = liz_v16_set(liz_v16_max_lane(most));
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 p = liz_v16_exp(liz_v16_sub(liz_v16_load_n(x + i, n - i), m));
        liz_v16_store_n(y + i, p, n - i);
        sums = liz_v16_add(sums, liz_v16_keep_n(p, n - i, liz_v16_zero()));
    }
    liz_v16 total = liz_v16_set(liz_v16_sum(sums));
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_div(liz_v16_load_n(y + i, n - i), total), n - i);
}

static void ROWS(sigmoid)(const float *x, size_t n, float *y)
{
    const liz_v16 one = liz_v16_set(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 e = liz_v16_exp(liz_v16_sub(liz_v16_zero(), liz_v16_load_n(x + i, n - i)));
        liz_v16_store_n(y + i, liz_v16_div(one, liz_v16_add(e, one)), n - i);
    }
}

/* cap * tanh(x / cap) */
static void ROWS(softcap)(const float *x, float cap, size_t n, float *y)
{
    const liz_v16 c = liz_v16_set(cap);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_div(liz_v16_load_n(x + i, n - i), c);
        liz_v16_store_n(y + i, liz_v16_mul(liz_v16_tanh(v), c), n - i);
    }
}

/* (a, b) turned by an angle: a cos - b sin, b cos + a sin, each with one rounding of the second product's sum. */
LIZ_LANE_FN void rope_pair(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    float ys = y * s, xs = x * s;
    *a = x * c - ys;
    *b = y * c + xs;
}

static void ROWS(rope)(float *x, const float *cos, const float *sin, liz_rope_shape shape)
{
    int half = shape.n_dims / 2;
    for (int i = 0; i < half; i++) {
        if (shape.neox)
            rope_pair(x + i, x + i + half, cos[i], sin[i]);
        else
            rope_pair(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
    }
}

/* ---- Float weights ---- */

/* Pair p of a group: 16 rows' even and odd elements. */
LIZ_LANE_FN void weights_f32(const void *group, size_t pair, liz_v16 *even, liz_v16 *odd)
{
    liz_v16_pairs_f32((const float *)group + 32 * pair, even, odd);
}

LIZ_LANE_FN void weights_bf16(const void *group, size_t pair, liz_v16 *even, liz_v16 *odd)
{
    liz_v16_pairs_bf16((const uint16_t *)group + 32 * pair, even, odd);
}

/* N tokens at once; the tail of the caller's tokens comes with N = 1. */
#define DOT_F32_TOKENS(N, group_bytes, weights)                                                                        \
    LIZ_LANE_FN void dot_f32_##weights##_##N(const uint8_t *panel, size_t n_groups, const float *x, size_t x_stride,   \
                                             float *y, size_t y_stride)                                                \
    {                                                                                                                  \
        liz_v16 sum[N];                                                                                                \
        for (int t = 0; t < N; t++)                                                                                    \
            sum[t] = liz_v16_zero();                                                                                   \
        for (size_t g = 0; g < n_groups; g++, panel += (group_bytes), x += LIZ_GROUP_LEN) {                            \
            liz_v16 even[N], odd[N];                                                                                   \
            for (int t = 0; t < N; t++)                                                                                \
                even[t] = odd[t] = liz_v16_zero();                                                                     \
            for (size_t p = 0; p < LIZ_GROUP_LEN / 2; p++) {                                                           \
                liz_v16 we, wo;                                                                                        \
                weights(panel, p, &we, &wo);                                                                           \
                for (int t = 0; t < N; t++) {                                                                          \
                    even[t] = liz_v16_fma(we, liz_v16_set(x[(size_t)t * x_stride + 2 * p]), even[t]);                  \
                    odd[t] = liz_v16_fma(wo, liz_v16_set(x[(size_t)t * x_stride + 2 * p + 1]), odd[t]);                \
                }                                                                                                      \
            }                                                                                                          \
            for (int t = 0; t < N; t++)                                                                                \
                sum[t] = liz_v16_add(sum[t], liz_v16_add(even[t], odd[t]));                                            \
        }                                                                                                              \
        for (int t = 0; t < N; t++)                                                                                    \
            liz_v16_store(y + (size_t)t * y_stride, sum[t]);                                                           \
    }

DOT_F32_TOKENS(4, 16 * LIZ_GROUP_LEN * 4, weights_f32)
DOT_F32_TOKENS(1, 16 * LIZ_GROUP_LEN * 4, weights_f32)
DOT_F32_TOKENS(4, 16 * LIZ_GROUP_LEN * 2, weights_bf16)
DOT_F32_TOKENS(1, 16 * LIZ_GROUP_LEN * 2, weights_bf16)

#define DOT_F32(name, weights)                                                                                         \
    static void ROWS(name)(const void *panel, size_t n_groups, const float *x, size_t x_stride, size_t n_tok,          \
                           float *y, size_t y_stride)                                                                  \
    {                                                                                                                  \
        size_t t = 0;                                                                                                  \
        for (; t + 4 <= n_tok; t += 4)                                                                                 \
            dot_f32_##weights##_4(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);            \
        for (; t < n_tok; t++)                                                                                         \
            dot_f32_##weights##_1(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);            \
    }

DOT_F32(dot_f32, weights_f32)
DOT_F32(dot_bf16, weights_bf16)

/* ---- Attention ---- */

#include "kernel/attention_body.h"

void ROWS(liz_kernel_rows)(liz_kernel *kernel)
{
    kernel->quantize_i8 = ROWS(quantize_i8);
    kernel->round_bf16 = ROWS(round_bf16);
    kernel->rms_norm = ROWS(rms_norm);
    kernel->layer_norm = ROWS(layer_norm);
    kernel->add = ROWS(add);
    kernel->scale = ROWS(scale);
    kernel->add_scaled = ROWS(add_scaled);
    kernel->silu_mul = ROWS(silu_mul);
    kernel->gelu_mul = ROWS(gelu_mul);
    kernel->swiglu_oai = ROWS(swiglu_oai);
    kernel->softmax = ROWS(softmax);
    kernel->sigmoid = ROWS(sigmoid);
    kernel->softcap = ROWS(softcap);
    kernel->rope = ROWS(rope);
    kernel->dot_f32[LIZ_PACK_F32] = ROWS(dot_f32);
    kernel->dot_f32[LIZ_PACK_BF16] = ROWS(dot_bf16);
    ROWS(liz_kernel_attention)(kernel);
}
