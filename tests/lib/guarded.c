/* guarded.c - see the header. */
#include "guarded.h"

#include "base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

uint64_t rng_seed;
static uint64_t rng_count;

uint32_t rnd(void)
{
    uint64_t n = rng_count++;
    return liz_philox4x32(rng_seed, (liz_philox){{(uint32_t)n, (uint32_t)(n >> 32), 0, 0}}).v[0];
}

float rnd_unit(void) { return (float)((double)rnd() * 0x1p-32); }

float rnd_gauss(void) { return sqrtf(-2 * logf(rnd_unit() + 1e-9f)) * cosf(6.2831853f * rnd_unit()); }

enum { CANARY = 64, CANARY_BYTE = 0xA5, GUARDS_MAX = 1024 };

static struct {
    void *map;
    size_t size;
} guards[GUARDS_MAX];
static int n_guards;

void *guarded(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (n + 63) / 64 * 64,
           size = (used + page - 1) / page * page + page;
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED && n_guards < GUARDS_MAX);
    madvise(map, size, MADV_HUGEPAGE);
    assert_int_equal(mprotect(map + size - page, page, PROT_NONE), 0);
    guards[n_guards].map = map;
    guards[n_guards++].size = size;
    return map + size - page - used;
}

void guards_release(void)
{
    while (n_guards > 0) {
        n_guards--;
        munmap(guards[n_guards].map, guards[n_guards].size);
    }
}

uint8_t *canaries_new(size_t n)
{
    uint8_t *p = aligned_alloc(64, (n + 2 * CANARY + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, CANARY_BYTE, n + 2 * CANARY);
    return p + CANARY;
}

void canaries_check(uint8_t *p, size_t n, const char *what)
{
    for (int i = 0; i < CANARY; i++)
        if (p[-1 - i] != CANARY_BYTE || p[n + (size_t)i] != CANARY_BYTE)
            fail_msg("%s: wrote outside its output", what);
    free(p - CANARY);
}
