/* jinja_run.c - statements, macros, and the two entrances: compile and render.
 *
 * Scopes follow Jinja2: a loop's body, a macro, and blocks that are called, filtered or assigned have a scope of their
 * own, an `if` has not; a name is looked for from the inside out when it is used, so a macro sees the present values
 * around its definition. What is not assigned anywhere may be a function of the library. */
#include "text/jinja_impl.h"

#include "base/status.h"

#include <stdlib.h>

struct liz_jinja {
    liz_arena arena;
    const jinja_node *body;
};

typedef enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;

static flow run_body(jinja *j, const jinja_node *node, jinja_scope *scope);

/* In the arena, since a macro may outlive the block that defined it. */
static jinja_scope *scope_new(jinja *j, jinja_scope *parent)
{
    jinja_scope *scope = liz_jinja_alloc(j, 1, sizeof *scope);
    scope->parent = parent;
    return scope;
}

jinja_value liz_jinja_capture(jinja *j, const jinja_node *body, jinja_scope *scope)
{
    jinja_text text = {0}, *outer = j->out;
    j->out = &text;
    run_body(j, body, scope_new(j, scope));
    j->out = outer;
    return liz_jinja_text(&text);
}

static void assign(jinja *j, const jinja_node *target, jinja_scope *scope, jinja_value v)
{
    jinja_dict *dict = &scope->names;
    if (target->kind == JINJA_K_TUPLE) {
        const jinja_list *items = liz_jinja_items(j, v);
        size_t n = 0;
        for (const jinja_node *t = target->a; t != NULL; t = t->next, n++)
            if (n < items->n)
                assign(j, t, scope, items->v[n]);
        if (n != items->n)
            liz_jinja_fail(j, LIZ_E_FORMAT, "%zu values to unpack, and %zu names for them", items->n, n);
        return;
    }
    if (target->kind != JINJA_K_NAME) {
        jinja_value object = liz_jinja_eval(j, target->a, scope);
        if (target->kind != JINJA_K_ATTR || object.type != JINJA_NAMESPACE)
            liz_jinja_fail(j, LIZ_E_FORMAT, "cannot assign attribute on non-namespace object");
        dict = object.dict;
    }
    liz_jinja_dict_set(j, dict, target->value, v);
}

/* ---- Loops -------------------------------------------------------------------------------------- */

/* Whether the loop's condition lets `item` in; its names are assigned in `scope`. */
static bool admits(jinja *j, const jinja_node *node, jinja_scope *scope, jinja_value item)
{
    scope->names.n = 0;
    assign(j, node->a, scope, item);
    return node->e == NULL || liz_jinja_truth(liz_jinja_eval(j, node->e, scope));
}

/* A condition is asked before each turn, or beforehand where the body asks about the loop. `else` is for loops of which
 * no turn ran to its end, as Jinja2 has it: a break or continue ends one early. */
static flow run_loop(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    static const jinja_value name = {JINJA_STRING, {.str = {"loop", NULL, 4}}};
    jinja_value over = liz_jinja_eval(j, node->b, scope), loop = {JINJA_LOOP, {.loop = NULL}};
    jinja_list *items = liz_jinja_items(j, over);
    jinja_scope *inner = scope_new(j, scope);
    bool uses_loop = node->op, ended = false;
    loop.loop = liz_jinja_alloc(j, 1, sizeof *loop.loop);
    loop.loop->items = items;
    if (uses_loop && node->e != NULL) {
        jinja_value admitted = liz_jinja_list(j, JINJA_PLAIN, items->n);
        for (size_t i = 0; i < items->n; i++)
            if (admits(j, node, inner, items->v[i]))
                liz_jinja_push(admitted, items->v[i]);
        items = loop.loop->items = admitted.list;
    }
    for (size_t i = 0; i < items->n; i++) {
        liz_jinja_work(j, 1);
        inner->names.n = 0;
        loop.loop->i = i;
        if (uses_loop)
            assign(j, node->a, inner, items->v[i]);
        else if (!admits(j, node, inner, items->v[i]))
            continue;
        if (uses_loop)
            liz_jinja_dict_set(j, &inner->names, name, loop);
        flow went = run_body(j, node->c, inner);
        ended |= went == FLOW_ON;
        if (went == FLOW_BREAK)
            break;
    }
    return ended ? FLOW_ON : run_body(j, node->d, scope_new(j, scope));
}

