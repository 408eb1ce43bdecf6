/* memory.c - how much memory this process may take, read from where Linux tells it.
 *
 * The system's MemAvailable is one limit; every control group on the path from ours to the root is another. A group's
 * rest is its limit less its usage, where usage counts file pages that the kernel drops when it needs room: those
 * are given back here, because a mapped model file fills the page cache without harm. */
#include "sys/memory.h"

#include "sys/group.h"

#include <limits.h>
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

static uint64_t group_reclaimable(const char *dir, const group_files *files)
{
    char path[PATH_MAX], text[TEXT_MAX];
    uint64_t active = 0, inactive = 0;
    if (snprintf(path, sizeof path, "%s/memory.stat", dir) >= (int)sizeof path ||
        !liz_small_file_read(path, text, sizeof text))
        return 0;
    line_number(text, files->file_active, &active);
    line_number(text, files->file_inactive, &inactive);
    return active + inactive;
}

/* Lowers the `least` to what one group leaves, where it sets a limit. */
static void see_group(void *least, const char *dir, bool v2)
{
    const group_files *files = v2 ? &files_v2 : &files_v1;
    uint64_t limit = UINT64_MAX, soft, usage, *rest = least;
    liz_small_file_number(dir, files->limit, &limit);
    if (files->limit_soft != NULL && liz_small_file_number(dir, files->limit_soft, &soft) && soft < limit)
        limit = soft;
    if (limit >= INT64_MAX / 2 || !liz_small_file_number(dir, files->usage, &usage))
        return;
    uint64_t file_bytes = group_reclaimable(dir, files);
    usage -= file_bytes < usage ? file_bytes : usage;
    uint64_t left = usage < limit ? limit - usage : 0;
    *rest = left < *rest ? left : *rest;
}

uint64_t liz_memory_available_under(const char *root)
{
    char path[PATH_MAX], text[8192];
    uint64_t kib, least = UINT64_MAX;
    liz_groups_each(root, "memory", see_group, &least);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (liz_small_file_read(path, text, sizeof text) && line_number(text, "MemAvailable", &kib) && kib < least / 1024)
        least = kib * 1024;
    return least;
}

uint64_t liz_memory_available(void) { return liz_memory_available_under(""); }

static uint64_t status_bytes(const char *key)
{
    char text[8192];
    uint64_t kib = 0;
    if (liz_small_file_read("/proc/self/status", text, sizeof text))
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
