/* test_template.c - chat templates as the engine opens them: what their probing may cost, the second template for
 * tools, tokens of the model or none, documents, and messages without content. */
#include "../lib/gguf_asm.h"
#include "engine/engine_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const liz_str own[] = {{"<s>", 3}, {"</s>", 4}};

static liz_template *opened(const char *source, const char *with_tools, const liz_str *bos_eos)
{
    liz_template *t = NULL;
    liz_error err;
    if (liz_engine_template_new(&t, liz_str_of(source), liz_str_of(with_tools), bos_eos, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return t;
}

/* The text, or what the error says. */
static void assert_renders(const liz_template *t, const char *variables, unsigned flags, const char *expected)
{
    liz_rendered out;
    liz_error err;
    liz_status status = liz_template_render(t, variables, strlen(variables), "2026-01-15", flags, &out, &err);
    assert_string_equal(status == LIZ_OK ? out.text : err.text, expected);
    liz_rendered_free(&out);
}

#define USER "{\"role\":\"user\",\"content\":\"a\"}"

/* All conversations that an opening tries share what one rendering may take: this template drops what users say, and
 * would be found out if each had a full share, as the second shows, which is cheap. */
static void test_probes_share(void **state)
{
    (void)state;
    static const char costly[] =
        "{% set r = range(100000) %}{% for i in range(300) %}{% for k in r %}{% endfor %}{% endfor %}drops";
    liz_template *t = opened(costly, "", NULL);
    assert_renders(t, "{\"messages\":[" USER "]}", LIZ_RENDER_CHAT, "drops");
    liz_template_close(t);
    t = opened("drops", "", NULL);
    assert_renders(t, "{\"messages\":[" USER "]}", LIZ_RENDER_CHAT,
                   "messages[0].role: the chat template shows nothing of \"user\"");
    liz_template_close(t);
}

static void test_tool_use(void **state)
{
    (void)state;
    liz_template *t =
        opened("plain {{ messages[0].content }}", "tools {{ tools|tojson }} {{ messages[0].content }}", own);
    assert_renders(t, "{\"messages\":[" USER "]}", LIZ_RENDER_CHAT, "plain a");
    assert_renders(t, "{\"messages\":[" USER "],\"tools\":null}", LIZ_RENDER_CHAT, "plain a");
    assert_renders(t, "{\"messages\":[" USER "],\"tools\":[{\"n\":1}]}", LIZ_RENDER_CHAT, "tools [{\"n\": 1}] a");
    liz_template_close(t);
    t = opened("plain {{ messages[0].content }}", "", own);
    assert_renders(t, "{\"messages\":[" USER "],\"tools\":[{\"n\":1}]}", LIZ_RENDER_CHAT,
                   "tools: the chat template does not show them to the model");
    liz_template_close(t);
}

/* A model file brings two templates and its tokens. */
static void test_of_file(void **state)
{
    (void)state;
    static const char text[] =
        "head 0 5\n"
        "key tokenizer.chat_template string\nstr \"{{ bos_token }}{{ messages[0].content }}\"\n"
        "key tokenizer.chat_template.tool_use string\nstr \"{{ tools|tojson }}{{ eos_token }}\"\n"
        "key tokenizer.ggml.tokens array\narray string 2\nstr <b>\nstr <e>\n"
        "key tokenizer.ggml.bos_token_id u32\nu32 0\n"
        "key tokenizer.ggml.eos_token_id u32\nu32 1\n"
        "pad 32\n";
    gguf_asm file;
    liz_template *t = NULL;
    liz_error err;
    gguf_assemble(&file, text);
    if (liz_template_open(&t, gguf_asm_write(&file), &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_renders(t, "{\"messages\":[" USER "]}", LIZ_RENDER_CHAT, "<b>a");
    assert_renders(t, "{\"messages\":[" USER "],\"tools\":[{\"n\":1}]}", 0, "[{\"n\": 1}]<e>");
    liz_template_close(t);
    gguf_asm_free(&file);
}

/* A model's tokens are there, and a variable of that name comes before them; a template by itself has none, though
 * templates that cannot do without are still found to show what they show. */
static void test_tokens(void **state)
{
    (void)state;
    static const char
        asks[] = "{{ bos_token is defined }}{{ bos_token }}{{ eos_token }}",
        adds[] = "{% for m in messages %}{% if m.role != 'user' %}{{ bos_token + m.content }}{% endif %}{% endfor %}";
    liz_template *t = opened(asks, "", own);
    assert_renders(t, "{}", 0, "True<s></s>");
    assert_renders(t, "{\"bos_token\":\"B\"}", 0, "TrueB</s>");
    liz_template_close(t);
    t = opened(asks, "", NULL);
    assert_renders(t, "{}", 0, "False");
    assert_renders(t, "{\"bos_token\":\"B\"}", 0, "TrueB");
    liz_template_close(t);
    t = opened("{{ bos_token + messages[0].content }}", "",
               NULL); /* of a conversation that needs them they are empty */
    assert_renders(t, "{\"messages\":[" USER "]}", LIZ_RENDER_CHAT, "a");
    liz_template_close(t);
    t = opened(adds, "", NULL);
    assert_renders(t, "{\"bos_token\":\"B\",\"messages\":[" USER "]}", LIZ_RENDER_CHAT,
                   "messages[0].role: the chat template shows nothing of \"user\"");
    liz_template_close(t);
}

static void test_documents(void **state)
{
    (void)state;
    static const char variables[] = "{\"messages\":[" USER "],\"documents\":[{\"title\":\"t\",\"text\":\"d\"}]}";
    liz_template *t = opened("{% for d in documents %}<{{ d.text }}>{% endfor %}{{ messages[0].content }}", "", own);
    assert_renders(t, variables, LIZ_RENDER_CHAT, "<d>a");
    liz_template_close(t);
    t = opened("{{ messages[0].content }}", "", own);
    assert_renders(t, variables, LIZ_RENDER_CHAT, "documents: the chat template does not show them to the model");
    liz_template_close(t);
}

/* Beside reasoning, content may be null or absent, and becomes an empty text; a role of the template's own keeps it. */
static void test_no_content(void **state)
{
    (void)state;
    static const char source[] = "{% for m in messages %}({{ m.reasoning_content }}|{{ m.content is string }}|"
                                 "{{ m.content }}){% endfor %}";
    liz_template *t = opened(source, "", own);
    assert_renders(t, "{\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":\"why\"}]}", LIZ_RENDER_CHAT,
                   "(why|True|)");
    assert_renders(t,
                   "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"why\"},"
                   "{\"role\":\"own\",\"content\":null}]}",
                   LIZ_RENDER_CHAT, "(why|True|)(|False|None)");
    assert_renders(t, "{\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":5}]}", LIZ_RENDER_CHAT,
                   "messages[0].content: is missing");
    assert_renders(t, "{\"messages\":[{\"role\":\"user\",\"reasoning_content\":\"why\"}]}", LIZ_RENDER_CHAT,
                   "messages[0].content: is missing");
    liz_template_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes_share), cmocka_unit_test(test_tool_use),  cmocka_unit_test(test_of_file),
        cmocka_unit_test(test_tokens),       cmocka_unit_test(test_documents), cmocka_unit_test(test_no_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
