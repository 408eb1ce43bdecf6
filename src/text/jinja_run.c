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

/* What a body writes, as a text of its own. */
static jinja_value capture(jinja *j, const jinja_node *body, jinja_scope *scope)
{
    jinja_text text = {0}, *outer = j->out;
    j->out = &text;
    run_body(j, body, scope);
    j->out = outer;
    return liz_jinja_string(liz_jinja_text_str(&text));
}

/* ---- Assigning ---------------------------------------------------------------------------------- */

static void assign(jinja *j, const jinja_node *target, jinja_scope *scope, jinja_value v)
{
    if (target->kind == JINJA_K_NAME) {
        liz_jinja_assign(j, scope, target->value.str, v);
        return;
    }
    if (target->kind == JINJA_K_TUPLE) {
        const jinja_list *items = liz_jinja_items(j, v);
        size_t i = 0, n = 0;
        for (const jinja_node *t = target->a; t != NULL; t = t->next)
            n++;
        if (n != items->n)
            liz_jinja_fail(j, LIZ_E_FORMAT, "%zu values to unpack, and %zu names for them", items->n, n);
        for (const jinja_node *t = target->a; t != NULL; t = t->next)
            assign(j, t, scope, items->v[i++]);
        return;
    }
    jinja_value object = liz_jinja_eval(j, target->a, scope);
    if (target->kind != JINJA_K_ATTR || object.type != JINJA_DICT || !object.dict->is_namespace)
        liz_jinja_fail(j, LIZ_E_FORMAT, "cannot assign attribute on non-namespace object");
    liz_jinja_dict_set(j, object.dict, liz_jinja_string(target->value.str), v);
}

static jinja_value filtered(jinja *j, const jinja_node *filters, jinja_scope *scope, jinja_value subject)
{
    jinja_value outer = j->subject;
    j->subject = subject;
    jinja_value v = liz_jinja_eval(j, filters, scope);
    j->subject = outer;
    return v;
}

static void run_set(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    if (node->op == JINJA_SETS_BLOCK)
        assign(j, node->a, scope, filtered(j, node->b, scope, capture(j, node->c, scope_new(j, scope))));
    else
        assign(j, node->a, scope, liz_jinja_eval(j, node->b, scope));
}

/* ---- Loops -------------------------------------------------------------------------------------- */

/* Whether the loop's condition lets `item` in; its names are assigned in `scope`. */
static bool admits(jinja *j, const jinja_node *node, jinja_scope *scope, jinja_value item)
{
    assign(j, node->a, scope, item);
    return node->e == NULL || liz_jinja_truth(liz_jinja_eval(j, node->e, scope));
}

/* The items that a loop with a condition walks: known beforehand where the body asks about the loop. */
static jinja_list *admitted(jinja *j, const jinja_node *node, jinja_scope *scope, const jinja_list *items)
{
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, items->n);
    jinja_scope *inner = scope_new(j, scope);
    for (size_t i = 0; i < items->n; i++)
        if (admits(j, node, inner, items->v[i]))
            liz_jinja_push(out, items->v[i]);
    return out.list;
}

static flow run_loop(jinja *j, const jinja_node *node, jinja_scope *scope, jinja_value over, int depth)
{
    jinja_loop *loop = liz_jinja_alloc(j, 1, sizeof *loop);
    bool uses_loop = node->op & JINJA_USES_LOOP, any = false;
    *loop = (jinja_loop){.node = node, .scope = scope, .items = liz_jinja_items(j, over), .depth = depth};
    if (uses_loop && node->e != NULL)
        loop->items = admitted(j, node, scope, loop->items);
    jinja_scope *inner = scope_new(j, scope);
    for (loop->i = 0; loop->i < loop->items->n; loop->i++) {
        liz_jinja_forget(inner);
        if (uses_loop)
            assign(j, node->a, inner, loop->items->v[loop->i]);
        else if (!admits(j, node, inner, loop->items->v[loop->i]))
            continue;
        if (uses_loop)
            liz_jinja_assign(j, inner, JINJA_STR("loop"), (jinja_value){JINJA_LOOP, {.loop = loop}});
        any = true;
        if (run_body(j, node->c, inner) == FLOW_BREAK)
            break;
    }
    return any ? FLOW_ON : run_body(j, node->d, scope_new(j, scope));
}

