/* test_line_run.c - the whole line on the fake engine: forms of input and output, equal bytes whatever must not matter,
 * resuming and its refusals, shards, limits, --strict, --retry-failed, --truncate, locks. */
#include "line_lab.h"

#include "base/json.h"
#include "base/philox.h"
#include "line/line_window.h"

#include <pthread.h>

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed) {
        lab_puts("model", "ctx=256\n");
        lab_puts("slow", "ctx=256\nstep_us=2000\n");
    }
    return failed;
}

static int fresh(void **state)
{
    (void)state;
    lab_remove_out("out");
    lab_remove_out("other");
    unlink("stats");
    return 0;
}

/* ---- Output ------------------------------------------------------------------------------------- */

static void test_plain_form(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"id\":12345678901234567890,\"text\":\"a\\u00e9\",\"n\":0.10,\"o\":{\"k\": [1]}}\n\n"
                         "   \t\r\n{\"custom_id\":\"x\\n\",\"text\":7,\"n\":null,\"o\":\"s\"}\r\n"
                         "{\"text\":true,\"n\":1,\"o\":1}");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = "{{ text }}|{{n}}";
    opts.n_keep = 2;
    opts.keep[0] = "o";
    opts.keep[1] = "n";
    opts.max_tokens = 2;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    char want[512];
    const char *line = out.data;
    snprintf(want, sizeof want, "{\"index\":0,\"id\":12345678901234567890,\"text\":\"");
    assert_memory_equal(line, want, strlen(want));
    /* BOS, "a\xC3\xA9|0.10": 9 tokens */
    snprintf(want, sizeof want,
             "\",\"finish_reason\":\"length\",\"prompt_tokens\":9,\"completion_tokens\":2,\"seed\":\"%llu\","
             "\"row\":{\"o\":{\"k\": [1]},\"n\":0.10}}\n",
             (unsigned long long)liz_row_seed(0, 0, 0, 0));
    assert_non_null(strstr(line, want));
    assert_non_null(strstr(line, "\n{\"index\":1,\"id\":\"x\\n\",\"text\":"));
    assert_non_null(strstr(line, "\"row\":{\"o\":\"s\",\"n\":null}}\n"));
    assert_non_null(strstr(line, "\n{\"index\":2,\"text\":"));
    liz_buf_free(&out);
}

static void test_error_rows(void **state)
{
    (void)state;
    char big[600];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    liz_buf_printf(&in,
                   "{\"id\":0,\"text\":\"good\"}\n{\"id\":1}\n{\"id\":2,\n[]\n{\"text\":\"\xC3\x28\"}\n{\"id\":5,"
                   "\"text\":\"%s\"}\n"
                   "{\"id\":6,\"text\":\"!nan!\"}\n{\"id\":7,\"text\":\"a\",\"text\":\"b\"}\n",
                   big);
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.id_field = "id";
    liz_line_report report;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_rows, 8);
    assert_int_equal(report.progress.n_failed, 7);
    liz_buf out = lab_get("out");
    static const char *const lines[] = {
        "\n{\"index\":1,\"id\":1,\"error\":{\"code\":\"field_missing\",\"message\":\"it has no field \\\"text\\\", "
        "which the prompt names\"}}\n",
        "\n{\"index\":2,\"error\":{\"code\":\"invalid_json\",\"message\":\"a key in quotes is missing at "
        "column 9\"}}\n",
        "\n{\"index\":3,\"error\":{\"code\":\"invalid_row\",\"message\":\"it is JSON, but not an object\"}}\n",
        "\n{\"index\":4,\"error\":{\"code\":\"invalid_utf8\",\"message\":\"byte 10 is not UTF-8\"}}\n",
        "\n{\"index\":5,\"id\":5,\"error\":{\"code\":\"prompt_too_long\",\"message\":\"its prompt has 605 tokens and "
        "the context holds 256",
        "\n{\"index\":6,\"id\":6,\"error\":{\"code\":\"not_a_number\"",
        "\n{\"index\":7,\"error\":{\"code\":\"invalid_json\",\"message\":\"a key that this object already has",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (strstr(out.data, lines[i]) == NULL)
            fail_msg("missing: %s\nin: %s", lines[i], out.data);
    liz_buf_free(&out);
}

