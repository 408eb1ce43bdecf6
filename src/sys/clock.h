/* clock.h - time and energy as the machine tells them. */
#ifndef LIZ_SYS_CLOCK_H
#define LIZ_SYS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds of the monotonic clock. */
uint64_t liz_clock_us(void);

/* Seconds since 1970 of the real-time clock. */
int64_t liz_clock_unix_s(void);

enum { LIZ_ENERGY_ZONES_MAX = 64, LIZ_ENERGY_PATH_MAX = 256 };

/* Joules used by all packages and their memory since some moment (Linux powercap, RAPL), wrap-around handled between
 * calls of one meter. False where the machine does not tell, or not of all. Not thread safe for one meter. */
typedef struct liz_energy_meter {
    int n_zones;
    char zone_path[LIZ_ENERGY_ZONES_MAX][LIZ_ENERGY_PATH_MAX];
    uint64_t last_uj[LIZ_ENERGY_ZONES_MAX], range_uj[LIZ_ENERGY_ZONES_MAX];
    double total_j;
} liz_energy_meter;

/* `root` is /sys/class/powercap, or another tree of its form in tests; NULL means what LIZZIE_POWERCAP names, else the
 * former. */
bool liz_energy_open(liz_energy_meter *meter, const char *root);
/* Joules since open. Call at least once a minute: a counter wraps. */
double liz_energy_read_j(liz_energy_meter *meter);

#endif
