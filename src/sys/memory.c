/* placeholder until the engine branch's memory.c lands */
#include "sys/memory.h"
#include <sys/mman.h>
void *liz_memory_map(size_t n) { void *p = mmap(0, n, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); if (p == MAP_FAILED) return 0; madvise(p, n, MADV_HUGEPAGE); return p; }
void liz_memory_unmap(void *p, size_t n) { if (p) munmap(p, n); }
