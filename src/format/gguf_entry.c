/* gguf_entry.c - metadata entries: a key, a type, and a value or an array of values.
 *
 * Numbers stay in the mapped file and are read with memcpy when asked for, since they lie unaligned. Strings get a
 * table of slices, built in the one pass that has to walk their lengths anyway: a vocabulary of 128 thousand tokens
 * with 280 thousand merges takes a few milliseconds. Arrays of arrays are walked for their end and kept as they stand:
 * no key that is known holds one, so nothing looks into them. */
#include "format/gguf_part.h"

#include "base/checked.h"
#include "base/half.h"

enum { KEY_SHOWN_MAX = 100 };

static const struct {
    const char *name;
    uint8_t size; /* 0: not of one size */
} types[] = {
    [LIZ_GGUF_U8] = {"u8", 1},       [LIZ_GGUF_I8] = {"i8", 1},     [LIZ_GGUF_U16] = {"u16", 2},
    [LIZ_GGUF_I16] = {"i16", 2},     [LIZ_GGUF_U32] = {"u32", 4},   [LIZ_GGUF_I32] = {"i32", 4},
    [LIZ_GGUF_F32] = {"f32", 4},     [LIZ_GGUF_BOOL] = {"bool", 1}, [LIZ_GGUF_STRING] = {"string", 0},
    [LIZ_GGUF_ARRAY] = {"array", 0}, [LIZ_GGUF_U64] = {"u64", 8},   [LIZ_GGUF_I64] = {"i64", 8},
    [LIZ_GGUF_F64] = {"f64", 8},
};
enum { N_TYPES = sizeof types / sizeof *types };

size_t liz_gguf_type_size(uint32_t type) { return type < N_TYPES ? types[type].size : 0; }
const char *liz_gguf_type_name(uint32_t type) { return type < N_TYPES ? types[type].name : NULL; }

/* ---- Values ------------------------------------------------------------------------------------ */

static liz_status type_take(liz_gguf_cursor *cur, const char *what, liz_gguf_type *out, liz_error *err)
{
    uint32_t type;
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u32(cur, &type, err));
    if (type >= N_TYPES)
        return liz_fail_at(err, LIZ_E_UNSUPPORTED, at, "has %s %u, which GGUF does not define: the file is damaged",
                           what, type);
    *out = (liz_gguf_type)type;
    return LIZ_OK;
}

static liz_status numbers_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_error *err)
{
    uint64_t size;
    if (!liz_u64_mul(entry->n, types[entry->elem_type].size, &size))
        return liz_gguf_fail_cut_off(cur, err);
    LIZ_TRY(liz_gguf_take_bytes(cur, size, &entry->data, err));
    if (entry->elem_type != LIZ_GGUF_BOOL)
        return LIZ_OK;
    for (uint64_t i = 0; i < entry->n; i++)
        if (entry->data[i] > 1)
            return liz_fail_at(err, LIZ_E_FORMAT, cur->at - (size_t)(size - i),
                               "holds a truth value of %u instead of 0 or 1: the file is damaged", entry->data[i]);
    return LIZ_OK;
}

static liz_status string_take(liz_gguf_cursor *cur, liz_str *out, liz_error *err)
{
    uint64_t len;
    const uint8_t *p = NULL;
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u64(cur, &len, err));
    if (len > LIZ_GGUF_STRING_LEN_MAX)
        return liz_fail_at(err, LIZ_E_LIMIT, at,
                           "holds a string of %llu bytes: at most %d are read: the file is damaged",
                           (unsigned long long)len, LIZ_GGUF_STRING_LEN_MAX);
    LIZ_TRY(liz_gguf_take_bytes(cur, len, &p, err));
    *out = (liz_str){(const char *)p, (size_t)len};
    return LIZ_OK;
}

static liz_status strings_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_str *strings, liz_error *err)
{
    entry->data = cur->data + cur->at;
    entry->strings = strings;
    for (uint64_t i = 0; i < entry->n; i++)
        LIZ_TRY(string_take(cur, &strings[i], err));
    return LIZ_OK;
}

/* What an array begins with: the type of its elements, and how many they are, which the rest of the file can hold. */
static liz_status array_head_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_error *err)
{
    LIZ_TRY(type_take(cur, "array element type", &entry->elem_type, err));
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u64(cur, &entry->n, err));
    bool is_strings = entry->elem_type == LIZ_GGUF_STRING, is_arrays = entry->elem_type == LIZ_GGUF_ARRAY;
    size_t bytes_min = is_arrays    ? sizeof(uint32_t) + sizeof(uint64_t)
                       : is_strings ? sizeof(uint64_t)
                                    : types[entry->elem_type].size;
    if (entry->n > (cur->size - cur->at) / bytes_min)
        return liz_fail_at(err, LIZ_E_FORMAT, at,
                           "claims %llu elements, more than the file holds: it is cut off or damaged",
                           (unsigned long long)entry->n);
    const int n_max = is_strings ? LIZ_GGUF_STRINGS_MAX : LIZ_GGUF_ARRAY_LEN_MAX;
    if (entry->n > (uint64_t)n_max)
        return liz_fail_at(err, LIZ_E_LIMIT, at, "has %llu elements: at most %d are read", (unsigned long long)entry->n,
                           n_max);
    return LIZ_OK;
}

