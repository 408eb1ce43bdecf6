/* angle.c - argument reduction and Taylor polynomials in double. */
#include "kernel/angle.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static double rint_even(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

double liz_angle_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    double m;
    memcpy(&m, &bits, 8);
    if (m > 0x1.6a09e667f3bcdp0) { /* sqrt 2 */
        m *= 0.5;
        exponent++;
    }
    /* log m = 2 atanh s, a series in s^2 <= 0.0295 */
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * s2;
    return 2 * s * (1 + sum) + exponent * 0x1.62e42fefa39efp-1;
}

double liz_angle_pow(double x, double y)
{
    double power = y * liz_angle_log(x) * 0x1.71547652b82fep0; /* in base 2 */
    double whole = rint_even(power), r = (power - whole) * 0x1.62e42fefa39efp-1, sum = 1;
    for (int k = 15; k >= 1; k--)
        sum = 1 + sum * r / k;
    uint64_t bits = (uint64_t)(int64_t)(1023 + (int)whole) << 52;
    double scale;
    memcpy(&scale, &bits, 8);
    return sum * scale;
}

void liz_angle_sincos(double x, double *sin, double *cos)
{
    if (!(x > -0x1p52 && x < 0x1p52)) { /* only from a damaged file: the logits are no numbers then, which is noticed */
        *sin = *cos = NAN;
        return;
    }
    /* pi / 2 in three parts of 33 bits, so that products with the quadrant number are exact. */
    double quadrant = rint_even(x * 0x1.45f306dc9c883p-1);
    double r = x - quadrant * 0x1.921fb54400000p0;
    r -= quadrant * 0x1.0b4611a600000p-34;
    r -= quadrant * 0x1.3198a2e037073p-69;
    double r2 = r * r, s = 1, c = 1;
    for (int k = 17; k >= 3; k -= 2)
        s = 1 - s * r2 / (k * (k - 1));
    for (int k = 18; k >= 2; k -= 2)
        c = 1 - c * r2 / (k * (k - 1));
    s *= r;
    int turn = (int)((int64_t)quadrant & 3);
    *sin = turn == 0 ? s : turn == 1 ? c : turn == 2 ? -s : -c;
    *cos = turn == 0 ? c : turn == 1 ? -s : turn == 2 ? -c : s;
}
