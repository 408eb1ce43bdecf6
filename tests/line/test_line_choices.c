/* test_line_choices.c - rows answered with one of given texts, on the fake engine: the line of OUT, what cannot go
 * together, resuming, rows that have no room, the OpenAI form, and the count of the answers. */
#include "line_lab.h"

#include "base/json.h"

static const char *const teams[] = {"billing", "delivery", "card, lost", "other \"x\""};
enum { N_TEAMS = 4 };

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed)
        lab_puts("model", "ctx=64\n");
    return failed;
}

static int fresh(void **state)
{
    (void)state;
    lab_remove_out("out");
    lab_remove_out("other");
    return 0;
}

static liz_line_opts choices_opts(const char *in, const char *out)
{
    liz_line_opts opts = lab_opts(in, out);
    opts.max_tokens = LIZ_LINE_MAX_TOKENS_DEFAULT;
    opts.choices = teams;
    opts.n_choices = N_TEAMS;
    return opts;
}

static const liz_json *line_of(const liz_buf *text, size_t i, liz_arena *arena)
{
    const char *at = text->data;
    liz_json *json;
    for (; i > 0; i--)
        at = strchr(at, '\n') + 1;
    assert_int_equal(liz_json_read(&json, (liz_str){at, strcspn(at, "\n")}, arena, NULL), LIZ_OK);
    return json;
}

/* Asserts that `probs` has a number for each team, in order, which sum to 1; gives the likeliest. */
static const char *check_probs(const liz_json *probs)
{
    double sum = 0, best = -1;
    const char *answer = NULL;
    size_t i = 0;
    assert_non_null(probs);
    for (const liz_json *m = probs->first_child; m != NULL; m = m->next, i++) {
        double p = 0;
        assert_true(i < N_TEAMS && liz_str_is(m->key, teams[i]) && liz_json_double(m, &p));
        answer = p > best ? teams[i] : answer;
        best = p > best ? p : best;
        sum += p;
    }
    assert_int_equal(i, N_TEAMS);
    assert_true(fabs(sum - 1) < 1e-5);
    return answer;
}

static void test_line(void **state)
{
    (void)state;
    enum { N = 40 };
    static const char *const keys[] = {
        "index", "id", "text", "finish_reason", "prompt_tokens", "completion_tokens", "seed", "choice", "probs", "row"};
    lab_make_input("in.jsonl", N, false);
    liz_line_opts opts = choices_opts("in.jsonl", "out");
    opts.keep[0] = "n";
    opts.n_keep = 1;
    liz_line_report report;
    liz_error err;
    assert_int_equal(liz_line_run(&opts, &report, &err), LIZ_OK);
    liz_buf out = lab_get("out");
    uint64_t counted[N_TEAMS] = {0}, n = 0;
    for (size_t row = 0; row < N; row++) {
        liz_arena arena = {.size_max = 1 << 20};
        const liz_json *line = line_of(&out, row, &arena);
        size_t k = 0;
        for (const liz_json *m = line->first_child; m != NULL; m = m->next, k++)
            assert_true(k < sizeof keys / sizeof *keys && liz_str_is(m->key, keys[k]));
        assert_int_equal(k, sizeof keys / sizeof *keys);
        const char *answer = check_probs(liz_json_member(line, "probs"));
        assert_true(liz_str_is(liz_json_member(line, "choice")->string, answer));
        assert_true(liz_str_is(liz_json_member(line, "text")->string, answer));
        assert_true(liz_str_is(liz_json_member(line, "finish_reason")->string, "stop"));
        for (size_t i = 0; i < N_TEAMS; i++)
            counted[i] += strcmp(answer, teams[i]) == 0;
        liz_arena_free(&arena);
    }
    for (size_t i = 0; i < N_TEAMS; i++) {
        assert_int_equal(report.choices[i].n, counted[i]);
        assert_true(report.choices[i].sum <= (double)counted[i] &&
                    report.choices[i].sum >= (double)counted[i] / N_TEAMS);
        n += counted[i] > 0;
    }
    assert_true(n >= 3);
    liz_buf_free(&out);
    liz_line_report_free(&report);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"a", "b", "a"}, *const empty[] = {"a", ""};
    lab_make_input("in.jsonl", 3, false);
    const liz_line_opts good = choices_opts("in.jsonl", "out");
    liz_line_opts opts = good;
    opts.n_completions = 2;
    lab_run_fails(&opts, LIZ_E_USAGE, "--n");
    opts = good;
    opts.logprobs = 0;
    lab_run_fails(&opts, LIZ_E_USAGE, "--logprobs");
    opts = good;
    opts.prompt_logprobs = 0;
    lab_run_fails(&opts, LIZ_E_USAGE, "--prompt-logprobs");
    opts = good;
    opts.stop_strings[opts.n_stop_strings++] = "x";
    lab_run_fails(&opts, LIZ_E_USAGE, "--stop");
    opts = good;
    opts.sampling.temperature = 0.5f;
    lab_run_fails(&opts, LIZ_E_USAGE, "sampling");
    opts = good;
    opts.sampling.bias = &(liz_logit_bias){1, 1};
    opts.sampling.n_bias = 1;
    lab_run_fails(&opts, LIZ_E_USAGE, "--logit-bias");
    opts = good;
    opts.choices = twice;
    opts.n_choices = 3;
    lab_run_fails(&opts, LIZ_E_USAGE, "\"a\" is given twice");
    opts.choices = empty;
    opts.n_choices = 2;
    lab_run_fails(&opts, LIZ_E_USAGE, "one is empty");
    assert_int_not_equal(access("out", F_OK), 0);
    opts = good; /* greedy is what they are anyway, and the end may be named */
    opts.sampling.temperature = 0;
    opts.stop_tokens[opts.n_stop_tokens++] = "10";
    opts.ignore_end = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
}

