/* jinja_parse.c - tokens to a tree: Jinja2's grammar, by recursive descent.
 *
 * Precedence, from loose to tight: a if b else c; or; and; not; comparisons, which chain, and `in`; + -; ~; * / // %;
 * **; unary + -; then what follows an operand: .name [item] (call), and after them |filter and `is test`. A minus binds
 * tighter than a filter: -x|abs is (-x)|abs.
 *
 * A filter or test that is not known is refused here, with its name; inside an `if` only when it is reached, as in
 * Jinja2, since templates guard such uses. Depth is bounded by counting it in the nodes. */
#include "text/jinja_impl.h"

typedef struct parser {
    jinja *j;
    const jinja_token *t; /* the present token */
    int depth;
    int n_ifs, n_loops;        /* around this place */
    unsigned uses;             /* JINJA_USES_* names met since this was cleared */
    const jinja_node *unknown; /* a filter or test that is not known, in what is always evaluated */
} parser;

/* ---- Tokens and nodes --------------------------------------------------------------------------- */

static _Noreturn void unexpected(parser *p, const char *wants)
{
    static const char *const names[] = {"the end of the template", "text", "{{",
                                        "the end of the tag",      "{%",   "the end of the tag"};
    const jinja_token *t = p->t;
    if (t->type == JINJA_T_NAME || t->type == JINJA_T_STRING)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected %s, and there is '%.*s'", wants,
                       (int)(t->value.str.n < 40 ? t->value.str.n : 40), t->value.str.p);
    if (t->type == JINJA_T_OP)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected %s, and there is '%.*s'", wants, t->op > 255 ? 2 : 1,
                       t->op > 255 ? (char[]){(char)(t->op >> 8), (char)t->op} : (char[]){(char)t->op});
    liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected %s, and there is %s", wants,
                   t->type == JINJA_T_CONST ? "a number" : names[t->type]);
}

static void next(parser *p)
{
    p->t++;
    p->j->line = p->t->line;
}

static bool is_op(const parser *p, uint16_t op) { return p->t->type == JINJA_T_OP && p->t->op == op; }
static bool is_word(const parser *p, const char *word)
{
    return p->t->type == JINJA_T_NAME && liz_str_is(liz_jinja_plain(p->t->value.str), word);
}

static bool take_op(parser *p, uint16_t op)
{
    bool is = is_op(p, op);
    if (is)
        next(p);
    return is;
}

static bool take_word(parser *p, const char *word)
{
    bool is = is_word(p, word);
    if (is)
        next(p);
    return is;
}

static void want_op(parser *p, uint16_t op, const char *wants)
{
    if (!take_op(p, op))
        unexpected(p, wants);
}

static jinja_value want_name(parser *p)
{
    if (p->t->type != JINJA_T_NAME)
        unexpected(p, "a name");
    jinja_value name = p->t->value;
    next(p);
    return name;
}

/* Settles a node's depth once its parts are there. */
static jinja_node *deepen(parser *p, jinja_node *node)
{
    const jinja_node *parts[] = {node->a, node->b, node->c, node->d, node->e};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i] != NULL && parts[i]->depth >= node->depth)
            node->depth = (uint16_t)(parts[i]->depth + 1);
    if (node->depth > JINJA_LEVELS_MAX)
        liz_jinja_fail(p->j, LIZ_E_LIMIT, "an expression or block has more than %d levels", JINJA_LEVELS_MAX);
    return node;
}

static jinja_node *node_new(parser *p, jinja_kind kind, jinja_node *a, jinja_node *b, jinja_node *c)
{
    jinja_node *node = liz_jinja_alloc(p->j, 1, sizeof *node);
    *node = (jinja_node){.kind = kind, .line = p->j->line, .depth = 1, .a = a, .b = b, .c = c};
    return deepen(p, node);
}

/* A list of nodes that counts as deep as its deepest. */
typedef struct list {
    jinja_node *first, **last;
} list;

static void list_add(list *l, jinja_node *node)
{
    if (l->first == NULL)
        l->last = &l->first;
    *l->last = node;
    l->last = &node->next;
    if (node->depth > l->first->depth)
        l->first->depth = node->depth;
}

static void enter(parser *p)
{
    if (++p->depth > JINJA_NESTING_MAX)
        liz_jinja_fail(p->j, LIZ_E_LIMIT, "more than %d expressions or blocks within each other", JINJA_NESTING_MAX);
}

