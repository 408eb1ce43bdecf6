/* files.c - the system's calls as a table, and the operations that the line is built of.
 *
 * Replacing: the new bytes go to PATH.tmp, which is locked, written, synced and only then renamed over PATH. A process
 * that opened the old file and waits at its lock finds, once it has the lock, that PATH is another file, and begins
 * again; so the lock is always that of the file that PATH names. */
#include "sys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { FILE_MODE = 0666, LOCK_TRIES_MAX = 100 };

static ssize_t or_errno(ssize_t result) { return result < 0 ? -errno : result; }

static int sys_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user;
    return (int)or_errno(open(path, flags | O_CLOEXEC, mode));
}

static int sys_close(void *user, int fd)
{
    (void)user;
    return (int)or_errno(close(fd));
}

static ssize_t sys_read(void *user, int fd, void *data, size_t n)
{
    (void)user;
    return or_errno(read(fd, data, n));
}

static ssize_t sys_write(void *user, int fd, const void *data, size_t n)
{
    (void)user;
    return or_errno(write(fd, data, n));
}

/* A folder's names are what fdatasync may leave out. */
static int sys_fsync(void *user, int fd)
{
    (void)user;
    struct stat st;
    bool is_folder = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return (int)or_errno(is_folder ? fsync(fd) : fdatasync(fd));
}

static int sys_ftruncate(void *user, int fd, off_t size)
{
    (void)user;
    return (int)or_errno(ftruncate(fd, size));
}

static int sys_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return (int)or_errno(rename(from, to));
}

static int sys_unlink(void *user, const char *path)
{
    (void)user;
    return (int)or_errno(unlink(path));
}

static int sys_lock(void *user, int fd)
{
    (void)user;
    return (int)or_errno(flock(fd, LOCK_EX | LOCK_NB));
}

const liz_files *liz_files_system(void)
{
    static const liz_files system_files = {NULL,      sys_open,      sys_close,  sys_read,   sys_write,
                                           sys_fsync, sys_ftruncate, sys_rename, sys_unlink, sys_lock};
    return &system_files;
}

const char *liz_file_hint(int code)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT: return ": make room and run the same command again";
    case ENOENT:
    case ENOTDIR: return ": check its name";
    case EACCES:
    case EPERM:
    case EROFS: return ": check its permissions";
    case EISDIR: return ": name a file";
    case EFBIG: return ": raise the limit of file size and run the same command again";
    case EBADF: return ": it is closed: name a file";
    case ENAMETOOLONG: return ": give it a shorter one";
    default: return "";
    }
}

static liz_status fail_io(liz_error *err, const char *path, const char *doing, int code)
{
    return liz_fail(err, LIZ_E_IO, "%s: %s: %s%s", path, doing, strerror(code), liz_file_hint(code));
}

bool liz_file_is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino && S_ISREG(x.st_mode);
}

liz_status liz_file_open(const liz_files *files, const char *path, int flags, int *fd, liz_error *err)
{
    int opened;
    do
        opened = files->open(files->user, path, flags, FILE_MODE);
    while (opened == -EINTR);
    if (opened < 0)
        return fail_io(err, path, flags & O_CREAT ? "cannot be created or opened" : "cannot be opened", -opened);
    *fd = opened;
    return LIZ_OK;
}

void liz_file_close(const liz_files *files, int *fd)
{
    if (*fd >= 0)
        files->close(files->user, *fd);
    *fd = -1;
}

liz_status liz_file_write(const liz_files *files, int fd, const char *path, const void *data, size_t n, liz_error *err)
{
    const char *p = data;
    while (n > 0) {
        ssize_t n_written = files->write(files->user, fd, p, n);
        if (n_written == -EINTR)
            continue;
        if (n_written <= 0)
            return fail_io(err, path, "cannot be written", n_written == 0 ? EIO : (int)-n_written);
        p += n_written;
        n -= (size_t)n_written;
    }
    return LIZ_OK;
}

liz_status liz_file_read(const liz_files *files, int fd, const char *path, void *data, size_t n, size_t *n_read,
                         liz_error *err)
{
    ssize_t got;
    do
        got = files->read(files->user, fd, data, n);
    while (got == -EINTR);
    if (got < 0)
        return fail_io(err, path, "cannot be read", (int)-got);
    *n_read = (size_t)got;
    return LIZ_OK;
}

liz_status liz_file_read_rest(const liz_files *files, int fd, const char *path, liz_buf *out, liz_error *err)
{
    for (;;) {
        char piece[16384];
        size_t n = 0;
        liz_status status = liz_file_read(files, fd, path, piece, sizeof piece, &n, err);
        if (status != LIZ_OK || n == 0)
            return status;
        liz_buf_append(out, piece, n);
        if (liz_buf_failed(out))
            return out->is_full ? liz_fail(err, LIZ_E_LIMIT, "%s: is larger than %zu bytes", path, out->len_max)
                                : liz_fail(err, LIZ_E_MEMORY, "%s: no memory to read it", path);
    }
}