static void test_csv(void **state)
{
    (void)state;
    lab_puts(
        "in.csv",
        "\xEF\xBB\xBFname,\"te\"\"xt\"\r\nAnn,\"one,\r\ntwo \"\"q\"\"\"\r\n\r\nBob,\nCy,a,b\nDi,x\"y\nEd,\"open\n");
    liz_line_opts opts = lab_opts("in.csv", "out");
    opts.prompt = "{{te\"xt}}";
    opts.id_field = "name";
    opts.n_keep = 1;
    opts.keep[0] = "te\"xt";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    assert_int_equal(lab_n_lines("out"), 5);
    static const char *const parts[] = {
        "{\"index\":0,\"id\":\"Ann\",\"text\":",
        "\"row\":{\"te\\\"xt\":\"one,\\r\\ntwo \\\"q\\\"\"}}\n",
        "{\"index\":1,\"id\":\"Bob\",\"text\":",
        "{\"index\":2,\"error\":{\"code\":\"invalid_csv\",\"message\":\"it has 3 fields and the header 2\"}}",
        ("{\"index\":3,\"error\":{\"code\":\"invalid_csv\",\"message\":\"a quote stands inside a field that is not "
         "quoted\"}}"),
        "{\"index\":4,\"error\":{\"code\":\"invalid_csv\",\"message\":\"a quote is never closed\"}}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(out.data, parts[i]) == NULL)
            fail_msg("missing: %s\nin: %s", parts[i], out.data);
    liz_buf_free(&out);
}

static void test_openai_form(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/"
        "completions\",\"body\":{\"model\":\"m\",\"prompt\":\"hi\",\"max_tokens\":3,\"temperature\":0,\"logprobs\":1}}",
        "{\"custom_id\":\"b\",\"method\":\"POST\",\"url\":\"/v1/"
        "completions\",\"body\":{\"model\":\"m\",\"prompt\":[104,105],\"max_tokens\":3,\"stop\":[\"zzz\"],\"seed\":7,"
        "\"n\":1,\"stream\":false,\"user\":\"u\"}}",
        "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/"
        "completions\",\"body\":{\"prompt\":\"hi\",\"echo\":true}}",
        "{\"custom_id\":\"d\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}]}}",
        "{\"custom_id\":\"e\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{}}",
        "{\"custom_id\":\"f\",\"method\":\"POST\",\"url\":\"/v1/"
        "completions\",\"body\":{\"prompt\":\"hi\",\"top_p\":2}}",
        "{\"custom_id\":\"g\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":[100000]}}",
        "{\"custom_id\":\"h\",\"method\":\"GET\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"hi\"}}",
        "{\"custom_id\":\"i\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":[\"a\",\"b\"]}}",
        "{\"custom_id\":\"j\",\"method\":\"POST\",\"url\":\"/v1/"
        "completions\",\"body\":{\"prompt\":\"hi\",\"logit_bias\":{\"13\":-100}}}",
    };
    enum { N = sizeof rows / sizeof *rows };
    static const char *const codes[N] = {NULL,          NULL,          "unsupported", "unsupported", "field_missing",
                                         "invalid_row", "invalid_row", "invalid_row", "unsupported", NULL};
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    for (int i = 0; i < N; i++)
        liz_buf_printf(&in, "%s\n", rows[i]);
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    char *rest = out.data, *line;
    for (int i = 0; i < N; i++) {
        liz_arena arena = {.size_max = 1 << 24};
        liz_json *json;
        line = strsep(&rest, "\n");
        assert_non_null(line);
        assert_int_equal(liz_json_read(&json, liz_str_of(line), &arena, NULL), LIZ_OK);
        const liz_json *response = liz_json_member(json, "response"), *body = liz_json_member(response, "body"),
                       *code = liz_json_member(response, "status_code");
        char custom_id[2] = {(char)('a' + i), 0};
        assert_true(liz_str_is(liz_json_member(json, "custom_id")->string, custom_id));
        assert_int_equal(liz_json_member(json, "error")->type, LIZ_JSON_NULL);
        bool is_error;
        assert_int_equal(liz_line_row_is_error(liz_str_of(line), &is_error, NULL), LIZ_OK);
        assert_int_equal(is_error, codes[i] != NULL);
        if (codes[i] != NULL) {
            assert_true(liz_str_is(code->source, "400"));
            if (!liz_str_is(liz_json_member(liz_json_member(body, "error"), "code")->string, codes[i]))
                fail_msg("row %d: %s", i, line);
        } else {
            assert_true(liz_str_is(code->source, "200"));
            assert_true(liz_str_is(liz_json_member(body, "object")->string, "text_completion"));
            assert_non_null(liz_json_member(liz_json_member(body, "choices")->first_child, "text"));
            assert_true(liz_str_is(liz_json_member(liz_json_member(body, "usage"), "prompt_tokens")->source,
                                   i == 1 ? "2" : "3"));
        }
        liz_arena_free(&arena);
    }
    assert_non_null(strstr(out.data, "\"id\":\"batch_req_0\""));
    liz_buf_free(&out);
}

