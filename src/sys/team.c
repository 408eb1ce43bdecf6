/* team.c - workers that wait for a generation number to move.
 *
 * A run publishes fn and arg, then bumps `generation`; workers see it (spinning for a short while, then on a
 * futex) and run. Barriers and the end of a run count arrivals in one counter each. Spinning is bounded by
 * SPINS so that a team wider than the machine still makes progress: a member that waited long yields. Of a deal there
 * is one word for each member, changed by compare and swap; nobody waits for it. */
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

/* What is left of a member's share of a deal, in one word: the deal's number and the units [begin, end). */
typedef struct cursor {
    _Alignas(64) _Atomic uint64_t left;
} cursor;

enum { UNIT_BITS = 20, UNIT_MASK = (1 << UNIT_BITS) - 1, NUMBER_MASK = 0xFFFFFF };

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
    cursor *cursors; /* [n_threads] */
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

static void team_free(liz_team *team)
{
    free(team->members);
    free(team->cursors);
    free(team);
}

liz_status liz_team_open(liz_team **out, int n_threads, liz_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > THREADS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "threads: %d is out of range: use 1 to %d", n_threads, THREADS_MAX);
    liz_team *team = aligned_alloc(64, sizeof *team);
    member *members = calloc((size_t)n_threads, sizeof *members);
    cursor *cursors = aligned_alloc(64, (size_t)n_threads * sizeof *cursors);
    if (team == NULL || members == NULL || cursors == NULL) {
        free(team);
        free(members);
        free(cursors);
        return liz_fail(err, LIZ_E_MEMORY, "threads: out of memory");
    }
    *team = (liz_team){.n_threads = n_threads, .members = members, .cursors = cursors};
    for (int i = 1; i < n_threads; i++) {
        members[i] = (member){.team = team, .id = i};
        if (pthread_create(&members[i].thread, NULL, worker_main, &members[i]) != 0) {
            workers_stop(team, i);
            team_free(team);
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
    team_free(team);
}

int liz_team_size(const liz_team *team) { return team->n_threads; }

void liz_team_run(liz_team *team, liz_team_fn *fn, void *arg)
{
    unsigned before = denormals_off();
    team->fn = fn;
    team->arg = arg;
    for (int i = 0; i < team->n_threads; i++)
        atomic_store_explicit(&team->cursors[i].left, 0, memory_order_relaxed);
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

static uint64_t word_of(uint32_t number, size_t begin, size_t end)
{
    return (uint64_t)number << 2 * UNIT_BITS | (uint64_t)begin << UNIT_BITS | end;
}

/* Of a deal's numbers, which come round. */
static bool is_older(const liz_deal *deal, uint64_t word)
{
    return (((uint32_t)(word >> 2 * UNIT_BITS) - deal->number) & NUMBER_MASK) > NUMBER_MASK / 2;
}

/* Units that are left of `owner`'s share, as its cursor's word says. One of an earlier deal is a share untouched,
 * whoever looks first; one of a later deal says that somebody found nothing left of this one anywhere. */
static void left_of(const liz_deal *deal, int owner, uint64_t word, size_t *begin, size_t *end)
{
    *begin = word >> UNIT_BITS & UNIT_MASK;
    *end = word & UNIT_MASK;
    if (is_older(deal, word))
        liz_team_share((deal->n + deal->unit - 1) / deal->unit, 1, owner, deal->team->n_threads, begin, end);
    else if (word >> 2 * UNIT_BITS != deal->number)
        *begin = *end;
}

/* A member brings up its own cursor, whether or not it has a share, so that no number comes round unseen. */
void liz_deal_begin(liz_deal *deal, size_t n, size_t unit, size_t least_units)
{
    _Atomic uint64_t *left = &deal->team->cursors[deal->member].left;
    uint64_t word = atomic_load_explicit(left, memory_order_relaxed);
    size_t begin, end;
    LIZ_DASSERT(unit > 0 && least_units > 0);
    deal->number = (deal->number + 1) & NUMBER_MASK;
    deal->n = n;
    deal->unit = unit * (n / unit / UNIT_MASK + 1);
    deal->least_units = least_units;
    left_of(deal, deal->member, word, &begin, &end);
    if (is_older(deal, word)) /* fails where another was first */
        atomic_compare_exchange_strong_explicit(left, &word, word_of(deal->number, begin, end), memory_order_relaxed,
                                                memory_order_relaxed);
}

static bool take_from(const liz_deal *deal, int owner, size_t *begin, size_t *end)
{
    _Atomic uint64_t *left = &deal->team->cursors[owner].left;
    uint64_t word = atomic_load_explicit(left, memory_order_relaxed), rest;
    do {
        left_of(deal, owner, word, begin, end);
        size_t n_left = *end - *begin, n = owner == deal->member ? n_left * 2 / 3 : n_left / 2;
        if (n_left == 0)
            return false;
        n = n > deal->least_units ? n : deal->least_units < n_left ? deal->least_units : n_left;
        if (owner == deal->member) {
            rest = word_of(deal->number, *begin + n, *end);
            *end = *begin + n;
        } else {
            rest = word_of(deal->number, *begin, *end - n);
            *begin = *end - n;
        }
    } while (!atomic_compare_exchange_weak_explicit(left, &word, rest, memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool liz_deal_take(const liz_deal *deal, size_t *begin, size_t *end)
{
    int n_members = deal->team->n_threads;
    for (int i = 0; i < n_members; i++)
        if (take_from(deal, (deal->member + i) % n_members, begin, end)) {
            *begin *= deal->unit;
            *end = *end * deal->unit < deal->n ? *end * deal->unit : deal->n;
            return true;
        }
    return false;
}
