/* jinja_parse.c - tokens to a tree: Jinja2's grammar, by recursive descent.
 *
 * Precedence, from loose to tight: a if b else c; or; and; not; comparisons, which chain, and `in`; + -; ~; * / // %;
 * **; unary + -; then what follows an operand: .name [item] (call), and after them |filter and `is test`. A minus binds
 * tighter than a filter: -x|int is (-x)|int.
 *
 * A filter or test that is not known is refused here, with its name; inside an `if` only when it is reached, as in
 * Jinja2, since templates guard such uses. The parser's depth is bounded here, that of long chains when they run. */
#include "text/jinja_impl.h"

typedef struct parser {
    jinja *j;
    const jinja_token *t; /* the present token */
    int depth;
    int n_ifs, n_loops; /* around this place; of loops, within the macro */
    int n_loops_all;
    bool uses_loop;            /* `loop` was met since this was cleared */
    bool uses_caller;          /* and `caller` */
    const jinja_node *unknown; /* a filter or test that is not known, in what is always evaluated */
} parser;

typedef jinja_node *parse_fn(parser *p);

/* ---- Tokens and nodes --------------------------------------------------------------------------- */

static _Noreturn void unexpected(parser *p, const char *wants)
{
    static const char *const names[] = {"the end of the template", "text", "{{",
                                        "the end of the tag",      "{%",   "the end of the tag"};
    const jinja_token *t = p->t;
    jinja_str there = t->type < JINJA_T_NAME ? liz_jinja_literal(names[t->type]) : t->value.str;
    if (t->type == JINJA_T_NUMBER)
        there = JINJA_STR("a number");
    liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected %s, and there is '%.*s'", wants, (int)(there.n < 40 ? there.n : 40),
                   there.p);
}

static void next(parser *p)
{
    p->t++;
    p->j->line = p->t->line;
}

/* Whether the present token is that word or sign. */
static bool is(const parser *p, const char *text)
{
    return (p->t->type == JINJA_T_NAME || p->t->type == JINJA_T_OP) && liz_jinja_is(p->t->value.str, text);
}

static bool take(parser *p, const char *text)
{
    bool there = is(p, text);
    if (there)
        next(p);
    return there;
}

static void want(parser *p, const char *text)
{
    if (!take(p, text))
        unexpected(p, text);
}

/* The sign at hand if it is among `signs` [n], which is taken; 0 for none. */
static uint16_t take_among(parser *p, const char *const *signs, size_t n)
{
    for (size_t i = 0; i < n && signs[i] != NULL; i++)
        if (take(p, signs[i]))
            return signs[i][1] ? JINJA_OP(signs[i][0], signs[i][1]) : (uint8_t)*signs[i];
    return 0;
}

static jinja_value want_name(parser *p)
{
    if (p->t->type != JINJA_T_NAME)
        unexpected(p, "a name");
    next(p);
    return p->t[-1].value;
}

static jinja_node *node_new(parser *p, jinja_kind kind, jinja_node *a, jinja_node *b)
{
    jinja_node *node = liz_jinja_alloc(p->j, 1, sizeof *node);
    *node = (jinja_node){.kind = kind, .line = p->j->line, .a = a, .b = b};
    return node;
}

static jinja_node *node_op(parser *p, jinja_kind kind, uint16_t op, jinja_node *a, jinja_node *b)
{
    jinja_node *node = node_new(p, kind, a, b);
    node->op = op;
    return node;
}

static jinja_node *node_value(parser *p, jinja_kind kind, jinja_value value)
{
    jinja_node *node = node_new(p, kind, NULL, NULL);
    node->value = value;
    return node;
}

static void enter(parser *p)
{
    if (++p->depth > JINJA_NESTING_MAX)
        liz_jinja_fail(p->j, LIZ_E_LIMIT, "more than %d expressions or blocks within each other", JINJA_NESTING_MAX);
}

/* What `parse` reads, with commas between, up to the bracket `close`, which is taken. */
static jinja_node *parse_list(parser *p, parse_fn *parse, const char *close)
{
    jinja_node *first = NULL, **last = &first;
    for (; !is(p, close); last = &(*last)->next) {
        *last = parse(p);
        if (!take(p, ","))
            break;
    }
    want(p, close);
    return first;
}

