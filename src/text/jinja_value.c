/* jinja_value.c - what values are made of and have in common: memory, text with marks, truth, equality, order, items,
 * attributes.
 *
 * Lists and strings never change once they can be seen, so slices share their bytes; a dict grows only while it is
 * built or when it is a namespace. Work done is counted, so that a template that would run for hours is stopped. */
#include "text/jinja_impl.h"
#include "text/text_unicode.h"

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
    j->n_work += n;
    if (j->n_work > JINJA_WORK_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "the template takes too many steps: it may not end");
}

/* Small pieces share a piece of the arena. */
void *liz_jinja_alloc(jinja *j, size_t n, size_t size)
{
    enum { ROOM = 16384, ALIGN = 16 };
    size_t total;
    void *p = NULL;
    if (liz_size_mul(n, size, &total) && total <= JINJA_ARENA_MAX) {
        total = (total + ALIGN - 1) / ALIGN * ALIGN;
        if (total > j->n_room && total < ROOM / 4) {
            j->room = liz_arena_alloc(j->arena, ROOM);
            j->n_room = j->room ? ROOM : 0;
        }
        if (total <= j->n_room) {
            p = j->room;
            j->room += total;
            j->n_room -= total;
        } else if (total >= ROOM / 4) {
            p = liz_arena_alloc(j->arena, total);
        }
    }
    bool within = total <= JINJA_ARENA_MAX && j->arena->used_bytes + total + ROOM <= j->arena->size_max;
    if (p == NULL)
        liz_jinja_fail(j, within ? LIZ_E_MEMORY : LIZ_E_LIMIT,
                       within ? "no memory for a template" : "the template takes more memory than it may");
    liz_jinja_work(j, total / 64);
    return p;
}

/* ---- Text --------------------------------------------------------------------------------------- */

static void text_reserve(jinja *j, jinja_text *text, size_t n_more, bool marked)
{
    if (text->n + n_more > JINJA_OUTPUT_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "a text grows beyond %d MiB", JINJA_OUTPUT_MAX >> 20);
    bool had_mask = text->mask != NULL;
    if (text->n + n_more > text->cap) {
        text->cap = text->cap * 2 > text->n + n_more ? text->cap * 2 : text->n + n_more + 32;
        char *p = liz_jinja_alloc(j, text->cap, 1);
        if (text->n > 0)
            memcpy(p, text->p, text->n);
        text->p = p;
        if (had_mask) {
            uint8_t *mask = liz_jinja_alloc(j, text->cap, 1);
            memcpy(mask, text->mask, text->n);
            text->mask = mask;
        }
    }
    if (marked && !had_mask)
        text->mask = liz_jinja_alloc(j, text->cap, 1);
}

void liz_jinja_add(jinja *j, jinja_text *text, jinja_str s)
{
    if (s.n == 0)
        return;
    text_reserve(j, text, s.n, s.mask != NULL);
    memcpy(text->p + text->n, s.p, s.n);
    if (s.mask != NULL)
        memcpy(text->mask + text->n, s.mask, s.n);
    text->n += s.n;
    liz_jinja_work(j, s.n / 64);
}

void liz_jinja_puts(jinja *j, jinja_text *text, const char *s) { liz_jinja_add(j, text, liz_jinja_literal(s)); }

/* ---- Making values ------------------------------------------------------------------------------ */

jinja_value liz_jinja_list(jinja *j, jinja_list_kind kind, size_t n)
{
    jinja_list *list = liz_jinja_alloc(j, 1, sizeof *list);
    *list = (jinja_list){.v = liz_jinja_alloc(j, n, sizeof *list->v), .kind = kind};
    return (jinja_value){JINJA_LIST, {.list = list}};
}

jinja_value liz_jinja_dict(jinja *j, size_t n)
{
    jinja_dict *dict = liz_jinja_alloc(j, 1, sizeof *dict);
    *dict = (jinja_dict){.cap = n};
    dict->keys = liz_jinja_alloc(j, n, sizeof *dict->keys);
    dict->values = liz_jinja_alloc(j, n, sizeof *dict->values);
    return (jinja_value){JINJA_DICT, {.dict = dict}};
}

