/* test_memory_refused.c - memory is refused at the n-th request, for every n: of opening a file, a vocabulary, a chat
 * template, a model, an adapter; of tokenising, rendering, submitting and scoring; of writing models; of the readers.
 *
 * Each time there is an error that says so (or the request could be done without), nothing is leaked, and the next
 * attempt works. */
#include "../lib/alloc_fail.h"
#include "../lib/refuse.h"
#include "../lib/temp_dir.h"
#include "base/json.h"
#include "format/gguf.h"
#include "line/line_prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_TOKENS = 6, N_VOCABS = 5 };

static const char text[] = "a b ab \xC3\xA9 <s> aaaa";
static char model_path[512], chat_path[512], adapter_path[512], vocab_paths[N_VOCABS][512];

static const char chat_template[] =
    "{% macro f(x) %}{{ x ~ 'q' }}{% endmacro %}{% for m in messages %}{% if m.role == 'user' %}a {{ m.content|trim }} "
    "b"
    "{% else %}{{ m.role|upper }}:{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.arguments|tojson }}"
    "{% endfor %}{% endif %}{% endfor %}{% if tools %}{{ tools|tojson(indent=2) }}{% endif %}{{ strftime_now('%Y') }}"
    "{{ f('z').replace('q', 'ww').split('w')|join(',') }}{{ {'a': 1, 'b': [1, 2, 3]}|dictsort }}"
    "{% set ns = namespace(x=1) %}{% if add_generation_prompt %}ab{% endif %}";

/* ---- Files ---- */

#define TOKENS(list, n) "key tokenizer.ggml.tokens array\narray string " n "\n" list

static int files_make(void **state)
{
    (void)state;
    static const char bpe[] =
        "head 0 4\n"
        "key tokenizer.ggml.model string\nstr gpt2\nkey tokenizer.ggml.pre string\nstr gpt-2\n" TOKENS(
            "str a\nstr b\nstr ab\nstr \xC4\xA0\nstr \xC4\xA0"
            "a\nstr aa\n",
            "6") "key tokenizer.ggml.merges array\narray string 3\n"
                 "str \"a b\"\nstr \"\xC4\xA0 a\"\nstr \"a a\"\n";
    static const char wordpiece[] = "head 0 3\nkey tokenizer.ggml.model string\nstr bert\n" TOKENS(
        "str [UNK]\nstr [CLS]\nstr [SEP]\nstr \xE2\x96\x81"
        "a\nstr \xE2\x96\x81"
        "b\nstr b\n",
        "6") "key tokenizer.ggml.token_type array\narray i32 6\ni32 2\ni32 3\ni32 3\ni32 1\ni32 1\ni32 1\n";
    static const char unigram[] = "head 0 4\nkey tokenizer.ggml.model string\nstr t5\n" TOKENS(
        "str <pad>\nstr </s>\nstr <unk>\nstr \xE2\x96\x81\nstr a\nstr b\nstr ab\n",
        "7") "key tokenizer.ggml.scores array\narray f32 7\nf32 0\nf32 0\nf32 0\nf32 -3\nf32 -4\nf32 -4\nf32 -5\n"
             "key tokenizer.ggml.token_type array\narray i32 7\ni32 3\ni32 3\ni32 2\ni32 1\ni32 1\ni32 1\ni32 1\n";
    static const char rwkv[] = "head 0 3\nkey tokenizer.ggml.model string\nstr rwkv\n" TOKENS(
        "str <s>\nstr a\nstr ab\nstr b\nstr \" \"\n",
        "5") "key tokenizer.ggml.token_type array\narray i32 5\ni32 3\ni32 1\ni32 1\ni32 1\ni32 1\n";
    models_make(chat_template, model_path, chat_path, adapter_path);
    strcpy(vocab_paths[0], model_path);
    file_make(vocab_paths[1], "bpe.gguf", bpe, 0);
    file_make(vocab_paths[2], "wordpiece.gguf", wordpiece, 0);
    file_make(vocab_paths[3], "unigram.gguf", unigram, 0);
    file_make(vocab_paths[4], "rwkv.gguf", rwkv, 0);
    return 0;
}

