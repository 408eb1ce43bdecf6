/* fuzz_messages.c - conversations as chat APIs write them: an input is a digit that picks a template, and the variables
 * as JSON.
 *
 * What is adapted and rendered gives the same text twice; the marks of what came from the variables are ranges of the
 * text, ascending and apart from each other, and every byte that the template's own text does not have is in one. */
#include "engine/engine_template.h"
#include "fuzz.h"

#include <string.h>

typedef struct form {
    const char *source, *own; /* the bytes that it writes itself beside those of `printed` */
} form;

/* What printing adds to what is no string, which a role beside the usual may have as content, and to escaped
 * characters. */
static const char printed[] = "{}[]'\":, \n\\+-.0123456789abcdeflnorstuxNTFU";

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* What a template can take decides how messages are given to it: text or parts, arguments as JSON or as text, which
 * roles, reasoning. */
static const form forms[] = {
    {"{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<A>{% endif %}",
     "<>" WORD}, /* a role that is a plain word counts as the template's own */
    {"{% for m in messages %}{% for p in m.content %}[{{ p.text|trim }}]{% endfor %}{% endfor %}", ""},
    {"{% for m in messages %}{% if m.role == 'user' != (loop.index0 % 2 == 0) %}{{ raise_exception('ORDER') }}"
     "{% endif %}U{{ m['content'] }}{% endfor %}",
     "U"},
    {"{% for m in messages %}{% if m.reasoning_content is defined %}R{{ m.reasoning_content }}{% endif %}"
     "{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments|tojson }}"
     "{% endfor %}{% elif m.role == 'tool' %}T{{ m.content }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
     "{% for t in tools or [] %}{{ t|tojson(indent=1) }}{% endfor %}",
     WORD},
    {"{{ messages[-1].content.split('-')|join('+')|upper }}{{ documents|length if documents else '' }}", ""},
};

enum { N_FORMS = sizeof forms / sizeof *forms };

static const liz_template *opened(size_t i)
{
    static liz_template *templates[N_FORMS];
    const liz_str none = {"", 0};
    liz_error err;
    if (templates[i] == NULL)
        FUZZ_CHECK(liz_engine_template_new(&templates[i], liz_str_of(forms[i].source), none, NULL, &err) == LIZ_OK);
    return templates[i];
}

/* Bytes [from, to), which no mark covers. */
static void check_own(const liz_rendered *r, size_t from, size_t to, const char *own)
{
    for (size_t at = from; at < to; at++)
        FUZZ_CHECK(r->text[at] != '\0' && (strchr(own, r->text[at]) != NULL || strchr(printed, r->text[at]) != NULL));
}

static void check_marks(const liz_rendered *r, const char *own)
{
    size_t at = 0;
    for (size_t i = 0; i < r->n_data; i++) {
        size_t begin = r->data[2 * i], end = r->data[2 * i + 1];
        FUZZ_CHECK((i == 0 || begin > at) && begin < end && end <= r->n_text);
        check_own(r, at, begin, own);
        at = end;
    }
    check_own(r, at, r->n_text, own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liz_str text = fuzz_text(data, size);
    liz_rendered first = {0}, second = {0};
    liz_error err = {0};
    if (text.n == 0)
        return 0;
    size_t i = (unsigned char)(text.p[0] - '0') % (size_t)N_FORMS, n = text.n - 1;
    liz_status status =
        liz_template_render(opened(i), text.p + 1, n, "2026-01-01T00:00:00", LIZ_RENDER_CHAT, &first, &err);
    FUZZ_CHECK(status == LIZ_OK || (err.code == status && err.text[0] != '\0'));
    FUZZ_CHECK(liz_template_render(opened(i), text.p + 1, n, "2026-01-01T00:00:00", LIZ_RENDER_CHAT, &second, NULL) ==
               status);
    if (status == LIZ_OK) {
        FUZZ_CHECK(first.n_text == second.n_text && memcmp(first.text, second.text, first.n_text) == 0);
        FUZZ_CHECK(first.n_data == second.n_data);
        check_marks(&first, forms[i].own);
    }
    liz_rendered_free(&first);
    liz_rendered_free(&second);
    return 0;
}
