/* json.c - reading: one recursive descent, bounded in depth, over text that is checked to be UTF-8 as it goes.
 *
 * A string without escapes is a slice of the source; one with escapes is decoded into the arena, where it is never
 * longer than it was written. Numbers are only checked, never converted. Duplicate keys are found when an object ends,
 * by sorting its members where there are many, so that a hostile object costs n log n. An escaped surrogate without
 * its partner names no character and is refused. Nothing here depends on the locale but for the decimal point, which
 * Lizzie leaves at C's. */
#include "base/json.h"

#include "base/status.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { LINEAR_MEMBERS_MAX = 12 };

typedef struct reader {
    const char *text, *at, *end;
    liz_arena *arena;
    liz_error *err;
    int depth;
} reader;

/* Fails at `where`, counting its line, where there is more than one, and column (in characters). */
static liz_status fail_at(reader *r, liz_status code, const char *where, const char *what)
{
    int line = 1, column = 1;
    for (const char *p = r->text; p < where; p++) {
        if (*p == '\n')
            line++, column = 1;
        else if (((unsigned char)*p & 0xC0) != 0x80)
            column++;
    }
    /* A line of JSONL has its number elsewhere. */
    if (memchr(r->text, '\n', (size_t)(r->end - r->text)) == NULL)
        liz_fail_at(r->err, code, (size_t)(where - r->text), "%s at column %d", what, column);
    else
        liz_fail_at(r->err, code, (size_t)(where - r->text), "%s at line %d, column %d", what, line, column);
    if (r->err != NULL) {
        r->err->line = line;
        r->err->column = column;
    }
    return code;
}

static liz_status fail_format(reader *r, const char *what) { return fail_at(r, LIZ_E_FORMAT, r->at, what); }
static liz_status fail_memory(reader *r) { return fail_at(r, LIZ_E_MEMORY, r->at, "no memory for the JSON value"); }

static void skip_space(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool at_digit(const reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static bool skip_digits(reader *r)
{
    if (!at_digit(r))
        return false;
    while (at_digit(r))
        r->at++;
    return true;
}

static liz_status read_number(reader *r)
{
    if (*r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!skip_digits(r))
        return fail_format(r, "a digit is missing");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!skip_digits(r))
            return fail_format(r, "a digit is missing after the decimal point");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!skip_digits(r))
            return fail_format(r, "a digit is missing in the exponent");
    }
    if (at_digit(r))
        return fail_format(r, "a number begins with 0");
    return LIZ_OK;
}

/* Four hexadecimal digits at `p`, which stand before `end`; -1 when they do not. */
static int read_hex4(const char *p, const char *end)
{
    char four[5] = "";
    if (end - p < 4)
        return -1;
    memcpy(four, p, 4);
    return strspn(four, "0123456789abcdefABCDEF") == 4 ? (int)strtol(four, NULL, 16) : -1;
}

/* `r->at` stands after "\u". Reads the code point, of two escapes where the first is a high surrogate. */
static liz_status read_unicode_escape(reader *r, unsigned *code)
{
    int high = read_hex4(r->at, r->end);
    if (high < 0)
        return fail_format(r, "\\u wants four hexadecimal digits");
    r->at += 4;
    *code = (unsigned)high;
    if (high < 0xD800 || high > 0xDFFF)
        return LIZ_OK;
    int low = r->end - r->at >= 2 && r->at[0] == '\\' && r->at[1] == 'u' ? read_hex4(r->at + 2, r->end) : -1;
    if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return fail_format(r, "half of a surrogate pair names no character");
    r->at += 6;
    *code = 0x10000u + ((unsigned)(high - 0xD800) << 10) + (unsigned)(low - 0xDC00);
    return LIZ_OK;
}

