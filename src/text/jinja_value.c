/* jinja_value.c - what values are made of and have in common: memory, text with marks, truth, equality, order, items,
 * attributes.
 *
 * Lists and strings never change once they can be seen, so slices share their bytes; a dict grows only while it is
 * built or when it is a namespace. Work done is counted, so that a template that would run for hours is stopped. */
#include "text/jinja_impl.h"

#include "base/checked.h"
#include "base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Failing, memory, work ---------------------------------------------------------------------- */

void liz_jinja_fail(jinja *j, liz_status status, const char *fmt, ...)
{
    char text[LIZ_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    j->status = liz_fail(j->err, status, "%s", text);
    if (j->err != NULL)
        j->err->line = (int)j->line;
    longjmp(j->fault, 1);
}

void liz_jinja_work(jinja *j, uint64_t n)
{
    bool enough = n <= j->n_steps_left;
    j->n_steps_left = enough ? j->n_steps_left - n : 0;
    if (!enough)
        liz_jinja_fail(j, LIZ_E_LIMIT, "the template takes too many steps: it may not end");
}

void liz_jinja_nest(jinja *j, int depth)
{
    liz_jinja_work(j, 1);
    if (depth > JINJA_NESTING_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "values stand more than %d deep within each other", JINJA_NESTING_MAX);
}

/* Small pieces share a piece of the arena. */
void *liz_jinja_alloc(jinja *j, size_t n, size_t size)
{
    enum { ROOM = 16384, ALIGN = 16 };
    size_t total;
    void *p = NULL;
    bool within = liz_size_mul(n, size, &total) && total <= JINJA_ARENA_MAX;
    total = within ? (total + ALIGN - 1) / ALIGN * ALIGN : 0;
    if (within && total > j->n_room && total < ROOM / 4) {
        j->room = liz_arena_alloc(j->arena, ROOM);
        j->n_room = j->room ? ROOM : 0;
    }
    if (within && total <= j->n_room) {
        p = j->room;
        j->room += total;
        j->n_room -= total;
    } else if (within && total >= ROOM / 4) {
        p = liz_arena_alloc(j->arena, total);
    }
    if (p == NULL && within && j->arena->refused)
        liz_jinja_fail(j, LIZ_E_MEMORY, "no memory for a template");
    if (p == NULL)
        liz_jinja_fail(j, LIZ_E_LIMIT, "the template takes more memory than it may");
    liz_jinja_work(j, total / 64);
    return p;
}

/* ---- Text --------------------------------------------------------------------------------------- */

void liz_jinja_add(jinja *j, jinja_text *text, jinja_str s)
{
    if (text->n + s.n > JINJA_OUTPUT_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "a text grows beyond %d MiB", JINJA_OUTPUT_MAX >> 20);
    liz_jinja_work(j, 1 + s.n / 64);
    if (s.n == 0)
        return;
    bool marked = text->mask != NULL || s.mask != NULL;
    if (text->n + s.n > text->cap || (marked && text->mask == NULL)) {
        jinja_text old = *text;
        if (old.n + s.n > old.cap)
            text->cap = old.cap * 2 > old.n + s.n ? old.cap * 2 : old.n + s.n + 32;
        text->p = liz_jinja_alloc(j, text->cap, marked ? 2 : 1);
        text->mask = marked ? (uint8_t *)text->p + text->cap : NULL;
        if (old.n > 0)
            memcpy(text->p, old.p, old.n);
        if (old.mask != NULL)
            memcpy(text->mask, old.mask, old.n);
    }
    memcpy(text->p + text->n, s.p, s.n);
    if (s.mask != NULL)
        memcpy(text->mask + text->n, s.mask, s.n);
    text->n += s.n;
}

void liz_jinja_puts(jinja *j, jinja_text *text, const char *s) { liz_jinja_add(j, text, liz_jinja_literal(s)); }

/* ---- Making values ------------------------------------------------------------------------------ */

jinja_value liz_jinja_list(jinja *j, jinja_list_kind kind, size_t n)
{
    jinja_list *list = liz_jinja_alloc(j, 1, sizeof *list);
    *list = (jinja_list){.v = liz_jinja_alloc(j, n, sizeof *list->v), .kind = kind};
    return (jinja_value){JINJA_LIST, {.list = list}};
}

jinja_value liz_jinja_pair(jinja *j, jinja_value a, jinja_value b)
{
    jinja_value pair = liz_jinja_list(j, JINJA_TUPLE, 2);
    liz_jinja_push(pair, a);
    liz_jinja_push(pair, b);
    return pair;
}

jinja_value liz_jinja_dict(jinja *j, size_t n)
{
    jinja_dict *dict = liz_jinja_alloc(j, 1, sizeof *dict);
    *dict = (jinja_dict){.cap = n};
    dict->keys = liz_jinja_alloc(j, n, sizeof *dict->keys);
    dict->values = liz_jinja_alloc(j, n, sizeof *dict->values);
    return (jinja_value){JINJA_DICT, {.dict = dict}};
}

const jinja_range *liz_jinja_range(jinja *j, int64_t begin, int64_t end, int64_t step)
{
    jinja_range *range = liz_jinja_alloc(j, 1, sizeof *range);
    *range = (jinja_range){begin, end, step};
    return range;
}

static bool can_be_key(jinja_value v)
{
    return v.type != JINJA_DICT && (v.type != JINJA_LIST || v.list->kind == JINJA_TUPLE);
}

jinja_value *liz_jinja_dict_get(jinja *j, const jinja_dict *dict, jinja_value key)
{
    if (!can_be_key(key))
        liz_jinja_fail(j, LIZ_E_FORMAT, "unhashable type: '%s'", liz_jinja_type_name(key));
    liz_jinja_work(j, dict->n / 16);
    for (size_t i = 0; i < dict->n; i++)
        if (liz_jinja_equal(j, dict->keys[i], key, 0))
            return &dict->values[i];
    return NULL;
}

static void dict_push(jinja *j, jinja_dict *dict, jinja_value key, jinja_value value)
{
    if (dict->n == dict->cap) {
        jinja_dict bigger = *liz_jinja_dict(j, dict->cap * 2 + 4).dict;
        if (dict->n > 0) {
            memcpy(bigger.keys, dict->keys, dict->n * sizeof key);
            memcpy(bigger.values, dict->values, dict->n * sizeof value);
        }
        bigger.n = dict->n;
        *dict = bigger;
    }
    dict->keys[dict->n] = key;
    dict->values[dict->n++] = value;
}

void liz_jinja_dict_set(jinja *j, jinja_dict *dict, jinja_value key, jinja_value value)
{
    jinja_value *there = liz_jinja_dict_get(j, dict, key);
    if (there != NULL)
        *there = value;
    else
        dict_push(j, dict, key, value);
}

jinja_value liz_jinja_callable(jinja *j, jinja_callable callable)
{
    jinja_value v = {JINJA_CALLABLE, {.callable = liz_jinja_alloc(j, 1, sizeof callable)}};
    *v.callable = callable;
    return v;
}

/* A role goes into control tokens in some templates ("<|" + role + "|>"), so a plain word there is no data. */
static bool is_role(const liz_json *json)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    bool is = liz_str_is(json->key, "role") && json->string.n <= 32;
    for (size_t i = 0; is && i < json->string.n; i++)
        is = memchr(plain, json->string.p[i], sizeof plain - 1) != NULL;
    return is;
}

