/* jinja_eval.c - expressions: names, operators, and calls with Python's rules for arguments. */
#include "text/jinja_impl.h"

static jinja_value eval_name(jinja *j, const jinja_node *node, const jinja_scope *scope)
{
    for (; scope != NULL; scope = scope->parent) {
        const jinja_value *there = liz_jinja_dict_get(j, &scope->names, node->value);
        if (there != NULL)
            return *there;
    }
    jinja_str name = node->value.str;
    liz_jinja_work(j, 4);
    const jinja_function *f = liz_jinja_find(JINJA_GLOBAL, name);
    if (f == NULL && liz_jinja_among(name, "varargs kwargs"))
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "'%.*s' of a macro is not known", LIZ_STR_ARG(name));
    if (f == NULL && liz_jinja_among(name, "joiner cycler lipsum"))
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "the function '%.*s' is not known", LIZ_STR_ARG(name));
    return f ? liz_jinja_callable(j, (jinja_callable){.function = f}) : liz_jinja_missing(node->value.str, NULL);
}

/* ---- Operators ---------------------------------------------------------------------------------- */

static _Noreturn void fail_operands(jinja *j, uint16_t op, jinja_value a, jinja_value b)
{
    char text[3] = {(char)(op > 255 ? op >> 8 : op), (char)(op > 255 ? op : 0), '\0'};
    liz_jinja_defined(j, a);
    liz_jinja_defined(j, b);
    if (op == '+' && a.type == JINJA_STRING)
        liz_jinja_fail(j, LIZ_E_FORMAT, "can only concatenate str (not \"%s\") to str", liz_jinja_type_name(b));
    liz_jinja_fail(j, LIZ_E_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", text, liz_jinja_type_name(a),
                   liz_jinja_type_name(b));
}

static bool is_integer(jinja_value v) { return v.type >= JINJA_BOOL && v.type <= JINJA_BIG; }

static jinja_value repeated(jinja *j, jinja_value v, jinja_value how_often)
{
    size_t n = v.type == JINJA_STRING ? v.str.n : v.list->n;
    int64_t times = how_often.type == JINJA_BIG ? INT64_MAX : liz_jinja_whole(j, how_often);
    times = times < 0 || n == 0 ? 0 : times;
    if (how_often.type == JINJA_BIG || times > JINJA_OUTPUT_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "a text or list is repeated too often");
    jinja_text text = {0};
    jinja_value list = v.type == JINJA_LIST ? liz_jinja_list(j, v.list->kind, n * (size_t)times) : liz_jinja_none();
    for (int64_t i = 0; i < times; i++) {
        liz_jinja_work(j, 1);
        if (v.type == JINJA_STRING)
            liz_jinja_add(j, &text, v.str);
        for (size_t k = 0; v.type == JINJA_LIST && k < n; k++)
            liz_jinja_push(list, v.list->v[k]);
    }
    return v.type == JINJA_LIST ? list : liz_jinja_text(&text);
}

static jinja_value joined(jinja *j, jinja_value a, jinja_value b)
{
    jinja_value out = liz_jinja_list(j, a.list->kind, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n + b.list->n; i++)
        liz_jinja_push(out, i < a.list->n ? a.list->v[i] : b.list->v[i - a.list->n]);
    return out;
}

static bool is_sequence(jinja_value v)
{
    return v.type == JINJA_STRING || (v.type == JINJA_LIST && v.list->kind <= JINJA_TUPLE);
}

jinja_value liz_jinja_binary(jinja *j, uint16_t op, jinja_value a, jinja_value b)
{
    jinja_text text = {0};
    if (op == '~') {
        liz_jinja_add(j, &text, liz_jinja_str(j, a));
        liz_jinja_add(j, &text, liz_jinja_str(j, b));
        return liz_jinja_text(&text);
    }
    if (op == '%' && a.type == JINJA_STRING)
        return liz_jinja_percent(j, a.str, b);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b))
        return liz_jinja_arithmetic(j, op, a, b);
    if (op == '+' && a.type == JINJA_STRING && b.type == JINJA_STRING)
        return liz_jinja_binary(j, '~', a, b);
    if (op == '+' && is_sequence(a) && is_sequence(b) && a.type == b.type && a.list->kind == b.list->kind)
        return joined(j, a, b);
    if (op == '*' && is_sequence(a) && is_integer(b))
        return repeated(j, a, b);
    if (op == '*' && is_sequence(b) && is_integer(a))
        return repeated(j, b, a);
    fail_operands(j, op, a, b);
}

static jinja_value eval_unary(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value v = liz_jinja_eval(j, node->a, scope);
    liz_jinja_defined(j, v);
    if (!liz_jinja_is_number(v))
        liz_jinja_fail(j, LIZ_E_FORMAT, "bad operand type for unary %c: '%s'", node->op, liz_jinja_type_name(v));
    if (v.type == JINJA_FLOAT)
        return liz_jinja_float(node->op == '-' ? -v.real : v.real);
    return v.type == JINJA_BIG && node->op == '-' ? liz_jinja_negative(j, v)
           : v.type == JINJA_BIG                  ? v
                                                  : liz_jinja_arithmetic(j, node->op, liz_jinja_int(0), v);
}

