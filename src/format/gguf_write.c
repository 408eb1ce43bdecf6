/* gguf_write.c - the head in two buffers, the data straight to the file.
 *
 * A tensor's offset follows from those declared before it, so the infos can be laid out while tensors are declared.
 * While data streams, `tensor` is the one being written and `left` the bytes it still lacks; the padding that follows
 * a tensor is written together with its last byte. Small pieces are gathered before they go to the file. */
#include "format/gguf_write.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/tiny.h"
#include "format/gguf_part.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = LIZ_GGUF_ALIGNMENT_DEFAULT, PENDING_BYTES = LIZ_OR_TINY(1 << 20, 4096) };
#define HEAD_BYTES_MAX ((size_t)1 << 31)

typedef struct declared {
    char name[LIZ_GGUF_NAME_LEN_MAX + 1];
    uint64_t size_bytes;
} declared;

struct liz_gguf_writer {
    const liz_files *files;
    char *path, *part_path;
    int fd;        /* -1 once finished */
    char *pending; /* [n_pending], at most PENDING_BYTES: what is to be written next */
    size_t n_pending;
    liz_buf entries, infos;
    liz_buf tensors; /* declared[n_tensors] */
    size_t n_entries, n_tensors;
    uint64_t data_bytes; /* of the tensors declared so far, padding included */
    bool begun;
    size_t tensor; /* being written */
    uint64_t left; /* bytes it lacks */
    liz_error first_error;
};

static void fail_later(liz_gguf_writer *w, const char *what, liz_str name, const char *why)
{
    if (w->first_error.code == LIZ_OK)
        (void)liz_fail(&w->first_error, LIZ_E_USAGE, "%s: %s '%.*s': %s", liz_gguf_path_label(w->path), what,
                       LIZ_STR_ARG(name), why);
}

/* ---- Open and close ---------------------------------------------------------------------------- */

static liz_status writer_init(liz_gguf_writer *w, const char *path, liz_error *err)
{
    liz_buf_init(&w->entries, HEAD_BYTES_MAX);
    liz_buf_init(&w->infos, HEAD_BYTES_MAX);
    liz_buf_init(&w->tensors, HEAD_BYTES_MAX);
    w->path = strdup(path);
    w->pending = malloc(PENDING_BYTES);
    if (w->path == NULL || w->pending == NULL || asprintf(&w->part_path, "%s.part", path) < 0) {
        w->part_path = NULL;
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to write it", liz_gguf_path_label(path));
    }
    return liz_file_open(w->files, w->part_path, O_WRONLY | O_CREAT | O_TRUNC, &w->fd, err);
}

liz_status liz_gguf_writer_open(liz_gguf_writer **out, const liz_files *files, const char *path, liz_error *err)
{
    liz_gguf_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to write it", liz_gguf_path_label(path));
    w->files = files != NULL ? files : liz_files_system();
    w->fd = -1;
    liz_status status = writer_init(w, path, err);
    if (status != LIZ_OK)
        liz_gguf_writer_close(w);
    else
        *out = w;
    return status;
}

void liz_gguf_writer_close(liz_gguf_writer *w)
{
    if (w == NULL)
        return;
    if (w->fd >= 0) {
        liz_file_close(w->files, &w->fd);
        w->files->unlink(w->files->user, w->part_path);
    }
    liz_buf_free(&w->entries);
    liz_buf_free(&w->infos);
    liz_buf_free(&w->tensors);
    free(w->pending);
    free(w->part_path);
    free(w->path);
    free(w);
}

/* ---- Metadata ---------------------------------------------------------------------------------- */

static void append_u32(liz_buf *buf, uint32_t value) { liz_buf_append(buf, (const char *)&value, sizeof value); }
static void append_u64(liz_buf *buf, uint64_t value) { liz_buf_append(buf, (const char *)&value, sizeof value); }

static void append_string(liz_buf *buf, liz_str text)
{
    append_u64(buf, text.n);
    liz_buf_append_str(buf, text);
}

void liz_gguf_put_entry(liz_gguf_writer *w, const liz_gguf_entry *e)
{
    LIZ_ASSERT(!w->begun);
    bool is_text = e->elem_type == LIZ_GGUF_STRING;
    if (e->key.n == 0 || e->key.n > LIZ_GGUF_KEY_LEN_MAX || liz_str_is(e->key, "general.alignment"))
        fail_later(w, "key", e->key, "is empty, too long or the writer's own");
    append_string(&w->entries, e->key);
    append_u32(&w->entries, e->type);
    if (e->type == LIZ_GGUF_ARRAY) {
        append_u32(&w->entries, e->elem_type);
        append_u64(&w->entries, e->n);
    }
    for (uint64_t i = 0; is_text && i < e->n; i++)
        append_string(&w->entries, e->strings[i]);
    liz_buf_append(&w->entries, (const char *)e->data, (size_t)liz_gguf_entry_bytes(e));
    w->n_entries++;
}