/* `r->at` stands after the backslash. Writes what the escape means to `*out` and moves it. */
static liz_status read_escape(reader *r, char **out)
{
    static const char written[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return fail_format(r, "the text ends inside a string");
    char c = *r->at;
    if (c == 'u') {
        unsigned code = 0;
        r->at++;
        liz_status status = read_unicode_escape(r, &code);
        if (status == LIZ_OK)
            *out += liz_utf8_encode(code, *out);
        return status;
    }
    const char *found = c ? strchr(written, c) : NULL;
    if (found == NULL)
        return fail_format(r, "an escape that JSON does not have");
    r->at++;
    *(*out)++ = meant[found - written];
    return LIZ_OK;
}

/* Moves over characters that stand for themselves; false at one that may not stand in a string. */
static bool skip_plain(reader *r)
{
    while (r->at < r->end && *r->at != '"' && *r->at != '\\') {
        unsigned char c = (unsigned char)*r->at;
        if (c < 0x20)
            return false;
        size_t n = c < 0x80 ? 1 : liz_utf8_decode(r->at, (size_t)(r->end - r->at), NULL);
        if (n == 0)
            return false;
        r->at += n;
    }
    return true;
}

static liz_status fail_character(reader *r)
{
    bool control = (unsigned char)*r->at < 0x20;
    return fail_format(r, control ? "a control character in a string must be escaped" : "bytes that are not UTF-8");
}

/* The closing quote of the string that begins at `p`, or the end of the text. */
static const char *find_string_end(const char *p, const char *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    return p;
}

/* `r->at` stands at the first escape of a string that began at `first`. */
static liz_status read_escaped(reader *r, const char *first, liz_str *out)
{
    char *decoded = liz_arena_alloc(r->arena, (size_t)(find_string_end(r->at, r->end) - first) + 1);
    if (decoded == NULL)
        return fail_memory(r);
    char *w = decoded;
    const char *plain = first;
    for (;;) {
        memcpy(w, plain, (size_t)(r->at - plain));
        w += r->at - plain;
        if (r->at == r->end || *r->at == '"')
            break;
        r->at++;
        LIZ_TRY(read_escape(r, &w));
        plain = r->at;
        if (!skip_plain(r))
            return fail_character(r);
    }
    *out = (liz_str){decoded, (size_t)(w - decoded)};
    return LIZ_OK;
}

static liz_status read_string(reader *r, liz_str *out)
{
    const char *first = ++r->at;
    if (!skip_plain(r))
        return fail_character(r);
    *out = (liz_str){first, (size_t)(r->at - first)};
    if (r->at < r->end && *r->at == '\\') {
        LIZ_TRY(read_escaped(r, first, out));
    }
    if (r->at == r->end)
        return fail_format(r, "the text ends inside a string");
    r->at++;
    return LIZ_OK;
}

static liz_status read_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return fail_format(r, "a value is missing");
    r->at += n;
    return LIZ_OK;
}

/* By key, and by place in the source among equal keys. */
static int compare_members(const void *a, const void *b)
{
    const liz_json *x = *(liz_json *const *)a, *y = *(liz_json *const *)b;
    int order = liz_str_compare(x->key, y->key);
    return order ? order : (x->source.p > y->source.p) - (x->source.p < y->source.p);
}

static liz_status fail_duplicate(reader *r, const liz_json *member)
{
    r->at = member->source.p;
    return fail_format(r, "a key that this object already has: its value");
}

static liz_status check_duplicates_sorted(reader *r, const liz_json *object)
{
    const liz_json **members = liz_arena_array(r->arena, object->n_children, sizeof *members);
    if (members == NULL)
        return fail_memory(r);
    size_t n = 0;
    for (const liz_json *m = object->first_child; m != NULL; m = m->next)
        members[n++] = m;
    qsort(members, n, sizeof *members, compare_members);
    for (size_t i = 1; i < n; i++)
        if (liz_str_eq(members[i - 1]->key, members[i]->key))
            return fail_duplicate(r, members[i]);
    return LIZ_OK;
}

