/* test_templates.c - the template language: the templates that models carry (../shared/reference/templates, where it
 * is), and tests/cases/jinja, small cases of the language by subject: valid/NAME with expected.txt, invalid/NAME with
 * error.txt, a part of "line N: MESSAGE". The cases' variables are those of variables.json.
 *
 * Marks of data are tested by what they are for: a text is rendered twice, its strings as data and not, and the marked
 * bytes must be those that came from the variables. */
#include "base/json.h"
#include "text/jinja.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define REFERENCE "../shared/reference/templates"

/* As the reference was made: midnight of 15 January 2026. */
static const struct tm now = {.tm_year = 126, .tm_mday = 15, .tm_wday = 4, .tm_yday = 14};

static liz_buf read_file(const char *path)
{
    liz_buf text;
    char piece[4096];
    liz_buf_init(&text, 1u << 26);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("%s: cannot be opened", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
        liz_buf_append(&text, piece, n);
    fclose(file);
    liz_buf_puts(&text, "");
    return text;
}

static int is_shown(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* ---- Reference ---------------------------------------------------------------------------------- */

typedef struct counts {
    int n_rendered, n_refused, n_advisory, n_wrong;
} counts;

static void check_case(const liz_jinja *jinja, const char *name, const liz_json *json, counts *c)
{
    const liz_json *expected = liz_json_member(json, "expected"), *error = liz_json_member(json, "error");
    liz_jinja_vars vars = {liz_json_member(json, "context"), true};
    liz_buf out, data;
    liz_error err;
    liz_buf_init(&out, 1u << 26);
    liz_buf_init(&data, 1u << 26);
    liz_status status = liz_jinja_render(jinja, &vars, 1, &now, NULL, &out, &data, &err);
    bool ok = true;
    if (expected != NULL) {
        ok = status == LIZ_OK && liz_str_eq(liz_buf_str(&out), expected->string);
        c->n_rendered++;
    } else if (liz_str_is(liz_json_member(json, "error_kind")->string, "raise_exception")) {
        ok = status == LIZ_E_CANCELLED && liz_str_is(error->string, err.text);
        c->n_refused++;
    } else {
        c->n_advisory++;
    }
    if (!ok)
        print_error("%s %.*s: %s\n", name, LIZ_STR_ARG(liz_json_member(json, "name")->string),
                    status == LIZ_OK ? "another text" : err.text);
    c->n_wrong += !ok;
    liz_buf_free(&out);
    liz_buf_free(&data);
}

static void check_template(const char *name, counts *c)
{
    char path[512];
    liz_jinja *jinja;
    liz_error err;
    snprintf(path, sizeof path, REFERENCE "/%s", name);
    liz_buf source = read_file(path);
    snprintf(path, sizeof path, REFERENCE "/%.*s.cases.jsonl", (int)(strlen(name) - strlen(".jinja")), name);
    liz_buf cases = read_file(path);
    if (liz_jinja_compile(&jinja, liz_buf_str(&source), &err) != LIZ_OK)
        fail_msg("%s: line %d: %s", name, err.line, err.text);
    for (char *line = cases.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        liz_arena arena = {.size_max = 1u << 28};
        liz_json *json;
        assert_int_equal(liz_json_read(&json, (liz_str){line, (size_t)(end - line)}, &arena, NULL), LIZ_OK);
        check_case(jinja, name, json, c);
        liz_arena_free(&arena);
    }
    liz_jinja_free(jinja);
    liz_buf_free(&source);
    liz_buf_free(&cases);
}

static void test_reference(void **state)
{
    (void)state;
    struct dirent **entries;
    int n = scandir(REFERENCE, &entries, is_shown, alphasort), n_templates = 0;
    counts c = {0};
    if (n < 0) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", REFERENCE);
        skip();
    }
    for (int i = 0; i < n; i++) {
        size_t len = strlen(entries[i]->d_name);
        if (len > 6 && strcmp(entries[i]->d_name + len - 6, ".jinja") == 0) {
            check_template(entries[i]->d_name, &c);
            n_templates++;
        }
        free(entries[i]);
    }
    free(entries);
    print_message("# %d templates: %d texts, %d refusals, %d advisory, %d wrong\n", n_templates, c.n_rendered,
                  c.n_refused, c.n_advisory, c.n_wrong);
    assert_int_equal(c.n_wrong, 0);
    assert_true(n_templates > 0 && c.n_rendered > 0 && c.n_refused > 0);
}

/* ---- Cases of the language ---------------------------------------------------------------------- */

/* "line N: MESSAGE", or the text. */
static liz_buf render_text(liz_str source, const liz_jinja_vars *vars, size_t n_vars, liz_buf *data, bool *ok)
{
    liz_jinja *jinja;
    liz_error err = {0};
    liz_buf out;
    liz_buf_init(&out, 1u << 27);
    liz_status status = liz_jinja_compile(&jinja, source, &err);
    if (status == LIZ_OK) {
        status = liz_jinja_render(jinja, vars, n_vars, &now, NULL, &out, data, &err);
        liz_jinja_free(jinja);
    }
    *ok = status == LIZ_OK;
    if (!*ok)
        liz_buf_printf(&out, "line %d: %s", err.line, err.text);
    liz_buf_puts(&out, "");
    return out;
}

static const liz_json *variables(liz_arena *arena)
{
    liz_buf text = read_file("tests/cases/jinja/variables.json");
    liz_json *json;
    const char *copy = liz_arena_strdup(arena, text.data, text.len);
    assert_int_equal(liz_json_read(&json, (liz_str){copy, text.len}, arena, NULL), LIZ_OK);
    liz_buf_free(&text);
    return json;
}

static void check_folder(const char *kind, const char *expected_name)
{
    char path[1024], folder[256];
    struct dirent **entries;
    liz_arena arena = {.size_max = 1u << 26};
    liz_jinja_vars vars = {variables(&arena), true};
    snprintf(folder, sizeof folder, "tests/cases/jinja/%s", kind);
    int n = scandir(folder, &entries, is_shown, alphasort), n_wrong = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        bool ok, valid = strcmp(kind, "valid") == 0;
        snprintf(path, sizeof path, "%s/%s/template.jinja", folder, entries[i]->d_name);
        liz_buf source = read_file(path);
        snprintf(path, sizeof path, "%s/%s/%s", folder, entries[i]->d_name, expected_name);
        liz_buf expected = read_file(path), out = render_text(liz_buf_str(&source), &vars, 1, NULL, &ok);
        if (!valid && expected.len > 0)
            expected.data[strcspn(expected.data, "\n")] = '\0';
        bool right = valid ? ok && liz_str_eq(liz_buf_str(&out), liz_buf_str(&expected))
                           : !ok && strstr(out.data, expected.data) != NULL;
        if (!right)
            print_error("%s/%s:\n%.2000s\n---\n%.2000s\n", kind, entries[i]->d_name, out.data, expected.data);
        n_wrong += !right;
        liz_buf_free(&source);
        liz_buf_free(&expected);
        liz_buf_free(&out);
        free(entries[i]);
    }
    free(entries);
    liz_arena_free(&arena);
    assert_int_equal(n_wrong, 0);
}