/* ---- Macros ------------------------------------------------------------------------------------- */

/* Whether the last argument is the caller, which is no parameter of its own; it is then in `scope`, be it missing. */
static bool take_caller(jinja *j, const jinja_node *macro, const jinja_args *args, jinja_scope *scope)
{
    jinja_value name = liz_jinja_string(JINJA_STR("caller")), caller = liz_jinja_missing(name.str, NULL);
    bool given = args->n > args->n_positional && liz_jinja_is(args->names[args->n - 1], "caller");
    for (const jinja_node *param = macro->a; param != NULL; param = param->next)
        if (liz_jinja_same(param->value.str, name.str))
            return false;
    if (!macro->op)
        return false;
    if (given)
        caller = args->v[args->n - 1];
    liz_jinja_dict_set(j, &scope->names, name, caller);
    return given;
}

jinja_value liz_jinja_call_macro(jinja *j, const jinja_callable *macro, const jinja_args *all)
{
    const jinja_node *node = macro->macro, *param;
    jinja_scope *scope = scope_new(j, macro->scope);
    jinja_args args = *all;
    size_t n = 0, i = 0;
    args.n -= take_caller(j, node, &args, scope);
    for (param = node->a; param != NULL; param = param->next)
        n++;
    jinja_str *names = liz_jinja_alloc(j, n, sizeof *names);
    jinja_value *values = liz_jinja_alloc(j, n, sizeof *values);
    bool *given = liz_jinja_alloc(j, n, sizeof *given);
    for (param = node->a; param != NULL; param = param->next)
        names[i++] = param->value.str;
    liz_jinja_bind(j, node->value.str, names, n, &args, values, given);
    for (param = node->a, i = 0; param != NULL; param = param->next, i++) {
        if (!given[i])
            values[i] = param->a ? liz_jinja_eval(j, param->a, scope) : liz_jinja_missing(names[i], NULL);
        liz_jinja_dict_set(j, &scope->names, param->value, values[i]);
    }
    return liz_jinja_capture(j, node->b, scope);
}

/* ---- Statements --------------------------------------------------------------------------------- */

static flow run_statement(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    switch (node->kind) {
    case JINJA_K_TEXT: liz_jinja_add(j, j->out, node->value.str); break;
    case JINJA_K_PRINT: liz_jinja_add(j, j->out, liz_jinja_str(j, liz_jinja_eval(j, node->a, scope))); break;
    case JINJA_K_FOR: return run_loop(j, node, scope);
    case JINJA_K_IF: return run_body(j, liz_jinja_truth(liz_jinja_eval(j, node->a, scope)) ? node->b : node->c, scope);
    case JINJA_K_SET: assign(j, node->a, scope, liz_jinja_eval(j, node->b, scope)); break;
    case JINJA_K_MACRO:
        liz_jinja_dict_set(j, &scope->names, node->value,
                           liz_jinja_callable(j, (jinja_callable){.macro = node, .scope = scope}));
        break;
    case JINJA_K_SCOPED: return run_body(j, node->a, scope_new(j, scope));
    case JINJA_K_BREAK: return FLOW_BREAK;
    case JINJA_K_CONTINUE: return FLOW_CONTINUE;
    default: break; /* no expression is among them */
    }
    return FLOW_ON;
}

static flow run_body(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    flow went = FLOW_ON;
    if (++j->depth > JINJA_DEPTH_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "maximum recursion depth exceeded");
    for (; node != NULL && went == FLOW_ON; node = node->next) {
        liz_jinja_work(j, 1);
        j->line = node->line;
        went = run_statement(j, node, scope);
    }
    j->depth--;
    return went;
}

