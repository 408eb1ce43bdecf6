/* energy.c - joules from Linux powercap.
 *
 * A zone is a folder intel-rapl:N or intel-rapl:N:M (also on AMD) whose file `name` says what it meters. Packages and
 * their memory (dram) count; cores and the like are parts of a package, and psys is the platform, packages included.
 * The counter energy_uj wraps at max_energy_range_uj, and begins anew where a driver does. Since 2020 it is readable by
 * root alone, so false is the usual answer for others. */
#include "sys/clock.h"
#include "sys/group.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the zone's own name says that it counts. */
static bool zone_counts(const char *zone)
{
    char path[LIZ_ENERGY_PATH_MAX + 8], name[32];
    snprintf(path, sizeof path, "%s/name", zone);
    return liz_small_file_read(path, name, sizeof name) &&
           (strncmp(name, "package", 7) == 0 || strcmp(name, "dram\n") == 0);
}

/* False where the zone counts and cannot be read: the others would pass for the whole machine. */
static bool zone_add(liz_energy_meter *meter, const char *root, const char *name)
{
    int i = meter->n_zones;
    int n = snprintf(meter->zone_path[i], sizeof meter->zone_path[i], "%s/%s", root, name);
    if (n < 0 || (size_t)n >= sizeof meter->zone_path[i])
        return false;
    if (!zone_counts(meter->zone_path[i]))
        return true;
    meter->n_zones++;
    return liz_small_file_number(meter->zone_path[i], "energy_uj", &meter->last_uj[i]) &&
           liz_small_file_number(meter->zone_path[i], "max_energy_range_uj", &meter->range_uj[i]);
}

bool liz_energy_open(liz_energy_meter *meter, const char *root)
{
    *meter = (liz_energy_meter){0};
    if (root == NULL)
        root = getenv("LIZZIE_POWERCAP");
    if (root == NULL)
        root = "/sys/class/powercap";
    DIR *folder = opendir(root);
    if (folder == NULL)
        return false;
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(folder)) != NULL;)
        if (strncmp(entry->d_name, "intel-rapl:", 11) == 0)
            ok = meter->n_zones < LIZ_ENERGY_ZONES_MAX && zone_add(meter, root, entry->d_name);
    closedir(folder);
    return ok && meter->n_zones > 0;
}

/* What a counter has counted since it stood at `last`. It is read far more often than it goes half way round, so one
 * that stands lower has wrapped from its upper half, or begun anew. */
static uint64_t counted(uint64_t last, uint64_t now, uint64_t range)
{
    if (now >= last)
        return now - last;
    return last <= range && last > range / 2 ? now + (range - last) : now;
}

double liz_energy_read_j(liz_energy_meter *meter)
{
    for (int i = 0; i < meter->n_zones; i++) {
        uint64_t now;
        if (!liz_small_file_number(meter->zone_path[i], "energy_uj", &now))
            continue;
        meter->total_j += (double)counted(meter->last_uj[i], now, meter->range_uj[i]) * 1e-6;
        meter->last_uj[i] = now;
    }
    return meter->total_j;
}
