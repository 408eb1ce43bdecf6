/* jinja_impl.h - the inside of the template language: values, syntax trees, and what its files share.
 *
 * jinja_lex.c cuts the source into tokens, jinja_parse.c makes a tree of them, jinja_run.c walks its statements and
 * jinja_eval.c its expressions; jinja_value.c holds what values have in common, jinja_number.c what numbers do,
 * jinja_print.c how values are written; jinja_string.c, jinja_time.c and jinja_library.c are the functions that
 * templates call.
 *
 * Values mean what Python's do. A string is a slice of bytes, and beside each byte may stand a mark that says whether
 * it came from data (`mask`, NULL where none did). Strings are only ever built from slices of others, through
 * jinja_text, so marks follow their bytes through every filter to the output, and text from a message can never be
 * taken for a control token that the template wrote.
 *
 * Whatever goes wrong ends the compilation or rendering by a jump out of it (liz_jinja_fail): all memory is of one
 * arena, so nothing needs undoing on the way. */
#ifndef LIZ_TEXT_JINJA_IMPL_H
#define LIZ_TEXT_JINJA_IMPL_H

#include "text/jinja.h"

#include <setjmp.h>
#include <stdint.h>

/* ---- Values ------------------------------------------------------------------------------------- */

typedef struct jinja jinja;
typedef struct jinja_value jinja_value;
typedef struct jinja_node jinja_node;
typedef struct jinja_function jinja_function;

typedef enum jinja_type {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIG, /* an integer beyond 64 bits: its digits, which can be printed and compared, not computed with */
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_DICT,
    JINJA_NAMESPACE, /* a dict whose items are attributes that can be assigned */
    JINJA_LOOP,
    JINJA_CALLABLE
} jinja_type;

typedef struct jinja_str {
    const char *p;
    const uint8_t *mask; /* [n], 1: from data; NULL: none is */
    size_t n;
} jinja_str;

/* The last is true even when empty, and empty once it was walked. Three are views of a dict. */
typedef enum jinja_list_kind {
    JINJA_PLAIN,
    JINJA_TUPLE,
    JINJA_RANGE,
    JINJA_KEYS,
    JINJA_VALUES,
    JINJA_ITEMS,
    JINJA_GENERATOR
} jinja_list_kind;

/* As range() was called, for its text. */
typedef struct jinja_range {
    int64_t begin, end, step;
} jinja_range;

typedef struct jinja_list {
    jinja_value *v;
    size_t n;
    jinja_list_kind kind;
    const jinja_range *range; /* of JINJA_RANGE */
} jinja_list;

typedef struct jinja_dict {
    jinja_value *keys, *values;
    size_t n, cap;
} jinja_dict;

typedef struct jinja_scope {
    struct jinja_scope *parent;
    jinja_dict names;
} jinja_scope;

typedef struct jinja_loop {
    jinja_list *items;
    size_t i;
} jinja_loop;

typedef struct jinja_callable jinja_callable;

struct jinja_value {
    jinja_type type;
    union {
        bool truth;
        int64_t whole;
        double real;
        jinja_str str; /* of JINJA_BIG too */
        jinja_list *list;
        jinja_dict *dict;
        jinja_loop *loop;
        jinja_callable *callable;
        struct {
            const char *name; /* what is not there */
            size_t n;
            const char *owner; /* the type that lacks it; NULL: a variable */
        } missing;
    };
};

struct jinja_callable {
    const jinja_function *function; /* with `self` as its subject; NULL: a macro */
    jinja_value self;
    const jinja_node *macro;
    jinja_scope *scope; /* that the macro was defined in */
};

/* A call's arguments, in order; those with a name come last. */
typedef struct jinja_args {
    jinja_value *v;
    jinja_str *names; /* [n], names[i].p NULL: by position */
    size_t n, n_positional;
} jinja_args;

/* A function of the library: its names, blanks between, and `of` what it is one. `params` names what follows its
 * subject (the value filtered or tested, or whose method it is), blanks between; "!" after a name: it must be given;
 * "*": whatever is written. `arg` holds the subject and the parameters, undefined where not given; `all` what was
 * written; `how` is of the table, where functions differ in little. */
typedef jinja_value jinja_fn(jinja *j, const jinja_value *arg, const jinja_args *all, int how);
struct jinja_function {
    const char *name;
    unsigned of;
    const char *params;
    jinja_fn *fn;
    int how;
};
enum {
    JINJA_FILTER = 1,
    JINJA_TEST = 2,
    JINJA_GLOBAL = 4,
    JINJA_OF_STRING = 8,
    JINJA_OF_LIST = 16,
    JINJA_OF_DICT = 32
};
enum { JINJA_PARAMS_MAX = 6 };

