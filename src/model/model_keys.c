/* model_keys.c - one reader for each kind of value. */
#include "model/model_keys.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char *liz_keys_name(liz_keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

void liz_keys_fail(liz_keys *k, liz_status status, const char *name, const char *format, ...)
{
    if (k->status != LIZ_OK)
        return;
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    k->status = liz_fail(k->err, status, "%s: %s", liz_keys_name(k, name), text);
}

/* A whole number, or a list of them; truth values are 0 and 1. */
static bool is_whole(const liz_gguf_entry *e)
{
    return liz_gguf_type_is_integer(e->elem_type) || e->elem_type == LIZ_GGUF_BOOL;
}

/* As liz_keys_count, from `min`. */
static int64_t read_whole(liz_keys *k, const char *name, int64_t missing, int64_t min, int64_t max)
{
    if (k->status != LIZ_OK)
        return 1;
    const liz_gguf_entry *e = liz_gguf_find(k->gguf, liz_keys_name(k, name));
    if (e == NULL && missing >= 0)
        return missing;
    if (e == NULL) {
        liz_keys_fail(k, LIZ_E_FORMAT, name, "the key is missing");
        return 1;
    }
    int64_t value = is_whole(e) && e->n > 0 ? liz_gguf_entry_i64(e, 0) : -1;
    if (value < min || value > max) {
        liz_keys_fail(k, LIZ_E_FORMAT, name, "not a whole number from %lld to %lld", (long long)min, (long long)max);
        return 1;
    }
    for (uint64_t i = 1; i < e->n; i++)
        if (liz_gguf_entry_i64(e, i) != value) {
            liz_keys_fail(k, LIZ_E_UNSUPPORTED, name, "layers that differ are not supported");
            return 1;
        }
    return value == 0 ? missing : value;
}

int64_t liz_keys_count(liz_keys *k, const char *name, int64_t missing, int64_t max)
{
    return read_whole(k, name, missing, 1, max);
}

int64_t liz_keys_optional(liz_keys *k, const char *name, int64_t missing, int64_t max)
{
    return read_whole(k, name, missing, 0, max);
}

double liz_keys_positive(liz_keys *k, const char *name, double missing)
{
    double value;
    if (!liz_gguf_f64(k->gguf, liz_keys_name(k, name), &value) || !(value > 0))
        return missing;
    if (!isfinite(value))
        liz_keys_fail(k, LIZ_E_FORMAT, name, "not a finite number");
    return value;
}

bool liz_keys_flag(const liz_keys *k, const char *name, bool missing)
{
    char key[128];
    bool value;
    snprintf(key, sizeof key, "%s.%s", k->arch, name);
    return liz_gguf_bool(k->gguf, key, &value) ? value : missing;
}

bool liz_keys_element(liz_keys *k, const char *name, size_t i, int64_t *value)
{
    const liz_gguf_entry *e = liz_gguf_find(k->gguf, liz_keys_name(k, name));
    if (e == NULL || e->type != LIZ_GGUF_ARRAY || !is_whole(e) || i >= e->n)
        return false;
    *value = liz_gguf_entry_i64(e, i);
    return true;
}
