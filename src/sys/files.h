/* files.h - files, behind a table of functions that a test can replace.
 *
 * What must survive a crash or a full disk is written through a `liz_files`: the system's own by default, or one that
 * makes writes short, torn or failing at the n-th call. The entries mean what the system calls of their name mean, but
 * return a negative errno instead of setting one. Below them stand the few operations that the line is built of: write
 * all, read some, replace a file whole, lock. Paths are borrowed; errors name them.
 *
 * Threads: a table is immutable; the functions are as safe as the system calls beneath. */
#ifndef LIZ_SYS_FILES_H
#define LIZ_SYS_FILES_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct liz_files {
    void *user;
    int (*open)(void *user, const char *path, int flags, mode_t mode);
    int (*close)(void *user, int fd);
    ssize_t (*read)(void *user, int fd, void *data, size_t n);
    ssize_t (*write)(void *user, int fd, const void *data, size_t n);
    int (*fsync)(void *user, int fd);
    int (*ftruncate)(void *user, int fd, off_t size);
    int (*rename)(void *user, const char *from, const char *to);
    int (*unlink)(void *user, const char *path);
    int (*lock)(void *user, int fd); /* exclusive, not waiting: -EWOULDBLOCK when another holds it */
} liz_files;

/* The system's own. */
const liz_files *liz_files_system(void);

/* Whether two paths lead to one ordinary file that is there. */
bool liz_file_is_same(const char *a, const char *b);

/* What to do about an error of the system, to follow its text: ": check its name", or nothing. */
const char *liz_file_hint(int code);

/* Opens `path` close-on-exec. Gives `*fd`. LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_open(const liz_files *files, const char *path, int flags, int *fd, liz_error *err);
/* Closes where `*fd` is open and sets it to -1. A zeroed struct's fd must be set to -1 before. */
void liz_file_close(const liz_files *files, int *fd);

/* Writes all of `data` [n] at the file's position, through short writes and interruptions. LIZ_E_IO: how much was
 * written is then unknown. */
LIZ_MUST_CHECK liz_status liz_file_write(const liz_files *files, int fd, const char *path, const void *data, size_t n,
                                         liz_error *err);

/* Reads up to `n` bytes, through interruptions; `*n_read` 0 at the end of the file. LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_read(const liz_files *files, int fd, const char *path, void *data, size_t n,
                                        size_t *n_read, liz_error *err);

/* Appends what an open file still has, or the whole of one, to `out`, up to its maximum. LIZ_E_IO, LIZ_E_LIMIT,
 * LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_file_read_rest(const liz_files *files, int fd, const char *path, liz_buf *out,
                                             liz_error *err);
LIZ_MUST_CHECK liz_status liz_file_read_whole(const liz_files *files, const char *path, liz_buf *out, liz_error *err);

/* Writes a text for people, which need not outlive a power cut: O_TRUNC in `flags` replaces what is there, O_APPEND
 * adds to it. LIZ_E_IO; LIZ_E_MEMORY where the buffer has failed. */
LIZ_MUST_CHECK liz_status liz_file_write_text(const liz_files *files, const char *path, int flags, const liz_buf *text,
                                              liz_error *err);

LIZ_MUST_CHECK liz_status liz_file_sync(const liz_files *files, int fd, const char *path, liz_error *err);
/* Makes durable which names the folder of `path` holds: that a file was created, renamed or removed. LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_sync_folder(const liz_files *files, const char *path, liz_error *err);
LIZ_MUST_CHECK liz_status liz_file_truncate(const liz_files *files, int fd, const char *path, uint64_t size,
                                            liz_error *err);

/* Renames, and makes the new name durable by syncing its folder. LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_rename(const liz_files *files, const char *from, const char *to, liz_error *err);

/* Gives the file `to`, where it is there, the permissions of `from`. */
void liz_file_mode_copy(const char *from, const char *to);

/* Takes the lock of an open file, until it is closed. LIZ_E_BUSY when another process holds it, LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_lock(const liz_files *files, int fd, const char *path, liz_error *err);

/* Opens `path` (created where absent) and takes its lock. Whoever replaces a locked file does so by
 * `liz_file_replace_locked`, so a lock on a file that no longer has the name is dropped and tried anew. Gives `*fd`.
 * LIZ_E_BUSY when another process holds it, LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_file_open_locked(const liz_files *files, const char *path, int *fd, liz_error *err);

/* Puts `data` [n] in the place of the locked file `*fd` at `path`, at once and durably: whoever looks sees the old
 * bytes or the new. The lock passes to the new file without a gap, and `*fd` becomes its descriptor. On failure the old
 * file and its lock stay. */
LIZ_MUST_CHECK liz_status liz_file_replace_locked(const liz_files *files, const char *path, int *fd, const void *data,
                                                  size_t n, liz_error *err);

#endif
