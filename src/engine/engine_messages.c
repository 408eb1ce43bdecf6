/* engine_messages.c - messages as chat APIs write them, for a chat template. */
#include "engine/engine_messages.h"

#include <stdlib.h>
#include <string.h>

static const char *const roles[LIZ_MESSAGE_ROLES] = {"system", "user", "assistant", "tool"};
enum { ROLE_ASSISTANT = 2 };

/* ---- What a template can take ------------------------------------------------------------------- */

#define MARK "part-of-text"
#define CALL(content, arguments)                                                                                       \
    "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\","     \
    "\"function\":{\"name\":\"called-it\",\"arguments\":" arguments "}}]}"
#define RESULT(content)                                                                                                \
    "{\"role\":\"tool\",\"name\":\"called-it\",\"tool_call_id\":\"call00001\",\"content\":" content "}"
#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define PARTS "[{\"type\":\"text\",\"text\":\"" MARK "\"}]"
#define MESSAGES(list) "{\"messages\":[" list "]}"

typedef struct probe {
    const liz_template *template;
    bool starved; /* of memory: what it said since is not to be believed */
} probe;

/* What the template makes of variables; NULL when it cannot. */
static char *rendered(probe *p, const char *variables)
{
    liz_rendered r;
    liz_status status = liz_template_render(p->template, variables, strlen(variables), "2026-01-01", 0, &r, NULL);
    p->starved = p->starved || status == LIZ_E_MEMORY;
    if (status != LIZ_OK)
        return NULL;
    free(r.data);
    return r.text;
}

/* Whether it renders the variables, `part` standing there but not in quotes. */
static bool renders(probe *p, const char *variables, const char *part)
{
    char *text = rendered(p, variables);
    const char *at = text ? strstr(text, part) : NULL;
    bool ok = at != NULL && (at == text || (at[-1] != '\'' && at[-1] != '"'));
    free(text);
    return ok;
}

/* Whether the mark in the variables comes out, in whatever form. */
typedef enum mark { MARK_REFUSED = -1, MARK_DROPPED, MARK_SHOWN } mark;

static mark mark_of(probe *p, const char *variables)
{
    char *text = rendered(p, variables);
    mark is = text == NULL ? MARK_REFUSED : strstr(text, MARK) != NULL ? MARK_SHOWN : MARK_DROPPED;
    free(text);
    return is;
}

/* A message without content, but with calls, is shown with its call, and its null not as a word. */
static bool takes_null(probe *p)
{
    char *text = rendered(p, MESSAGES(USER "," CALL("null", "{\"a\":1}") "," RESULT("\"b\"")));
    bool ok = text != NULL && strstr(text, "called-it") != NULL && strstr(text, "None") == NULL &&
              strstr(text, "null") == NULL;
    free(text);
    return ok;
}

liz_status liz_message_form_find(liz_message_form *form, const liz_template *t, liz_error *err)
{
    static const char parts_of_system[] = MESSAGES("{\"role\":\"system\",\"content\":" PARTS "}," USER);
    static const char parts_of_user[] = MESSAGES("{\"role\":\"user\",\"content\":" PARTS "}");
    static const char parts_of_assistant[] = MESSAGES(USER ",{\"role\":\"assistant\",\"content\":" PARTS "}," USER);
    static const char parts_of_tool[] = MESSAGES(USER "," CALL("\"\"", "{\"a\":1}") "," RESULT(PARTS));
    static const char argument_object[] = MESSAGES(USER "," CALL("\"\"", "{\"a\":1}") "," RESULT("\"b\""));
    static const char argument_text[] = MESSAGES(USER "," CALL("\"\"", "\"{\\\"a\\\":1}\"") "," RESULT("\"b\""));
    static const char tools[] =
        "{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"" MARK
        "\",\"description\":\"b\",\"parameters\":{\"type\":\"object\",\"properties\":{\"c\":{\"type\":\"string\","
        "\"description\":\"d\"}},\"required\":[\"c\"]}}}]}";
    static const char documents[] =
        "{\"messages\":[" USER "],\"documents\":[{\"doc_id\":\"1\",\"title\":\"b\",\"text\":\"" MARK "\"}]}";
    probe p = {t, false};
    *form = (liz_message_form){
        .takes_parts = {renders(&p, parts_of_system, MARK), renders(&p, parts_of_user, MARK),
                        renders(&p, parts_of_assistant, MARK), renders(&p, parts_of_tool, MARK)},
        .takes_argument_text = !renders(&p, argument_object, "") && renders(&p, argument_text, ""),
        .takes_null = takes_null(&p),
        .shows_tools = mark_of(&p, tools) != MARK_DROPPED,
        .shows_documents = mark_of(&p, documents) != MARK_DROPPED,
    };
    return p.starved ? liz_fail(err, LIZ_E_MEMORY, "no memory for a template") : LIZ_OK;
}

