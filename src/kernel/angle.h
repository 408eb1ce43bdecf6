/* angle.h - the few transcendental numbers a model needs in double: rotary angles.
 *
 * Plain double arithmetic in a fixed order, no libm, so that every machine gets the same bits. Each is within a few
 * units in the last place of double, far below what float keeps of it. */
#ifndef LIZ_KERNEL_ANGLE_H
#define LIZ_KERNEL_ANGLE_H

/* x^y for x > 0, |y log2 x| < 1000. */
double liz_angle_pow(double x, double y);

/* Natural logarithm of x > 0, finite. */
double liz_angle_log(double x);

/* Sine and cosine for |x| < 2^26, with ten bits less at the upper end. */
void liz_angle_sincos(double x, double *sin, double *cos);

#endif
