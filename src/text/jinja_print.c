/* jinja_print.c - values as text: str() and repr() of Python, and JSON as Python's json.dumps writes it. The two walk
 * values alike and differ in words: one writer serves both. */
#include "text/jinja_impl.h"
#include "text/text_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct writer {
    jinja *j;
    jinja_text out;
    bool is_json, has_indent, sort_keys, ascii;
    jinja_str indent; /* of one level */
    jinja_str item_end, key_end;
} writer;

static void put(writer *w, const char *s) { liz_jinja_puts(w->j, &w->out, s); }

/* ---- Numbers and strings ------------------------------------------------------------------------- */

/* The shortest text that reads back as the same float, as Python writes it. */
static void print_float(writer *w, double x)
{
    char e[40], text[64];
    int digits = 0, enough = 17;
    liz_jinja_work(w->j, 64); /* for the attempts below */
    if (!isfinite(x)) {
        put(w, isnan(x) ? (w->is_json ? "NaN" : "nan") : &(w->is_json ? "-Infinity" : "-inf")[x > 0]);
        return;
    }
    while (digits < enough) { /* more digits than suffice suffice too */
        int some = (digits + enough) / 2;
        snprintf(e, sizeof e, "%.*e", some, x);
        if (strtod(e, NULL) == x)
            enough = some;
        else
            digits = some + 1;
    }
    snprintf(e, sizeof e, "%.*e", digits, x);
    int exponent = atoi(strchr(e, 'e') + 1);
    snprintf(text, sizeof text, "%.*f", exponent >= 16 ? 0 : digits > exponent ? digits - exponent : 1, x);
    put(w, exponent < -4 || exponent >= 16 ? e : text);
}