static liz_status check_duplicates(reader *r, const liz_json *object)
{
    if (object->n_children > LINEAR_MEMBERS_MAX)
        return check_duplicates_sorted(r, object);
    for (const liz_json *m = object->first_child; m != NULL; m = m->next)
        for (const liz_json *other = object->first_child; other != m; other = other->next)
            if (liz_str_eq(other->key, m->key))
                return fail_duplicate(r, m);
    return LIZ_OK;
}

static liz_status read_value(reader *r, liz_json **out);

static liz_status read_key(reader *r, liz_str *key)
{
    if (r->at == r->end || *r->at != '"')
        return fail_format(r, "a key in quotes is missing");
    LIZ_TRY(read_string(r, key));
    skip_space(r);
    if (r->at == r->end || *r->at != ':')
        return fail_format(r, "a colon is missing after the key");
    r->at++;
    skip_space(r);
    return LIZ_OK;
}

/* The elements of an array, or the members of an object, up to `close`. `r->at` stands at the opening bracket. */
static liz_status read_children(reader *r, liz_json *parent, char close)
{
    liz_json **link = &parent->first_child;
    r->at++;
    skip_space(r);
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return LIZ_OK;
    }
    for (;;) {
        liz_str key = {NULL, 0};
        liz_status status = parent->type == LIZ_JSON_OBJECT ? read_key(r, &key) : LIZ_OK;
        status = status ?: read_value(r, link);
        if (status != LIZ_OK)
            return status;
        (*link)->key = key;
        link = &(*link)->next;
        parent->n_children++;
        skip_space(r);
        if (r->at < r->end && *r->at == close)
            break;
        if (r->at == r->end || *r->at != ',')
            return fail_format(r, close == '}' ? "a comma or } is missing" : "a comma or ] is missing");
        r->at++;
        skip_space(r);
    }
    r->at++;
    return parent->type == LIZ_JSON_OBJECT ? check_duplicates(r, parent) : LIZ_OK;
}

static liz_status read_nested(reader *r, liz_json *value, liz_json_type type, char close)
{
    if (r->depth == LIZ_JSON_DEPTH_MAX)
        return fail_at(r, LIZ_E_LIMIT, r->at, "nested deeper than 128 levels");
    r->depth++;
    value->type = type;
    liz_status status = read_children(r, value, close);
    r->depth--;
    return status;
}

static liz_status read_typed(reader *r, liz_json *value)
{
    switch (*r->at) {
    case '{': return read_nested(r, value, LIZ_JSON_OBJECT, '}');
    case '[': return read_nested(r, value, LIZ_JSON_ARRAY, ']');
    case '"': value->type = LIZ_JSON_STRING; return read_string(r, &value->string);
    case 'n': value->type = LIZ_JSON_NULL; return read_word(r, "null");
    case 't': value->type = LIZ_JSON_TRUE; return read_word(r, "true");
    case 'f': value->type = LIZ_JSON_FALSE; return read_word(r, "false");
    default: break;
    }
    if (*r->at != '-' && !at_digit(r))
        return fail_format(r, "a value is missing");
    value->type = LIZ_JSON_NUMBER;
    return read_number(r);
}

static liz_status read_value(reader *r, liz_json **out)
{
    if (r->at == r->end)
        return fail_format(r, "the text ends where a value is missing");
    liz_json *value = liz_arena_alloc(r->arena, sizeof *value);
    if (value == NULL)
        return fail_memory(r);
    const char *first = r->at;
    LIZ_TRY(read_typed(r, value));
    value->source = (liz_str){first, (size_t)(r->at - first)};
    if (value->type == LIZ_JSON_NUMBER)
        value->string = value->source;
    *out = value;
    return LIZ_OK;
}

liz_status liz_json_read(liz_json **out, liz_str text, liz_arena *arena, liz_error *err)
{
    reader r = {.text = text.p, .at = text.p, .end = text.n ? text.p + text.n : text.p, .arena = arena, .err = err};
    skip_space(&r);
    liz_json *value;
    LIZ_TRY(read_value(&r, &value));
    skip_space(&r);
    if (r.at != r.end)
        return fail_format(&r, "something follows the value");
    *out = value;
    return LIZ_OK;
}