jinja_value *liz_jinja_dict_get(jinja *j, const jinja_dict *dict, jinja_value key)
{
    if (key.type == JINJA_LIST && key.list->kind != JINJA_TUPLE)
        liz_jinja_fail(j, LIZ_E_FORMAT, "unhashable type: 'list'");
    if (key.type == JINJA_DICT)
        liz_jinja_fail(j, LIZ_E_FORMAT, "unhashable type: 'dict'");
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
        dict->keys = bigger.keys;
        dict->values = bigger.values;
        dict->cap = bigger.cap;
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

jinja_value liz_jinja_number(jinja *j, liz_str text)
{
    char *copy = liz_jinja_alloc(j, text.n + 1, 1), *end;
    memcpy(copy, text.p, text.n);
    if (strpbrk(copy, ".eE") != NULL)
        return liz_jinja_float(strtod(copy, NULL));
    bool negative = *copy == '-';
    char *digits = copy + (negative || *copy == '+');
    digits += strspn(digits, "0");
    if (strlen(digits) < 19)
        return liz_jinja_int(negative ? -strtoll(digits, &end, 10) : strtoll(digits, &end, 10));
    if (negative)
        *--digits = '-';
    return (jinja_value){JINJA_BIG, {.str = liz_jinja_literal(digits)}};
}

/* A role goes into control tokens in some templates ("<|" + role + "|>"), so a plain word there is no data. */
static bool is_role(const liz_json *json)
{
    if (!liz_str_is(json->key, "role") || json->string.n > 32)
        return false;
    for (size_t i = 0; i < json->string.n; i++) {
        char c = json->string.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static jinja_str string_from(jinja *j, liz_str s, bool is_data)
{
    uint8_t *mask = is_data && s.n > 0 ? liz_jinja_alloc(j, s.n, 1) : NULL;
    if (mask != NULL)
        memset(mask, 1, s.n);
    return (jinja_str){s.p ? s.p : "", mask, s.n};
}

jinja_value liz_jinja_from_json(jinja *j, const liz_json *json, bool is_data)
{
    jinja_value v;
    switch (json->type) {
    case LIZ_JSON_NULL: return liz_jinja_none();
    case LIZ_JSON_FALSE: return liz_jinja_bool(false);
    case LIZ_JSON_TRUE: return liz_jinja_bool(true);
    case LIZ_JSON_NUMBER: return liz_jinja_number(j, json->source);
    case LIZ_JSON_STRING: return liz_jinja_string(string_from(j, json->string, is_data && !is_role(json)));
    case LIZ_JSON_ARRAY: v = liz_jinja_list(j, JINJA_PLAIN, json->n_children); break;
    case LIZ_JSON_OBJECT: v = liz_jinja_dict(j, json->n_children); break;
    default: return liz_jinja_none();
    }
    for (const liz_json *child = json->first_child; child != NULL; child = child->next) {
        jinja_value value = liz_jinja_from_json(j, child, is_data);
        if (v.type == JINJA_LIST)
            liz_jinja_push(v, value);
        else
            dict_push(j, v.dict, liz_jinja_string(string_from(j, child->key, is_data)), value);
    }
    return v;
}

/* ---- Truth, equality, order --------------------------------------------------------------------- */

const char *liz_jinja_type_name(jinja_value v)
{
    static const char *const names[] = {"Undefined", "NoneType", "bool", "int",  "int",     "float",
                                        "str",       "list",     "dict", "loop", "function"};
    static const char *const kinds[] = {"list",        "tuple",      "range",    "dict_keys",
                                        "dict_values", "dict_items", "generator"};
    if (v.type == JINJA_LIST)
        return kinds[v.list->kind];
    return v.type == JINJA_DICT && v.dict->is_namespace ? "Namespace" : names[v.type];
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
    case JINJA_DICT: return v.dict->n > 0 || v.dict->is_namespace;
    case JINJA_BIG:
    case JINJA_LOOP:
    case JINJA_CALLABLE: return true;
    }
    return true;
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

bool liz_jinja_is_number(jinja_value v)
{
    return v.type == JINJA_BOOL || v.type == JINJA_INT || v.type == JINJA_BIG || v.type == JINJA_FLOAT;
}

int64_t liz_jinja_whole(jinja *j, jinja_value v)
{
    if (v.type == JINJA_BOOL)
        return v.truth;
    liz_jinja_defined(j, v);
    if (v.type == JINJA_BIG)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "the integer %.40s is too large to compute with", v.str.p);
    if (v.type != JINJA_INT)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object cannot be interpreted as an integer", liz_jinja_type_name(v));
    return v.whole;
}

double liz_jinja_real(jinja *j, jinja_value v)
{
    if (v.type == JINJA_FLOAT)
        return v.real;
    return v.type == JINJA_BIG ? strtod(v.str.p, NULL) : (double)liz_jinja_whole(j, v);
}

static int compare_strings(jinja *j, jinja_str a, jinja_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    liz_jinja_work(j, n / 64);
    int order = n ? memcmp(a.p, b.p, n) : 0; /* UTF-8 sorts as its code points do */
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_numbers(jinja *j, jinja_value a, jinja_value b)
{
    if (a.type == JINJA_BIG && b.type == JINJA_BIG) {
        bool minus_a = *a.str.p == '-', minus_b = *b.str.p == '-';
        int order = a.str.n != b.str.n ? (a.str.n > b.str.n ? 1 : -1) : compare_strings(j, a.str, b.str);
        return minus_a != minus_b ? minus_b - minus_a : minus_a ? -order : order;
    }
    if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT || a.type == JINJA_BIG || b.type == JINJA_BIG) {
        double x = liz_jinja_real(j, a), y = liz_jinja_real(j, b);
        return x == y ? 0 : x < y ? -1 : 1; /* NaN is unlike everything */
    }
    int64_t x = liz_jinja_whole(j, a), y = liz_jinja_whole(j, b);
    return (x > y) - (x < y);
}

static void check_nesting(jinja *j, int depth)
{
    liz_jinja_work(j, 1);
    if (depth > JINJA_NESTING_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "values stand more than %d deep within each other", JINJA_NESTING_MAX);
}

static bool equal_dicts(jinja *j, const jinja_dict *a, const jinja_dict *b, int depth)
{
    if (a == b || a->is_namespace || b->is_namespace || a->n != b->n)
        return a == b;
    for (size_t i = 0; i < a->n; i++) {
        const jinja_value *other = liz_jinja_dict_get(j, b, a->keys[i]);
        if (other == NULL || !liz_jinja_equal(j, a->values[i], *other, depth + 1))
            return false;
    }
    return true;
}

bool liz_jinja_equal(jinja *j, jinja_value a, jinja_value b, int depth)
{
    check_nesting(j, depth);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b))
        return compare_numbers(j, a, b) == 0;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JINJA_STRING: return a.str.n == b.str.n && compare_strings(j, a.str, b.str) == 0;
    case JINJA_DICT: return equal_dicts(j, a.dict, b.dict, depth);
    case JINJA_LOOP: return a.loop == b.loop;
    case JINJA_CALLABLE: return a.callable == b.callable;
    case JINJA_LIST: break;
    default: return true; /* undefined, none */
    }
    if (a.list == b.list || a.list->kind != b.list->kind || a.list->n != b.list->n || a.list->kind == JINJA_GENERATOR)
        return a.list == b.list;
    for (size_t i = 0; i < a.list->n; i++)
        if (!liz_jinja_equal(j, a.list->v[i], b.list->v[i], depth + 1))
            return false;
    return true;
}

