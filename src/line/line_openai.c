/* line_openai.c - requests of OpenAI batch files: POST /v1/completions.
 *
 * Each parameter of the body has one entry in a table: a reader, or the values under which it changes nothing. What is
 * in no table is refused, so that nobody finds out from the results that a setting was dropped. */
#include "line/line_request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct reading {
    liz_arena *arena;
    liz_line_row *row;
    liz_line_ask *ask;
} reading;

typedef bool parameter_fn(reading *r, const liz_json *value);

static bool wrong(reading *r, const char *name, const char *wants)
{
    liz_line_row_fail(r->row, LIZ_ROW_INVALID_ROW, "body.%s: is not %s", name, wants);
    return false;
}

/* ---- Parameters --------------------------------------------------------------------------------- */

static bool read_model(reading *r, const liz_json *value)
{
    liz_buf_append_str(&r->row->model, value->source);
    return value->type == LIZ_JSON_STRING || wrong(r, "model", "a string");
}

static bool read_token_list(reading *r, const liz_json *value)
{
    int32_t *tokens = liz_arena_array(r->arena, value->n_children, sizeof *tokens);
    size_t n = 0;
    if (tokens == NULL)
        return wrong(r, "prompt", "small enough for memory");
    for (const liz_json *item = value->first_child; item != NULL; item = item->next) {
        int64_t id;
        if (!liz_json_int64(item, &id) || id < 0 || id > INT32_MAX)
            return wrong(r, "prompt", "a string, a list of one string, or a list of token ids");
        tokens[n++] = (int32_t)id;
    }
    r->ask->tokens = tokens;
    r->ask->n_tokens = n;
    return true;
}

static bool read_prompt(reading *r, const liz_json *value)
{
    if (value->type == LIZ_JSON_ARRAY && value->n_children == 1 && value->first_child->type == LIZ_JSON_STRING)
        value = value->first_child;
    if (value->type == LIZ_JSON_STRING) {
        r->ask->prompt = value->string;
        return true;
    }
    if (value->type == LIZ_JSON_ARRAY && value->n_children > 1 && value->first_child->type != LIZ_JSON_NUMBER) {
        liz_line_row_fail(r->row, LIZ_ROW_UNSUPPORTED,
                          "body.prompt: several prompts in one request: give each its own row");
        return false;
    }
    return value->type == LIZ_JSON_ARRAY ? read_token_list(r, value)
                                         : wrong(r, "prompt", "a string, a list of one string, or a list of token ids");
}

static bool read_float(reading *r, const liz_json *value, const char *name, float *out)
{
    double x;
    if (value->type == LIZ_JSON_NULL)
        return true;
    if (!liz_json_double(value, &x) || !isfinite((float)x))
        return wrong(r, name, "a number");
    *out = (float)x;
    return true;
}

static bool read_temperature(reading *r, const liz_json *v)
{
    return read_float(r, v, "temperature", &r->ask->sampling.temperature);
}
static bool read_top_p(reading *r, const liz_json *v) { return read_float(r, v, "top_p", &r->ask->sampling.top_p); }
static bool read_min_p(reading *r, const liz_json *v) { return read_float(r, v, "min_p", &r->ask->sampling.min_p); }
static bool read_frequency(reading *r, const liz_json *v)
{
    return read_float(r, v, "frequency_penalty", &r->ask->sampling.frequency_penalty);
}
static bool read_presence(reading *r, const liz_json *v)
{
    return read_float(r, v, "presence_penalty", &r->ask->sampling.presence_penalty);
}

static bool read_int(reading *r, const liz_json *value, const char *name, int64_t min, int64_t max, int64_t *out)
{
    int64_t n;
    char wants[64];
    if (value->type == LIZ_JSON_NULL)
        return true;
    snprintf(wants, sizeof wants, "a whole number from %lld to %lld", (long long)min, (long long)max);
    if (!liz_json_int64(value, &n) || n < min || n > max)
        return wrong(r, name, wants);
    *out = n;
    return true;
}

static bool read_top_k(reading *r, const liz_json *value)
{
    int64_t n = r->ask->sampling.top_k;
    bool ok = read_int(r, value, "top_k", 0, INT32_MAX, &n);
    r->ask->sampling.top_k = (int32_t)n;
    return ok;
}

static bool read_max_tokens(reading *r, const liz_json *value)
{
    int64_t n = r->ask->max_tokens;
    bool ok = read_int(r, value, "max_tokens", 1, INT32_MAX, &n);
    r->ask->max_tokens = (int32_t)n;
    return ok;
}

static bool read_logprobs(reading *r, const liz_json *value)
{
    int64_t n = r->ask->logprobs;
    bool ok = read_int(r, value, "logprobs", 0, LIZ_LOGPROBS_TOP_MAX, &n);
    r->ask->logprobs = (int)n;
    return ok;
}

static bool read_seed(reading *r, const liz_json *value)
{
    int64_t n = 0;
    bool ok = read_int(r, value, "seed", INT64_MIN, INT64_MAX, &n);
    r->ask->seed = (uint64_t)n;
    r->ask->has_seed = value->type != LIZ_JSON_NULL;
    return ok;
}

static bool add_stop(reading *r, const liz_json *value)
{
    if (value->type != LIZ_JSON_STRING || value->string.n == 0 ||
        memchr(value->string.p, '\0', value->string.n) != NULL)
        return wrong(r, "stop", "a string or a list of strings");
    if (r->ask->n_stop == sizeof r->ask->stop / sizeof *r->ask->stop)
        return wrong(r, "stop", "a list of at most 16");
    const char *copy = liz_arena_strdup(r->arena, value->string.p, value->string.n);
    r->ask->stop[r->ask->n_stop++] = copy;
    return copy != NULL || wrong(r, "stop", "small enough for memory");
}