/* ---- Expressions -------------------------------------------------------------------------------- */

static jinja_node *parse_expression(parser *p);
static jinja_node *parse_or(parser *p);
static jinja_node *parse_unary(parser *p, bool with_filters);
static jinja_node *parse_postfix(parser *p, jinja_node *node);

static jinja_node *parse_const(parser *p, jinja_value value)
{
    jinja_node *node = node_value(p, JINJA_K_CONST, value);
    next(p);
    return node;
}

static jinja_node *parse_name(parser *p)
{
    if (is(p, "true") || is(p, "True") || is(p, "false") || is(p, "False"))
        return parse_const(p, liz_jinja_bool((*p->t->value.str.p | 0x20) == 't'));
    if (is(p, "none") || is(p, "None"))
        return parse_const(p, liz_jinja_none());
    p->uses_loop |= is(p, "loop");
    p->uses_caller |= is(p, "caller");
    jinja_node *node = node_new(p, JINJA_K_NAME, NULL, NULL);
    node->value = want_name(p);
    return node;
}

static jinja_node *parse_strings(parser *p)
{
    jinja_text text = {0};
    for (; p->t->type == JINJA_T_STRING; next(p))
        liz_jinja_add(p->j, &text, p->t->value.str);
    return node_value(p, JINJA_K_CONST, liz_jinja_text(&text));
}

/* "a" or "a, b": one expression, or a tuple where a comma says so. An empty one stands between parentheses only. */
static jinja_node *parse_tuple(parser *p, parse_fn *parse, bool in_parentheses)
{
    jinja_node *first = NULL, **last = &first;
    bool is_tuple = false;
    do {
        if (p->t->type == JINJA_T_PRINT_END || p->t->type == JINJA_T_BLOCK_END || is(p, ")") || is(p, "in"))
            break;
        *last = parse(p);
        last = &(*last)->next;
        is_tuple = is_tuple || is(p, ",");
    } while (take(p, ","));
    if (!is_tuple && first != NULL)
        return first;
    if (!is_tuple && !in_parentheses)
        unexpected(p, "an expression");
    return node_new(p, JINJA_K_TUPLE, first, NULL);
}

static jinja_node *parse_pair(parser *p)
{
    jinja_node *key = parse_expression(p);
    want(p, ":");
    return node_new(p, JINJA_K_PAIR, key, parse_expression(p));
}

static jinja_node *parse_primary(parser *p)
{
    switch (p->t->type) {
    case JINJA_T_NAME: return parse_name(p);
    case JINJA_T_STRING: return parse_strings(p);
    case JINJA_T_NUMBER: return parse_const(p, p->t->value);
    default: break;
    }
    if (take(p, "["))
        return node_new(p, JINJA_K_LIST, parse_list(p, parse_expression, "]"), NULL);
    if (take(p, "{"))
        return node_new(p, JINJA_K_DICT, parse_list(p, parse_pair, "}"), NULL);
    if (!take(p, "("))
        unexpected(p, "an expression");
    jinja_node *node = parse_tuple(p, parse_expression, true);
    want(p, ")");
    return node;
}

static jinja_node *parse_arg(parser *p)
{
    jinja_node *arg = node_new(p, JINJA_K_ARG, NULL, NULL);
    arg->op = take_among(p, (const char *const[]){"*", "**"}, 2);
    if (arg->op == 0 && p->t->type == JINJA_T_NAME && p->t[1].type == JINJA_T_OP &&
        liz_jinja_is(p->t[1].value.str, "=")) {
        arg->value = want_name(p);
        next(p);
    }
    arg->a = parse_expression(p);
    return arg;
}

/* The order that Jinja2 wants: one by position after none by name and no `*`, nothing after `**`; and a name once. */
static void check_args(parser *p, const jinja_node *args)
{
    bool named = false, starred = false, doubled = false;
    for (const jinja_node *a = args; a != NULL; a = a->next) {
        bool has_name = a->value.type == JINJA_STRING, by_position = !has_name && a->op == 0;
        if ((by_position && (named || starred)) || (a->op == '*' && starred) || doubled)
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "invalid syntax for function call expression");
        named |= has_name;
        starred |= a->op == '*';
        doubled |= a->op == JINJA_OP('*', '*');
        for (const jinja_node *b = args; has_name && b != a; b = b->next, liz_jinja_work(p->j, 1))
            if (b->value.type == JINJA_STRING && liz_jinja_same(a->value.str, b->value.str))
                liz_jinja_fail(p->j, LIZ_E_FORMAT, "keyword argument repeated: %.*s", LIZ_STR_ARG(a->value.str));
    }
}