jinja_value liz_jinja_call_loop(jinja *j, const jinja_loop *outer, const jinja_args *args)
{
    if (!(outer->node->op & JINJA_RECURSIVE) || args->n != 1)
        liz_jinja_fail(j, LIZ_E_FORMAT, "The loop must have the 'recursive' marker to be called recursively.");
    jinja_text text = {0}, *out = j->out;
    j->out = &text;
    run_loop(j, outer->node, outer->scope, args->v[0], outer->depth + 1);
    j->out = out;
    return liz_jinja_string(liz_jinja_text_str(&text));
}

/* ---- Macros ------------------------------------------------------------------------------------- */

static jinja_value macro_value(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_callable *macro = liz_jinja_alloc(j, 1, sizeof *macro);
    *macro = (jinja_callable){.macro = node, .scope = scope};
    return (jinja_value){JINJA_CALLABLE, {.callable = macro}};
}

/* The argument by that name, which is then taken out; NULL when there is none. */
static const jinja_value *take_named(const jinja_args *args, bool *taken, jinja_str name)
{
    for (size_t i = args->n_positional; i < args->n; i++)
        if (!taken[i] && liz_str_eq(liz_jinja_plain(args->names[i]), liz_jinja_plain(name))) {
            taken[i] = true;
            return &args->v[i];
        }
    return NULL;
}

/* What no parameter took: varargs, kwargs and caller, where the macro uses them. */
static void assign_rest(jinja *j, const jinja_node *macro, const jinja_args *args, bool *taken, jinja_scope *scope)
{
    jinja_value more = liz_jinja_list(j, JINJA_TUPLE, args->n), named = liz_jinja_dict(j, 4);
    const jinja_value *caller = macro->op & JINJA_USES_CALLER ? take_named(args, taken, JINJA_STR("caller")) : NULL;
    for (size_t i = 0; i < args->n; i++) {
        if (taken[i])
            continue;
        if (i < args->n_positional)
            liz_jinja_push(more, args->v[i]);
        else
            liz_jinja_dict_set(j, named.dict, liz_jinja_string(args->names[i]), args->v[i]);
    }
    jinja_str name = macro->value.str;
    if (more.list->n > 0 && !(macro->op & JINJA_USES_VARARGS))
        liz_jinja_fail(j, LIZ_E_FORMAT, "macro '%.*s' takes not more than %zu argument(s)", (int)name.n, name.p,
                       args->n_positional - more.list->n);
    if (named.dict->n > 0 && !(macro->op & JINJA_USES_KWARGS))
        liz_jinja_fail(j, LIZ_E_FORMAT, "macro '%.*s' takes no keyword argument '%.*s'", (int)name.n, name.p,
                       (int)named.dict->keys[0].str.n, named.dict->keys[0].str.p);
    liz_jinja_assign(j, scope, JINJA_STR("varargs"), more);
    liz_jinja_assign(j, scope, JINJA_STR("kwargs"), named);
    if (caller != NULL)
        liz_jinja_assign(j, scope, JINJA_STR("caller"), *caller);
}

jinja_value liz_jinja_call_macro(jinja *j, const jinja_callable *macro, const jinja_args *args)
{
    const jinja_node *node = macro->macro;
    jinja_scope *scope = scope_new(j, macro->scope);
    bool *taken = liz_jinja_alloc(j, args->n, sizeof *taken);
    size_t i = 0;
    for (const jinja_node *param = node->a; param != NULL; param = param->next, i++) {
        jinja_str name = param->value.str;
        const jinja_value *given = i < args->n_positional ? &args->v[i] : take_named(args, taken, name);
        if (i < args->n_positional)
            taken[i] = true;
        liz_jinja_assign(j, scope, name,
                         given      ? *given
                         : param->a ? liz_jinja_eval(j, param->a, scope)
                                    : liz_jinja_missing(name.p, name.n, NULL));
    }
    assign_rest(j, node, args, taken, scope);
    return capture(j, node->b, scope);
}