static jinja_value string_from(jinja *j, liz_str s, bool is_data)
{
    uint8_t *mask = is_data && s.n > 0 ? memset(liz_jinja_alloc(j, s.n, 1), 1, s.n) : NULL;
    return liz_jinja_string((jinja_str){s.p ? s.p : "", mask, s.n});
}

jinja_value liz_jinja_from_json(jinja *j, const liz_json *json, bool is_data)
{
    jinja_value v;
    switch (json->type) {
    case LIZ_JSON_FALSE:
    case LIZ_JSON_TRUE: return liz_jinja_bool(json->type == LIZ_JSON_TRUE);
    case LIZ_JSON_NUMBER: return liz_jinja_number(j, json->source.p, json->source.n);
    case LIZ_JSON_STRING: return string_from(j, json->string, is_data && !is_role(json));
    case LIZ_JSON_ARRAY: v = liz_jinja_list(j, JINJA_PLAIN, json->n_children); break;
    case LIZ_JSON_OBJECT: v = liz_jinja_dict(j, json->n_children); break;
    default: return liz_jinja_none();
    }
    for (const liz_json *child = json->first_child; child != NULL; child = child->next) {
        jinja_value value = liz_jinja_from_json(j, child, is_data);
        if (v.type == JINJA_LIST)
            liz_jinja_push(v, value);
        else
            dict_push(j, v.dict, string_from(j, child->key, is_data), value);
    }
    return v;
}

