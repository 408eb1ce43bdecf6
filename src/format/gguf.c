/* gguf.c - a GGUF model of one file or several.
 *
 * A model that was split says so in the metadata of each part: split.count, split.no (from 0) and
 * split.tensors.count (of the whole). The parts are named NAME-00001-of-0000N.gguf and lie in one folder; only the
 * first may be opened, since it holds the metadata of the model. Of a later part's metadata nothing but the split
 * keys is looked at. All parts are mapped at once, and their tensors stand in one list under one index. */
#include "format/gguf.h"

#include "format/gguf_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The tables of a file are bounded by its size (gguf_part.c); this bounds what a huge one may ask for. */
#define ARENA_BYTES_MAX ((size_t)1 << 30)

struct liz_gguf {
    liz_arena arena;
    liz_gguf_part *parts; /* [n_parts] */
    size_t n_parts;
    liz_gguf_tensor *tensors; /* [n_tensors], of all parts in order */
    size_t n_tensors;
    liz_name_index tensor_index;
};

/* ---- Parts ------------------------------------------------------------------------------------- */

/* What a part says about the split it belongs to; count 1 where it says nothing. */
typedef struct split_info {
    uint64_t no, count, n_tensors;
} split_info;

static liz_status split_fail(const liz_gguf_part *part, liz_error *err, const char *why)
{
    return liz_fail(err, LIZ_E_FORMAT, "%s: %s", liz_gguf_path_label(part->path), why);
}

static liz_status split_info_get(const liz_gguf_part *part, split_info *info, liz_error *err)
{
    *info = (split_info){.count = 1};
    if (liz_gguf_part_find(part, "split.count") == NULL)
        return LIZ_OK;
    if (!liz_gguf_part_u64(part, "split.count", &info->count) || info->count > LIZ_GGUF_PARTS_MAX)
        return split_fail(part, err, "key 'split.count': is no number of parts from 1 to 4096: the file is damaged");
    if (info->count <= 1) {
        info->count = 1;
        return LIZ_OK;
    }
    if (!liz_gguf_part_u64(part, "split.no", &info->no) || info->no >= info->count)
        return split_fail(part, err, "key 'split.no': is missing or no number below split.count: the file is damaged");
    if (!liz_gguf_part_u64(part, "split.tensors.count", &info->n_tensors))
        return split_fail(part, err, "key 'split.tensors.count': is missing or no count: the file is damaged");
    return LIZ_OK;
}

/* The path of part `no` beside `path`, which is part `no_of_path`; NULL when `path` is not named as a part is. */
static char *sibling_path(const char *path, uint64_t no_of_path, uint64_t no, uint64_t count, liz_arena *arena)
{
    char suffix[64];
    int n = snprintf(suffix, sizeof suffix, "-%05llu-of-%05llu.gguf", (unsigned long long)no_of_path + 1,
                     (unsigned long long)count);
    size_t len = strlen(path);
    if (len < (size_t)n || strcmp(path + len - (size_t)n, suffix) != 0)
        return NULL;
    char *sibling = liz_arena_strdup(arena, path, len);
    if (sibling != NULL)
        snprintf(sibling + len - (size_t)n, (size_t)n + 1, "-%05llu-of-%05llu.gguf", (unsigned long long)no + 1,
                 (unsigned long long)count);
    return sibling;
}

static liz_status fail_later_part(liz_gguf *gguf, const split_info *info, liz_error *err)
{
    const char *path = gguf->parts[0].path;
    const char *first = sibling_path(path, info->no, 0, info->count, &gguf->arena);
    return liz_fail(err, LIZ_E_USAGE, "%s: is part %llu of %llu: open the first, %s", liz_gguf_path_label(path),
                    (unsigned long long)info->no + 1, (unsigned long long)info->count,
                    first != NULL ? liz_gguf_path_label(first) : "whose name ends in -00001-of-...");
}

