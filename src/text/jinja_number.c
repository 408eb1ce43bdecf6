/* jinja_number.c - numbers: read from text, compared and computed with as Python does.
 *
 * An integer is 64 bits wide, or beyond them its digits (JINJA_BIG, which never holds what 64 bits could): those are
 * printed and compared exactly, also with floats, but not computed with. */
#include "text/jinja_impl.h"
#include "text/text_unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- From text ---------------------------------------------------------------------------------- */

jinja_value liz_jinja_number(jinja *j, const char *text, size_t n)
{
    enum { DIGITS_MOST = 19 }; /* of 64 bits */
    char *copy = memcpy(liz_jinja_alloc(j, n + 1, 1), text, n);
    liz_jinja_work(j, n / 2);
    if (strpbrk(copy, ".eE") != NULL)
        return liz_jinja_float(strtod(copy, NULL));
    bool negative = *copy == '-';
    char *digits = copy + (negative || *copy == '+');
    digits += strspn(digits, "0");
    size_t n_digits = strlen(digits);
    __int128 whole = 0;
    for (size_t i = 0; n_digits <= DIGITS_MOST && i < n_digits; i++)
        whole = whole * 10 + (digits[i] - '0');
    whole = negative ? -whole : whole;
    if (n_digits <= DIGITS_MOST && whole >= INT64_MIN && whole <= INT64_MAX)
        return liz_jinja_int((int64_t)whole);
    if (negative)
        *--digits = '-';
    return (jinja_value){JINJA_BIG, {.str = liz_jinja_literal(digits)}};
}

/* An integer of any size from a float that is finite. */
static jinja_value truncated(jinja *j, double x)
{
    char digits[320];
    return liz_jinja_number(j, digits, (size_t)snprintf(digits, sizeof digits, "%.0f", trunc(x)));
}

/* The value of a decimal digit of any script: each has its ten side by side. */
static char digit_of(unsigned code)
{
    unsigned at = code;
    while (at > 0 && (liz_text_code_mask(liz_text_unicode_get(), at - 1) & LIZ_CHAR_ND))
        at--;
    return (char)('0' + (code - at) % 10);
}

/* The text as strtod takes it: without white space around it, digits of other scripts as our own, and no underscores
 * between digits. NULL where an underscore stands elsewhere, or what no number has. */
static char *plain_number(jinja *j, jinja_str s, size_t *n)
{
    s = liz_jinja_strip(j, s, NULL, JINJA_LEFT | JINJA_RIGHT);
    char *out = liz_jinja_alloc(j, s.n + 1, 1), last = '\0';
    unsigned code;
    *n = 0;
    liz_jinja_work(j, s.n);
    for (size_t i = 0, len; i < s.n; i += len) {
        bool is_digit = liz_jinja_char(s.p + i, s.n - i, &len, &code) & LIZ_CHAR_ND;
        char c = is_digit ? digit_of(code) : code < 128 ? (char)code : '\0';
        bool may_follow = last != '_' || is_digit;
        if (c == '\0' || !may_follow || (c == '_' && !(last >= '0' && last <= '9')))
            return NULL;
        if (c != '_')
            out[(*n)++] = c;
        last = c;
    }
    return last == '_' || last == '\0' ? NULL : out;
}

static bool is_infinite_word(const char *s)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    s += *s == '+' || *s == '-';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* What int() or else float() makes of a text; undefined where it is no number. */
static jinja_value number_of_text(jinja *j, jinja_str s)
{
    size_t n;
    char *end, *text = plain_number(j, s, &n);
    if (text == NULL)
        return (jinja_value){0};
    double x = strtod(text, &end);
    if (is_infinite_word(text))
        return liz_jinja_float(x);
    if (*end != '\0' || text[strspn(text, "+-0123456789.eE")] != '\0')
        return (jinja_value){0};
    return liz_jinja_number(j, text, n);
}

