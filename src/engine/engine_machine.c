/* engine_machine.c - what the machine can do at most: memory read and arithmetic, by a team of threads.
 *
 * A rate is what all members did together in the time until the last was done, the best of many short tries: others on
 * the machine only ever make it slower. Arithmetic is measured by the kernels' own peak loops, so it is the peak of the
 * tier in use; reading is plain C, which is faster than memory on any tier. */
#include "kernel/kernel.h"
#include "lizzie.h"
#include "sys/clock.h"
#include "sys/memory.h"
#include "sys/team.h"

#include <stdio.h>
#include <string.h>

enum { N_TRIES = 80, TRY_US = 2000, ROUNDS_MAX = 1 << 30, N_SLICES = 4 };

static const size_t read_bytes_max = (size_t)256 << 20, read_bytes_min = (size_t)16 << 20;

typedef struct probe {
    liz_kernel kernel;
    uint64_t (*peak)(size_t n_rounds);
    size_t n_rounds;
    uint64_t ops;  /* of member 0; the others do as many */
    uint8_t *data; /* [n_bytes], read a slice at a try, so that a slice is out of the caches when its turn comes */
    size_t n_bytes, slice;
} probe;

/* ---- Arithmetic --------------------------------------------------------------------------------- */

static void compute_share(void *arg, int member, int n_members)
{
    probe *p = arg;
    (void)n_members;
    p->kernel.tiles_begin();
    uint64_t ops = p->peak(p->n_rounds);
    p->kernel.tiles_end();
    if (member == 0)
        p->ops = ops;
}

static uint64_t run_us(liz_team *team, liz_team_fn *fn, probe *p)
{
    uint64_t begin = liz_clock_us();
    liz_team_run(team, fn, p);
    uint64_t took = liz_clock_us() - begin;
    return took > 0 ? took : 1;
}

static double compute_rate(liz_team *team, probe *p, uint64_t (*peak)(size_t n_rounds))
{
    double best = 0;
    p->peak = peak;
    for (p->n_rounds = 1000; run_us(team, compute_share, p) < TRY_US && p->n_rounds < ROUNDS_MAX;)
        p->n_rounds *= 2;
    for (int i = 0; i < N_TRIES; i++) {
        uint64_t took = run_us(team, compute_share, p);
        double rate = (double)p->ops * liz_team_size(team) / (double)took * 1e6;
        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static void fill_share(void *arg, int member, int n_members)
{
    probe *p = arg;
    size_t begin, end;
    liz_team_share(p->n_bytes, 4096, member, n_members, &begin, &end);
    memset(p->data + begin, member + 1, end - begin);
}

static void read_share(void *arg, int member, int n_members)
{
    typedef uint64_t lanes __attribute__((vector_size(64)));
    const probe *p = arg;
    size_t begin, end;
    liz_team_share(p->n_bytes / N_SLICES, 4096, member, n_members, &begin, &end);
    const uint8_t *data = p->data + p->slice * (p->n_bytes / N_SLICES);
    lanes a = {0}, b = {0};
    for (const lanes *at = (const void *)(data + begin); at < (const lanes *)(const void *)(data + end); at += 2) {
        a |= at[0];
        b |= at[1];
    }
    a |= b;
    __asm__ volatile("" : : "m"(a));
}

static double read_rate(liz_team *team, probe *p)
{
    double best = 0;
    uint64_t quarter = liz_memory_available() / 4;
    p->n_bytes = quarter < read_bytes_max ? (size_t)quarter : read_bytes_max;
    p->n_bytes = p->n_bytes / (N_SLICES * 4096) * (N_SLICES * 4096);
    p->data = p->n_bytes >= read_bytes_min ? liz_memory_map(p->n_bytes) : NULL;
    if (p->data == NULL)
        return 0;
    liz_team_run(team, fill_share, p);
    for (int i = 0; i < N_TRIES; i++) {
        p->slice = (size_t)i % N_SLICES;
        double rate = (double)(p->n_bytes / N_SLICES) / (double)run_us(team, read_share, p) * 1e6;
        best = rate > best ? rate : best;
    }
    liz_memory_unmap(p->data, p->n_bytes);
    return best;
}

liz_status liz_machine_measure(int n_threads, liz_machine *out, liz_error *err)
{
    liz_tier_id tier;
    liz_team *team;
    probe p;
    LIZ_TRY(liz_cpu_tier(&tier, err));
    LIZ_TRY(liz_team_open(&team, n_threads != 0 ? n_threads : liz_cpu_count(), err));
    liz_kernel_init(&p.kernel, tier);
    *out = (liz_machine){.tier = liz_cpu_tier_name(tier), .n_threads = liz_team_size(team)};
    snprintf(out->cpu, sizeof out->cpu, "%s", liz_cpu_model_name());
    out->read_bytes_s = read_rate(team, &p);
    out->int8_ops_s = compute_rate(team, &p, p.kernel.peak_int8);
    out->bf16_ops_s = compute_rate(team, &p, p.kernel.peak_bf16);
    liz_team_close(team);
    return LIZ_OK;
}
