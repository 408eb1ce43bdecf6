/* memory.c - how much memory this process may take, read from where Linux tells it.
 *
 * The system's MemAvailable is one limit; every control group on the path from ours to the root is another. A group's
 * rest is its limit less its usage, where usage counts file pages that the kernel drops when it needs room: those
 * are given back here, because a mapped model file fills the page cache without harm. Both hierarchies are read, v1
 * (memory controller) and v2; in a container the path in /proc/self/cgroup may lie outside what is mounted, so the
 * mount's own root is taken off it, and the mount point itself is always asked.
 *
 * Small text files are read whole into a buffer on the stack. A file that is missing or says "max" is no limit. */
#include "sys/memory.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TEXT_MAX = 64 * 1024, HUGE_PAGE_BYTES = 2 * 1024 * 1024 };

/* Where one hierarchy keeps its numbers. */
typedef struct group_files {
    const char *limit, *limit_soft, *usage;
    const char *file_active, *file_inactive; /* lines of memory.stat */
} group_files;

static const group_files files_v1 = {"memory.limit_in_bytes", NULL, "memory.usage_in_bytes", "total_active_file",
                                     "total_inactive_file"};
static const group_files files_v2 = {"memory.max", "memory.high", "memory.current", "active_file", "inactive_file"};

static bool text_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fd, text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    close(fd);
    text[n] = '\0';
    return n > 0;
}

/* The number after `key` at the start of a line; false when there is none. */
static bool line_number(const char *text, const char *key, uint64_t *out)
{
    size_t n = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, key, n) == 0 && strchr(" \t:", line[n]) != NULL) {
            char *end;
            const char *digits = line + n + strspn(line + n, " \t:");
            unsigned long long value = strtoull(digits, &end, 10);
            if (end != digits)
                *out = value;
            return end != digits;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return false;
}

static bool file_number(const char *dir, const char *name, uint64_t *out)
{
    char path[PATH_MAX], text[64], *end;
    if (name == NULL || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path ||
        !text_read(path, text, sizeof text))
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (end != text) /* "max" has no digits */
        *out = value;
    return end != text;
}

static uint64_t group_reclaimable(const char *dir, const group_files *files)
{
    char path[PATH_MAX], text[TEXT_MAX];
    uint64_t active = 0, inactive = 0;
    if (snprintf(path, sizeof path, "%s/memory.stat", dir) >= (int)sizeof path || !text_read(path, text, sizeof text))
        return 0;
    line_number(text, files->file_active, &active);
    line_number(text, files->file_inactive, &inactive);
    return active + inactive;
}

/* What one group leaves; UINT64_MAX where it sets no limit. */
static uint64_t group_rest(const char *dir, const group_files *files)
{
    uint64_t limit = UINT64_MAX, soft, usage;
    file_number(dir, files->limit, &limit);
    if (file_number(dir, files->limit_soft, &soft) && soft < limit)
        limit = soft;
    if (limit >= INT64_MAX / 2 || !file_number(dir, files->usage, &usage))
        return UINT64_MAX;
    uint64_t file_bytes = group_reclaimable(dir, files);
    usage -= file_bytes < usage ? file_bytes : usage;
    return usage < limit ? limit - usage : 0;
}

/* The least rest of the groups from `mount`/`group` up to `mount`. */
static uint64_t hierarchy_rest(const char *mount, const char *group, const group_files *files)
{
    char dir[PATH_MAX];
    int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof dir)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    for (size_t mount_len = strlen(mount);;) {
        uint64_t rest = group_rest(dir, files);
        least = rest < least ? rest : least;
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= mount_len || slash == NULL || (size_t)(slash - dir) < mount_len)
            return least;
        *slash = '\0';
    }
}