/* ---- Expressions -------------------------------------------------------------------------------- */

static jinja_node *parse_expression(parser *p);
static jinja_node *parse_or(parser *p);
static jinja_node *parse_unary(parser *p, bool with_filters);
static jinja_node *parse_postfix(parser *p, jinja_node *node);

static jinja_node *parse_const(parser *p, jinja_value value)
{
    jinja_node *node = node_new(p, JINJA_K_CONST, NULL, NULL, NULL);
    node->value = value;
    next(p);
    return node;
}

static jinja_node *parse_name(parser *p)
{
    if (is_word(p, "true") || is_word(p, "True") || is_word(p, "false") || is_word(p, "False"))
        return parse_const(p, liz_jinja_bool((*p->t->value.str.p | 0x20) == 't'));
    if (is_word(p, "none") || is_word(p, "None"))
        return parse_const(p, liz_jinja_none());
    p->uses |= is_word(p, "loop")      ? JINJA_USES_LOOP
               : is_word(p, "varargs") ? JINJA_USES_VARARGS
               : is_word(p, "kwargs")  ? JINJA_USES_KWARGS
               : is_word(p, "caller")  ? JINJA_USES_CALLER
                                       : 0u;
    jinja_node *node = node_new(p, JINJA_K_NAME, NULL, NULL, NULL);
    node->value = want_name(p);
    return node;
}

static jinja_node *parse_strings(parser *p)
{
    jinja_text text = {0};
    for (; p->t->type == JINJA_T_STRING; next(p))
        liz_jinja_add(p->j, &text, p->t->value.str);
    jinja_node *node = node_new(p, JINJA_K_CONST, NULL, NULL, NULL);
    node->value = liz_jinja_string(liz_jinja_text_str(&text));
    return node;
}

/* Expressions with commas between them up to the bracket `close`; pairs with colons where `pairs`. */
static jinja_node *parse_items(parser *p, jinja_kind kind, uint16_t close, bool pairs)
{
    list items = {0};
    next(p);
    while (!is_op(p, close)) {
        list_add(&items, parse_expression(p));
        if (pairs) {
            want_op(p, ':', "':'");
            list_add(&items, parse_expression(p));
        }
        if (!take_op(p, ','))
            break;
    }
    want_op(p, close, "',' or a closing bracket");
    return node_new(p, kind, items.first, NULL, NULL);
}

/* "a" or "a, b": one expression, or a tuple where a comma says so. An empty one stands between parentheses only. */
static jinja_node *parse_tuple(parser *p, jinja_node *parse(parser *), bool in_parentheses)
{
    list items = {0};
    bool is_tuple = false;
    do {
        bool over = p->t->type == JINJA_T_PRINT_END || p->t->type == JINJA_T_BLOCK_END || is_op(p, ')') ||
                    is_word(p, "in") || is_word(p, "recursive");
        if (over)
            break;
        list_add(&items, parse(p));
        is_tuple = is_tuple || is_op(p, ',');
    } while (take_op(p, ','));
    if (!is_tuple && items.first != NULL)
        return items.first;
    if (!is_tuple && !in_parentheses)
        unexpected(p, "an expression");
    return node_new(p, JINJA_K_TUPLE, items.first, NULL, NULL);
}

static jinja_node *parse_primary(parser *p)
{
    switch (p->t->type) {
    case JINJA_T_NAME: return parse_name(p);
    case JINJA_T_STRING: return parse_strings(p);
    case JINJA_T_CONST: return parse_const(p, p->t->value);
    default: break;
    }
    if (is_op(p, '['))
        return parse_items(p, JINJA_K_LIST, ']', false);
    if (is_op(p, '{'))
        return parse_items(p, JINJA_K_DICT, '}', true);
    if (!take_op(p, '('))
        unexpected(p, "an expression");
    jinja_node *node = parse_tuple(p, parse_expression, true);
    want_op(p, ')', "')'");
    return node;
}