/* Arguments, if there are any. */
static jinja_node *parse_args(parser *p)
{
    jinja_node *args = take(p, "(") ? parse_list(p, parse_arg, ")") : NULL;
    check_args(p, args);
    return args;
}

/* What stands between brackets: an item or a slice. */
static jinja_node *parse_subscript(parser *p, jinja_node *node)
{
    jinja_node *part[3] = {NULL, NULL, NULL};
    int n_colons = 0;
    for (;; n_colons++) {
        if (!is(p, ":") && !is(p, "]"))
            part[n_colons] = n_colons == 0 ? parse_tuple(p, parse_expression, false) : parse_expression(p);
        if (n_colons == 2 || !take(p, ":"))
            break;
    }
    want(p, "]");
    if (n_colons == 0 && part[0] == NULL)
        unexpected(p, "an index between the brackets before");
    node = node_new(p, n_colons ? JINJA_K_SLICE : JINJA_K_ITEM, node, part[0]);
    node->c = part[1];
    node->d = part[2];
    return node;
}

static jinja_node *parse_attribute(parser *p, jinja_node *node)
{
    if (p->t->type == JINJA_T_NUMBER)
        return node_new(p, JINJA_K_ITEM, node, parse_const(p, p->t->value));
    jinja_node *attr = node_value(p, JINJA_K_ATTR, want_name(p));
    attr->a = node;
    return attr;
}

static jinja_node *parse_postfix(parser *p, jinja_node *node)
{
    for (;;) {
        if (take(p, "."))
            node = parse_attribute(p, node);
        else if (take(p, "["))
            node = parse_subscript(p, node);
        else if (is(p, "("))
            node = node_new(p, JINJA_K_CALL, node, parse_args(p));
        else
            return node;
    }
}

/* A filter or test on `node`, its arguments still to come. */
static jinja_node *apply(parser *p, jinja_kind kind, jinja_node *node)
{
    jinja_node *applied = node_value(p, kind, want_name(p));
    applied->a = node;
    applied->function = liz_jinja_find(kind == JINJA_K_FILTER ? JINJA_FILTER : JINJA_TEST, applied->value.str);
    if (applied->function == NULL && p->n_ifs == 0 && p->unknown == NULL)
        p->unknown = applied;
    return applied;
}

/* Filters behind their bars. */
static jinja_node *parse_filters(parser *p, jinja_node *node)
{
    while (take(p, "|")) {
        node = apply(p, JINJA_K_FILTER, node);
        node->b = parse_args(p);
    }
    return node;
}

static jinja_node *parse_test(parser *p, jinja_node *node)
{
    bool negated = take(p, "not");
    node = apply(p, JINJA_K_TEST, node);
    jinja_token_type type = p->t->type;
    bool operand = type == JINJA_T_NAME || type == JINJA_T_STRING || type == JINJA_T_NUMBER || is(p, "[") || is(p, "{");
    if (is(p, "(")) {
        node->b = parse_args(p);
    } else if (operand && !is(p, "else") && !is(p, "or") && !is(p, "and")) {
        if (is(p, "is"))
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "You cannot chain multiple tests with is");
        node->b = node_new(p, JINJA_K_ARG, parse_postfix(p, parse_primary(p)), NULL);
    }
    return negated ? node_new(p, JINJA_K_NOT, node, NULL) : node;
}

static jinja_node *parse_unary(parser *p, bool with_filters)
{
    enter(p);
    uint16_t sign = take_among(p, (const char *const[]){"-", "+"}, 2);
    jinja_node *node = sign ? node_op(p, JINJA_K_UNARY, sign, parse_unary(p, false), NULL) : parse_primary(p);
    node = parse_postfix(p, node);
    p->depth--;
    while (with_filters) {
        if (is(p, "|"))
            node = parse_filters(p, node);
        else if (take(p, "is"))
            node = parse_test(p, node);
        else if (is(p, "("))
            node = node_new(p, JINJA_K_CALL, node, parse_args(p));
        else
            break;
    }
    return node;
}

