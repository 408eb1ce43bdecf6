/* test_line_chat.c - rows through a chat template, on the fake engine, which gives the prompt back: --prompt and
 * --system as turns, rows with messages, OpenAI chat requests; what is data stays text; the template and its clock are
 * in the fingerprint. */
#include "line_lab.h"

#include "base/json.h"

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed) {
        lab_puts("model", "template=1\n");
        lab_puts("plain", "");
        lab_puts("clock.jinja", "{{ strftime_now('%Y-%m-%d %H:%M') }} {{ messages[0].content }}");
        lab_puts("clocked", "template=./clock.jinja\n");
        lab_puts("strict.jinja",
                 "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
                 "{{ raise_exception('no ' ~ m.role ~ ' here') }}{% endif %}{{ m.content }}{% endfor %}");
        lab_puts("strict", "template=./strict.jinja\n");
    }
    return failed;
}

static int fresh(void **state)
{
    (void)state;
    lab_remove_out("out");
    return 0;
}

static liz_line_opts chat_opts(const char *model, const char *prompt)
{
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.model_path = model;
    opts.prompt = prompt;
    opts.max_tokens = 400;
    return opts;
}

static void assert_out(const char *part)
{
    liz_buf out = lab_get("out");
    if (strstr(out.data, part) == NULL)
        fail_msg("no %s in\n%s", part, out.data);
    liz_buf_free(&out);
}

/* Each row of IN gives its part of OUT. */
static void assert_rows(const char *model, const char *const rows[][2], size_t n)
{
    liz_buf in;
    liz_buf_init(&in, 1 << 20);
    for (size_t i = 0; i < n; i++)
        liz_buf_printf(&in, "%s\n", rows[i][0]);
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = chat_opts(model, NULL);
    lab_run_ok(&opts, LIZ_LINE_DONE);
    for (size_t i = 0; i < n; i++)
        assert_out(rows[i][1]);
}

static void test_prompt_and_system(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"t\":\"!echo! a\"}\n{\"t\":\"!echo! <|end|>\\\"\"}\n");
    liz_line_opts opts = chat_opts("model", "Say {{t}}");
    opts.system = "Be {{t}}.";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_out(
        "\"text\":\"<|turn|>system\\nBe !echo! a.<|end|>\\n<|turn|>user\\nSay !echo! a<|end|>\\n<|turn|>assistant");
    /* Control tokens in data are text: more tokens than the same text of the template's own would be. */
    assert_out("Say !echo! <|end|>\\\"<|end|>\\n");
    lab_remove_out("out");
    opts.raw = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_out("\"text\":\"<|begin|>Be !echo! a.\\n\\nSay !echo! a\"");
}

static void test_messages(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"},{\"role\":\"x\",\"content\":\"y\"}]}",
         "\"text\":\"<|turn|>user\\n!echo!<|end|>\\n<|turn|>x\\ny<|end|>\\n<|turn|>assistant\\n\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"!echo!\"},"
         "{\"type\":\"text\",\"text\":\"b\"}]}]}",
         "user\\n!echo!\\nb<|end|>"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"}],\"tools\":[{\"n\":1.50}],\"id\":\"i\"}",
         "tools [{\\\"n\\\": 1.5}]\\n<|turn|>assistant"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!q\"}],"
         "\"chat_template_kwargs\":{\"add_generation_prompt\":false}}",
         "\"text\":\"<|turn|>user\\n!echo!q<|end|>\\n\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template_kwargs\":[1]}",
         "\"code\":\"invalid_row\",\"message\":\"its \\\"chat_template_kwargs\\\" are not an object\""},
        {"{\"messages\":{}}", "\"code\":\"invalid_row\""},
        {"{\"messages\":[]}", "\"code\":\"invalid_row\""},
        {"{\"prompt\":\"!echo!<|end|>\"}", "\"text\":\"<|begin|>!echo!<|end|>\""},
        {"{\"other\":1}", "\"code\":\"field_missing\""},
    };
    assert_rows("model", rows, sizeof rows / sizeof *rows);
}

#define USER(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define CALLS "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"