int liz_jinja_compare(jinja *j, jinja_value a, jinja_value b, int depth)
{
    check_nesting(j, depth);
    if (liz_jinja_is_number(a) && liz_jinja_is_number(b))
        return compare_numbers(j, a, b);
    if (a.type == JINJA_STRING && b.type == JINJA_STRING)
        return compare_strings(j, a.str, b.str);
    liz_jinja_defined(j, a);
    liz_jinja_defined(j, b);
    if (a.type != JINJA_LIST || b.type != JINJA_LIST || a.list->kind != b.list->kind)
        liz_jinja_fail(j, LIZ_E_FORMAT, "'<' not supported between instances of '%s' and '%s'", liz_jinja_type_name(a),
                       liz_jinja_type_name(b));
    for (size_t i = 0; i < a.list->n && i < b.list->n; i++) {
        int order = liz_jinja_equal(j, a.list->v[i], b.list->v[i], depth + 1)
                        ? 0
                        : liz_jinja_compare(j, a.list->v[i], b.list->v[i], depth + 1);
        if (order != 0)
            return order;
    }
    return (a.list->n > b.list->n) - (a.list->n < b.list->n);
}

bool liz_jinja_contains(jinja *j, jinja_value container, jinja_value item)
{
    if (container.type == JINJA_STRING) {
        if (item.type != JINJA_STRING)
            liz_jinja_fail(j, LIZ_E_FORMAT, "'in <string>' requires string as left operand, not %s",
                           liz_jinja_type_name(item));
        liz_jinja_work(j, container.str.n / 64);
        return memmem(container.str.p, container.str.n, item.str.p, item.str.n) != NULL;
    }
    if (container.type == JINJA_DICT && !container.dict->is_namespace)
        return liz_jinja_dict_get(j, container.dict, item) != NULL;
    if (container.type != JINJA_LIST && container.type != JINJA_UNDEFINED)
        liz_jinja_fail(j, LIZ_E_FORMAT, "argument of type '%s' is not iterable", liz_jinja_type_name(container));
    const jinja_list *items = liz_jinja_items(j, container);
    for (size_t i = 0; i < items->n; i++)
        if (liz_jinja_equal(j, items->v[i], item, 0))
            return true;
    return false;
}

