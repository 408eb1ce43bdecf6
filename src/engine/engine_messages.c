/* engine_messages.c - messages as chat APIs write them, for a chat template. */
#include "engine/engine_messages.h"

#include "engine/engine_template.h"
#include "text/jinja.h"

#include <stdlib.h>
#include <string.h>

static const char *const roles[LIZ_MESSAGE_ROLES] = {"system", "user", "assistant", "tool"};
enum { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_OTHER };
_Static_assert((int)ROLE_OTHER == (int)LIZ_MESSAGE_ROLES, "the form counts these");

enum { ROLE_BYTES_MAX = 64, OTHER_ROLES_MAX = 8 };

/* ---- What a template can take ------------------------------------------------------------------- */

#define MARK "part-of-text"
#define FIRST "before-the-part"
#define CALLED "called-it"
#define CALL(content, arguments)                                                                                       \
    "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\","     \
    "\"function\":{\"name\":\"" CALLED "\",\"arguments\":" arguments "}}]}"
#define RESULT(content)                                                                                                \
    "{\"role\":\"tool\",\"name\":\"" CALLED "\",\"tool_call_id\":\"call00001\",\"content\":" content "}"
#define SAYS(role, content) "{\"role\":\"" role "\",\"content\":" content "}"
#define USER SAYS("user", "\"a\"")
#define PARTS "[{\"type\":\"text\",\"text\":\"" FIRST "\"},{\"type\":\"text\",\"text\":\"" MARK "\"}]"
#define TEXT "\"" MARK "\""
#define MESSAGES(list) "{\"messages\":[" list "]}"
/* In the nested form of OpenAI and in the flat one. */
#define TOOLS(name)                                                                                                    \
    "\"tools\":[{\"type\":\"function\",\"name\":\"" name "\",\"function\":{\"name\":\"" name "\",\"description\":"     \
    "\"b\",\"parameters\":{\"type\":\"object\",\"properties\":{\"c\":{\"type\":\"string\",\"description\":\"d\"}},"    \
    "\"required\":[\"c\"]}}}]"
#define WITH_TOOLS(list) "{\"messages\":[" list "]," TOOLS("c") "}"

/* Small conversations that are rendered to see what comes of them: all together may take what one rendering may. */
typedef struct probe {
    const liz_template *template;
    uint64_t n_steps_left;
    bool starved; /* of memory: what it said since is not to be believed */
} probe;

/* What the template makes of variables; NULL when it cannot. */
static char *rendered(probe *p, const char *variables)
{
    liz_rendered r;
    liz_status status = liz_engine_template_try(p->template, variables, &p->n_steps_left, &r);
    p->starved = p->starved || status == LIZ_E_MEMORY;
    if (status != LIZ_OK)
        return NULL;
    free(r.data);
    return r.text;
}

/* Whether it renders both parts of a message, not in quotes. */
static bool takes_parts(probe *p, const char *variables)
{
    char *text = rendered(p, variables);
    const char *at = text ? strstr(text, MARK) : NULL;
    bool ok = at != NULL && strstr(text, FIRST) != NULL && (at == text || (at[-1] != '\'' && at[-1] != '"'));
    free(text);
    return ok;
}

/* What becomes of a mark in the variables. */
typedef enum fate { FATE_REFUSED, FATE_DROPPED, FATE_SHOWN } fate;

static fate fate_of(probe *p, const char *variables, const char *mark)
{
    char *text = rendered(p, variables);
    fate is = text == NULL ? FATE_REFUSED : strstr(text, mark) != NULL ? FATE_SHOWN : FATE_DROPPED;
    free(text);
    return is;
}

/* Whether none of two conversations shows the mark, and one is rendered all the same. */
static bool drops(probe *p, const char *one, const char *other, const char *mark)
{
    fate is = fate_of(p, one, mark);
    if (is == FATE_SHOWN)
        return false;
    fate also = fate_of(p, other, mark);
    return (is > also ? is : also) == FATE_DROPPED;
}

/* How a call can be written, and its result: content that is null or an empty text, arguments as an object or a text.
 */
#define OBJECT "{\"a\":\"" CALLED "\"}"
#define OBJECT_TEXT "\"{\\\"a\\\":\\\"" CALLED "\\\"}\""
#define TALK(content, arguments, result) USER "," CALL(content, arguments) "," RESULT(result)
#define WAY(content, arguments, ...)                                                                                   \
    {                                                                                                                  \
        {MESSAGES(TALK(content, arguments, "\"b\"")), WITH_TOOLS(TALK(content, arguments, "\"b\""))},                  \
            {MESSAGES(TALK(content, arguments, TEXT)), WITH_TOOLS(TALK(content, arguments, TEXT))}, __VA_ARGS__        \
    }

