/* line_openai.c - requests of OpenAI batch files: POST /v1/completions and /v1/chat/completions.
 *
 * Each parameter of the body has one entry in a table: where it goes, or the value under which it changes nothing. What
 * is in no table is refused, so that nobody finds out from the results that a setting was dropped. Names beyond
 * OpenAI's are those of vLLM, and of llama.cpp where that has none. */
#include "line/line_request.h"

#include <math.h>
#include <stdio.h>

typedef struct reading {
    liz_arena *arena;
    liz_line_row *row;
    liz_line_ask *ask;
    int32_t top_logprobs; /* of a chat; -1: not given */
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
    r->ask->model = value->string;
    return value->type == LIZ_JSON_STRING || wrong(r, "model", "a string");
}

/* What the chat template gets is picked out of the body as a whole. */
static bool read_for_template(reading *r, const liz_json *value)
{
    (void)r;
    (void)value;
    return true;
}

static bool read_wants_logprobs(reading *r, const liz_json *value)
{
    if (value->type == LIZ_JSON_FALSE)
        r->ask->logprobs = -1;
    else if (r->ask->logprobs < 0)
        r->ask->logprobs = 0;
    return value->type == LIZ_JSON_FALSE || value->type == LIZ_JSON_TRUE || wrong(r, "logprobs", "true or false");
}

/* Gives a list of token ids; NULL and an error row, which says that `name` is not what it `wants`, for anything else.
 */
static const int32_t *read_ids(reading *r, const liz_json *list, const char *name, const char *wants)
{
    int32_t *ids = liz_arena_array(r->arena, list->n_children, sizeof *ids), *at = ids;
    if (ids == NULL)
        wrong(r, name, "small enough for memory");
    for (const liz_json *item = list->first_child; ids != NULL && item != NULL; item = item->next) {
        int64_t id;
        if (!liz_json_int64(item, &id) || id < 0 || id > INT32_MAX) {
            wrong(r, name, wants);
            return NULL;
        }
        *at++ = (int32_t)id;
    }
    return ids;
}

static bool read_prompt(reading *r, const liz_json *value)
{
    static const char wants[] = "a string, a list of token ids, or a list of one of them";
    if (value->type == LIZ_JSON_ARRAY && value->n_children == 1 && value->first_child->type != LIZ_JSON_NUMBER)
        value = value->first_child;
    if (value->type == LIZ_JSON_STRING) {
        r->ask->prompt = value->string;
        return true;
    }
    if (value->type != LIZ_JSON_ARRAY)
        return wrong(r, "prompt", wants);
    if (value->n_children > 1 && value->first_child->type != LIZ_JSON_NUMBER) {
        liz_line_row_fail(r->row, LIZ_ROW_UNSUPPORTED,
                          "body.prompt: several prompts in one request: give each its own row");
        return false;
    }
    r->ask->n_tokens = value->n_children;
    return (r->ask->tokens = read_ids(r, value, "prompt", wants)) != NULL;
}

static bool read_int(reading *r, const liz_json *value, const char *name, int64_t min, int64_t max, int64_t *out)
{
    char wants[64];
    snprintf(wants, sizeof wants, "a whole number from %lld to %lld", (long long)min, (long long)max);
    return (liz_json_int64(value, out) && *out >= min && *out <= max) || wrong(r, name, wants);
}

static bool read_top_logprobs(reading *r, const liz_json *value)
{
    int64_t n = 0;
    bool ok = read_int(r, value, "top_logprobs", 0, LIZ_LOGPROBS_TOP_MAX, &n);
    r->top_logprobs = (int32_t)n;
    return ok;
}

static bool read_seed(reading *r, const liz_json *value)
{
    int64_t n = 0;
    r->ask->has_seed = read_int(r, value, "seed", INT64_MIN, INT64_MAX, &n);
    r->ask->seed = (uint64_t)n;
    return r->ask->has_seed;
}

/* Gives a list of strings [*n], which may be written as one string. */
static const char *const *read_strings(reading *r, const liz_json *value, const char *name, size_t *n)
{
    bool is_list = value->type == LIZ_JSON_ARRAY;
    const char **list = liz_arena_array(r->arena, LIZ_LINE_STOP_MAX, sizeof *list);
    const char *wants = list == NULL ? "small enough for memory" : NULL;
    *n = 0;
    for (const liz_json *item = is_list ? value->first_child : value; wants == NULL && item != NULL;
         item = is_list ? item->next : NULL) {
        if (item->type != LIZ_JSON_STRING || item->string.n == 0 ||
            memchr(item->string.p, '\0', item->string.n) != NULL)
            wants = "a string or a list of strings";
        else if (*n == LIZ_LINE_STOP_MAX)
            wants = "a list of at most 16";
        else if ((list[(*n)++] = liz_arena_strdup(r->arena, item->string.p, item->string.n)) == NULL)
            wants = "small enough for memory";
    }
    if (wants != NULL)
        wrong(r, name, wants);
    return wants == NULL ? list : NULL;
}

