/* line_fingerprint.c - which settings a row's bytes depend on, by name.
 *
 * Whoever adds a setting that can change a line of OUT adds it here. Not here, since they must not change a byte:
 * parallel, threads, chunk, prefix cache, instruction set, paths, limit. What is left to the model file is "of the
 * model", and the model's content is here too. Values longer than a line stand as their hash, which also keeps prompts
 * out of the side file. */
#include "line/line_journal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { VALUE_LEN_MAX = 120, JSON_MAX = LIZ_LINE_FINGERPRINT_MAX };

static void add(liz_buf *fp, const char *name, liz_str value)
{
    char hashed[64];
    if (value.n > VALUE_LEN_MAX) {
        char hex[33];
        liz_hash_hex(liz_hash_bytes(value.p, value.n), hex);
        snprintf(hashed, sizeof hashed, "hash %s", hex);
        value = liz_str_of(hashed);
    }
    liz_buf_printf(fp, "%s\"%s\":", fp->len ? "," : "{", name);
    liz_json_write_string(fp, value);
}

/* A value that had no memory must not pass for another. Releases it. */
static void add_buf(liz_buf *fp, const char *name, liz_buf *value)
{
    add(fp, name, liz_buf_str(value));
    fp->failed = fp->failed || liz_buf_failed(value);
    liz_buf_free(value);
}

static void add_text(liz_buf *fp, const char *name, const char *value)
{
    add(fp, name, liz_str_of(value ? value : "none"));
}

static void add_number(liz_buf *fp, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    add_text(fp, name, text);
}

static void add_float(liz_buf *fp, const char *name, float value)
{
    liz_buf text = {.len_max = 64};
    if (isnan(value))
        liz_buf_puts(&text, "of the model");
    else
        liz_json_write_float(&text, value);
    add_buf(fp, name, &text);
}

/* A list as a JSON array, so that no two lists look the same. */
static void add_list(liz_buf *fp, const char *name, const char *const *items, size_t n)
{
    liz_buf text = {.len_max = JSON_MAX};
    for (size_t i = 0; i < n; i++) {
        liz_buf_putc(&text, i ? ',' : '[');
        liz_json_write_string(&text, liz_str_of(items[i]));
    }
    liz_buf_puts(&text, n ? "]" : "none");
    add_buf(fp, name, &text);
}

static void add_bias(liz_buf *fp, const liz_sampling *s)
{
    liz_buf text = {.len_max = JSON_MAX};
    for (size_t i = 0; i < s->n_bias; i++) {
        liz_buf_printf(&text, "%s%" PRId32 ":", i ? "," : "", s->bias[i].token);
        liz_json_write_float(&text, s->bias[i].bias); /* null: forbidden */
    }
    liz_buf_puts(&text, s->n_bias ? "" : "none");
    add_buf(fp, "logit-bias", &text);
}

static const struct {
    const char *name;
    size_t at;
    bool of_model; /* the model file may state it */
} floats[] = {
    {"top-p", offsetof(liz_sampling, top_p), true},
    {"min-p", offsetof(liz_sampling, min_p), true},
    {"typical", offsetof(liz_sampling, typical_p), false},
    {"xtc-probability", offsetof(liz_sampling, xtc_probability), true},
    {"xtc-threshold", offsetof(liz_sampling, xtc_threshold), true},
    {"repeat-penalty", offsetof(liz_sampling, repeat_penalty), true},
    {"frequency-penalty", offsetof(liz_sampling, frequency_penalty), false},
    {"presence-penalty", offsetof(liz_sampling, presence_penalty), false},
    {"dry-multiplier", offsetof(liz_sampling, dry_multiplier), false},
    {"dry-base", offsetof(liz_sampling, dry_base), false},
};

static void add_sampling(liz_buf *fp, const liz_sampling *s)
{
    add_float(fp, "temperature", s->temperature);
    if (s->top_k < 0)
        add_text(fp, "top-k", "of the model");
    else
        add_number(fp, "top-k", s->top_k);
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        float value;
        memcpy(&value, (const char *)s + floats[i].at, sizeof value);
        add_float(fp, floats[i].name, isnan(value) && !floats[i].of_model ? 0 : value);
    }
    add_number(fp, "dry-allowed-length", s->dry_allowed_length);
    add_number(fp, "dry-penalty-last-n", s->dry_range);
    if (s->dry_breakers == NULL)
        add_text(fp, "dry-sequence-breaker", "standard");
    else
        add_list(fp, "dry-sequence-breaker", s->dry_breakers, s->n_dry_breakers);
    add_bias(fp, s);
}