/* The filters int and float: what is no number becomes the default, else 0. */
jinja_value liz_jinja_to_number(jinja *j, const jinja_value *arg, const jinja_args *all, int how)
{
    bool whole = how == JINJA_INT;
    jinja_value otherwise = all->n > 0 ? arg[1] : whole ? liz_jinja_int(0) : liz_jinja_float(0), v = *arg;
    liz_jinja_defined(j, v);
    v = v.type == JINJA_STRING ? number_of_text(j, v.str) : v;
    if (!liz_jinja_is_number(v) || (whole && v.type == JINJA_FLOAT && !isfinite(v.real)))
        return otherwise;
    if (!whole)
        return liz_jinja_float(liz_jinja_real(j, v));
    if (v.type == JINJA_FLOAT)
        return truncated(j, v.real);
    return v.type == JINJA_BIG ? v : liz_jinja_int(liz_jinja_whole(j, v));
}

/* ---- As C has them ------------------------------------------------------------------------------- */

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

int64_t liz_jinja_whole_or(jinja *j, jinja_value v, int64_t otherwise)
{
    return liz_jinja_given(v) ? liz_jinja_whole(j, v) : otherwise;
}

double liz_jinja_real(jinja *j, jinja_value v)
{
    if (v.type == JINJA_FLOAT)
        return v.real;
    if (v.type != JINJA_BIG)
        return (double)liz_jinja_whole(j, v);
    liz_jinja_work(j, v.str.n / 4);
    return strtod(v.str.p, NULL);
}

/* ---- Order -------------------------------------------------------------------------------------- */

/* Two integers as their digits, without zeros before them. */
static int compare_digits(jinja *j, jinja_str a, jinja_str b)
{
    bool a_negative = a.n > 0 && *a.p == '-', b_negative = b.n > 0 && *b.p == '-';
    if (a_negative != b_negative)
        return a_negative ? -1 : 1;
    liz_jinja_work(j, (a.n < b.n ? a.n : b.n) / 64);
    int order = a.n != b.n ? (a.n > b.n ? 1 : -1) : memcmp(a.p, b.p, a.n);
    return a_negative ? -order : order;
}

/* An integer and a float that is no NaN. What 64 bits do not hold is beyond all that they hold, so only two large ones
 * need their digits; a float so large is an integer. */
static int compare_with_float(jinja *j, jinja_value a, double y)
{
    char digits[320];
    bool y_small = y >= -0x1p63 && y < 0x1p63;
    if (a.type == JINJA_BIG && (y_small || isinf(y)))
        return isinf(y) ? (y > 0 ? -1 : 1) : *a.str.p == '-' ? -1 : 1;
    if (a.type == JINJA_BIG) {
        liz_jinja_work(j, 64);
        int n = snprintf(digits, sizeof digits, "%.0f", y);
        return compare_digits(j, a.str, (jinja_str){digits, NULL, (size_t)n});
    }
    if (!y_small)
        return y > 0 ? -1 : 1;
    int64_t x = liz_jinja_whole(j, a), floor_y = (int64_t)floor(y);
    return x != floor_y ? (x > floor_y ? 1 : -1) : y > floor(y) ? -1 : 0;
}

int liz_jinja_compare_numbers(jinja *j, jinja_value a, jinja_value b)
{
    bool a_real = a.type == JINJA_FLOAT, b_real = b.type == JINJA_FLOAT;
    if ((a_real && isnan(a.real)) || (b_real && isnan(b.real)))
        return 1; /* unlike everything */
    if (a_real && b_real)
        return (a.real > b.real) - (a.real < b.real);
    if (b_real)
        return compare_with_float(j, a, b.real);
    if (a_real)
        return -compare_with_float(j, b, a.real);
    if (a.type == JINJA_BIG && b.type == JINJA_BIG)
        return compare_digits(j, a.str, b.str);
    if (a.type == JINJA_BIG || b.type == JINJA_BIG) /* it is beyond the other, on its side */
        return a.type == JINJA_BIG ? (*a.str.p == '-' ? -1 : 1) : *b.str.p == '-' ? 1 : -1;
    int64_t x = liz_jinja_whole(j, a), y = liz_jinja_whole(j, b);
    return (x > y) - (x < y);
}

