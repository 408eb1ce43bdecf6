/* test_adapters.c - low-rank adapters: refused where they do not fit; the same bytes alone and among sequences with
 * other adapters, on every tier; what merging gives; and whole lines in which rows name theirs. */
#include "../lib/adapter_make.h"
#include "../lib/gguf_copy.h"
#include "../lib/model_bed.h"
#include "../lib/temp_dir.h"
#include "base/log.h"
#include "line/line.h"
#include "lizzie.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOGITS "../shared/reference/logits/"

static const char dreams[] = "../shared/reference/models/aidreams-260k.gguf";

enum { N_TOK = 40, N_VOCAB = 128 };

static void need(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    fprintf(stderr, "# SKIPPED: %s is not there\n", path);
    skip();
}

/* Fused matrices, two in one, experts, biases, tied output, norms after. */
static const char *const families[] = {"llama-gqa",    "gpt2-dense",       "phi3-dense",  "qwen3moe-moe", "gpt-oss-moe",
                                       "gemma2-dense", "starcoder2-dense", "olmo2-dense", "llama-moe"};
enum { N_FAMILIES = sizeof families / sizeof *families };

static double error_of(const float *a, const float *b, size_t n)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return difference / size;
}

static void tokens_make(int32_t *tokens, int which)
{
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (i * i * 31 + i * 17 + which * 5) % N_VOCAB;
}

/* ---- The same bytes ---- */

/* Logits of tokens with a set, alone. */
static float *alone(const char *path, bed_opts o, const int32_t *tokens, uint64_t set)
{
    model_bed b;
    const int32_t n = N_TOK;
    o.n_batch = o.n_ctx = N_TOK;
    bed_open(&b, path, o);
    b.sets[0] = set;
    float *out = malloc((size_t)N_TOK * (size_t)b.n_vocab * sizeof *out);
    memcpy(out, bed_step(&b, &tokens, &n, 1), (size_t)N_TOK * (size_t)b.n_vocab * sizeof *out);
    bed_close(&b);
    return out;
}

/* Three sequences with three sets in every step, in chunks, against what each is alone. */
static void check_company(const char *path, bed_opts o, float *const want[3], const uint64_t sets[3])
{
    model_bed b;
    int32_t tokens[3][N_TOK];
    const int32_t *all[3] = {tokens[0], tokens[1], tokens[2]};
    o.n_batch = 3 * N_TOK;
    o.n_ctx = N_TOK;
    bed_open(&b, path, o);
    for (int s = 0; s < 3; s++) {
        tokens_make(tokens[s], s);
        b.sets[s] = sets[s];
    }
    for (int32_t n_more = 13; b.n_done[0] < N_TOK; n_more = b.n_done[0] < 36 ? 11 : 1) {
        int32_t n = N_TOK - b.n_done[0] < n_more ? N_TOK - b.n_done[0] : n_more, at = b.n_done[0];
        const float *logits = bed_step(&b, all, (int32_t[]){n, n, n}, 3);
        size_t row = (size_t)b.n_vocab;
        for (int s = 0; s < 3; s++)
            if (memcmp(logits + (size_t)(s * n) * row, want[s] + (size_t)at * row, (size_t)n * row * sizeof(float)) !=
                0)
                fail_msg("%s: tier %s: set %d is not the same in company", path, liz_cpu_tier_name(o.tier),
                         (int)sets[s]);
    }
    bed_close(&b);
}

