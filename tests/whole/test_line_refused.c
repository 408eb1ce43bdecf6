/* test_line_refused.c - memory is refused at the n-th request, for every n, of a whole line.
 *
 * A line ends with the bytes of one that had all memory, or with an error that says memory was short; then the same
 * command goes on to those bytes. What is refused within a row stops the line as well: an error row says what the row
 * determines, and never that memory was short. Each row of OUT has its line of --stats, no other has. */
#include "../lib/alloc_fail.h"
#include "../lib/refuse.h"
#include "../lib/temp_dir.h"
#include "line/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char model_path[512], chat_path[512], adapter_path[512];

static const char chat_template[] = "{% for m in messages %}{{ m.role|upper }}:{{ m.content }}{% endfor %}"
                                    "{% if add_generation_prompt %}ab{% endif %}";

static int files_make(void **state)
{
    (void)state;
    models_make(chat_template, model_path, chat_path, adapter_path);
    return 0;
}

/* ---- One line ---- */

typedef struct line_case {
    const char *name, *in_name, *in;
    void (*set)(liz_line_opts *opts); /* NULL: the plain model and prompt */
    uint64_t half;                    /* rows that OUT has before */
    const char *retries;              /* the prompt of the first try, after which its error rows are made again */
} line_case;

typedef struct paths {
    char out[512], side[520], retry[520], stats[520];
} paths;

static liz_status run_line(const line_case *c, const paths *p, uint64_t limit, bool first, liz_error *err)
{
    static liz_lora lora;
    liz_line_opts opts;
    liz_line_report report;
    liz_line_opts_init(&opts);
    lora = (liz_lora){adapter_path, 0, true};
    opts.engine = (liz_engine_opts){.n_threads = 2, .n_parallel = 2, .n_ctx = 40, .memory_max_bytes = 1u << 30};
    opts.engine.loras = &lora;
    opts.model_path = model_path;
    opts.in_path = temp_path(c->in_name);
    opts.out_path = p->out;
    opts.stats_path = p->stats;
    opts.prompt = "a {{text}}";
    opts.max_tokens = 3;
    opts.limit = limit;
    opts.now = "2026-01-01";
    if (c->set != NULL)
        c->set(&opts);
    if (c->retries != NULL) {
        opts.prompt = first ? c->retries : opts.prompt;
        opts.retry_failed = !first;
    }
    liz_status status = liz_line_run(&opts, &report, err);
    liz_line_report_free(&report);
    return status;
}

static char *read_text(const char *path)
{
    size_t n;
    char *text = file_read(path, &n);
    return text != NULL ? text : strdup("");
}

static size_t n_lines(const char *path)
{
    char *text = read_text(path);
    size_t n = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        n++;
    free(text);
    return n;
}

/* What is there before the attempt with which memory is refused. */
static void begin(const line_case *c, const paths *p)
{
    liz_error err;
    unlink(p->out), unlink(p->side), unlink(p->retry), unlink(p->stats);
    if (c->retries != NULL || c->half > 0)
        if (run_line(c, p, c->half, true, &err) != LIZ_OK)
            fail_msg("%s: %s", c->name, err.text);
    if (c->retries != NULL)
        unlink(p->stats);
}

static void assert_out(const line_case *c, const paths *p, const char *want, long n, const char *when)
{
    char *got = read_text(p->out);
    if (strcmp(got, want) != 0)
        fail_msg("%s: request %ld refused: %s other bytes:\n%s\n---\n%s", c->name, n, when, got, want);
    free(got);
}

/* One attempt with the n-th request refused, and the one after it. Sets `*hit`; whether it failed. */
static bool attempt(const line_case *c, const paths *p, const char *want, size_t n_stats, long n, bool *hit)
{
    liz_error err = {0};
    begin(c, p);
    alloc_fail_at(n);
    liz_status status = run_line(c, p, 0, false, &err);
    *hit = alloc_fail_stop();
    if (status == LIZ_OK)
        assert_out(c, p, want, n, "finished with");
    else if (!*hit || status != LIZ_E_MEMORY || err.code != status || err.text[0] == '\0')
        fail_msg("%s: request %ld refused: status %d, error %d: %s", c->name, n, status, err.code, err.text);
    else if (c->retries == NULL && n_lines(p->stats) != n_lines(p->out))
        fail_msg("%s: request %ld refused: %zu stats, %zu rows", c->name, n, n_lines(p->stats), n_lines(p->out));
    liz_error again;
    if (run_line(c, p, 0, false, &again) != LIZ_OK)
        fail_msg("%s: request %ld refused: resume: %s", c->name, n, again.text);
    assert_out(c, p, want, n, "resumed to");
    if (c->retries == NULL && n_lines(p->stats) != n_stats)
        fail_msg("%s: request %ld refused: %zu stats", c->name, n, n_lines(p->stats));
    return status != LIZ_OK;
}

