/* temp_dir.c - mkdtemp, and nftw at exit. */
#include "temp_dir.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[PATH_MAX];
static pid_t owner; /* a forked child's exit must not remove its parent's folder */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_all(void)
{
    if (getpid() == owner)
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *temp_dir(void)
{
    if (dir[0] != '\0')
        return dir;
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/lizzie-test-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        abort();
    }
    owner = getpid();
    atexit(remove_all);
    return dir;
}

const char *temp_path(const char *name)
{
    static char paths[8][PATH_MAX + 256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", temp_dir(), name);
    return path;
}

const char *temp_write(const char *name, const void *data, size_t n)
{
    const char *path = temp_path(name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || (n > 0 && fwrite(data, 1, n, file) != n) || fclose(file) != 0) {
        perror(path);
        abort();
    }
    return path;
}

char *file_read(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    size_t cap = 4096;
    char *data = malloc(cap + 1);
    *n = 0;
    while (data != NULL && (*n += fread(data + *n, 1, cap - *n, file)) == cap)
        data = realloc(data, (cap *= 2) + 1);
    fclose(file);
    if (data != NULL)
        data[*n] = '\0';
    return data;
}
