/* test_memory_refused.c - memory is refused at the n-th request, for every n: of opening a file, a vocabulary, a model;
 * of tokenising, submitting and scoring; of the readers; and of a whole line.
 *
 * Each time there is an error that says so (or the request could be done without), nothing is leaked, and the next
 * attempt works. A line that was stopped so goes on to the bytes of one that was not. */
#include "../lib/alloc_fail.h"
#include "../lib/gguf_asm.h"
#include "../lib/temp_dir.h"
#include "base/json.h"
#include "base/log.h"
#include "format/gguf.h"
#include "line/line.h"
#include "line/line_prompt.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_TOKENS = 6, TRIES_MAX = 20000 };

static const char text[] = "a b ab \xC3\xA9 <s> aaaa";
static char model_path[512], vocab_paths[3][512];

/* ---- Files ---- */

static void file_make(char path[512], const char *name, const char *source, size_t n_zeros)
{
    gguf_asm assembled;
    gguf_assemble(&assembled, source);
    liz_buf *bytes = &assembled.files[0].bytes;
    for (size_t i = 0; i < n_zeros; i++)
        liz_buf_putc(bytes, '\0');
    snprintf(path, 512, "%s", temp_write(name, bytes->data, bytes->len));
    gguf_asm_free(&assembled);
}

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
    size_t n;
    char *spm = file_read("fuzz/corpus/model/llama.asm", &n);
    assert_non_null(spm);
    file_make(model_path, "model.gguf", spm, 64 * 1024);
    strcpy(vocab_paths[0], model_path);
    file_make(vocab_paths[1], "bpe.gguf", bpe, 0);
    file_make(vocab_paths[2], "wordpiece.gguf", wordpiece, 0);
    free(spm);
    return 0;
}

static size_t n_open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* ---- For every n ---- */

typedef liz_status attempt_fn(const void *with, liz_error *err);

