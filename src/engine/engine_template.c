/* engine_template.c - the public face of chat templates: variables in, marked text out.
 *
 * The messages of chat APIs are not quite what templates were written for: content may come in parts, and the arguments
 * of tool calls as JSON in a string. What a template can take is found out once, by rendering two small conversations
 * when it is opened; messages are then brought into that form. */
#include "engine/engine_template.h"

#include "base/hash.h"
#include "text/jinja.h"

#include <stdio.h>
#include <stdlib.h>

enum { OWN_MAX = 1 << 16 };
static const size_t rendered_max = (size_t)1 << 30, variables_memory_max = (size_t)4 << 30;

struct liz_template {
    liz_jinja *plain, *with_tools; /* with_tools NULL: the same */
    liz_buf own_text;              /* {"bos_token":...,"eos_token":...} */
    liz_arena arena;
    liz_json *own;
    char hash[33];
    bool takes_parts;         /* content as a list of {"type":"text","text":...} */
    bool takes_argument_text; /* arguments of tool calls as a string, and only so */
};

/* ---- Messages of chat APIs ---------------------------------------------------------------------- */

static bool is_string(const liz_json *json) { return json != NULL && json->type == LIZ_JSON_STRING; }

/* Content that is a list of texts becomes one text, a line end between them. */
static liz_status join_parts(liz_json *content, liz_arena *arena, liz_error *err)
{
    size_t n = 0;
    for (const liz_json *part = content->first_child; part != NULL; part = part->next) {
        const liz_json *type = liz_json_member(part, "type"), *text = liz_json_member(part, "text");
        if (!is_string(type) || !liz_str_is(type->string, "text") || !is_string(text))
            return LIZ_OK;
        n += text->string.n + 1;
    }
    char *joined = liz_arena_alloc(arena, n + 1);
    if (joined == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the messages");
    content->type = LIZ_JSON_STRING;
    content->string = (liz_str){joined, n ? n - 1 : 0};
    for (const liz_json *part = content->first_child; part != NULL; part = part->next) {
        liz_str text = liz_json_member(part, "text")->string;
        joined = text.n ? (char *)memcpy(joined, text.p, text.n) + text.n : joined;
        *joined++ = '\n';
    }
    return LIZ_OK;
}

/* Arguments that are the text of a JSON object become the object. */
static liz_status read_arguments(liz_json *call, liz_arena *arena, liz_error *err)
{
    liz_json *function = (liz_json *)liz_json_member(call, "function"), *object;
    liz_json *arguments = (liz_json *)liz_json_member(function ? function : call, "arguments");
    if (!is_string(arguments))
        return LIZ_OK;
    liz_status status = liz_json_read(&object, arguments->string, arena, NULL);
    if (status == LIZ_E_MEMORY)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the messages");
    if (status != LIZ_OK || object->type != LIZ_JSON_OBJECT)
        return LIZ_OK;
    object->key = arguments->key;
    object->next = arguments->next;
    *arguments = *object;
    return LIZ_OK;
}

static liz_status adapt(const liz_template *t, liz_json *variables, liz_arena *arena, liz_error *err)
{
    const liz_json *messages = liz_json_member(variables, "messages");
    for (liz_json *m = messages ? messages->first_child : NULL; m != NULL; m = m->next) {
        liz_json *content = (liz_json *)liz_json_member(m, "content");
        const liz_json *calls = liz_json_member(m, "tool_calls");
        if (content != NULL && content->type == LIZ_JSON_ARRAY && !t->takes_parts)
            LIZ_TRY(join_parts(content, arena, err));
        for (liz_json *call = calls && !t->takes_argument_text ? calls->first_child : NULL; call; call = call->next)
            LIZ_TRY(read_arguments(call, arena, err));
    }
    return LIZ_OK;
}

/* Says where in the template it was; what raise_exception said stands by itself. */
static liz_status at_line(liz_status status, liz_error *err)
{
    if (status == LIZ_OK || status == LIZ_E_CANCELLED || err == NULL || err->line == 0)
        return status;
    return liz_fail_within(err, status, "chat template, line %d", err->line);
}

/* ---- Rendering ---------------------------------------------------------------------------------- */

static liz_status read_now(const char *text, struct tm *now, liz_error *err)
{
    time_t present = time(NULL);
    int n = 0, date = 0;
    if (text == NULL) {
        localtime_r(&present, now);
        return LIZ_OK;
    }
    *now = (struct tm){0};
    sscanf(text, "%4d-%2d-%2d%n%*1[T ]%2d:%2d%n:%2d%n", &now->tm_year, &now->tm_mon, &now->tm_mday, &date,
           &now->tm_hour, &now->tm_min, &n, &now->tm_sec, &n);
    const char *rest = text + (n ? n : date);
    rest += *rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0;
    rest += n && *rest == 'Z' ? 1 : n && (*rest == '+' || *rest == '-') ? 1 + strspn(rest + 1, "0123456789:") : 0;
    struct tm given = *now;
    now->tm_year -= 1900;
    now->tm_mon -= 1;
    now->tm_isdst = -1;
    struct tm settled = *now;
    if (date == 0 || *rest != '\0' || timegm(&settled) == -1 || settled.tm_mday != given.tm_mday ||
        settled.tm_hour != given.tm_hour || settled.tm_min != given.tm_min || settled.tm_sec != given.tm_sec ||
        settled.tm_mon != given.tm_mon - 1)
        return liz_fail(err, LIZ_E_USAGE, "%s: is no time: write 2026-01-31 or 2026-01-31T12:00:00", text);
    now->tm_wday = settled.tm_wday;
    now->tm_yday = settled.tm_yday;
    return LIZ_OK;
}

static liz_status render(const liz_template *t, liz_str variables, liz_arena *arena, const struct tm *now,
                         unsigned flags, liz_buf *text, liz_buf *data, liz_error *err)
{
    liz_json *json;
    LIZ_TRY(liz_json_read(&json, variables, arena, err));
    if (json->type != LIZ_JSON_OBJECT)
        return liz_fail(err, LIZ_E_FORMAT, "variables: are no JSON object");
    if (flags & LIZ_RENDER_CHAT)
        LIZ_TRY(adapt(t, json, arena, err));
    liz_jinja_vars vars[] = {{json, true}, {t->own, false}};
    const liz_json *tools = liz_json_member(json, "tools");
    bool with_tools = t->with_tools != NULL && tools != NULL && tools->type != LIZ_JSON_NULL;
    const liz_jinja *jinja = with_tools ? t->with_tools : t->plain;
    return at_line(liz_jinja_render(jinja, vars, 2, now, text, data, err), err);
}

liz_status liz_template_render(const liz_template *t, const char *variables, size_t n_variables, const char *now,
                               unsigned flags, liz_rendered *out, liz_error *err)
{
    struct tm clock;
    liz_buf data = {.len_max = rendered_max};
    liz_buf text = {.len_max = rendered_max};
    liz_arena arena = {.size_max = variables_memory_max};
    *out = (liz_rendered){0};
    LIZ_TRY(read_now(now, &clock, err));
    liz_status status = render(t, (liz_str){variables, n_variables}, &arena, &clock, flags, &text, &data, err);
    liz_arena_free(&arena);
    liz_buf_putc(&text, '\0');
    if (status == LIZ_OK && liz_buf_failed(&text))
        status = liz_fail(err, LIZ_E_MEMORY, "no memory for the text of a template");
    if (status == LIZ_OK) {
        *out = (liz_rendered){NULL, text.len - 1, NULL, data.len / (2 * sizeof(size_t))};
        out->text = liz_buf_take(&text);
        out->data = data.len ? (size_t *)(void *)liz_buf_take(&data) : NULL;
    }
    liz_buf_free(&text);
    liz_buf_free(&data);
    return status;
}

void liz_rendered_free(liz_rendered *rendered)
{
    free(rendered->text);
    free(rendered->data);
    *rendered = (liz_rendered){0};
}

/* ---- Opening ------------------------------------------------------------------------------------ */

#define PROBE_PARTS "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"part-of-text\"}]}]}"
#define PROBE_CALL(arguments)                                                                                          \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":"    \
    "[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":" arguments "}}]},"       \
    "{\"role\":\"tool\",\"name\":\"f\",\"tool_call_id\":\"call00001\",\"content\":\"b\"}]}"

/* Whether it renders the conversation, `part` standing there but not in quotes. */
static bool renders(const liz_template *t, const char *variables, const char *part)
{
    liz_rendered r;
    if (liz_template_render(t, variables, strlen(variables), "2026-01-01", 0, &r, NULL) != LIZ_OK)
        return false;
    const char *at = strstr(r.text, part);
    bool ok = at != NULL && (at == r.text || (at[-1] != '\'' && at[-1] != '"'));
    liz_rendered_free(&r);
    return ok;
}

liz_status liz_engine_template_new(liz_template **out, liz_str source, liz_str with_tools, liz_str bos, liz_str eos,
                                   liz_error *err)
{
    liz_template *t = calloc(1, sizeof *t);
    if (t == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a template");
    liz_arena_init(&t->arena, OWN_MAX);
    liz_buf_init(&t->own_text, OWN_MAX);
    liz_buf_puts(&t->own_text, "{\"bos_token\":");
    liz_json_write_string(&t->own_text, bos);
    liz_buf_puts(&t->own_text, ",\"eos_token\":");
    liz_json_write_string(&t->own_text, eos);
    liz_buf_putc(&t->own_text, '}');
    liz_hash_hex(liz_hash_chain(liz_hash_bytes(source.p, source.n), with_tools.p, with_tools.n), t->hash);
    liz_status status = at_line(liz_jinja_compile(&t->plain, source, err), err);
    if (status == LIZ_OK && with_tools.n > 0)
        status = at_line(liz_jinja_compile(&t->with_tools, with_tools, err), err);
    status = status ?: liz_json_read(&t->own, liz_buf_str(&t->own_text), &t->arena, err);
    if (status != LIZ_OK) {
        liz_template_close(t);
        return status;
    }
    t->takes_parts = renders(t, PROBE_PARTS, "part-of-text");
    t->takes_argument_text =
        !renders(t, PROBE_CALL("{\"a\":1}"), "") && renders(t, PROBE_CALL("\"{\\\"a\\\":1}\""), "");
    *out = t;
    return LIZ_OK;
}

void liz_template_close(liz_template *t)
{
    if (t == NULL)
        return;
    liz_jinja_free(t->plain);
    liz_jinja_free(t->with_tools);
    liz_buf_free(&t->own_text);
    liz_arena_free(&t->arena);
    free(t);
}

const char *liz_template_hash(const liz_template *t) { return t->hash; }