/* ---- Files, vocabularies, text ---- */

static liz_status open_gguf(const void *with, liz_error *err)
{
    liz_gguf *gguf = NULL;
    liz_status status = liz_gguf_open(&gguf, with, err);
    liz_gguf_close(gguf);
    return status;
}

static liz_status open_vocab(const void *with, liz_error *err)
{
    liz_vocab *vocab = NULL;
    liz_status status = liz_vocab_open(&vocab, with, err);
    liz_vocab_close(vocab);
    return status;
}

static liz_status use_vocab(const void *with, liz_error *err)
{
    int32_t *tokens = NULL;
    size_t n = 0, n_out = 0;
    char *out = NULL;
    liz_status status =
        liz_tokenize(with, text, strlen(text), LIZ_TOKENIZE_AFFIXES | LIZ_TOKENIZE_SPECIAL, &tokens, &n, err);
    if (status == LIZ_OK)
        status = liz_detokenize(with, tokens, n, LIZ_TOKENIZE_SPECIAL, &out, &n_out, err);
    if (status == LIZ_OK)
        assert_true(n > 0 && n_out > 0);
    liz_free(tokens);
    liz_free(out);
    return status;
}

static liz_status tokenize_choices(const void *with, liz_error *err)
{
    static const int32_t prompt[] = {3, 4};
    static const char *const texts[] = {"a", "ab", "b a"};
    liz_choice *choices = NULL;
    liz_status status = liz_tokenize_choices(with, prompt, 2, texts, 3, &choices, err);
    liz_free(choices);
    return status;
}

static void test_vocabularies(void **state)
{
    (void)state;
    for (int i = 0; i < N_VOCABS; i++) {
        liz_vocab *vocab = NULL;
        refuse_each("opening a file", open_gguf, vocab_paths[i]);
        refuse_each("opening a vocabulary", open_vocab, vocab_paths[i]);
        assert_int_equal(liz_vocab_open(&vocab, vocab_paths[i], NULL), LIZ_OK);
        refuse_each("tokenising", use_vocab, vocab);
        refuse_each("tokenising choices", tokenize_choices, vocab);
        liz_vocab_close(vocab);
    }
}

/* ---- Chat templates ---- */

static liz_status open_template(const void *with, liz_error *err)
{
    liz_template *t = NULL;
    liz_status status = liz_template_open(&t, with, err);
    if (status == LIZ_OK)
        assert_non_null(t);
    liz_template_close(t);
    return status;
}

typedef struct rendering {
    const liz_template *template;
    const liz_vocab *vocab;
    unsigned flags;
    liz_rendered whole; /* what it gives with memory */
} rendering;

