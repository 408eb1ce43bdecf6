/* jinja_eval.c - expressions: names, operators, and calls with Python's rules for arguments. */
#include "text/jinja_impl.h"

#include <math.h>
#include <stdio.h>

/* ---- Names -------------------------------------------------------------------------------------- */

typedef struct jinja_variable {
    jinja_str name;
    jinja_value value;
    bool is_set;
    struct jinja_variable *next;
} jinja_variable;

jinja_value *liz_jinja_lookup(jinja_scope *scope, jinja_str name)
{
    for (; scope != NULL; scope = scope->parent)
        for (jinja_variable *v = scope->first; v != NULL; v = v->next)
            if (v->is_set && liz_str_eq(liz_jinja_plain(v->name), liz_jinja_plain(name)))
                return &v->value;
    return NULL;
}

void liz_jinja_forget(jinja_scope *scope)
{
    for (jinja_variable *v = scope->first; v != NULL; v = v->next)
        v->is_set = false;
}

void liz_jinja_assign(jinja *j, jinja_scope *scope, jinja_str name, jinja_value value)
{
    jinja_variable *v = scope->first;
    while (v != NULL && !liz_str_eq(liz_jinja_plain(v->name), liz_jinja_plain(name)))
        v = v->next;
    if (v == NULL) {
        v = liz_jinja_alloc(j, 1, sizeof *v);
        v->name = name;
        v->next = scope->first;
        scope->first = v;
    }
    v->value = value;
    v->is_set = true;
}

static jinja_value eval_name(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    const jinja_value *there = liz_jinja_lookup(scope, node->value.str);
    if (there != NULL)
        return *there;
    const jinja_function *f = liz_jinja_global(node->value.str);
    if (f == NULL)
        return liz_jinja_missing(node->value.str.p, node->value.str.n, NULL);
    jinja_callable *callable = liz_jinja_alloc(j, 1, sizeof *callable);
    *callable = (jinja_callable){.function = f};
    return (jinja_value){JINJA_CALLABLE, {.callable = callable}};
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

static jinja_value float_binary(jinja *j, uint16_t op, double x, double y)
{
    if (y == 0 && (op == '/' || op == '%' || op == JINJA_OP('/', '/')))
        liz_jinja_fail(j, LIZ_E_FORMAT, "division by zero");
    double rest = op == '%' || op > 255 ? fmod(x, y) : 0;
    if (rest != 0 && (rest < 0) != (y < 0))
        rest += y;
    switch (op) {
    case '+': return liz_jinja_float(x + y);
    case '-': return liz_jinja_float(x - y);
    case '*': return liz_jinja_float(x * y);
    case '/': return liz_jinja_float(x / y);
    case '%': return liz_jinja_float(rest);
    case JINJA_OP('/', '/'): return liz_jinja_float(floor((x - rest) / y + 0.5));
    default: return liz_jinja_float(pow(x, y));
    }
}

static bool int_power(int64_t x, int64_t n, int64_t *out)
{
    bool overflows = false;
    for (*out = 1; n > 0 && !overflows; n >>= 1) {
        if (n & 1)
            overflows = __builtin_mul_overflow(*out, x, out);
        if (n > 1)
            overflows |= __builtin_mul_overflow(x, x, &x);
    }
    return overflows;
}

static jinja_value int_binary(jinja *j, uint16_t op, int64_t x, int64_t y)
{
    int64_t out = 0;
    bool overflows = false, divides = op == '%' || op == JINJA_OP('/', '/');
    if (op == '/' || (op == JINJA_OP('*', '*') && y < 0))
        return float_binary(j, op, (double)x, (double)y);
    if (divides && y == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "integer division or modulo by zero");
    if (divides && y == -1) {
        overflows = op != '%' && __builtin_sub_overflow(0, x, &out);
    } else if (divides) {
        int64_t rest = x % y, carry = rest != 0 && (rest < 0) != (y < 0);
        out = op == '%' ? rest + carry * y : x / y - carry;
    } else if (op == '+') {
        overflows = __builtin_add_overflow(x, y, &out);
    } else if (op == '-') {
        overflows = __builtin_sub_overflow(x, y, &out);
    } else if (op == '*') {
        overflows = __builtin_mul_overflow(x, y, &out);
    } else {
        overflows = int_power(x, y, &out);
    }
    if (overflows)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "an integer grows beyond 64 bits");
    return liz_jinja_int(out);
}