static void test_logprobs_and_stats(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 3, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.logprobs = 2;
    opts.max_tokens = 1;
    opts.stats_path = "stats";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    assert_non_null(strstr(out.data, "\"logprobs\":[{\"token\":"));
    assert_non_null(strstr(out.data, ",\"logprob\":-0.25,\"top\":[{\"token\":"));
    liz_buf_free(&out);
    assert_int_equal(lab_n_lines("stats"), 3);
}

/* ---- What must not matter ----------------------------------------------------------------------- */

static void test_same_bytes(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 200, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.sampling.temperature = 0.9f;
    opts.seed = 77;
    opts.engine.n_parallel = 1;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    static const int parallel[] = {2, 3, 32, 100};
    for (size_t i = 0; i < sizeof parallel / sizeof *parallel; i++) {
        liz_line_report report;
        liz_line_opts other = opts;
        lab_remove_out("other");
        other.out_path = "other";
        other.engine.n_parallel = parallel[i];
        other.engine.prefix_cache_off = i % 2;
        other.model_path = i % 2 ? "model" : "slow";
        if (i % 2 == 0) { /* the slow model is another file: its own reference */
            lab_puts("slow", "ctx=256\nstep_us=200\n");
        }
        assert_int_equal(lab_run(&other, &report, NULL), LIZ_LINE_DONE);
        lab_assert_same("out", "other");
        assert_true(i % 2 ? report.progress.n_reused_tokens == 0 : report.progress.n_reused_tokens > 0);
    }
    opts.out_path = "other";
    opts.seed = 78;
    lab_remove_out("other");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf a = lab_get("out"), b = lab_get("other");
    assert_false(liz_str_eq(liz_buf_str(&a), liz_buf_str(&b))); /* what it varies does something */
    liz_buf_free(&a);
    liz_buf_free(&b);
}

static void test_order(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 1000, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    char *rest = out.data, *line, head[32];
    for (int i = 0; i < 1000; i++) {
        line = strsep(&rest, "\n");
        snprintf(head, sizeof head, "{\"index\":%d,", i);
        assert_memory_equal(line, head, strlen(head));
    }
    liz_buf_free(&out);
}

/* Merged by index, the shards are the whole. */
static void test_shards(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 50, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.sampling.temperature = 1;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf part[3], whole = lab_get("out"), merged;
    char *rest[3];
    for (uint32_t i = 0; i < 3; i++) {
        lab_remove_out("other");
        opts.out_path = "other";
        opts.shard = i;
        opts.n_shards = 3;
        opts.limit = 5;
        lab_run_ok(&opts, LIZ_LINE_LIMITED); /* in two goes */
        assert_int_equal(lab_n_lines("other"), 5);
        opts.limit = 0;
        lab_run_ok(&opts, LIZ_LINE_DONE);
        lab_run_ok(&opts, LIZ_LINE_NOTHING);
        part[i] = lab_get("other");
        rest[i] = part[i].data;
    }
    liz_buf_init(&merged, 1 << 24);
    for (int i = 0; i < 50; i++)
        liz_buf_printf(&merged, "%s\n", strsep(&rest[i % 3], "\n"));
    assert_string_equal(merged.data, whole.data);
    for (int i = 0; i < 3; i++)
        liz_buf_free(&part[i]);
    liz_buf_free(&merged);
    liz_buf_free(&whole);
}

/* ---- Resuming ----------------------------------------------------------------------------------- */

static atomic_int stop_flag;
static void stop_at_rows(void *user, const liz_line_progress *progress)
{
    if (progress->n_rows >= *(uint64_t *)user)
        stop_flag = 2;
}

