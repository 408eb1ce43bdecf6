/* team.c - workers that wait for a generation number to move.
 *
 * A run publishes fn and arg, then bumps `generation`; workers see it (spinning for a short while, then on a
 * futex) and run. Barriers and the end of a run count arrivals in one counter each. Spinning is bounded by
 * SPINS so that a team wider than the machine still makes progress: a member that waited long yields. */
#include "sys/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 4000, THREADS_MAX = 1024 };

typedef struct member {
    liz_team *team;
    pthread_t thread;
    int id;
} member;

struct liz_team {
    int n_threads;
    liz_team_fn *fn;
    void *arg;
    bool closing;
    _Alignas(64) _Atomic uint32_t generation; /* runs started */
    _Alignas(64) _Atomic uint32_t n_done;     /* workers that finished this run */
    _Alignas(64) _Atomic uint32_t n_arrived;  /* members at the barrier */
    _Alignas(64) _Atomic uint32_t barrier_id; /* barriers passed */
    member *members;
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/* Stores past the caches are not ordered by release. */
static void settle_streams(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* Flush-to-zero and denormals-are-zero, as AMX has them. Returns the state before. */
static unsigned denormals_off(void)
{
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1u << 24));
    return (unsigned)before;
#else
    return 0;
#endif
}

static void denormals_restore(unsigned before)
{
#if defined(__x86_64__)
    _mm_setcsr(before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)before));
#else
    (void)before;
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Until `*word` differs from `value`: spin, then yield now and then (inside a run nobody sleeps long). */
static void spin_until_changed(_Atomic uint32_t *word, uint32_t value)
{
    for (int spins = 0; atomic_load_explicit(word, memory_order_acquire) == value; spins++) {
        if (spins < SPINS)
            pause_cpu();
        else
            sched_yield();
    }
}

static void *worker_main(void *arg)
{
    member *self = arg;
    liz_team *team = self->team;
    denormals_off();
    for (uint32_t seen = 0;; seen++) {
        for (int spins = 0; atomic_load_explicit(&team->generation, memory_order_acquire) == seen; spins++) {
            if (spins < SPINS)
                pause_cpu();
            else
                futex_wait(&team->generation, seen);
        }
        if (team->closing)
            return NULL;
        team->fn(team->arg, self->id, team->n_threads);
        settle_streams();
        atomic_fetch_add_explicit(&team->n_done, 1, memory_order_release);
    }
}

static void workers_stop(liz_team *team, int n_started)
{
    team->closing = true;
    atomic_fetch_add_explicit(&team->generation, 1, memory_order_release);
    futex_wake_all(&team->generation);
    for (int i = 1; i < n_started; i++)
        pthread_join(team->members[i].thread, NULL);
}

liz_status liz_team_open(liz_team **out, int n_threads, liz_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > THREADS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "threads: %d is out of range: use 1 to %d", n_threads, THREADS_MAX);
    liz_team *team = aligned_alloc(64, sizeof *team);
    member *members = calloc((size_t)n_threads, sizeof *members);
    if (team == NULL || members == NULL) {
        free(team);
        free(members);
        return liz_fail(err, LIZ_E_MEMORY, "threads: out of memory");
    }
    *team = (liz_team){.n_threads = n_threads, .members = members};
    for (int i = 1; i < n_threads; i++) {
        members[i] = (member){.team = team, .id = i};
        if (pthread_create(&members[i].thread, NULL, worker_main, &members[i]) != 0) {
            workers_stop(team, i);
            free(members);
            free(team);
            return liz_fail(err, LIZ_E_MEMORY, "threads: the system refused to start thread %d: use fewer", i + 1);
        }
    }
    *out = team;
    return LIZ_OK;
}

void liz_team_close(liz_team *team)
{
    if (team == NULL)
        return;
    workers_stop(team, team->n_threads);
    free(team->members);
    free(team);
}

int liz_team_size(const liz_team *team) { return team->n_threads; }

void liz_team_run(liz_team *team, liz_team_fn *fn, void *arg)
{
    unsigned before = denormals_off();
    team->fn = fn;
    team->arg = arg;
    atomic_store_explicit(&team->n_done, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&team->generation, 1, memory_order_release);
    if (team->n_threads > 1)
        futex_wake_all(&team->generation);
    fn(arg, 0, team->n_threads);
    settle_streams();
    uint32_t n_workers = (uint32_t)team->n_threads - 1;
    for (int spins = 0; atomic_load_explicit(&team->n_done, memory_order_acquire) != n_workers; spins++) {
        if (spins < SPINS)
            pause_cpu();
        else
            sched_yield();
    }
    denormals_restore(before);
}

void liz_team_barrier(liz_team *team)
{
    uint32_t id = atomic_load_explicit(&team->barrier_id, memory_order_acquire);
    settle_streams();
    uint32_t n_before = atomic_fetch_add_explicit(&team->n_arrived, 1, memory_order_acq_rel);
    if (n_before + 1 == (uint32_t)team->n_threads) {
        atomic_store_explicit(&team->n_arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->barrier_id, id + 1, memory_order_release);
    } else {
        spin_until_changed(&team->barrier_id, id);
    }
}

void liz_team_share(size_t n, size_t unit, int member_id, int n_members, size_t *begin, size_t *end)
{
    size_t n_units = (n + unit - 1) / unit;
    size_t first = n_units * (size_t)member_id / (size_t)n_members * unit;
    size_t last = n_units * ((size_t)member_id + 1) / (size_t)n_members * unit;
    *begin = first < n ? first : n;
    *end = last < n ? last : n;
}