/* Stopped and gone on with, and with other choices refused by name. */
static void test_resume(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 30, true);
    liz_line_opts opts = choices_opts("in.jsonl", "out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "other";
    opts.limit = 11;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    opts.n_choices = 3;
    lab_run_fails(&opts, LIZ_E_STATE, "choices (was");
    opts.n_choices = N_TEAMS;
    opts.limit = 0;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    lab_assert_same("out", "other");
}

/* A prompt that leaves room for a token, but not for the longest choice. */
static void test_no_room(void **state)
{
    (void)state;
    static const char *const lengths[] = {"a", "123456789012345678901234567890"};
    lab_puts("in.jsonl", "{\"text\":\"short\"}\n{\"text\":\"abcdefghijklmnopqrstuvwxyzabcdefghijklmn\"}\n");
    liz_line_opts opts = choices_opts("in.jsonl", "out");
    opts.choices = lengths;
    opts.n_choices = 2;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    liz_arena arena = {.size_max = 1 << 20};
    assert_non_null(liz_json_member(line_of(&out, 0, &arena), "choice"));
    const liz_json *error = liz_json_member(line_of(&out, 1, &arena), "error");
    assert_true(liz_str_is(liz_json_member(error, "code")->string, "prompt_too_long"));
    assert_non_null(strstr(out.data, "the longest choice 30"));
    liz_arena_free(&arena);
    liz_buf_free(&out);
    opts.retry_failed = true; /* with choices that fit */
    opts.n_choices = 1;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    out = lab_get("out");
    assert_null(strstr(out.data, "error"));
    assert_non_null(strstr(out.data, "\"choice\":\"a\",\"probs\":{\"a\":1}"));
    liz_buf_free(&out);
}

static void test_openai(void **state)
{
    (void)state;
    lab_puts("in.jsonl",
             "{\"custom_id\":\"x\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"Hello\"}}\n"
             "{\"custom_id\":\"y\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"Hello\","
             "\"n\":2}}\n");
    liz_line_opts opts = choices_opts("in.jsonl", "out");
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    liz_arena arena = {.size_max = 1 << 20};
    const liz_json *response = liz_json_member(line_of(&out, 0, &arena), "response");
    const liz_json *choice = liz_json_member(liz_json_member(response, "body"), "choices")->first_child;
    assert_true(liz_str_is(liz_json_member(choice, "text")->string, check_probs(liz_json_member(choice, "probs"))));
    assert_non_null(strstr(out.data, "body.n: there is one likeliest choice"));
    liz_arena_free(&arena);
    liz_buf_free(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {TEST(test_line), TEST(test_refused), TEST(test_resume), TEST(test_no_room),
                                       TEST(test_openai)};
    return cmocka_run_group_tests(tests, setup, lab_close);
}