static void check_family(const char *name, liz_dtype dtype)
{
    char path[128];
    static const uint64_t sets[3] = {1, 0, 3};
    float *want[3];
    snprintf(path, sizeof path, LOGITS "%s.gguf", name);
    const char *model = temp_path("model.gguf");
    gguf_copy(path, model, (gguf_edit){.randomise = dtype != LIZ_DTYPE_F32, .dtype = dtype});
    assert_true(adapter_make(model, temp_path("a.gguf"), (adapter_plan){1, 5, 8, LIZ_DTYPE_F32, NULL}) > 2);
    assert_true(adapter_make(model, temp_path("b.gguf"), (adapter_plan){2, 35, 20, LIZ_DTYPE_F16, NULL}) > 2);
    bed_opts o = {.tier = bed_tier_first(),
                  .n_threads = 1,
                  .adapters = {temp_path("a.gguf"), temp_path("b.gguf")},
                  .scale = 0.5f};
    for (int s = 0; s < 3; s++) {
        int32_t tokens[N_TOK];
        tokens_make(tokens, s);
        want[s] = alone(model, o, tokens, sets[s]);
        float *base = alone(model, o, tokens, 0);
        bool same = memcmp(base, want[s], (size_t)N_TOK * N_VOCAB * sizeof *base) == 0;
        assert_int_equal(same, sets[s] == 0); /* adapters change what a sequence says, its own alone */
        free(base);
    }
    for (int tier = (int)bed_tier_first(); tier <= (int)liz_cpu_tier_best(); tier++) {
        o.tier = (liz_tier_id)tier;
        o.n_threads = 1 + (tier + 1) % 3;
        check_company(model, o, want, sets);
    }
    for (int s = 0; s < 3; s++)
        free(want[s]);
}

static void test_same_bytes_in_company(void **state)
{
    (void)state;
    need(LOGITS "README.md");
    for (int i = 0; i < N_FAMILIES; i++)
        check_family(families[i], i % 2 ? LIZ_DTYPE_Q8_0 : LIZ_DTYPE_F32);
}

/* ---- Merging ---- */

static void merge(const char *model, const char *out, const liz_lora *loras, size_t n)
{
    liz_error err;
    liz_merge_opts opts = {.loras = loras, .n_loras = n, .overwrite = true, .n_threads = 2};
    if (liz_merge(model, out, &opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
}

/* F32 models: the merged file computes what the adapters do, but for rounding. */
static void test_merged_is_applied(void **state)
{
    (void)state;
    need(LOGITS "README.md");
    int32_t tokens[N_TOK];
    tokens_make(tokens, 1);
    for (int i = 0; i < N_FAMILIES; i++) {
        char path[128];
        snprintf(path, sizeof path, LOGITS "%s.gguf", families[i]);
        const char *a = temp_path("a.gguf"), *b = temp_path("b.gguf"), *merged = temp_path("merged.gguf");
        adapter_make(path, a, (adapter_plan){3, 4, 6, LIZ_DTYPE_F32, NULL});
        adapter_make(path, b, (adapter_plan){4, 40, 0, LIZ_DTYPE_BF16, "attn"});
        const liz_lora loras[] = {{.path = a, .scale = 0.25f}, {.path = b, .scale = 0.25f}};
        merge(path, merged, loras, 2);
        bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 2, .cache_type = LIZ_CACHE_F32};
        float *of_merged = alone(merged, o, tokens, 0), *base = alone(path, o, tokens, 0);
        o.adapters[0] = a;
        o.adapters[1] = b;
        o.scale = 0.25f;
        float *applied = alone(path, o, tokens, 3);
        double error = error_of(of_merged, applied, (size_t)N_TOK * N_VOCAB);
        double change = error_of(base, applied, (size_t)N_TOK * N_VOCAB);
        if (!(error < 1e-9) || !(change > 1e-3))
            fail_msg("%s: merged and applied differ by %.2e; the adapters change %.2e", families[i], error, change);
        free(of_merged);
        free(base);
        free(applied);
    }
}

/* Quantised matrices are written in their own types again: what that costs is small beside what the adapter does. */
static void test_merged_quantised(void **state)
{
    (void)state;
    static const char *const types[] = {"Q8_0", "Q4_K", "Q6_K", "BF16"};
    need("../shared/reference/quants/README.md");
    int32_t tokens[N_TOK];
    tokens_make(tokens, 2);
    for (int i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "../shared/reference/quants/llama-%s.gguf", types[i]);
        const char *a = temp_path("a.gguf"), *merged = temp_path("merged.gguf");
        adapter_make(path, a, (adapter_plan){3, 8, 16, LIZ_DTYPE_F32, NULL});
        const liz_lora lora = {.path = a, .scale = 0.5f};
        merge(path, merged, &lora, 1);
        bed_opts o = {.tier = liz_cpu_tier_best(), .n_threads = 2, .cache_type = LIZ_CACHE_F32};
        float *of_merged = alone(merged, o, tokens, 0), *base = alone(path, o, tokens, 0);
        o.adapters[0] = a;
        o.scale = 0.5f;
        float *applied = alone(path, o, tokens, 1);
        double error = error_of(of_merged, applied, (size_t)N_TOK * N_VOCAB);
        double change = error_of(base, applied, (size_t)N_TOK * N_VOCAB);
        if (!(error < (i == 1 ? 0.1 : 0.01) * change))
            fail_msg("%s: merged and applied differ by %.2e; the adapter changes %.2e", types[i], error, change);
        free(of_merged);
        free(base);
        free(applied);
    }
}

