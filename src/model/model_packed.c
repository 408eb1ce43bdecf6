/* model_packed.c - the file of packed weights: its key, reading, writing. */
#include "model/model_packed.h"

#include "base/checked.h"
#include "base/log.h"
#include "sys/files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LAYOUT = 1,             /* raised when the same file packs to other bytes */
    HEAD_BYTES = 64 * 1024, /* a multiple of any page size */
    SAMPLE_BYTES = 4096     /* of each tensor */
};

typedef struct head {
    char magic[8];
    liz_hash key;
    uint64_t size_bytes; /* of what follows the head */
} head;

static const char magic[8] = "LIZPACK";

static bool path_of(const liz_gguf *gguf, const char *suffix, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s.packed%s", liz_gguf_path(gguf), suffix) < PATH_MAX;
}

/* A file that is written again gets another time, whatever the samples say. */
static liz_hash parts_hash(liz_hash key, const liz_gguf *gguf)
{
    for (size_t i = 0; i < liz_gguf_n_parts(gguf); i++) {
        struct stat st = {0};
        (void)stat(liz_gguf_part_path(gguf, i), &st);
        int64_t facts[3] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
        key = liz_hash_chain(key, facts, sizeof facts);
    }
    return key;
}

liz_hash liz_packed_key(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf)
{
    liz_hash key = parts_hash(liz_gguf_hash(gguf, SAMPLE_BYTES), gguf);
    liz_linear *linear;
    for (size_t i = 0; (linear = liz_weights_linear(w, h, i)) != NULL; i++) {
        const liz_matrix *m = &linear->matrix;
        int64_t facts[6] = {LAYOUT, m->pack, m->n_out, m->n_in, linear->n_mat, (int64_t)linear->row};
        key = liz_hash_chain(key, facts, sizeof facts);
    }
    return key;
}

static bool head_fits(int fd, uint64_t size_bytes, liz_hash key)
{
    head is;
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == HEAD_BYTES + size_bytes &&
           pread(fd, &is, sizeof is, 0) == sizeof is && memcmp(is.magic, magic, sizeof magic) == 0 &&
           liz_hash_eq(is.key, key) && is.size_bytes == size_bytes;
}

uint8_t *liz_packed_map(const liz_weights *w, const liz_gguf *gguf, liz_hash key)
{
    char path[PATH_MAX];
    if (!path_of(gguf, "", path))
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    void *p = MAP_FAILED;
    if (head_fits(fd, w->packed_bytes, key))
        p = mmap(NULL, w->packed_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, HEAD_BYTES);
    else
        liz_log(LIZ_LOG_INFO, "model", "%s: is of another model file or program: not used", path);
    close(fd); /* the mapping stays */
    if (p == MAP_FAILED)
        return NULL;
    liz_log(LIZ_LOG_DEBUG, "model", "weights are mapped from %s", path);
    return p;
}

liz_status liz_packed_write(const liz_weights *w, const liz_gguf *gguf, liz_hash key, liz_error *err)
{
    static const uint8_t zeros[HEAD_BYTES - sizeof(head)];
    const liz_files *files = liz_files_system();
    head is = {.key = key, .size_bytes = w->packed_bytes};
    memcpy(is.magic, magic, sizeof magic);
    char path[PATH_MAX], unfinished[PATH_MAX];
    int fd = -1;
    if (!path_of(gguf, "", path) || !path_of(gguf, ".unfinished", unfinished))
        return liz_fail(err, LIZ_E_IO, "%s: the name is too long", liz_gguf_path(gguf));
    liz_status status = liz_file_open_locked(files, unfinished, &fd, err);
    status = status ?: liz_file_truncate(files, fd, unfinished, 0, err);
    status = status ?: liz_file_write(files, fd, unfinished, &is, sizeof is, err);
    status = status ?: liz_file_write(files, fd, unfinished, zeros, sizeof zeros, err);
    status = status ?: liz_file_write(files, fd, unfinished, w->packed, w->packed_bytes, err);
    status = status ?: liz_file_sync(files, fd, unfinished, err);
    if (status == LIZ_OK)
        status = liz_file_rename(files, unfinished, path, err);
    else if (status != LIZ_E_BUSY)
        unlink(unfinished);
    liz_file_close(files, &fd);
    return status;
}
