/* jinja_lex.c - a template's source to tokens.
 *
 * White space follows Jinja2 with trim_blocks and lstrip_blocks: one line end after a block or comment belongs to it,
 * and so do blanks before it when nothing else stands on its line; `-` takes all white space on its side and `+` none.
 * One line end at the end of the source is dropped. */
#include "text/jinja_impl.h"

#include <stdlib.h>

typedef struct lexer {
    jinja *j;
    const char *begin, *p, *end;
    uint32_t line;
    const char *counted; /* lines were counted up to here */
    jinja_token *tokens;
    size_t n, cap;
    char open[JINJA_NESTING_MAX]; /* brackets */
    int n_open;
} lexer;

/* The line that is being read, for tokens and errors. */
static void count_lines(lexer *l)
{
    for (; l->counted < l->p; l->counted++)
        l->line += *l->counted == '\n';
    l->j->line = l->line;
}

static jinja_token *push(lexer *l, jinja_token_type type)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 256;
        jinja_token *more = liz_jinja_alloc(l->j, l->cap, sizeof *more);
        if (l->n > 0)
            memcpy(more, l->tokens, l->n * sizeof *more);
        l->tokens = more;
    }
    count_lines(l);
    l->tokens[l->n] = (jinja_token){.type = type, .line = l->line};
    return &l->tokens[l->n++];
}

static bool at(const lexer *l, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(l->end - l->p) >= n && memcmp(l->p, text, n) == 0;
}

static bool take(lexer *l, const char *text)
{
    bool is = at(l, text);
    l->p += is ? strlen(text) : 0;
    return is;
}

static void skip_space(lexer *l)
{
    size_t n;
    unsigned code;
    while (l->p < l->end && (liz_jinja_char(l->p, (size_t)(l->end - l->p), &n, &code) & JINJA_CHAR_SPACE))
        l->p += n;
}

/* ---- Text between tags -------------------------------------------------------------------------- */

static char take_sign(lexer *l) { return l->p < l->end && (*l->p == '-' || *l->p == '+') ? *l->p++ : '\0'; }

/* The text from `begin` to `end`, where a tag with this sign begins. */
static void push_text(lexer *l, const char *begin, const char *end, char sign, bool is_block)
{
    jinja_str text = {begin, NULL, (size_t)(end - begin)};
    if (sign == '-') {
        text = liz_jinja_strip(text, NULL, false, true);
    } else if (sign != '+' && is_block) {
        const char *newline = memrchr(begin, '\n', text.n), *line = newline ? newline + 1 : begin;
        bool starts = newline != NULL || begin == l->begin || begin[-1] == '\n';
        if (starts && liz_jinja_strip((jinja_str){line, NULL, (size_t)(end - line)}, NULL, true, false).n == 0)
            text.n = (size_t)(line - begin);
    }
    if (text.n > 0)
        push(l, JINJA_T_TEXT)->value = liz_jinja_string(text);
}

/* After the end of a block or comment, `sign` standing before it. */
static void after_block(lexer *l, char sign)
{
    if (sign == '-')
        skip_space(l);
    else if (sign != '+')
        take(l, "\n");
}

static void lex_comment(lexer *l)
{
    const char *close = memmem(l->p, (size_t)(l->end - l->p), "#}", 2);
    if (close == NULL)
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "a comment is never closed: write #}");
    char sign = close > l->p ? close[-1] : '\0';
    l->p = close + 2;
    after_block(l, sign);
}

/* At a word of its own, white space around it skipped. */
static bool take_word(lexer *l, const char *word)
{
    skip_space(l);
    bool is = take(l, word);
    skip_space(l);
    return is;
}

/* Behind "{%" and its sign: a raw block whole, or nothing is taken. */
static bool lex_raw(lexer *l)
{
    const char *start = l->p;
    if (!take_word(l, "raw") || !(at(l, "%}") || at(l, "-%}"))) {
        l->p = start;
        return false;
    }
    if (take(l, "-%}"))
        skip_space(l);
    else
        take(l, "%}");
    const char *body = l->p;
    for (;;) {
        const char *open = memmem(l->p, (size_t)(l->end - l->p), "{%", 2);
        if (open == NULL)
            liz_jinja_fail(l->j, LIZ_E_FORMAT, "a raw block is never closed: write {%% endraw %%}");
        l->p = open + 2;
        char sign = take_sign(l);
        if (!take_word(l, "endraw"))
            continue;
        char end_sign = take_sign(l);
        if (!take(l, "%}"))
            continue;
        after_block(l, end_sign);
        push_text(l, body, open, sign, true);
        return true;
    }
}

