/* gguf_part.c - maps one GGUF file and reads its head.
 *
 * Layout: magic, version, number of tensors, number of metadata entries; the entries; the tensor infos; then, at the
 * next multiple of the alignment, the tensors' bytes. Numbers are little-endian and unaligned. Nothing in it is
 * believed: a count is first held against the bytes that are left, so a damaged one costs no memory; every read is
 * bounded by the cursor; every name is text that can be shown.
 *
 * The mapping is private and read-only. A file that somebody shortens while it is mapped is beyond what can be
 * checked here: touching the missing pages raises SIGBUS, as it does in every program that maps files. */
#include "format/gguf_part.h"

#include "sys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF's numbers are read as they lie");

enum {
    PATH_LABEL_MAX = 160,
    ENTRY_BYTES_MIN = 8 + 1 + 4 + 1,         /* key, type, value */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8 /* name, number of dimensions, one of them, type, offset */
};

const char *liz_gguf_path_label(const char *path)
{
    size_t n = strlen(path);
    if (n <= PATH_LABEL_MAX)
        return path;
    path += n - PATH_LABEL_MAX;
    while (((unsigned char)*path & 0xC0) == 0x80)
        path++;
    return path;
}

/* ---- The cursor -------------------------------------------------------------------------------- */

liz_status liz_gguf_take_bytes(liz_gguf_cursor *cur, uint64_t n, const uint8_t **out, liz_error *err)
{
    if (n > cur->size - cur->at)
        return liz_gguf_fail_cut_off(cur, err);
    *out = cur->data + cur->at;
    cur->at += (size_t)n;
    return LIZ_OK;
}

static liz_status copy_taken(liz_gguf_cursor *cur, size_t n, void *out, liz_error *err)
{
    const uint8_t *p = NULL;
    LIZ_TRY(liz_gguf_take_bytes(cur, n, &p, err));
    memcpy(out, p, n);
    return LIZ_OK;
}

liz_status liz_gguf_take_u32(liz_gguf_cursor *cur, uint32_t *out, liz_error *err)
{
    return copy_taken(cur, sizeof *out, out, err);
}

liz_status liz_gguf_take_u64(liz_gguf_cursor *cur, uint64_t *out, liz_error *err)
{
    return copy_taken(cur, sizeof *out, out, err);
}

liz_status liz_gguf_fail_cut_off(const liz_gguf_cursor *cur, liz_error *err)
{
    return liz_fail_at(err, LIZ_E_FORMAT, cur->at,
                       "the file ends inside it, after %zu bytes: it is cut off: fetch it again", cur->size);
}

static bool text_is_showable(liz_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7F)
            return false;
    return liz_utf8_valid_prefix(text.p, text.n) == text.n;
}

liz_status liz_gguf_take_name(liz_gguf_cursor *cur, size_t len_max, liz_str *out, liz_error *err)
{
    uint64_t len;
    const uint8_t *p = NULL;
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u64(cur, &len, err));
    if (len == 0 || len > len_max)
        return liz_fail_at(err, LIZ_E_FORMAT, at, "its name has %llu bytes, not 1 to %zu: the file is damaged",
                           (unsigned long long)len, len_max);
    LIZ_TRY(liz_gguf_take_bytes(cur, len, &p, err));
    *out = (liz_str){(const char *)p, (size_t)len};
    if (!text_is_showable(*out))
        return liz_fail_at(err, LIZ_E_FORMAT, at, "its name is not text: the file is damaged");
    return LIZ_OK;
}

/* ---- The file ---------------------------------------------------------------------------------- */

