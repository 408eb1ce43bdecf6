/* jinja_print.c - values as text: str() and repr() of Python, and JSON as Python's json.dumps writes it. */
#include "text/jinja_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Numbers ------------------------------------------------------------------------------------ */

void liz_jinja_print_float(jinja *j, jinja_text *out, double x)
{
    char e[40], text[64];
    int digits = 0;
    if (!isfinite(x)) {
        liz_jinja_puts(j, out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    do
        snprintf(e, sizeof e, "%.*e", digits, x);
    while (strtod(e, NULL) != x && ++digits < 17);
    int exponent = atoi(strchr(e, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        snprintf(text, sizeof text, "%s", e);
    else
        snprintf(text, sizeof text, "%.*f", digits > exponent ? digits - exponent : 1, x);
    liz_jinja_puts(j, out, text);
}

static void print_number(jinja *j, jinja_text *out, jinja_value v)
{
    char text[32];
    if (v.type == JINJA_FLOAT) {
        liz_jinja_print_float(j, out, v.real);
    } else if (v.type == JINJA_BIG) {
        liz_jinja_add(j, out, v.str);
    } else {
        snprintf(text, sizeof text, "%" PRId64, v.whole);
        liz_jinja_puts(j, out, text);
    }
}

/* ---- str() and repr() --------------------------------------------------------------------------- */

/* The escape of a character in a string's repr; false where it stands for itself. */
static bool escape_repr(unsigned code, unsigned flags, char quote, char out[16])
{
    static const char known[] = "\\\n\r\t", names[] = "\\nrt";
    const char *at = code < 128 && code > 0 ? strchr(known, (int)code) : NULL;
    if (at != NULL)
        snprintf(out, 16, "\\%c", names[at - known]);
    else if (code == (unsigned char)quote)
        snprintf(out, 16, "\\%c", quote);
    else if (flags & JINJA_CHAR_PRINTS)
        return false;
    else
        snprintf(out, 16, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
    return true;
}

static void repr_string(jinja *j, jinja_text *out, jinja_str s)
{
    bool single = memchr(s.p, '\'', s.n) != NULL, twice = memchr(s.p, '"', s.n) != NULL;
    const char *quote = single && !twice ? "\"" : "'";
    size_t n, begin = 0;
    liz_jinja_puts(j, out, quote);
    for (size_t i = 0; i < s.n; i += n) {
        unsigned code, flags = liz_jinja_char(s.p + i, s.n - i, &n, &code);
        char escape[16];
        if (!escape_repr(code, flags, *quote, escape))
            continue;
        liz_jinja_add(j, out, liz_jinja_cut(s, begin, i));
        liz_jinja_puts(j, out, escape);
        begin = i + n;
    }
    liz_jinja_add(j, out, liz_jinja_cut(s, begin, s.n));
    liz_jinja_puts(j, out, quote);
}

static void repr_list(jinja *j, jinja_text *out, const jinja_list *list, int depth)
{
    static const char *const around[][2] = {{"[", "]"},
                                            {"(", ")"},
                                            {"range(", ")"},
                                            {"dict_keys([", "])"},
                                            {"dict_values([", "])"},
                                            {"dict_items([", "])"},
                                            {"<generator", ">"}};
    size_t n = list->kind >= JINJA_GENERATOR ? 0 : list->n;
    liz_jinja_puts(j, out, around[list->kind][0]);
    if (list->kind == JINJA_RANGE && n > 0) {
        print_number(j, out, list->v[0]);
        liz_jinja_puts(j, out, ", ");
        print_number(j, out, liz_jinja_int(list->v[n - 1].whole + 1));
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        liz_jinja_puts(j, out, i ? ", " : "");
        liz_jinja_repr(j, out, list->v[i], depth + 1);
    }
    liz_jinja_puts(j, out, list->kind == JINJA_TUPLE && n == 1 ? ",)" : around[list->kind][1]);
}

static void repr_dict(jinja *j, jinja_text *out, const jinja_dict *dict, int depth)
{
    liz_jinja_puts(j, out, dict->is_namespace ? "<Namespace {" : "{");
    for (size_t i = 0; i < dict->n; i++) {
        liz_jinja_puts(j, out, i ? ", " : "");
        liz_jinja_repr(j, out, dict->keys[i], depth + 1);
        liz_jinja_puts(j, out, ": ");
        liz_jinja_repr(j, out, dict->values[i], depth + 1);
    }
    liz_jinja_puts(j, out, dict->is_namespace ? "}>" : "}");
}

void liz_jinja_repr(jinja *j, jinja_text *out, jinja_value v, int depth)
{
    liz_jinja_work(j, 1);
    if (depth > JINJA_NESTING_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "values stand more than %d deep within each other", JINJA_NESTING_MAX);
    switch (v.type) {
    case JINJA_UNDEFINED: liz_jinja_puts(j, out, "Undefined"); break;
    case JINJA_NONE: liz_jinja_puts(j, out, "None"); break;
    case JINJA_BOOL: liz_jinja_puts(j, out, v.truth ? "True" : "False"); break;
    case JINJA_INT:
    case JINJA_BIG:
    case JINJA_FLOAT: print_number(j, out, v); break;
    case JINJA_STRING: repr_string(j, out, v.str); break;
    case JINJA_LIST: repr_list(j, out, v.list, depth); break;
    case JINJA_DICT: repr_dict(j, out, v.dict, depth); break;
    case JINJA_LOOP: liz_jinja_puts(j, out, "<LoopContext>"); break;
    case JINJA_CALLABLE: liz_jinja_puts(j, out, "<function>"); break;
    }
}

jinja_str liz_jinja_str(jinja *j, jinja_value v)
{
    if (v.type == JINJA_STRING)
        return v.str;
    jinja_text text = {0};
    if (v.type != JINJA_UNDEFINED)
        liz_jinja_repr(j, &text, v, 0);
    return liz_jinja_text_str(&text);
}

/* ---- JSON --------------------------------------------------------------------------------------- */

typedef struct json_writer {
    jinja *j;
    jinja_text out;
    jinja_str indent; /* of one level */
    bool has_indent, sort_keys, ascii;
    jinja_str item_end, key_end;
} json_writer;

static void json_value(json_writer *w, jinja_value v, int depth);

/* The escape of a character in JSON; false where it stands for itself. */
static bool escape_json(unsigned code, bool ascii, char out[16])
{
    static const char known[] = "\"\\\n\r\t\f\b", names[] = "\"\\nrtfb";
    const char *at = code < 128 && code > 0 ? strchr(known, (int)code) : NULL;
    if (at != NULL)
        snprintf(out, 16, "\\%c", names[at - known]);
    else if (code > 0xFFFF && ascii)
        snprintf(out, 16, "\\u%04x\\u%04x", 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
    else if (code < 0x20 || (ascii && code > 0x7E))
        snprintf(out, 16, "\\u%04x", code);
    else
        return false;
    return true;
}

static void json_string(json_writer *w, jinja_str s)
{
    size_t n, begin = 0;
    liz_jinja_puts(w->j, &w->out, "\"");
    for (size_t i = 0; i < s.n; i += n) {
        unsigned code;
        char escape[16];
        liz_jinja_char(s.p + i, s.n - i, &n, &code);
        if (!escape_json(code, w->ascii, escape))
            continue;
        liz_jinja_add(w->j, &w->out, liz_jinja_cut(s, begin, i));
        liz_jinja_puts(w->j, &w->out, escape);
        begin = i + n;
    }
    liz_jinja_add(w->j, &w->out, liz_jinja_cut(s, begin, s.n));
    liz_jinja_puts(w->j, &w->out, "\"");
}

static void json_newline(json_writer *w, int depth)
{
    if (!w->has_indent)
        return;
    liz_jinja_puts(w->j, &w->out, "\n");
    while (depth-- > 0)
        liz_jinja_add(w->j, &w->out, w->indent);
}

static void json_key(json_writer *w, jinja_value key)
{
    if (key.type == JINJA_STRING) {
        json_string(w, key.str);
        return;
    }
    if (key.type == JINJA_UNDEFINED || key.type > JINJA_STRING)
        liz_jinja_fail(w->j, LIZ_E_FORMAT, "keys must be str, int, float, bool or None, not %s",
                       liz_jinja_type_name(key));
    liz_jinja_puts(w->j, &w->out, "\"");
    json_value(w, key, 0);
    liz_jinja_puts(w->j, &w->out, "\"");
}

static void json_dict(json_writer *w, const jinja_dict *dict, int depth)
{
    size_t *order = w->sort_keys ? liz_jinja_alloc(w->j, dict->n, sizeof *order) : NULL;
    if (order != NULL)
        liz_jinja_sort(w->j, dict->keys, order, dict->n, false);
    liz_jinja_puts(w->j, &w->out, "{");
    for (size_t i = 0; i < dict->n; i++) {
        size_t at = order ? order[i] : i;
        if (i > 0)
            liz_jinja_add(w->j, &w->out, w->item_end);
        json_newline(w, depth + 1);
        json_key(w, dict->keys[at]);
        liz_jinja_add(w->j, &w->out, w->key_end);
        json_value(w, dict->values[at], depth + 1);
    }
    if (dict->n > 0)
        json_newline(w, depth);
    liz_jinja_puts(w->j, &w->out, "}");
}

static void json_list(json_writer *w, const jinja_list *list, int depth)
{
    liz_jinja_puts(w->j, &w->out, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            liz_jinja_add(w->j, &w->out, w->item_end);
        json_newline(w, depth + 1);
        json_value(w, list->v[i], depth + 1);
    }
    if (list->n > 0)
        json_newline(w, depth);
    liz_jinja_puts(w->j, &w->out, "]");
}

static void json_value(json_writer *w, jinja_value v, int depth)
{
    jinja *j = w->j;
    liz_jinja_work(j, 1);
    if (depth > JINJA_NESTING_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "values stand more than %d deep within each other", JINJA_NESTING_MAX);
    switch (v.type) {
    case JINJA_NONE: liz_jinja_puts(j, &w->out, "null"); return;
    case JINJA_BOOL: liz_jinja_puts(j, &w->out, v.truth ? "true" : "false"); return;
    case JINJA_INT:
    case JINJA_BIG: print_number(j, &w->out, v); return;
    case JINJA_FLOAT:
        if (isfinite(v.real))
            print_number(j, &w->out, v);
        else
            liz_jinja_puts(j, &w->out, isnan(v.real) ? "NaN" : v.real < 0 ? "-Infinity" : "Infinity");
        return;
    case JINJA_STRING: json_string(w, v.str); return;
    case JINJA_LIST:
        if (v.list->kind > JINJA_TUPLE)
            break;
        json_list(w, v.list, depth);
        return;
    case JINJA_DICT:
        if (v.dict->is_namespace)
            break;
        json_dict(w, v.dict, depth);
        return;
    default: break;
    }
    liz_jinja_fail(j, LIZ_E_FORMAT, "Object of type %s is not JSON serializable", liz_jinja_type_name(v));
}

/* tojson(ensure_ascii=false, indent, separators, sort_keys). */
jinja_value liz_jinja_tojson(jinja *j, jinja_value *arg, const jinja_args *all)
{
    (void)all;
    json_writer w = {.j = j, .ascii = liz_jinja_truth(arg[1]), .sort_keys = liz_jinja_truth(arg[4])};
    w.has_indent = arg[2].type != JINJA_UNDEFINED && arg[2].type != JINJA_NONE;
    if (arg[2].type == JINJA_STRING) {
        w.indent = arg[2].str;
    } else if (w.has_indent) {
        int64_t n = liz_jinja_whole(j, arg[2]);
        n = n < 0 ? 0 : n > 64 ? 64 : n;
        w.indent = (jinja_str){memset(liz_jinja_alloc(j, 64, 1), ' ', 64), NULL, (size_t)n};
    }
    w.item_end = w.has_indent ? JINJA_STR(",") : JINJA_STR(", ");
    w.key_end = JINJA_STR(": ");
    if (arg[3].type == JINJA_LIST && arg[3].list->n == 2) {
        w.item_end = liz_jinja_str(j, arg[3].list->v[0]);
        w.key_end = liz_jinja_str(j, arg[3].list->v[1]);
    }
    json_value(&w, arg[0], 0);
    return liz_jinja_string(liz_jinja_text_str(&w.out));
}