static void test_interrupted(void **state)
{
    (void)state;
    lab_puts("slow", "ctx=256\nstep_us=4000\n");
    lab_make_input("in.jsonl", 300, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.engine.n_parallel = 4;
    opts.model_path = "slow";
    uint64_t at = 1;
    liz_line_report report;
    opts.stop = &stop_flag;
    opts.on_progress = stop_at_rows;
    opts.user = &at;
    int n_interrupted = 0, outcome;
    do {
        stop_flag = 0;
        outcome = lab_run(&opts, &report, NULL);
        n_interrupted += outcome == LIZ_LINE_INTERRUPTED;
        assert_int_equal(lab_n_lines("out"), report.progress.n_rows);
        at = report.progress.n_rows + 40;
    } while (outcome == LIZ_LINE_INTERRUPTED);
    assert_int_equal(outcome, LIZ_LINE_DONE);
    assert_true(n_interrupted >= 3);
    liz_line_opts whole = lab_opts("in.jsonl", "other");
    lab_run_ok(&whole, LIZ_LINE_DONE);
    lab_assert_same("out", "other");
}

/* A sequence that never ends holds up the rows after it, and an interrupt all the same ends the line. */
static void test_interrupted_behind_endless(void **state)
{
    (void)state;
    lab_puts("endless", "ctx=100000000\nstep_us=100\n");
    lab_puts("in.jsonl", "{\"text\":\"a\"}\n{\"text\":\"!long!\"}\n{\"text\":\"c\"}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.model_path = "endless";
    opts.max_tokens = 50000000;
    uint64_t at = 1;
    stop_flag = 0;
    opts.stop = &stop_flag;
    opts.on_progress = stop_at_rows;
    opts.user = &at;
    lab_run_ok(&opts, LIZ_LINE_INTERRUPTED);
    assert_int_equal(lab_n_lines("out"), 1);
}

static void test_growing_input(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 60, true);
    liz_line_opts whole = lab_opts("in.jsonl", "other");
    lab_run_ok(&whole, LIZ_LINE_DONE);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    for (int n = 0; n <= 60; n += 20) {
        lab_make_input("in.jsonl", n, true);
        lab_run_ok(&opts, n == 0 ? LIZ_LINE_NOTHING : LIZ_LINE_DONE);
        assert_int_equal(lab_n_lines("out"), n);
        lab_run_ok(&opts, LIZ_LINE_NOTHING);
    }
    lab_assert_same("out", "other");
}

static void test_changed_input(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 20, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf before = lab_get("out");
    lab_make_input("in.jsonl", 12, false);
    lab_run_fails(&opts, LIZ_E_STATE, "ends after 12 records");
    lab_make_input("in.jsonl", 30, true);
    lab_run_fails(&opts, LIZ_E_STATE, "its first 20 records are not those");
    lab_assert_text("out", before.data);
    opts.restart = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("out"), 30);
    liz_buf_free(&before);
    /* Changes beyond what was consumed are no change. */
    lab_remove_out("out");
    opts.restart = false;
    opts.limit = 5;
    lab_make_input("in.jsonl", 20, false);
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    FILE *in = fopen("in.jsonl", "ae");
    fputs("{\"text\":\"another\"}\n", in);
    fclose(in);
    opts.limit = 0;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("out"), 21);
}

/* Each setting of the fingerprint, changed, is refused by name; what is not in it may change. */
static void test_changed_settings(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 8, false);
    liz_line_opts base = lab_opts("in.jsonl", "out");
    base.limit = 4;
    lab_run_ok(&base, LIZ_LINE_LIMITED);
    base.limit = 0;
    static const liz_logit_bias bias = {13, -1};
    for (int i = 0; i < 20; i++) {
        liz_line_opts o = base;
        const char *name = NULL;
        switch (i) {
        case 0:
            o.prompt = "Other {{text}}";
            name = "prompt";
            break;
        case 1:
            o.system = "Be kind";
            name = "system";
            break;
        case 2:
            o.raw = true;
            name = "raw";
            break;
        case 3:
            o.sampling.temperature = 0.5f;
            name = "temperature";
            break;
        case 4:
            o.sampling.top_k = 4;
            name = "top-k";
            break;
        case 5:
            o.sampling.top_p = 0.5f;
            name = "top-p";
            break;
        case 6:
            o.sampling.min_p = 0.5f;
            name = "min-p";
            break;
        case 7:
            o.sampling.repeat_penalty = 1.1f;
            name = "repeat-penalty";
            break;
        case 8:
            o.sampling.frequency_penalty = 1;
            name = "frequency-penalty";
            break;
        case 9:
            o.sampling.presence_penalty = 1;
            name = "presence-penalty";
            break;
        case 10:
            o.sampling.bias = &bias;
            o.sampling.n_bias = 1;
            name = "logit-bias";
            break;
        case 11:
            o.seed = 1;
            name = "seed";
            break;
        case 12:
            o.stop_strings[0] = "x";
            o.n_stop_strings = 1;
            name = "stop";
            break;
        case 13:
            o.max_tokens = 13;
            name = "max-tokens";
            break;
        case 14:
            o.engine.n_ctx = 100;
            name = "ctx-size";
            break;
        case 15:
            o.engine.cache_type = LIZ_CACHE_F32;
            name = "cache-type";
            break;
        case 16:
            o.logprobs = 0;
            name = "logprobs";
            break;
        case 17:
            o.id_field = "id";
            name = "id";
            break;
        case 18:
            o.keep[0] = "n";
            o.n_keep = 1;
            name = "keep";
            break;
        default:
            o.truncate_field = "text";
            name = "truncate";
            break;
        }
        char want[64];
        snprintf(want, sizeof want, "was made with other settings: %s (was ", name);
        lab_run_fails(&o, LIZ_E_STATE, want);
    }
    base.n_shards = 2;
    lab_run_fails(&base, LIZ_E_STATE, "shard (was whole, is 0/2)");
    base.n_shards = 0;
    lab_puts("other-model", "ctx=128\n");
    base.model_path = "other-model";
    lab_run_fails(&base, LIZ_E_STATE, "model (was ");
    base.model_path = "model";
    base.engine = (liz_engine_opts){.n_threads = 3, .n_parallel = 2, .n_prefill_chunk = 7, .prefix_cache_off = true};
    lab_run_ok(&base, LIZ_LINE_DONE);
}