static bool read_stop(reading *r, const liz_json *value)
{
    return (r->ask->request.stop = read_strings(r, value, "stop", &r->ask->request.n_stop)) != NULL;
}

static bool read_breakers(reading *r, const liz_json *value)
{
    liz_sampling *s = &r->ask->request.sampling;
    return (s->dry_breakers = read_strings(r, value, "dry_sequence_breakers", &s->n_dry_breakers)) != NULL;
}

static bool read_stop_tokens(reading *r, const liz_json *value)
{
    if (value->type != LIZ_JSON_ARRAY || value->n_children > LIZ_STOP_TOKENS_MAX)
        return wrong(r, "stop_token_ids", "a list of at most 64 token ids");
    r->ask->request.n_stop_tokens = value->n_children;
    r->ask->request.stop_tokens = read_ids(r, value, "stop_token_ids", "a whole number from 0 to 2147483647");
    return r->ask->request.stop_tokens != NULL;
}

static bool read_ignore_eos(reading *r, const liz_json *value)
{
    r->ask->request.ignore_end = value->type == LIZ_JSON_TRUE;
    return r->ask->request.ignore_end || value->type == LIZ_JSON_FALSE || wrong(r, "ignore_eos", "true or false");
}

/* A token id in decimal, as a key. */
static bool read_id(liz_str key, int32_t *id)
{
    int64_t n = 0;
    bool ok = key.n > 0 && key.n <= 10 && (key.p[0] != '0' || key.n == 1);
    for (size_t i = 0; i < key.n && ok; i++) {
        ok = key.p[i] >= '0' && key.p[i] <= '9';
        n = n * 10 + (key.p[i] - '0');
    }
    *id = (int32_t)n;
    return ok && n <= INT32_MAX;
}

static bool read_bias(reading *r, const liz_json *member, liz_logit_bias *out)
{
    double bias;
    if (!read_id(member->key, &out->token) || !liz_json_double(member, &bias))
        return wrong(r, "logit_bias", "an object of token ids and numbers");
    out->bias = bias <= -100 ? -INFINITY : (float)bias;
    return true;
}

static bool read_logit_bias(reading *r, const liz_json *value)
{
    liz_sampling *s = &r->ask->request.sampling;
    if (value->type != LIZ_JSON_OBJECT)
        return wrong(r, "logit_bias", "an object of token ids and numbers");
    if (value->n_children > LIZ_LINE_BIAS_MAX)
        return wrong(r, "logit_bias", "an object of at most 1024 token ids");
    liz_logit_bias *bias = liz_arena_array(r->arena, value->n_children, sizeof *bias);
    if (bias == NULL)
        return wrong(r, "logit_bias", "small enough for memory");
    s->bias = bias;
    s->n_bias = value->n_children;
    for (const liz_json *member = value->first_child; member != NULL; member = member->next)
        if (!read_bias(r, member, bias++))
            return false;
    return true;
}

/* ---- The body ----------------------------------------------------------------------------------- */

typedef enum parameter_kind {
    KIND_READ,     /* a function reads it */
    KIND_FLOAT,    /* a number into the float at `at` */
    KIND_SHARE,    /* the same, where 0 leaves one token: for the sampler 0 is none of it */
    KIND_INT,      /* a whole number from `min` to `max` into the int32_t at `at` */
    KIND_HARMLESS, /* nothing reads it: `harmless` are values under which it changes nothing, "" any */
} parameter_kind;

enum { COMPLETIONS = 1, CHAT = 2 };

typedef struct parameter {
    const char *name;
    parameter_kind kind;
    size_t at;
    int64_t min, max;
    parameter_fn *read;
    const char *harmless[2];
    int endpoint; /* that alone has it; 0: both */
} parameter;

#define READ(fn) .kind = KIND_READ, .read = fn
#define FLOAT(field) .kind = KIND_FLOAT, .at = offsetof(liz_line_ask, field)
#define SHARE(field) .kind = KIND_SHARE, .at = offsetof(liz_line_ask, field)
#define INT(field, least, most) .kind = KIND_INT, .at = offsetof(liz_line_ask, field), .min = least, .max = most
#define HARMLESS(...) .kind = KIND_HARMLESS, .harmless = {__VA_ARGS__}

