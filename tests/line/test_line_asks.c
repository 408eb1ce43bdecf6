/* test_line_asks.c - what a row can ask of the engine, on the fake engine: several completions, stop tokens, ends
 * ignored, log-probabilities of the prompt, the parameters of an OpenAI body; each is in the fingerprint, and what is
 * out of range is refused by name. */
#include "line_lab.h"

#include "base/json.h"
#include "base/philox.h"

#include <pthread.h>

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed)
        lab_puts("model", "ctx=256\n");
    return failed;
}

static int fresh(void **state)
{
    (void)state;
    lab_remove_out("out");
    lab_remove_out("other");
    return 0;
}

/* Line `i` of a file as a tree in `arena`. */
static const liz_json *line_of(const char *path, int i, liz_arena *arena)
{
    liz_buf text = lab_get(path);
    liz_json *json;
    char *line = text.data;
    for (; i > 0; i--)
        line = strchr(line, '\n') + 1;
    size_t n = strcspn(line, "\n");
    const char *copy = liz_arena_strdup(arena, line, n);
    liz_buf_free(&text);
    assert_int_equal(liz_json_read(&json, (liz_str){copy, n}, arena, NULL), LIZ_OK);
    return json;
}

static const liz_json *item(const liz_json *array, size_t i)
{
    assert_non_null(array);
    assert_int_equal(array->type, LIZ_JSON_ARRAY);
    const liz_json *each = array->first_child;
    for (; i > 0 && each != NULL; i--)
        each = each->next;
    assert_non_null(each);
    return each;
}

static void assert_member(const liz_json *object, const char *key, const char *source)
{
    const liz_json *member = liz_json_member(object, key);
    if (member == NULL || !liz_str_is(member->source, source))
        fail_msg("%s is not %s in %.*s", key, source, LIZ_STR_ARG(object->source));
}

static liz_str text_of(const liz_json *object) { return liz_json_member(object, "text")->string; }

/* ---- Several completions ------------------------------------------------------------------------ */