static jinja_value eval_compare(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value left = liz_jinja_eval(j, node->a, scope);
    for (const jinja_node *n = node->b; n != NULL; n = n->next) {
        jinja_value right = liz_jinja_eval(j, n->a, scope);
        if (!liz_jinja_compares(j, n->op, left, right))
            return liz_jinja_bool(false);
        left = right;
    }
    return liz_jinja_bool(true);
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static void add_arg(jinja *j, jinja_args *args, jinja_str name, jinja_value v)
{
    if (args->n % 8 == 0) {
        jinja_args old = *args;
        args->v = liz_jinja_alloc(j, old.n + 8, sizeof *args->v);
        args->names = liz_jinja_alloc(j, old.n + 8, sizeof *args->names);
        for (size_t i = 0; i < old.n; i++) {
            args->v[i] = old.v[i];
            args->names[i] = old.names[i];
        }
    }
    args->n_positional += name.p == NULL;
    args->names[args->n] = name;
    args->v[args->n++] = v;
}

static void add_unpacked(jinja *j, jinja_args *args, uint16_t op, jinja_value v)
{
    if (op != '*' && v.type != JINJA_DICT)
        liz_jinja_fail(j, LIZ_E_FORMAT, "argument after ** must be a mapping, not %s", liz_jinja_type_name(v));
    const jinja_list *items = liz_jinja_items(j, v); /* of a dict: its keys */
    for (size_t i = 0; i < items->n; i++)
        if (op == '*')
            add_arg(j, args, (jinja_str){0}, items->v[i]);
        else
            add_arg(j, args, liz_jinja_str(j, items->v[i]), v.dict->values[i]);
}

static jinja_args eval_args(jinja *j, const jinja_node *written, jinja_scope *scope)
{
    jinja_args args = {0};
    for (int named = 0; named < 2; named++) /* those by position come first */
        for (const jinja_node *a = written; a != NULL; a = a->next) {
            bool has_name = a->value.type == JINJA_STRING;
            if ((has_name || a->op == JINJA_OP('*', '*')) != named)
                continue;
            jinja_value v = liz_jinja_eval(j, a->a, scope);
            if (a->op != 0)
                add_unpacked(j, &args, a->op, v);
            else
                add_arg(j, &args, has_name ? a->value.str : (jinja_str){0}, v);
        }
    return args;
}

void liz_jinja_bind(jinja *j, jinja_str callee, const jinja_str *names, size_t n, const jinja_args *args,
                    jinja_value *out, bool *given)
{
    if (args->n_positional > n)
        liz_jinja_fail(j, LIZ_E_FORMAT, "%.*s() takes not more than %zu argument(s), and there are %zu",
                       LIZ_STR_ARG(callee), n, args->n_positional);
    for (size_t i = 0, at = 0; i < args->n; i++, at = i) {
        jinja_str name = args->names[i];
        for (at = name.p ? 0 : i; name.p != NULL && at < n; at++)
            if (liz_jinja_same(names[at], name))
                break;
        liz_jinja_work(j, name.p ? at / 4 : 0);
        if (at == n)
            liz_jinja_fail(j, LIZ_E_FORMAT, "%.*s() takes no keyword argument '%.*s'", LIZ_STR_ARG(callee),
                           LIZ_STR_ARG(name));
        if (given[at])
            liz_jinja_fail(j, LIZ_E_FORMAT, "%.*s() got multiple values for argument '%.*s'", LIZ_STR_ARG(callee),
                           LIZ_STR_ARG(name));
        out[at] = args->v[i];
        given[at] = true;
    }
}

/* Functions may walk what they are given, some without making anything of it. */
static uint64_t weight(jinja_value v)
{
    return v.type == JINJA_STRING ? v.str.n / 16 : v.type == JINJA_LIST ? v.list->n / 4 : 0;
}

jinja_value liz_jinja_call_function(jinja *j, const jinja_function *f, jinja_value subject, const jinja_args *args)
{
    jinja_value arg[JINJA_PARAMS_MAX] = {subject};
    jinja_str names[JINJA_PARAMS_MAX] = {{0}};
    bool given[JINJA_PARAMS_MAX] = {false}, required[JINJA_PARAMS_MAX] = {false};
    size_t n = 0;
    for (const char *p = f->params; *p != '\0' && *p != '*'; p += strspn(p, " !"), n++) {
        names[n] = (jinja_str){p, NULL, strcspn(p, " !")};
        p += names[n].n;
        required[n] = *p == '!';
    }
    if (*f->params != '*')
        liz_jinja_bind(j, (jinja_str){f->name, NULL, strcspn(f->name, " ")}, names, n, args, arg + 1, given);
    for (size_t i = 0; i < n; i++)
        if (required[i] && !given[i])
            liz_jinja_fail(j, LIZ_E_FORMAT, "%s() missing required argument '%.*s'", f->name, LIZ_STR_ARG(names[i]));
    liz_jinja_work(j, 1 + weight(subject));
    for (size_t i = 0; i < args->n; i++)
        liz_jinja_work(j, weight(args->v[i]));
    return f->fn(j, arg, args, f->how);
}

static jinja_value eval_call(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value callee = liz_jinja_eval(j, node->a, scope);
    jinja_args args = eval_args(j, node->b, scope);
    if (node->c != NULL)
        add_arg(j, &args, JINJA_STR("caller"),
                liz_jinja_callable(j, (jinja_callable){.macro = node->c, .scope = scope}));
    j->line = node->line;
    liz_jinja_defined(j, callee);
    if (callee.type != JINJA_CALLABLE)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object is not callable", liz_jinja_type_name(callee));
    const jinja_callable *c = callee.callable;
    return c->function ? liz_jinja_call_function(j, c->function, c->self, &args) : liz_jinja_call_macro(j, c, &args);
}

static jinja_value eval_applied(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value subject = liz_jinja_eval(j, node->a, scope);
    jinja_args args = eval_args(j, node->b, scope);
    j->line = node->line;
    if (node->function == NULL)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "No %s named '%.*s' found.",
                       node->kind == JINJA_K_FILTER ? "filter" : "test", LIZ_STR_ARG(node->value.str));
    return liz_jinja_call_function(j, node->function, subject, &args);
}