/* The path of our group in a hierarchy: the line "0::PATH" for v2, "N:...,memory,...:PATH" for v1. */
static bool group_path(const char *cgroups, bool v2, char *path, size_t size)
{
    for (const char *line = cgroups; line != NULL && *line != '\0';) {
        const char *names = strchr(line, ':'), *end = strchrnul(line, '\n');
        const char *at = names == NULL ? NULL : strchr(names + 1, ':');
        if (at == NULL || at >= end)
            return false;
        char list[256];
        snprintf(list, sizeof list, ",%.*s,", (int)(at - names - 1), names + 1);
        bool ours = v2 ? strcmp(list, ",,") == 0 : strstr(list, ",memory,") != NULL;
        if (ours) {
            snprintf(path, size, "%.*s", (int)(end - at - 1), at + 1);
            return true;
        }
        line = *end == '\n' ? end + 1 : NULL;
    }
    return false;
}

/* One line of mountinfo: ID PARENT DEV ROOT MOUNT OPTIONS [FIELDS] - TYPE SOURCE SUPER. */
static uint64_t mount_rest(const char *root, const char *line, const char *cgroups)
{
    char inside[PATH_MAX], mount[PATH_MAX], type[32], super[256], group[PATH_MAX];
    const char *tail = strstr(line, " - ");
    if (tail == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", inside, mount) != 2 ||
        sscanf(tail, " - %31s %*s %255s", type, super) != 2)
        return UINT64_MAX;
    bool v2 = strcmp(type, "cgroup2") == 0;
    bool v1 = strcmp(type, "cgroup") == 0 && strstr(super, "memory") != NULL;
    if ((!v1 && !v2) || !group_path(cgroups, v2, group, sizeof group))
        return UINT64_MAX;
    size_t n_inside = strcmp(inside, "/") == 0 ? 0 : strlen(inside);
    bool below = strncmp(group, inside, n_inside) == 0 && (group[n_inside] == '/' || group[n_inside] == '\0');
    char dir[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s%s", root, mount) >= (int)sizeof dir)
        return UINT64_MAX;
    return hierarchy_rest(dir, below ? group + n_inside : "", v2 ? &files_v2 : &files_v1);
}

static uint64_t groups_rest(const char *root)
{
    char path[PATH_MAX], cgroups[4096], *line = NULL;
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!text_read(path, cgroups, sizeof cgroups))
        return least;
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *mounts = fopen(path, "re");
    if (mounts == NULL)
        return least;
    for (size_t size = 0; getline(&line, &size, mounts) > 0;) {
        uint64_t rest = mount_rest(root, line, cgroups);
        least = rest < least ? rest : least;
    }
    free(line);
    fclose(mounts);
    return least;
}

uint64_t liz_memory_available_under(const char *root)
{
    char path[PATH_MAX], text[8192];
    uint64_t kib;
    uint64_t least = groups_rest(root);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (text_read(path, text, sizeof text) && line_number(text, "MemAvailable", &kib) && kib < least / 1024)
        least = kib * 1024;
    return least;
}

uint64_t liz_memory_available(void) { return liz_memory_available_under(""); }

static uint64_t status_bytes(const char *key)
{
    char text[8192];
    uint64_t kib = 0;
    if (text_read("/proc/self/status", text, sizeof text))
        line_number(text, key, &kib);
    return kib * 1024;
}

uint64_t liz_memory_resident(void) { return status_bytes("VmRSS"); }
uint64_t liz_memory_resident_max(void) { return status_bytes("VmHWM"); }

/* Mapped with room to spare, then trimmed so that a large array starts on a huge page's border. */
void *liz_memory_map(size_t size_bytes)
{
    size_t align = size_bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : (size_t)sysconf(_SC_PAGESIZE);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size_bytes == 0 || size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = (size_bytes + page - 1) / page * page;
    size_t total = size + align - page;
    char *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t head = (align - (uintptr_t)p % align) % align;
    if (head > 0)
        munmap(p, head);
    if (total - head - size > 0)
        munmap(p + head + size, total - head - size);
    if (size >= HUGE_PAGE_BYTES)
        madvise(p + head, size, MADV_HUGEPAGE); /* a wish */
    return p + head;
}

void liz_memory_unmap(void *p, size_t size_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (p != NULL)
        munmap(p, (size_bytes + page - 1) / page * page);
}