/* The bytes of a merged file depend on no threads and no tier; an output is not overwritten unasked. */
static void test_merge_files(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    const char *a = temp_path("a.gguf"), *out = temp_path("out.gguf"), *other = temp_path("other.gguf");
    adapter_make(dreams, a, (adapter_plan){5, 8, 16, LIZ_DTYPE_F32, NULL});
    liz_lora lora = {.path = a};
    liz_merge_opts opts = {.loras = &lora, .n_loras = 1, .type = "bf16", .n_threads = 1};
    setenv("LIZZIE_ISA", "c", 1);
    assert_int_equal(liz_merge(dreams, out, &opts, &err), LIZ_OK);
    unsetenv("LIZZIE_ISA");
    assert_int_equal(liz_merge(dreams, out, &opts, &err), LIZ_E_STATE);
    opts.n_threads = 3;
    assert_int_equal(liz_merge(dreams, other, &opts, &err), LIZ_OK);
    size_t n, n_other;
    char *bytes = file_read(out, &n), *others = file_read(other, &n_other);
    assert_int_equal(n, n_other);
    assert_memory_equal(bytes, others, n);
    free(bytes);
    free(others);
    opts.type = "nonsense";
    opts.overwrite = true;
    assert_int_equal(liz_merge(dreams, out, &opts, &err), LIZ_E_USAGE);
}

/* ---- Refused ---- */

