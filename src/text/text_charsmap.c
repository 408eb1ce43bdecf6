/* text_charsmap.c - see text_charsmap.h.
 *
 * A unit: bits 0 to 7 and 31 are its label (a value has bit 31), bit 8 says that an entry ends here, bits 10 to 30
 * are the offset, shifted left by eight where bit 9 is set. The value of an entry is the unit at its offset: where
 * its replacement begins. */
#include "text/text_charsmap.h"

#include <stdlib.h>

enum { REPLACEMENT_LEN_MAX = 4096 };

static liz_status check_lengths(const liz_text_charsmap *map, const liz_gguf *gguf, const char *key, liz_error *err)
{
    if (map->replacements[map->n_replacements - 1] != '\0')
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: its last replacement does not end: convert the model again",
                        liz_gguf_path(gguf), key);
    for (size_t i = 0, len; i < map->n_replacements; i += len + 1) {
        len = strlen(map->replacements + i);
        if (len > REPLACEMENT_LEN_MAX)
            return liz_fail(err, LIZ_E_LIMIT, "%s: %s: a replacement is longer than %d bytes", liz_gguf_path(gguf), key,
                            REPLACEMENT_LEN_MAX);
    }
    return LIZ_OK;
}

liz_status liz_text_charsmap_open(liz_text_charsmap *map, const liz_gguf *gguf, const char *key, liz_error *err)
{
    const liz_gguf_entry *blob = liz_gguf_find(gguf, key);
    if (blob == NULL || (blob->type == LIZ_GGUF_ARRAY && blob->n == 0))
        return LIZ_OK;
    uint64_t n_tree = 0;
    bool bytes = blob->type == LIZ_GGUF_ARRAY && blob->elem_type <= LIZ_GGUF_I8 && blob->n > 4;
    for (unsigned i = 0; bytes && i < 4; i++)
        n_tree |= (uint64_t)(liz_gguf_entry_i64(blob, i) & 255) << 8 * i;
    if (!bytes || n_tree >= blob->n - 4)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: not a character map: convert the model again", liz_gguf_path(gguf),
                        key);
    map->n_units = (size_t)n_tree / 4;
    map->n_replacements = (size_t)(blob->n - 4 - n_tree);
    map->units = calloc(map->n_units + 1, sizeof *map->units);
    map->replacements = malloc(map->n_replacements);
    if (map->units == NULL || map->replacements == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: %s: out of memory", liz_gguf_path(gguf), key);
    for (size_t i = 0; i < 4 * map->n_units; i++)
        map->units[i / 4] |= (uint32_t)(liz_gguf_entry_i64(blob, 4 + i) & 255) << 8 * (i % 4);
    for (size_t i = 0; i < map->n_replacements; i++)
        map->replacements[i] = (char)liz_gguf_entry_i64(blob, 4 + n_tree + i);
    return check_lengths(map, gguf, key, err);
}

void liz_text_charsmap_free(liz_text_charsmap *map)
{
    free(map->units);
    free(map->replacements);
}

static uint32_t offset_of(uint32_t unit) { return unit >> 10 << (unit >> 6 & 8); }

size_t liz_text_charsmap_match(const liz_text_charsmap *map, const char *text, size_t n, liz_str *to)
{
    size_t found = 0;
    uint32_t at = map->n_units > 0 ? offset_of(map->units[0]) : 0, unit;
    /* A NUL would lead to the value of what came before it. */
    for (size_t i = 0; i < n && text[i] != '\0'; i++) {
        at ^= (uint8_t)text[i];
        if (at >= map->n_units || ((unit = map->units[at]) & 0x800000FFu) != (uint8_t)text[i])
            break;
        at ^= offset_of(unit);
        uint32_t value = at < map->n_units ? map->units[at] & 0x7FFFFFFFu : UINT32_MAX;
        if (!(unit >> 8 & 1) || value >= map->n_replacements)
            continue;
        found = i + 1;
        *to = liz_str_of(map->replacements + value);
    }
    return found;
}
