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
        l->j->line += *l->counted == '\n';
}

static jinja_token *push(lexer *l, jinja_token_type type)
{
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 256;
        jinja_token *more = liz_jinja_alloc(l->j, l->cap, sizeof *more);
        if (l->n > 0)
            memcpy(more, l->tokens, l->n * sizeof *more);
        l->tokens = more;
    }
    count_lines(l);
    l->tokens[l->n] = (jinja_token){.type = type, .line = l->j->line};
    return &l->tokens[l->n++];
}

static bool take(lexer *l, const char *text)
{
    bool is = liz_str_starts((liz_str){l->p, (size_t)(l->end - l->p)}, text);
    l->p += is ? strlen(text) : 0;
    return is;
}

/* Behind the next `text`; its absence is an error. */
static void take_past(lexer *l, const char *text, const char *what)
{
    const char *at = memmem(l->p, (size_t)(l->end - l->p), text, strlen(text));
    if (at == NULL)
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "%s is never closed", what);
    l->p = at + strlen(text);
}

static void skip_space(lexer *l)
{
    for (size_t n; l->p < l->end && liz_jinja_is_space(l->p, (size_t)(l->end - l->p), &n);)
        l->p += n;
}

/* ---- Text between tags -------------------------------------------------------------------------- */

static char take_sign(lexer *l) { return l->p < l->end && (*l->p == '-' || *l->p == '+') ? *l->p++ : '\0'; }

