/* clock.c - the system's two clocks. */
#include "sys/clock.h"

#include <time.h>

uint64_t liz_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

int64_t liz_clock_unix_s(void) { return (int64_t)time(NULL); }