/* Operators of two operands, tightest first. They all associate to the left, ** included; comparisons chain. */
static const struct {
    jinja_kind kind;
    const char *signs[6];
} levels[] = {{JINJA_K_BINARY, {"**"}},
              {JINJA_K_BINARY, {"*", "/", "//", "%"}},
              {JINJA_K_BINARY, {"~"}},
              {JINJA_K_BINARY, {"+", "-"}},
              {JINJA_K_COMPARE, {"==", "!=", "<", ">", "<=", ">="}},
              {JINJA_K_AND, {"and"}},
              {JINJA_K_OR, {"or"}}};
enum { COMPARISONS = 4, LOOSEST = 6 };

/* The operator of that level at hand, which is taken; 0 for none. `in` and `not in` are written 'i' and 'n'. */
static uint16_t take_operator(parser *p, int level)
{
    bool negated =
        level == COMPARISONS && is(p, "not") && p->t[1].type == JINJA_T_NAME && liz_jinja_is(p->t[1].value.str, "in");
    if (negated)
        next(p);
    if (level == COMPARISONS && take(p, "in"))
        return negated ? 'n' : 'i';
    return take_among(p, levels[level].signs, 6);
}

static jinja_node *parse_binary(parser *p, int level)
{
    if (level < 0)
        return parse_unary(p, true);
    if (level == COMPARISONS && take(p, "not")) {
        enter(p);
        jinja_node *node = node_new(p, JINJA_K_NOT, parse_binary(p, level), NULL);
        p->depth--;
        return node;
    }
    jinja_node *left = parse_binary(p, level - 1), **last = NULL;
    for (uint16_t op; (op = take_operator(p, level)) != 0;) {
        jinja_node *right = parse_binary(p, level - 1);
        if (level != COMPARISONS) {
            left = node_op(p, levels[level].kind, op, left, right);
            continue;
        }
        right = node_op(p, JINJA_K_ARG, op, right, NULL);
        left = last ? left : node_op(p, JINJA_K_COMPARE, 0, left, right);
        if (last != NULL)
            *last = right;
        last = &right->next;
    }
    return left;
}
static jinja_node *parse_or(parser *p) { return parse_binary(p, LOOSEST); }

static jinja_node *parse_expression(parser *p)
{
    const jinja_node *unknown = p->unknown;
    enter(p);
    jinja_node *node = parse_or(p);
    while (take(p, "if")) {
        node = node_new(p, JINJA_K_COND, node, parse_or(p));
        node->c = take(p, "else") ? parse_expression(p) : NULL;
        p->unknown = unknown; /* it may never be reached */
    }
    p->depth--;
    return node;
}

/* ---- Statements --------------------------------------------------------------------------------- */

static jinja_node *parse_body(parser *p, const char *const *ends);

static void end_tag(parser *p, jinja_token_type end)
{
    if (p->t->type != end)
        unexpected(p, "the end of the tag");
    next(p);
    if (p->unknown == NULL)
        return;
    p->j->line = p->unknown->line;
    liz_jinja_fail(p->j, LIZ_E_UNSUPPORTED, "No %s named '%.*s'",
                   p->unknown->kind == JINJA_K_FILTER ? "filter" : "test", LIZ_STR_ARG(p->unknown->value.str));
}

static void end_block(parser *p) { end_tag(p, JINJA_T_BLOCK_END); }

/* The rest of a tag, the body, and {% END %}. */
static jinja_node *parse_block(parser *p, const char *end)
{
    end_block(p);
    jinja_node *body = parse_body(p, (const char *const[]){end, NULL});
    next(p);
    end_block(p);
    return body;
}

/* {% else %} and its body, or nothing, up to {% END %}. */
static jinja_node *parse_else(parser *p, const char *end)
{
    if (take(p, "else"))
        return parse_block(p, end);
    next(p);
    end_block(p);
    return NULL;
}

