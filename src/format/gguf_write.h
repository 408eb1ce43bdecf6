/* gguf_write.h - writing a GGUF file, version 3.
 *
 * In this order: open; put the metadata and declare every tensor; begin, which writes the head; the tensors' bytes,
 * streamed in the order of their declaration; finish. Until then the bytes go to PATH.part, so PATH is either what it
 * was or whole, through a power cut too. The put and declare calls return nothing: the first thing that goes wrong is
 * remembered, and `begin` reports it. Metadata is kept in memory until `begin`, tensors never. Not thread safe. */
#ifndef LIZ_FORMAT_GGUF_WRITE_H
#define LIZ_FORMAT_GGUF_WRITE_H

#include "format/gguf.h"
#include "sys/files.h"

typedef struct liz_gguf_writer liz_gguf_writer;

/* Writes through `files` (NULL: the system's own). LIZ_E_IO names the file. */
LIZ_MUST_CHECK liz_status liz_gguf_writer_open(liz_gguf_writer **out, const liz_files *files, const char *path,
                                               liz_error *err);
/* Releases; an unfinished file is removed. NULL is allowed. */
void liz_gguf_writer_close(liz_gguf_writer *writer);

/* Keys are distinct, and `general.alignment` is not among them: it stays the default. */
void liz_gguf_put_u32(liz_gguf_writer *writer, const char *key, uint32_t value);
void liz_gguf_put_u64(liz_gguf_writer *writer, const char *key, uint64_t value);
void liz_gguf_put_i32(liz_gguf_writer *writer, const char *key, int32_t value);
void liz_gguf_put_f32(liz_gguf_writer *writer, const char *key, float value);
void liz_gguf_put_bool(liz_gguf_writer *writer, const char *key, bool value);
void liz_gguf_put_str(liz_gguf_writer *writer, const char *key, liz_str value);
/* `data` [n] are numbers or truth values of `type`, in memory as in the file; `strings` is not NULL. */
void liz_gguf_put_array(liz_gguf_writer *writer, const char *key, liz_gguf_type type, const void *data, size_t n);
void liz_gguf_put_strs(liz_gguf_writer *writer, const char *key, const liz_str *strings, size_t n);
/* An entry of another file as it stands; or all of them but those that say how the file is cut, and the keys of the
 * list `but`, which NULL ends (NULL: none). */
void liz_gguf_put_entry(liz_gguf_writer *writer, const liz_gguf_entry *entry);
void liz_gguf_put_entries(liz_gguf_writer *writer, const liz_gguf *from, const char *const *but);

/* Declares the next tensor: shape [n_dim], outermost first. */
void liz_gguf_declare_tensor(liz_gguf_writer *writer, liz_str name, liz_dtype dtype, int n_dim, const uint64_t *shape);

/* LIZ_E_USAGE for what was put or declared wrongly, LIZ_E_LIMIT, LIZ_E_MEMORY, LIZ_E_IO. */
LIZ_MUST_CHECK liz_status liz_gguf_writer_begin(liz_gguf_writer *writer, liz_error *err);

/* The next `n` bytes of tensor data, within one tensor or across several; the gaps between tensors are the writer's.
 * LIZ_E_STATE for more bytes than were declared. */
LIZ_MUST_CHECK liz_status liz_gguf_writer_data(liz_gguf_writer *writer, const void *data, size_t n, liz_error *err);

/* Checks that every tensor is whole, reads the file's head back, makes it durable and gives it its name, durably too.
 * LIZ_E_STATE names the tensor that is short of bytes. */
LIZ_MUST_CHECK liz_status liz_gguf_writer_finish(liz_gguf_writer *writer, liz_error *err);

#endif
