/* gguf.h - reading GGUF model files (specification: github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3.
 *
 * A file holds typed metadata and tensors; it may be split into parts named NAME-00001-of-0000N.gguf, of
 * which the first is opened and the others are found beside it. Everything is mapped read-only and every
 * number is checked before it is used: once open, each tensor's bytes are inside its part, its shape's
 * product has not overflowed, and names and keys are unique. GGUF writes dimensions innermost first; here
 * they are turned once: `shape[0]` is outermost, and the last one is contiguous.
 * Immutable once open, so any thread may read. */
#ifndef LIZ_FORMAT_GGUF_H
#define LIZ_FORMAT_GGUF_H

#include "base/hash.h"
#include "base/status.h"
#include "base/str.h"
#include "tensor/dtype.h"

typedef struct liz_gguf liz_gguf;

typedef enum liz_gguf_type {
    LIZ_GGUF_U8 = 0,
    LIZ_GGUF_I8 = 1,
    LIZ_GGUF_U16 = 2,
    LIZ_GGUF_I16 = 3,
    LIZ_GGUF_U32 = 4,
    LIZ_GGUF_I32 = 5,
    LIZ_GGUF_F32 = 6,
    LIZ_GGUF_BOOL = 7,
    LIZ_GGUF_STRING = 8,
    LIZ_GGUF_ARRAY = 9,
    LIZ_GGUF_U64 = 10,
    LIZ_GGUF_I64 = 11,
    LIZ_GGUF_F64 = 12
} liz_gguf_type;

/* "u32", "string"; NULL for a number that is no type. */
const char *liz_gguf_type_name(uint32_t type);
/* Bytes of one number or truth value; 0 for STRING, ARRAY and a number that is no type. */
size_t liz_gguf_type_size(uint32_t type);
bool liz_gguf_type_is_integer(uint32_t type);

/* One metadata entry, borrowed from the file. */
typedef struct liz_gguf_entry {
    liz_str key;
    liz_gguf_type type;
    liz_gguf_type elem_type; /* of an array; else `type` */
    uint64_t n;              /* elements of an array; 1 otherwise */
    const uint8_t *data;     /* the value's bytes in the file, unaligned */
    const liz_str *strings;  /* [n], for a string or an array of strings */
    uint64_t arrays_bytes;   /* of an array of arrays, which is checked and kept as it stands: the bytes at `data` */
} liz_gguf_entry;

/* Bytes at `data` that are the value: 0 where that is texts. */
uint64_t liz_gguf_entry_bytes(const liz_gguf_entry *entry);

#define LIZ_GGUF_DIM_MAX 4

typedef struct liz_gguf_tensor {
    liz_str name;
    liz_dtype dtype;
    int n_dim;
    uint64_t shape[LIZ_GGUF_DIM_MAX]; /* outermost first; [n_out, n_in] for a matrix */
    const uint8_t *data;              /* mapped */
    uint64_t size_bytes;
} liz_gguf_tensor;

/* Rows there are, and elements of one: a vector is one row. */
static inline size_t liz_gguf_n_in(const liz_gguf_tensor *t) { return (size_t)t->shape[t->n_dim - 1]; }
static inline uint64_t liz_gguf_n_rows(const liz_gguf_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i + 1 < t->n_dim; i++)
        n *= t->shape[i]; /* the reader has checked the product */
    return n;
}

/* On failure the text names the file, and the key or tensor. LIZ_E_IO, LIZ_E_FORMAT, LIZ_E_UNSUPPORTED (a
 * version, byte order or tensor type that is not known, by name), LIZ_E_LIMIT, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_gguf_open(liz_gguf **out, const char *path, liz_error *err);
void liz_gguf_close(liz_gguf *gguf);

const char *liz_gguf_path(const liz_gguf *gguf);
uint32_t liz_gguf_version(const liz_gguf *gguf);
size_t liz_gguf_n_parts(const liz_gguf *gguf);
const char *liz_gguf_part_path(const liz_gguf *gguf, size_t i);
uint64_t liz_gguf_file_bytes(const liz_gguf *gguf); /* all parts */

size_t liz_gguf_n_entries(const liz_gguf *gguf);
const liz_gguf_entry *liz_gguf_entry_at(const liz_gguf *gguf, size_t i);
const liz_gguf_entry *liz_gguf_find(const liz_gguf *gguf, const char *key); /* NULL: absent; O(1) expected */

/* Each returns false, leaving `*out`, when the key is absent, of another kind or (integers) out of range.
 * `liz_gguf_u64` takes any integer type with a value >= 0; `liz_gguf_f64` any number. */
bool liz_gguf_u64(const liz_gguf *gguf, const char *key, uint64_t *out);
bool liz_gguf_f64(const liz_gguf *gguf, const char *key, double *out);
bool liz_gguf_bool(const liz_gguf *gguf, const char *key, bool *out);
bool liz_gguf_str(const liz_gguf *gguf, const char *key, liz_str *out);

/* Element `i` (< n) of a numeric array or scalar. */
int64_t liz_gguf_entry_i64(const liz_gguf_entry *entry, uint64_t i);
double liz_gguf_entry_f64(const liz_gguf_entry *entry, uint64_t i);

size_t liz_gguf_n_tensors(const liz_gguf *gguf);
const liz_gguf_tensor *liz_gguf_tensor_at(const liz_gguf *gguf, size_t i);
const liz_gguf_tensor *liz_gguf_tensor_find(const liz_gguf *gguf, const char *name); /* NULL: absent; O(1) expected */

/* Of all metadata, and of each tensor its name and first `sample_bytes` (SIZE_MAX: all) of its bytes. */
liz_hash liz_gguf_hash(const liz_gguf *gguf, size_t sample_bytes);

/* Tells the system that the bytes of a range inside a tensor are no longer needed in memory; they are
 * read from the file again if touched. */
void liz_gguf_drop(const liz_gguf *gguf, const uint8_t *data, uint64_t size_bytes);

#endif