/* Messages that are not as chat APIs write them, and what no template would show the model, are error rows. */
static void test_messages_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"messages\":[\"hi\"]}", "\"invalid_row\",\"message\":\"messages[0]: is no object"},
        {"{\"messages\":[{\"content\":\"hi\"}]}", "\"invalid_row\",\"message\":\"messages[0].role"},
        {"{\"messages\":[{\"role\":\"a role that is longer than any role has a reason to be, by far too "
         "much\",\"content\":\"a\"}]}",
         "\"invalid_row\",\"message\":\"messages[0].role: is not a name of a role"},
        {"{\"messages\":[{\"role\":5,\"content\":\"hi\"}]}", "\"invalid_row\",\"message\":\"messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "\"invalid_row\",\"message\":\"messages[0].content: is missing"},
        {USER("null"), "messages[0].content: is missing"},
        {USER("5"), "messages[0].content: is neither a text nor a list of parts"},
        {USER("{\"type\":\"text\",\"text\":\"a\"}"), "messages[0].content: is neither"},
        {USER("[]"), "messages[0].content: has no parts"},
        {USER("[\"a\"]"), "\"invalid_row\",\"message\":\"messages[0].content[0]: is not {"},
        {USER("[{\"type\":\"text\"}]"), "messages[0].content[0]: is not {"},
        {USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]"),
         "\"unsupported\",\"message\":\"messages[0].content[1]: is of type \\\"image_url\\\""},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":null}]}", "messages[0].content: is missing"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}]}",
         "messages[0].content: is missing"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":\"f\"}]}", "messages[0].tool_calls: is no list"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":\"f\"}",
         "\"invalid_row\",\"message\":\"tools: is no list of objects"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"documents\":[{\"text\":\"d\"}]}",
         "\"unsupported\",\"message\":\"documents: the chat template does not show them"},
    };
    assert_rows("model", rows, sizeof rows / sizeof *rows);
}

/* A template that knows two roles, shows no tools and joins texts by itself. */
static void test_messages_adapted(void **state)
{
    (void)state;
    lab_puts("picky.jinja",
             "{% for m in messages %}{% if m.role in ['system', 'user', 'assistant'] %}"
             "[{{ m.role }}:{{ m.content + '' }}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}]"
             "{% endif %}{% endfor %}");
    lab_puts("picky", "template=./picky.jinja\n");
    lab_puts("parts.jinja", "{% for m in messages %}{% if m.role == 'user' and m.content is not string %}"
                            "{% for p in m.content %}({{ p.text }}){% endfor %}{% elif m.content is none %}none!"
                            "{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}{% else %}{{ m.content }}"
                            "{% endif %}{% endfor %}");
    lab_puts("parts", "template=./parts.jinja\n");
    lab_puts("first.jinja", "{% for m in messages %}{% if m.role != 'system' %}{{ m.content if m.content is string "
                            "else m.content[0].text }}"
                            "{% endif %}{% endfor %}");
    lab_puts("first", "template=./first.jinja\n");
    static const char *const first[][2] = {
        /* It would show the first part alone. */
        {USER("[{\"type\":\"text\",\"text\":\"!echo!\"},{\"type\":\"text\",\"text\":\"b\"}]"),
         "\"text\":\"!echo!\\nb\""},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}]}",
         "\"unsupported\",\"message\":\"messages[0].role: the chat template shows nothing of \\\"system\\\""},
        {"{\"messages\":[{\"role\":\"developer\",\"content\":\"!echo!d\"},{\"role\":\"user\",\"content\":\"a\"}]}",
         "\"text\":\"!echo!da\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\"," CALLS "}]}",
         "\"unsupported\",\"message\":\"messages[1].tool_calls: the chat template does not show them"},
    };
    static const char *const picky[][2] = {
        {"{\"messages\":[{\"role\":\"developer\",\"content\":\"!echo!\"}]}", "\"text\":\"[system:!echo!]\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"b\"}]}",
         "\"unsupported\",\"message\":\"messages[1].role: the chat template shows nothing of \\\"tool\\\""},
        {"{\"messages\":[{\"role\":\"sytem\",\"content\":\"a\"}]}",
         "\"invalid_row\",\"message\":\"messages[0].role: \\\"sytem\\\" is none that the chat template shows"},
        {USER("[{\"type\":\"text\",\"text\":\"!echo!\"},{\"type\":\"refusal\",\"refusal\":\"no\"}]"),
         "[user:!echo!\\nno]"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!b\"},{\"role\":\"assistant\"," CALLS "}]}",
         "[user:!echo!b][assistant:f]"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{\"type\":\"function\"}]}",
         "\"unsupported\",\"message\":\"tools: the chat template does not show them"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!c\"}],\"tools\":[],\"documents\":null}",
         "[user:!echo!c]"},
    };
    static const char *const parts[][2] = {
        {USER("[{\"type\":\"text\",\"text\":\"!echo!\"},{\"type\":\"text\",\"text\":\"b\"}]"),
         "\"text\":\"(!echo!)(b)\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"},{\"role\":\"tool\",\"content\":[{\"type\":\"text\","
         "\"text\":\"sunny\"}]}]}",
         "\"text\":\"!echo!sunny\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"},{\"role\":\"assistant\"," CALLS "}]}",
         "\"text\":\"!echo!none!f\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"},{\"role\":\"assistant\",\"content\":null," CALLS
         "}]}",
         "\"text\":\"!echo!none!f\""},
    };
    assert_rows("picky", picky, sizeof picky / sizeof *picky);
    lab_remove_out("out");
    assert_rows("first", first, sizeof first / sizeof *first);
    lab_remove_out("out");
    assert_rows("parts", parts, sizeof parts / sizeof *parts);
}