static const parameter parameters[] = {
    {"model", READ(read_model)},
    {"prompt", READ(read_prompt), .endpoint = COMPLETIONS},
    {"messages", READ(read_for_template), .endpoint = CHAT},
    {"tools", READ(read_for_template), .endpoint = CHAT},
    {"documents", READ(read_for_template), .endpoint = CHAT},
    {"reasoning_effort", READ(read_for_template), .endpoint = CHAT},
    {"chat_template_kwargs", READ(read_for_template), .endpoint = CHAT},
    {"max_tokens", INT(request.n_predict_max, 1, INT32_MAX)},
    {"max_completion_tokens", INT(request.n_predict_max, 1, INT32_MAX), .endpoint = CHAT},
    {"n", INT(n_completions, 1, LIZ_LINE_COMPLETIONS_MAX)},
    {"temperature", FLOAT(request.sampling.temperature)},
    {"top_p", SHARE(request.sampling.top_p)},
    {"top_k", INT(request.sampling.top_k, 0, INT32_MAX)},
    {"min_p", FLOAT(request.sampling.min_p)},
    {"typical_p", SHARE(request.sampling.typical_p)},
    {"xtc_probability", FLOAT(request.sampling.xtc_probability)},
    {"xtc_threshold", FLOAT(request.sampling.xtc_threshold)},
    {"repetition_penalty", FLOAT(request.sampling.repeat_penalty)},
    {"frequency_penalty", FLOAT(request.sampling.frequency_penalty)},
    {"presence_penalty", FLOAT(request.sampling.presence_penalty)},
    {"dry_multiplier", FLOAT(request.sampling.dry_multiplier)},
    {"dry_base", FLOAT(request.sampling.dry_base)},
    {"dry_allowed_length", INT(request.sampling.dry_allowed_length, 1, INT32_MAX)},
    {"dry_penalty_last_n", INT(request.sampling.dry_range, 1, INT32_MAX)},
    {"dry_sequence_breakers", READ(read_breakers)},
    {"logit_bias", READ(read_logit_bias)},
    {"logprobs", INT(logprobs, 0, LIZ_LOGPROBS_TOP_MAX), .endpoint = COMPLETIONS},
    {"logprobs", READ(read_wants_logprobs), .endpoint = CHAT},
    {"top_logprobs", READ(read_top_logprobs), .endpoint = CHAT},
    {"prompt_logprobs", INT(prompt_logprobs, 0, LIZ_LOGPROBS_TOP_MAX)},
    {"seed", READ(read_seed)},
    {"stop", READ(read_stop)},
    {"stop_token_ids", READ(read_stop_tokens)},
    {"ignore_eos", READ(read_ignore_eos)},
    {"best_of", HARMLESS("1"), .endpoint = COMPLETIONS},
    {"echo", HARMLESS("false"), .endpoint = COMPLETIONS},
    {"tool_choice", HARMLESS("\"auto\"", "\"none\""), .endpoint = CHAT},
    {"parallel_tool_calls", HARMLESS("true"), .endpoint = CHAT},
    {"response_format", HARMLESS("{\"type\":\"text\"}"), .endpoint = CHAT},
    {"stream", HARMLESS("false")},
    {"stream_options", HARMLESS("null")},
    {"suffix", HARMLESS("\"\""), .endpoint = COMPLETIONS},
    {"modalities", HARMLESS("[\"text\"]"), .endpoint = CHAT},
    {"verbosity", HARMLESS("\"medium\""), .endpoint = CHAT},
    {"store", HARMLESS("false")},
    {"service_tier", HARMLESS("\"auto\"", "\"default\"")},
    {"metadata", HARMLESS("")},
    {"prompt_cache_key", HARMLESS("")},
    {"safety_identifier", HARMLESS("")},
    {"user", HARMLESS("")},
};

static bool read_float(reading *r, const parameter *p, const liz_json *value)
{
    double x;
    if (!liz_json_double(value, &x) || !isfinite((float)x))
        return wrong(r, p->name, "a number");
    float number = (float)x;
    if (p->kind == KIND_SHARE && number == 0)
        number = LIZ_LINE_SHARE_MIN;
    memcpy((char *)r->ask + p->at, &number, sizeof number);
    return true;
}

static bool read_whole(reading *r, const parameter *p, const liz_json *value)
{
    int64_t n = 0;
    bool ok = read_int(r, value, p->name, p->min, p->max, &n);
    memcpy((char *)r->ask + p->at, &(int32_t){(int32_t)n}, sizeof(int32_t));
    return ok;
}

