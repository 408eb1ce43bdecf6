/* test_tune.c - tuning by examples: what the rows become, that they are learnt, and that threads, tiers, memory and
 * being stopped change no byte of the adapter. */
#include "../lib/temp_dir.h"
#include "train/tune.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char dreams[] = "../shared/reference/models/aidreams-260k.gguf";

static void need(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    fprintf(stderr, "# SKIPPED: %s is not there\n", path);
    skip();
}

/* ---- Rows ---- */

static liz_status add(liz_examples *e, const char *row, liz_error *err)
{
    liz_arena arena = {.size_max = 1 << 20};
    liz_json *json;
    liz_status status = liz_json_read(&json, liz_str_of(row), &arena, err);
    if (status == LIZ_OK)
        status = liz_examples_add(e, json, "rows.jsonl: line 1", err);
    liz_arena_free(&arena);
    return status;
}

/* The examples as texts, what is learnt in angle brackets. */
static const char *shown(const liz_examples *e, const liz_text_vocab *vocab)
{
    static char text[4096];
    int32_t tokens[512], targets[512];
    liz_segment segment;
    size_t n_segments;
    liz_buf out;
    liz_buf_init(&out, sizeof text);
    liz_feed feed = liz_examples_feed(e, 512);
    for (size_t i = 0; i < feed.n_items; i++) {
        size_t n = feed.get(feed.user, i, tokens, targets, &segment, &n_segments);
        bool was_learnt = false;
        assert_int_equal(segment.n, n);
        for (size_t t = 0; t < n; t++) {
            bool learnt = t > 0 && targets[t - 1] >= 0;
            assert_true(!learnt || targets[t - 1] == tokens[t]);
            if (learnt != was_learnt)
                liz_buf_puts(&out, learnt ? "[" : "]");
            was_learnt = learnt;
            liz_text_decode_token(vocab, tokens[t], false, true, &out);
        }
        liz_buf_puts(&out, was_learnt ? "]\n" : "\n");
    }
    snprintf(text, sizeof text, "%.*s", (int)out.len, out.data != NULL ? out.data : "");
    liz_buf_free(&out);
    return text;
}

typedef struct bench {
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_template *chat;
    liz_examples *examples;
} bench;