/* ---- All of them -------------------------------------------------------------------------------- */

static jinja_value eval_list(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    size_t n = 0;
    for (const jinja_node *item = node->a; item != NULL; item = item->next)
        n++;
    jinja_value out = liz_jinja_list(j, node->kind == JINJA_K_TUPLE ? JINJA_TUPLE : JINJA_PLAIN, n);
    for (const jinja_node *item = node->a; item != NULL; item = item->next)
        liz_jinja_push(out, liz_jinja_eval(j, item, scope));
    return out;
}

static jinja_value eval_dict(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value out = liz_jinja_dict(j, 4);
    for (const jinja_node *pair = node->a; pair != NULL; pair = pair->next) {
        jinja_value key = liz_jinja_eval(j, pair->a, scope);
        liz_jinja_dict_set(j, out.dict, key, liz_jinja_eval(j, pair->b, scope));
    }
    return out;
}

static jinja_value eval(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    const jinja_node *ends[] = {node->b, node->c, node->d};
    jinja_value v, part[3];
    switch (node->kind) {
    case JINJA_K_CONST: return node->value;
    case JINJA_K_NAME: return eval_name(j, node, scope);
    case JINJA_K_LIST:
    case JINJA_K_TUPLE: return eval_list(j, node, scope);
    case JINJA_K_DICT: return eval_dict(j, node, scope);
    case JINJA_K_CALL: return eval_call(j, node, scope);
    case JINJA_K_FILTER:
    case JINJA_K_TEST: return eval_applied(j, node, scope);
    case JINJA_K_CAPTURE: return liz_jinja_capture(j, node->a, scope);
    case JINJA_K_UNARY: return eval_unary(j, node, scope);
    case JINJA_K_COMPARE: return eval_compare(j, node, scope);
    case JINJA_K_COND:
        if (liz_jinja_truth(liz_jinja_eval(j, node->b, scope)))
            return liz_jinja_eval(j, node->a, scope);
        return node->c ? liz_jinja_eval(j, node->c, scope)
                       : liz_jinja_missing(JINJA_STR("the value of an if without else"), NULL);
    default: break;
    }
    v = liz_jinja_eval(j, node->a, scope);
    switch (node->kind) {
    case JINJA_K_ATTR: return liz_jinja_attr(j, v, node->value.str);
    case JINJA_K_ITEM: return liz_jinja_item(j, v, liz_jinja_eval(j, node->b, scope));
    case JINJA_K_NOT: return liz_jinja_bool(!liz_jinja_truth(v));
    case JINJA_K_BINARY: return liz_jinja_binary(j, node->op, v, liz_jinja_eval(j, node->b, scope));
    case JINJA_K_AND: return liz_jinja_truth(v) ? liz_jinja_eval(j, node->b, scope) : v;
    case JINJA_K_OR: return liz_jinja_truth(v) ? v : liz_jinja_eval(j, node->b, scope);
    default: break;
    }
    for (int i = 0; i < 3; i++) /* JINJA_K_SLICE */
        part[i] = ends[i] ? liz_jinja_eval(j, ends[i], scope) : liz_jinja_none();
    return liz_jinja_slice(j, v, part[0], part[1], part[2]);
}

jinja_value liz_jinja_eval(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    liz_jinja_work(j, 1);
    if (++j->depth > JINJA_DEPTH_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "maximum recursion depth exceeded");
    j->line = node->line;
    jinja_value v = eval(j, node, scope);
    j->depth--;
    return v;
}