static void put_value(liz_gguf_writer *w, const char *key, liz_gguf_type type, const void *value)
{
    liz_gguf_put_entry(w, &(liz_gguf_entry){liz_str_of(key), type, type, 1, value, NULL, 0});
}

void liz_gguf_put_u32(liz_gguf_writer *w, const char *key, uint32_t v) { put_value(w, key, LIZ_GGUF_U32, &v); }
void liz_gguf_put_u64(liz_gguf_writer *w, const char *key, uint64_t v) { put_value(w, key, LIZ_GGUF_U64, &v); }
void liz_gguf_put_i32(liz_gguf_writer *w, const char *key, int32_t v) { put_value(w, key, LIZ_GGUF_I32, &v); }
void liz_gguf_put_f32(liz_gguf_writer *w, const char *key, float v) { put_value(w, key, LIZ_GGUF_F32, &v); }
void liz_gguf_put_bool(liz_gguf_writer *w, const char *key, bool v) { put_value(w, key, LIZ_GGUF_BOOL, &v); }

void liz_gguf_put_str(liz_gguf_writer *w, const char *key, liz_str value)
{
    liz_gguf_put_entry(w, &(liz_gguf_entry){liz_str_of(key), LIZ_GGUF_STRING, LIZ_GGUF_STRING, 1, NULL, &value, 0});
}

void liz_gguf_put_array(liz_gguf_writer *w, const char *key, liz_gguf_type type, const void *data, size_t n)
{
    size_t size, elem_size = liz_gguf_type_size(type);
    if (elem_size == 0 || !liz_size_mul(n, elem_size, &size)) /* texts: liz_gguf_put_strs */
        fail_later(w, "key", liz_str_of(key), "is no array of numbers");
    else
        liz_gguf_put_entry(w, &(liz_gguf_entry){liz_str_of(key), LIZ_GGUF_ARRAY, type, n, data, NULL, 0});
}

void liz_gguf_put_strs(liz_gguf_writer *w, const char *key, const liz_str *strings, size_t n)
{
    liz_gguf_put_entry(w, &(liz_gguf_entry){liz_str_of(key), LIZ_GGUF_ARRAY, LIZ_GGUF_STRING, n, NULL, strings, 0});
}

void liz_gguf_put_entries(liz_gguf_writer *w, const liz_gguf *from, const char *const *but)
{
    for (size_t i = 0; i < liz_gguf_n_entries(from); i++) {
        const liz_gguf_entry *e = liz_gguf_entry_at(from, i);
        bool kept = !liz_str_is(e->key, "general.alignment") && !liz_str_starts(e->key, "split.");
        for (const char *const *key = but; key != NULL && *key != NULL; key++)
            kept = kept && !liz_str_is(e->key, *key);
        if (kept)
            liz_gguf_put_entry(w, e);
    }
}

/* ---- Tensors ----------------------------------------------------------------------------------- */

static bool tensor_size(liz_dtype dtype, int n_dim, const uint64_t *shape, uint64_t *out)
{
    if (n_dim < 1 || n_dim > LIZ_GGUF_DIM_MAX || !liz_dtype_row_bytes((uint32_t)dtype, shape[n_dim - 1], out))
        return false;
    for (int i = 0; i < n_dim - 1; i++)
        if (!liz_u64_mul(*out, shape[i], out))
            return false;
    return *out != 0;
}

void liz_gguf_declare_tensor(liz_gguf_writer *w, liz_str name, liz_dtype dtype, int n_dim, const uint64_t *shape)
{
    LIZ_ASSERT(!w->begun);
    declared tensor = {{0}, 0};
    uint64_t padded, end;
    if (name.n == 0 || name.n > LIZ_GGUF_NAME_LEN_MAX || !tensor_size(dtype, n_dim, shape, &tensor.size_bytes) ||
        !liz_u64_round_up(tensor.size_bytes, ALIGNMENT, &padded) || !liz_u64_add(w->data_bytes, padded, &end)) {
        fail_later(w, "tensor", name, "its name, type and shape cannot be written");
        return;
    }
    append_string(&w->infos, name);
    append_u32(&w->infos, (uint32_t)n_dim);
    for (int i = n_dim - 1; i >= 0; i--)
        append_u64(&w->infos, shape[i]);
    append_u32(&w->infos, (uint32_t)dtype);
    append_u64(&w->infos, w->data_bytes);
    memcpy(tensor.name, name.p, name.n);
    liz_buf_append(&w->tensors, (const char *)&tensor, sizeof tensor);
    w->data_bytes = end;
    w->n_tensors++;
}

/* ---- The file ---------------------------------------------------------------------------------- */