static bench bench_open(const char *chat, size_t n_tok_max)
{
    bench b = {0};
    liz_error err;
    if (liz_gguf_open(&b.gguf, dreams, &err) != LIZ_OK || liz_text_vocab_open(&b.vocab, b.gguf, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    if (chat != NULL) {
        const char *path = temp_write("chat.jinja", chat, strlen(chat));
        assert_int_equal(liz_template_open(&b.chat, path, &err), LIZ_OK);
    }
    assert_int_equal(liz_examples_open(&b.examples, b.vocab, b.chat, n_tok_max, &err), LIZ_OK);
    return b;
}

static void bench_close(bench *b)
{
    liz_examples_close(b->examples);
    liz_template_close(b->chat);
    liz_text_vocab_close(b->vocab);
    liz_gguf_close(b->gguf);
}

static void test_rows(void **state)
{
    (void)state;
    need(dreams);
    static const char keeps[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
                                "{% if add_generation_prompt %}<assistant>{% endif %}";
    /* Forgets what the assistant said before. */
    static const char forgets[] = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'user' or loop.last %}"
                                  "{{ m.content }}{% endif %}</s>{% endfor %}"
                                  "{% if add_generation_prompt %}<assistant>{% endif %}";
    static const struct {
        const char *chat, *row, *shown;
    } cases[] = {
        {NULL, "{\"prompt\":\"I dream\",\"completion\":\" of a </s>\"}", "<s> I dream[ of a </s></s>]\n"},
        {NULL, "{\"prompt\":\"\",\"completion\":\"dream\"}", "<s>[ dream</s>]\n"},
        {NULL, "{\"text\":\"I dream\"}", "<s>[ I dream</s>]\n"},
        {keeps,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
         "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}",
         " <user>a</s> <assistant>[b</s>] <user>c</s> <assistant>[d</s>]\n"},
        {forgets,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
         "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}",
         " <user>a</s> <assistant>[b</s>]\n <user>a</s> <assistant></s> <user>c</s> <assistant>[d</s>]\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = bench_open(cases[i].chat, 512);
        liz_error err;
        if (add(b.examples, cases[i].row, &err) != LIZ_OK)
            fail_msg("%s: %s", cases[i].row, err.text);
        assert_string_equal(shown(b.examples, b.vocab), cases[i].shown);
        bench_close(&b);
    }
}

static void test_bad_rows(void **state)
{
    (void)state;
    need(dreams);
    static const struct {
        const char *row;
        liz_status status;
        const char *says;
    } cases[] = {
        {"{\"prompt\":\"a\"}", LIZ_E_FORMAT, "no text \"completion\" to learn"},
        {"{\"prompt\":\"a\",\"completion\":7}", LIZ_E_FORMAT, "no text \"completion\" to learn"},
        {"{\"prompt\":7,\"completion\":\"a\"}", LIZ_E_FORMAT, "\"prompt\" is no text"},
        {"{\"label\":\"a\"}", LIZ_E_FORMAT, "neither \"prompt\" and \"completion\""},
        {"[1]", LIZ_E_FORMAT, "no JSON object"},
        {"{\"messages\":[]}", LIZ_E_FORMAT, "no message is the assistant's"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", LIZ_E_FORMAT, "no message is the assistant's"},
        {"{\"messages\":[{\"content\":\"a\"}]}", LIZ_E_FORMAT, "no \"role\""},
        {"{\"messages\":7}", LIZ_E_FORMAT, "not a list"},
        {"{\"prompt\":\"In the quiet of the night I dream of many things and more\",\"completion\":\"a\"}", LIZ_E_LIMIT,
         "at most 12 are possible"},
    };
    bench b = bench_open("{{ messages[0].content }}", 12);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_error err = {0};
        assert_int_equal(add(b.examples, cases[i].row, &err), cases[i].status);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, "rows.jsonl: line 1: ") == NULL)
            fail_msg("%s: \"%s\"", cases[i].row, err.text);
    }
    bench_close(&b);
    b = bench_open(NULL, 12);
    liz_error err;
    assert_int_equal(add(b.examples, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}", &err),
                     LIZ_E_UNSUPPORTED);
    bench_close(&b);
}

/* ---- Tuning ---- */

enum { N_ROWS = 24 };

/* Four questions, each asked in six ways, and an answer for each. */
static liz_status read_rows(void *user, liz_examples *to, bool valid, bool has_chat, liz_error *err)
{
    static const char *const answers[] = {" blue", " seven", " Monday", " rain"};
    static const char *const asked[] = {"colour", "number", "day", "weather"};
    (void)user, (void)has_chat;
    liz_status status = LIZ_OK;
    for (int i = 0; i < N_ROWS && !valid && status == LIZ_OK; i++) {
        char row[256];
        snprintf(row, sizeof row, "{\"prompt\":\"%d: The %s is\",\"completion\":\"%s\"}", i / 4, asked[i % 4],
                 answers[i % 4]);
        status = add(to, row, err);
    }
    return status;
}

typedef struct job {
    liz_course_opts common;
    liz_tune_opts tune;
    atomic_int stop;
    uint64_t stop_after; /* steps; 0: never */
    double first, last, best;
    uint64_t n_steps, memory;
} job;

static void on_event(void *user, liz_train_event event, const liz_train_progress *p)
{
    job *j = user;
    if (event == LIZ_TRAIN_PLANNED)
        j->memory = p->memory_bytes;
    if (event == LIZ_TRAIN_STEPPED) {
        j->first = p->state->step == 1 ? p->point->loss : j->first;
        j->last = p->point->loss;
        j->n_steps++;
        j->stop = j->stop_after > 0 && p->state->step >= j->stop_after;
    }
    if (event == LIZ_TRAIN_FINISHED && !p->was_finished)
        j->best = p->state->best_valid;
}

static job job_of(const char *out)
{
    job j = {0};
    liz_course_opts_init(&j.common);
    liz_tune_opts_init(&j.tune, &j.common);
    j.common.epochs = 16;
    j.common.batch = 8;
    j.common.rate = 1e-2;
    j.common.n_threads = 2;
    j.tune.model = dreams;
    j.tune.out = out;
    j.tune.rank = 8;
    j.tune.valid_share = 0.2;
    liz_tune_defaults(&j.common);
    return j;
}

static liz_status run(job *j, liz_error *err)
{
    j->tune.common = &j->common;
    j->common.stop = &j->stop;
    return liz_tune(&j->tune, liz_files_system(), read_rows, on_event, j, err);
}

static void assert_same(const char *a, const char *b)
{
    size_t n, n_other;
    char *bytes = file_read(a, &n), *others = file_read(b, &n_other);
    assert_non_null(bytes);
    assert_non_null(others);
    assert_int_equal(n, n_other);
    assert_memory_equal(bytes, others, n);
    free(bytes);
    free(others);
}

/* What a model says to the prompt, greedily. */
typedef struct answer {
    char text[256];
    size_t n;
} answer;

static void on_answer(void *user, const liz_event *event)
{
    answer *a = user;
    assert_true(a->n + event->n_text < sizeof a->text);
    memcpy(a->text + a->n, event->text, event->n_text);
    a->n += event->n_text;
}

static void ask(const char *model, const char *adapter, const char *prompt, answer *a)
{
    liz_engine *engine;
    liz_error err;
    liz_seq *seq;
    liz_lora lora = {.path = adapter};
    int32_t *tokens;
    size_t n;
    memset(a, 0, sizeof *a);
    if (liz_engine_open(&engine, model, &(liz_engine_opts){.loras = &lora, .n_loras = adapter != NULL}, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    const liz_vocab *vocab = liz_engine_vocab(engine);
    assert_int_equal(liz_tokenize(vocab, prompt, strlen(prompt), LIZ_TOKENIZE_AFFIXES, &tokens, &n, &err), LIZ_OK);
    liz_request request = {.tokens = tokens, .n_tokens = n, .n_predict_max = 8, .on_event = on_answer, .user = a};
    assert_int_equal(liz_submit(engine, &request, &seq, &err), LIZ_OK);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    liz_free(tokens);
    liz_engine_close(engine);
}

static void test_learns(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    answer a;
    const char *out = temp_path("a.gguf"), *merged = temp_path("merged.gguf");
    job j = job_of(out);
    if (run(&j, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    printf("# loss of a target %.3f before, %.3f after %d steps; best of validation %.3f\n", j.first, j.last,
           (int)j.n_steps, j.best);
    assert_true(j.last < 0.2 * j.first);
    assert_true(j.best < 1);
    ask(dreams, out, "7: The day is", &a); /* which was not among the rows */
    assert_string_equal(a.text, " Monday");
    ask(dreams, NULL, "7: The day is", &a);
    assert_string_not_equal(a.text, " Monday");
    liz_lora lora = {.path = out};
    assert_int_equal(liz_merge(dreams, merged, &(liz_merge_opts){.loras = &lora, .n_loras = 1}, &err), LIZ_OK);
    ask(merged, NULL, "7: The weather is", &a);
    assert_string_equal(a.text, " rain");
    assert_int_not_equal(access(temp_path("a.gguf.best"), F_OK), 0);
    assert_int_not_equal(access(temp_path("a.gguf.checkpoint"), F_OK), 0);
    /* Finished: nothing is done again, and another setting is refused. */
    job again = job_of(out);
    assert_int_equal(run(&again, &err), LIZ_OK);
    assert_int_equal(again.n_steps, 0);
}

static void test_same_bytes(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    const char *out = temp_path("b.gguf"), *other = temp_path("c.gguf");
    job j = job_of(out);
    j.common.epochs = 4;
    assert_int_equal(run(&j, &err), LIZ_OK);
    /* Threads and tier. */
    job k = job_of(other);
    k.common.epochs = 4;
    k.common.n_threads = 3;
    setenv("LIZZIE_ISA", "avx2", 1);
    assert_int_equal(run(&k, &err), LIZ_OK);
    unsetenv("LIZZIE_ISA");
    assert_same(out, other);
    /* Less memory: frozen weights are decoded in every step; little: layers are computed twice. */
    size_t n;
    free(file_read(dreams, &n));
    uint64_t least = j.memory, room = 2 * (j.memory + n) - 1;
    for (int i = 0; i < 2; i++) {
        job l = job_of(other);
        l.common.epochs = 4;
        l.common.restart = true;
        l.tune.memory_max_bytes = room;
        if (run(&l, &err) != LIZ_OK)
            fail_msg("%s", err.text);
        assert_true(l.memory < least);
        assert_same(out, other);
        least = l.memory;
        room = least + n - 1;
    }
    /* Stopped again and again. */
    job m = job_of(other);
    m.common.epochs = 4;
    m.common.restart = true;
    uint64_t n_runs = 0;
    for (m.stop_after = 2; run(&m, &err) == LIZ_E_CANCELLED; m.stop_after += 3, m.stop = 0) {
        n_runs++;
        m.common.restart = false;
    }
    assert_int_equal(err.code == LIZ_OK || err.code == LIZ_E_CANCELLED, 1);
    assert_true(n_runs >= 2);
    assert_same(out, other);
}

static void test_refused(void **state)
{
    (void)state;
    need(dreams);
    liz_error err;
    job j = job_of(temp_path("d.gguf"));
    j.tune.memory_max_bytes = 1 << 20;
    assert_int_equal(run(&j, &err), LIZ_E_MEMORY);
    assert_non_null(strstr(err.text, "--memory"));
    j.tune.memory_max_bytes = 0;
    j.tune.targets = "q,z";
    assert_int_equal(run(&j, &err), LIZ_E_USAGE);
    assert_int_not_equal(access(temp_path("d.gguf"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_bad_rows),
                                       cmocka_unit_test(test_learns), cmocka_unit_test(test_same_bytes),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