static bool read_stop(reading *r, const liz_json *value)
{
    if (value->type == LIZ_JSON_NULL)
        return true;
    r->ask->n_stop = 0;
    if (value->type != LIZ_JSON_ARRAY)
        return add_stop(r, value);
    for (const liz_json *item = value->first_child; item != NULL; item = item->next)
        if (!add_stop(r, item))
            return false;
    return true;
}

static bool add_bias(reading *r, const liz_json *member)
{
    char key[16], *end;
    double bias;
    if (r->ask->sampling.n_bias == LIZ_LINE_BIAS_MAX || member->key.n == 0 || member->key.n >= sizeof key)
        return wrong(r, "logit_bias", "an object of at most 1024 token ids");
    memcpy(key, member->key.p, member->key.n);
    key[member->key.n] = '\0';
    long token = strtol(key, &end, 10);
    if (*end != '\0' || token < 0 || token > INT32_MAX || !liz_json_double(member, &bias))
        return wrong(r, "logit_bias", "an object of token ids and numbers");
    r->ask->bias[r->ask->sampling.n_bias++] = (liz_logit_bias){(int32_t)token, bias <= -100 ? -INFINITY : (float)bias};
    return true;
}

static bool read_logit_bias(reading *r, const liz_json *value)
{
    if (value->type == LIZ_JSON_NULL)
        return true;
    if (value->type != LIZ_JSON_OBJECT)
        return wrong(r, "logit_bias", "an object of token ids and numbers");
    r->ask->sampling.bias = r->ask->bias;
    r->ask->sampling.n_bias = 0;
    for (const liz_json *member = value->first_child; member != NULL; member = member->next)
        if (!add_bias(r, member))
            return false;
    return true;
}

/* ---- The body ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    parameter_fn *read;
    const char *harmless; /* where nothing reads it: the value, beside null, under which it changes nothing */
} parameters[] = {
    {"model", read_model, NULL},
    {"prompt", read_prompt, NULL},
    {"max_tokens", read_max_tokens, NULL},
    {"temperature", read_temperature, NULL},
    {"top_p", read_top_p, NULL},
    {"top_k", read_top_k, NULL},
    {"min_p", read_min_p, NULL},
    {"frequency_penalty", read_frequency, NULL},
    {"presence_penalty", read_presence, NULL},
    {"logit_bias", read_logit_bias, NULL},
    {"logprobs", read_logprobs, NULL},
    {"seed", read_seed, NULL},
    {"stop", read_stop, NULL},
    {"n", NULL, "1"},
    {"best_of", NULL, "1"},
    {"echo", NULL, "false"},
    {"stream", NULL, "false"},
    {"stream_options", NULL, "null"},
    {"suffix", NULL, "\"\""},
    {"user", NULL, ""}, /* any value */
};

static bool read_parameter(reading *r, const liz_json *member)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        if (!liz_str_is(member->key, parameters[i].name))
            continue;
        if (parameters[i].read != NULL)
            return parameters[i].read(r, member);
        const char *harmless = parameters[i].harmless;
        if (member->type == LIZ_JSON_NULL || *harmless == '\0' || liz_str_is(member->source, harmless))
            return true;
        break;
    }
    liz_line_row_fail(r->row, LIZ_ROW_UNSUPPORTED, "body.%.*s: is not supported in this version",
                      LIZ_STR_ARG(member->key));
    return false;
}

bool liz_line_openai_is(const liz_line_record *record)
{
    return liz_json_member(record->json, "custom_id") != NULL && liz_json_member(record->json, "body") != NULL;
}

bool liz_line_openai_check(const liz_line_record *record, liz_line_row *row)
{
    const liz_json *method = liz_json_member(record->json, "method"), *url = liz_json_member(record->json, "url");
    if (method == NULL || method->type != LIZ_JSON_STRING || !liz_str_is(method->string, "POST"))
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"method\" is not \"POST\"");
    else if (url == NULL || url->type != LIZ_JSON_STRING)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"url\" is missing");
    else if (liz_str_is(url->string, "/v1/chat/completions"))
        liz_line_row_fail(row, LIZ_ROW_UNSUPPORTED,
                          "url /v1/chat/completions needs chat templates, which this version does not have: use "
                          "/v1/completions");
    else if (!liz_str_is(url->string, "/v1/completions"))
        liz_line_row_fail(row, LIZ_ROW_UNSUPPORTED, "url \"%.*s\" is not supported: use /v1/completions",
                          LIZ_STR_ARG(url->string));
    return row->error_code == NULL;
}

bool liz_line_openai_read(const liz_line_record *record, liz_arena *arena, liz_line_row *row, liz_line_ask *ask)
{
    reading r = {arena, row, ask};
    const liz_json *id = liz_json_member(record->json, "custom_id"), *body = liz_json_member(record->json, "body");
    if (id == NULL || id->type != LIZ_JSON_STRING) {
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"custom_id\" is not a string");
        return false;
    }
    liz_buf_append_str(&row->id, id->source);
    if (!liz_line_openai_check(record, row))
        return false;
    if (body == NULL || body->type != LIZ_JSON_OBJECT) {
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"body\" is not an object");
        return false;
    }
    for (const liz_json *member = body->first_child; member != NULL; member = member->next)
        if (!read_parameter(&r, member))
            return false;
    if (liz_json_member(body, "prompt") == NULL)
        liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "body.prompt: is missing");
    return row->error_code == NULL;
}
