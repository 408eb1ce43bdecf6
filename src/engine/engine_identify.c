/* engine_identify.c - which bytes a model is: a cheap stamp of its files, and a hash of their content.
 *
 * The stamp is made of device, inode, size and modification time of every part; where a caller's stamp still holds, its
 * hash does too. The hash is XXH3-128 over the parts one after the other, read in blocks with readahead; nothing
 * is mapped, so the process stays small. */
#include "base/hash.h"
#include "format/gguf.h"
#include "lizzie.h"
#include "sys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 1 << 17 }; /* stays in a core's cache between read and hash */

/* The parts' stamps are many and long; a hash of them is as good. */
static liz_status stamp_make(const liz_gguf *gguf, char stamp[256], liz_error *err)
{
    liz_hash link = {0, 0};
    unsigned long long n_bytes = 0;
    for (size_t i = 0; i < liz_gguf_n_parts(gguf); i++) {
        const char *path = liz_gguf_part_path(gguf, i);
        struct stat st;
        if (stat(path, &st) != 0)
            return liz_fail(err, LIZ_E_IO, "%s: its state cannot be read: %m%s", path, liz_file_hint(errno));
        uint64_t marks[5] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                             (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
        link = liz_hash_chain(link, marks, sizeof marks);
        n_bytes += (unsigned long long)st.st_size;
    }
    char hex[33];
    liz_hash_hex(link, hex);
    snprintf(stamp, 256, "%zu:%llu:%s", liz_gguf_n_parts(gguf), n_bytes, hex);
    return LIZ_OK;
}

static liz_status part_hash(liz_hasher *hasher, const char *path, char *block, liz_error *err)
{
    const liz_files *files = liz_files_system();
    int fd = -1;
    LIZ_TRY(liz_file_open(files, path, O_RDONLY, &fd, err));
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a wish */
    liz_status status = LIZ_OK;
    for (size_t n = 1; status == LIZ_OK && n > 0;) {
        status = liz_file_read(files, fd, path, block, BLOCK_BYTES, &n, err);
        if (status == LIZ_OK)
            liz_hasher_update(hasher, block, n);
    }
    liz_file_close(files, &fd);
    return status;
}

static liz_status content_hash(const liz_gguf *gguf, char hex[33], liz_error *err)
{
    liz_status status = LIZ_OK;
    liz_hasher *hasher = liz_hasher_new();
    char *block = malloc(BLOCK_BYTES);
    if (hasher == NULL || block == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory to read it", liz_gguf_path(gguf));
    for (size_t i = 0; i < liz_gguf_n_parts(gguf) && status == LIZ_OK; i++)
        status = part_hash(hasher, liz_gguf_part_path(gguf, i), block, err);
    if (status == LIZ_OK)
        liz_hash_hex(liz_hasher_digest(hasher), hex);
    free(block);
    if (hasher != NULL)
        liz_hasher_free(hasher);
    return status;
}

liz_status liz_model_identify(const char *path, liz_model_identity *io, liz_error *err)
{
    liz_gguf *gguf;
    char stamp[256], after[256], hex[33];
    LIZ_TRY(liz_gguf_open(&gguf, path, err));
    liz_status status = stamp_make(gguf, stamp, err);
    bool known = status == LIZ_OK && strncmp(stamp, io->stamp, sizeof stamp) == 0 && io->hash[0] != '\0';
    if (status == LIZ_OK && !known) {
        status = content_hash(gguf, hex, err);
        status = status ?: stamp_make(gguf, after, err);
        if (status == LIZ_OK && strcmp(stamp, after) != 0)
            status = liz_fail(err, LIZ_E_IO, "%s: it changed while it was read: try again", path);
        if (status == LIZ_OK) {
            memcpy(io->stamp, stamp, sizeof stamp);
            memcpy(io->hash, hex, sizeof hex);
        }
    }
    liz_gguf_close(gguf);
    return status;
}
