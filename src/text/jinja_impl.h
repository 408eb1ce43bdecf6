/* jinja_impl.h - the inside of the template language: values, syntax trees, and what its files share.
 *
 * jinja_lex.c cuts the source into tokens, jinja_parse.c makes a tree of them, jinja_run.c walks its statements and
 * jinja_eval.c its expressions; jinja_value.c holds what values have in common, jinja_print.c how they are written;
 * jinja_filter.c, jinja_test.c, jinja_method.c and jinja_format.c are the library.
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
typedef struct jinja_scope jinja_scope;

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
    JINJA_LOOP,
    JINJA_CALLABLE
} jinja_type;

typedef struct jinja_str {
    const char *p;
    const uint8_t *mask; /* [n], 1: from data; NULL: none is */
    size_t n;
} jinja_str;

typedef enum jinja_list_kind {
    JINJA_PLAIN,
    JINJA_TUPLE,
    JINJA_RANGE,
    JINJA_KEYS, /* views of a dict */
    JINJA_VALUES,
    JINJA_ITEMS,
    JINJA_GENERATOR /* true even when empty, and empty once it was walked */
} jinja_list_kind;

typedef struct jinja_list {
    jinja_value *v;
    size_t n;
    jinja_list_kind kind;
    size_t at; /* of a joiner: how often it was called */
} jinja_list;

typedef struct jinja_dict {
    jinja_value *keys, *values;
    size_t n, cap;
    bool is_namespace;
} jinja_dict;

/* A call's arguments, in order; those with a name come last. */
typedef struct jinja_args {
    jinja_value *v;
    jinja_str *names; /* [n], names[i].p NULL: by position */
    size_t n, n_positional;
} jinja_args;

/* A function of the library. `params` names what follows its subject (the value filtered or tested, or whose method it
 * is), blanks between; "!" after a name: it must be given; "*" at the end: any number more. `arg` holds the subject and
 * the parameters, undefined where not given; `all` what was written. */
typedef jinja_value jinja_fn(jinja *j, jinja_value *arg, const jinja_args *all);
typedef struct jinja_function {
    const char *name, *params;
    jinja_fn *fn;
} jinja_function;
enum { JINJA_PARAMS_MAX = 7 };

/* Defines such a function, with a body or as one expression. */
#define JINJA_UNUSED __attribute__((unused))
#define JINJA_FN(name)                                                                                                 \
    static jinja_value name(JINJA_UNUSED jinja *j, JINJA_UNUSED jinja_value *arg, JINJA_UNUSED const jinja_args *all)
#define JINJA_IS(name, ...)                                                                                            \
    JINJA_FN(name) { return __VA_ARGS__; }

typedef struct jinja_callable jinja_callable;
typedef struct jinja_loop jinja_loop;

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

struct jinja_loop {
    const jinja_node *node;
    jinja_scope *scope; /* outside */
    jinja_list *items;
    size_t i;
    int depth;
    jinja_value changed; /* what loop.changed() saw last */
};

struct jinja_scope {
    jinja_scope *parent;
    struct jinja_variable *first;
};

/* ---- Syntax ------------------------------------------------------------------------------------- */

typedef enum jinja_kind {
    /* Expressions: `a`, `b`, `c` are their parts, in the order written; lists go on by `next`. */
    JINJA_K_CONST,
    JINJA_K_NAME,
    JINJA_K_SUBJECT, /* what a filter block or a set block filters */
    JINJA_K_LIST,
    JINJA_K_TUPLE,
    JINJA_K_DICT, /* key, value, key, value */
    JINJA_K_ATTR, /* a.value */
    JINJA_K_ITEM, /* a[b] */
    JINJA_K_SLICE,
    JINJA_K_ARG,    /* a; `op` '*' or '*' '*' unpacks, value names */
    JINJA_K_CALL,   /* a(b...) */
    JINJA_K_FILTER, /* a | value(b...) */
    JINJA_K_TEST,
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
    JINJA_K_FOR,    /* for a in b if e: c, else d; `op`: recursive */
    JINJA_K_IF,     /* if a: b, else c */
    JINJA_K_SET,    /* a = b, or of the block c through the filters b */
    JINJA_K_MACRO,  /* value(a...): b */
    JINJA_K_CALLED, /* call a, with the caller b */
    JINJA_K_FILTERED,
    JINJA_K_WITH,   /* a...: b */
    JINJA_K_SCOPED, /* generation: a */
    JINJA_K_BREAK,
    JINJA_K_CONTINUE
} jinja_kind;

struct jinja_node {
    jinja_kind kind;
    uint16_t op; /* JINJA_OP; flags of a macro and a loop */
    uint16_t depth;
    uint32_t line;
    jinja_value value; /* constant; name */
    const jinja_function *function;
    jinja_node *a, *b, *c, *d, *e, *next;
};