/* ---- Items -------------------------------------------------------------------------------------- */

jinja_list *liz_jinja_items(jinja *j, jinja_value v)
{
    jinja_value items = liz_jinja_list(j, JINJA_PLAIN, v.type == JINJA_STRING ? liz_jinja_n_chars(v.str) + 1 : 0);
    switch (v.type) {
    case JINJA_UNDEFINED: return items.list;
    case JINJA_STRING:
        for (jinja_str s = v.str; s.n > 0;) {
            size_t n = liz_jinja_char_at(liz_jinja_cut(s, 1, s.n), 0) + 1;
            liz_jinja_push(items, liz_jinja_string(liz_jinja_cut(s, 0, n)));
            s = liz_jinja_cut(s, n, s.n);
        }
        return items.list;
    case JINJA_DICT:
        if (v.dict->is_namespace)
            break;
        *items.list = (jinja_list){.v = v.dict->keys, .n = v.dict->n};
        return items.list;
    case JINJA_LIST:
        *items.list = *v.list;
        if (v.list->kind == JINJA_GENERATOR)
            v.list->n = 0;
        return items.list;
    default: break;
    }
    liz_jinja_fail(j, LIZ_E_FORMAT, "'%s' object is not iterable", liz_jinja_type_name(v));
}

size_t liz_jinja_length(jinja *j, jinja_value v)
{
    if (v.type == JINJA_STRING)
        return liz_jinja_n_chars(v.str);
    if (v.type == JINJA_DICT && !v.dict->is_namespace)
        return v.dict->n;
    if (v.type == JINJA_UNDEFINED)
        return 0;
    if (v.type != JINJA_LIST || v.list->kind == JINJA_GENERATOR)
        liz_jinja_fail(j, LIZ_E_FORMAT, "object of type '%s' has no len()", liz_jinja_type_name(v));
    return v.list->n;
}

/* ---- Attributes and items ----------------------------------------------------------------------- */

static jinja_value bound(jinja *j, const jinja_function *function, jinja_value self)
{
    jinja_callable *callable = liz_jinja_alloc(j, 1, sizeof *callable);
    *callable = (jinja_callable){.function = function, .self = self};
    return (jinja_value){JINJA_CALLABLE, {.callable = callable}};
}

static jinja_value loop_attr(const jinja_loop *loop, jinja_str name, const char *owner)
{
    int64_t i = (int64_t)loop->i, n = (int64_t)loop->items->n;
    const jinja_value *items = loop->items->v;
    const struct {
        const char *name;
        jinja_value value;
    } attrs[] = {
        {"index", liz_jinja_int(i + 1)},
        {"index0", liz_jinja_int(i)},
        {"revindex", liz_jinja_int(n - i)},
        {"revindex0", liz_jinja_int(n - i - 1)},
        {"first", liz_jinja_bool(i == 0)},
        {"last", liz_jinja_bool(i + 1 == n)},
        {"length", liz_jinja_int(n)},
        {"depth", liz_jinja_int(loop->depth + 1)},
        {"depth0", liz_jinja_int(loop->depth)},
        {"previtem", i > 0 ? items[i - 1] : liz_jinja_missing("there is no previous item", 25, NULL)},
        {"nextitem", i + 1 < n ? items[i + 1] : liz_jinja_missing("there is no next item", 21, NULL)},
    };
    for (size_t k = 0; k < sizeof attrs / sizeof *attrs; k++)
        if (liz_str_is(liz_jinja_plain(name), attrs[k].name))
            return attrs[k].value;
    return liz_jinja_missing(name.p, name.n, owner);
}