/* Passes over the `n` arrays that an array at this depth (from 1) holds. */
static liz_status arrays_skip(liz_gguf_cursor *cur, uint64_t n, int depth, liz_error *err)
{
    if (depth == LIZ_GGUF_ARRAY_DEPTH_MAX)
        return liz_fail_at(err, LIZ_E_LIMIT, cur->at, "has arrays within arrays: at most %d deep they are read", depth);
    for (uint64_t i = 0; i < n; i++) {
        liz_gguf_entry inner;
        liz_str unused;
        LIZ_TRY(array_head_take(cur, &inner, err));
        if (inner.elem_type == LIZ_GGUF_ARRAY)
            LIZ_TRY(arrays_skip(cur, inner.n, depth + 1, err));
        else if (inner.elem_type != LIZ_GGUF_STRING)
            LIZ_TRY(numbers_take(cur, &inner, err));
        for (uint64_t k = 0; inner.elem_type == LIZ_GGUF_STRING && k < inner.n; k++)
            LIZ_TRY(string_take(cur, &unused, err));
    }
    return LIZ_OK;
}

static liz_status arrays_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_error *err)
{
    size_t begin = cur->at;
    LIZ_TRY(arrays_skip(cur, entry->n, 1, err));
    entry->data = cur->data + begin;
    entry->arrays_bytes = cur->at - begin;
    return LIZ_OK;
}

static liz_status array_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_arena *arena, liz_error *err)
{
    LIZ_TRY(array_head_take(cur, entry, err));
    if (entry->elem_type == LIZ_GGUF_ARRAY)
        return arrays_take(cur, entry, err);
    if (entry->elem_type != LIZ_GGUF_STRING)
        return numbers_take(cur, entry, err);
    liz_str *strings = liz_arena_array(arena, (size_t)entry->n, sizeof *strings);
    if (strings == NULL)
        return liz_fail_at(err, LIZ_E_MEMORY, cur->at, "no memory for a table of %llu strings",
                           (unsigned long long)entry->n);
    return strings_take(cur, entry, strings, err);
}

/* `string` is where the slice of a single string goes. */
static liz_status value_take(liz_gguf_cursor *cur, liz_gguf_entry *entry, liz_str *string, liz_arena *arena,
                             liz_error *err)
{
    LIZ_TRY(type_take(cur, "type", &entry->type, err));
    entry->elem_type = entry->type;
    entry->n = 1;
    switch (entry->type) {
    case LIZ_GGUF_ARRAY: return array_take(cur, entry, arena, err);
    case LIZ_GGUF_STRING: return strings_take(cur, entry, string, err);
    default: return numbers_take(cur, entry, err);
    }
}

/* ---- Entries ----------------------------------------------------------------------------------- */

static liz_str key_shown(liz_str key)
{
    if (key.n > KEY_SHOWN_MAX)
        key.n = KEY_SHOWN_MAX - liz_utf8_incomplete_suffix(key.p, KEY_SHOWN_MAX);
    return key;
}