/* Arguments up to ")"; "(" is the present token. */
static jinja_node *parse_args(parser *p)
{
    list args = {0};
    bool seen_named = false;
    next(p);
    while (!is_op(p, ')')) {
        jinja_node *arg = node_new(p, JINJA_K_ARG, NULL, NULL, NULL);
        uint16_t star = is_op(p, '*') ? '*' : is_op(p, JINJA_OP('*', '*')) ? JINJA_OP('*', '*') : 0;
        if (star != 0) {
            arg->op = star;
            next(p);
        } else if (p->t->type == JINJA_T_NAME && p->t[1].type == JINJA_T_OP && p->t[1].op == '=') {
            arg->value = want_name(p);
            next(p);
        }
        bool named = star == JINJA_OP('*', '*') || arg->value.type == JINJA_STRING;
        if (seen_named && !named)
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "an argument without a name follows one with a name");
        seen_named = named;
        arg->a = parse_expression(p);
        list_add(&args, deepen(p, arg));
        if (!take_op(p, ','))
            break;
    }
    want_op(p, ')', "',' or ')'");
    return args.first;
}

/* What stands between brackets: an item or a slice. */
static jinja_node *parse_subscript(parser *p, jinja_node *node)
{
    jinja_node *part[3] = {NULL, NULL, NULL};
    int n_colons = 0;
    for (;; n_colons++) {
        if (!is_op(p, ':') && !is_op(p, ']'))
            part[n_colons] = n_colons == 0 ? parse_tuple(p, parse_expression, false) : parse_expression(p);
        if (n_colons == 2 || !take_op(p, ':'))
            break;
    }
    want_op(p, ']', "']'");
    if (n_colons == 0 && part[0] == NULL)
        unexpected(p, "an index between the brackets before");
    if (n_colons == 0)
        return node_new(p, JINJA_K_ITEM, node, part[0], NULL);
    return node_new(p, JINJA_K_ITEM, node, node_new(p, JINJA_K_SLICE, part[0], part[1], part[2]), NULL);
}

static jinja_node *parse_call(parser *p, jinja_node *callee)
{
    jinja_node *args = parse_args(p);
    return node_new(p, JINJA_K_CALL, callee, args, NULL);
}

static jinja_node *parse_attribute(parser *p, jinja_node *node)
{
    if (p->t->type == JINJA_T_CONST)
        return node_new(p, JINJA_K_ITEM, node, parse_const(p, p->t->value), NULL);
    jinja_value name = want_name(p);
    node = node_new(p, JINJA_K_ATTR, node, NULL, NULL);
    node->value = name;
    return node;
}

static jinja_node *parse_postfix(parser *p, jinja_node *node)
{
    for (;;) {
        if (take_op(p, '.'))
            node = parse_attribute(p, node);
        else if (take_op(p, '['))
            node = parse_subscript(p, node);
        else if (is_op(p, '('))
            node = parse_call(p, node);
        else
            return node;
    }
}

/* A filter or test of that name on `node`, its arguments still to come. */
static jinja_node *apply(parser *p, jinja_kind kind, jinja_node *node, jinja_value name)
{
    node = node_new(p, kind, node, NULL, NULL);
    node->value = name;
    node->function = kind == JINJA_K_FILTER ? liz_jinja_filter(name.str) : liz_jinja_test(name.str);
    if (node->function == NULL && p->n_ifs == 0 && p->unknown == NULL)
        p->unknown = node;
    return node;
}

static jinja_node *parse_filter(parser *p, jinja_node *node)
{
    node = apply(p, JINJA_K_FILTER, node, want_name(p));
    node->b = is_op(p, '(') ? parse_args(p) : NULL;
    return deepen(p, node);
}

static jinja_node *parse_test(parser *p, jinja_node *node)
{
    bool negated = take_word(p, "not");
    node = apply(p, JINJA_K_TEST, node, want_name(p));
    jinja_token_type type = p->t->type;
    bool operand =
        type == JINJA_T_NAME || type == JINJA_T_STRING || type == JINJA_T_CONST || is_op(p, '[') || is_op(p, '{');
    if (is_op(p, '(')) {
        node->b = parse_args(p);
    } else if (operand && !is_word(p, "else") && !is_word(p, "or") && !is_word(p, "and")) {
        if (is_word(p, "is"))
            liz_jinja_fail(p->j, LIZ_E_FORMAT, "You cannot chain multiple tests with is");
        node->b = node_new(p, JINJA_K_ARG, parse_postfix(p, parse_primary(p)), NULL, NULL);
    }
    deepen(p, node);
    return negated ? node_new(p, JINJA_K_NOT, node, NULL, NULL) : node;
}

