/* memory.h - what memory there is, and memory for large arrays. */
#ifndef LIZ_SYS_MEMORY_H
#define LIZ_SYS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Bytes this process may still take: the least of MemAvailable and what every cgroup above it (v1 and v2) leaves.
 * File pages that the system can give up count as available. */
uint64_t liz_memory_available(void);

/* The same as told by the files under `root` (its proc/ and what its proc/self/mountinfo names), for tests. */
uint64_t liz_memory_available_under(const char *root);

/* This process's resident bytes now and at most so far (VmRSS, VmHWM); 0 where unknown. */
uint64_t liz_memory_resident(void);
uint64_t liz_memory_resident_max(void);

/* Zeroed pages from the system, 64-byte aligned at least, on huge pages where the system offers them; NULL when
 * refused. Not touched yet, so not resident. */
void *liz_memory_map(size_t size_bytes);
void liz_memory_unmap(void *p, size_t size_bytes);

#endif
