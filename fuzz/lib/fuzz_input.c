/* fuzz_input.c - an input as a file in memory, and cut into parts. */
#include "../fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *memory_path(void)
{
    static char path[32];
    if (path[0] == '\0') {
        int fd = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_CHECK(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    return path;
}

int fuzz_file_fd(void)
{
    int fd = open(memory_path(), O_RDWR | O_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    return fd;
}

const char *fuzz_file(const void *data, size_t size, size_t n_zeros)
{
    int fd = fuzz_file_fd();
    FUZZ_CHECK(ftruncate(fd, 0) == 0);
    FUZZ_CHECK(size == 0 || write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(ftruncate(fd, (off_t)(size + n_zeros)) == 0);
    close(fd);
    return memory_path();
}

liz_str fuzz_part(liz_str *rest)
{
    static const char line[] = "\n====\n";
    const char *at = memmem(rest->p, rest->n, line, sizeof line - 1);
    liz_str part = {rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};
    size_t n = at != NULL ? part.n + sizeof line - 1 : part.n;
    *rest = (liz_str){rest->p + n, rest->n - n};
    return part;
}

char *fuzz_copy(liz_str text)
{
    char *copy = malloc(text.n + 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return copy;
}
