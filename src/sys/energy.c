/* energy.c - joules from Linux powercap.
 *
 * A package is a zone intel-rapl:N (also on AMD); its subzones (intel-rapl:N:M) are parts of it and not counted. The
 * counter energy_uj wraps at max_energy_range_uj. Since 2020 it is readable by root alone, so false is the usual answer
 * for others. */
#include "sys/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ZONES_MAX = 8 };

static bool read_counter(const char *zone, const char *name, uint64_t *value)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", zone, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fscanf(file, "%" SCNu64, value) == 1;
    fclose(file);
    return ok;
}

static bool is_package(const char *name)
{
    const char *prefix = "intel-rapl:", *rest = name + strlen(prefix);
    return strncmp(name, prefix, strlen(prefix)) == 0 && *rest != '\0' && strchr(rest, ':') == NULL;
}

static void zone_add(liz_energy_meter *meter, const char *root, const char *name)
{
    int i = meter->n_zones;
    int n = snprintf(meter->zone_path[i], sizeof meter->zone_path[i], "%s/%s", root, name);
    if (n < 0 || (size_t)n >= sizeof meter->zone_path[i])
        return;
    if (read_counter(meter->zone_path[i], "energy_uj", &meter->last_uj[i]) &&
        read_counter(meter->zone_path[i], "max_energy_range_uj", &meter->range_uj[i]))
        meter->n_zones++;
}

bool liz_energy_open(liz_energy_meter *meter, const char *root)
{
    *meter = (liz_energy_meter){0};
    if (root == NULL)
        root = "/sys/class/powercap";
    DIR *folder = opendir(root);
    if (folder == NULL)
        return false;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && meter->n_zones < ZONES_MAX;)
        if (is_package(entry->d_name))
            zone_add(meter, root, entry->d_name);
    closedir(folder);
    return meter->n_zones > 0;
}

double liz_energy_read_j(liz_energy_meter *meter)
{
    for (int i = 0; i < meter->n_zones; i++) {
        uint64_t now;
        if (!read_counter(meter->zone_path[i], "energy_uj", &now))
            continue;
        uint64_t used =
            now >= meter->last_uj[i] ? now - meter->last_uj[i] : now + meter->range_uj[i] - meter->last_uj[i];
        meter->total_j += (double)used * 1e-6;
        meter->last_uj[i] = now;
    }
    return meter->total_j;
}
