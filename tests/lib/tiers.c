/* tiers.c - the tiers in turn, where kernels run: with denormals flushed to zero. */
#include "tiers.h"

#include "guarded.h"
#include "kernel/kernel_tiers.h"
#include "sys/team.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

liz_kernel ref, tested;
const char *entry = "";

static void crashed(int sig)
{
    char text[128];
    int n = snprintf(text, sizeof text, "not ok - crashed by signal %d in %s of tier %s, seed %llu\n", sig, entry,
                     liz_cpu_tier_name(tested.tier), (unsigned long long)rng_seed);
    if (write(1, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}

float *random_floats(size_t n)
{
    float *x = guarded(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        uint32_t kind = rnd() % 64;
        x[i] = kind == 0 ? 0 : kind == 1 ? 20 * rnd_gauss() : kind == 2 ? ldexpf(rnd_gauss(), -128) : rnd_gauss();
    }
    return x;
}

float *gauss_floats(size_t n)
{
    float *x = guarded(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = rnd_gauss();
    return x;
}

void compare(const float *a, const float *b, size_t n, const char *what, size_t n_in, size_t n_tok)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], 4) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s %s: element %zu is %a, the reference says %a (n_in %zu, n_tok %zu, seed %llu)",
                     liz_cpu_tier_name(tested.tier), what, i, (double)b[i], (double)a[i], n_in, n_tok,
                     (unsigned long long)rng_seed);
}

double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_all(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    tiers_tests *tests = arg;
    liz_kernel_init(&tested, LIZ_TIER_C);
    if (tests->n_once > 0)
        tests->result |= _cmocka_run_group_tests("kernel c", tests->once, tests->n_once, NULL, NULL);
    for (int tier = LIZ_TIER_AVX2; tier <= LIZ_TIER_AMX; tier++) {
        const char *name = liz_cpu_tier_name((liz_tier_id)tier);
        if (tier > (int)liz_cpu_tier_best()) {
            fprintf(stderr, "# SKIPPED: kernel tier %s: NOT RUN, this machine lacks it\n", name);
            continue;
        }
        liz_kernel_init(&tested, (liz_tier_id)tier);
        tests->result |= _cmocka_run_group_tests(name, tests->each, tests->n_each, NULL, NULL);
    }
#if defined(__x86_64__)
    if (liz_cpu_has_avxvnni()) {
        liz_kernel_init(&tested, LIZ_TIER_AVX2);
        liz_kernel_dot_avx2(&tested);
        liz_kernel_gemm_avx2(&tested);
        tests->result |= _cmocka_run_group_tests("avx2 without vnni", tests->each, tests->n_each, NULL, NULL);
    }
#endif
}

static void bench_all(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    const tiers_tests *tests = arg;
    printf("tier,entry,shape,tokens,cache,ns,GB/s,GFLOP/s\n");
    for (int tier = LIZ_TIER_C; tier <= (int)liz_cpu_tier_best(); tier++) {
        liz_kernel_init(&tested, (liz_tier_id)tier);
        tests->bench((liz_tier_id)tier, tests->bench_arg);
    }
}

int tiers_main(int argc, char **argv, tiers_tests *tests)
{
    const char *seed = getenv("LIZZIE_TEST_SEED");
    rng_seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    fprintf(stderr, "# seed %llu\n", (unsigned long long)rng_seed);
    signal(SIGSEGV, crashed);
    signal(SIGILL, crashed);
    signal(SIGBUS, crashed);
    liz_kernel_init(&ref, LIZ_TIER_C);
    liz_cpu_tier_best(); /* asks for AMX before the first tile */
    liz_team *team;
    if (liz_team_open(&team, 1, NULL) != LIZ_OK)
        return 1;
    bool benching = argc > 1 && strcmp(argv[1], "--bench") == 0;
    tests->bench_arg = argc > 2 ? argv[2] : NULL;
    liz_team_run(team, benching ? bench_all : run_all, tests);
    liz_team_close(team);
    return tests->result;
}
