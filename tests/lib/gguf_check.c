/* gguf_check.c - see the header. */
#include "gguf_check.h"

static uint64_t touch_entry(const liz_gguf_entry *entry)
{
    uint64_t sum = entry->key.n;
    for (size_t i = 0; i < entry->key.n; i++)
        sum += (unsigned char)entry->key.p[i];
    for (uint64_t i = 0; i < liz_gguf_entry_bytes(entry); i++)
        sum += entry->data[i];
    for (uint64_t i = 0; i < entry->n && entry->elem_type != LIZ_GGUF_ARRAY; i++) {
        if (entry->elem_type != LIZ_GGUF_STRING) {
            sum += (uint64_t)liz_gguf_entry_i64(entry, i) + (liz_gguf_entry_f64(entry, i) > 0);
            continue;
        }
        for (size_t k = 0; k < entry->strings[i].n; k++)
            sum += (unsigned char)entry->strings[i].p[k];
    }
    return sum;
}

uint64_t gguf_touch(const liz_gguf *gguf)
{
    uint64_t sum = liz_gguf_file_bytes(gguf);
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++)
        sum += touch_entry(liz_gguf_entry_at(gguf, i));
    for (size_t i = 0; i < liz_gguf_n_tensors(gguf); i++) {
        const liz_gguf_tensor *tensor = liz_gguf_tensor_at(gguf, i);
        for (uint64_t k = 0; k < tensor->size_bytes; k++)
            sum += tensor->data[k];
    }
    return sum;
}

bool gguf_error_is_clear(const liz_error *err, liz_status status, const char *path)
{
    const char *name = strrchr(path, '/');
    size_t n = strlen(err->text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)err->text[i] < 0x20 && err->text[i] != '\n' && err->text[i] != '\t')
            return false;
    return status < 0 && err->code == status && n > 0 && liz_utf8_valid_prefix(err->text, n) == n &&
           strstr(err->text, name != NULL ? name + 1 : path) != NULL;
}