static const struct {
    const char *call[2], *result[2]; /* without and with tools */
    bool is_null, is_text;
} ways[] = {
    WAY("null", OBJECT, true, false),
    WAY("\"\"", OBJECT, false, false),
    WAY("null", OBJECT_TEXT, true, true),
    WAY("\"\"", OBJECT_TEXT, false, true),
};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* Whether it shows the call, and a null not as a word. */
static fate fate_of_call(probe *p, int way, int with_tools)
{
    char *text = rendered(p, ways[way].call[with_tools]);
    bool shown = text != NULL && strstr(text, CALLED) != NULL;
    bool as_word = ways[way].is_null && shown && (strstr(text, "None") != NULL || strstr(text, "null") != NULL);
    fate is = text == NULL || as_word ? FATE_REFUSED : shown ? FATE_SHOWN : FATE_DROPPED;
    free(text);
    return is;
}

/* The first way in which calls are shown, if there is one, and what that says of tools' results. */
static void find_tools(liz_message_form *form, probe *p)
{
    fate best = FATE_REFUSED;
    for (int i = 0; i < 2 * N_WAYS && best != FATE_SHOWN; i++) {
        int way = i % N_WAYS;
        fate is = fate_of_call(p, way, i / N_WAYS);
        best = is > best ? is : best;
        if (is != FATE_SHOWN)
            continue;
        form->takes_null = ways[way].is_null;
        form->takes_argument_text = ways[way].is_text;
        form->drops_role[ROLE_TOOL] = drops(p, ways[way].result[0], ways[way].result[1], MARK);
    }
    form->drops_calls = best == FATE_DROPPED;
    form->drops_tools = drops(p, "{\"messages\":[" USER "]," TOOLS(MARK) "}",
                              "{\"messages\":[" SAYS("system", "\"s\"") "," USER "]," TOOLS(MARK) "}", MARK);
}

liz_status liz_message_form_find(liz_message_form *form, const liz_template *t, liz_error *err)
{
    static const char documents[] =
        "{\"messages\":[" USER "],\"documents\":[{\"doc_id\":\"1\",\"title\":\"b\",\"text\":" TEXT ",\"content\":" TEXT
        ",\"contents\":" TEXT "}]}";
    probe p = {.template = t, .n_steps_left = liz_jinja_steps_max()};
    *form = (liz_message_form){
        .takes_parts = {takes_parts(&p, MESSAGES(SAYS("system", PARTS) "," USER)),
                        takes_parts(&p, MESSAGES(SAYS("user", PARTS))),
                        takes_parts(&p, MESSAGES(USER "," SAYS("assistant", PARTS) "," USER)),
                        takes_parts(&p, MESSAGES(USER "," CALL("\"\"", OBJECT) "," RESULT(PARTS)))},
        .drops_role = {[ROLE_SYSTEM] = fate_of(&p, MESSAGES(SAYS("system", TEXT) "," USER), MARK) == FATE_DROPPED,
                       [ROLE_USER] = fate_of(&p, MESSAGES(SAYS("user", TEXT)), MARK) == FATE_DROPPED,
                       [ROLE_ASSISTANT] = drops(&p, MESSAGES(USER "," SAYS("assistant", TEXT) "," USER),
                                                MESSAGES(USER "," SAYS("assistant", TEXT)), MARK)},
        .drops_documents = fate_of(&p, documents, MARK) == FATE_DROPPED,
    };
    find_tools(form, &p);
    return p.starved ? liz_fail(err, LIZ_E_MEMORY, "no memory for a template") : LIZ_OK;
}

/* ---- Messages ----------------------------------------------------------------------------------- */