static void test_out_of_others(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 6, false);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    lab_puts("out", "notes\n");
    lab_run_fails(&opts, LIZ_E_STATE, "has no side file");
    lab_assert_text("out", "notes\n");
    assert_int_not_equal(access("out.lizzie", F_OK), 0);
    lab_puts("out", "");
    lab_run_ok(&opts, LIZ_LINE_DONE); /* an empty file is nobody's */
    liz_buf good = lab_get("out");
    lab_puts("out", "{\"index\":0,\"id\":1}\nsomething else\n");
    lab_run_fails(&opts, LIZ_E_STATE, "line 2 is not the row of index 1");
    /* What another program adds to a text without changing its lines is not ours either. */
    static const char *const begins[] = {"\n", "\xEF\xBB\xBF", "{\"index\":0}\r\n", "{\"index\":0}\n \n"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        liz_buf touched;
        liz_buf_init(&touched, 1 << 20);
        liz_buf_puts(&touched, begins[i]);
        liz_buf_puts(&touched, good.data + (i < 2 ? 0 : strcspn(good.data, "\n") + 1));
        lab_put("out", touched.data, touched.len);
        lab_run_fails(&opts, LIZ_E_STATE, "is not the row of index");
        lab_assert_text("out", touched.data);
        liz_buf_free(&touched);
    }
    lab_puts("out.lizzie", "{\"lizzie_job\":1}");
    lab_run_fails(&opts, LIZ_E_FORMAT, "is damaged");
    lab_puts("out.lizzie", "{\"lizzie_job\":99}");
    lab_run_fails(&opts, LIZ_E_FORMAT, "another version");
    lab_puts("out.lizzie", "[1");
    lab_run_fails(&opts, LIZ_E_FORMAT, "is damaged");
    opts.restart = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    lab_assert_text("out", good.data);
    liz_buf_free(&good);
}

/* OUT cut anywhere is completed to the same bytes. */
static void test_torn_anywhere(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 5, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf whole = lab_get("out");
    for (size_t n = 0; n < whole.len; n++) {
        assert_int_equal(truncate("out", (off_t)n), 0);
        lab_run_ok(&opts, n + 1 < whole.len || true ? LIZ_LINE_DONE : LIZ_LINE_NOTHING);
        lab_assert_text("out", whole.data);
    }
    liz_buf_free(&whole);
}

static void *run_in_thread(void *arg)
{
    lab_run(arg, NULL, NULL);
    return NULL;
}

static void test_lock(void **state)
{
    (void)state;
    lab_puts("endless", "ctx=100000000\nstep_us=100\n");
    lab_puts("in.jsonl", "{\"text\":\"!long!\"}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.model_path = "endless";
    opts.max_tokens = 50000000;
    stop_flag = 0;
    opts.stop = &stop_flag;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &opts), 0);
    struct stat st;
    while (stat("out.lizzie", &st) != 0 || st.st_size == 0)
        usleep(1000);
    while (stat("out", &st) != 0)
        usleep(1000);
    assert_int_equal(symlink("out", "symbolic") | link("out", "hard"), 0);
    static const char *const names[] = {"out", "symbolic", "hard"};
    for (int i = 0; i < 20; i++) {
        liz_line_opts second = opts;
        second.out_path = names[i % 3];
        second.restart = i % 2 == 1;
        lab_run_fails(&second, LIZ_E_BUSY, "another lizzie is at work on it");
        usleep(1000);
    }
    assert_int_not_equal(stat("symbolic.lizzie", &st), 0);
    stop_flag = 2;
    pthread_join(thread, NULL);
    lab_run_ok(&opts, LIZ_LINE_INTERRUPTED); /* the lock is free again */
}

/* ---- The window --------------------------------------------------------------------------------- */