/* The text from `begin` to `end`, where a tag with this sign begins. */
static void push_text(lexer *l, const char *begin, const char *end, char sign, bool is_block)
{
    jinja_str text = {begin, NULL, (size_t)(end - begin)};
    if (sign == '-') {
        text = liz_jinja_strip(l->j, text, NULL, JINJA_RIGHT);
    } else if (sign != '+' && is_block) {
        const char *newline = memrchr(begin, '\n', text.n), *line = newline ? newline + 1 : begin;
        bool starts = newline != NULL || begin == l->begin || begin[-1] == '\n';
        if (starts && liz_jinja_strip(l->j, (jinja_str){line, NULL, (size_t)(end - line)}, NULL, JINJA_LEFT).n == 0)
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
    const char *start = l->p;
    take_past(l, "#}", "a comment");
    after_block(l, l->p - 2 > start ? l->p[-3] : '\0');
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
    bool is = take_word(l, "raw"), strips = is && take(l, "-%}");
    if (!strips && !(is && take(l, "%}"))) {
        l->p = start;
        return false;
    }
    if (strips)
        skip_space(l);
    for (const char *body = l->p;;) {
        take_past(l, "{%", "a raw block");
        const char *open = l->p - 2;
        char sign = take_sign(l), end_sign = '\0';
        if (!take_word(l, "endraw") || (end_sign = take_sign(l), !take(l, "%}")))
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

static const char *digits(const char *p)
{
    while (is_digit(*p))
        p++;
    return p;
}

static void lex_number(lexer *l)
{
    const char *start = l->p, *p = digits(start);
    bool after_dot = start > l->begin && start[-1] == '.';
    if (!after_dot && *p == '.' && is_digit(p[1]))
        p = digits(p + 1);
    if (!after_dot && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1 + (p[1] == '+' || p[1] == '-');
        p = is_digit(*exponent) ? digits(exponent) : p;
    }
    if (digits(start) == p && *start == '0' && strspn(start, "0") < (size_t)(p - start))
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "%.*s: an integer begins with no 0", (int)(p - start < 40 ? p - start : 40),
                       start);
    if (is_name(*p))
        liz_jinja_fail(l->j, LIZ_E_UNSUPPORTED, "%.*s: a number is written in decimal digits alone",
                       (int)(p - start + 1), start);
    l->p = p;
    push(l, JINJA_T_NUMBER)->value = liz_jinja_number(l->j, start, (size_t)(p - start));
}

/* Reads the escape behind a backslash at `p` into `out`; an unknown one stands as it is, as in Python. */
static const char *lex_escape(lexer *l, const char *p, const char *end, char **out)
{
    static const char names[] = "ntrabfv\\'\"\n", codes[] = "\n\t\r\a\b\f\v\\'\"";
    const char *known = strchr(names, *p);
    if (known != NULL && *p != '\0') {
        if (*p != '\n')
            *(*out)++ = codes[known - names];
        return p + 1;
    }
    size_t n = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    if ((*p >= '0' && *p <= '7') || *p == 'N')
        liz_jinja_fail(l->j, LIZ_E_UNSUPPORTED, "\\%c: an escape in octal digits or by name is not known: write \\u",
                       *p);
    if (n == 0) {
        *(*out)++ = '\\';
        return p;
    }
    char copy[9] = "", *stop = copy;
    memcpy(copy, p + 1, n < (size_t)(end - p) ? n : (size_t)(end - p) - 1);
    unsigned long code = strspn(copy, "0123456789abcdefABCDEF") == n ? strtoul(copy, &stop, 16) : 0;
    if (stop == copy || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "\\%c wants %zu hexadecimal digits of a character", *p, n);
    *out += liz_utf8_encode((unsigned)code, *out);
    return p + 1 + n;
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
    push(l, JINJA_T_STRING)->value = liz_jinja_string((jinja_str){copy, NULL, (size_t)(out - copy)});
    l->p = p + 1;
}

static void lex_name(lexer *l)
{
    const char *start = l->p;
    jinja_token *t = push(l, JINJA_T_NAME);
    while (is_name(*l->p))
        l->p++;
    t->value = liz_jinja_string((jinja_str){start, NULL, (size_t)(l->p - start)});
}

/* Brackets must pair, so that a tag's end within them is none. */
static void count_bracket(lexer *l, char c)
{
    static const char opens[] = "([{", closes[] = ")]}";
    const char *open = strchr(opens, c);
    if (open == NULL && strchr(closes, c) != NULL && (l->n_open == 0 || l->open[--l->n_open] != c))
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "unexpected '%c'", c);
    if (open != NULL && l->n_open == JINJA_NESTING_MAX)
        liz_jinja_fail(l->j, LIZ_E_LIMIT, "more than %d brackets within each other", JINJA_NESTING_MAX);
    if (open != NULL)
        l->open[l->n_open++] = closes[open - opens];
}

static void lex_operator(lexer *l)
{
    static const char *const two[] = {"==", "!=", ">=", "<=", "//", "**"};
    const char *start = l->p;
    bool is_double = false;
    for (size_t i = 0; !is_double && i < sizeof two / sizeof *two; i++)
        is_double = take(l, two[i]);
    if (!is_double && (*start == '\0' || strchr("+-/*%~[](){}<>=.:|,;", *start) == NULL))
        liz_jinja_fail(l->j, LIZ_E_FORMAT, "unexpected character '%c'", *start);
    if (!is_double)
        count_bracket(l, *l->p++);
    push(l, JINJA_T_OP)->value = liz_jinja_string((jinja_str){start, NULL, (size_t)(l->p - start)});
}

/* The end of the tag, if that is here; brackets must be closed before. */
static bool lex_end(lexer *l, bool is_block)
{
    const char *start = l->p;
    char sign = *start == '-' || (is_block && *start == '+') ? *l->p++ : '\0';
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
    push(l, is_block ? JINJA_T_BLOCK_BEGIN : JINJA_T_PRINT_BEGIN);
    for (l->n_open = 0;;) {
        skip_space(l);
        if (l->p == l->end)
            liz_jinja_fail(l->j, LIZ_E_FORMAT, "a tag is never closed: write %s", is_block ? "%}" : "}}");
        if (lex_end(l, is_block))
            return;
        if (is_digit(*l->p))
            lex_number(l);
        else if (is_name(*l->p))
            lex_name(l);
        else if (*l->p == '"' || *l->p == '\'')
            lex_string(l);
        else
            lex_operator(l);
    }
}

/* ---- The source --------------------------------------------------------------------------------- */

/* Line ends become \n, and the last one goes; a NUL follows. */
static liz_str normalised(jinja *j, liz_str source)
{
    char *copy = liz_jinja_alloc(j, source.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++)
        if (source.p[i] != '\r' || i + 1 == source.n || source.p[i + 1] != '\n')
            copy[n++] = source.p[i] == '\r' ? '\n' : source.p[i];
    n -= n > 0 && copy[n - 1] == '\n';
    copy[n] = '\0';
    return (liz_str){copy, n};
}

static const char *next_tag(const lexer *l)
{
    const char *p = l->p;
    while ((p = memchr(p, '{', (size_t)(l->end - p))) != NULL && p[1] != '{' && p[1] != '%' && p[1] != '#')
        p++;
    return p ? p : l->end;
}

jinja_token *liz_jinja_lex(jinja *j, liz_str source)
{
    j->line = 1;
    source = normalised(j, source);
    lexer l = {.j = j, .begin = source.p, .p = source.p, .end = source.p + source.n, .counted = source.p};
    while (l.p < l.end) {
        const char *text = l.p, *tag = next_tag(&l);
        l.p = tag;
        if (tag == l.end) {
            push_text(&l, text, tag, '+', false);
            break;
        }
        count_lines(&l);
        l.p += 2;
        char sign = take_sign(&l);
        push_text(&l, text, tag, sign, tag[1] != '{');
        if (tag[1] == '#')
            lex_comment(&l);
        else if (tag[1] == '{' || !lex_raw(&l))
            lex_tag(&l, tag[1] == '%');
    }
    push(&l, JINJA_T_END);
    return l.tokens;
}