static void test_valid(void **state)
{
    (void)state;
    check_folder("valid", "expected.txt");
}

static void test_invalid(void **state)
{
    (void)state;
    check_folder("invalid", "error.txt");
}

/* ---- Marks -------------------------------------------------------------------------------------- */

/* The text with what came from data in guillemets. */
static void assert_marks(const char *source, const char *expected)
{
    static const char json[] = "{\"m\":{\"role\":\"user\",\"content\":\" <|x|> \\\"\\u00e9\\\" \",\"k\":[1,\"ab\"]},"
                               "\"bad\":{\"role\":\"<|x|>\"}}";
    liz_arena arena = {.size_max = 1u << 20};
    liz_json *object;
    bool ok;
    liz_buf data, marked;
    assert_int_equal(liz_json_read(&object, liz_str_of(json), &arena, NULL), LIZ_OK);
    liz_buf_init(&data, 1 << 20);
    liz_buf_init(&marked, 1 << 20);
    liz_buf out = render_text(liz_str_of(source), &(liz_jinja_vars){object, true}, 1, &data, &ok);
    const size_t *range = (const size_t *)(const void *)data.data;
    size_t n = data.len / sizeof *range, at = 0;
    for (size_t i = 0; i < n; i++) {
        liz_buf_append(&marked, out.data + at, range[i] - at);
        liz_buf_puts(&marked, i % 2 ? ">>" : "<<");
        at = range[i];
    }
    liz_buf_puts(&marked, out.data + at);
    assert_string_equal(marked.data, expected);
    liz_buf_free(&data);
    liz_buf_free(&marked);
    liz_buf_free(&out);
    liz_arena_free(&arena);
}

