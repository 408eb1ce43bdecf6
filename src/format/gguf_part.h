/* gguf_part.h - one file of a GGUF model: mapped, checked and taken apart. Inner header of `format`.
 *
 * A part knows nothing of its siblings; gguf.c puts them together. */
#ifndef LIZ_FORMAT_GGUF_PART_H
#define LIZ_FORMAT_GGUF_PART_H

#include "base/arena.h"
#include "format/gguf.h"
#include "format/name_index.h"

/* Far above what any real file holds; they bound the work a damaged or hostile file can ask for. */
enum {
    LIZ_GGUF_ENTRIES_MAX = 1 << 16,
    LIZ_GGUF_TENSORS_MAX = 1 << 18,
    LIZ_GGUF_PARTS_MAX = 4096,
    LIZ_GGUF_KEY_LEN_MAX = 65535, /* the specification's own */
    LIZ_GGUF_NAME_LEN_MAX = 127,  /* ggml has 63 */
    LIZ_GGUF_STRING_LEN_MAX = 1 << 26,
    LIZ_GGUF_ARRAY_LEN_MAX = 1 << 26,
    LIZ_GGUF_ARRAY_DEPTH_MAX = 8,
    LIZ_GGUF_STRINGS_MAX = 1 << 24, /* of an array: each costs a slice in memory, even where it is empty */
    LIZ_GGUF_ALIGNMENT_MIN = 8,     /* so that the elements of every type lie aligned in memory */
    LIZ_GGUF_ALIGNMENT_MAX = 1 << 20,
    LIZ_GGUF_ALIGNMENT_DEFAULT = 32
};

typedef struct liz_gguf_part {
    const char *path;    /* in the arena */
    const uint8_t *data; /* mapped */
    size_t size_bytes;
    uint32_t version;
    liz_gguf_entry *entries; /* [n_entries] */
    size_t n_entries;
    liz_name_index entry_index;
    liz_gguf_tensor *tensors; /* [n_tensors]; unique names are the caller's to check, across parts */
    size_t n_tensors;
} liz_gguf_part;

/* What it takes is in `arena`, except for the mapping, which `liz_gguf_part_close` releases; so it does after a
 * failure. Error texts begin with the path. */
LIZ_MUST_CHECK liz_status liz_gguf_part_open(liz_gguf_part *part, const char *path, liz_arena *arena, liz_error *err);
void liz_gguf_part_close(liz_gguf_part *part);

/* The entry of that key, or NULL. */
const liz_gguf_entry *liz_gguf_part_find(const liz_gguf_part *part, const char *key);
/* As liz_gguf_u64. */
bool liz_gguf_part_u64(const liz_gguf_part *part, const char *key, uint64_t *out);

/* For error texts: the end of a path that is too long for them. */
const char *liz_gguf_path_label(const char *path);

/* ---- What gguf_part.c has its neighbours read ---------------------------------------------------- */

/* A place in the mapped bytes, always inside them or at their end. */
typedef struct liz_gguf_cursor {
    const uint8_t *data;
    size_t size, at;
} liz_gguf_cursor;

/* Each takes what stands at the cursor and moves on; fails, and no move, when the bytes end before it does. */
LIZ_MUST_CHECK liz_status liz_gguf_take_bytes(liz_gguf_cursor *cur, uint64_t n, const uint8_t **out, liz_error *err);
LIZ_MUST_CHECK liz_status liz_gguf_take_u32(liz_gguf_cursor *cur, uint32_t *out, liz_error *err);
LIZ_MUST_CHECK liz_status liz_gguf_take_u64(liz_gguf_cursor *cur, uint64_t *out, liz_error *err);

/* A length and as many bytes of text that can be shown: UTF-8 without control characters, 1 to `len_max` bytes. */
LIZ_MUST_CHECK liz_status liz_gguf_take_name(liz_gguf_cursor *cur, size_t len_max, liz_str *out, liz_error *err);

/* Fails because the file ends inside what is being read. */
liz_status liz_gguf_fail_cut_off(const liz_gguf_cursor *cur, liz_error *err);

/* Reads part->n_entries entries (gguf_entry.c) and indexes them. */
LIZ_MUST_CHECK liz_status liz_gguf_entries_read(liz_gguf_part *part, liz_gguf_cursor *cur, liz_arena *arena,
                                                liz_error *err);
/* Reads part->n_tensors tensor infos (gguf_tensor.c) and finds each tensor's bytes. */
LIZ_MUST_CHECK liz_status liz_gguf_tensors_read(liz_gguf_part *part, liz_gguf_cursor *cur, liz_arena *arena,
                                                liz_error *err);

#endif