#define JINJA_UNUSED __attribute__((unused))
#define JINJA_FN(name)                                                                                                 \
    static jinja_value name(JINJA_UNUSED jinja *j, JINJA_UNUSED const jinja_value *arg,                                \
                            JINJA_UNUSED const jinja_args *all, JINJA_UNUSED int how)

/* Tables ended by a function without a name. */
extern const jinja_function liz_jinja_strings[], liz_jinja_library[];
const jinja_function *liz_jinja_find(unsigned of, jinja_str name);
/* Whether a name is one of `names`, blanks between. */
bool liz_jinja_among(jinja_str name, const char *names);

/* ---- Syntax ------------------------------------------------------------------------------------- */

typedef enum jinja_kind {
    /* Expressions: `a`, `b`, `c` are their parts, in the order written; lists go on by `next`. */
    JINJA_K_CONST,
    JINJA_K_NAME,
    JINJA_K_LIST,
    JINJA_K_TUPLE,
    JINJA_K_DICT,   /* of pairs */
    JINJA_K_PAIR,   /* a: b */
    JINJA_K_ATTR,   /* a.value */
    JINJA_K_ITEM,   /* a[b] */
    JINJA_K_SLICE,  /* a[b:c:d] */
    JINJA_K_ARG,    /* a; `op` '*' or '*' '*' unpacks, value names; a parameter and its default */
    JINJA_K_CALL,   /* a(b...), with the caller c */
    JINJA_K_FILTER, /* a | value(b...) */
    JINJA_K_TEST,
    JINJA_K_CAPTURE, /* what the block a writes */
    JINJA_K_NOT,
    JINJA_K_UNARY,
    JINJA_K_BINARY,
    JINJA_K_COMPARE, /* a, then b...: each with `op` */
    JINJA_K_AND,
    JINJA_K_OR,
    JINJA_K_COND, /* a if b else c */
    /* Statements */
    JINJA_K_TEXT,
    JINJA_K_PRINT,
    JINJA_K_FOR,    /* for a in b if e: c, else d; `op`: the body asks about the loop */
    JINJA_K_IF,     /* if a: b, else c */
    JINJA_K_SET,    /* a = b */
    JINJA_K_MACRO,  /* value(a...): b; `op`: the body asks for its caller */
    JINJA_K_SCOPED, /* generation: a */
    JINJA_K_BREAK,
    JINJA_K_CONTINUE
} jinja_kind;

struct jinja_node {
    jinja_kind kind;
    uint16_t op; /* JINJA_OP */
    uint32_t line;
    jinja_value value; /* constant; name */
    const jinja_function *function;
    jinja_node *a, *b, *c, *d, *e, *next;
};

#define JINJA_OP(a, b) (uint16_t)((a) << 8 | (b)) /* of two characters */

typedef enum jinja_token_type {
    JINJA_T_END,
    JINJA_T_TEXT,
    JINJA_T_PRINT_BEGIN,
    JINJA_T_PRINT_END,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_NAME,
    JINJA_T_NUMBER,
    JINJA_T_STRING,
    JINJA_T_OP
} jinja_token_type;

typedef struct jinja_token {
    jinja_token_type type;
    uint32_t line;
    jinja_value value; /* a number; else its text */
} jinja_token;

/* ---- A compilation or rendering under way -------------------------------------------------------- */

/* Text that grows; `mask` is NULL while nothing in it is from data. */
typedef struct jinja_text {
    char *p;
    uint8_t *mask;
    size_t n, cap;
} jinja_text;

struct jinja {
    liz_arena *arena;
    char *room; /* of the arena, not yet handed out */
    size_t n_room;
    uint32_t line;
    uint64_t n_steps_left; /* for nodes, values and bytes yet to be walked */
    int depth;
    const struct tm *now;
    jinja_text *out;
    jmp_buf fault;
    liz_error *err;
    liz_status status;
};

enum {
    JINJA_OUTPUT_MAX = 64 << 20,
    JINJA_ARENA_MAX = 512 << 20,
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    JINJA_STEPS_MAX = 1 << 18,
#else
    JINJA_STEPS_MAX = 1 << 26, /* a second or two */
#endif
    JINJA_DEPTH_MAX = 1000,  /* of nodes within nodes, macros followed */
    JINJA_NESTING_MAX = 200, /* of values within values, and of what the parser enters */
    JINJA_RANGE_MAX = 100000,
    JINJA_SOURCE_MAX = 16 << 20
};