/* What the window counts as held is what it has: a slot that was given back has no large row's memory. */
static void test_window_memory(void **state)
{
    (void)state;
    enum { N_SLOTS = 4, LARGE = 1 << 20 };
    liz_line_window window;
    assert_int_equal(liz_line_window_open(&window, N_SLOTS, NULL), LIZ_OK);
    char *large = calloc(1, LARGE);
    for (uint64_t i = 0; i < N_SLOTS; i++) {
        liz_line_row *row = liz_line_window_take(&window, i);
        liz_buf_append(&row->keep, large, LARGE);
        liz_line_window_pass(&window, row, true);
        assert_int_equal(window.bytes_held, LARGE);
        assert_ptr_equal(liz_line_window_peek(&window, 0, 0, NULL), row);
        liz_line_window_release(&window, 1);
        assert_int_equal(window.bytes_held, 0);
        assert_true(row->keep.cap < LARGE);
    }
    free(large);
    liz_line_window_close(&window);
}

/* ---- Options ------------------------------------------------------------------------------------ */

static void test_strict(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 20, true); /* row 3 is broken */
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.strict = true;
    liz_line_report report;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_STRICT);
    assert_int_equal(lab_n_lines("out"), 3);
    assert_non_null(strstr(report.message, "row of index 3: field_missing"));
    lab_make_input("in.jsonl", 20, false); /* the row is mended, and nothing before it changed */
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("out"), 20);
}

static void test_retry_failed(void **state)
{
    (void)state;
    lab_puts("in.jsonl",
             "{\"text\":\"a\",\"alt\":\"x\"}\n{\"text\":\"!nan!\",\"alt\":\"y\"}\n{\"text\":\"c\",\"alt\":\"!nan!\"}\n"
             "{\"text\":\"!nan!\",\"alt\":\"!nan!\"}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out"), retry = opts;
    retry.retry_failed = true;
    lab_run_fails(&retry, LIZ_E_STATE, "has no side file");
    opts.limit = 2;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    lab_run_fails(&retry, LIZ_E_STATE, "is not finished");
    opts.limit = 0;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf first = lab_get("out");
    retry.prompt = "{{alt}}";
    retry.sampling.temperature = 1;
    liz_line_report report;
    assert_int_equal(lab_run(&retry, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_failed, 1);
    liz_buf second = lab_get("out");
    const char *line0 = strchr(first.data, '\n'), *line2 = strstr(first.data, "{\"index\":2"),
               *end2 = strchr(line2, '\n');
    assert_memory_equal(first.data, second.data,
                        (size_t)(line0 - first.data)); /* rows that were done stay as they are */
    assert_non_null(memmem(second.data, second.len, line2, (size_t)(end2 - line2)));
    char seed[64];
    snprintf(seed, sizeof seed, "\"seed\":\"%llu\"}\n{\"index\":2", (unsigned long long)liz_row_seed(0, 1, 0, 1));
    assert_non_null(strstr(second.data, seed)); /* attempt 1 */
    assert_non_null(strstr(second.data, "{\"index\":3,\"error\""));
    liz_buf side = lab_get("out.lizzie");
    assert_non_null(strstr(side.data, "\"prompt\":\"Say: {{text}}\""));
    assert_non_null(strstr(side.data, "\"prompt\":\"{{alt}}\""));
    lab_run_ok(&opts, LIZ_LINE_NOTHING); /* the line itself is as finished as before */
    retry.prompt = "better {{alt}}";
    retry.shard = 0;
    retry.n_shards = 2;
    lab_run_fails(&retry, LIZ_E_STATE, "shard");
    liz_buf_free(&side);
    liz_buf_free(&first);
    liz_buf_free(&second);
    /* New rows go on with the first settings. */
    FILE *in = fopen("in.jsonl", "ae");
    fputs("{\"text\":\"new\",\"alt\":\"\"}\n", in);
    fclose(in);
    lab_run_ok(&opts, LIZ_LINE_DONE);
    assert_int_equal(lab_n_lines("out"), 5);
}

static void test_truncate(void **state)
{
    (void)state;
    liz_buf in;
    liz_buf_init(&in, 1 << 20);
    liz_buf_puts(&in, "{\"text\":\"short\",\"b\":\"1\"}\n{\"text\":\"");
    for (int i = 0; i < 1000; i++)
        liz_buf_puts(&in, "\xE2\x82\xAC");
    liz_buf_puts(&in, "\",\"b\":\"2\"}\n{\"text\":\"x\",\"b\":\"");
    for (int i = 0; i < 400; i++)
        liz_buf_puts(&in, "y");
    liz_buf_puts(&in, "\"}\n");
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = "{{b}}: {{text}}";
    opts.truncate_field = "text";
    opts.max_tokens = 1000;
    opts.stats_path = "stats";
    liz_line_report report;
    assert_int_equal(lab_run(&opts, &report, NULL), LIZ_LINE_DONE);
    assert_int_equal(report.progress.n_truncated, 1);
    assert_int_equal(report.progress.n_failed, 1); /* the other field is too long by itself */
    liz_buf out = lab_get("out"), stats = lab_get("stats");
    /* The context of 256 leaves a quarter; BOS and "2: " are 4 tokens, the characters 3 each: 4 + 188 - 188 % 3. */
    assert_non_null(strstr(out.data, "\"prompt_tokens\":190,"));
    assert_non_null(strstr(out.data, "{\"index\":2,\"error\":{\"code\":\"prompt_too_long\""));
    assert_non_null(strstr(stats.data, "\"truncated_from_tokens\":3004"));
    liz_buf_free(&out);
    liz_buf_free(&stats);
}

/* Control tokens of the model in a template are meant; in a field they are text, or refused where both stand. */
static void test_control_tokens(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"text\":\"plain\"}\n{\"text\":\"a<|end|>b\"}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = "{{text}}";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    assert_non_null(strstr(out.data, "\"prompt_tokens\":10,")); /* BOS and nine bytes */
    liz_buf_free(&out);
    lab_remove_out("out");
    opts.prompt = "<|turn|>{{text}}";
    lab_run_ok(&opts, LIZ_LINE_DONE);
    out = lab_get("out");
    assert_non_null(strstr(out.data, "\"prompt_tokens\":7,"));
    assert_non_null(strstr(out.data, "{\"index\":1,\"error\":{\"code\":\"control_token\""));
    liz_buf_free(&out);
    lab_remove_out("out");
    lab_puts("in.jsonl", "{\"prompt\":\"a<|end|>b\"}\n"); /* stands as it is */
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    out = lab_get("out");
    assert_non_null(strstr(out.data, "\"prompt_tokens\":4,"));
    liz_buf_free(&out);
}