liz_status liz_gguf_entries_read(liz_gguf_part *part, liz_gguf_cursor *cur, liz_arena *arena, liz_error *err)
{
    liz_gguf_entry *entries = liz_arena_array(arena, part->n_entries, sizeof *entries);
    liz_str *strings = liz_arena_array(arena, part->n_entries, sizeof *strings);
    if (entries == NULL || strings == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for %zu metadata keys", part->n_entries);
    part->entries = entries;
    for (size_t i = 0; i < part->n_entries; i++) {
        liz_status status = liz_gguf_take_name(cur, LIZ_GGUF_KEY_LEN_MAX, &entries[i].key, err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "key %zu of %zu", i, part->n_entries);
        status = value_take(cur, &entries[i], &strings[i], arena, err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "key '%.*s'", LIZ_STR_ARG(key_shown(entries[i].key)));
    }
    size_t twin;
    if (!liz_name_index_build(&part->entry_index, entries, part->n_entries, sizeof *entries, arena, &twin))
        return liz_fail(err, LIZ_E_MEMORY, "no memory for %zu metadata keys", part->n_entries);
    if (twin != LIZ_NAME_ABSENT)
        return liz_fail(err, LIZ_E_FORMAT, "key '%.*s': stands in the file twice: the file is damaged",
                        LIZ_STR_ARG(key_shown(entries[twin].key)));
    return LIZ_OK;
}

/* ---- Reading values ---------------------------------------------------------------------------- */

uint64_t liz_gguf_entry_bytes(const liz_gguf_entry *entry)
{
    return entry->elem_type == LIZ_GGUF_ARRAY ? entry->arrays_bytes : entry->n * liz_gguf_type_size(entry->elem_type);
}

static bool type_is_signed(liz_gguf_type type)
{
    return type == LIZ_GGUF_I8 || type == LIZ_GGUF_I16 || type == LIZ_GGUF_I32 || type == LIZ_GGUF_I64;
}

static bool type_is_float(liz_gguf_type type) { return type == LIZ_GGUF_F32 || type == LIZ_GGUF_F64; }

static bool type_is_number(uint32_t type) { return type != LIZ_GGUF_BOOL && liz_gguf_type_size(type) != 0; }

bool liz_gguf_type_is_integer(uint32_t type) { return type_is_number(type) && !type_is_float((liz_gguf_type)type); }

/* The bits of element `i`, widened to 64 with its sign where the type has one. */
static uint64_t element_bits(const liz_gguf_entry *entry, uint64_t i)
{
    size_t size = types[entry->elem_type].size;
    LIZ_ASSERT(size != 0 && i < entry->n);
    uint64_t bits = 0;
    memcpy(&bits, entry->data + i * size, size); /* little-endian, as the file */
    int unused = 64 - 8 * (int)size;
    return type_is_signed(entry->elem_type) ? (uint64_t)((int64_t)(bits << unused) >> unused) : bits;
}

double liz_gguf_entry_f64(const liz_gguf_entry *entry, uint64_t i)
{
    uint64_t bits = element_bits(entry, i);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (entry->elem_type == LIZ_GGUF_F32)
        return (double)liz_f32_from_bits((uint32_t)bits);
    if (entry->elem_type == LIZ_GGUF_F64)
        return value;
    return type_is_signed(entry->elem_type) ? (double)(int64_t)bits : (double)bits;
}

/* Out of range values become the nearest there is, NaN 0: what a file says must not reach undefined conversions. */
static int64_t i64_from_f64(double value)
{
    if (value != value)
        return 0;
    if (value >= 0x1p63)
        return INT64_MAX;
    return value < -0x1p63 ? INT64_MIN : (int64_t)value;
}

int64_t liz_gguf_entry_i64(const liz_gguf_entry *entry, uint64_t i)
{
    if (type_is_float(entry->elem_type))
        return i64_from_f64(liz_gguf_entry_f64(entry, i));
    uint64_t bits = element_bits(entry, i);
    bool too_large = entry->elem_type == LIZ_GGUF_U64 && bits > INT64_MAX;
    return too_large ? INT64_MAX : (int64_t)bits;
}

static bool entry_u64(const liz_gguf_entry *entry, uint64_t *out)
{
    if (entry == NULL || !liz_gguf_type_is_integer(entry->type))
        return false;
    uint64_t bits = element_bits(entry, 0);
    if (type_is_signed(entry->type) && (int64_t)bits < 0)
        return false;
    *out = bits;
    return true;
}

bool liz_gguf_part_u64(const liz_gguf_part *part, const char *key, uint64_t *out)
{
    return entry_u64(liz_gguf_part_find(part, key), out);
}

bool liz_gguf_u64(const liz_gguf *gguf, const char *key, uint64_t *out)
{
    return entry_u64(liz_gguf_find(gguf, key), out);
}

bool liz_gguf_f64(const liz_gguf *gguf, const char *key, double *out)
{
    const liz_gguf_entry *entry = liz_gguf_find(gguf, key);
    if (entry == NULL || !type_is_number(entry->type))
        return false;
    *out = liz_gguf_entry_f64(entry, 0);
    return true;
}

bool liz_gguf_bool(const liz_gguf *gguf, const char *key, bool *out)
{
    const liz_gguf_entry *entry = liz_gguf_find(gguf, key);
    if (entry == NULL || entry->type != LIZ_GGUF_BOOL)
        return false;
    *out = entry->data[0] != 0;
    return true;
}

bool liz_gguf_str(const liz_gguf *gguf, const char *key, liz_str *out)
{
    const liz_gguf_entry *entry = liz_gguf_find(gguf, key);
    if (entry == NULL || entry->type != LIZ_GGUF_STRING)
        return false;
    *out = entry->strings[0];
    return true;
}