static void test_marks(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"<|a|>{{ m.role }}\n{{ m.content }}<|b|>", "<|a|>user\n<< <|x|> \"\xC3\xA9\" >><|b|>"},
        {"{{ '<|' + m.role + '|>' + m.content|trim + '<|b|>' }}", "<|user|><<<|x|> \"\xC3\xA9\">><|b|>"},
        {"{{ bad.role }}", "<<<|x|>>>"},
        {"{{ m.content|tojson }}", "\"<< <|x|> >>\\\"<<\xC3\xA9>>\\\"<< >>\""},
        {"{{ m.k }}{{ m.k|join('-') }}", "[1, '<<ab>>']1-<<ab>>"},
        {"{{ m }}", "{'<<role>>': 'user', '<<content>>': '<< <|x|> \"\xC3\xA9\" >>', '<<k>>': [1, '<<ab>>']}"},
        {"{{ (m.content|upper)[2:5] }}{{ m.content.split('|')[1] }}", "<<|X|x>>"},
        {"{{ 'a<|x|>b'.replace('<|x|>', m.k[1]) }}{{ m.k[1].replace('a', '<|x|>') }}", "a<<ab>>b<|x|><<b>>"},
        {"{% set t %}[{{ m.k[1] }}]{% endset %}{{ t ~ t|length }}", "[<<ab>>]4"},
        {"{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(m.k[1]) }}", "<<<ab>>>"},
        {"{{ '%s|%s' % (m.k[1], 'c') }}{{ '{}'.format(m.k[1]) }}{{ m.k[1] * 2 }}", "<<ab>>|c<<ababab>>"},
        {"{{ strftime_now('%Y' + m.k[1]) }}{{ strftime_now(m.k[1] + '%d') }}", "2026<<abab>>15"},
        {"{% set y = ('%' + m.k[1][1]).replace('b', m.k[1][1]) %}{{ strftime_now(y) }}", "<<Jan>>"},
        {"{% for c in m.k[1] %}{{ c }},{% endfor %}{{ m.k[1]|indent(2, true) }}", "<<a>>,<<b>>,  <<ab>>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_marks(cases[i][0], cases[i][1]);
}

/* ---- Threads ------------------------------------------------------------------------------------ */

static const char shared_source[] = "{% macro f(x) %}{% set n = namespace(v=0) %}{% for i in range(x) %}"
                                    "{% set n.v = n.v + i %}{% endfor %}{{ n.v }}{% endmacro %}{{ f(100) }} {{ f(7) }}";

static void *render_often(void *user)
{
    size_t n_wrong = 0;
    for (int i = 0; i < 200; i++) {
        liz_buf out;
        liz_buf_init(&out, 1 << 20);
        bool ok = liz_jinja_render(user, NULL, 0, &now, NULL, &out, NULL, NULL) == LIZ_OK;
        n_wrong += !ok || !liz_str_is(liz_buf_str(&out), "4950 21");
        liz_buf_free(&out);
    }
    return (void *)(uintptr_t)n_wrong;
}