/* A name that can be assigned to: no constant. */
static jinja_value want_target(parser *p)
{
    if (p->t->type == JINJA_T_NAME && liz_jinja_among(p->t->value.str, "true false none True False None"))
        unexpected(p, "a name to assign to");
    return want_name(p);
}

/* A name, a.b of a namespace, or a tuple of names. `loop` is the loop's own in and around its body. */
static jinja_node *parse_target(parser *p)
{
    if (take(p, "(")) {
        jinja_node *tuple = parse_tuple(p, parse_target, true);
        want(p, ")");
        return tuple;
    }
    jinja_node *node = node_value(p, JINJA_K_NAME, want_target(p));
    if (take(p, "."))
        return parse_attribute(p, node);
    if (p->n_loops_all > 0 && liz_jinja_is(node->value.str, "loop"))
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "Can't assign to special loop variable in for-loop");
    return node;
}

static jinja_node *parse_for(parser *p)
{
    p->n_loops_all++;
    jinja_node *node = node_new(p, JINJA_K_FOR, parse_tuple(p, parse_target, false), NULL);
    want(p, "in");
    node->b = parse_tuple(p, parse_or, false);
    node->e = take(p, "if") ? parse_expression(p) : NULL;
    if (is(p, "recursive"))
        liz_jinja_fail(p->j, LIZ_E_UNSUPPORTED, "a loop that is 'recursive' is not known: write a macro");
    end_block(p);
    bool outer = p->uses_loop;
    p->uses_loop = false;
    p->n_loops++;
    node->c = parse_body(p, (const char *const[]){"else", "endfor", NULL});
    p->n_loops--;
    node->op = p->uses_loop;
    p->uses_loop = outer;
    node->d = parse_else(p, "endfor");
    p->n_loops_all--;
    return node;
}

/* From behind `if` or `elif`. */
static jinja_node *parse_if(parser *p)
{
    enter(p);
    p->n_ifs++;
    jinja_node *node = node_new(p, JINJA_K_IF, parse_tuple(p, parse_or, false), NULL);
    end_block(p);
    node->b = parse_body(p, (const char *const[]){"elif", "else", "endif", NULL});
    node->c = take(p, "elif") ? parse_if(p) : parse_else(p, "endif");
    p->n_ifs--;
    p->depth--;
    return node;
}

/* What a block writes, through the filters behind its tag's name. */
static jinja_node *parse_captured(parser *p, const char *end)
{
    jinja_node *text = node_new(p, JINJA_K_CAPTURE, NULL, NULL), *filtered = parse_filters(p, text);
    text->a = parse_block(p, end);
    return filtered;
}

static jinja_node *parse_set(parser *p)
{
    jinja_node *node = node_new(p, JINJA_K_SET, parse_tuple(p, parse_target, false), NULL);
    if (!take(p, "=")) {
        node->b = parse_captured(p, "endset");
        return node;
    }
    node->b = parse_tuple(p, parse_expression, false);
    end_block(p);
    return node;
}

static jinja_node *parse_param(parser *p)
{
    jinja_node *param = node_value(p, JINJA_K_ARG, want_target(p));
    param->a = take(p, "=") ? parse_expression(p) : NULL;
    return param;
}

static jinja_node *parse_params(parser *p)
{
    jinja_node *params = take(p, "(") ? parse_list(p, parse_param, ")") : NULL;
    for (const jinja_node *param = params; param != NULL && param->next != NULL; param = param->next)
        if (param->a != NULL && param->next->a == NULL)
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "non-default argument follows default argument");
    return params;
}

/* A macro from behind its parameters on; loops around it are not its own. A macro around one that asks for its caller
 * asks for it too. */
static jinja_node *parse_macro_of(parser *p, jinja_value name, jinja_node *params, const char *end)
{
    jinja_node *node = node_value(p, JINJA_K_MACRO, name);
    int n_loops = p->n_loops;
    bool outer = p->uses_caller;
    p->n_loops = 0;
    p->uses_caller = false;
    node->a = params;
    node->b = parse_block(p, end);
    node->op = p->uses_caller;
    p->uses_caller |= outer;
    p->n_loops = n_loops;
    for (const jinja_node *param = params; param != NULL && node->op; param = param->next)
        if (param->a == NULL && liz_jinja_is(param->value.str, "caller"))
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "the parameter 'caller' of a macro must have a default or be left out");
    return node;
}