static jinja_value repeated(jinja *j, jinja_value v, int64_t times)
{
    size_t n = v.type == JINJA_STRING ? v.str.n : v.list->n;
    times = times < 0 || n == 0 ? 0 : times;
    if ((uint64_t)times > JINJA_OUTPUT_MAX)
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
    return v.type == JINJA_LIST ? list : liz_jinja_string(liz_jinja_text_str(&text));
}

static jinja_value joined(jinja *j, jinja_value a, jinja_value b)
{
    jinja_value out = liz_jinja_list(j, a.list->kind, a.list->n + b.list->n);
    memcpy(out.list->v, a.list->v, a.list->n * sizeof a);
    memcpy(out.list->v + a.list->n, b.list->v, b.list->n * sizeof b);
    out.list->n = a.list->n + b.list->n;
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
        return liz_jinja_string(liz_jinja_text_str(&text));
    }
    if (op == '%' && a.type == JINJA_STRING)
        return liz_jinja_percent(j, a.str, b);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b)) {
        if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT)
            return float_binary(j, op, liz_jinja_real(j, a), liz_jinja_real(j, b));
        return int_binary(j, op, liz_jinja_whole(j, a), liz_jinja_whole(j, b));
    }
    if (op == '+' && a.type == JINJA_STRING && b.type == JINJA_STRING)
        return liz_jinja_binary(j, '~', a, b);
    if (op == '+' && is_sequence(a) && is_sequence(b) && a.type == b.type && a.list->kind == b.list->kind)
        return joined(j, a, b);
    if (op == '*' && is_sequence(a) && (b.type == JINJA_INT || b.type == JINJA_BOOL))
        return repeated(j, a, liz_jinja_whole(j, b));
    if (op == '*' && is_sequence(b) && (a.type == JINJA_INT || a.type == JINJA_BOOL))
        return repeated(j, b, liz_jinja_whole(j, a));
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
    if (v.type == JINJA_BIG) {
        jinja_text text = {0};
        bool negative = *v.str.p == '-';
        liz_jinja_puts(j, &text, negative == (node->op == '-') ? "" : "-");
        liz_jinja_add(j, &text, liz_jinja_cut(v.str, negative, v.str.n));
        return liz_jinja_number(j, liz_jinja_plain(liz_jinja_text_str(&text)));
    }
    return int_binary(j, node->op, 0, liz_jinja_whole(j, v));
}

static bool compares(jinja *j, uint16_t op, jinja_value a, jinja_value b)
{
    bool is_nan = (a.type == JINJA_FLOAT && isnan(a.real)) || (b.type == JINJA_FLOAT && isnan(b.real));
    switch (op) {
    case JINJA_OP('=', '='): return liz_jinja_equal(j, a, b, 0);
    case JINJA_OP('!', '='): return !liz_jinja_equal(j, a, b, 0);
    case 'i': return liz_jinja_contains(j, b, a);
    case 'n': return !liz_jinja_contains(j, b, a);
    default: break;
    }
    int order = liz_jinja_compare(j, a, b, 0);
    if (is_nan)
        return false;
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == JINJA_OP('<', '=') ? order <= 0 : order >= 0;
}