/* What v has by name beside its items: methods, and a loop's values. Undefined when there is none. */
static jinja_value own_attr(jinja *j, jinja_value v, jinja_str name)
{
    const jinja_function *method = liz_jinja_method(v, name);
    if (method != NULL)
        return bound(j, method, v);
    const char *owner = liz_jinja_type_name(v);
    if (v.type == JINJA_LOOP)
        return loop_attr(v.loop, name, owner);
    if (v.type == JINJA_CALLABLE && v.callable->macro != NULL && liz_str_is(liz_jinja_plain(name), "name"))
        return v.callable->macro->value;
    return liz_jinja_missing(name.p, name.n, owner);
}

static jinja_value key_of(jinja *j, jinja_value v, jinja_value key, jinja_value otherwise)
{
    const jinja_value *there = v.type == JINJA_DICT ? liz_jinja_dict_get(j, v.dict, key) : NULL;
    return there ? *there : otherwise;
}

jinja_value liz_jinja_attr(jinja *j, jinja_value v, jinja_str name)
{
    liz_jinja_defined(j, v);
    jinja_value own = own_attr(j, v, name);
    return own.type != JINJA_UNDEFINED || v.type == JINJA_LOOP ? own : key_of(j, v, liz_jinja_string(name), own);
}

jinja_value liz_jinja_item(jinja *j, jinja_value v, jinja_value key)
{
    liz_jinja_defined(j, v);
    if (key.type == JINJA_STRING) {
        jinja_value value = key_of(j, v, key, liz_jinja_missing("", 0, NULL));
        return value.type != JINJA_UNDEFINED ? value : own_attr(j, v, key.str);
    }
    jinja_text name = {0};
    liz_jinja_repr(j, &name, key, 0);
    jinja_value none = liz_jinja_missing(name.p, name.n, liz_jinja_type_name(v));
    if (v.type == JINJA_DICT)
        return key_of(j, v, key, none);
    bool sequence = v.type == JINJA_STRING || (v.type == JINJA_LIST && v.list->kind <= JINJA_RANGE);
    if (!sequence || (key.type != JINJA_INT && key.type != JINJA_BOOL))
        return none;
    int64_t i = liz_jinja_whole(j, key), n = (int64_t)liz_jinja_length(j, v);
    i = i < 0 && i >= -n ? i + n : i;
    if (i < 0 || i >= n)
        return none;
    if (v.type == JINJA_LIST)
        return v.list->v[i];
    size_t begin = liz_jinja_char_at(v.str, (size_t)i);
    jinja_str rest = liz_jinja_cut(v.str, begin, v.str.n);
    return liz_jinja_string(liz_jinja_cut(rest, 0, liz_jinja_char_at(rest, 1)));
}

