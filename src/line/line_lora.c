/* line_lora.c - which adapters a row has: by the names that --lora NAME=FILE gives them.
 *
 * Adapters without a name are every row's. A plain row names others in the field of --lora-field, none where that is
 * empty or null; a request of an OpenAI batch file names one as its `model`, as with other servers, or the model
 * itself. A name that is not given makes an error row: no row is ever answered by another model than it asked for. */
#include "line/line_request.h"

#include <stdio.h>

static bool has_names(const liz_line_opts *o)
{
    for (size_t i = 0; i < o->engine.n_loras; i++)
        if (o->lora_names[i] != NULL)
            return true;
    return false;
}

liz_status liz_line_loras_check(const liz_line_opts *o, liz_line_form form, liz_error *err)
{
    bool named = has_names(o);
    for (size_t i = 0; i < o->engine.n_loras; i++)
        for (size_t k = 0; k < i && o->lora_names[i] != NULL; k++)
            if (o->lora_names[k] != NULL && strcmp(o->lora_names[i], o->lora_names[k]) == 0)
                return liz_fail(err, LIZ_E_USAGE, "--lora: two adapters are named %s", o->lora_names[i]);
    if (o->lora_field != NULL && !named)
        return liz_fail(err, LIZ_E_USAGE, "--lora-field: no adapter has a name: give one, --lora NAME=FILE");
    if (named && o->lora_field == NULL && form == LIZ_LINE_FORM_PLAIN)
        return liz_fail(err, LIZ_E_USAGE, "--lora: rows cannot name their adapters: give --lora-field FIELD");
    return LIZ_OK;
}

/* The adapter of this name; n_loras where there is none. */
static size_t find(const liz_line_opts *o, liz_str name)
{
    size_t i = 0;
    while (i < o->engine.n_loras && (o->lora_names[i] == NULL || !liz_str_is(name, o->lora_names[i])))
        i++;
    return i;
}

static bool fail_name(const liz_line_opts *o, liz_str name, liz_line_row *row)
{
    if (row->error_code != NULL)
        return false;
    liz_line_row_fail(row, LIZ_ROW_UNKNOWN_ADAPTER, "adapter \"%.*s\": is not given: there are",
                      name.n < 100 ? (int)name.n : 100, name.n ? name.p : "");
    const char *between = " ";
    for (size_t i = 0; i < o->engine.n_loras; i++)
        if (o->lora_names[i] != NULL) {
            liz_buf_printf(&row->error_message, "%s%s", between, o->lora_names[i]);
            between = ", ";
        }
    return false;
}

bool liz_line_loras_of_record(const liz_line_opts *o, const liz_line_record *record, liz_line_row *row, uint64_t *loras)
{
    liz_str text;
    if (o->lora_field == NULL)
        return true;
    if (!liz_line_record_text(record, o->lora_field, &text)) {
        liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "it has no field \"%s\", which --lora-field names",
                          o->lora_field);
        return false;
    }
    const liz_json *value = record->json != NULL ? liz_json_member(record->json, o->lora_field) : NULL;
    if (text.n == 0 || (value != NULL && value->type == LIZ_JSON_NULL))
        return true;
    for (const char *at = text.p, *end = text.p + text.n; at <= end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        liz_str name = {at, (size_t)((comma != NULL ? comma : end) - at)};
        size_t i = find(o, name);
        if (i == o->engine.n_loras)
            return fail_name(o, name, row);
        *loras |= (uint64_t)1 << i;
        at += name.n + 1;
    }
    return true;
}

/* The model's own names: what its file says, and what the file is called. */
static bool names_model(const liz_line_opts *o, const liz_engine_info *info, liz_str model)
{
    const char *slash = strrchr(o->model_path, '/'), *file = slash != NULL ? slash + 1 : o->model_path;
    size_t n = strlen(file), n_stem = n > 5 && strcmp(file + n - 5, ".gguf") == 0 ? n - 5 : n;
    return liz_str_is(model, file) || liz_str_eq(model, (liz_str){file, n_stem}) ||
           (info->name[0] != '\0' && liz_str_is(model, info->name));
}

bool liz_line_loras_of_model(const liz_line_opts *o, const liz_engine_info *info, liz_str model, liz_line_row *row,
                             uint64_t *loras)
{
    if (!has_names(o))
        return true;
    size_t i = find(o, model);
    if (i < o->engine.n_loras)
        *loras = (uint64_t)1 << i;
    return i < o->engine.n_loras || names_model(o, info, model) || fail_name(o, model, row);
}

liz_status liz_line_loras_describe(const liz_line_opts *o, liz_arena *arena, const char **items, liz_error *err)
{
    for (size_t i = 0; i < o->engine.n_loras; i++) {
        char text[512];
        liz_model_identity identity = {0};
        LIZ_TRY(liz_model_identify(o->engine.loras[i].path, &identity, err));
        int n = snprintf(text, sizeof text, "%.256s=%s=%.9g", o->lora_names[i] != NULL ? o->lora_names[i] : "",
                         identity.hash, (double)o->engine.loras[i].scale);
        items[i] = liz_arena_strdup(arena, text, (size_t)n);
        if (items[i] == NULL)
            return liz_fail(err, LIZ_E_MEMORY, "no memory for the settings");
    }
    return LIZ_OK;
}