/* ---- Truth, equality, order --------------------------------------------------------------------- */

const char *liz_jinja_type_name(jinja_value v)
{
    static const char *const names[] = {"Undefined", "NoneType", "bool", "int",       "int",  "float",
                                        "str",       "list",     "dict", "Namespace", "loop", "function"};
    static const char *const kinds[] = {"list",        "tuple",      "range",    "dict_keys",
                                        "dict_values", "dict_items", "generator"};
    return v.type == JINJA_LIST ? kinds[v.list->kind] : names[v.type];
}

bool liz_jinja_truth(jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.truth;
    case JINJA_INT: return v.whole != 0;
    case JINJA_FLOAT: return v.real != 0;
    case JINJA_STRING: return v.str.n > 0;
    case JINJA_LIST: return v.list->n > 0 || v.list->kind == JINJA_GENERATOR;
    case JINJA_DICT: return v.dict->n > 0;
    default: return true;
    }
}

void liz_jinja_defined(jinja *j, jinja_value v)
{
    if (v.type != JINJA_UNDEFINED)
        return;
    if (v.missing.owner == NULL)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'%.*s' is undefined", (int)v.missing.n, v.missing.name);
    liz_jinja_fail(j, LIZ_E_FORMAT, "'%s object' has no attribute '%.*s'", v.missing.owner, (int)v.missing.n,
                   v.missing.name);
}

static int compare_strings(jinja *j, jinja_str a, jinja_str b)
{
    liz_jinja_work(j, (a.n < b.n ? a.n : b.n) / 64);
    return liz_str_compare((liz_str){a.p, a.n}, (liz_str){b.p, b.n});
}

static bool equal_dicts(jinja *j, const jinja_dict *a, const jinja_dict *b, int depth)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        const jinja_value *other = liz_jinja_dict_get(j, b, a->keys[i]);
        same = other != NULL && liz_jinja_equal(j, a->values[i], *other, depth + 1);
    }
    return same;
}

bool liz_jinja_equal(jinja *j, jinja_value a, jinja_value b, int depth)
{
    liz_jinja_nest(j, depth);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b))
        return liz_jinja_compare_numbers(j, a, b) == 0;
    if (a.type != b.type || a.type <= JINJA_NONE)
        return a.type == b.type;
    if (a.type == JINJA_STRING)
        return a.str.n == b.str.n && compare_strings(j, a.str, b.str) == 0;
    if (a.list == b.list || a.type > JINJA_DICT) /* the same thing, whatever it is */
        return a.list == b.list;
    if (a.type == JINJA_DICT)
        return equal_dicts(j, a.dict, b.dict, depth);
    bool same = a.list->kind == b.list->kind && a.list->n == b.list->n && a.list->kind != JINJA_GENERATOR;
    for (size_t i = 0; same && i < a.list->n; i++)
        same = liz_jinja_equal(j, a.list->v[i], b.list->v[i], depth + 1);
    return same;
}

int liz_jinja_compare(jinja *j, jinja_value a, jinja_value b, int depth)
{
    liz_jinja_nest(j, depth);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b))
        return liz_jinja_compare_numbers(j, a, b);
    if (a.type == JINJA_STRING && b.type == JINJA_STRING)
        return compare_strings(j, a.str, b.str);
    liz_jinja_defined(j, a);
    liz_jinja_defined(j, b);
    if (a.type != JINJA_LIST || b.type != JINJA_LIST || a.list->kind != b.list->kind)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'<' not supported between instances of '%s' and '%s'", liz_jinja_type_name(a),
                       liz_jinja_type_name(b));
    for (size_t i = 0; i < a.list->n && i < b.list->n; i++)
        if (!liz_jinja_equal(j, a.list->v[i], b.list->v[i], depth + 1))
            return liz_jinja_compare(j, a.list->v[i], b.list->v[i], depth + 1);
    return (a.list->n > b.list->n) - (a.list->n < b.list->n);
}

static bool contains(jinja *j, jinja_value container, jinja_value item)
{
    if (container.type == JINJA_STRING) {
        if (item.type != JINJA_STRING)
            liz_jinja_fail(j, LIZ_E_FORMAT, "'in <string>' requires string as left operand, not %s",
                           liz_jinja_type_name(item));
        return liz_jinja_search(j, container.str, item.str, false) < SIZE_MAX;
    }
    if (container.type == JINJA_DICT)
        return liz_jinja_dict_get(j, container.dict, item) != NULL;
    const jinja_list *items = liz_jinja_items(j, container);
    for (size_t i = 0; i < items->n; i++)
        if (liz_jinja_equal(j, items->v[i], item, 0))
            return true;
    return false;
}