/* ---- The entrances ------------------------------------------------------------------------------ */

/* What a compilation or a rendering is about. */
typedef struct job {
    liz_jinja *template;
    const jinja_node *body;
    liz_str source;
    const liz_jinja_vars *vars;
    size_t n_vars;
    liz_buf *out, *data;
} job;

/* Runs `step` until it ends or fails. */
static liz_status guarded(jinja *j, void step(jinja *j, const job *), const job *about)
{
    if (setjmp(j->fault) == 0)
        step(j, about);
    return j->status;
}

static void compile(jinja *j, const job *c)
{
    if (c->source.n > JINJA_SOURCE_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "the template has more than %d MiB", JINJA_SOURCE_MAX >> 20);
    if (liz_utf8_valid_prefix(c->source.p, c->source.n) != c->source.n)
        liz_jinja_fail(j, LIZ_E_FORMAT, "the template is not UTF-8");
    c->template->body = liz_jinja_parse(j, liz_jinja_lex(j, c->source));
}

liz_status liz_jinja_compile(liz_jinja **out, liz_str source, liz_error *err)
{
    liz_jinja *template = calloc(1, sizeof *template);
    if (template == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a template");
    template->arena.size_max = JINJA_ARENA_MAX;
    jinja j = {.arena = &template->arena, .err = err, .line = 1, .n_steps_left = JINJA_STEPS_MAX};
    liz_status status = guarded(&j, compile, &(job){.template = template, .source = source});
    if (status != LIZ_OK)
        liz_jinja_free(template);
    else
        *out = template;
    return status;
}

void liz_jinja_free(liz_jinja *template)
{
    if (template == NULL)
        return;
    liz_arena_free(&template->arena);
    free(template);
}

static void give(jinja *j, const jinja_text *text, liz_buf *out, liz_buf *data)
{
    size_t begin = 0, base = out->len;
    bool marked = false;
    liz_buf_append(out, text->p, text->n);
    for (size_t i = 0; data != NULL && text->mask != NULL && i <= text->n; i++) {
        bool is = i < text->n && text->mask[i];
        if (marked && !is)
            liz_buf_append(data, (char *)(size_t[]){base + begin, base + i}, 2 * sizeof(size_t));
        if (is && !marked)
            begin = i;
        marked = is;
    }
    if (liz_buf_failed(out) || (data != NULL && liz_buf_failed(data)))
        liz_jinja_fail(j, LIZ_E_MEMORY, "no memory for the text of a template");
}

static void render(jinja *j, const job *r)
{
    jinja_text text = {0};
    jinja_scope *given = scope_new(j, NULL);
    for (size_t i = r->n_vars; i-- > 0;) {
        const liz_json *object = r->vars[i].object;
        for (const liz_json *m = object ? object->first_child : NULL; m != NULL; m = m->next)
            liz_jinja_dict_set(j, &given->names, liz_jinja_string((jinja_str){m->key.p, NULL, m->key.n}),
                               liz_jinja_from_json(j, m, r->vars[i].is_data));
    }
    j->out = &text;
    run_body(j, r->body, scope_new(j, given));
    give(j, &text, r->out, r->data);
}

liz_status liz_jinja_render(const liz_jinja *template, const liz_jinja_vars *vars, size_t n_vars, const struct tm *now,
                            uint64_t *n_steps, liz_buf *out, liz_buf *data, liz_error *err)
{
    liz_arena arena = {.size_max = JINJA_ARENA_MAX};
    jinja j = {.arena = &arena, .err = err, .now = now, .n_steps_left = n_steps ? *n_steps : JINJA_STEPS_MAX};
    liz_status status = guarded(&j, render, &(job){NULL, template->body, {0}, vars, n_vars, out, data});
    if (n_steps != NULL)
        *n_steps = j.n_steps_left;
    liz_arena_free(&arena);
    return status;
}

uint64_t liz_jinja_steps_max(void) { return JINJA_STEPS_MAX; }