/* The escape of a character; false where it stands for itself. `quote` is the string's. */
static bool escape(const writer *w, unsigned code, uint32_t flags, char quote, char out[16])
{
    static const char known[] = "\\\n\r\t\f\b", names[] = "\\nrtfb";
    const char *at = code > 0 && code < 128 ? strchr(known, (int)code) : NULL;
    if (at != NULL && (w->is_json || at - known < 4))
        snprintf(out, 16, "\\%c", names[at - known]);
    else if (code == (unsigned char)quote)
        snprintf(out, 16, "\\%c", quote);
    else if (w->is_json ? code >= 0x20 && !(w->ascii && code > 0x7E)
                        : code == ' ' || !(flags & (LIZ_CHAR_C | LIZ_CHAR_Z | LIZ_CHAR_INVALID)))
        return false;
    else if (w->is_json && code > 0xFFFF)
        snprintf(out, 16, "\\u%04x\\u%04x", 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
    else
        snprintf(out, 16, code < 0x100 && !w->is_json ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
    return true;
}

static void print_string(writer *w, jinja_str s)
{
    bool single = memchr(s.p, '\'', s.n) != NULL, twice = memchr(s.p, '"', s.n) != NULL;
    const char *quote = w->is_json || (single && !twice) ? "\"" : "'";
    size_t n, begin = 0;
    put(w, quote);
    liz_jinja_work(w->j, s.n / 4);
    for (size_t i = 0; i < s.n; i += n) {
        char text[16];
        unsigned code;
        uint32_t flags = liz_jinja_char(s.p + i, s.n - i, &n, &code);
        if (!escape(w, code, flags, *quote, text))
            continue;
        liz_jinja_work(w->j, 4);
        liz_jinja_add(w->j, &w->out, liz_jinja_cut(s, begin, i));
        put(w, text);
        begin = i + n;
    }
    liz_jinja_add(w->j, &w->out, liz_jinja_cut(s, begin, s.n));
    put(w, quote);
}

/* ---- Values ------------------------------------------------------------------------------------- */

static void print_value(writer *w, jinja_value v, int depth);

static void newline(writer *w, int depth)
{
    if (w->has_indent)
        put(w, "\n");
    while (w->has_indent && depth-- > 0)
        liz_jinja_add(w->j, &w->out, w->indent);
}

static void print_key(writer *w, jinja_value key, int depth)
{
    bool quoted = w->is_json && key.type != JINJA_STRING;
    if (quoted && (key.type == JINJA_UNDEFINED || key.type > JINJA_STRING))
        liz_jinja_fail(w->j, LIZ_E_FORMAT, "keys must be str, int, float, bool or None, not %s",
                       liz_jinja_type_name(key));
    put(w, quoted ? "\"" : "");
    print_value(w, key, depth);
    put(w, quoted ? "\"" : "");
    liz_jinja_add(w->j, &w->out, w->key_end);
}

/* The values [n] with their keys, which may be NULL, between two brackets. */
static void print_items(writer *w, const char *const around[2], const jinja_value *keys, const jinja_value *values,
                        size_t n, int depth)
{
    size_t *order = w->sort_keys && keys ? liz_jinja_alloc(w->j, n, sizeof *order) : NULL;
    if (order != NULL)
        liz_jinja_sort(w->j, keys, order, n, false);
    put(w, around[0]);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            liz_jinja_add(w->j, &w->out, w->item_end);
        newline(w, depth + 1);
        if (keys != NULL)
            print_key(w, keys[order ? order[i] : i], depth + 1);
        print_value(w, values[order ? order[i] : i], depth + 1);
    }
    if (n > 0)
        newline(w, depth);
    put(w, n == 1 && *around[1] == ')' && !w->is_json ? ",)" : around[1]); /* a tuple of one */
}

static void print_list(writer *w, const jinja_list *list, int depth)
{
    static const char *const around[][2] = {{"[", "]"},
                                            {"(", ")"},
                                            {"range(", ")"},
                                            {"dict_keys([", "])"},
                                            {"dict_values([", "])"},
                                            {"dict_items([", "])"},
                                            {"<generator", ">"}};
    size_t n = list->kind == JINJA_GENERATOR ? 0 : list->n;
    jinja_list_kind kind = w->is_json ? JINJA_PLAIN : list->kind;
    if (kind == JINJA_RANGE) {
        const jinja_range *r = list->range;
        jinja_value parts[] = {liz_jinja_int(r->begin), liz_jinja_int(r->end), liz_jinja_int(r->step)};
        print_items(w, around[kind], NULL, parts, r->step == 1 ? 2 : 3, depth);
    } else {
        print_items(w, around[kind], NULL, list->v, n, depth);
    }
}

static void print_value(writer *w, jinja_value v, int depth)
{
    static const char *const dict[] = {"{", "}"}, *const space[] = {"<Namespace {", "}>"};
    char text[32];
    liz_jinja_nest(w->j, depth);
    if (w->is_json &&
        (v.type == JINJA_UNDEFINED || v.type > JINJA_DICT || (v.type == JINJA_LIST && v.list->kind > JINJA_TUPLE)))
        liz_jinja_fail(w->j, LIZ_E_FORMAT, "Object of type %s is not JSON serializable", liz_jinja_type_name(v));
    switch (v.type) {
    case JINJA_UNDEFINED: put(w, "Undefined"); break;
    case JINJA_NONE: put(w, w->is_json ? "null" : "None"); break;
    case JINJA_BOOL: put(w, v.truth ? (w->is_json ? "true" : "True") : w->is_json ? "false" : "False"); break;
    case JINJA_INT:
        snprintf(text, sizeof text, "%" PRId64, v.whole);
        put(w, text);
        break;
    case JINJA_BIG: liz_jinja_add(w->j, &w->out, v.str); break;
    case JINJA_FLOAT: print_float(w, v.real); break;
    case JINJA_STRING: print_string(w, v.str); break;
    case JINJA_LIST: print_list(w, v.list, depth); break;
    case JINJA_DICT: print_items(w, dict, v.dict->keys, v.dict->values, v.dict->n, depth); break;
    case JINJA_NAMESPACE: print_items(w, space, v.dict->keys, v.dict->values, v.dict->n, depth); break;
    case JINJA_LOOP: put(w, "<LoopContext>"); break;
    case JINJA_CALLABLE: put(w, "<function>"); break;
    }
}

jinja_str liz_jinja_repr(jinja *j, jinja_value v)
{
    writer w = {.j = j, .item_end = JINJA_STR(", "), .key_end = JINJA_STR(": ")};
    print_value(&w, v, 0);
    return liz_jinja_text(&w.out).str;
}

jinja_str liz_jinja_str(jinja *j, jinja_value v)
{
    return v.type == JINJA_STRING ? v.str : v.type == JINJA_UNDEFINED ? JINJA_STR("") : liz_jinja_repr(j, v);
}

/* `separators`: the ends of an item and of a key, as a text of two characters or a list of two texts. */
static void read_separators(writer *w, jinja_value separators)
{
    const jinja_list *two = liz_jinja_items(w->j, separators);
    if (two->n != 2 || two->v[0].type != JINJA_STRING || two->v[1].type != JINJA_STRING)
        liz_jinja_fail(w->j, LIZ_E_FORMAT, "tojson: separators are two texts, that after an item and that after a key");
    w->item_end = two->v[0].str;
    w->key_end = two->v[1].str;
}

/* tojson(ensure_ascii=false, indent, separators, sort_keys). */
jinja_value liz_jinja_tojson(jinja *j, const jinja_value *arg, JINJA_UNUSED const jinja_args *all, JINJA_UNUSED int how)
{
    writer w = {.j = j, .is_json = true, .ascii = liz_jinja_truth(arg[1]), .sort_keys = liz_jinja_truth(arg[4])};
    w.has_indent = !liz_jinja_absent(arg[2]) && arg[2].type != JINJA_NONE;
    if (arg[2].type == JINJA_STRING)
        w.indent = arg[2].str;
    else if (w.has_indent)
        w.indent = liz_jinja_binary(j, '*', liz_jinja_string(JINJA_STR(" ")), arg[2]).str;
    w.item_end = w.has_indent ? JINJA_STR(",") : JINJA_STR(", ");
    w.key_end = JINJA_STR(": ");
    if (!liz_jinja_absent(arg[3]) && arg[3].type != JINJA_NONE)
        read_separators(&w, arg[3]);
    print_value(&w, arg[0], 0);
    return liz_jinja_text(&w.out);
}