static jinja_value run_called(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    const jinja_node *outer_node = j->caller_node;
    const jinja_value *outer = j->caller, caller = macro_value(j, node->b, scope);
    j->caller_node = node->a;
    j->caller = &caller;
    jinja_value v = liz_jinja_eval(j, node->a, scope);
    j->caller_node = outer_node;
    j->caller = outer;
    return v;
}

/* ---- Statements --------------------------------------------------------------------------------- */

static void print(jinja *j, jinja_value v) { liz_jinja_add(j, j->out, liz_jinja_str(j, v)); }

static void run_with(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_scope *inner = scope_new(j, scope);
    for (const jinja_node *set = node->a; set != NULL; set = set->next)
        assign(j, set->a, inner, liz_jinja_eval(j, set->b, scope));
    run_body(j, node->b, inner);
}

static flow run_statement(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    switch (node->kind) {
    case JINJA_K_TEXT: liz_jinja_add(j, j->out, node->value.str); break;
    case JINJA_K_PRINT: print(j, liz_jinja_eval(j, node->a, scope)); break;
    case JINJA_K_FOR: return run_loop(j, node, scope, liz_jinja_eval(j, node->b, scope), 0);
    case JINJA_K_IF: return run_body(j, liz_jinja_truth(liz_jinja_eval(j, node->a, scope)) ? node->b : node->c, scope);
    case JINJA_K_SET: run_set(j, node, scope); break;
    case JINJA_K_MACRO: liz_jinja_assign(j, scope, node->value.str, macro_value(j, node, scope)); break;
    case JINJA_K_CALLED: print(j, run_called(j, node, scope)); break;
    case JINJA_K_FILTERED: print(j, filtered(j, node->a, scope, capture(j, node->b, scope_new(j, scope)))); break;
    case JINJA_K_WITH: run_with(j, node, scope); break;
    case JINJA_K_SCOPED: return run_body(j, node->a, scope_new(j, scope));
    case JINJA_K_BREAK: return FLOW_BREAK;
    case JINJA_K_CONTINUE: return FLOW_CONTINUE;
    default: liz_jinja_fail(j, LIZ_E_FORMAT, "an expression stands where a statement should");
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

/* Runs `step` until it ends or fails. */
static liz_status guarded(jinja *j, void step(jinja *j, void *user), void *user)
{
    if (setjmp(j->fault) == 0)
        step(j, user);
    return j->status;
}

typedef struct compilation {
    liz_jinja *template;
    liz_str source;
} compilation;

static void compile(jinja *j, void *user)
{
    compilation *c = user;
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
    jinja j = {.arena = &template->arena, .err = err, .line = 1};
    liz_status status = guarded(&j, compile, &(compilation){template, source});
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

typedef struct rendering {
    const liz_jinja *template;
    const liz_jinja_vars *vars;
    size_t n_vars;
    liz_buf *out, *data;
} rendering;

static void render(jinja *j, void *user)
{
    const rendering *r = user;
    jinja_text text = {0};
    jinja_scope *given = scope_new(j, NULL);
    for (size_t i = r->n_vars; i-- > 0;) {
        const liz_json *object = r->vars[i].object;
        for (const liz_json *m = object ? object->first_child : NULL; m != NULL; m = m->next)
            liz_jinja_assign(j, given, (jinja_str){m->key.p, NULL, m->key.n},
                             liz_jinja_from_json(j, m, r->vars[i].is_data));
    }
    j->out = &text;
    run_body(j, r->template->body, scope_new(j, given));
    give(j, &text, r->out, r->data);
}

liz_status liz_jinja_render(const liz_jinja *template, const liz_jinja_vars *vars, size_t n_vars, const struct tm *now,
                            liz_buf *out, liz_buf *data, liz_error *err)
{
    liz_arena arena = {.size_max = JINJA_ARENA_MAX};
    jinja j = {.arena = &arena, .err = err, .now = now};
    liz_status status = guarded(&j, render, &(rendering){template, vars, n_vars, out, data});
    liz_arena_free(&arena);
    return status;
}