/* ---- Messages ----------------------------------------------------------------------------------- */

typedef struct adapting {
    const liz_message_form *form;
    const liz_template *template;
    liz_arena *arena;
    size_t i; /* the message's number */
    liz_error *err;
} adapting;

static bool is_string(const liz_json *json) { return json != NULL && json->type == LIZ_JSON_STRING; }

static bool is_null(const liz_json *json) { return json == NULL || json->type == LIZ_JSON_NULL; }

static liz_status no_memory(adapting *a) { return liz_fail(a->err, LIZ_E_MEMORY, "no memory for the messages"); }

static void set_string(liz_json *json, liz_str text)
{
    json->type = LIZ_JSON_STRING;
    json->string = text;
    json->first_child = NULL;
    json->n_children = 0;
}

/* What becomes of a message of this role, at the beginning or at the end. */
static liz_status mark_of_role(adapting *a, liz_str role, mark *out)
{
    static const char *const before[] = {"", USER ","}, *const after[] = {"," USER, ""};
    probe p = {a->template, false};
    *out = MARK_REFUSED;
    for (int i = 0; i < 2 && *out != MARK_SHOWN; i++) {
        liz_buf text = {.len_max = 1 << 16};
        liz_buf_printf(&text, "{\"messages\":[%s{\"role\":", before[i]);
        liz_json_write_string(&text, role);
        liz_buf_printf(&text, ",\"content\":\"" MARK "\"}%s]}", after[i]);
        mark is = liz_buf_failed(&text) ? MARK_REFUSED : mark_of(&p, text.data);
        *out = is > *out ? is : *out;
        liz_buf_free(&text);
    }
    return p.starved ? no_memory(a) : LIZ_OK;
}

/* Gives which of `roles` it is, LIZ_MESSAGE_ROLES for another that the template knows. `developer` is the newer name of
 * `system`. */
static liz_status read_role(adapting *a, liz_json *role, int *out)
{
    if (!is_string(role) || role->string.n == 0)
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].role: is not a name of a role", a->i);
    for (*out = 0; *out < LIZ_MESSAGE_ROLES; ++*out)
        if (liz_str_is(role->string, roles[*out]))
            return LIZ_OK;
    mark is;
    LIZ_TRY(mark_of_role(a, role->string, &is));
    if (liz_str_is(role->string, "developer") && is != MARK_SHOWN) {
        set_string(role, liz_str_of(roles[0]));
        *out = 0;
    } else if (is == MARK_DROPPED) {
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].role: \"%.*s\" is none that the chat template shows", a->i,
                        LIZ_STR_ARG(role->string));
    }
    return LIZ_OK;
}

/* Gives the text of a part. A refusal is what the assistant said. */
static liz_status part_text(adapting *a, const liz_json *part, size_t i, liz_str *out)
{
    const liz_json *type = liz_json_member(part, "type");
    bool refuses = is_string(type) && liz_str_is(type->string, "refusal");
    const liz_json *text = liz_json_member(part, refuses ? "refusal" : "text");
    if (is_string(type) && !refuses && !liz_str_is(type->string, "text"))
        return liz_fail(a->err, LIZ_E_UNSUPPORTED,
                        "messages[%zu].content[%zu]: is of type \"%.*s\": models read text alone", a->i, i,
                        LIZ_STR_ARG(type->string));
    if (!is_string(type) || !is_string(text))
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].content[%zu]: is not {\"type\":\"text\",\"text\":...}",
                        a->i, i);
    *out = text->string;
    return LIZ_OK;
}

/* Parts become one text, a line end between them, where the template does not take them. */
static liz_status read_parts(adapting *a, liz_json *content, bool takes_parts)
{
    liz_str text;
    size_t n = 0, i = 0;
    for (const liz_json *part = content->first_child; part != NULL; part = part->next, n += text.n + 1) {
        takes_parts = takes_parts && liz_json_member(part, "refusal") == NULL;
        LIZ_TRY(part_text(a, part, i++, &text));
    }
    if (n == 0)
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].content: has no parts", a->i);
    if (takes_parts)
        return LIZ_OK;
    char *joined = liz_arena_alloc(a->arena, n), *at = joined;
    if (joined == NULL)
        return no_memory(a);
    for (const liz_json *part = content->first_child; part != NULL; part = part->next) {
        LIZ_TRY(part_text(a, part, 0, &text));
        at = text.n ? (char *)memcpy(at, text.p, text.n) + text.n : at;
        *at++ = '\n';
    }
    set_string(content, (liz_str){joined, n - 1});
    return LIZ_OK;
}