liz_status liz_file_read_whole(const liz_files *files, const char *path, liz_buf *out, liz_error *err)
{
    int fd = -1;
    liz_status status = liz_file_open(files, path, O_RDONLY, &fd, err);
    if (status == LIZ_OK)
        status = liz_file_read_rest(files, fd, path, out, err);
    liz_file_close(files, &fd);
    return status;
}

liz_status liz_file_write_text(const liz_files *files, const char *path, int flags, const liz_buf *text, liz_error *err)
{
    int fd = -1;
    if (liz_buf_failed(text))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to write it", path);
    liz_status status = liz_file_open(files, path, O_WRONLY | O_CREAT | flags, &fd, err);
    status = status ?: liz_file_write(files, fd, path, text->data, text->len, err);
    liz_file_close(files, &fd);
    return status;
}

liz_status liz_file_sync(const liz_files *files, int fd, const char *path, liz_error *err)
{
    int result;
    do
        result = files->fsync(files->user, fd);
    while (result == -EINTR);
    /* A pipe or a terminal has nothing to sync. */
    return result == 0 || result == -EINVAL || result == -EROFS ? LIZ_OK
                                                                : fail_io(err, path, "cannot be synced", -result);
}

liz_status liz_file_truncate(const liz_files *files, int fd, const char *path, uint64_t size, liz_error *err)
{
    int result;
    do
        result = files->ftruncate(files->user, fd, (off_t)size);
    while (result == -EINTR);
    return result == 0 ? LIZ_OK : fail_io(err, path, "cannot be cut to length", -result);
}

liz_status liz_file_sync_folder(const liz_files *files, const char *path, liz_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a path");
    int fd = -1;
    liz_status status = liz_file_open(files, folder, O_RDONLY | O_DIRECTORY, &fd, err);
    if (status == LIZ_OK)
        status = liz_file_sync(files, fd, path, err);
    liz_file_close(files, &fd);
    free(folder);
    return status;
}

liz_status liz_file_rename(const liz_files *files, const char *from, const char *to, liz_error *err)
{
    int result = files->rename(files->user, from, to);
    if (result < 0)
        return fail_io(err, from, "cannot be renamed", -result);
    return liz_file_sync_folder(files, to, err);
}

/* True when `path` names the very file that `fd` has open. */
static bool names_open_file(const char *path, int fd)
{
    struct stat named, opened;
    return stat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino &&
           named.st_dev == opened.st_dev;
}

liz_status liz_file_lock(const liz_files *files, int fd, const char *path, liz_error *err)
{
    int result;
    do
        result = files->lock(files->user, fd);
    while (result == -EINTR);
    if (result == -EWOULDBLOCK)
        return liz_fail(err, LIZ_E_BUSY, "%s: another process holds its lock: wait for it to end", path);
    return result == 0 ? LIZ_OK : fail_io(err, path, "cannot be locked", -result);
}

liz_status liz_file_open_locked(const liz_files *files, const char *path, int *fd, liz_error *err)
{
    for (int i = 0; i < LOCK_TRIES_MAX; i++) {
        int opened = -1;
        liz_status status = liz_file_open(files, path, O_RDWR | O_CREAT, &opened, err);
        if (status == LIZ_OK)
            status = liz_file_lock(files, opened, path, err);
        if (status == LIZ_OK && names_open_file(path, opened)) {
            *fd = opened;
            return LIZ_OK;
        }
        liz_file_close(files, &opened);
        if (status != LIZ_OK)
            return status;
    }
    return liz_fail(err, LIZ_E_BUSY, "%s: another process keeps replacing it: wait for it to end", path);
}

void liz_file_mode_copy(const char *from, const char *to)
{
    struct stat st;
    if (stat(from, &st) == 0)
        (void)!chmod(to, st.st_mode & 07777);
}

static liz_status write_replacement(const liz_files *files, const char *tmp, const void *data, size_t n, int *fd,
                                    liz_error *err)
{
    liz_status status = liz_file_open(files, tmp, O_RDWR | O_CREAT | O_TRUNC, fd, err);
    if (status == LIZ_OK)
        status = liz_file_lock(files, *fd, tmp, err);
    if (status == LIZ_OK)
        status = liz_file_write(files, *fd, tmp, data, n, err);
    if (status == LIZ_OK)
        status = liz_file_sync(files, *fd, tmp, err);
    return status;
}

liz_status liz_file_replace_locked(const liz_files *files, const char *path, int *fd, const void *data, size_t n,
                                   liz_error *err)
{
    char *tmp = NULL;
    if (asprintf(&tmp, "%s.tmp", path) < 0)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", path);
    int fresh = -1;
    bool renamed = false;
    liz_status status = write_replacement(files, tmp, data, n, &fresh, err);
    if (status == LIZ_OK) {
        liz_file_mode_copy(path, tmp);
        int result = files->rename(files->user, tmp, path);
        renamed = result == 0;
        status = renamed ? liz_file_sync_folder(files, path, err) : fail_io(err, tmp, "cannot be renamed", -result);
    }
    if (renamed) { /* even where the folder was not synced, the new file has the name */
        liz_file_close(files, fd);
        *fd = fresh;
    } else {
        liz_file_close(files, &fresh);
        files->unlink(files->user, tmp);
    }
    free(tmp);
    return status;
}