static jinja_node *parse_filters(parser *p, jinja_node *node)
{
    for (;;) {
        if (take_op(p, '|'))
            node = parse_filter(p, node);
        else if (take_word(p, "is"))
            node = parse_test(p, node);
        else if (is_op(p, '('))
            node = parse_call(p, node);
        else
            return node;
    }
}

static jinja_node *parse_unary(parser *p, bool with_filters)
{
    enter(p);
    jinja_node *node;
    if (is_op(p, '-') || is_op(p, '+')) {
        uint16_t op = p->t->op;
        next(p);
        node = node_new(p, JINJA_K_UNARY, parse_unary(p, false), NULL, NULL);
        node->op = op;
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    p->depth--;
    return with_filters ? parse_filters(p, node) : node;
}

/* Operators of two operands, tightest first. They all associate to the left, ** included. */
static const uint16_t levels[][5] = {{JINJA_OP('*', '*')}, {'*', '/', JINJA_OP('/', '/'), '%'}, {'~'}, {'+', '-'}};

static jinja_node *parse_binary(parser *p, int level)
{
    if (level < 0)
        return parse_unary(p, true);
    jinja_node *left = parse_binary(p, level - 1);
    for (int i = 0; levels[level][i] != 0;) {
        uint16_t op = levels[level][i];
        if (!take_op(p, op)) {
            i++;
            continue;
        }
        left = node_new(p, JINJA_K_BINARY, left, parse_binary(p, level - 1), NULL);
        left->op = op;
        i = 0;
    }
    return left;
}

/* The comparison at hand, which is taken; 0 for none. `in` and `not in` are written 'i' and 'n'. */
static uint16_t take_comparison(parser *p)
{
    static const uint16_t ops[] = {JINJA_OP('=', '='), JINJA_OP('!', '='), '<', '>',
                                   JINJA_OP('<', '='), JINJA_OP('>', '=')};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (take_op(p, ops[i]))
            return ops[i];
    if (take_word(p, "in"))
        return 'i';
    if (!is_word(p, "not") || p->t[1].type != JINJA_T_NAME || !liz_str_is(liz_jinja_plain(p->t[1].value.str), "in"))
        return 0;
    next(p);
    next(p);
    return 'n';
}

static jinja_node *parse_compare(parser *p)
{
    jinja_node *left = parse_binary(p, 3);
    list rest = {0};
    for (uint16_t op; (op = take_comparison(p)) != 0;) {
        jinja_node *operand = node_new(p, JINJA_K_ARG, parse_binary(p, 3), NULL, NULL);
        operand->op = op;
        list_add(&rest, operand);
    }
    return rest.first ? node_new(p, JINJA_K_COMPARE, left, rest.first, NULL) : left;
}

static jinja_node *parse_not(parser *p)
{
    if (!take_word(p, "not"))
        return parse_compare(p);
    enter(p);
    jinja_node *node = node_new(p, JINJA_K_NOT, parse_not(p), NULL, NULL);
    p->depth--;
    return node;
}

static jinja_node *parse_and(parser *p)
{
    jinja_node *left = parse_not(p);
    while (take_word(p, "and"))
        left = node_new(p, JINJA_K_AND, left, parse_not(p), NULL);
    return left;
}

static jinja_node *parse_or(parser *p)
{
    jinja_node *left = parse_and(p);
    while (take_word(p, "or"))
        left = node_new(p, JINJA_K_OR, left, parse_and(p), NULL);
    return left;
}

static jinja_node *parse_expression(parser *p)
{
    const jinja_node *unknown = p->unknown;
    enter(p);
    jinja_node *node = parse_or(p);
    while (take_word(p, "if")) {
        jinja_node *test = parse_or(p);
        jinja_node *otherwise = take_word(p, "else") ? parse_expression(p) : NULL;
        node = node_new(p, JINJA_K_COND, node, test, otherwise);
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
                   p->unknown->kind == JINJA_K_FILTER ? "filter" : "test", (int)p->unknown->value.str.n,
                   p->unknown->value.str.p);
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

/* A name, a.b of a namespace, or a tuple of names. */
static jinja_node *parse_target(parser *p)
{
    jinja_node *node;
    if (take_op(p, '(')) {
        node = parse_tuple(p, parse_target, true);
        want_op(p, ')', "')'");
        return node;
    }
    if (p->t->type == JINJA_T_NAME && (is_word(p, "true") || is_word(p, "false") || is_word(p, "none")))
        unexpected(p, "a name to assign to");
    node = node_new(p, JINJA_K_NAME, NULL, NULL, NULL);
    node->value = want_name(p);
    return take_op(p, '.') ? parse_attribute(p, node) : node;
}

static jinja_node *parse_for(parser *p)
{
    jinja_node *node = node_new(p, JINJA_K_FOR, NULL, NULL, NULL);
    node->a = parse_tuple(p, parse_target, false);
    if (!take_word(p, "in"))
        unexpected(p, "'in'");
    node->b = parse_tuple(p, parse_or, false);
    node->e = take_word(p, "if") ? parse_expression(p) : NULL;
    node->op = take_word(p, "recursive") ? JINJA_RECURSIVE | JINJA_USES_LOOP : 0;
    end_block(p);
    unsigned outer = p->uses;
    p->uses = 0;
    p->n_loops++;
    node->c = parse_body(p, (const char *const[]){"else", "endfor", NULL});
    p->n_loops--;
    node->op |= p->uses & JINJA_USES_LOOP;
    p->uses = outer | (p->uses & ~(unsigned)JINJA_USES_LOOP);
    if (take_word(p, "else")) {
        node->d = parse_block(p, "endfor");
    } else {
        next(p);
        end_block(p);
    }
    return deepen(p, node);
}

/* From behind `if` or `elif`. */
static jinja_node *parse_if(parser *p)
{
    p->n_ifs++;
    jinja_node *node = node_new(p, JINJA_K_IF, parse_tuple(p, parse_or, false), NULL, NULL);
    end_block(p);
    node->b = parse_body(p, (const char *const[]){"elif", "else", "endif", NULL});
    if (take_word(p, "elif")) {
        enter(p);
        node->c = parse_if(p);
        p->depth--;
    } else if (take_word(p, "else")) {
        node->c = parse_block(p, "endif");
    } else {
        next(p);
        end_block(p);
    }
    p->n_ifs--;
    return deepen(p, node);
}

static jinja_node *parse_set(parser *p)
{
    jinja_node *node = node_new(p, JINJA_K_SET, parse_tuple(p, parse_target, false), NULL, NULL);
    if (take_op(p, '=')) {
        node->b = parse_tuple(p, parse_expression, false);
        end_block(p);
        return deepen(p, node);
    }
    node->b = node_new(p, JINJA_K_SUBJECT, NULL, NULL, NULL);
    while (take_op(p, '|'))
        node->b = parse_filter(p, node->b);
    node->c = parse_block(p, "endset");
    node->op = JINJA_SETS_BLOCK;
    return deepen(p, node);
}

static jinja_node *parse_params(parser *p)
{
    list params = {0};
    want_op(p, '(', "'('");
    while (!is_op(p, ')')) {
        jinja_node *param = node_new(p, JINJA_K_ARG, NULL, NULL, NULL);
        param->value = want_name(p);
        param->a = take_op(p, '=') ? parse_expression(p) : NULL;
        list_add(&params, deepen(p, param));
        if (!take_op(p, ','))
            break;
    }
    want_op(p, ')', "',' or ')'");
    return params.first;
}

/* A macro's parameters `a` and body; loops around it are not its own. */
static jinja_node *parse_macro(parser *p, jinja_value name, jinja_node *params, const char *end)
{
    jinja_node *node = node_new(p, JINJA_K_MACRO, params, NULL, NULL);
    unsigned outer = p->uses;
    int n_loops = p->n_loops;
    p->uses = 0;
    p->n_loops = 0;
    node->value = name;
    node->b = parse_block(p, end);
    node->op = (uint16_t)(p->uses & ~(unsigned)JINJA_USES_LOOP);
    p->n_loops = n_loops;
    p->uses = outer | (p->uses & JINJA_USES_LOOP);
    return deepen(p, node);
}

static jinja_node *parse_called(parser *p)
{
    jinja_node *params = is_op(p, '(') ? parse_params(p) : NULL;
    jinja_node *call = parse_expression(p);
    if (call->kind != JINJA_K_CALL)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "expected call");
    jinja_node *caller = parse_macro(p, liz_jinja_string(JINJA_STR("caller")), params, "endcall");
    return node_new(p, JINJA_K_CALLED, call, caller, NULL);
}

static jinja_node *parse_filtered(parser *p)
{
    jinja_node *filters = parse_filter(p, node_new(p, JINJA_K_SUBJECT, NULL, NULL, NULL));
    while (take_op(p, '|'))
        filters = parse_filter(p, filters);
    jinja_node *node = node_new(p, JINJA_K_FILTERED, filters, NULL, NULL);
    node->b = parse_block(p, "endfilter");
    return deepen(p, node);
}

static jinja_node *parse_with(parser *p)
{
    list sets = {0};
    while (p->t->type != JINJA_T_BLOCK_END) {
        jinja_node *set = node_new(p, JINJA_K_SET, parse_target(p), NULL, NULL);
        want_op(p, '=', "'='");
        set->b = parse_expression(p);
        list_add(&sets, deepen(p, set));
        if (!take_op(p, ','))
            break;
    }
    jinja_node *node = node_new(p, JINJA_K_WITH, sets.first, NULL, NULL);
    node->b = parse_block(p, "endwith");
    return deepen(p, node);
}

static jinja_node *parse_jump(parser *p, jinja_kind kind)
{
    if (p->n_loops == 0)
        liz_jinja_fail(p->j, LIZ_E_FORMAT, "%s stands outside a loop", kind == JINJA_K_BREAK ? "break" : "continue");
    jinja_node *node = node_new(p, kind, NULL, NULL, NULL);
    end_block(p);
    return node;
}

static jinja_node *parse_print(parser *p, jinja_token_type end)
{
    jinja_node *node = node_new(p, JINJA_K_PRINT, parse_tuple(p, parse_expression, false), NULL, NULL);
    end_tag(p, end);
    return node;
}

static jinja_node *parse_macro_tag(parser *p)
{
    jinja_value name = want_name(p);
    return parse_macro(p, name, parse_params(p), "endmacro");
}

/* The statement whose name is the present token. */
static jinja_node *parse_statement(parser *p)
{
    if (take_word(p, "for"))
        return parse_for(p);
    if (take_word(p, "if"))
        return parse_if(p);
    if (take_word(p, "set"))
        return parse_set(p);
    if (take_word(p, "macro"))
        return parse_macro_tag(p);
    if (take_word(p, "call"))
        return parse_called(p);
    if (take_word(p, "filter"))
        return parse_filtered(p);
    if (take_word(p, "with"))
        return parse_with(p);
    if (take_word(p, "print"))
        return parse_print(p, JINJA_T_BLOCK_END);
    if (take_word(p, "generation"))
        return node_new(p, JINJA_K_SCOPED, parse_block(p, "endgeneration"), NULL, NULL);
    if (take_word(p, "break"))
        return parse_jump(p, JINJA_K_BREAK);
    if (take_word(p, "continue"))
        return parse_jump(p, JINJA_K_CONTINUE);
    jinja_str name = want_name(p).str;
    liz_jinja_fail(p->j, LIZ_E_UNSUPPORTED, "Encountered unknown tag '%.*s'", (int)name.n, name.p);
}

static bool at_end(const parser *p, const char *const *ends)
{
    for (; *ends != NULL; ends++)
        if (is_word(p, *ends))
            return true;
    return false;
}

/* Statements up to a tag of one of `ends`, whose name is then the present token; none: up to the template's end. */
static jinja_node *parse_body(parser *p, const char *const *ends)
{
    list body = {0};
    jinja_node *node;
    for (enter(p);; list_add(&body, node)) {
        if (p->t->type == JINJA_T_END) {
            if (*ends != NULL)
                liz_jinja_fail(p->j, LIZ_E_FORMAT, "the template ends, and {%% %s %%} is missing", *ends);
            break;
        }
        jinja_token_type type = p->t->type;
        if (type == JINJA_T_TEXT) {
            node = parse_const(p, p->t->value);
            node->kind = JINJA_K_TEXT;
            continue;
        }
        next(p);
        if (type == JINJA_T_BLOCK_BEGIN && at_end(p, ends))
            break;
        node = type == JINJA_T_BLOCK_BEGIN ? parse_statement(p) : parse_print(p, JINJA_T_PRINT_END);
    }
    p->depth--;
    return body.first;
}

jinja_node *liz_jinja_parse(jinja *j, const jinja_token *tokens)
{
    parser p = {.j = j, .t = tokens};
    j->line = tokens->line;
    return parse_body(&p, (const char *const[]){NULL});
}
