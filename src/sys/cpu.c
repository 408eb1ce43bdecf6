/* cpu.c - CPUID, the operating system's word on AMX, affinity and cgroup quota. */
#include "sys/cpu.h"

#include "base/log.h"
#include "sys/group.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const tier_names[] = {"c", "avx2", "avx512", "amx"};

#if defined(__x86_64__)
#include <cpuid.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

/* CPUID leaf 7, EDX: AMX bf16, tiles, int8; not every cpuid.h names them. */
enum { AMX_BITS = 1 << 22 | 1 << 24 | 1 << 25 };

static uint64_t xcr0_read(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool bits_set(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

__attribute__((weak)) bool liz_cpu_has_amx(void)
{
    unsigned a, b, c, d;
    return bits_set(xcr0_read(), 0x60000) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && bits_set(d, AMX_BITS) &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static liz_tier_id tier_detect(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bits_set(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C))
        return LIZ_TIER_C;
    uint64_t xcr0 = xcr0_read();
    if (!bits_set(xcr0, 0x6) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !bits_set(b, bit_AVX2 | bit_BMI | bit_BMI2))
        return LIZ_TIER_C;
    const unsigned need_b = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ | bit_AVX512CD;
    const unsigned need_c = bit_AVX512VNNI | bit_AVX512VBMI | bit_AVX512VBMI2;
    if (!bits_set(xcr0, 0xE6) || !bits_set(b, need_b) || !bits_set(c, need_c))
        return LIZ_TIER_AVX2;
    return liz_cpu_has_amx() ? LIZ_TIER_AMX : LIZ_TIER_AVX512;
}

/* Leaf 7, 1, EAX. */
enum { AVX_VNNI_BIT = 1 << 4, AVX512_BF16_BIT = 1 << 5 };

static bool has_feature(unsigned bit)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && bits_set(a, bit);
}

__attribute__((weak)) bool liz_cpu_has_avxvnni(void)
{
    return liz_cpu_tier_best() >= LIZ_TIER_AVX2 && has_feature(AVX_VNNI_BIT);
}

static bool bf16_detect(void) { return has_feature(AVX512_BF16_BIT); }

static char model_name[49];

static void model_name_read(void)
{
    unsigned regs[12];
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3]))
            return;
    memcpy(model_name, regs, 48);
}
#else
bool liz_cpu_has_amx(void) { return false; }
bool liz_cpu_has_avxvnni(void) { return false; }
static liz_tier_id tier_detect(void) { return LIZ_TIER_C; }
static bool bf16_detect(void) { return false; }
static char model_name[49];
static void model_name_read(void) {}
#endif

static pthread_once_t detect_once = PTHREAD_ONCE_INIT;
static liz_tier_id tier_best;
static bool has_bf16;

static void detect(void)
{
    tier_best = tier_detect();
    has_bf16 = tier_best >= LIZ_TIER_AVX512 && bf16_detect();
    model_name_read();
}

liz_tier_id liz_cpu_tier_best(void)
{
    pthread_once(&detect_once, detect);
    return tier_best;
}

bool liz_cpu_has_bf16(void)
{
    pthread_once(&detect_once, detect);
    return has_bf16;
}

const char *liz_cpu_model_name(void)
{
    pthread_once(&detect_once, detect);
    return model_name + strspn(model_name, " ");
}

const char *liz_cpu_tier_name(liz_tier_id tier) { return tier_names[tier]; }

liz_status liz_cpu_tier(liz_tier_id *out, liz_error *err)
{
    *out = liz_cpu_tier_best();
    const char *cap = getenv("LIZZIE_ISA");
    if (cap == NULL || cap[0] == '\0')
        return LIZ_OK;
    for (int tier = LIZ_TIER_C; tier <= LIZ_TIER_AMX; tier++) {
        if (strcmp(cap, tier_names[tier]) != 0)
            continue;
        if (tier > (int)*out)
            liz_log(LIZ_LOG_INFO, "cpu", "LIZZIE_ISA=%s: is above this machine, whose best is %s", cap,
                    tier_names[*out]);
        else
            *out = (liz_tier_id)tier;
        return LIZ_OK;
    }
    return liz_fail(err, LIZ_E_USAGE, "LIZZIE_ISA=%s: not a kernel tier: use c, avx2, avx512 or amx", cap);
}

/* Lowers the `least` to the CPUs' worth of time that a group grants, where it sets a limit. */
static void see_quota(void *least, const char *dir, bool v2)
{
    char path[PATH_MAX], text[64];
    uint64_t quota = 0, period = 0;
    int *cpus = least;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (!v2) {
        liz_small_file_number(dir, "cpu.cfs_quota_us", &quota); /* -1 where there is none */
        liz_small_file_number(dir, "cpu.cfs_period_us", &period);
    } else if (liz_small_file_read(path, text, sizeof text)) {
        sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period); /* "max 100000" where there is none */
    }
    if (quota == 0 || quota > INT64_MAX / 2 || period == 0 || period > INT32_MAX)
        return;
    uint64_t n = (quota + period - 1) / period;
    *cpus = n < (uint64_t)*cpus ? (int)n : *cpus;
}

int liz_cpu_count_under(const char *root)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    liz_groups_each(root, "cpu", see_quota, &n);
    return n < 1 ? 1 : n;
}

int liz_cpu_count(void) { return liz_cpu_count_under(""); }