/* An end of a slice, as Python settles it, into [low, high]. */
static int64_t slice_end(jinja *j, jinja_value v, int64_t otherwise, int64_t n, int64_t low, int64_t high)
{
    int64_t i = liz_jinja_whole_or(j, v, otherwise);
    if (v.type != JINJA_NONE && i < 0)
        i = i + n < low ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

jinja_value liz_jinja_slice(jinja *j, jinja_value v, jinja_value begin, jinja_value end, jinja_value step)
{
    liz_jinja_defined(j, v);
    if (v.type != JINJA_STRING && (v.type != JINJA_LIST || v.list->kind > JINJA_RANGE))
        return liz_jinja_missing("slice", 5, liz_jinja_type_name(v));
    int64_t n = (int64_t)liz_jinja_length(j, v), by = liz_jinja_whole_or(j, step, 1);
    if (by == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "slice step cannot be zero");
    int64_t first = by > 0 ? slice_end(j, begin, 0, n, 0, n) : slice_end(j, begin, n - 1, n, -1, n - 1);
    int64_t last = by > 0 ? slice_end(j, end, n, n, 0, n) : slice_end(j, end, -1, n, -1, n - 1);
    if (v.type == JINJA_STRING && by == 1) {
        size_t from = liz_jinja_char_at(v.str, (size_t)first);
        jinja_str rest = liz_jinja_cut(v.str, from, v.str.n);
        return liz_jinja_string(
            liz_jinja_cut(rest, 0, first < last ? liz_jinja_char_at(rest, (size_t)(last - first)) : 0));
    }
    const jinja_list *items = liz_jinja_items(j, v);
    jinja_value out = liz_jinja_list(j, v.type == JINJA_LIST ? v.list->kind : JINJA_PLAIN, (size_t)n);
    jinja_text text = {0};
    for (int64_t i = first; by > 0 ? i < last : i > last; i = by > n || by < -n ? last : i + by) {
        if (v.type == JINJA_STRING)
            liz_jinja_add(j, &text, items->v[i].str);
        else
            liz_jinja_push(out, items->v[i]);
    }
    return v.type == JINJA_STRING ? liz_jinja_string(liz_jinja_text_str(&text)) : out;
}

jinja_value liz_jinja_path(jinja *j, jinja_value v, jinja_value path)
{
    if (path.type != JINJA_STRING)
        return liz_jinja_item(j, v, path);
    for (jinja_str rest = path.str;;) {
        const char *dot = memchr(rest.p, '.', rest.n);
        jinja_str part = liz_jinja_cut(rest, 0, dot ? (size_t)(dot - rest.p) : rest.n);
        bool is_index = part.n > 0 && part.n < 10;
        for (size_t i = 0; i < part.n; i++)
            is_index = is_index && part.p[i] >= '0' && part.p[i] <= '9';
        v = liz_jinja_item(j, v, is_index ? liz_jinja_number(j, liz_jinja_plain(part)) : liz_jinja_string(part));
        if (dot == NULL)
            return v;
        rest = liz_jinja_cut(rest, part.n + 1, rest.n);
    }
}

/* ---- Characters --------------------------------------------------------------------------------- */

unsigned liz_jinja_char(const char *s, size_t n, size_t *len, unsigned *code)
{
    uint32_t mask = liz_text_char(liz_text_unicode_get(), s, n, len, code);
    bool separator = *code >= 0x1C && *code <= 0x1F;
    return ((mask & LIZ_CHAR_SPACE) || separator ? JINJA_CHAR_SPACE : 0u) |
           (mask & LIZ_CHAR_L ? JINJA_CHAR_ALPHA : 0u) | (mask & LIZ_CHAR_ND ? JINJA_CHAR_DIGIT : 0u) |
           (mask & (LIZ_CHAR_LU | LIZ_CHAR_LT) ? JINJA_CHAR_UPPER : 0u) | (mask & LIZ_CHAR_LL ? JINJA_CHAR_LOWER : 0u) |
           (*code == ' ' || !(mask & (LIZ_CHAR_C | LIZ_CHAR_Z | LIZ_CHAR_INVALID)) ? JINJA_CHAR_PRINTS : 0u);
}

size_t liz_jinja_n_chars(jinja_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

size_t liz_jinja_char_at(jinja_str s, size_t index)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80 && index-- == 0)
            return i;
    return s.n;
}

static bool strips(const char *p, size_t n, const jinja_str *chars)
{
    size_t len;
    unsigned code;
    return chars ? memmem(chars->p, chars->n, p, n) != NULL : (liz_jinja_char(p, n, &len, &code) & JINJA_CHAR_SPACE);
}

jinja_str liz_jinja_strip(jinja_str s, const jinja_str *chars, bool left, bool right)
{
    size_t begin = 0, end = s.n;
    while (left && begin < end) {
        size_t n = 1;
        while (begin + n < end && ((unsigned char)s.p[begin + n] & 0xC0) == 0x80)
            n++;
        if (!strips(s.p + begin, n, chars))
            break;
        begin += n;
    }
    while (right && begin < end) {
        size_t n = 1;
        while (n < end - begin && ((unsigned char)s.p[end - n] & 0xC0) == 0x80)
            n++;
        if (!strips(s.p + end - n, n, chars))
            break;
        end -= n;
    }
    return liz_jinja_cut(s, begin, end);
}