static jinja_node *parse_macro(parser *p)
{
    jinja_value name = want_target(p);
    return parse_macro_of(p, name, parse_params(p), "endmacro");
}

/* {% call(x) m(1) %}: the call is read first, and its caller's parameters and body are those of a macro. */
static jinja_node *parse_called(parser *p)
{
    jinja_node *params = parse_params(p), *call = parse_expression(p);
    if (call->kind != JINJA_K_CALL)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected call");
    call->c = parse_macro_of(p, liz_jinja_string(JINJA_STR("caller")), params, "endcall");
    return node_new(p, JINJA_K_PRINT, call, NULL);
}

/* {{ a, b }} prints a tuple. */
static jinja_node *parse_print(parser *p)
{
    jinja_node *node = node_new(p, JINJA_K_PRINT, parse_tuple(p, parse_expression, false), NULL);
    end_tag(p, JINJA_T_PRINT_END);
    return node;
}

/* {% print a, b %} prints one after the other. */
static jinja_node *parse_prints(parser *p)
{
    jinja_node *first = NULL, **last = &first;
    for (; p->t->type != JINJA_T_BLOCK_END; last = &(*last)->next) {
        if (first != NULL)
            want(p, ",");
        *last = node_new(p, JINJA_K_PRINT, NULL, NULL);
        (*last)->a = parse_expression(p);
    }
    end_block(p);
    return first ? first : node_value(p, JINJA_K_TEXT, liz_jinja_string(JINJA_STR("")));
}

static jinja_node *parse_generation(parser *p)
{
    return node_new(p, JINJA_K_SCOPED, parse_block(p, "endgeneration"), NULL);
}

static jinja_node *parse_jump(parser *p)
{
    bool breaks = liz_jinja_is(p->t[-1].value.str, "break");
    if (p->n_loops == 0)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "%s stands outside a loop", breaks ? "break" : "continue");
    jinja_node *node = node_new(p, breaks ? JINJA_K_BREAK : JINJA_K_CONTINUE, NULL, NULL);
    end_block(p);
    return node;
}

/* The statement whose name is the present token, or several that it stands for. */
static jinja_node *parse_statement(parser *p)
{
    static const struct {
        const char *name;
        parse_fn *parse;
    } statements[] = {{"for", parse_for},       {"if", parse_if},       {"set", parse_set},
                      {"macro", parse_macro},   {"call", parse_called}, {"generation", parse_generation},
                      {"continue", parse_jump}, {"break", parse_jump},  {"print", parse_prints}};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (take(p, statements[i].name))
            return statements[i].parse(p);
    jinja_str name = want_name(p).str;
    liz_jinja_fail(p->j, LIZ_E_UNSUPPORTED, "Encountered unknown tag '%.*s'", LIZ_STR_ARG(name));
}

static bool at_end(const parser *p, const char *const *ends)
{
    for (; *ends != NULL; ends++)
        if (is(p, *ends))
            return true;
    return false;
}

/* Statements up to a tag of one of `ends`, whose name is then the present token; none: up to the template's end. */
static jinja_node *parse_body(parser *p, const char *const *ends)
{
    jinja_node *first = NULL, **last = &first;
    for (enter(p);;) {
        jinja_token_type type = p->t->type;
        if (type == JINJA_T_END && *ends != NULL)
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "the template ends, and {%% %s %%} is missing", *ends);
        if (type == JINJA_T_END)
            break;
        next(p);
        if (type == JINJA_T_BLOCK_BEGIN && at_end(p, ends))
            break;
        *last = type == JINJA_T_TEXT          ? node_value(p, JINJA_K_TEXT, p->t[-1].value)
                : type == JINJA_T_BLOCK_BEGIN ? parse_statement(p)
                                              : parse_print(p);
        while (*last != NULL)
            last = &(*last)->next;
    }
    p->depth--;
    return first;
}

jinja_node *liz_jinja_parse(jinja *j, const jinja_token *tokens)
{
    parser p = {.j = j, .t = tokens};
    j->line = tokens->line;
    return parse_body(&p, (const char *const[]){NULL});
}