/* ---- Inside tags -------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) || (c & 0x80);
}

/* Digits with single underscores between them. */
static const char *digits(const char *p, const char *end)
{
    while (p < end && (is_digit(*p) || (*p == '_' && p + 1 < end && is_digit(p[1]))))
        p++;
    return p;
}

static void lex_number(lexer *l)
{
    const char *start = l->p, *p = digits(start, l->end);
    bool after_dot = start > l->begin && start[-1] == '.';
    if (*start == '0' && l->end - start > 2 && strchr("xXoObB", start[1]) != NULL) {
        int base = start[1] == 'x' || start[1] == 'X' ? 16 : start[1] == 'o' || start[1] == 'O' ? 8 : 2;
        char copy[72] = "", *stop;
        for (p = start + 2; p < l->end && is_name(*p) && strlen(copy) + 1 < sizeof copy; p++)
            if (*p != '_')
                copy[strlen(copy)] = *p;
        jinja_value value = liz_jinja_int(strtoll(copy, &stop, base));
        if (*copy == '\0' || *stop != '\0' || value.whole == INT64_MAX)
            liz_jinja_fail(l->j, LIZ_E_FORMAT, "%.*s is not a number", (int)(p - start), start);
        l->p = p;
        push(l, JINJA_T_CONST)->value = value;
        return;
    }
    if (!after_dot && p + 1 < l->end && *p == '.' && is_digit(p[1]))
        p = digits(p + 1, l->end);
    if (!after_dot && p + 1 < l->end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1 + (p[1] == '+' || p[1] == '-');
        p = exponent < l->end && is_digit(*exponent) ? digits(exponent, l->end) : p;
    }
    char *copy = liz_jinja_alloc(l->j, (size_t)(p - start) + 1, 1);
    size_t n = 0;
    for (const char *c = start; c < p; c++)
        if (*c != '_')
            copy[n++] = *c;
    l->p = p;
    push(l, JINJA_T_CONST)->value = liz_jinja_number(l->j, (liz_str){copy, n});
}

/* The character of an escape with `n_digits` hexadecimal digits at `p`; its bytes, 0 when it is none. */
static size_t hex_escape(const char *p, const char *end, int n_digits, char *out)
{
    unsigned code = 0;
    for (int i = 0; i < n_digits; i++, p++) {
        const char *hex = "0123456789abcdef", *digit = p < end ? strchr(hex, *p | 0x20) : NULL;
        if (digit == NULL || *digit == '\0' || *p < '0')
            return 0;
        code = code << 4 | (unsigned)(digit - hex);
    }
    return code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : liz_utf8_encode(code, out);
}

/* Reads the escape behind a backslash at `p` into `out`; an unknown one stands as it is, as in Python. */
static const char *lex_escape(lexer *l, const char *p, const char *end, char **out)
{
    static const char names[] = "ntrabfv\\'\"\n", codes[] = "\n\t\r\a\b\f\v\\'\"";
    const char *known = *p ? strchr(names, *p) : NULL;
    if (known != NULL) {
        if (*p != '\n')
            *(*out)++ = codes[known - names];
        return p + 1;
    }
    int n_digits = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    if (n_digits > 0) {
        size_t n = hex_escape(p + 1, end, n_digits, *out);
        if (n == 0)
            liz_jinja_fail(l->j, LIZ_E_FORMAT, "\\%c wants %d hexadecimal digits of a character", *p, n_digits);
        *out += n;
        return p + 1 + n_digits;
    }
    if (*p >= '0' && *p <= '7') {
        unsigned code = 0;
        for (int i = 0; i < 3 && p < end && *p >= '0' && *p <= '7'; i++)
            code = code * 8 + (unsigned)(*p++ - '0');
        *out += liz_utf8_encode(code, *out);
        return p;
    }
    *(*out)++ = '\\';
    return p;
}

static void lex_string(lexer *l)
{
    char quote = *l->p;
    const char *p = l->p + 1;
    while (p < l->end && *p != quote)
        p += *p == '\\' ? 2 : 1;
    if (p >= l->end)
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "a string is never closed");
    char *copy = liz_jinja_alloc(l->j, (size_t)(p - l->p) * 2 + 1, 1), *out = copy;
    for (const char *c = l->p + 1; c < p;)
        if (*c == '\\')
            c = lex_escape(l, c + 1, p, &out);
        else
            *out++ = *c++;
    jinja_token *t = push(l, JINJA_T_STRING);
    t->value = liz_jinja_string((jinja_str){copy, NULL, (size_t)(out - copy)});
    l->p = p + 1;
}