static liz_status file_map(liz_gguf_part *part, int fd, liz_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return liz_fail(err, LIZ_E_IO, "cannot be examined: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return liz_fail(err, LIZ_E_IO, "is a directory: name a GGUF file in it");
    if (!S_ISREG(st.st_mode))
        return liz_fail(err, LIZ_E_IO, "is not an ordinary file: a model is mapped into memory, so save it to disk");
    if (st.st_size == 0)
        return liz_fail(err, LIZ_E_FORMAT, "is empty: fetch it again");
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return liz_fail(err, errno == ENOMEM ? LIZ_E_MEMORY : LIZ_E_IO, "cannot be mapped into memory: %s",
                        strerror(errno));
    part->data = data;
    part->size_bytes = (size_t)st.st_size;
    return LIZ_OK;
}

static liz_status file_open(liz_gguf_part *part, liz_error *err)
{
    int fd = open(part->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe must not wait for a writer */
    if (fd < 0)
        return liz_fail(err, LIZ_E_IO, "cannot be opened: %s%s", strerror(errno), liz_file_hint(errno));
    liz_status status = file_map(part, fd, err);
    close(fd); /* the mapping stays */
    return status;
}

/* ---- The head ---------------------------------------------------------------------------------- */

static bool part_begins(const liz_gguf_part *part, const char *text)
{
    return liz_str_starts((liz_str){(const char *)part->data, part->size_bytes}, text);
}

/* Says what the file is instead, where it is something that people mistake for a model. */
static liz_status fail_not_gguf(const liz_gguf_part *part, liz_error *err)
{
    if (part_begins(part, "version https://git-lfs"))
        return liz_fail(err, LIZ_E_FORMAT, "is a Git LFS pointer, not the model itself: run `git lfs pull`");
    if (part_begins(part, "lmgg") || part_begins(part, "fmgg") || part_begins(part, "tjgg") ||
        part_begins(part, "algg"))
        return liz_fail(err, LIZ_E_UNSUPPORTED, "is a GGML file from before GGUF: convert the model again");
    if (part_begins(part, "PK\x03\x04"))
        return liz_fail(err, LIZ_E_UNSUPPORTED, "is a zip archive or PyTorch checkpoint: convert the model to GGUF");
    if (part->size_bytes < 4)
        return liz_fail(err, LIZ_E_FORMAT, "is no GGUF file: it has only %zu bytes: name a model in GGUF form",
                        part->size_bytes);
    return liz_fail(err, LIZ_E_FORMAT,
                    "is no GGUF file: it begins with the bytes %02x %02x %02x %02x: name a model in GGUF form",
                    part->data[0], part->data[1], part->data[2], part->data[3]);
}

static liz_status version_check(const liz_gguf_part *part, liz_error *err)
{
    uint32_t version = part->version;
    if (version == 2 || version == 3)
        return LIZ_OK;
    if (version != 0 && (version & 0xFFFFu) == 0)
        return liz_fail_at(err, LIZ_E_UNSUPPORTED, 4,
                           "is a big-endian GGUF file (version %u): convert the model again for little-endian machines",
                           __builtin_bswap32(version));
    return liz_fail_at(err, LIZ_E_UNSUPPORTED, 4, "has GGUF version %u: versions 2 and 3 are known", version);
}

/* A count from the head: bounded by the bytes that are left, then by what is sane. */
static liz_status count_take(liz_gguf_cursor *cur, const char *what, size_t n_max, size_t bytes_min, size_t *out,
                             liz_error *err)
{
    uint64_t n;
    size_t at = cur->at;
    liz_status status = liz_gguf_take_u64(cur, &n, err);
    if (status != LIZ_OK)
        return liz_fail_within(err, status, "number of %s", what);
    if (n > cur->size / bytes_min)
        return liz_fail_at(err, LIZ_E_FORMAT, at,
                           "claims %llu %s, more than its %zu bytes can hold: it is cut off or damaged",
                           (unsigned long long)n, what, cur->size);
    if (n > n_max)
        return liz_fail_at(err, LIZ_E_LIMIT, at, "claims %llu %s: at most %zu are read", (unsigned long long)n, what,
                           n_max);
    *out = (size_t)n;
    return LIZ_OK;
}

static liz_status head_read(liz_gguf_part *part, liz_gguf_cursor *cur, liz_error *err)
{
    if (!part_begins(part, "GGUF"))
        return fail_not_gguf(part, err);
    cur->at = 4;
    liz_status status = liz_gguf_take_u32(cur, &part->version, err);
    if (status != LIZ_OK)
        return liz_fail_within(err, status, "version");
    LIZ_TRY(version_check(part, err));
    LIZ_TRY(count_take(cur, "tensors", LIZ_GGUF_TENSORS_MAX, TENSOR_BYTES_MIN, &part->n_tensors, err));
    return count_take(cur, "metadata keys", LIZ_GGUF_ENTRIES_MAX, ENTRY_BYTES_MIN, &part->n_entries, err);
}

static liz_status part_read(liz_gguf_part *part, liz_arena *arena, liz_error *err)
{
    LIZ_TRY(file_open(part, err));
    liz_gguf_cursor cur = {part->data, part->size_bytes, 0};
    LIZ_TRY(head_read(part, &cur, err));
    LIZ_TRY(liz_gguf_entries_read(part, &cur, arena, err));
    return liz_gguf_tensors_read(part, &cur, arena, err);
}

liz_status liz_gguf_part_open(liz_gguf_part *part, const char *path, liz_arena *arena, liz_error *err)
{
    *part = (liz_gguf_part){.path = liz_arena_strdup(arena, path, strlen(path))};
    if (part->path == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its name", liz_gguf_path_label(path));
    liz_status status = part_read(part, arena, err);
    return status == LIZ_OK ? LIZ_OK : liz_fail_within(err, status, "%s", liz_gguf_path_label(path));
}

void liz_gguf_part_close(liz_gguf_part *part)
{
    if (part->data != NULL)
        munmap((void *)(uintptr_t)part->data, part->size_bytes);
    part->data = NULL;
}

const liz_gguf_entry *liz_gguf_part_find(const liz_gguf_part *part, const char *key)
{
    size_t i = liz_name_index_find(&part->entry_index, liz_str_of(key));
    return i == LIZ_NAME_ABSENT ? NULL : &part->entries[i];
}