static void refused(const char *model, const char *adapter, liz_status status, const char *says)
{
    liz_engine *engine;
    liz_error err = {0};
    liz_lora lora = {.path = adapter};
    assert_int_equal(liz_engine_open(&engine, model, &(liz_engine_opts){.loras = &lora, .n_loras = 1}, &err), status);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void test_refused(void **state)
{
    (void)state;
    need(LOGITS "README.md");
    const char *llama = LOGITS "llama-gqa.gguf", *a = temp_path("a.gguf"), *b = temp_path("b.gguf");
    adapter_make(llama, a, (adapter_plan){1, 4, 8, LIZ_DTYPE_F32, NULL});
    refused(LOGITS "qwen2-dense.gguf", a, LIZ_E_UNSUPPORTED, "architecture llama, not qwen2");
    refused(LOGITS "llama-moe.gguf", a, LIZ_E_FORMAT, "blk.0.attn_k.weight: its adapter is for 1 of shape");
    refused(llama, llama, LIZ_E_UNSUPPORTED, "is no adapter");
    refused(a, a, LIZ_E_UNSUPPORTED, "is an adapter, no model");
    const struct {
        gguf_edit edit;
        liz_status status;
        const char *says;
    } cases[] = {
        {{.drop_tensor = "blk.0.attn_q.weight.lora_b"}, LIZ_E_FORMAT, "blk.0.attn_q.weight.lora_b is missing"},
        {{.drop_tensor = "blk.0.attn_q.weight.lora_a"}, LIZ_E_FORMAT, "a lora_b without its lora_a"},
        {{.rename_tensor = "blk.0.attn_q.weight.lora_a", .rename_to = "blk.0.attn_q.weight"},
         LIZ_E_UNSUPPORTED,
         "neither a lora_a nor a lora_b"},
        {{.rename_tensor = "blk.0.attn_q.weight.lora_b", .rename_to = "blk.9.attn_q.weight.lora_b"},
         LIZ_E_FORMAT,
         "blk.0.attn_q.weight.lora_b is missing"},
        {{.poison = "blk.0.attn_q.weight.lora_b"}, LIZ_E_FORMAT, "no finite number"},
        {{.changes = (gguf_change[]){{.key = "adapter.type", .type = LIZ_GGUF_STRING, .text = "ia3"}, {0}}},
         LIZ_E_UNSUPPORTED,
         "adapter.type is ia3"},
        {{.changes = (gguf_change[]){{.key = "adapter.lora.alpha", .type = LIZ_GGUF_F32, .f32 = NAN}, {0}}},
         LIZ_E_FORMAT,
         "adapter.lora.alpha"},
        {{.changes = (gguf_change[]){{.key = "adapter.alora.invocation_tokens", .type = LIZ_GGUF_U32}, {0}}},
         LIZ_E_UNSUPPORTED,
         "invocation tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_copy(a, b, cases[i].edit);
        refused(llama, b, cases[i].status, cases[i].says);
    }
}

/* A tied output has rows too: no adapter of it; nor of what is no matrix of the model. */
static void test_refused_tables(void **state)
{
    (void)state;
    need(LOGITS "README.md");
    const char *gemma = LOGITS "gemma-dense.gguf", *a = temp_path("a.gguf"), *b = temp_path("b.gguf"),
               *c = temp_path("c.gguf");
    adapter_make(gemma, a, (adapter_plan){1, 4, 8, LIZ_DTYPE_F32, "blk.0.attn_output.weight"});
    gguf_copy(a, b,
              (gguf_edit){.rename_tensor = "blk.0.attn_output.weight.lora_a", .rename_to = "token_embd.weight.lora_a"});
    gguf_copy(b, c,
              (gguf_edit){.rename_tensor = "blk.0.attn_output.weight.lora_b", .rename_to = "token_embd.weight.lora_b"});
    refused(gemma, c, LIZ_E_UNSUPPORTED, "token_embd.weight: is no matrix of this model that can have an adapter");
}

/* ---- The line ---- */

static const char rows_text[] = "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":\"a\"}\n"
                                "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":\"\"}\n"
                                "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":\"b\"}\n"
                                "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":\"a,b\"}\n"
                                "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":\"c\"}\n"
                                "{\"prompt\":\"In the quiet of the night I dream of a\",\"with\":null}\n";
enum { N_ROWS = 6, UNKNOWN_ROW = 4 };

static liz_line_opts line_opts(const char *in, const char *out, const liz_lora *loras)
{
    liz_line_opts o;
    liz_line_opts_init(&o);
    o.model_path = dreams;
    o.in_path = in;
    o.out_path = out;
    o.max_tokens = 12;
    o.engine.n_threads = 2;
    o.engine.loras = loras;
    o.engine.n_loras = 2;
    o.lora_names[0] = "a";
    o.lora_names[1] = "b";
    o.lora_field = "with";
    return o;
}

static char *line_run(const liz_line_opts *o)
{
    liz_line_report report;
    liz_error err;
    size_t n;
    if (liz_line_run(o, &report, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.outcome, LIZ_LINE_DONE);
    liz_line_report_free(&report);
    return file_read(o->out_path, &n);
}

/* What the line logs of the engine. */
static int n_together;

static void on_log(void *user, liz_log_level level, const char *subject, const char *text)
{
    const char *at = strstr(text, "at most ");
    (void)user, (void)level, (void)subject;
    if (at != NULL)
        n_together = atoi(at + 8);
}

static void test_rows_name_their_adapters(void **state)
{
    (void)state;
    need(dreams);
    const char *a = temp_path("a.gguf"), *b = temp_path("b.gguf"), *out = temp_path("out.jsonl");
    adapter_make(dreams, a, (adapter_plan){5, 8, 8, LIZ_DTYPE_F32, NULL});
    adapter_make(dreams, b, (adapter_plan){6, 8, 8, LIZ_DTYPE_F32, NULL});
    const liz_lora loras[] = {{.path = a, .scale = 0.3f, .on_request = true}, {.path = b, .on_request = true}};
    const char *in = temp_write("in.jsonl", rows_text, strlen(rows_text));
    liz_line_opts o = line_opts(in, out, loras);
    liz_log_install(on_log, NULL, LIZ_LOG_INFO);
    char *together = line_run(&o), texts[N_ROWS][256];
    liz_log_install(NULL, NULL, LIZ_LOG_INFO);
    assert_true(n_together >= 2); /* no two rows that follow each other have the same adapters */
    unlink(out);
    unlink(temp_path("out.jsonl.lizzie"));
    o.engine.n_parallel = 1;
    o.engine.prefix_cache_off = true;
    char *one_by_one = line_run(&o);
    assert_string_equal(together, one_by_one);
    char *at = together;
    for (int i = 0; i < N_ROWS; i++, at = strchr(at, '\n') + 1) {
        const char *text = strstr(at, i == UNKNOWN_ROW ? "\"error\"" : "\"text\"");
        assert_non_null(text);
        snprintf(texts[i], sizeof texts[i], "%.*s", (int)(strpbrk(text + 8, ",\n") - text), text);
    }
    assert_non_null(strstr(texts[UNKNOWN_ROW], "unknown_adapter"));
    assert_string_equal(texts[1], texts[5]);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(texts[i], texts[k]);
    /* Another scale is another job. */
    const liz_lora others[] = {{.path = a, .scale = 0.4f, .on_request = true}, {.path = b, .on_request = true}};
    liz_line_report report;
    liz_error err;
    o.engine.loras = others;
    assert_int_equal(liz_line_run(&o, &report, &err), LIZ_E_STATE);
    assert_non_null(strstr(err.text, "lora"));
    liz_line_report_free(&report);
    free(together);
    free(one_by_one);
}

/* Requests name an adapter as their model, or the model itself; what is neither is an error row. */
static void test_openai_models(void **state)
{
    (void)state;
    need(dreams);
    static const char *const models[] = {"a", "aidreams-260k", "aidreams-260k.gguf", "gpt-9"};
    const char *a = temp_path("a.gguf"), *out = temp_path("openai.jsonl");
    liz_buf rows;
    liz_buf_init(&rows, 1 << 16);
    for (int i = 0; i < 4; i++)
        liz_buf_printf(&rows,
                       "{\"custom_id\":\"%d\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":"
                       "{\"model\":\"%s\",\"prompt\":\"In the quiet of the night I dream of a\"}}\n",
                       i, models[i]);
    adapter_make(dreams, a, (adapter_plan){5, 8, 8, LIZ_DTYPE_F32, NULL});
    const liz_lora lora = {.path = a, .scale = 0.3f, .on_request = true};
    liz_line_opts o = line_opts(temp_write("openai-in.jsonl", rows.data, rows.len), out, &lora);
    o.engine.n_loras = 1;
    o.lora_names[1] = NULL;
    o.lora_field = NULL;
    char *lines = line_run(&o), texts[4][256], *at = lines;
    for (int i = 0; i < 4; i++, at = strchr(at, '\n') + 1) {
        const char *text = strstr(at, i == 3 ? "\"code\":" : "\"text\"");
        assert_non_null(text);
        snprintf(texts[i], sizeof texts[i], "%.*s", (int)(strpbrk(text + 8, ",\n") - text), text);
    }
    assert_string_equal(texts[1], texts[2]);
    assert_string_not_equal(texts[0], texts[1]);
    assert_non_null(strstr(texts[3], "unknown_adapter"));
    free(lines);
    liz_buf_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_in_company),
        cmocka_unit_test(test_merged_is_applied),
        cmocka_unit_test(test_merged_quantised),
        cmocka_unit_test(test_merge_files),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_tables),
        cmocka_unit_test(test_rows_name_their_adapters),
        cmocka_unit_test(test_openai_models),
    };
    return cmocka_run_group_tests_name("adapters", tests, NULL, NULL);
}