/* Attempts with the n-th request refused, for n = 1, 2, ... until none is. */
static void refuse_each(const char *what, attempt_fn *attempt, const void *with)
{
    liz_error err = {0};
    if (attempt(with, &err) != LIZ_OK) /* what is made once for all is made now */
        fail_msg("%s: %s", what, err.text);
    size_t n_live = alloc_n_live(), n_files = n_open_files();
    long n = 1, n_errors = 0;
    for (bool hit = true; hit; n++) {
        memset(&err, 0, sizeof err);
        alloc_fail_at(n);
        liz_status status = attempt(with, &err);
        hit = alloc_fail_stop();
        n_errors += status != LIZ_OK;
        if (status != LIZ_OK && (!hit || err.code != status || err.text[0] == '\0' || status != LIZ_E_MEMORY))
            fail_msg("%s: request %ld refused: status %d, error %d: %s", what, n, status, err.code, err.text);
        if (alloc_n_live() != n_live)
            fail_msg("%s: request %ld refused: %zu pieces of memory are left", what, n, alloc_n_live() - n_live);
        if (n_open_files() != n_files)
            fail_msg("%s: request %ld refused: a file stays open", what, n);
        assert_true(n < TRIES_MAX);
    }
    printf("# %s: %ld requests, %ld errors\n", what, n - 2, n_errors);
    assert_true(n_errors > 0);
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

static void test_vocabularies(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        liz_vocab *vocab = NULL;
        refuse_each("opening a file", open_gguf, vocab_paths[i]);
        refuse_each("opening a vocabulary", open_vocab, vocab_paths[i]);
        assert_int_equal(liz_vocab_open(&vocab, vocab_paths[i], NULL), LIZ_OK);
        refuse_each("tokenising", use_vocab, vocab);
        liz_vocab_close(vocab);
    }
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

static const char rows[] =
    "{\"text\":\"a\",\"id\":1}\n{\"text\":\"ab ab\",\"id\":\"two\"}\n{\"text\":3}\n[]\n{\"text\":\"b\"}\n";

static void test_readers(void **state)
{
    (void)state;
    static const char csv[] = "text,id\n\"a \"\"b\"\"\",1\nplain,2\n";
    refuse_each("reading JSON", read_json, "{\"a\":[1,\"two\",{\"b\":null}],\"c\":\"\\u00e9\"}");
    refuse_each("reading JSONL", read_rows, temp_write("in.jsonl", rows, strlen(rows)));
    refuse_each("reading CSV", read_rows, temp_write("in.csv", csv, strlen(csv)));
    refuse_each("compiling a prompt", compile, "Say {{text}} and \\{{ then {{ b }}");
}

/* ---- The line ---- */

typedef struct line_case {
    const char *in_name, *in, *prompt;
    uint64_t half; /* rows that OUT has before */
    const char *out;
    size_t n_choices;
} line_case;

static const char *const choices[] = {"a", "ab", "b a"};

static liz_status run_line(const line_case *c, const char *out, uint64_t limit, liz_error *err)
{
    liz_line_opts opts;
    liz_line_report report;
    liz_line_opts_init(&opts);
    opts.model_path = model_path;
    opts.in_path = temp_path(c->in_name);
    opts.out_path = out;
    opts.prompt = c->prompt;
    opts.max_tokens = 3;
    opts.choices = choices;
    opts.n_choices = c->n_choices;
    opts.limit = limit;
    opts.engine = engine_opts;
    liz_status status = liz_line_run(&opts, &report, err);
    liz_line_report_free(&report);
    return status;
}

static char *out_read(const char *path)
{
    size_t n;
    char *out = file_read(path, &n);
    assert_non_null(out);
    return out;
}

/* What is refused within a row stops the line as well: an error row says what the row determines, and never that memory
 * was short. */
static void refuse_in_line(const line_case *c)
{
    char out[512], side[520];
    liz_error err;
    temp_write(c->in_name, c->in, strlen(c->in));
    snprintf(out, sizeof out, "%s", temp_path(c->out));
    snprintf(side, sizeof side, "%s.lizzie", out);
    if (run_line(c, out, 0, &err) != LIZ_OK)
        fail_msg("%s: %s", c->out, err.text);
    char *want = out_read(out);
    size_t n_live = alloc_n_live();
    long n = 1, n_errors = 0;
    for (bool hit = true; hit; n++) {
        unlink(out);
        unlink(side);
        if (c->half > 0)
            assert_int_equal(run_line(c, out, c->half, &err), LIZ_OK);
        alloc_fail_at(n);
        liz_status status = run_line(c, out, 0, &err);
        hit = alloc_fail_stop();
        n_errors += status != LIZ_OK;
        if (status != LIZ_OK && (status != LIZ_E_MEMORY || err.code != status || err.text[0] == '\0'))
            fail_msg("%s: request %ld refused: status %d, error %d: %s", c->out, n, status, err.code, err.text);
        if (run_line(c, out, 0, &err) != LIZ_OK)
            fail_msg("%s: request %ld refused: resume: %s", c->out, n, err.text);
        char *got = out_read(out);
        if (strcmp(got, want) != 0)
            fail_msg("%s: request %ld refused: other bytes:\n%s\n---\n%s", c->out, n, got, want);
        free(got);
        if (alloc_n_live() != n_live)
            fail_msg("%s: request %ld refused: %zu pieces of memory are left", c->out, n, alloc_n_live() - n_live);
    }
    printf("# %s: %ld requests, %ld errors\n", c->out, n - 2, n_errors);
    assert_true(n_errors > 50);
    free(want);
}

static void test_line(void **state)
{
    (void)state;
    static const char csv[] = "text,id\n\"a \"\"b\"\"\",1\nplain,2\nab,3\nshort\n";
    static const char openai[] =
        "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a "
        "b\",\"max_tokens\":"
        "2,\"stop\":[\"ab\"],\"logprobs\":1,\"logit_bias\":{\"3\":1}}}\n"
        "{\"custom_id\":\"b\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":[3,4,5]}}\n"
        "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\",\"n\":2}}\n";
    static const line_case cases[] = {{"rows.jsonl", rows, "a {{text}}", 0, "fresh", 0},
                                      {"rows.csv", csv, "a {{text}}", 2, "resumed", 0},
                                      {"openai.jsonl", openai, NULL, 0, "openai", 0},
                                      {"rows.jsonl", rows, "a {{text}}", 0, "choices", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_in_line(&cases[i]);
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
                                       cmocka_unit_test(test_engine), cmocka_unit_test(test_readers),
                                       cmocka_unit_test(test_line)};
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* hundreds of lines sync their files */
    return cmocka_run_group_tests(tests, files_make, NULL);
}
