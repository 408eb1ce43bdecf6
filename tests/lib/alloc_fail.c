/* alloc_fail.c - see the header. A set of addresses under a lock: what is freed without having been seen is the C
 * library's, and passes. */
#include "alloc_fail.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *p);
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t size);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
int __wrap_asprintf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum { SLOTS = 1 << 16 };

static struct {
    pthread_mutex_t lock;
    long n_left; /* requests until the refusal; 0: none */
    bool hit;
    uintptr_t live[SLOTS]; /* open addressing; 1: was one */
    size_t n_live;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool refused(void)
{
    pthread_mutex_lock(&state.lock);
    bool now = state.n_left > 0 && --state.n_left == 0;
    state.hit = state.hit || now;
    pthread_mutex_unlock(&state.lock);
    if (now)
        errno = ENOMEM;
    return now;
}

static size_t slot_of(uintptr_t p) { return (size_t)((p >> 4) * 0x9E3779B97F4A7C15u >> 48) % SLOTS; }

static void *taken(void *p)
{
    if (p == NULL || p == MAP_FAILED)
        return p;
    pthread_mutex_lock(&state.lock);
    size_t at = slot_of((uintptr_t)p);
    while (state.live[at] > 1)
        at = (at + 1) % SLOTS;
    state.live[at] = (uintptr_t)p;
    if (++state.n_live > SLOTS / 2)
        abort();
    pthread_mutex_unlock(&state.lock);
    return p;
}

static void given_back(const void *p)
{
    pthread_mutex_lock(&state.lock);
    size_t at = slot_of((uintptr_t)p);
    while (state.live[at] != 0 && state.live[at] != (uintptr_t)p)
        at = (at + 1) % SLOTS;
    if (state.live[at] != 0) {
        state.live[at] = 1;
        state.n_live--;
    }
    pthread_mutex_unlock(&state.lock);
}

void *__wrap_malloc(size_t size) { return refused() ? NULL : taken(__real_malloc(size)); }
void *__wrap_calloc(size_t n, size_t size) { return refused() ? NULL : taken(__real_calloc(n, size)); }

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return refused() ? NULL : taken(__real_aligned_alloc(align, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    if (refused())
        return NULL;
    given_back(p);
    return taken(__real_realloc(p, size));
}

void __wrap_free(void *p)
{
    given_back(p);
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return refused() ? MAP_FAILED : taken(__real_mmap(at, size, prot, flags, fd, offset));
}

int __wrap_munmap(void *p, size_t size)
{
    given_back(p);
    return __real_munmap(p, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
    return refused() ? EAGAIN : __real_pthread_create(thread, attr, main, arg);
}

char *__wrap_strndup(const char *text, size_t n)
{
    n = strnlen(text, n);
    char *copy = __wrap_malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text) { return __wrap_strndup(text, SIZE_MAX - 1); }

int __wrap_asprintf(char **out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = refused() ? -1 : vasprintf(out, fmt, args);
    va_end(args);
    if (n >= 0)
        taken(*out);
    return n;
}

void alloc_fail_at(long n)
{
    pthread_mutex_lock(&state.lock);
    state.n_left = n;
    state.hit = false;
    pthread_mutex_unlock(&state.lock);
}

bool alloc_fail_stop(void)
{
    pthread_mutex_lock(&state.lock);
    state.n_left = 0;
    bool hit = state.hit;
    pthread_mutex_unlock(&state.lock);
    return hit;
}

size_t alloc_n_live(void)
{
    pthread_mutex_lock(&state.lock);
    size_t n = state.n_live;
    pthread_mutex_unlock(&state.lock);
    return n;
}