/* Everything that is refused before the model is opened: the model does not even exist. */
static void test_usage(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{\"text\":\"a\",\"b\":1}\n");
    lab_puts("messages.jsonl", "{\"messages\":[]}\n");
    lab_puts("chat.jsonl", "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{}}\n");
    lab_puts("in.csv", "a,b\n1,2\n");
    lab_puts("double.csv", "a,a\n1,2\n");
    lab_puts("empty.csv", "");
    liz_line_opts base = lab_opts("in.jsonl", "out"), o;
    base.model_path = "no-such-model";
    o = base, o.prompt = "{{txt}}",
    lab_run_fails(&o, LIZ_E_USAGE, "has no field \"txt\", which --prompt names: its fields are text, b");
    o = base, o.id_field = "i", lab_run_fails(&o, LIZ_E_USAGE, "which --id names");
    o = base, o.keep[0] = "k", o.n_keep = 1, lab_run_fails(&o, LIZ_E_USAGE, "which --keep names");
    o = base, o.truncate_field = "b", lab_run_fails(&o, LIZ_E_USAGE, "--truncate b: is no field of the prompt");
    o = base, o.prompt = "{{text", lab_run_fails(&o, LIZ_E_USAGE, "{{ is never closed");
    o = base, o.prompt = "{{ }}", lab_run_fails(&o, LIZ_E_USAGE, "names no field");
    o = base, o.prompt = NULL, lab_run_fails(&o, LIZ_E_USAGE, "its rows have no \"prompt\"");
    o = base, o.prompt = NULL, o.system = "s",
    lab_run_fails(&o, LIZ_E_USAGE, "--system: rows with a prompt of their own");
    lab_puts("plain", "");
    o = base, o.prompt = NULL, o.model_path = "plain", o.in_path = "messages.jsonl",
    lab_run_fails(&o, LIZ_E_USAGE, "its rows have \"messages\": the model has no chat template");
    o.in_path = "chat.jsonl", lab_run_fails(&o, LIZ_E_USAGE, "its rows have \"messages\"");
    o.raw = true, lab_run_fails(&o, LIZ_E_USAGE, "--raw leaves the chat template out");
    o = base, o.in_path = "in.csv", lab_run_fails(&o, LIZ_E_USAGE, "its fields are a, b");
    o = base, o.in_path = "double.csv", lab_run_fails(&o, LIZ_E_USAGE, "names \"a\" twice");
    o = base, o.in_path = "empty.csv", lab_run_fails(&o, LIZ_E_USAGE, "has no CSV header");
    o = base, o.out_path = "in.jsonl", lab_run_fails(&o, LIZ_E_USAGE, "is OUT and also IN");
    o = base, o.shard = 3, o.n_shards = 2, lab_run_fails(&o, LIZ_E_USAGE, "--shard 3/2");
    o = base, o.retry_failed = true, o.restart = true, lab_run_fails(&o, LIZ_E_USAGE, "--retry-failed");
    o = base, o.in_path = "none", lab_run_fails(&o, LIZ_E_IO, "none: cannot be opened: No such file");
    o = base, o.in_path = ".", lab_run_fails(&o, LIZ_E_IO, "is a folder");
    lab_run_fails(&base, LIZ_E_IO, "no-such-model: cannot be opened");
    lab_puts("any-model", "");
    o = base, o.model_path = "any-model", o.out_path = "no/such/out";
    lab_run_fails(&o, LIZ_E_IO, "no/such/out.lizzie: cannot be created");
    assert_int_not_equal(access("out", F_OK), 0);
    assert_int_not_equal(access("out.lizzie", F_OK), 0);
}