static const char variables[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":\"text\",\"text\":"
    "\"t\"}]},"
    "{\"role\":\"user\",\"content\":\"hi "
    "\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":"
    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"critic\",\"content\":"
    "\"boo\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"add_generation_prompt\":true}";

/* A text that is given is whole, and so are the marks of what is data in it. */
static liz_status render(const void *with, liz_error *err)
{
    const rendering *r = with;
    liz_rendered out = {0};
    int32_t *tokens = NULL;
    size_t n = 0;
    liz_status status =
        liz_template_render(r->template, variables, strlen(variables), "2026-01-01", r->flags, &out, err);
    if (status == LIZ_OK && r->whole.text != NULL) {
        assert_string_equal(out.text, r->whole.text);
        assert_int_equal(out.n_data, r->whole.n_data);
        assert_memory_equal(out.data, r->whole.data, 2 * out.n_data * sizeof *out.data);
    }
    status = status ?: liz_tokenize_rendered(r->vocab, &out, &tokens, &n, err);
    liz_free(tokens);
    liz_rendered_free(&out);
    return status;
}

static void test_templates(void **state)
{
    (void)state;
    char file[512];
    liz_template *t = NULL;
    liz_vocab *vocab = NULL;
    snprintf(file, sizeof file, "%s", temp_write("t.jinja", chat_template, strlen(chat_template)));
    refuse_each("opening a template", open_template, file);
    refuse_each("opening a model's template", open_template, chat_path);
    assert_int_equal(liz_template_open(&t, chat_path, NULL), LIZ_OK);
    assert_int_equal(liz_vocab_open(&vocab, chat_path, NULL), LIZ_OK);
    for (unsigned flags = 0; flags <= LIZ_RENDER_CHAT; flags += LIZ_RENDER_CHAT) {
        rendering r = {t, vocab, flags, {0}};
        size_t n = strlen(variables);
        assert_int_equal(liz_template_render(t, variables, n, "2026-01-01", flags, &r.whole, NULL), LIZ_OK);
        refuse_each("rendering", render, &r);
        liz_rendered_free(&r.whole);
    }
    liz_vocab_close(vocab);
    liz_template_close(t);
}

/* ---- The engine ---- */

static const liz_engine_opts engine_opts = {.n_threads = 2, .n_parallel = 2, .n_ctx = 40, .memory_max_bytes = 1u << 30};

static liz_status open_engine(const void *with, liz_error *err)
{
    liz_engine *engine = NULL;
    liz_status status = liz_engine_open(&engine, with, &engine_opts, err);
    liz_engine_close(engine);
    return status;
}

static liz_status open_adapted(const void *with, liz_error *err)
{
    liz_engine *engine = NULL;
    liz_lora lora = {with, 0, false};
    liz_engine_opts opts = engine_opts;
    opts.loras = &lora;
    opts.n_loras = 1;
    liz_status status = liz_engine_open(&engine, model_path, &opts, err);
    liz_engine_close(engine);
    return status;
}

/* Writes the packed file, or (with it) finds it. */
static liz_status open_packed(const void *with, liz_error *err)
{
    liz_engine *engine = NULL;
    liz_engine_opts opts = engine_opts;
    char packed[600];
    snprintf(packed, sizeof packed, "%s.packed", model_path);
    if (with == NULL)
        unlink(packed);
    opts.keep_packed = true;
    liz_status status = liz_engine_open(&engine, model_path, &opts, err);
    liz_engine_close(engine);
    return status;
}

static liz_status merge(const void *with, liz_error *err)
{
    char out[600];
    snprintf(out, sizeof out, "%s.merged", model_path);
    liz_lora lora = {with, 0, false};
    liz_merge_opts opts = {.loras = &lora, .n_loras = 1, .overwrite = true, .n_threads = 2};
    return liz_merge(model_path, out, &opts, err);
}

static liz_status describe(const void *with, liz_error *err)
{
    char *json = NULL;
    liz_model_identity identity = {0};
    liz_status status = liz_inspect(with, NULL, &json, err);
    if (status == LIZ_OK)
        status = liz_model_identify(with, &identity, err);
    liz_free(json);
    return status;
}

/* Measures the inputs and writes the model again by them. */
static liz_status quantize(const void *with, liz_error *err)
{
    char imatrix[600], out[600];
    snprintf(imatrix, sizeof imatrix, "%s.im", (const char *)with);
    snprintf(out, sizeof out, "%s.q8", (const char *)with);
    liz_quantize_opts opts = {.n_threads = 2, .imatrix_path = imatrix, .overwrite = true};
    liz_status status = liz_imatrix_make(with, text, strlen(text), imatrix, &engine_opts, NULL, err);
    if (status == LIZ_OK)
        status = liz_quantize(with, out, "Q8_0", &opts, NULL, err);
    return status;
}

static void on_event(void *user, const liz_event *event)
{
    if (event->type == LIZ_EVENT_DONE)
        *(liz_status *)user = event->status;
}

static liz_status generate(const void *with, liz_error *err)
{
    static const int32_t tokens[N_TOKENS] = {1, 3, 4, 5, 3, 4};
    static const char *const stops[] = {"ba", "b"};
    static const liz_logit_bias bias = {3, 1};
    liz_engine *engine = *(liz_engine *const *)with;
    liz_status done = LIZ_OK;
    liz_seq *seq = NULL;
    liz_request request = {.tokens = tokens,
                           .n_tokens = N_TOKENS,
                           .n_predict_max = 3,
                           .stop = stops,
                           .n_stop = 2,
                           .sampling = {.temperature = 1, .top_k = 3, .bias = &bias, .n_bias = 1},
                           .logprobs = true,
                           .n_logprobs_top = 2,
                           .on_event = on_event,
                           .user = &done};
    float logprobs[N_TOKENS];
    liz_status status = liz_submit(engine, &request, &seq, err);
    if (status == LIZ_OK) {
        liz_seq_wait(seq);
        assert_int_equal(done, LIZ_OK);
        status = liz_score(engine, tokens, N_TOKENS, logprobs, NULL, NULL, err);
    }
    liz_seq_free(seq);
    return status;
}

static void test_engine(void **state)
{
    (void)state;
    liz_engine *engine = NULL;
    refuse_each("opening a model", open_engine, model_path);
    refuse_each("inspecting a model", describe, model_path);
    refuse_each("quantising a model", quantize, model_path);
    refuse_each("opening an adapter", open_adapted, adapter_path);
    refuse_each("merging an adapter", merge, adapter_path);
    refuse_each("keeping packed weights", open_packed, NULL);
    refuse_each("opening packed weights", open_packed, model_path);
    assert_int_equal(liz_engine_open(&engine, model_path, &engine_opts, NULL), LIZ_OK);
    refuse_each("submitting", generate, &engine);
    liz_engine_close(engine);
}

/* ---- Readers ---- */

static liz_status read_json(const void *with, liz_error *err)
{
    liz_arena arena = {.size_max = 1 << 20};
    liz_json *json;
    liz_status status = liz_json_read(&json, liz_str_of(with), &arena, err);
    liz_arena_free(&arena);
    return status;
}

/* All records of a file, as the line reads them. What is refused within a row ends as an error row. */
static liz_status read_rows(const void *with, liz_error *err)
{
    liz_line_input *in = NULL;
    liz_line_header header = {0};
    bool got = true;
    liz_status status = liz_line_input_open(&in, liz_files_system(), with, LIZ_LINE_INPUT_GUESS, NULL, err);
    bool is_csv = status == LIZ_OK && liz_line_input_separator(in) == ',';
    if (is_csv)
        status = liz_line_header_read(&header, in, with, err);
    while (status == LIZ_OK && got) {
        liz_line_cut cut;
        status = liz_line_input_next(in, &cut, &got, err);
    }
    liz_line_header_free(&header);
    liz_line_input_close(in);
    return status;
}

static liz_status compile(const void *with, liz_error *err)
{
    liz_line_template *template = NULL;
    liz_status status = liz_line_template_compile(&template, "Rules: {{a}}", with, err);
    liz_line_template_free(template);
    return status;
}

static void test_readers(void **state)
{
    (void)state;
    static const char rows[] =
        "{\"text\":\"a\",\"id\":1}\n{\"text\":\"ab ab\",\"id\":\"two\"}\n{\"text\":3}\n[]\n{\"text\":\"b\"}\n";
    static const char csv[] = "text,id\n\"a \"\"b\"\"\",1\nplain,2\n";
    refuse_each("reading JSON", read_json, "{\"a\":[1,\"two\",{\"b\":null}],\"c\":\"\\u00e9\"}");
    refuse_each("reading JSONL", read_rows, temp_write("in.jsonl", rows, strlen(rows)));
    refuse_each("reading CSV", read_rows, temp_write("in.csv", csv, strlen(csv)));
    refuse_each("compiling a prompt", compile, "Say {{text}} and \\{{ then {{ b }}");
}

/* The account notices what is left, and the refusal reaches the library. */
static void test_account(void **state)
{
    (void)state;
    char *(*volatile copy)(const char *) = strdup; /* a compiler knows that nobody looks at strdup's copies */
    size_t n_live = alloc_n_live();
    char *kept = copy("kept");
    assert_int_equal(alloc_n_live(), n_live + 1);
    free(kept);
    assert_int_equal(alloc_n_live(), n_live);
    alloc_fail_at(1);
    assert_null(copy("refused"));
    assert_true(alloc_fail_stop());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_account), cmocka_unit_test(test_vocabularies),
                                       cmocka_unit_test(test_templates), cmocka_unit_test(test_engine),
                                       cmocka_unit_test(test_readers)};
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* hundreds of files are synced */
    return cmocka_run_group_tests(tests, files_make, NULL);
}
