/* jinja_test.c - tests: what stands after `is`. */
#include "text/jinja_impl.h"

#define TEST(name, condition) JINJA_IS(name, liz_jinja_bool(condition))

TEST(is_defined, arg->type != JINJA_UNDEFINED)
TEST(is_undefined, arg->type == JINJA_UNDEFINED)
TEST(is_none, arg->type == JINJA_NONE)
TEST(is_boolean, arg->type == JINJA_BOOL)
TEST(is_true, arg->type == JINJA_BOOL && arg->truth)
TEST(is_false, arg->type == JINJA_BOOL && !arg->truth)
TEST(is_integer, arg->type == JINJA_INT || arg->type == JINJA_BIG)
TEST(is_float, arg->type == JINJA_FLOAT)
TEST(is_number, liz_jinja_is_number(*arg))
TEST(is_string, arg->type == JINJA_STRING)
TEST(is_mapping, arg->type == JINJA_DICT && !arg->dict->is_namespace)
TEST(is_callable, arg->type == JINJA_CALLABLE || arg->type == JINJA_LOOP || arg->type == JINJA_UNDEFINED)
TEST(is_equal, liz_jinja_equal(j, arg[0], arg[1], 0))
TEST(is_unequal, !liz_jinja_equal(j, arg[0], arg[1], 0))
TEST(is_less, liz_jinja_compare(j, arg[0], arg[1], 0) < 0)
TEST(is_less_or_equal, liz_jinja_compare(j, arg[0], arg[1], 0) <= 0)
TEST(is_greater, liz_jinja_compare(j, arg[0], arg[1], 0) > 0)
TEST(is_greater_or_equal, liz_jinja_compare(j, arg[0], arg[1], 0) >= 0)
TEST(is_in, liz_jinja_contains(j, arg[1], arg[0]))
TEST(is_odd, liz_jinja_whole(j, liz_jinja_binary(j, '%', arg[0], liz_jinja_int(2))) == 1)
TEST(is_even, liz_jinja_whole(j, liz_jinja_binary(j, '%', arg[0], liz_jinja_int(2))) == 0)
TEST(is_divisible, liz_jinja_whole(j, liz_jinja_binary(j, '%', arg[0], arg[1])) == 0)
TEST(is_filter, liz_jinja_filter(liz_jinja_str(j, arg[0])) != NULL)
TEST(is_test, liz_jinja_test(liz_jinja_str(j, arg[0])) != NULL)

/* Undefined has a length and items, so it is both. */
TEST(is_sequence, arg->type == JINJA_STRING || arg->type == JINJA_UNDEFINED || is_mapping(j, arg, all).truth ||
                      (arg->type == JINJA_LIST && arg->list->kind <= JINJA_RANGE))
TEST(is_iterable, is_sequence(j, arg, all).truth || arg->type == JINJA_LIST || arg->type == JINJA_LOOP)

static jinja_value has_case(jinja *j, jinja_value v, unsigned wanted, unsigned other)
{
    jinja_str s = liz_jinja_str(j, v);
    unsigned seen = 0, code;
    for (size_t i = 0, n; i < s.n; i += n)
        seen |= liz_jinja_char(s.p + i, s.n - i, &n, &code);
    return liz_jinja_bool((seen & wanted) && !(seen & other));
}
JINJA_IS(is_lower, has_case(j, *arg, JINJA_CHAR_LOWER, JINJA_CHAR_UPPER))
JINJA_IS(is_upper, has_case(j, *arg, JINJA_CHAR_UPPER, JINJA_CHAR_LOWER))

JINJA_FN(is_same)
{
    if (arg[0].type != arg[1].type)
        return liz_jinja_bool(false);
    if (arg[0].type == JINJA_LIST || arg[0].type == JINJA_DICT)
        return liz_jinja_bool(arg[0].list == arg[1].list);
    return liz_jinja_bool(liz_jinja_equal(j, arg[0], arg[1], 0));
}

static const jinja_function tests[] = {
    {"defined", "", is_defined},
    {"undefined", "", is_undefined},
    {"none", "", is_none},
    {"boolean", "", is_boolean},
    {"true", "", is_true},
    {"false", "", is_false},
    {"integer", "", is_integer},
    {"float", "", is_float},
    {"number", "", is_number},
    {"string", "", is_string},
    {"mapping", "", is_mapping},
    {"sequence", "", is_sequence},
    {"iterable", "", is_iterable},
    {"callable", "", is_callable},
    {"sameas", "other!", is_same},
    {"lower", "", is_lower},
    {"upper", "", is_upper},
    {"odd", "", is_odd},
    {"even", "", is_even},
    {"divisibleby", "num!", is_divisible},
    {"in", "seq!", is_in},
    {"filter", "", is_filter},
    {"test", "", is_test},
    {"eq", "other!", is_equal},
    {"equalto", "other!", is_equal},
    {"==", "other!", is_equal},
    {"ne", "other!", is_unequal},
    {"!=", "other!", is_unequal},
    {"lt", "other!", is_less},
    {"lessthan", "other!", is_less},
    {"<", "other!", is_less},
    {"le", "other!", is_less_or_equal},
    {"<=", "other!", is_less_or_equal},
    {"gt", "other!", is_greater},
    {"greaterthan", "other!", is_greater},
    {">", "other!", is_greater},
    {"ge", "other!", is_greater_or_equal},
    {">=", "other!", is_greater_or_equal},
    {0},
};

const jinja_function *liz_jinja_find(const jinja_function *table, jinja_str name)
{
    for (; table->name != NULL; table++)
        if (liz_str_is(liz_jinja_plain(name), table->name))
            return table;
    return NULL;
}

const jinja_function *liz_jinja_test(jinja_str name) { return liz_jinja_find(tests, name); }