_Noreturn void liz_jinja_fail(jinja *j, liz_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Counts work done; fails when it is too much. */
void liz_jinja_work(jinja *j, uint64_t n);
/* The same for a step into values within values. */
void liz_jinja_nest(jinja *j, int depth);
/* Zeroed memory; never NULL. */
void *liz_jinja_alloc(jinja *j, size_t n, size_t size);

jinja_token *liz_jinja_lex(jinja *j, liz_str source);
jinja_node *liz_jinja_parse(jinja *j, const jinja_token *tokens);

/* ---- Making values ------------------------------------------------------------------------------ */

#define JINJA_STR(literal) ((jinja_str){literal, NULL, sizeof(literal) - 1})

static inline jinja_value liz_jinja_bool(bool b) { return (jinja_value){JINJA_BOOL, {.truth = b}}; }
static inline jinja_value liz_jinja_int(int64_t i) { return (jinja_value){JINJA_INT, {.whole = i}}; }
static inline jinja_value liz_jinja_float(double x) { return (jinja_value){JINJA_FLOAT, {.real = x}}; }
static inline jinja_value liz_jinja_string(jinja_str s) { return (jinja_value){JINJA_STRING, {.str = s}}; }
static inline jinja_value liz_jinja_none(void) { return (jinja_value){JINJA_NONE, {.whole = 0}}; }
static inline jinja_value liz_jinja_missing(jinja_str name, const char *owner)
{
    return (jinja_value){JINJA_UNDEFINED, {.missing = {name.p, name.n, owner}}};
}
static inline jinja_str liz_jinja_literal(const char *text) { return (jinja_str){text, NULL, strlen(text)}; }
static inline bool liz_jinja_is(jinja_str s, const char *text) { return liz_str_is((liz_str){s.p, s.n}, text); }
static inline bool liz_jinja_same(jinja_str a, jinja_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline jinja_str liz_jinja_cut(jinja_str s, size_t begin, size_t end)
{
    return (jinja_str){s.p + begin, s.mask ? s.mask + begin : NULL, end - begin};
}

/* A list with room for `n`, which counts what is pushed. */
jinja_value liz_jinja_list(jinja *j, jinja_list_kind kind, size_t n);
static inline void liz_jinja_push(jinja_value list, jinja_value v) { list.list->v[list.list->n++] = v; }
jinja_value liz_jinja_pair(jinja *j, jinja_value a, jinja_value b);
jinja_value liz_jinja_dict(jinja *j, size_t n);
void liz_jinja_dict_set(jinja *j, jinja_dict *dict, jinja_value key, jinja_value value);
/* NULL when there is no such key. */
jinja_value *liz_jinja_dict_get(jinja *j, const jinja_dict *dict, jinja_value key);
jinja_value liz_jinja_from_json(jinja *j, const liz_json *json, bool is_data);
/* An integer, or a float, of decimal digits alone. */
jinja_value liz_jinja_number(jinja *j, const char *text, size_t n);
const jinja_range *liz_jinja_range(jinja *j, int64_t begin, int64_t end, int64_t step);
jinja_value liz_jinja_callable(jinja *j, jinja_callable callable);

void liz_jinja_add(jinja *j, jinja_text *text, jinja_str s);
void liz_jinja_puts(jinja *j, jinja_text *text, const char *s);
static inline jinja_value liz_jinja_text(const jinja_text *text)
{
    return liz_jinja_string((jinja_str){text->p ? text->p : "", text->mask, text->n});
}

/* ---- What values have in common ------------------------------------------------------------------ */

const char *liz_jinja_type_name(jinja_value v); /* as Python calls it */
bool liz_jinja_truth(jinja_value v);
/* Fails for what is undefined, saying so. */
void liz_jinja_defined(jinja *j, jinja_value v);
/* Whether a parameter was not written. */
static inline bool liz_jinja_absent(jinja_value v) { return v.type == JINJA_UNDEFINED && v.missing.name == NULL; }
static inline bool liz_jinja_given(jinja_value v) { return v.type > JINJA_NONE; }
bool liz_jinja_equal(jinja *j, jinja_value a, jinja_value b, int depth);
/* Two numbers, exactly: below, at or above 0; NaN is unlike everything. */
int liz_jinja_compare_numbers(jinja *j, jinja_value a, jinja_value b);
/* Below, at or above 0; fails where Python would not compare. */
int liz_jinja_compare(jinja *j, jinja_value a, jinja_value b, int depth);
/* a op b for == != < > <= >=, 'i' for `in` and 'n' for `not in`. */
bool liz_jinja_compares(jinja *j, int op, jinja_value a, jinja_value b);
/* The items: characters of a string, keys of a dict. Fails for what has none. A generator is used up. */
jinja_list *liz_jinja_items(jinja *j, jinja_value v);
size_t liz_jinja_length(jinja *j, jinja_value v);
static inline bool liz_jinja_is_number(jinja_value v) { return v.type >= JINJA_BOOL && v.type <= JINJA_FLOAT; }
double liz_jinja_real(jinja *j, jinja_value v);
int64_t liz_jinja_whole(jinja *j, jinja_value v);
int64_t liz_jinja_whole_or(jinja *j, jinja_value v, int64_t otherwise);

/* v.name and v[key] with the language's order of looking. */
jinja_value liz_jinja_attr(jinja *j, jinja_value v, jinja_str name);
jinja_value liz_jinja_item(jinja *j, jinja_value v, jinja_value key);
jinja_value liz_jinja_slice(jinja *j, jinja_value v, jinja_value begin, jinja_value end, jinja_value step);
/* a.b.0.c, as filters take attributes; `otherwise`, if it is given, stands in for each that is missing. */
jinja_value liz_jinja_path(jinja *j, jinja_value v, jinja_value path, jinja_value otherwise);

/* ---- Characters and text ------------------------------------------------------------------------- */

/* The LIZ_CHAR_* of the character at `s` [n], n > 0; its bytes and code. Bytes that are no UTF-8 are characters. */
uint32_t liz_jinja_char(const char *s, size_t n, size_t *len, unsigned *code);
bool liz_jinja_is_space(const char *s, size_t n, size_t *len);
size_t liz_jinja_n_chars(jinja *j, jinja_str s);
size_t liz_jinja_char_at(jinja *j, jinja_str s, size_t index); /* the offset of a character, at most s.n */
/* Without the characters of `chars` (NULL: white space) at its ends. */
enum { JINJA_LEFT = 1, JINJA_RIGHT = 2 };
jinja_str liz_jinja_strip(jinja *j, jinja_str s, const jinja_str *chars, int sides);
/* Where `part` first stands in `s`, or last; SIZE_MAX when nowhere. */
size_t liz_jinja_search(jinja *j, jinja_str s, jinja_str part, bool last);
jinja_value liz_jinja_lower(jinja *j, jinja_str s);
/* format % values. */
jinja_value liz_jinja_percent(jinja *j, jinja_str format, jinja_value values);

/* str(v): what {{ v }} prints; and repr(v). */
jinja_str liz_jinja_str(jinja *j, jinja_value v);
jinja_str liz_jinja_repr(jinja *j, jinja_value v);
jinja_fn liz_jinja_tojson, liz_jinja_to_number, liz_jinja_strftime;
/* Fills `order` [n] with the places of the keys, sorted and stable. */
void liz_jinja_sort(jinja *j, const jinja_value *keys, size_t *order, size_t n, bool reverse);

/* ---- Evaluating --------------------------------------------------------------------------------- */

jinja_value liz_jinja_eval(jinja *j, const jinja_node *node, jinja_scope *scope);
/* The same for two numbers, without ~. */
jinja_value liz_jinja_arithmetic(jinja *j, uint16_t op, jinja_value a, jinja_value b);
jinja_value liz_jinja_negative(jinja *j, jinja_value big);
/* a op b for + - * / // % ** ~. */
jinja_value liz_jinja_binary(jinja *j, uint16_t op, jinja_value a, jinja_value b);
/* Puts each argument where its parameter stands among `names` [n], and says which were given. */
void liz_jinja_bind(jinja *j, jinja_str callee, const jinja_str *names, size_t n, const jinja_args *args,
                    jinja_value *out, bool *given);
jinja_value liz_jinja_call_function(jinja *j, const jinja_function *f, jinja_value subject, const jinja_args *args);
jinja_value liz_jinja_call_macro(jinja *j, const jinja_callable *macro, const jinja_args *args);
/* What a body writes, in a scope of its own. */
jinja_value liz_jinja_capture(jinja *j, const jinja_node *body, jinja_scope *scope);

#endif