bool liz_jinja_compares(jinja *j, int op, jinja_value a, jinja_value b)
{
    switch (op) {
    case JINJA_OP('=', '='): return liz_jinja_equal(j, a, b, 0);
    case JINJA_OP('!', '='): return !liz_jinja_equal(j, a, b, 0);
    case 'i': return contains(j, b, a);
    case 'n': return !contains(j, b, a);
    default: break;
    }
    int order = liz_jinja_compare(j, a, b, 0);
    if ((a.type == JINJA_FLOAT && isnan(a.real)) || (b.type == JINJA_FLOAT && isnan(b.real)))
        return false;
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == JINJA_OP('<', '=') ? order <= 0 : order >= 0;
}

/* Places are inserted one by one, each behind those that do not sort after it. */
void liz_jinja_sort(jinja *j, const jinja_value *keys, size_t *order, size_t n, bool reverse)
{
    for (size_t i = 0; i < n; i++) {
        size_t low = 0, high = i;
        while (low < high) {
            size_t mid = (low + high) / 2;
            int c = liz_jinja_compare(j, keys[i], keys[order[mid]], 0);
            if (reverse ? c > 0 : c < 0)
                high = mid;
            else
                low = mid + 1;
        }
        liz_jinja_work(j, (i - low) / 64);
        memmove(order + low + 1, order + low, (i - low) * sizeof *order);
        order[low] = i;
    }
}

/* ---- Items -------------------------------------------------------------------------------------- */

/* The first character of a string that has one. */
static jinja_str first_char(jinja *j, jinja_str s) { return liz_jinja_cut(s, 0, liz_jinja_char_at(j, s, 1)); }

jinja_list *liz_jinja_items(jinja *j, jinja_value v)
{
    jinja_value items = liz_jinja_list(j, JINJA_PLAIN, v.type == JINJA_STRING ? liz_jinja_n_chars(j, v.str) + 1 : 0);
    switch (v.type) {
    case JINJA_UNDEFINED: break;
    case JINJA_STRING:
        for (jinja_str s = v.str, c; s.n > 0; s = liz_jinja_cut(s, c.n, s.n)) {
            c = first_char(j, s);
            liz_jinja_push(items, liz_jinja_string(c));
        }
        break;
    case JINJA_DICT: *items.list = (jinja_list){.v = v.dict->keys, .n = v.dict->n}; break;
    case JINJA_LIST:
        *items.list = *v.list;
        if (v.list->kind == JINJA_GENERATOR)
            v.list->n = 0;
        break;
    default: liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object is not iterable", liz_jinja_type_name(v));
    }
    return items.list;
}

size_t liz_jinja_length(jinja *j, jinja_value v)
{
    if (v.type == JINJA_STRING)
        return liz_jinja_n_chars(j, v.str);
    if (v.type == JINJA_DICT)
        return v.dict->n;
    if (v.type == JINJA_UNDEFINED)
        return 0;
    if (v.type != JINJA_LIST || v.list->kind == JINJA_GENERATOR)
        liz_jinja_fail(j, LIZ_E_FORMAT, "object of type '%s' has no len()", liz_jinja_type_name(v));
    return v.list->n;
}

/* ---- Attributes and items ----------------------------------------------------------------------- */

static jinja_value loop_attr(const jinja_loop *loop, jinja_str name)
{
    int64_t i = (int64_t)loop->i, n = (int64_t)loop->items->n;
    const jinja_value *items = loop->items->v, none = liz_jinja_missing(name, "loop");
    const struct {
        const char *name;
        jinja_value value;
    } attrs[] = {{"index", liz_jinja_int(i + 1)},
                 {"index0", liz_jinja_int(i)},
                 {"revindex", liz_jinja_int(n - i)},
                 {"revindex0", liz_jinja_int(n - i - 1)},
                 {"first", liz_jinja_bool(i == 0)},
                 {"last", liz_jinja_bool(i + 1 == n)},
                 {"previtem", i > 0 ? items[i - 1] : none},
                 {"nextitem", i + 1 < n ? items[i + 1] : none},
                 {"length", liz_jinja_int(n)},
                 {"depth", liz_jinja_int(1)},
                 {"depth0", liz_jinja_int(0)}};
    for (size_t k = 0; k < sizeof attrs / sizeof *attrs; k++)
        if (liz_jinja_is(name, attrs[k].name))
            return attrs[k].value;
    return none;
}