typedef struct adapting {
    const liz_message_form *form;
    probe probe;
    liz_arena *arena;
    size_t i; /* the message's number */
    liz_error *err;
    struct {
        liz_str name;
        fate is;
    } others[OTHER_ROLES_MAX]; /* roles of the template's own: each is tried once */
    int n_others;
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

/* What becomes of a message of a role that is none of `roles`, at the beginning or at the end. */
static liz_status try_role(adapting *a, liz_str role, fate *out)
{
    static const char *const before[] = {"", USER ","}, *const after[] = {"," USER, ""};
    *out = FATE_REFUSED;
    for (int i = 0; i < 2 && *out != FATE_SHOWN; i++) {
        liz_buf text = {.len_max = 4096};
        liz_buf_printf(&text, "{\"messages\":[%s{\"role\":", before[i]);
        liz_json_write_string(&text, role);
        liz_buf_printf(&text, ",\"content\":" TEXT "}%s]}", after[i]);
        bool failed = liz_buf_failed(&text);
        fate is = failed ? FATE_REFUSED : fate_of(&a->probe, text.data, MARK);
        *out = is > *out ? is : *out;
        liz_buf_free(&text);
        if (failed || a->probe.starved)
            return no_memory(a);
    }
    return LIZ_OK;
}

static liz_status fate_of_role(adapting *a, liz_str role, fate *out)
{
    for (int i = 0; i < a->n_others; i++)
        if (liz_str_eq(a->others[i].name, role)) {
            *out = a->others[i].is;
            return LIZ_OK;
        }
    if (a->n_others == OTHER_ROLES_MAX)
        return liz_fail(a->err, LIZ_E_USAGE,
                        "messages[%zu].role: is one more role than the %d that may be beside the usual", a->i,
                        OTHER_ROLES_MAX);
    LIZ_TRY(try_role(a, role, out));
    a->others[a->n_others].name = role;
    a->others[a->n_others++].is = *out;
    return LIZ_OK;
}

/* Gives which of `roles` it is, ROLE_OTHER for another that the template knows. `developer` is the newer name of
 * `system`. */
static liz_status read_role(adapting *a, liz_json *role, int *out)
{
    fate is = FATE_SHOWN;
    if (!is_string(role) || role->string.n == 0 || role->string.n > ROLE_BYTES_MAX)
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].role: is not a name of a role", a->i);
    for (*out = 0; *out < ROLE_OTHER && !liz_str_is(role->string, roles[*out]); ++*out)
        ;
    if (*out == ROLE_OTHER)
        LIZ_TRY(fate_of_role(a, role->string, &is));
    if (is != FATE_SHOWN && liz_str_is(role->string, "developer")) {
        set_string(role, liz_str_of(roles[ROLE_SYSTEM]));
        *out = ROLE_SYSTEM;
    } else if (is == FATE_DROPPED) {
        return liz_fail(a->err, LIZ_E_USAGE, "messages[%zu].role: \"%.*s\" is none that the chat template shows", a->i,
                        LIZ_STR_ARG(role->string));
    }
    if (*out != ROLE_OTHER && a->form->drops_role[*out])
        return liz_fail(a->err, LIZ_E_UNSUPPORTED, "messages[%zu].role: the chat template shows nothing of \"%s\"",
                        a->i, roles[*out]);
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
    if (role == ROLE_OTHER)
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
        return read_parts(a, content, role < ROLE_OTHER && a->form->takes_parts[role]);
    if (content->type != LIZ_JSON_STRING && role < ROLE_TOOL)
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
    if (calls != NULL && calls->n_children > 0 && a->form->drops_calls)
        return liz_fail(a->err, LIZ_E_UNSUPPORTED, "messages[%zu].tool_calls: the chat template does not show them",
                        a->i);
    LIZ_TRY(read_role(a, (liz_json *)liz_json_member(message, "role"), &role));
    LIZ_TRY(read_content(a, message, role));
    for (liz_json *call = calls && !a->form->takes_argument_text ? calls->first_child : NULL; call; call = call->next)
        LIZ_TRY(read_arguments(a, call));
    return LIZ_OK;
}

/* A list of objects that the template must show to the model, or that is not there. */
static liz_status check_list(adapting *a, const liz_json *variables, const char *name, bool drops_it)
{
    const liz_json *list = liz_json_member(variables, name);
    bool ok = is_null(list) || list->type == LIZ_JSON_ARRAY;
    for (const liz_json *item = ok && list ? list->first_child : NULL; item != NULL && ok; item = item->next)
        ok = item->type == LIZ_JSON_OBJECT;
    if (!ok)
        return liz_fail(a->err, LIZ_E_USAGE, "%s: is no list of objects", name);
    if (!is_null(list) && list->n_children > 0 && drops_it)
        return liz_fail(a->err, LIZ_E_UNSUPPORTED, "%s: the chat template does not show them to the model", name);
    return LIZ_OK;
}

liz_status liz_messages_adapt(const liz_message_form *form, const liz_template *t, liz_json *variables,
                              liz_arena *arena, liz_error *err)
{
    adapting a = {
        .form = form, .probe = {.template = t, .n_steps_left = liz_jinja_steps_max()}, .arena = arena, .err = err};
    const liz_json *messages = liz_json_member(variables, "messages");
    LIZ_TRY(check_list(&a, variables, "tools", form->drops_tools));
    LIZ_TRY(check_list(&a, variables, "documents", form->drops_documents));
    for (liz_json *m = messages ? messages->first_child : NULL; m != NULL; m = m->next, a.i++)
        LIZ_TRY(read_message(&a, m));
    return LIZ_OK;
}