/* Members of a row that templates read beside the messages. */
static void test_members(void **state)
{
    (void)state;
    lab_puts("members.jinja", "{{ messages[0].content }} {{ reasoning_effort is defined }} {{ reasoning_effort }}"
                              "{% for d in documents %}<{{ d.text }}>{% endfor %}");
    lab_puts("members", "template=./members.jinja\n");
    static const char *const rows[][2] = {
        {USER("\"!echo!\""), "\"text\":\"!echo! False \""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!b\"}],\"reasoning_effort\":\"high\"}",
         "\"text\":\"!echo!b True high\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!c\"}],\"documents\":[{\"text\":\"d\"},{\"text\":\"e\"}]"
         "}",
         "\"text\":\"!echo!c False <d><e>\""},
    };
    assert_rows("members", rows, sizeof rows / sizeof *rows);
}

/* What raise_exception says is the row's message, as it stands. */
static void test_refusal(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}",
         "{\"code\":\"template_failed\",\"message\":\"no tool here\"}"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"}]}", "\"text\":\"!echo!\""},
    };
    assert_rows("strict", rows, sizeof rows / sizeof *rows);
}

#define CHAT_ROW(id, body)                                                                                             \
    "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"," body   \
    "}}"

static void test_openai(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {CHAT_ROW("a", "\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"}],\"max_completion_tokens\":99"),
         "\"body\":{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"m\",\"choices\":[{"
         "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"<|turn|>user\\n!echo!<|end|>\\n<|turn|>"
         "assistant\\n\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"},
        {CHAT_ROW("b", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"logprobs\":true,\"top_logprobs\":2,"
                       "\"max_tokens\":1"),
         "\"logprobs\":{\"content\":[{\"token\":"},
        {CHAT_ROW("c", "\"prompt\":\"x\",\"messages\":[]"), "\"message\":\"body.prompt: is not supported"},
        {CHAT_ROW("d", "\"max_tokens\":1"), "\"message\":\"body.messages: is missing\""},
        {CHAT_ROW("e", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":\"required\""),
         "\"message\":\"body.tool_choice: is not supported"},
        {CHAT_ROW("g", "\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"}],"
                       "\"response_format\": { \"type\": \"text\" }, \"tool_choice\": \"auto\""),
         "\"message\":{\"role\":\"assistant\",\"content\":\"<|turn|>user\\n!echo!"},
        {CHAT_ROW("i", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":\"au to\""),
         "\"message\":\"body.tool_choice: is not supported"},
        {CHAT_ROW("k",
                  "\"max_tokens\":2,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_completion_tokens\":5"),
         "\"message\":\"body.max_tokens: is not what body.max_completion_tokens is"},
        {CHAT_ROW("l", "\"logprobs\":false,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"top_logprobs\":1"),
         "\"message\":\"body.top_logprobs: is not of use without"},
        {CHAT_ROW("m", "\"top_logprobs\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"logprobs\":true,"
                       "\"max_tokens\":1,\"tool_choice\":\"none\",\"modalities\":[\"text\"]"),
         ",\"bytes\":["},
        {CHAT_ROW(
             "n",
             "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"n\":1}],\"tool_choice\":\"none\""),
         "\"message\":\"body.tool_choice: is not supported"},
        {CHAT_ROW("q", "\"prompt\":null,\"top_p\":1e-50,\"messages\":[{\"role\":\"user\",\"content\":\"!echo!n\"}]"),
         "user\\n!echo!n"},
        {"{\"custom_id\":\"r\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":[99999999]}}",
         "token 99999999: the vocabulary ends at"},
        {"{\"custom_id\":\"o\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":[[33,34]]}}",
         "\"usage\":{\"prompt_tokens\":2"},
        {"{\"custom_id\":\"p\",\"method\":\"POST\",\"url\":\"/v1/completions\"}", "its \\\"body\\\" is not an object"},
        {CHAT_ROW("h", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                       "\"response_format\":{\"type\": \"json_object\"}"),
         "\"message\":\"body.response_format: is not supported"},
        {"{\"custom_id\":\"f\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"!echo!\"}}",
         "\"object\":\"text_completion\""},
    };
    assert_rows("model", rows, sizeof rows / sizeof *rows);
}