enum {
    JINJA_USES_VARARGS = 1,
    JINJA_USES_KWARGS = 2,
    JINJA_USES_CALLER = 4,
    JINJA_USES_LOOP = 8,
    JINJA_RECURSIVE = 16,
    JINJA_SETS_BLOCK = 32
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
    JINJA_T_CONST, /* a number */
    JINJA_T_STRING,
    JINJA_T_OP
} jinja_token_type;

typedef struct jinja_token {
    jinja_token_type type;
    uint16_t op;
    uint32_t line;
    jinja_value value;
} jinja_token;

/* ---- A compilation or rendering under way -------------------------------------------------------- */

typedef struct jinja_text {
    char *p;
    uint8_t *mask; /* NULL while nothing in it is from data */
    size_t n, cap;
} jinja_text;

struct jinja {
    liz_arena *arena;
    char *room; /* of the arena, not yet handed out */
    size_t n_room;
    uint32_t line;
    uint64_t n_work; /* steps and bytes so far */
    int depth;
    const struct tm *now;
    jinja_text *out;
    jinja_value subject;           /* JINJA_K_SUBJECT */
    const jinja_node *caller_node; /* the call of a call block, which gets one argument more */
    const jinja_value *caller;
    jmp_buf fault;
    liz_error *err;
    liz_status status;
};

enum {
    JINJA_OUTPUT_MAX = 64 << 20,
    JINJA_ARENA_MAX = 512 << 20,
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    JINJA_WORK_MAX = 1 << 18,
#else
    JINJA_WORK_MAX = 1 << 27, /* some seconds */
#endif
    JINJA_LEVELS_MAX = 400,  /* of nodes within nodes */
    JINJA_DEPTH_MAX = 1000,  /* the same, macros followed */
    JINJA_NESTING_MAX = 200, /* of values within values */
    JINJA_RANGE_MAX = 100000,
    JINJA_SOURCE_MAX = 16 << 20
};