static void lex_operator(lexer *l)
{
    static const char *const two[] = {"==", "!=", ">=", "<=", "//", "**"};
    uint16_t op = 0;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (at(l, two[i]))
            op = JINJA_OP(two[i][0], two[i][1]);
    if (op == 0 && strchr("+-/*%~[](){}<>=.:|,;", *l->p) != NULL && *l->p != '\0')
        op = (uint8_t)*l->p;
    if (op == 0)
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "unexpected character '%.*s'", *l->p & 0x80 ? 4 : 1, l->p);
    static const char opens[] = "([{", closes[] = ")]}";
    const char *open = op < 256 ? strchr(opens, op) : NULL, *close = op < 256 ? strchr(closes, op) : NULL;
    if (open != NULL) {
        if (l->n_open == JINJA_NESTING_MAX)
            liz_jinja_fail(l->j, LIZ_E_LIMIT, "more than %d brackets within each other", JINJA_NESTING_MAX);
        l->open[l->n_open++] = closes[open - opens];
    } else if (close != NULL && (l->n_open == 0 || l->open[--l->n_open] != *close)) {
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "unexpected '%c'", *close);
    }
    jinja_token *t = push(l, JINJA_T_OP);
    t->op = op;
    l->p += op < 256 ? 1 : 2;
}

/* The end of the tag, if that is here; brackets must be closed before. */
static bool lex_end(lexer *l, bool is_block)
{
    const char *start = l->p;
    char sign = at(l, "-") || (is_block && at(l, "+")) ? *l->p++ : '\0';
    if (l->n_open > 0 || !take(l, is_block ? "%}" : "}}")) {
        l->p = start;
        return false;
    }
    push(l, is_block ? JINJA_T_BLOCK_END : JINJA_T_PRINT_END);
    if (is_block || sign == '-')
        after_block(l, sign);
    return true;
}

static void lex_tag(lexer *l, bool is_block)
{
    for (l->n_open = 0;;) {
        skip_space(l);
        if (l->p == l->end)
            liz_jinja_fail(l->j, LIZ_E_FORMAT, "a tag is never closed: write %s", is_block ? "%}" : "}}");
        if (lex_end(l, is_block))
            return;
        if (is_digit(*l->p)) {
            lex_number(l);
        } else if (is_name(*l->p)) {
            jinja_token *t = push(l, JINJA_T_NAME);
            const char *start = l->p;
            while (l->p < l->end && is_name(*l->p))
                l->p++;
            t->value = liz_jinja_string((jinja_str){start, NULL, (size_t)(l->p - start)});
        } else if (*l->p == '"' || *l->p == '\'') {
            lex_string(l);
        } else {
            lex_operator(l);
        }
    }
}

/* ---- The source --------------------------------------------------------------------------------- */

/* Line ends become \n, and the last one goes. */
static liz_str normalised(jinja *j, liz_str source)
{
    char *copy = liz_jinja_alloc(j, source.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        if (source.p[i] == '\r' && i + 1 < source.n && source.p[i + 1] == '\n')
            continue;
        copy[n++] = source.p[i] == '\r' ? '\n' : source.p[i];
    }
    n -= n > 0 && copy[n - 1] == '\n';
    copy[n] = '\0';
    return (liz_str){copy, n};
}

static const char *next_tag(const lexer *l)
{
    for (const char *p = l->p; (p = memchr(p, '{', (size_t)(l->end - p))) != NULL && p + 1 < l->end; p++)
        if (p[1] == '{' || p[1] == '%' || p[1] == '#')
            return p;
    return l->end;
}

jinja_token *liz_jinja_lex(jinja *j, liz_str source)
{
    j->line = 1;
    source = normalised(j, source);
    lexer l = {.j = j, .begin = source.p, .p = source.p, .end = source.p + source.n, .line = 1, .counted = source.p};
    while (l.p < l.end) {
        const char *text = l.p, *tag = next_tag(&l);
        l.p = tag;
        if (tag == l.end) {
            push_text(&l, text, tag, '+', false);
            break;
        }
        count_lines(&l);
        char kind = tag[1];
        l.p += 2;
        char sign = take_sign(&l);
        push_text(&l, text, tag, sign, kind != '{');
        if (kind == '#') {
            lex_comment(&l);
        } else if (kind == '{') {
            push(&l, JINJA_T_PRINT_BEGIN);
            lex_tag(&l, false);
        } else if (!lex_raw(&l)) {
            push(&l, JINJA_T_BLOCK_BEGIN);
            lex_tag(&l, true);
        }
    }
    push(&l, JINJA_T_END);
    return l.tokens;
}