/* What stands beside calls, or beside reasoning, may be null or absent. */
static liz_status read_no_content(adapting *a, liz_json *message, liz_json *content, int role)
{
    const liz_json *calls = liz_json_member(message, "tool_calls");
    bool has_calls = calls != NULL && calls->n_children > 0;
    if (role == LIZ_MESSAGE_ROLES)
        return LIZ_OK;
    if (role != ROLE_ASSISTANT || !(has_calls || is_string(liz_json_member(message, "reasoning_content"))))
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].content: is missing", a->i);
    if (content == NULL) {
        content = liz_arena_alloc(a->arena, sizeof *content);
        if (content == NULL)
            return no_memory(a);
        *content = (liz_json){.type = LIZ_JSON_NULL, .key = liz_str_of("content"), .next = message->first_child};
        message->first_child = content;
        message->n_children++;
    }
    if (!has_calls || !a->form->takes_null)
        set_string(content, (liz_str){"", 0});
    return LIZ_OK;
}

static liz_status read_content(adapting *a, liz_json *message, int role)
{
    liz_json *content = (liz_json *)liz_json_member(message, "content");
    if (is_null(content))
        return read_no_content(a, message, content, role);
    if (content->type == LIZ_JSON_ARRAY)
        return read_parts(a, content, role < LIZ_MESSAGE_ROLES && a->form->takes_parts[role]);
    if (content->type != LIZ_JSON_STRING && (role == 0 || role == 1 || role == ROLE_ASSISTANT))
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].content: is neither a text nor a list of parts", a->i);
    return LIZ_OK;
}

/* Arguments that are the text of a JSON object become the object. */
static liz_status read_arguments(adapting *a, liz_json *call)
{
    liz_json *function = (liz_json *)liz_json_member(call, "function"), *object;
    liz_json *arguments = (liz_json *)liz_json_member(function ? function : call, "arguments");
    if (!is_string(arguments))
        return LIZ_OK;
    liz_status status = liz_json_read(&object, arguments->string, a->arena, NULL);
    if (status == LIZ_E_MEMORY)
        return no_memory(a);
    if (status != LIZ_OK || object->type != LIZ_JSON_OBJECT)
        return LIZ_OK;
    object->key = arguments->key;
    object->next = arguments->next;
    *arguments = *object;
    return LIZ_OK;
}

static liz_status read_message(adapting *a, liz_json *message)
{
    int role = 0;
    const liz_json *calls = liz_json_member(message, "tool_calls");
    if (message->type != LIZ_JSON_OBJECT)
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu]: is no object with a role and a content", a->i);
    if (!is_null(calls) && calls->type != LIZ_JSON_ARRAY)
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].tool_calls: is no list", a->i);
    LIZ_TRY(read_role(a, (liz_json *)liz_json_member(message, "role"), &role));
    LIZ_TRY(read_content(a, message, role));
    for (liz_json *call = calls && !a->form->takes_argument_text ? calls->first_child : NULL; call; call = call->next)
        LIZ_TRY(read_arguments(a, call));
    return LIZ_OK;
}

/* A list of objects that the template must show to the model, or that is not there. */
static liz_status check_list(adapting *a, const liz_json *variables, const char *name, bool shows_it)
{
    const liz_json *list = liz_json_member(variables, name);
    bool ok = is_null(list) || list->type == LIZ_JSON_ARRAY;
    for (const liz_json *item = ok && list ? list->first_child : NULL; item != NULL && ok; item = item->next)
        ok = item->type == LIZ_JSON_OBJECT;
    if (!ok)
        return liz_fail(a->err, LIZ_E_USAGE, "%s: is no list of objects", name);
    if (!is_null(list) && list->n_children > 0 && !shows_it)
        return liz_fail(a->err, LIZ_E_UNSUPPORTED, "%s: the chat template does not show them to the model", name);
    return LIZ_OK;
}

liz_status liz_messages_adapt(const liz_message_form *form, const liz_template *t, liz_json *variables,
                              liz_arena *arena, liz_error *err)
{
    adapting a = {form, t, arena, 0, err};
    const liz_json *messages = liz_json_member(variables, "messages");
    LIZ_TRY(check_list(&a, variables, "tools", form->shows_tools));
    LIZ_TRY(check_list(&a, variables, "documents", form->shows_documents));
    for (liz_json *m = messages ? messages->first_child : NULL; m != NULL; m = m->next, a.i++)
        LIZ_TRY(read_message(&a, m));
    return LIZ_OK;
}