static jinja_value eval_compare(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value left = liz_jinja_eval(j, node->a, scope);
    for (const jinja_node *n = node->b; n != NULL; n = n->next) {
        jinja_value right = liz_jinja_eval(j, n->a, scope);
        if (!compares(j, n->op, left, right))
            return liz_jinja_bool(false);
        left = right;
    }
    return liz_jinja_bool(true);
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static void args_reserve(jinja *j, jinja_args *args, size_t n_more)
{
    jinja_args bigger = *args;
    bigger.v = liz_jinja_alloc(j, args->n + n_more, sizeof *bigger.v);
    bigger.names = liz_jinja_alloc(j, args->n + n_more, sizeof *bigger.names);
    for (size_t i = 0; i < args->n; i++) {
        bigger.v[i] = args->v[i];
        bigger.names[i] = args->names[i];
    }
    *args = bigger;
}

static void add_arg(jinja *j, jinja_args *args, jinja_str name, jinja_value v)
{
    if (args->n % 8 == 0)
        args_reserve(j, args, 8);
    args->n_positional += name.p == NULL;
    args->names[args->n] = name;
    args->v[args->n++] = v;
}

static void add_unpacked(jinja *j, jinja_args *args, uint16_t op, jinja_value v)
{
    if (op == '*') {
        const jinja_list *items = liz_jinja_items(j, v);
        for (size_t i = 0; i < items->n; i++)
            add_arg(j, args, (jinja_str){0}, items->v[i]);
        return;
    }
    if (v.type != JINJA_DICT)
        liz_jinja_fail(j, LIZ_E_FORMAT, "argument after ** must be a mapping, not %s", liz_jinja_type_name(v));
    for (size_t i = 0; i < v.dict->n; i++)
        add_arg(j, args, liz_jinja_str(j, v.dict->keys[i]), v.dict->values[i]);
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

/* Where the parameter `name` stands among those of `params`; 0 for nowhere, since the subject is first. */
static size_t param_index(const char *params, jinja_str name)
{
    for (size_t i = 1; *params != '\0'; i++) {
        size_t n = strcspn(params, " !");
        if (n == name.n && memcmp(params, name.p, n) == 0)
            return i;
        params += n + strspn(params + n, " !");
    }
    return 0;
}

jinja_value liz_jinja_call_function(jinja *j, const jinja_function *f, jinja_value subject, const jinja_args *args)
{
    jinja_value arg[JINJA_PARAMS_MAX + 1] = {subject};
    size_t n_params = 0;
    bool more = strchr(f->params, '*') != NULL;
    for (const char *p = f->params; *p != '\0' && *p != '*'; p += strspn(p, " !")) {
        p += strcspn(p, " !");
        n_params++;
        arg[n_params] = liz_jinja_missing("argument", 8, NULL);
    }
    if (args->n_positional > n_params && !more)
        liz_jinja_fail(j, LIZ_E_FORMAT, "%s() takes at most %zu arguments (%zu given)", f->name, n_params,
                       args->n_positional);
    for (size_t i = 0; i < args->n; i++) {
        size_t at = args->names[i].p == NULL ? i + 1 : param_index(f->params, args->names[i]);
        if (at == 0 && !more)
            liz_jinja_fail(j, LIZ_E_FORMAT, "%s() got an unexpected keyword argument '%.*s'", f->name,
                           (int)args->names[i].n, args->names[i].p);
        if (at > 0 && at <= n_params)
            arg[at] = args->v[i];
    }
    size_t i = 1;
    for (const char *p = f->params; *p != '\0' && *p != '*'; p += strspn(p, " !"), i++) {
        size_t n = strcspn(p, " !");
        if (p[n] == '!' && i > args->n_positional && arg[i].type == JINJA_UNDEFINED && arg[i].missing.n == 8)
            liz_jinja_fail(j, LIZ_E_FORMAT, "%s() missing required argument '%.*s'", f->name, (int)n, p);
        p += n;
    }
    liz_jinja_work(j, 1);
    return f->fn(j, arg, args);
}

jinja_value liz_jinja_call(jinja *j, jinja_value callee, const jinja_args *args)
{
    liz_jinja_defined(j, callee);
    if (callee.type == JINJA_LOOP)
        return liz_jinja_call_loop(j, callee.loop, args);
    if (callee.type != JINJA_CALLABLE)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object is not callable", liz_jinja_type_name(callee));
    const jinja_callable *c = callee.callable;
    return c->function ? liz_jinja_call_function(j, c->function, c->self, args) : liz_jinja_call_macro(j, c, args);
}

static jinja_value eval_applied(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value subject = liz_jinja_eval(j, node->a, scope);
    jinja_args args = eval_args(j, node->b, scope);
    j->line = node->line;
    if (node->function == NULL)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "No %s named '%.*s' found.",
                       node->kind == JINJA_K_FILTER ? "filter" : "test", (int)node->value.str.n, node->value.str.p);
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
    for (const jinja_node *key = node->a; key != NULL; key = key->next->next) {
        jinja_value k = liz_jinja_eval(j, key, scope);
        liz_jinja_dict_set(j, out.dict, k, liz_jinja_eval(j, key->next, scope));
    }
    return out;
}

static jinja_value eval_item(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value v = liz_jinja_eval(j, node->a, scope), part[3];
    if (node->b->kind != JINJA_K_SLICE)
        return liz_jinja_item(j, v, liz_jinja_eval(j, node->b, scope));
    const jinja_node *ends[3] = {node->b->a, node->b->b, node->b->c};
    for (int i = 0; i < 3; i++)
        part[i] = ends[i] ? liz_jinja_eval(j, ends[i], scope) : liz_jinja_none();
    return liz_jinja_slice(j, v, part[0], part[1], part[2]);
}

static jinja_value eval_call(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value callee = liz_jinja_eval(j, node->a, scope);
    jinja_args args = eval_args(j, node->b, scope);
    if (j->caller != NULL && j->caller_node == node)
        add_arg(j, &args, JINJA_STR("caller"), *j->caller);
    j->line = node->line;
    return liz_jinja_call(j, callee, &args);
}

static jinja_value eval(jinja *j, const jinja_node *node, jinja_scope *scope)
{
    jinja_value v;
    switch (node->kind) {
    case JINJA_K_CONST: return node->value;
    case JINJA_K_NAME: return eval_name(j, node, scope);
    case JINJA_K_SUBJECT: return j->subject;
    case JINJA_K_LIST:
    case JINJA_K_TUPLE: return eval_list(j, node, scope);
    case JINJA_K_DICT: return eval_dict(j, node, scope);
    case JINJA_K_ATTR: return liz_jinja_attr(j, liz_jinja_eval(j, node->a, scope), node->value.str);
    case JINJA_K_ITEM: return eval_item(j, node, scope);
    case JINJA_K_CALL: return eval_call(j, node, scope);
    case JINJA_K_FILTER:
    case JINJA_K_TEST: return eval_applied(j, node, scope);
    case JINJA_K_NOT: return liz_jinja_bool(!liz_jinja_truth(liz_jinja_eval(j, node->a, scope)));
    case JINJA_K_UNARY: return eval_unary(j, node, scope);
    case JINJA_K_BINARY:
        v = liz_jinja_eval(j, node->a, scope);
        return liz_jinja_binary(j, node->op, v, liz_jinja_eval(j, node->b, scope));
    case JINJA_K_COMPARE: return eval_compare(j, node, scope);
    case JINJA_K_AND:
        v = liz_jinja_eval(j, node->a, scope);
        return liz_jinja_truth(v) ? liz_jinja_eval(j, node->b, scope) : v;
    case JINJA_K_OR:
        v = liz_jinja_eval(j, node->a, scope);
        return liz_jinja_truth(v) ? v : liz_jinja_eval(j, node->b, scope);
    case JINJA_K_COND:
        if (liz_jinja_truth(liz_jinja_eval(j, node->b, scope)))
            return liz_jinja_eval(j, node->a, scope);
        return node->c ? liz_jinja_eval(j, node->c, scope)
                       : liz_jinja_missing("the value of an if without else", 31, NULL);
    default: liz_jinja_fail(j, LIZ_E_FORMAT, "a statement stands where an expression should");
    }
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
