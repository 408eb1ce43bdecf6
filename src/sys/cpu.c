/* cpu.c - CPUID, the operating system's word on AMX, affinity and cgroup quota. */
#include "sys/cpu.h"

#include "base/log.h"

#include <stdint.h>

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

static bool bf16_detect(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && bits_set(a, bit_AVX512BF16);
}

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

/* CPUs' worth of time that a cgroup's files grant, or 0 where they set no limit. */
static int quota_read(const char *dir)
{
    char path[512], text[64];
    long long quota = -1, period = 0;
    snprintf(path, sizeof path, "%.400s/cpu.max", dir);
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%63s %lld", text, &period) == 2 && strcmp(text, "max") != 0)
            quota = atoll(text);
        fclose(f);
    } else {
        snprintf(path, sizeof path, "%.400s/cpu.cfs_quota_us", dir);
        if ((f = fopen(path, "re")) == NULL)
            return 0;
        bool ok = fscanf(f, "%lld", &quota) == 1;
        fclose(f);
        snprintf(path, sizeof path, "%.400s/cpu.cfs_period_us", dir);
        if (!ok || (f = fopen(path, "re")) == NULL)
            return 0;
        if (fscanf(f, "%lld", &period) != 1)
            period = 0;
        fclose(f);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = (quota + period - 1) / period;
    return cpus > 1 << 16 ? 1 << 16 : (int)cpus;
}

/* The least quota from a cgroup's folder up to the mount. */
static int quota_walk(const char *mount, char *group)
{
    int least = 0;
    for (;;) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s%s", mount, group);
        int cpus = quota_read(dir);
        if (cpus > 0 && (least == 0 || cpus < least))
            least = cpus;
        char *slash = strrchr(group, '/');
        if (slash == NULL || group[0] == '\0')
            return least;
        *slash = '\0';
    }
}

static int quota_cpus(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f == NULL)
        return 0;
    int least = 0;
    char line[512];
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = '\0';
        controllers++;
        bool v2 = controllers[0] == '\0';
        if (!v2 && strstr(controllers, "cpu") == NULL)
            continue;
        if (strlen(group) > 256)
            continue;
        int cpus = quota_walk(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group);
        if (cpus > 0 && (least == 0 || cpus < least))
            least = cpus;
    }
    fclose(f);
    return least;
}

int liz_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = quota_cpus();
    if (quota > 0 && quota < n)
        n = quota;
    return n < 1 ? 1 : n;
}
