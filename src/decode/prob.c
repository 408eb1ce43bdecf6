/* prob.c - the passes at the width of every 64-bit machine, which of them to use, and the logarithm. */
#define PROB_LANES 4
#define PROB_OPS liz_prob_ops_baseline
#include "decode/prob_body.h"

const liz_prob_ops *liz_prob_ops_of(int n_lanes)
{
#if defined(__x86_64__)
    if (n_lanes >= 8)
        return n_lanes >= 16 ? &liz_prob_ops_avx512 : &liz_prob_ops_avx2;
#endif
    (void)n_lanes;
    return &liz_prob_ops_baseline;
}

uint64_t liz_prob_weight(float logit, float max, float inv_temp)
{
    weights w = weights_of(splat(logit), splat(max), splat(inv_temp));
    return ((uint64_t)(uint32_t)w.high[0] << 20) + (uint32_t)w.low[0];
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s), s = (m - 1) / (m + 1), by its series: |s| < 0.1716, so
 * that the first term left out is below 1e-18. */
double liz_prob_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0.70710678118654752) {
        m *= 2;
        e -= 1;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 1.0 / 21;
    for (int k = 19; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return (double)e * 0.69314718055994531 + 2 * s * sum;
}

/* x = n ln 2 + r with |r| <= ln(2) / 2, ln 2 split in two so that n times its greater part is exact, and the series in
 * r up to r^13 / 13!, where what is left out is below 1e-17. */
double liz_prob_exp(double x)
{
    if (!(x >= -700))
        return 0;
    int n = (int)(x * 1.4426950408889634 - 0.5);
    double r = (x - (double)n * 6.93147180369123816490e-01) - (double)n * 1.90821492927058770002e-10, sum = 1;
    for (int k = 13; k >= 1; k--)
        sum = 1 + sum * r / k;
    uint64_t bits = (uint64_t)(1023 + n) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}