/* ---- Arithmetic --------------------------------------------------------------------------------- */

static double float_power(jinja *j, double x, double y)
{
    if (x == 0 && y < 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "0.0 cannot be raised to a negative power");
    if (x < 0 && isfinite(x) && isfinite(y) && y != floor(y))
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "a power of a negative number by a fraction is a complex number");
    double out = pow(x, y);
    if (isinf(out) && isfinite(x) && isfinite(y))
        liz_jinja_fail(j, LIZ_E_FORMAT, "Numerical result out of range");
    return out;
}

static jinja_value float_binary(jinja *j, uint16_t op, double x, double y)
{
    if (y == 0 && (op == '/' || op == '%' || op == JINJA_OP('/', '/')))
        liz_jinja_fail(j, LIZ_E_FORMAT, "division by zero");
    double rest = op == '%' || op > 255 ? fmod(x, y) : 0;
    if (rest == 0)
        rest = copysign(0, y);
    else if ((rest < 0) != (y < 0))
        rest += y;
    switch (op) {
    case '+': return liz_jinja_float(x + y);
    case '-': return liz_jinja_float(x - y);
    case '*': return liz_jinja_float(x * y);
    case '/': return liz_jinja_float(x / y);
    case '%': return liz_jinja_float(rest);
    case JINJA_OP('/', '/'): return liz_jinja_float(copysign(floor((x - rest) / y + 0.5), x / y));
    default: return liz_jinja_float(float_power(j, x, y));
    }
}

/* Every step fits twice the bits; a base beyond 1 overflows before the 64th. */
static __int128 int_power(int64_t x, int64_t n)
{
    __int128 out = 1;
    for (n = n > 64 ? 64 + (n & 1) : n; n > 0 && out >= INT64_MIN && out <= INT64_MAX; n--)
        out *= x;
    return out;
}

static jinja_value int_binary(jinja *j, uint16_t op, int64_t x, int64_t y)
{
    __int128 out = 0, rest = 0;
    if (op == '/' || (op == JINJA_OP('*', '*') && y < 0))
        return float_binary(j, op, (double)x, (double)y);
    if (y == 0 && (op == '%' || op == JINJA_OP('/', '/')))
        liz_jinja_fail(j, LIZ_E_FORMAT, "integer division or modulo by zero");
    if (op == '%' || op == JINJA_OP('/', '/'))
        rest = (__int128)x % y + ((__int128)x % y != 0 && (x < 0) != (y < 0) ? y : 0);
    switch (op) {
    case '+': out = (__int128)x + y; break;
    case '-': out = (__int128)x - y; break;
    case '*': out = (__int128)x * y; break;
    case '%': out = rest; break;
    case JINJA_OP('/', '/'): out = (x - rest) / y; break;
    default: out = int_power(x, y); break;
    }
    if (out < INT64_MIN || out > INT64_MAX)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "an integer grows beyond 64 bits");
    return liz_jinja_int((int64_t)out);
}

jinja_value liz_jinja_negative(jinja *j, jinja_value big)
{
    jinja_text text = {0};
    bool negative = *big.str.p == '-';
    liz_jinja_puts(j, &text, negative ? "" : "-");
    liz_jinja_add(j, &text, liz_jinja_cut(big.str, negative, big.str.n));
    return liz_jinja_number(j, text.p, text.n);
}

jinja_value liz_jinja_arithmetic(jinja *j, uint16_t op, jinja_value a, jinja_value b)
{
    if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT)
        return float_binary(j, op, liz_jinja_real(j, a), liz_jinja_real(j, b));
    return int_binary(j, op, liz_jinja_whole(j, a), liz_jinja_whole(j, b));
}