/* One template, many threads at once. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    liz_jinja *jinja;
    assert_int_equal(liz_jinja_compile(&jinja, liz_str_of(shared_source), NULL), LIZ_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, render_often, jinja), 0);
    for (size_t i = 0; i < 4; i++) {
        void *n_wrong;
        pthread_join(threads[i], &n_wrong);
        assert_null(n_wrong);
    }
    liz_jinja_free(jinja);
}

/* Of two variables of a name the first counts, and only what is marked as data is. */
static void test_variables(void **state)
{
    (void)state;
    liz_arena arena = {.size_max = 1u << 20};
    liz_json *a, *b;
    liz_buf data;
    bool ok;
    liz_buf_init(&data, 1 << 20);
    assert_int_equal(liz_json_read(&a, liz_str_of("{\"x\":\"1\"}"), &arena, NULL), LIZ_OK);
    assert_int_equal(liz_json_read(&b, liz_str_of("{\"x\":\"2\",\"y\":\"3\"}"), &arena, NULL), LIZ_OK);
    liz_buf out = render_text(liz_str_of("{{ x }}{{ y }}"), (liz_jinja_vars[]){{a, true}, {b, false}}, 2, &data, &ok);
    assert_string_equal(out.data, "13");
    assert_int_equal(data.len, 2 * sizeof(size_t));
    liz_buf_free(&out);
    liz_buf_free(&data);
    liz_arena_free(&arena);
}

/* Renderings that share their steps: the first takes of them what it needs, and the second does not have enough. */
static void test_shared_steps(void **state)
{
    (void)state;
    liz_jinja *jinja;
    liz_buf out = {.len_max = 1 << 20};
    uint64_t n_steps = liz_jinja_steps_max(), n_used;
    assert_int_equal(liz_jinja_compile(
                         &jinja, liz_str_of("{% for i in range(400) %}{% endfor %}{{ range(400)|join|length }}"), NULL),
                     LIZ_OK);
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, &n_steps, &out, NULL, NULL), LIZ_OK);
    n_used = liz_jinja_steps_max() - n_steps;
    assert_in_range(n_used, 800, 8000);
    n_steps = n_used + n_used / 2;
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, &n_steps, &out, NULL, NULL), LIZ_OK);
    assert_int_equal(n_steps, n_used / 2);
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, &n_steps, &out, NULL, NULL), LIZ_E_LIMIT);
    assert_int_equal(n_steps, 0);
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, NULL, &out, NULL, NULL), LIZ_OK);
    assert_string_equal(out.data, "109010901090");
    liz_jinja_free(jinja);
    liz_buf_free(&out);
}

/* A message of raise_exception ends where an error's text does, in whole characters, or at a NUL. */
static void test_long_refusal(void **state)
{
    (void)state;
    liz_jinja *jinja;
    liz_buf out = {.len_max = 1 << 20};
    liz_error err;
    assert_int_equal(liz_jinja_compile(&jinja, liz_str_of("{{ raise_exception('\xc3\xa9' * 300) }}"), NULL), LIZ_OK);
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, NULL, &out, NULL, &err), LIZ_E_CANCELLED);
    assert_int_equal(strlen(err.text), 510);
    liz_jinja_free(jinja);
    assert_int_equal(liz_jinja_compile(&jinja, liz_str_of("{{ raise_exception('a\\x00b') }}"), NULL), LIZ_OK);
    assert_int_equal(liz_jinja_render(jinja, NULL, 0, &now, NULL, &out, NULL, &err), LIZ_E_CANCELLED);
    assert_string_equal(err.text, "a");
    liz_jinja_free(jinja);
    liz_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),    cmocka_unit_test(test_valid),        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_marks),        cmocka_unit_test(test_threads),      cmocka_unit_test(test_variables),
        cmocka_unit_test(test_shared_steps), cmocka_unit_test(test_long_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