_Noreturn void liz_jinja_fail(jinja *j, liz_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Counts work done; fails when it is too much. */
void liz_jinja_work(jinja *j, uint64_t n);
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
static inline jinja_value liz_jinja_missing(const char *name, size_t n, const char *owner)
{
    return (jinja_value){JINJA_UNDEFINED, {.missing = {name, n, owner}}};
}
static inline jinja_str liz_jinja_literal(const char *text) { return (jinja_str){text, NULL, strlen(text)}; }
static inline liz_str liz_jinja_plain(jinja_str s) { return (liz_str){s.p, s.n}; }
static inline jinja_str liz_jinja_cut(jinja_str s, size_t begin, size_t end)
{
    return (jinja_str){s.p + begin, s.mask ? s.mask + begin : NULL, end - begin};
}

/* A list with room for `n`, which counts what is pushed. */
jinja_value liz_jinja_list(jinja *j, jinja_list_kind kind, size_t n);
static inline void liz_jinja_push(jinja_value list, jinja_value v) { list.list->v[list.list->n++] = v; }
jinja_value liz_jinja_dict(jinja *j, size_t n);
void liz_jinja_dict_set(jinja *j, jinja_dict *dict, jinja_value key, jinja_value value);
/* NULL when there is no such key. */
jinja_value *liz_jinja_dict_get(jinja *j, const jinja_dict *dict, jinja_value key);
jinja_value liz_jinja_from_json(jinja *j, const liz_json *json, bool is_data);
/* An integer, or a float, as Python reads its text. */
jinja_value liz_jinja_number(jinja *j, liz_str text);

/* Appends; a byte of `mask` marks all that follows where data is true. */
void liz_jinja_add(jinja *j, jinja_text *text, jinja_str s);
void liz_jinja_puts(jinja *j, jinja_text *text, const char *s);
static inline jinja_str liz_jinja_text_str(const jinja_text *text)
{
    return (jinja_str){text->p ? text->p : "", text->mask, text->n};
}

/* ---- What values have in common ------------------------------------------------------------------ */

const char *liz_jinja_type_name(jinja_value v); /* as Python calls it */
bool liz_jinja_truth(jinja_value v);
/* Fails for what is undefined, saying so. */
void liz_jinja_defined(jinja *j, jinja_value v);
bool liz_jinja_equal(jinja *j, jinja_value a, jinja_value b, int depth);
/* Below, at or above 0; fails where Python would not compare. */
int liz_jinja_compare(jinja *j, jinja_value a, jinja_value b, int depth);
bool liz_jinja_contains(jinja *j, jinja_value container, jinja_value item);
/* The items: characters of a string, keys of a dict. Fails for what has none. A generator is used up. */
jinja_list *liz_jinja_items(jinja *j, jinja_value v);
size_t liz_jinja_length(jinja *j, jinja_value v);
bool liz_jinja_is_number(jinja_value v); /* booleans count */
double liz_jinja_real(jinja *j, jinja_value v);
int64_t liz_jinja_whole(jinja *j, jinja_value v);
static inline int64_t liz_jinja_whole_or(jinja *j, jinja_value v, int64_t otherwise)
{
    return v.type == JINJA_UNDEFINED || v.type == JINJA_NONE ? otherwise : liz_jinja_whole(j, v);
}
static inline jinja_str liz_jinja_str_or(jinja_value v, const char *otherwise)
{
    return v.type == JINJA_STRING ? v.str : liz_jinja_literal(otherwise);
}

/* v.name and v[key] with the language's order of looking. */
jinja_value liz_jinja_attr(jinja *j, jinja_value v, jinja_str name);
jinja_value liz_jinja_item(jinja *j, jinja_value v, jinja_value key);
jinja_value liz_jinja_slice(jinja *j, jinja_value v, jinja_value begin, jinja_value end, jinja_value step);
/* a.b.0.c, as filters take attributes. */
jinja_value liz_jinja_path(jinja *j, jinja_value v, jinja_value path);

/* ---- Characters --------------------------------------------------------------------------------- */

enum {
    JINJA_CHAR_SPACE = 1,
    JINJA_CHAR_ALPHA = 2,
    JINJA_CHAR_DIGIT = 4,
    JINJA_CHAR_UPPER = 8,
    JINJA_CHAR_LOWER = 16,
    JINJA_CHAR_PRINTS = 32
};
/* The flags of the character at `s` [n], n > 0; its bytes and code. Bytes that are no UTF-8 count as characters. */
unsigned liz_jinja_char(const char *s, size_t n, size_t *len, unsigned *code);
size_t liz_jinja_n_chars(jinja_str s);
size_t liz_jinja_char_at(jinja_str s, size_t index); /* the offset of a character, at most s.n */
/* Without the characters of `chars` (NULL: white space) at its ends. */
jinja_str liz_jinja_strip(jinja_str s, const jinja_str *chars, bool left, bool right);

/* ---- Writing values ----------------------------------------------------------------------------- */

/* str(v): what {{ v }} prints. */
jinja_str liz_jinja_str(jinja *j, jinja_value v);
void liz_jinja_repr(jinja *j, jinja_text *out, jinja_value v, int depth);
/* The shortest text that reads back as the same float, as Python writes it. */
void liz_jinja_print_float(jinja *j, jinja_text *out, double x);
jinja_value liz_jinja_tojson(jinja *j, jinja_value *arg, const jinja_args *all);
/* format % values. */
jinja_value liz_jinja_percent(jinja *j, jinja_str format, jinja_value values);
/* format.format(...). */
jinja_value liz_jinja_format(jinja *j, jinja_value *arg, const jinja_args *all);

/* ---- Evaluating --------------------------------------------------------------------------------- */

jinja_value liz_jinja_eval(jinja *j, const jinja_node *node, jinja_scope *scope);
jinja_value liz_jinja_call(jinja *j, jinja_value callee, const jinja_args *args);
jinja_value liz_jinja_call_function(jinja *j, const jinja_function *f, jinja_value subject, const jinja_args *args);
jinja_value liz_jinja_call_macro(jinja *j, const jinja_callable *macro, const jinja_args *args);
jinja_value liz_jinja_call_loop(jinja *j, const jinja_loop *outer, const jinja_args *args);
jinja_value *liz_jinja_lookup(jinja_scope *scope, jinja_str name);
/* All its variables are as if never assigned. */
void liz_jinja_forget(jinja_scope *scope);
void liz_jinja_assign(jinja *j, jinja_scope *scope, jinja_str name, jinja_value value);

typedef enum jinja_case {
    JINJA_UPPER,
    JINJA_LOWER,
    JINJA_CAPITALIZE,
    JINJA_TITLE,      /* str.title(): after everything but letters */
    JINJA_TITLE_WORDS /* the filter: after spaces, hyphens and brackets */
} jinja_case;
jinja_value liz_jinja_case(jinja *j, jinja_str s, jinja_case how);
jinja_value liz_jinja_replace(jinja *j, jinja_value *arg, const jinja_args *all); /* old, new, count */
jinja_value liz_jinja_lines(jinja *j, jinja_str s, bool keep_ends);
/* Fills `order` [n] with the places of the keys, sorted and stable. */
void liz_jinja_sort(jinja *j, const jinja_value *keys, size_t *order, size_t n, bool reverse);
jinja_value liz_jinja_pair(jinja *j, jinja_value a, jinja_value b);

/* a op b for + - * / // % **; jinja_eval.c. */
jinja_value liz_jinja_binary(jinja *j, uint16_t op, jinja_value a, jinja_value b);

/* The library's tables; NULL when they have no such name. */
const jinja_function *liz_jinja_filter(jinja_str name);
const jinja_function *liz_jinja_test(jinja_str name);
const jinja_function *liz_jinja_global(jinja_str name);
const jinja_function *liz_jinja_method(jinja_value v, jinja_str name);
const jinja_function *liz_jinja_find(const jinja_function *table, jinja_str name); /* ended by one without a name */

#endif