static void test_models(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 3, false);
    lab_puts("odd.jinja", "{% include 'x' %}");
    lab_puts("templated", "template=./odd.jinja\n");
    lab_puts("vocabless", "vocab=0\n");
    lab_puts("huge", "memory_fails=1\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.model_path = "templated";
    lab_run_fails(&opts, LIZ_E_UNSUPPORTED, "unknown tag 'include': --raw does without it");
    opts.raw = true;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.model_path = "vocabless";
    opts.restart = true;
    lab_run_fails(&opts, LIZ_E_UNSUPPORTED, "no vocabulary");
    opts.model_path = "huge";
    lab_run_fails(&opts, LIZ_E_MEMORY, "needs 999 GiB");
    assert_int_equal(lab_n_lines("out"), 3); /* --restart overwrites nothing before the model is open */
}

/* Rows that cannot be read before the first that can do not turn the others into rows of another kind. */
static void test_openai_form_behind_broken_rows(void **state)
{
    (void)state;
    lab_puts("in.jsonl", "{broken\n\n[1]\n{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/completions\","
                         "\"body\":{\"prompt\":\"hi\",\"max_tokens\":2}}\n");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = NULL;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    liz_buf out = lab_get("out");
    assert_non_null(strstr(out.data, "{\"id\":\"batch_req_0\",\"custom_id\":null,\"response\":{\"status_code\":400,"));
    assert_non_null(strstr(out.data, "\"code\":\"invalid_json\""));
    assert_non_null(strstr(out.data, "{\"id\":\"batch_req_2\",\"custom_id\":\"a\",\"response\":{\"status_code\":200"));
    liz_buf_free(&out);
    lab_run_ok(&opts, LIZ_LINE_NOTHING);
}

static void test_dry_run(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 10, true);
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.dry_run = true;
    liz_line_report report;
    liz_error err;
    assert_int_equal(liz_line_run(&opts, &report, &err), LIZ_OK);
    assert_int_equal(report.outcome, LIZ_LINE_PLANNED);
    assert_non_null(strstr(report.plan.data, "first prompt:\nSay: message 0\n---\n"));
    assert_non_null(strstr(report.plan.data, "rows: 10\n"));
    assert_non_null(strstr(report.plan.data, "at most 120 (--max-tokens 12)"));
    assert_non_null(strstr(report.plan.data, "first error row: index 3: field_missing"));
    assert_non_null(strstr(report.plan.data, "memory ctx_size: 256\n"));
    liz_line_report_free(&report);
    assert_int_not_equal(access("out", F_OK), 0);
    lab_puts("templated", "template=1\n");
    opts.model_path = "templated";
    assert_int_equal(liz_line_run(&opts, &report, &err), LIZ_OK);
    assert_non_null(
        strstr(report.plan.data, "first prompt:\n<|turn|>user\nSay: message 0<|end|>\n<|turn|>assistant\n"));
    liz_line_report_free(&report);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain_form),
        TEST(test_error_rows),
        TEST(test_csv),
        TEST(test_openai_form),
        TEST(test_openai_form_behind_broken_rows),
        TEST(test_logprobs_and_stats),
        TEST(test_same_bytes),
        TEST(test_order),
        TEST(test_shards),
        TEST(test_interrupted),
        TEST(test_interrupted_behind_endless),
        TEST(test_growing_input),
        TEST(test_changed_input),
        TEST(test_changed_settings),
        TEST(test_out_of_others),
        TEST(test_torn_anywhere),
        TEST(test_lock),
        TEST(test_window_memory),
        TEST(test_strict),
        TEST(test_retry_failed),
        TEST(test_truncate),
        TEST(test_control_tokens),
        TEST(test_usage),
        TEST(test_models),
        TEST(test_dry_run),
    };
    return cmocka_run_group_tests(tests, setup, lab_close);
}