static jinja_value macro_attr(jinja *j, const jinja_node *macro, jinja_str name)
{
    size_t n = 0;
    for (const jinja_node *param = macro->a; param != NULL; param = param->next)
        n++;
    jinja_value arguments = liz_jinja_list(j, JINJA_TUPLE, n);
    for (const jinja_node *param = macro->a; param != NULL; param = param->next)
        liz_jinja_push(arguments, param->value);
    return liz_jinja_is(name, "name")        ? macro->value
           : liz_jinja_is(name, "arguments") ? arguments
                                             : liz_jinja_missing(name, "macro");
}

/* Python has more than is known here. Used in a condition it would silently be taken for what is not there, so it is
 * refused; what would change a list or dict is not among these, since the sandbox hides it. */
static void refuse_unknown(jinja *j, jinja_value v, jinja_str name)
{
    static const struct {
        jinja_type type;
        const char *names;
    } unknown[] = {
        {JINJA_STRING, "casefold center encode expandtabs format_map index isascii isidentifier isnumeric isprintable "
                       "istitle ljust maketrans partition rindex rjust rpartition swapcase translate zfill"},
        {JINJA_LIST, "copy count index"},
        {JINJA_DICT, "copy fromkeys"},
        {JINJA_INT, "as_integer_ratio bit_count bit_length conjugate denominator imag is_integer numerator real"},
        {JINJA_FLOAT, "as_integer_ratio conjugate hex imag is_integer real"},
        {JINJA_LOOP, "cycle changed"},
        {JINJA_CALLABLE, "caller catch_kwargs catch_varargs explicit_caller"},
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (unknown[i].type == v.type && liz_jinja_among(name, unknown[i].names))
            liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "'%.*s' of '%s' is not known", LIZ_STR_ARG(name),
                           liz_jinja_type_name(v));
}

/* What v has by name beside its items: methods, and a loop's values. Undefined when there is none. */
static jinja_value own_attr(jinja *j, jinja_value v, jinja_str name)
{
    unsigned of = v.type == JINJA_STRING ? JINJA_OF_STRING : v.type == JINJA_DICT ? JINJA_OF_DICT : 0u;
    liz_jinja_work(j, 8); /* names are compared one by one */
    const jinja_function *method = of ? liz_jinja_find(of, name) : NULL;
    if (method != NULL)
        return liz_jinja_callable(j, (jinja_callable){.function = method, .self = v});
    refuse_unknown(j, v, name);
    if (v.type == JINJA_LOOP)
        return loop_attr(v.loop, name);
    if (v.type == JINJA_CALLABLE && v.callable->macro != NULL)
        return macro_attr(j, v.callable->macro, name);
    return liz_jinja_missing(name, liz_jinja_type_name(v));
}

static jinja_value key_of(jinja *j, jinja_value v, jinja_value key, jinja_value otherwise)
{
    bool may_have = (v.type == JINJA_DICT || v.type == JINJA_NAMESPACE) && can_be_key(key);
    const jinja_value *there = may_have ? liz_jinja_dict_get(j, v.dict, key) : NULL;
    return there ? *there : otherwise;
}

jinja_value liz_jinja_attr(jinja *j, jinja_value v, jinja_str name)
{
    liz_jinja_defined(j, v);
    jinja_value own = own_attr(j, v, name);
    return own.type != JINJA_UNDEFINED ? own : key_of(j, v, liz_jinja_string(name), own);
}

jinja_value liz_jinja_item(jinja *j, jinja_value v, jinja_value key)
{
    liz_jinja_defined(j, v);
    if (key.type == JINJA_STRING) {
        jinja_value value = key_of(j, v, key, (jinja_value){0});
        return value.type != JINJA_UNDEFINED ? value : own_attr(j, v, key.str);
    }
    jinja_value none = liz_jinja_missing(liz_jinja_repr(j, key), liz_jinja_type_name(v));
    bool sequence = v.type == JINJA_STRING || (v.type == JINJA_LIST && v.list->kind <= JINJA_RANGE);
    if (!sequence || (key.type != JINJA_INT && key.type != JINJA_BOOL))
        return key_of(j, v, key, none);
    int64_t i = liz_jinja_whole(j, key), n = (int64_t)liz_jinja_length(j, v);
    i = i < 0 && i >= -n ? i + n : i;
    if (i < 0 || i >= n)
        return none;
    if (v.type == JINJA_LIST)
        return v.list->v[i];
    return liz_jinja_string(first_char(j, liz_jinja_cut(v.str, liz_jinja_char_at(j, v.str, (size_t)i), v.str.n)));
}