void liz_line_fingerprint_make(liz_buf *fp, const liz_line_opts *opts, const char *model_hash, const char *const *loras,
                               const char *template_hash, const char *now)
{
    char shard[32] = "whole", seed[32];
    if (opts->n_shards > 0)
        snprintf(shard, sizeof shard, "%" PRIu32 "/%" PRIu32, opts->shard, opts->n_shards);
    snprintf(seed, sizeof seed, "%" PRIu64, opts->seed);
    liz_buf_clear(fp);
    add_text(fp, "model", model_hash);
    add_list(fp, "lora", loras, opts->engine.n_loras);
    add_text(fp, "lora-field", opts->lora_field);
    add_number(fp, "numeric contract", liz_numeric_version());
    add_text(fp, "system", opts->system);
    add_text(fp, "prompt", opts->prompt);
    add_text(fp, "raw", opts->raw ? "yes" : "no");
    add_text(fp, "template", template_hash);
    add_text(fp, "now", now);
    add_sampling(fp, &opts->sampling);
    add_text(fp, "seed", seed);
    add_list(fp, "stop", opts->stop_strings, opts->n_stop_strings);
    add_list(fp, "stop-token", opts->stop_tokens, opts->n_stop_tokens);
    add_text(fp, "ignore-eos", opts->ignore_end ? "yes" : "no");
    add_number(fp, "n", opts->n_completions > 1 ? opts->n_completions : 1);
    add_number(fp, "max-tokens", opts->max_tokens);
    if (opts->engine.n_ctx == 0)
        add_text(fp, "ctx-size", "of the model");
    else
        add_number(fp, "ctx-size", opts->engine.n_ctx);
    static const char *const cache_types[] = {
        [LIZ_CACHE_BF16] = "bf16", [LIZ_CACHE_F32] = "f32", [LIZ_CACHE_INT8] = "int8"};
    add_text(fp, "cache-type", cache_types[opts->engine.cache_type]);
    add_number(fp, "logprobs", opts->logprobs);
    add_number(fp, "prompt-logprobs", opts->prompt_logprobs);
    add_list(fp, "choices", opts->choices, opts->n_choices);
    add_text(fp, "id", opts->id_field);
    add_list(fp, "keep", opts->keep, opts->n_keep);
    add_text(fp, "truncate", opts->truncate_field);
    add_text(fp, "shard", shard);
    liz_buf_putc(fp, '}');
}

static liz_str value_of(const liz_json *object, liz_str name)
{
    for (const liz_json *m = object->first_child; m != NULL; m = m->next)
        if (liz_str_eq(m->key, name))
            return m->string;
    return liz_str_of("not known");
}

/* So that a message has room for all that differs: bytes of a value, and how many settings have theirs shown. */
enum { VALUE_SHOWN = 40, VALUES_SHOWN_MAX = 3 };

static void put_value(liz_buf *out, const char *before, liz_str value)
{
    size_t n = value.n;
    while (n > VALUE_SHOWN || (n < value.n && ((unsigned char)value.p[n] & 0xC0) == 0x80))
        n--;
    liz_buf_printf(out, "%s%.*s%s", before, (int)n, value.p, n < value.n ? "..." : "");
}

/* Names what differs, with its values or without, and counts it. */
static int put_differences(const liz_json *was, const liz_json *is, const char *only, bool with_values, liz_buf *out)
{
    int n = 0;
    liz_buf_clear(out);
    for (const liz_json *m = is->first_child; m != NULL; m = m->next) {
        liz_str old = value_of(was, m->key);
        if (liz_str_eq(old, m->string) || (only != NULL && !liz_str_is(m->key, only)))
            continue;
        liz_buf_printf(out, "%s%.*s", n++ ? ", " : "", LIZ_STR_ARG(m->key));
        if (with_values) {
            put_value(out, " (was ", old);
            put_value(out, ", is ", m->string);
            liz_buf_putc(out, ')');
        }
    }
    return n;
}

void liz_line_fingerprint_diff(liz_str was, liz_str is, const char *only, liz_buf *out)
{
    liz_arena arena = {.size_max = 64u << 20};
    liz_json *a, *b;
    liz_status status = liz_json_read(&a, was, &arena, NULL);
    status = status ?: liz_json_read(&b, is, &arena, NULL);
    if (status == LIZ_OK && put_differences(a, b, only, true, out) > VALUES_SHOWN_MAX)
        put_differences(a, b, only, false, out);
    else if (status == LIZ_E_MEMORY)
        out->failed = true;
    else if (status != LIZ_OK)
        liz_buf_puts(out, "the side file is damaged");
    liz_arena_free(&arena);
}

bool liz_line_fingerprint_get(liz_str fingerprint, const char *name, char *out, size_t size)
{
    liz_arena arena = {.size_max = 64u << 20};
    liz_json *json;
    const liz_json *member =
        liz_json_read(&json, fingerprint, &arena, NULL) == LIZ_OK ? liz_json_member(json, name) : NULL;
    bool is = member != NULL && member->type == LIZ_JSON_STRING;
    if (is)
        snprintf(out, size, "%.*s", LIZ_STR_ARG(member->string));
    liz_arena_free(&arena);
    return is;
}
