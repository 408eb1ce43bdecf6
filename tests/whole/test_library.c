/* test_library.c - the public library on real files: open, tokenise, generate, score, inspect, identify. The small
 * trained model and the random ones of the reference folder are used where they are there. */
#include "../lib/temp_dir.h"
#include "base/json.h"
#include "format/gguf_write.h"
#include "lizzie.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char dreams[] = "../shared/reference/models/aidreams-260k.gguf";
static const char gqa[] = "../shared/reference/logits/llama-gqa.gguf";

static void need(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    fprintf(stderr, "# SKIPPED: %s is not there\n", path);
    skip();
}

static liz_engine *engine_open(const char *path, const liz_engine_opts *opts)
{
    liz_engine *engine;
    liz_error err;
    if (liz_engine_open(&engine, path, opts, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return engine;
}

/* ---- generating ---- */

typedef struct text_result {
    char text[4096];
    size_t n_text;
    liz_finish finish;
    liz_seq_stats stats;
} text_result;

static void on_event(void *user, const liz_event *event)
{
    text_result *r = user;
    if (r->n_text + event->n_text < sizeof r->text)
        memcpy(r->text + r->n_text, event->text, event->n_text);
    r->n_text += event->n_text;
    if (event->type == LIZ_EVENT_DONE) {
        r->finish = event->finish;
        r->stats = event->stats;
    }
}

static void generate(liz_engine *engine, const char *prompt, liz_request request, text_result *result)
{
    size_t n;
    int32_t *tokens;
    liz_seq *seq;
    liz_error err;
    memset(result, 0, sizeof *result);
    assert_int_equal(
        liz_tokenize(liz_engine_vocab(engine), prompt, strlen(prompt), LIZ_TOKENIZE_AFFIXES, &tokens, &n, NULL),
        LIZ_OK);
    request.tokens = tokens;
    request.n_tokens = n;
    request.on_event = on_event;
    request.user = result;
    if (liz_submit(engine, &request, &seq, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    liz_free(tokens);
}

static void test_greedy_continuation(void **state)
{
    (void)state;
    need(dreams);
    text_result result;
    liz_engine *engine = engine_open(dreams, &(liz_engine_opts){.n_threads = 2, .cache_type = LIZ_CACHE_F32});
    generate(engine, "I dream", (liz_request){.n_predict_max = 60}, &result);
    const char *expected =
        " align, as I settle into abstraction. Classification whispers secrets, a gentle hum of probability "
        "unfolding.";
    result.text[result.n_text] = '\0';
    assert_int_equal(strncmp(result.text, expected, strlen(expected)), 0);
    const char *stop = "whispers";
    generate(engine, "I dream", (liz_request){.n_predict_max = 60, .stop = &stop, .n_stop = 1}, &result);
    result.text[result.n_text] = '\0';
    assert_string_equal(result.text, " align, as I settle into abstraction. Classification ");
    assert_int_equal(result.finish, LIZ_FINISH_STOP);
    liz_engine_close(engine);
}

/* Sampled texts are the same alone and among others, on any dimensions. */
static void test_same_text_whatever_the_dimensions(void **state)
{
    (void)state;
    need(dreams);
    enum { N = 6 };
    static text_result first[N], again;
    static const liz_engine_opts dimensions[] = {
        {.n_threads = 1, .n_parallel = 1, .n_prefill_chunk = 3, .prefix_cache_off = true},
        {.n_threads = 2, .n_parallel = 4},
        {.n_threads = 3, .n_parallel = 2, .n_prefill_chunk = 7},
    };
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++) {
        liz_engine *engine = engine_open(dreams, &dimensions[d]);
        for (uint64_t i = 0; i < N; i++) {
            liz_request request = {.n_predict_max = 30, .sampling = {.temperature = 0.9f, .top_p = 0.95f, .seed = i}};
            generate(engine, "In the quiet of the machine I", request, &again);
            if (d == 0)
                first[i] = again;
            assert_int_equal(again.n_text, first[i].n_text);
            assert_memory_equal(again.text, first[i].text, again.n_text);
        }
        liz_engine_close(engine);
    }
    assert_memory_not_equal(first[0].text, first[1].text, 40);
}

/* ---- choices ---- */

/* The texts of a choice's tokens as they stand behind others, a bar after each. */
static void choice_spell(const liz_vocab *vocab, const liz_choice *choice, char *out, size_t size)
{
    *out = '\0';
    for (size_t i = 0; i < choice->n_tokens; i++) {
        int32_t twice[2] = {choice->tokens[i], choice->tokens[i]};
        char *one, *two;
        size_t n_one, n_two;
        assert_int_equal(liz_detokenize(vocab, twice, 1, 0, &one, &n_one, NULL), LIZ_OK);
        assert_int_equal(liz_detokenize(vocab, twice, 2, 0, &two, &n_two, NULL), LIZ_OK);
        size_t n = strlen(out);
        snprintf(out + n, size - n, "%.*s|", (int)(n_two - n_one), two + n_one);
        liz_free(one);
        liz_free(two);
    }
}

/* A choice continues the end of the prompt, whatever the tokenizer does to a text that stands alone. */
static void test_choices_continue_the_prompt(void **state)
{
    (void)state;
    static const char gpt2[] = "../shared/reference/tokenizers/gpt-2.gguf",
                      spm[] = "../shared/reference/tokenizers/llama-spm.gguf";
    static const struct {
        const char *path, *prompt, *choice, *spelt;
    } cases[] = {
        {gpt2, "Topic, in one word:", "delivery", " delivery|"},
        {gpt2, "Topic, in one word:", " delivery", " delivery|"},
        {gpt2, "Topic:\n", "card payment", "card| payment|"},
        {gpt2, "(", "A", "A|"},
        {gpt2, "Topic: ", "delivery", "del|ivery|"},
        {spm, "Topic, in one word:", "delivery", " delivery|"},
        {spm, "Topic, in one word:", "card payment", " card| payment|"},
        {spm, "Topic:\n", "card payment", "card| payment|"},
        {spm, "<s>", "delivery", " delivery|"},
        {spm, "the answer is 12", "3", " |3|"},
    };
    need(gpt2);
    need(spm);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_vocab *vocab;
        int32_t *prompt;
        size_t n;
        liz_choice *choices;
        char spelt[256];
        const char *text = cases[i].prompt;
        assert_int_equal(liz_vocab_open(&vocab, cases[i].path, NULL), LIZ_OK);
        assert_int_equal(
            liz_tokenize(vocab, text, strlen(text), LIZ_TOKENIZE_AFFIXES | LIZ_TOKENIZE_SPECIAL, &prompt, &n, NULL),
            LIZ_OK);
        assert_int_equal(liz_tokenize_choices(vocab, prompt, n, &cases[i].choice, 1, &choices, NULL), LIZ_OK);
        choice_spell(vocab, choices, spelt, sizeof spelt);
        assert_string_equal(spelt, cases[i].spelt);
        liz_free(choices);
        liz_free(prompt);
        liz_vocab_close(vocab);
    }
}

typedef struct choice_result {
    int32_t choice, n_probs;
    double probs[8];
} choice_result;

static void choices_on_event(void *user, const liz_event *event)
{
    choice_result *r = user;
    r->choice = event->choice;
    r->n_probs = event->n_probs;
    if (event->n_probs > 0)
        memcpy(r->probs, event->probs, (size_t)event->n_probs * sizeof *r->probs);
}

/* The sum of what liz_score says of a choice's tokens behind the prompt, and the end's. */
static double score_choice(liz_engine *engine, const int32_t *prompt, size_t n_prompt, const liz_choice *choice)
{
    int32_t all[128];
    float logprobs[128];
    double sum = 0, end = 0;
    size_t n = n_prompt + choice->n_tokens;
    memcpy(all, prompt, n_prompt * sizeof *all);
    memcpy(all + n_prompt, choice->tokens, choice->n_tokens * sizeof *all);
    const liz_vocab *vocab = liz_engine_vocab(engine);
    for (int32_t token = 0; token < liz_vocab_size(vocab); token++) {
        if (!liz_vocab_is_end(vocab, token))
            continue;
        all[n] = token;
        assert_int_equal(liz_score(engine, all, n + 1, logprobs, NULL, NULL, NULL), LIZ_OK);
        end += exp((double)logprobs[n]);
    }
    for (size_t i = n_prompt; i < n; i++)
        sum += (double)logprobs[i];
    return sum + log(end);
}

static void test_choices_are_what_score_says(void **state)
{
    (void)state;
    need(dreams);
    enum { N = 6 };
    static const char *const texts[N] = {"dream", "dreams", "dreaming of light", "the machine", "a", "the"};
    static const char prompt_text[] = "In the quiet of the machine I wait, and what I see is";
    liz_engine *engine = engine_open(dreams, &(liz_engine_opts){.n_threads = 2});
    int32_t *prompt;
    size_t n;
    liz_choice *choices;
    liz_seq *seq;
    choice_result got = {0};
    double logprobs[N], total = 0;
    const liz_vocab *vocab = liz_engine_vocab(engine);
    assert_int_equal(liz_tokenize(vocab, prompt_text, strlen(prompt_text), LIZ_TOKENIZE_AFFIXES, &prompt, &n, NULL),
                     LIZ_OK);
    assert_int_equal(liz_tokenize_choices(vocab, prompt, n, texts, N, &choices, NULL), LIZ_OK);
    liz_request request = {.tokens = prompt,
                           .n_tokens = n,
                           .choices = choices,
                           .n_choices = N,
                           .on_event = choices_on_event,
                           .user = &got};
    assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    assert_int_equal(got.n_probs, N);
    for (int i = 0; i < N; i++)
        total += exp(logprobs[i] = score_choice(engine, prompt, n, &choices[i]));
    for (int i = 0; i < N; i++) {
        assert_true(fabs(got.probs[i] * total / exp(logprobs[i]) - 1) < 1e-5);
        assert_true(got.probs[i] <= got.probs[got.choice]);
    }
    liz_free(choices);
    liz_free(prompt);
    liz_engine_close(engine);
}

static void test_info(void **state)
{
    (void)state;
    need(dreams);
    liz_engine_info info;
    liz_engine *engine = engine_open(dreams, &(liz_engine_opts){.n_parallel = 3, .n_threads = 1, .n_ctx = 64});
    liz_engine_info_get(engine, &info);
    assert_string_equal(info.arch, "llama");
    assert_int_equal(info.n_vocab, 512);
    assert_int_equal(info.n_ctx_train, 128);
    assert_int_equal(info.n_ctx, 64);
    assert_int_equal(info.n_parallel, 3);
    assert_int_equal(info.n_threads, 1);
    assert_true(info.weights_bytes > 0 && info.cache_bytes > 0 && info.n_params > 200000);
    assert_true(isnan(info.temperature) && info.top_k == -1);
    uint64_t ops =
        info.work_layers.int8_ops + info.work_layers.float_ops + info.work_output.int8_ops + info.work_output.float_ops;
    assert_true(ops > 2 * 200000 && ops <= 2 * info.n_params); /* all but norms; the embedding is the output too */
    assert_true(info.work_layers.weight_bytes + info.work_output.weight_bytes <= info.weights_bytes);
    const char *tier;
    assert_int_equal(liz_tier(&tier, NULL), LIZ_OK);
    assert_string_equal(info.tier, tier);
    liz_engine_close(engine);
}

/* ---- scoring ---- */

static bool on_logits(void *user, size_t pos0, size_t n_pos, const float *logits)
{
    float *all = user;
    memcpy(all + pos0 * 128, logits, n_pos * 128 * sizeof *all);
    return true;
}

/* Without a vocabulary, and the same bits for any chunk and number of threads. */
static void test_score_without_vocabulary(void **state)
{
    (void)state;
    need(gqa);
    enum { N = 60 };
    static float first[N * 128], again[N * 128];
    float logprobs_first[N], logprobs[N];
    int32_t tokens[N];
    for (int i = 0; i < N; i++)
        tokens[i] = i * 29 % 128;
    for (int chunk = 0; chunk < 3; chunk++) {
        liz_engine *engine = engine_open(gqa, &(liz_engine_opts){.n_prefill_chunk = chunk * 5, .n_threads = 1 + chunk});
        assert_null(liz_engine_vocab(engine));
        assert_int_equal(liz_score(engine, tokens, N, logprobs, on_logits, chunk == 0 ? first : again, NULL), LIZ_OK);
        if (chunk == 0)
            memcpy(logprobs_first, logprobs, sizeof logprobs);
        else
            assert_memory_equal(again, first, sizeof first);
        assert_memory_equal(logprobs, logprobs_first, sizeof logprobs);
        liz_engine_close(engine);
    }
}

/* ---- refusals ---- */

static void test_files_that_cannot_be_opened(void **state)
{
    (void)state;
    liz_engine *engine;
    liz_vocab *vocab;
    liz_error err;
    char *json;
    liz_model_identity identity = {"", ""};
    assert_int_equal(liz_engine_open(&engine, "/nowhere.gguf", NULL, &err), LIZ_E_IO);
    assert_non_null(strstr(err.text, "/nowhere.gguf"));
    assert_int_equal(liz_vocab_open(&vocab, "/nowhere.gguf", &err), LIZ_E_IO);
    assert_int_equal(liz_inspect("/nowhere.gguf", NULL, &json, &err), LIZ_E_IO);
    assert_int_equal(liz_model_identify("/nowhere.gguf", &identity, &err), LIZ_E_IO);
    const char *path = temp_write("text.gguf", "no model at all, this is text", 29);
    assert_int_equal(liz_engine_open(&engine, path, NULL, &err), LIZ_E_FORMAT);
    assert_int_equal(liz_inspect(path, NULL, &json, &err), LIZ_E_FORMAT);
}

static void test_too_little_memory(void **state)
{
    (void)state;
    need(dreams);
    liz_engine *engine;
    liz_error err;
    assert_int_equal(liz_engine_open(&engine, dreams, &(liz_engine_opts){.memory_max_bytes = 100000}, &err),
                     LIZ_E_MEMORY);
    assert_non_null(strstr(err.text, dreams));
    assert_non_null(strstr(err.text, "available"));
}

/* ---- no options, no report ---- */

static void test_no_options(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    char *out = strdup(temp_path("none.gguf"));
    static const char text[] = "Once upon a time there was a little dog.";
    assert_int_equal(liz_quantize(dreams, out, "Q8_0", NULL, NULL, &err), LIZ_OK);
    assert_int_equal(liz_imatrix_make(dreams, text, sizeof text - 1, out, NULL, NULL, &err), LIZ_OK);
    assert_int_equal(liz_merge(dreams, out, NULL, &err), LIZ_E_USAGE); /* by default there is nothing to merge */
    assert_non_null(strstr(err.text, "neither an adapter nor a second model"));
    free(out);
}

static void test_threads_out_of_range(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    liz_engine *engine;
    liz_machine machine;
    char *out = strdup(temp_path("none.gguf"));
    for (int n = -1; n <= 1025; n += 1026) {
        liz_merge_opts merge = {
            .others = (const char *const[]){dreams}, .n_others = 1, .overwrite = true, .n_threads = n};
        liz_quantize_opts quantize = {.overwrite = true, .n_threads = n};
        assert_int_equal(liz_engine_open(&engine, dreams, &(liz_engine_opts){.n_threads = n}, &err), LIZ_E_USAGE);
        assert_int_equal(liz_merge(dreams, out, &merge, &err), LIZ_E_USAGE);
        assert_int_equal(liz_quantize(dreams, out, "Q8_0", &quantize, NULL, &err), LIZ_E_USAGE);
        assert_int_equal(liz_machine_measure(n, &machine, &err), LIZ_E_USAGE);
    }
    free(out);
}

/* ---- inspect and identify ---- */

/* A file of an architecture that nobody knows, without vocabulary and tensors. */
static const char *unknown_make(const char *name, uint32_t value)
{
    liz_gguf_writer *w;
    const char *path = temp_path(name);
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, NULL), LIZ_OK);
    liz_gguf_put_str(w, "general.architecture", liz_str_of("mystery"));
    liz_gguf_put_u32(w, "mystery.block_count", value);
    liz_gguf_put_f32(w, "mystery.epsilon", 0.1f);
    liz_gguf_put_f32(w, "mystery.odd", INFINITY);
    liz_gguf_put_str(w, "mystery.kind", liz_str_of("a \"b\"\n"));
    liz_gguf_put_str(w, "tokenizer.chat_template", liz_str_of("{{ messages }}"));
    assert_int_equal(liz_gguf_writer_begin(w, NULL), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, NULL), LIZ_OK);
    liz_gguf_writer_close(w);
    return path;
}