/* An end of a slice, as Python settles it, into [low, high]. */
static int64_t slice_end(jinja *j, jinja_value v, int64_t otherwise, int64_t n, int64_t low, int64_t high)
{
    if (v.type == JINJA_BIG)
        return *v.str.p == '-' ? low : high;
    int64_t i = v.type == JINJA_NONE ? otherwise : liz_jinja_whole(j, v);
    if (v.type != JINJA_NONE && i < 0)
        i = i + n < low ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

jinja_value liz_jinja_slice(jinja *j, jinja_value v, jinja_value begin, jinja_value end, jinja_value step)
{
    liz_jinja_defined(j, v);
    if (v.type != JINJA_STRING && (v.type != JINJA_LIST || v.list->kind > JINJA_RANGE))
        liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object is not subscriptable by a slice", liz_jinja_type_name(v));
    int64_t n = (int64_t)liz_jinja_length(j, v), by = step.type == JINJA_NONE ? 1 : liz_jinja_whole(j, step),
            low = by > 0 ? 0 : -1;
    if (by == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "slice step cannot be zero");
    int64_t first = slice_end(j, begin, by > 0 ? 0 : n - 1, n, low, n + low);
    int64_t last = slice_end(j, end, by > 0 ? n : -1, n, low, n + low);
    if (v.type == JINJA_STRING && by == 1) {
        jinja_str rest = liz_jinja_cut(v.str, liz_jinja_char_at(j, v.str, (size_t)first), v.str.n);
        return liz_jinja_string(
            liz_jinja_cut(rest, 0, first < last ? liz_jinja_char_at(j, rest, (size_t)(last - first)) : 0));
    }
    const jinja_list *items = liz_jinja_items(j, v);
    jinja_value out = liz_jinja_list(j, v.type == JINJA_LIST ? v.list->kind : JINJA_PLAIN, (size_t)n);
    if (v.type == JINJA_LIST && v.list->kind == JINJA_RANGE) {
        const jinja_range *r = v.list->range;
        __int128 start = r->begin, by_all = (__int128)r->step * by; /* its end may lie beyond 64 bits */
        out.list->range = liz_jinja_range(j, (int64_t)(start + (__int128)first * r->step),
                                          (int64_t)(start + (__int128)last * r->step), (int64_t)by_all);
    }
    jinja_text text = {0};
    for (int64_t i = first; by > 0 ? i < last : i > last; i = by > n || by < -n ? last : i + by) {
        if (v.type == JINJA_STRING)
            liz_jinja_add(j, &text, items->v[i].str);
        else
            liz_jinja_push(out, items->v[i]);
    }
    return v.type == JINJA_STRING ? liz_jinja_text(&text) : out;
}

jinja_value liz_jinja_path(jinja *j, jinja_value v, jinja_value path, jinja_value otherwise)
{
    bool by_name = path.type == JINJA_STRING;
    for (jinja_str rest = by_name ? path.str : JINJA_STR("");;) {
        const char *dot = memchr(rest.p, '.', rest.n);
        jinja_str part = liz_jinja_cut(rest, 0, dot ? (size_t)(dot - rest.p) : rest.n);
        bool is_index = part.n > 0 && part.n < 10;
        for (size_t i = 0; i < part.n; i++)
            is_index = is_index && part.p[i] >= '0' && part.p[i] <= '9';
        jinja_value key = is_index ? liz_jinja_number(j, part.p, part.n) : liz_jinja_string(part);
        liz_jinja_work(j, 1 + part.n / 16);
        v = liz_jinja_item(j, v, by_name ? key : path);
        if (v.type == JINJA_UNDEFINED && liz_jinja_given(otherwise))
            v = otherwise; /* what is left of the path is then looked for in it */
        if (dot == NULL)
            return v;
        rest = liz_jinja_cut(rest, part.n + 1, rest.n);
    }
}