static liz_status later_part_open(liz_gguf *gguf, const split_info *whole, const char *path, liz_error *err)
{
    liz_gguf_part *part = &gguf->parts[gguf->n_parts++]; /* closable even if opening it fails */
    if (access(path, F_OK) != 0)
        return liz_fail(err, LIZ_E_IO, "%s: is missing: part %zu of %llu must lie beside the first",
                        liz_gguf_path_label(path), gguf->n_parts, (unsigned long long)whole->count);
    LIZ_TRY(liz_gguf_part_open(part, path, &gguf->arena, err));
    split_info info;
    LIZ_TRY(split_info_get(part, &info, err));
    if (info.count != whole->count || info.no != gguf->n_parts - 1 || info.n_tensors != whole->n_tensors)
        return liz_fail(err, LIZ_E_FORMAT,
                        "%s: says it is part %llu of %llu with %llu tensors, but should be part %zu of "
                        "%llu with %llu: the parts do not belong together",
                        liz_gguf_path_label(path), (unsigned long long)info.no + 1, (unsigned long long)info.count,
                        (unsigned long long)info.n_tensors, gguf->n_parts, (unsigned long long)whole->count,
                        (unsigned long long)whole->n_tensors);
    return LIZ_OK;
}

/* Opens the parts after the first. */
static liz_status later_parts_open(liz_gguf *gguf, const split_info *whole, liz_error *err)
{
    const liz_gguf_part first = gguf->parts[0];
    liz_gguf_part *parts = liz_arena_array(&gguf->arena, (size_t)whole->count, sizeof *parts);
    if (parts == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its parts", liz_gguf_path_label(first.path));
    parts[0] = first;
    gguf->parts = parts;
    for (uint64_t no = 1; no < whole->count; no++) {
        const char *path = sibling_path(first.path, 0, no, whole->count, &gguf->arena);
        if (path == NULL)
            return liz_fail(err, LIZ_E_FORMAT,
                            "%s: is the first of %llu parts, so its name must end in -00001-of-%05llu.gguf "
                            "for the others to be found",
                            liz_gguf_path_label(first.path), (unsigned long long)whole->count,
                            (unsigned long long)whole->count);
        LIZ_TRY(later_part_open(gguf, whole, path, err));
    }
    return LIZ_OK;
}

static liz_status parts_open(liz_gguf *gguf, const char *path, liz_error *err)
{
    gguf->parts = liz_arena_array(&gguf->arena, 1, sizeof *gguf->parts);
    if (gguf->parts == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to open it", liz_gguf_path_label(path));
    gguf->n_parts = 1;
    LIZ_TRY(liz_gguf_part_open(&gguf->parts[0], path, &gguf->arena, err));
    split_info info;
    liz_status status = split_info_get(&gguf->parts[0], &info, err);
    if (status != LIZ_OK || info.count == 1)
        return status;
    if (info.no != 0)
        return fail_later_part(gguf, &info, err);
    LIZ_TRY(later_parts_open(gguf, &info, err));
    uint64_t n_tensors = 0;
    for (size_t i = 0; i < gguf->n_parts; i++)
        n_tensors += gguf->parts[i].n_tensors;
    if (n_tensors != info.n_tensors)
        return liz_fail(err, LIZ_E_FORMAT, "%s: key 'split.tensors.count': says %llu, but the parts hold %llu tensors",
                        liz_gguf_path_label(path), (unsigned long long)info.n_tensors, (unsigned long long)n_tensors);
    return LIZ_OK;
}

/* ---- Tensors of all parts ---------------------------------------------------------------------- */

static const liz_gguf_part *part_of(const liz_gguf *gguf, size_t tensor)
{
    const liz_gguf_part *part = gguf->parts;
    while (tensor >= part->n_tensors)
        tensor -= part++->n_tensors;
    return part;
}

static liz_status tensors_index(liz_gguf *gguf, liz_error *err)
{
    const char *label = liz_gguf_path_label(gguf->parts[0].path);
    for (size_t i = 0; i < gguf->n_parts; i++)
        gguf->n_tensors += gguf->parts[i].n_tensors;
    if (gguf->n_tensors > LIZ_GGUF_TENSORS_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "%s: has %zu tensors: at most %d are read", label, gguf->n_tensors,
                        LIZ_GGUF_TENSORS_MAX);
    gguf->tensors = liz_arena_array(&gguf->arena, gguf->n_tensors, sizeof *gguf->tensors);
    if (gguf->tensors == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for %zu tensor infos", label, gguf->n_tensors);
    liz_gguf_tensor *to = gguf->tensors;
    for (size_t i = 0; i < gguf->n_parts; i++)
        for (size_t k = 0; k < gguf->parts[i].n_tensors; k++)
            *to++ = gguf->parts[i].tensors[k];
    size_t twin;
    if (!liz_name_index_build(&gguf->tensor_index, gguf->tensors, gguf->n_tensors, sizeof *gguf->tensors, &gguf->arena,
                              &twin))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for %zu tensor infos", label, gguf->n_tensors);
    if (twin != LIZ_NAME_ABSENT)
        return liz_fail(err, LIZ_E_FORMAT, "%s: tensor '%.*s': stands in the model twice: the file is damaged",
                        liz_gguf_path_label(part_of(gguf, twin)->path), LIZ_STR_ARG(gguf->tensors[twin].name));
    return LIZ_OK;
}

/* ---- Opening and asking ------------------------------------------------------------------------ */

liz_status liz_gguf_open(liz_gguf **out, const char *path, liz_error *err)
{
    liz_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory to open it", liz_gguf_path_label(path));
    liz_arena_init(&gguf->arena, ARENA_BYTES_MAX);
    liz_status status = parts_open(gguf, path, err);
    status = status ?: tensors_index(gguf, err);
    if (status != LIZ_OK)
        liz_gguf_close(gguf);
    else
        *out = gguf;
    return status;
}

void liz_gguf_close(liz_gguf *gguf)
{
    if (gguf == NULL)
        return;
    for (size_t i = 0; i < gguf->n_parts; i++)
        liz_gguf_part_close(&gguf->parts[i]);
    liz_arena_free(&gguf->arena);
    free(gguf);
}

const char *liz_gguf_path(const liz_gguf *gguf) { return gguf->parts[0].path; }
uint32_t liz_gguf_version(const liz_gguf *gguf) { return gguf->parts[0].version; }
size_t liz_gguf_n_parts(const liz_gguf *gguf) { return gguf->n_parts; }

const char *liz_gguf_part_path(const liz_gguf *gguf, size_t i)
{
    LIZ_ASSERT(i < gguf->n_parts);
    return gguf->parts[i].path;
}

uint64_t liz_gguf_file_bytes(const liz_gguf *gguf)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf->n_parts; i++)
        sum += gguf->parts[i].size_bytes;
    return sum;
}

size_t liz_gguf_n_entries(const liz_gguf *gguf) { return gguf->parts[0].n_entries; }

const liz_gguf_entry *liz_gguf_entry_at(const liz_gguf *gguf, size_t i)
{
    LIZ_ASSERT(i < gguf->parts[0].n_entries);
    return &gguf->parts[0].entries[i];
}

const liz_gguf_entry *liz_gguf_find(const liz_gguf *gguf, const char *key)
{
    return liz_gguf_part_find(&gguf->parts[0], key);
}

size_t liz_gguf_n_tensors(const liz_gguf *gguf) { return gguf->n_tensors; }

const liz_gguf_tensor *liz_gguf_tensor_at(const liz_gguf *gguf, size_t i)
{
    LIZ_ASSERT(i < gguf->n_tensors);
    return &gguf->tensors[i];
}

const liz_gguf_tensor *liz_gguf_tensor_find(const liz_gguf *gguf, const char *name)
{
    size_t i = liz_name_index_find(&gguf->tensor_index, liz_str_of(name));
    return i == LIZ_NAME_ABSENT ? NULL : &gguf->tensors[i];
}

liz_hash liz_gguf_hash(const liz_gguf *gguf, size_t sample_bytes)
{
    liz_hash h = {0};
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++) {
        const liz_gguf_entry *entry = liz_gguf_entry_at(gguf, i);
        h = liz_hash_chain(h, entry->key.p, entry->key.n);
        for (uint64_t k = 0; entry->strings != NULL && k < entry->n; k++)
            h = liz_hash_chain(h, entry->strings[k].p, entry->strings[k].n);
        if (entry->strings == NULL)
            h = liz_hash_chain(h, entry->data, (size_t)liz_gguf_entry_bytes(entry));
    }
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        const liz_gguf_tensor *t = &gguf->tensors[i];
        h = liz_hash_chain(h, t->name.p, t->name.n);
        h = liz_hash_chain(h, t->data, t->size_bytes < sample_bytes ? (size_t)t->size_bytes : sample_bytes);
    }
    return h;
}

void liz_gguf_drop(const liz_gguf *gguf, const uint8_t *data, uint64_t size_bytes)
{
    (void)gguf;
    /* Whole pages, rounded outwards: the neighbours' bytes come back when touched, and no page stays behind between
     * two ranges that are dropped one after the other. */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)data & ~(page - 1), end = ((uintptr_t)data + size_bytes + page - 1) & ~(page - 1);
    if (size_bytes > 0)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