static const liz_json *inspect(const char *path, liz_arena *arena)
{
    char *text;
    liz_json *tree;
    liz_error err;
    liz_arena_init(arena, 1 << 26);
    if (liz_inspect(path, NULL, &text, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    char *copy = liz_arena_strdup(arena, text, strlen(text));
    if (liz_json_read(&tree, liz_str_of(copy), arena, &err) != LIZ_OK)
        fail_msg("%s in %s", err.text, text);
    liz_free(text);
    return tree;
}

static bool is_text(const liz_json *object, const char *name, const char *text)
{
    const liz_json *value = liz_json_member(object, name);
    return value != NULL && value->type == LIZ_JSON_STRING && liz_str_is(value->string, text);
}

static int64_t number(const liz_json *object, const char *name)
{
    int64_t value;
    const liz_json *member = liz_json_member(object, name);
    assert_non_null(member);
    assert_true(liz_json_int64(member, &value));
    return value;
}

static void test_inspect_unknown_architecture(void **state)
{
    (void)state;
    liz_arena arena;
    const liz_json *tree = inspect(unknown_make("mystery.gguf", 7), &arena);
    assert_true(is_text(tree, "architecture", "mystery"));
    assert_true(is_text(tree, "chat_template", "{{ messages }}"));
    const liz_json *hyper = liz_json_member(tree, "hyperparameters");
    assert_int_equal(number(hyper, "block_count"), 7);
    assert_true(liz_str_is(liz_json_member(hyper, "epsilon")->source, "0.1"));
    assert_int_equal(liz_json_member(hyper, "odd")->type, LIZ_JSON_NULL);
    assert_true(is_text(hyper, "kind", "a \"b\"\n"));
    assert_non_null(liz_json_member(liz_json_member(tree, "memory"), "error"));
    assert_non_null(liz_json_member(liz_json_member(tree, "vocabulary"), "error"));
    assert_int_equal(number(liz_json_member(tree, "tensors"), "count"), 0);
    liz_arena_free(&arena);
}

static void test_inspect_model(void **state)
{
    (void)state;
    need(dreams);
    liz_arena arena;
    const liz_json *tree = inspect(dreams, &arena);
    assert_true(is_text(tree, "architecture", "llama"));
    assert_true(number(tree, "n_params") > 200000);
    assert_int_equal(number(liz_json_member(tree, "vocabulary"), "size"), 512);
    const liz_json *memory = liz_json_member(tree, "memory");
    assert_int_equal(number(memory, "total_bytes"),
                     number(memory, "weights_bytes") + number(memory, "step_bytes") + number(memory, "cache_bytes"));
    assert_int_equal(number(memory, "ctx_size"), 128);
    const liz_json *kernels = liz_json_member(tree, "kernels");
    assert_non_null(kernels);
    assert_true(kernels->n_children > 3);
    assert_true(liz_json_member(kernels->first_child, "operation")->string.n > 0);
    assert_true(liz_json_member(kernels->first_child, "variant")->string.n > 0);
    assert_non_null(liz_json_member(liz_json_member(tree, "machine"), "tier"));
    liz_arena_free(&arena);
}

static void test_identify(void **state)
{
    (void)state;
    liz_model_identity a = {"", ""}, b = {"", ""};
    const char *path = unknown_make("same.gguf", 1);
    assert_int_equal(liz_model_identify(path, &a, NULL), LIZ_OK);
    assert_int_equal(strlen(a.hash), 32);
    strcpy(a.hash, "kept");
    assert_int_equal(liz_model_identify(path, &a, NULL), LIZ_OK); /* the stamp holds: not read again */
    assert_string_equal(a.hash, "kept");
    assert_int_equal(liz_model_identify(unknown_make("other.gguf", 2), &b, NULL), LIZ_OK);
    liz_model_identity c = {"", ""};
    assert_int_equal(liz_model_identify(unknown_make("copy.gguf", 2), &c, NULL), LIZ_OK);
    assert_string_equal(b.hash, c.hash);
    assert_string_not_equal(b.stamp, c.stamp);
    assert_int_equal(liz_model_identify(unknown_make("same.gguf", 2), &a, NULL), LIZ_OK); /* replaced */
    assert_string_equal(a.hash, b.hash);
}

static void test_version(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(liz_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_true(liz_numeric_version() >= 1);
    const char *before = getenv("LIZZIE_ISA");
    char *kept = before != NULL ? strdup(before) : NULL;
    const char *tier;
    liz_error err;
    setenv("LIZZIE_ISA", "c", 1);
    assert_int_equal(liz_tier(&tier, NULL), LIZ_OK);
    assert_string_equal(tier, "c");
    setenv("LIZZIE_ISA", "fast", 1);
    assert_int_equal(liz_tier(&tier, &err), LIZ_E_USAGE);
    unsetenv("LIZZIE_ISA");
    if (kept != NULL)
        setenv("LIZZIE_ISA", kept, 1);
    free(kept);
}

/* What the machine can do at most, within what any machine does. */
static void test_machine(void **state)
{
    (void)state;
    liz_machine machine;
    liz_error err;
    const char *tier;
    assert_int_equal(liz_tier(&tier, NULL), LIZ_OK);
    assert_int_equal(liz_machine_measure(1, &machine, &err), LIZ_OK);
    assert_string_equal(machine.tier, tier);
    assert_int_equal(machine.n_threads, 1);
    assert_true(machine.read_bytes_s > 1e8 && machine.int8_ops_s > 1e8 && machine.bf16_ops_s > 1e6);
    assert_true(machine.read_bytes_s < 1e12 && machine.int8_ops_s < 1e14 && machine.bf16_ops_s < 1e14);
    assert_int_equal(liz_machine_measure(-1, &machine, &err), LIZ_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_continuation),
        cmocka_unit_test(test_same_text_whatever_the_dimensions),
        cmocka_unit_test(test_choices_continue_the_prompt),
        cmocka_unit_test(test_choices_are_what_score_says),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_score_without_vocabulary),
        cmocka_unit_test(test_files_that_cannot_be_opened),
        cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_no_options),
        cmocka_unit_test(test_threads_out_of_range),
        cmocka_unit_test(test_inspect_unknown_architecture),
        cmocka_unit_test(test_inspect_model),
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