/* The keys and their order, and that the first completion is the one of a row that has only one. */
static void test_completions(void **state)
{
    (void)state;
    enum { N_ROWS = 30, N = 4 };
    lab_make_input("in.jsonl", N_ROWS, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.sampling.temperature = 1;
    opts.seed = 5;
    opts.keep[0] = "n";
    opts.n_keep = 1;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "other";
    opts.n_completions = N;
    liz_line_report report;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_true(report.progress.n_reused_tokens > N_ROWS * (N - 1) * 10); /* the prompt is computed once */
    int n_distinct = 0;
    for (int row = 0; row < N_ROWS; row++) {
        static const char *const keys[] = {"index", "id", "completions", "prompt_tokens", "completion_tokens", "row"};
        static const char *const inner[] = {"text", "finish_reason", "completion_tokens", "seed"};
        liz_arena arena = {.size_max = 1 << 24};
        const liz_json *one = line_of("out", row, &arena), *many = line_of("other", row, &arena), *member;
        const liz_json *list = liz_json_member(many, "completions");
        int64_t n_tokens, sum = 0;
        size_t k = 0;
        for (member = many->first_child; member != NULL; member = member->next)
            assert_true(liz_str_is(member->key, keys[k++]));
        assert_int_equal(k, sizeof keys / sizeof *keys);
        assert_int_equal(list->n_children, N);
        for (uint32_t i = 0; i < N; i++) {
            const liz_json *each = item(list, i);
            char seed[32];
            k = 0;
            for (member = each->first_child; member != NULL; member = member->next)
                assert_true(liz_str_is(member->key, inner[k++]));
            assert_int_equal(k, sizeof inner / sizeof *inner);
            snprintf(seed, sizeof seed, "\"%llu\"", (unsigned long long)liz_row_seed(5, (uint32_t)row, i, 0));
            assert_member(each, "seed", seed);
            assert_true(liz_json_int64(liz_json_member(each, "completion_tokens"), &n_tokens));
            sum += n_tokens;
            n_distinct += i > 0 && !liz_str_eq(text_of(each), text_of(item(list, 0)));
        }
        assert_true(liz_str_eq(text_of(one), text_of(item(list, 0))));
        assert_true(liz_json_int64(liz_json_member(many, "completion_tokens"), &n_tokens));
        assert_int_equal(n_tokens, sum);
        liz_arena_free(&arena);
    }
    assert_true(n_distinct > N_ROWS);
}

/* A body's seed is that of its first choice; each choice alone, by its own seed, is the same. */
static void test_choices_alone(void **state)
{
    (void)state;
    enum { N = 5 };
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    for (uint32_t i = 0; i <= N; i++) {
        uint64_t seed = i < 2 ? 7 : liz_row_seed(7, 0, i - 1, 0);
        liz_buf_printf(
            &in,
            "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"hi\","
            "\"temperature\":1,\"logprobs\":1,\"max_tokens\":9,\"seed\":%lld,\"n\":%d}}\n",
            (long long)seed, i == 0 ? N : 1);
    }
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_arena arena = {.size_max = 1 << 24};
    const liz_json *body = liz_json_member(liz_json_member(line_of("out", 0, &arena), "response"), "body");
    const liz_json *choices = liz_json_member(body, "choices");
    assert_int_equal(choices->n_children, N);
    assert_member(liz_json_member(body, "usage"), "prompt_tokens", "3");
    for (int i = 0; i < N; i++) {
        const liz_json *alone = line_of("out", i + 1, &arena), *choice = item(choices, (size_t)i);
        char index[16];
        snprintf(index, sizeof index, "%d", i);
        assert_member(choice, "index", index);
        alone = item(liz_json_member(liz_json_member(liz_json_member(alone, "response"), "body"), "choices"), 0);
        assert_true(liz_str_eq(text_of(choice), text_of(alone)));
        assert_true(
            liz_str_eq(liz_json_member(choice, "logprobs")->source, liz_json_member(alone, "logprobs")->source));
    }
    liz_arena_free(&arena);
}

/* Of some completions only one is not a number: the row is an error row, and always says the same. */
static void test_one_of_them_fails(void **state)
{
    (void)state;
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    for (int i = 0; i < 40; i++)
        liz_buf_printf(&in, "{\"text\":\"row %d %s\"}\n", i, i % 2 ? "!nan?" : "");
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    liz_line_report report;
    opts.sampling.temperature = 1;
    opts.n_completions = 2;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_true(report.progress.n_failed > 3 && report.progress.n_failed < 18);
    opts.out_path = "other";
    opts.engine.n_parallel = 1;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    lab_assert_same("out", "other");
}

static void *stop_soon(void *arg)
{
    usleep(30000);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

/* More completions than the queue holds, more together than run, and a stop in the middle. */
static void test_completions_same_bytes(void **state)
{
    (void)state;
    static const int parallel[] = {1, 3, 32};
    static const char *const models[] = {"step_us=1\n", "step_us=200\n", "step_us=3000\n"}; /* long enough to stop */
    lab_make_input("in.jsonl", 40, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.sampling.temperature = 1;
    opts.n_completions = 9;
    opts.prompt_logprobs = 1;
    opts.logprobs = 2;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    for (size_t i = 0; i < 3; i++) {
        atomic_int stop = 0;
        pthread_t thread;
        liz_line_report report;
        liz_line_opts other = opts;
        other.out_path = "other";
        other.model_path = "model-slow";
        other.engine.n_parallel = parallel[i];
        other.stop = &stop;
        lab_remove_out("other");
        lab_puts("model-slow", models[i]);
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
        assert_int_equal(lab_run(&other, &report, NULL), LIZ_LINE_INTERRUPTED);
        pthread_join(thread, NULL);
        assert_true(report.progress.n_rows < 40);
        other.stop = NULL;
        lab_run_ok(&other, LIZ_LINE_DONE);
        lab_assert_same("out", "other");
    }
}

/* ---- Stop tokens, ends ignored, the prompt ------------------------------------------------------ */

static void test_stop_tokens(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 40, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.ignore_end = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf all = lab_get("out");
    assert_null(strstr(all.data, "\"finish_reason\":\"stop\""));
    opts.out_path = "other";
    opts.stop_tokens[0] = "260"; /* " order" */
    opts.stop_tokens[1] = "<|turn|>";
    opts.n_stop_tokens = 2;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf cut = lab_get("other");
    assert_non_null(strstr(all.data, " order"));
    assert_null(strstr(cut.data, " order"));
    assert_non_null(strstr(cut.data, "\"finish_reason\":\"stop\""));
    assert_non_null(strstr(cut.data, "\"finish_reason\":\"length\""));
    liz_buf_free(&all);
    liz_buf_free(&cut);
    static const char *const refused[][2] = {{"two words", "token \"two words\": is 9 tokens of this model"},
                                             {"999", "token 999: the vocabulary ends at"},
                                             {"99999999999999999999", "the vocabulary ends at"},
                                             {"-1", "token \"-1\": is 2 tokens"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        lab_remove_out("other");
        opts.stop_tokens[1] = refused[i][0];
        lab_run_fails(&opts, LIZ_E_USAGE, refused[i][1]);
    }
}

/* One entry for each token of the prompt, the first without a number; the others are what scoring says. */
static void test_prompt_logprobs(void **state)
{
    (void)state;
    liz_error err;
    liz_engine *engine;
    int32_t *tokens;
    size_t n;
    float scores[64];
    lab_puts("in.jsonl", "{\"prompt\":\"hello there\"}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = NULL;
    opts.prompt_logprobs = 2;
    opts.n_completions = 2;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(liz_engine_open(&engine, "model", NULL, &err), LIZ_OK);
    assert_int_equal(liz_tokenize(liz_engine_vocab(engine), "hello there", 11, LIZ_TOKENIZE_AFFIXES, &tokens, &n, &err),
                     LIZ_OK);
    assert_int_equal(liz_score(engine, tokens, n, scores, NULL, NULL, &err), LIZ_OK);
    liz_arena arena = {.size_max = 1 << 24};
    const liz_json *list = liz_json_member(line_of("out", 0, &arena), "prompt_logprobs");
    assert_int_equal(list->n_children, n);
    assert_member(item(list, 0), "logprob", "null");
    assert_member(item(list, 0), "top", "[]");
    assert_member(item(list, 1), "token", "\"h\"");
    for (size_t i = 1; i < n; i++) {
        double logprob;
        assert_true(liz_json_double(liz_json_member(item(list, i), "logprob"), &logprob));
        assert_true((float)logprob == scores[i]);
        assert_int_equal(liz_json_member(item(list, i), "top")->n_children, 2);
    }
    liz_arena_free(&arena);
    liz_free(tokens);
    liz_engine_close(engine);
}

/* ---- OpenAI bodies ------------------------------------------------------------------------------ */

static void test_body_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *member, *code, *names;
    } cases[] = {
        {"\"n\":128", NULL, NULL},
        {"\"n\":0", "invalid_row", "body.n: is not a whole number from 1 to 128"},
        {"\"n\":129", "invalid_row", "body.n"},
        {"\"n\":1.5", "invalid_row", "body.n"},
        {"\"n\":null,\"top_k\":null,\"stop\":null", NULL, NULL},
        {"\"typical_p\":0.5,\"xtc_probability\":1,\"xtc_threshold\":0.2", NULL, NULL},
        {"\"typical_p\":\"x\"", "invalid_row", "body.typical_p: is not a number"},
        {"\"typical_p\":1e999", "invalid_row", "body.typical_p: is not a number"},
        {"\"typical_p\":2", "invalid_row", "typical_p is 2: it must be"},
        {"\"dry_multiplier\":0.8,\"dry_base\":2,\"dry_allowed_length\":3,\"dry_penalty_last_n\":100", NULL, NULL},
        {"\"dry_allowed_length\":-1", "invalid_row", "body.dry_allowed_length"},
        {"\"dry_sequence_breakers\":[\"\\n\",\";\"]", NULL, NULL},
        {"\"dry_sequence_breakers\":[]", NULL, NULL},
        {"\"dry_sequence_breakers\":[7]", "invalid_row", "body.dry_sequence_breakers"},
        {"\"repetition_penalty\":1.1", NULL, NULL},
        {"\"stop_token_ids\":[260,261],\"ignore_eos\":true", NULL, NULL},
        {"\"stop_token_ids\":260", "invalid_row", "body.stop_token_ids"},
        {"\"stop_token_ids\":[-1]", "invalid_row", "body.stop_token_ids"},
        {"\"ignore_eos\":1", "invalid_row", "body.ignore_eos: is not true or false"},
        {"\"prompt_logprobs\":3", NULL, NULL},
        {"\"prompt_logprobs\":21", "invalid_row", "body.prompt_logprobs"},
        {"\"echo\":true", "unsupported", "body.echo"},
        {"\"best_of\":2", "unsupported", "body.best_of"},
        {"\"mirostat\":1", "unsupported", "body.mirostat"},
        {"\"stop\":[\"\"]", "invalid_row", "body.stop"},
        {"\"mirostat\":null,\"store\":false,\"metadata\":{\"a\":\"b\"},\"service_tier\":\"default\"", NULL, NULL},
        {"\"service_tier\":\"flex\"", "unsupported", "body.service_tier"},
        {"\"logit_bias\":{\"50\":1,\"2147483647\":-1,\"0\":1}", "invalid_row", "the vocabulary ends at"},
        {"\"logit_bias\":{\"+50\":1}", "invalid_row", "body.logit_bias"},
        {"\"logit_bias\":{\" 50\":1}", "invalid_row", "body.logit_bias"},
        {"\"logit_bias\":{\"050\":1}", "invalid_row", "body.logit_bias"},
        {"\"logit_bias\":{\"2147483648\":1}", "invalid_row", "body.logit_bias"},
    };
    enum { N = sizeof cases / sizeof *cases };
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    for (int i = 0; i < N; i++)
        liz_buf_printf(&in,
                       "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/"
                       "completions\",\"body\":{\"prompt\":\"hi\",\"max_tokens\":3,%s}}\n",
                       cases[i].member);
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    for (int i = 0; i < N; i++) {
        liz_arena arena = {.size_max = 1 << 24};
        const liz_json *line = line_of("out", i, &arena);
        const liz_json *error = liz_json_member(liz_json_member(liz_json_member(line, "response"), "body"), "error");
        bool right = cases[i].code == NULL
                         ? error == NULL
                         : error != NULL && liz_str_is(liz_json_member(error, "code")->string, cases[i].code) &&
                               memmem(error->source.p, error->source.n, cases[i].names, strlen(cases[i].names)) != NULL;
        if (!right)
            fail_msg("%s: %.*s", cases[i].member, LIZ_STR_ARG(line->source));
        liz_arena_free(&arena);
    }
}

/* ---- The fingerprint ---------------------------------------------------------------------------- */

static void test_changed_settings(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 8, false);
    liz_line_opts base = lab_opts("in.jsonl", "out");
    base.limit = 4;
    lab_run_ok(&base, LIZ_LINE_LIMITED);
    base.limit = 0;
    static const char *const breakers[] = {";"};
    liz_line_opts changed[12];
    for (int i = 0; i < 12; i++)
        changed[i] = base;
    static const char *const names[12] = {"typical (was 0, is 0.5)",
                                          "xtc-probability (was of the model, is 0.5)",
                                          "xtc-threshold",
                                          "dry-multiplier (was 0, is 0.8)",
                                          "dry-base",
                                          "dry-allowed-length",
                                          "dry-penalty-last-n",
                                          "dry-sequence-breaker (was standard, is [\";\"])",
                                          "stop-token (was none, is [\"260\"])",
                                          "ignore-eos",
                                          "n (was 1, is 3)",
                                          "prompt-logprobs"};
    changed[0].sampling.typical_p = 0.5f;
    changed[1].sampling.xtc_probability = 0.5f;
    changed[2].sampling.xtc_threshold = 0.2f;
    changed[3].sampling.dry_multiplier = 0.8f;
    changed[4].sampling.dry_base = 2;
    changed[5].sampling.dry_allowed_length = 3;
    changed[6].sampling.dry_range = 100;
    changed[7].sampling.dry_breakers = breakers;
    changed[7].sampling.n_dry_breakers = 1;
    changed[8].stop_tokens[0] = "260";
    changed[8].n_stop_tokens = 1;
    changed[9].ignore_end = true;
    changed[10].n_completions = 3;
    changed[11].prompt_logprobs = 0;
    for (int i = 0; i < 12; i++)
        lab_run_fails(&changed[i], LIZ_E_STATE, names[i]);
    base.n_completions = 1; /* what is not given and its default are the same */
    lab_run_ok(&base, LIZ_LINE_DONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(test_completions),      TEST(test_choices_alone),          TEST(test_one_of_them_fails),
        TEST(test_stop_tokens),      TEST(test_completions_same_bytes), TEST(test_prompt_logprobs),
        TEST(test_body_parameters),

        TEST(test_changed_settings),
    };
    return cmocka_run_group_tests(tests, setup, lab_close);
}