static void refuse_in_line(const line_case *c)
{
    paths p;
    liz_error err;
    temp_write(c->in_name, c->in, strlen(c->in));
    snprintf(p.out, sizeof p.out, "%s", temp_path("out"));
    snprintf(p.side, sizeof p.side, "%s.lizzie", p.out);
    snprintf(p.retry, sizeof p.retry, "%s.retry", p.out);
    snprintf(p.stats, sizeof p.stats, "%s.stats", p.out);
    begin(c, &p);
    if (run_line(c, &p, 0, false, &err) != LIZ_OK)
        fail_msg("%s: %s", c->name, err.text);
    char *want = read_text(p.out);
    size_t n_live = alloc_n_live(), n_stats = n_lines(p.stats);
    assert_true(n_stats > 0 && (c->retries != NULL || n_stats == n_lines(p.out)));
    long n = 1, n_errors = 0;
    for (bool hit = true; hit; n++) {
        n_errors += attempt(c, &p, want, n_stats, n, &hit);
        if (alloc_n_live() != n_live)
            fail_msg("%s: request %ld refused: %zu pieces of memory are left", c->name, n, alloc_n_live() - n_live);
    }
    printf("# %s: %ld requests, %ld errors\n", c->name, n - 2, n_errors);
    assert_true(n_errors > 50);
    free(want);
}

/* ---- Lines of every kind ---- */

static void own_prompts(liz_line_opts *opts) { opts->prompt = NULL; }

static void of_choices(liz_line_opts *opts)
{
    static const char *const choices[] = {"a", "ab", "b a"};
    opts->choices = choices;
    opts->n_choices = 3;
}

static void by_template(liz_line_opts *opts)
{
    opts->model_path = chat_path;
    opts->system = "sys";
    opts->prompt = "{{text}}";
}

static void of_messages(liz_line_opts *opts)
{
    opts->model_path = chat_path;
    opts->prompt = NULL;
}

static void with_logprobs(liz_line_opts *opts)
{
    opts->keep[0] = "text";
    opts->n_keep = 1;
    opts->id_field = "id";
    opts->logprobs = 2;
    opts->prompt_logprobs = 1;
}

static void of_three(liz_line_opts *opts)
{
    opts->n_completions = 3;
    opts->stop_strings[0] = "ab";
    opts->n_stop_strings = 1;
    opts->stop_tokens[0] = "4";
    opts->n_stop_tokens = 1;
}

static void shortened(liz_line_opts *opts)
{
    opts->prompt = "{{text}}";
    opts->truncate_field = "text";
}

static void by_adapter(liz_line_opts *opts)
{
    opts->engine.n_loras = 1;
    opts->lora_names[0] = "x";
    opts->lora_field = "l";
}

#define LONG_TEXT " b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a"
#define COMPLETE "\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":"
#define CHAT "\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":["

static const char rows[] =
    "{\"text\":\"a\",\"id\":1}\n{\"text\":\"ab ab\",\"id\":\"two\"}\n{\"text\":3}\n[]\n{\"text\":\"b\"}\n";
static const char csv[] = "text,id\n\"a \"\"b\"\"\",1\nplain,2\nab,3\nshort\n";
static const char openai[] = "{\"custom_id\":\"a" COMPLETE "{\"prompt\":\"a b\",\"max_tokens\":2,\"stop\":[\"ab\"],"
                             "\"logprobs\":1,\"logit_bias\":{\"3\":1}}}\n"
                             "{\"custom_id\":\"b" COMPLETE "{\"prompt\":[3,4,5]}}\n"
                             "{\"custom_id\":\"c" COMPLETE "{\"prompt\":\"a\",\"n\":2}}\n";
static const char openai_chat[] =
    "{\"custom_id\":\"a" CHAT "{\"role\":\"user\",\"content\":\"a b\"}],\"max_tokens\":2,\"n\":2,\"stop\":\"b\","
    "\"logprobs\":true,\"top_logprobs\":2}}\n"
    "{\"custom_id\":\"b" CHAT "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}]}}\n";
static const char messages[] = "{\"prompt\":\"a\"}\n"
                               "{\"messages\":[{\"role\":\"user\",\"content\":\"a b\"}]}\n"
                               "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                               "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"ab\"}]}]}\n";

static const line_case cases[] = {
    {"fresh", "rows.jsonl", rows, NULL, 0, NULL},
    {"resumed", "rows.csv", csv, NULL, 2, NULL},
    {"OpenAI", "openai.jsonl", openai, own_prompts, 0, NULL},
    {"choices", "rows.jsonl", rows, of_choices, 0, NULL},
    {"a chat template", "rows.jsonl", rows, by_template, 0, NULL},
    {"messages", "messages.jsonl", messages, of_messages, 0, NULL},
    {"OpenAI chat", "chat.jsonl", openai_chat, of_messages, 0, NULL},
    {"log-probabilities", "rows.tsv", "text\tid\na b\t1\nab\t2\n", with_logprobs, 0, NULL},
    {"three of each", "two.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", of_three, 0, NULL},
    {"shortened", "long.jsonl", "{\"text\":\"a" LONG_TEXT LONG_TEXT "\"}\n", shortened, 0, NULL},
    {"adapters", "lora.jsonl",
     "{\"text\":\"a\",\"l\":\"x\"}\n{\"text\":\"ab ab\",\"l\":\"\"}\n{\"text\":\"b\",\"l\":\"y\"}\n", by_adapter, 0,
     NULL},
    {"tried again", "two.jsonl", "{\"text\":\"a\"}\n{\"text\":\"ab\"}\n", NULL, 0, "{{text}}" LONG_TEXT LONG_TEXT},
};

static void test_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_in_line(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_line)};
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* hundreds of lines sync their files */
    return cmocka_run_group_tests(tests, files_make, NULL);
}