const liz_json *liz_json_member(const liz_json *object, const char *key)
{
    if (object == NULL || object->type != LIZ_JSON_OBJECT)
        return NULL;
    for (const liz_json *m = object->first_child; m != NULL; m = m->next)
        if (liz_str_is(m->key, key))
            return m;
    return NULL;
}

/* ---- Numbers ------------------------------------------------------------------------------------ */

/* `value` * 10 + digit with the sign of the number; false when it leaves int64_t. */
static bool push_digit(int64_t *value, int digit, bool negative)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, negative ? -digit : digit, value);
}

/* Zeros wait for a digit behind them: the last ones only count as a power of ten. */
bool liz_json_int64(const liz_json *value, int64_t *out)
{
    if (value == NULL || value->type != LIZ_JSON_NUMBER)
        return false;
    const char *p = value->string.p, *end = p + value->string.n;
    bool negative = *p == '-', behind_point = false;
    int64_t result = 0, n_zeros = 0, n_behind = 0, exponent = 0;
    for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            behind_point = true;
            continue;
        }
        n_behind += behind_point;
        n_zeros++;
        for (bool is_zero = *p == '0'; !is_zero && n_zeros > 0; n_zeros--)
            if (!push_digit(&result, n_zeros > 1 ? 0 : *p - '0', negative))
                return false;
    }
    bool down = p < end && p[1] == '-';
    for (; p < end; p++)
        if (*p >= '0' && *p <= '9' && exponent < INT64_MAX / 16)
            exponent = exponent * 10 + (*p - '0');
    int64_t power = n_zeros - n_behind + (down ? -exponent : exponent);
    if (result != 0 && power < 0)
        return false;
    for (; result != 0 && power > 0; power--)
        if (!push_digit(&result, 0, false))
            return false;
    *out = result;
    return true;
}

bool liz_json_double(const liz_json *value, double *out)
{
    char small[128];
    if (value == NULL || value->type != LIZ_JSON_NUMBER)
        return false;
    size_t n = value->string.n;
    char *text = n < sizeof small ? small : malloc(n + 1);
    if (text == NULL)
        return false;
    memcpy(text, value->string.p, n);
    text[n] = '\0';
    *out = strtod(text, NULL);
    if (text != small)
        free(text);
    return isfinite(*out);
}

void liz_json_key(liz_buf *buf, const char *key)
{
    char last = buf->len > 0 ? buf->data[buf->len - 1] : '{';
    if (last != '{' && last != '[')
        liz_buf_putc(buf, ',');
    if (key != NULL) {
        liz_json_write_string(buf, liz_str_of(key));
        liz_buf_putc(buf, ':');
    }
}

void liz_json_open(liz_buf *buf, const char *key, char bracket)
{
    liz_json_key(buf, key);
    liz_buf_putc(buf, bracket);
}

void liz_json_put(liz_buf *buf, const char *key, liz_str json)
{
    liz_json_key(buf, key);
    liz_buf_append_str(buf, json);
}

void liz_json_put_str(liz_buf *buf, const char *key, liz_str text)
{
    liz_json_key(buf, key);
    liz_json_write_string(buf, text);
}

void liz_json_put_int(liz_buf *buf, const char *key, int64_t value)
{
    liz_json_key(buf, key);
    liz_buf_printf(buf, "%lld", (long long)value);
}

void liz_json_put_u64(liz_buf *buf, const char *key, uint64_t value)
{
    liz_json_key(buf, key);
    liz_buf_printf(buf, "%llu", (unsigned long long)value);
}

void liz_json_put_float(liz_buf *buf, const char *key, float value)
{
    liz_json_key(buf, key);
    liz_json_write_float(buf, value);
}

void liz_json_put_double(liz_buf *buf, const char *key, double value)
{
    liz_json_key(buf, key);
    liz_json_write_double(buf, value);
}

void liz_json_put_bool(liz_buf *buf, const char *key, bool value)
{
    liz_json_put(buf, key, liz_str_of(value ? "true" : "false"));
}