static bool fail_unsupported(reading *r, const liz_json *member)
{
    liz_line_row_fail(r->row, LIZ_ROW_UNSUPPORTED, "body.%.*s: is not supported in this version",
                      LIZ_STR_ARG(member->key));
    return false;
}

/* Whether JSON is `text` but for white space between its parts. */
static bool says(liz_str json, const char *text)
{
    bool quoted = false;
    for (size_t i = 0; i < json.n; i++) {
        if (!quoted && strchr(" \t\r\n", json.p[i]) != NULL)
            continue;
        if (*text++ != json.p[i])
            return false;
        quoted ^= json.p[i] == '"';
    }
    return *text == '\0';
}

/* null is what is not given, but for a model and a prompt. */
static bool read_parameter(reading *r, const liz_json *member)
{
    const parameter *p = parameters, *end = p + sizeof parameters / sizeof *parameters;
    int other = r->row->is_chat ? COMPLETIONS : CHAT;
    while (p < end && (p->endpoint == other || !liz_str_is(member->key, p->name)))
        p++;
    if (member->type == LIZ_JSON_NULL && (p == end || (p->read != read_model && p->read != read_prompt)))
        return true;
    if (p == end)
        return fail_unsupported(r, member);
    switch (p->kind) {
    case KIND_READ: return p->read(r, member);
    case KIND_FLOAT:
    case KIND_SHARE: return read_float(r, p, member);
    case KIND_INT: return read_whole(r, p, member);
    case KIND_HARMLESS: break;
    }
    for (int i = 0; i < 2 && p->harmless[i] != NULL; i++)
        if (*p->harmless[i] == '\0' || says(member->source, p->harmless[i]))
            return true;
    return fail_unsupported(r, member);
}

/* What two parameters say together, in whatever order they came. */
static bool check_together(reading *r, const liz_json *body)
{
    const liz_json *limit = liz_json_member(body, "max_tokens"),
                   *other = liz_json_member(body, "max_completion_tokens"),
                   *logprobs = liz_json_member(body, "logprobs"), *tools = liz_json_member(body, "tools"),
                   *choice = liz_json_member(body, "tool_choice");
    int64_t a = 0, b = 0;
    if (limit && other && liz_json_int64(limit, &a) && liz_json_int64(other, &b) && a != b)
        return wrong(r, "max_tokens", "what body.max_completion_tokens is: give one of them");
    if (choice && tools && tools->n_children > 0 && says(choice->source, "\"none\""))
        return fail_unsupported(r, choice);
    if (r->top_logprobs < 0)
        return true;
    bool asks = logprobs != NULL && logprobs->type == LIZ_JSON_TRUE;
    if (!asks && r->top_logprobs > 0)
        return wrong(r, "top_logprobs", "of use without \"logprobs\": true");
    if (asks)
        r->ask->logprobs = r->top_logprobs;
    return true;
}

bool liz_line_openai_is(const liz_line_record *record)
{
    static const char *const names[] = {"custom_id", "method", "url", "body"};
    bool has[4];
    for (int i = 0; i < 4; i++)
        has[i] = liz_json_member(record->json, names[i]) != NULL;
    return (has[0] && has[3]) || has[0] + has[1] + has[2] + has[3] == 3;
}

bool liz_line_openai_check(const liz_line_record *record, liz_line_row *row)
{
    const liz_json *method = liz_json_member(record->json, "method"), *url = liz_json_member(record->json, "url");
    if (method == NULL || method->type != LIZ_JSON_STRING || !liz_str_is(method->string, "POST"))
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"method\" is not \"POST\"");
    else if (url == NULL || url->type != LIZ_JSON_STRING)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"url\" is missing");
    else if (liz_str_is(url->string, "/v1/chat/completions"))
        row->is_chat = true;
    else if (!liz_str_is(url->string, "/v1/completions"))
        liz_line_row_fail(row, LIZ_ROW_UNSUPPORTED,
                          "url \"%.*s\" is not supported: use /v1/chat/completions or /v1/completions",
                          LIZ_STR_ARG(url->string));
    return row->error_code == NULL;
}

bool liz_line_openai_read(const liz_line_record *record, liz_arena *arena, liz_line_row *row, liz_line_ask *ask)
{
    reading r = {arena, row, ask, .top_logprobs = -1};
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
    if (!check_together(&r, body))
        return false;
    const char *wants = row->is_chat ? "messages" : "prompt";
    if (liz_json_member(body, wants) == NULL)
        liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "body.%s: is missing", wants);
    ask->chat = row->is_chat ? body : NULL;
    return row->error_code == NULL;
}