static declared tensor_at(const liz_gguf_writer *w, size_t i)
{
    declared tensor;
    memcpy(&tensor, w->tensors.data + i * sizeof tensor, sizeof tensor);
    return tensor;
}

static liz_status flush(liz_gguf_writer *w, liz_error *err)
{
    size_t n = w->n_pending;
    w->n_pending = 0;
    return liz_file_write(w->files, w->fd, liz_gguf_path_label(w->part_path), w->pending, n, err);
}

static liz_status write_bytes(liz_gguf_writer *w, const void *data, size_t n, liz_error *err)
{
    if (n > PENDING_BYTES - w->n_pending)
        LIZ_TRY(flush(w, err));
    if (n > PENDING_BYTES)
        return liz_file_write(w->files, w->fd, liz_gguf_path_label(w->part_path), data, n, err);
    if (n > 0)
        memcpy(w->pending + w->n_pending, data, n);
    w->n_pending += n;
    return LIZ_OK;
}

static liz_status write_padding(liz_gguf_writer *w, uint64_t size, liz_error *err)
{
    static const char zeros[ALIGNMENT];
    return write_bytes(w, zeros, (size_t)(-size & (ALIGNMENT - 1)), err);
}

/* The first bytes of the file, the metadata and the tensor infos. */
static liz_status write_head(liz_gguf_writer *w, const liz_buf *first, liz_error *err)
{
    LIZ_TRY(write_bytes(w, first->data, first->len, err));
    LIZ_TRY(write_bytes(w, w->entries.data, w->entries.len, err));
    LIZ_TRY(write_bytes(w, w->infos.data, w->infos.len, err));
    return write_padding(w, first->len + w->entries.len + w->infos.len, err);
}

liz_status liz_gguf_writer_begin(liz_gguf_writer *w, liz_error *err)
{
    LIZ_ASSERT(!w->begun);
    if (w->first_error.code != LIZ_OK) {
        if (err != NULL)
            *err = w->first_error;
        return w->first_error.code;
    }
    liz_buf first;
    liz_buf_init(&first, 64);
    liz_buf_puts(&first, "GGUF");
    append_u32(&first, 3);
    append_u64(&first, w->n_tensors);
    append_u64(&first, w->n_entries);
    bool failed = liz_buf_failed(&first) || liz_buf_failed(&w->entries) || liz_buf_failed(&w->infos) ||
                  liz_buf_failed(&w->tensors);
    liz_status status =
        failed ? liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its metadata", liz_gguf_path_label(w->path))
               : write_head(w, &first, err);
    liz_buf_free(&first);
    LIZ_TRY(status);
    w->begun = true;
    w->left = w->n_tensors > 0 ? tensor_at(w, 0).size_bytes : 0;
    return LIZ_OK;
}

liz_status liz_gguf_writer_data(liz_gguf_writer *w, const void *data, size_t n, liz_error *err)
{
    LIZ_ASSERT(w->begun && w->fd >= 0);
    for (const char *p = data; n > 0;) {
        if (w->tensor == w->n_tensors)
            return liz_fail(err, LIZ_E_STATE, "%s: more bytes than its tensors were declared to have",
                            liz_gguf_path_label(w->path));
        size_t now = n < w->left ? n : (size_t)w->left;
        LIZ_TRY(write_bytes(w, p, now, err));
        p += now, n -= now, w->left -= now;
        if (w->left > 0)
            break;
        LIZ_TRY(write_padding(w, tensor_at(w, w->tensor).size_bytes, err));
        if (++w->tensor < w->n_tensors)
            w->left = tensor_at(w, w->tensor).size_bytes;
    }
    return LIZ_OK;
}

/* What was written must be readable: a key put twice is found here, not by whoever opens the file. */
static liz_status read_back(const liz_gguf_writer *w, liz_error *err)
{
    liz_gguf *gguf;
    liz_status status = liz_gguf_open(&gguf, w->part_path, err);
    if (status != LIZ_OK)
        return liz_fail_within(err, status, "what was written cannot be read back");
    liz_gguf_close(gguf);
    return LIZ_OK;
}

liz_status liz_gguf_writer_finish(liz_gguf_writer *w, liz_error *err)
{
    LIZ_ASSERT(w->begun && w->fd >= 0);
    if (w->tensor < w->n_tensors)
        return liz_fail(err, LIZ_E_STATE, "%s: tensor '%s': lacks %llu bytes", liz_gguf_path_label(w->path),
                        tensor_at(w, w->tensor).name, (unsigned long long)w->left);
    LIZ_TRY(flush(w, err));
    LIZ_TRY(liz_file_sync(w->files, w->fd, liz_gguf_path_label(w->part_path), err));
    LIZ_TRY(read_back(w, err));
    LIZ_TRY(liz_file_rename(w->files, w->part_path, w->path, err));
    liz_file_close(w->files, &w->fd);
    return LIZ_OK;
}