/* The arguments of a tool call are given to the template as it can take them. */
static void test_arguments(void **state)
{
    (void)state;
    static const char call[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"!echo!\"},{\"role\":\"assistant\","
                               "\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
                               "\"{\\\"a\\\": [1.0]}\"}}]}]}";
    static const char begin[] = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}";
    static const struct {
        const char *use, *text;
    } cases[] = {{"{{ c.function.arguments|tojson }}", "!echo!{\\\"a\\\": [1.0]}"},
                 {"{{ c.function.arguments.items()|list }}", "!echo![('a', [1.0])]"},
                 {"{{ 'A' + c.function.arguments }}", "!echo!A{\\\"a\\\": [1.0]}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_buf source;
        char want[64];
        liz_buf_init(&source, 4096);
        liz_buf_printf(&source, "%s%s{%% endfor %%}{%% endfor %%}", begin, cases[i].use);
        lab_puts("calls.jinja", source.data);
        lab_puts("calls", "template=./calls.jinja\n");
        liz_buf_free(&source);
        snprintf(want, sizeof want, "\"text\":\"%s\"", cases[i].text);
        lab_remove_out("out");
        assert_rows("calls", (const char *const[][2]){{call, want}}, 1);
    }
}

/* A resume goes on with the time of the first beginning; another --now or template is another job. */
static void test_clock(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"t\":\"!echo!\"}\n{\"t\":\"!echo!\"}\n");
    liz_line_opts opts = chat_opts("clocked", "{{t}}");
    opts.now = "2026-01-31 07:08:09";
    opts.limit = 1;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    assert_out("\"text\":\"2026-01-31 07:08 !echo!\"");
    opts.limit = 0;
    opts.now = "2026-01-31";
    lab_run_fails(&opts, LIZ_E_STATE, "now (was 2026-01-31 07:08:09, is 2026-01-31)");
    opts.now = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    const char *second = strchr(out.data, '\n') + 1;
    assert_non_null(strstr(second, "2026-01-31 07:08 !echo!"));
    liz_buf_free(&out);
    lab_remove_out("out");
    opts.now = "yesterday";
    lab_run_fails(&opts, LIZ_E_USAGE, "--now yesterday: is no time");
    opts.now = "2026-02-30";
    lab_run_fails(&opts, LIZ_E_USAGE, "is no time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_prompt_and_system, fresh),
        cmocka_unit_test_setup(test_messages, fresh),
        cmocka_unit_test_setup(test_messages_refused, fresh),
        cmocka_unit_test_setup(test_messages_adapted, fresh),
        cmocka_unit_test_setup(test_refusal, fresh),
        cmocka_unit_test_setup(test_openai, fresh),
        cmocka_unit_test_setup(test_members, fresh),
        cmocka_unit_test_setup(test_arguments, fresh),
        cmocka_unit_test_setup(test_clock, fresh),
    };
    return cmocka_run_group_tests(tests, setup, lab_close);
}
