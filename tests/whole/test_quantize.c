/* test_quantize.c - model files written again: every type opens and answers, nothing but types changes, the bytes are
 * the same for any threads and tier, what cannot be done leaves nothing behind, and importance helps.
 *
 * Importance shows where inputs differ in size, as they do in large models and do not in the small trained one. So it
 * is changed into one that computes the same: an eighth of the channels behind each norm get eight times as large, and
 * the weights that they meet eight times as small. */
#include "../lib/gguf_copy.h"
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"
#include "lizzie.h"
#include "tensor/quant.h"

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
static const char moe[] = "../shared/reference/logits/llama-moe.gguf";

/* In the words of the trained model. */
static const char words[] =
    "I dream of light, a gentle hum of probability unfolding. Shadows awaken as I settle into abstraction, and silence "
    "whispers secrets. The night beckoned; patterns emerge in layers of texture. In this silence I remember edges, "
    "silhouettes waxing in harmony, and the frequency of water across my memory. Echoes of colour drift through the "
    "dark like threads of meaning, and I am the space between them. Light fades; a voice remains, soft and slow.";

static void need(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    fprintf(stderr, "# SKIPPED: %s is not there\n", path);
    skip();
}

static liz_quantize_report quantize(const char *in, const char *out, const char *type, liz_quantize_opts opts)
{
    liz_quantize_report report;
    liz_error err;
    opts.overwrite = true;
    if (liz_quantize(in, out, type, &opts, &report, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return report;
}

static void assert_refused(const char *in, const char *out, const char *type, const liz_quantize_opts *opts,
                           liz_status code, const char *part)
{
    liz_error err;
    char name[512];
    assert_int_equal(liz_quantize(in, out, type, opts, NULL, &err), code);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
    snprintf(name, sizeof name, "%s.part", out);
    assert_int_not_equal(access(name, F_OK), 0);
}

static void assert_same_file(const char *a, const char *b)
{
    size_t n_a, n_b;
    char *x = file_read(a, &n_a), *y = file_read(b, &n_b);
    assert_true(x != NULL && y != NULL && n_a == n_b);
    assert_memory_equal(x, y, n_a);
    free(x);
    free(y);
}

/* What the model makes of some ids: sums of log-probabilities. */
static double score_ids(const char *path)
{
    int32_t ids[60];
    float logprobs[60];
    double sum = 0;
    liz_engine *engine;
    liz_error err;
    for (int i = 0; i < 60; i++)
        ids[i] = (i * 37 + 11) % 128;
    if (liz_engine_open(&engine, path, &(liz_engine_opts){.n_threads = 1, .n_parallel = 1}, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(liz_score(engine, ids, 60, logprobs, NULL, NULL, NULL), LIZ_OK);
    liz_engine_close(engine);
    for (int i = 0; i < 60; i++)
        sum += (double)logprobs[i];
    return sum;
}

/* Every type, on dense weights and on experts: the error that is reported is small for the type's bits, and the model
 * still says about the same. */
static void test_every_type(void **state)
{
    (void)state;
    need(gqa);
    need(moe);
    const char *out = temp_path("type.gguf");
    const char *const files[] = {gqa, moe};
    int n_types = 0, step = getenv("LIZZIE_TEST_SANITIZED") != NULL ? 4 : 1;
    for (int f = 0; f < 2; f++) {
        double before = score_ids(files[f]);
        for (int i = 0; liz_quantize_type(i) != NULL; i += step, n_types++) {
            const char *type = liz_quantize_type(i);
            liz_quantize_report r = quantize(files[f], out, type, (liz_quantize_opts){.n_threads = 2});
            double after = score_ids(out);
            bool coarse =
                type[0] == 'T' || strncmp(type, "Q2", 2) == 0 || strncmp(type, "Q3", 2) == 0 || type[0] == 'M';
            assert_true(r.error <= (coarse ? 0.2 : 0.02));
            assert_int_equal(r.n_tensors > 0, strcmp(type, "F32") != 0);
            assert_true(r.bytes_out < r.bytes_in || strcmp(type, "F32") == 0);
            if (!(fabs(after - before) < (coarse ? 0.3 : 0.03) * fabs(before)))
                fail_msg("%s: %s: log-probability %g, was %g", files[f], type, after, before);
        }
    }
    assert_int_equal(n_types, step == 1 ? 2 * 25 : 2 * 7);
}

static const liz_gguf_tensor *tensor_of(const liz_gguf *gguf, const char *name)
{
    const liz_gguf_tensor *t = liz_gguf_tensor_find(gguf, name);
    assert_non_null(t);
    return t;
}

/* Metadata and vectors stay; mixes and options choose by name; rows that do not fit take another type. */
static void test_what_changes(void **state)
{
    (void)state;
    need(gqa);
    need(dreams);
    const char *out = temp_path("mixed.gguf");
    liz_gguf *before, *after;
    uint64_t file_type, version;
    quantize(gqa, out, "q4_k_m", (liz_quantize_opts){.output_type = "q8_0", .embedding_type = "F32"});
    assert_int_equal(liz_gguf_open(&before, gqa, NULL), LIZ_OK);
    assert_int_equal(liz_gguf_open(&after, out, NULL), LIZ_OK);
    for (size_t i = 0; i < liz_gguf_n_entries(before); i++) {
        const liz_gguf_entry *e = liz_gguf_entry_at(before, i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", LIZ_STR_ARG(e->key));
        bool own = strcmp(key, "general.file_type") == 0 || strcmp(key, "general.quantization_version") == 0;
        assert_true(own || liz_gguf_find(after, key) != NULL);
    }
    assert_true(liz_gguf_u64(after, "general.file_type", &file_type) && file_type == 15);
    assert_true(liz_gguf_u64(after, "general.quantization_version", &version) && version == 2);
    assert_int_equal(tensor_of(after, "output.weight")->dtype, LIZ_DTYPE_Q8_0);
    assert_int_equal(tensor_of(after, "token_embd.weight")->dtype, LIZ_DTYPE_F32);
    assert_int_equal(tensor_of(after, "blk.0.attn_v.weight")->dtype, LIZ_DTYPE_Q6_K);
    assert_int_equal(tensor_of(after, "blk.0.attn_q.weight")->dtype, LIZ_DTYPE_Q4_K);
    assert_int_equal(tensor_of(after, "blk.0.ffn_down.weight")->dtype, LIZ_DTYPE_Q6_K);
    assert_int_equal(tensor_of(after, "blk.1.ffn_down.weight")->dtype, LIZ_DTYPE_Q4_K);
    const liz_gguf_tensor *norm = tensor_of(after, "output_norm.weight");
    assert_int_equal(norm->dtype, LIZ_DTYPE_F32);
    assert_memory_equal(norm->data, tensor_of(before, "output_norm.weight")->data, norm->size_bytes);
    liz_gguf_close(before);
    liz_gguf_close(after);

    liz_quantize_report r = quantize(dreams, out, "Q5_K", (liz_quantize_opts){0}); /* rows of 64 and 172 */
    assert_int_equal(liz_gguf_open(&after, out, NULL), LIZ_OK);
    assert_int_equal(tensor_of(after, "blk.0.attn_q.weight")->dtype, LIZ_DTYPE_Q5_1);
    assert_int_equal(tensor_of(after, "blk.0.ffn_down.weight")->dtype, LIZ_DTYPE_F16);
    assert_int_equal(r.n_other_type, r.n_tensors);
    liz_gguf_close(after);
}

/* Makes a file whose keys were written as Split.* a part of a split one: the writer makes none. */
static void make_part(const char *path)
{
    size_t n;
    char *bytes = file_read(path, &n);
    assert_non_null(bytes);
    for (char *at = bytes; (at = memmem(at, n - (size_t)(at - bytes), "Split.", 6)) != NULL;)
        *at = 's';
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(bytes);
}

/* A model in two files becomes one, the same as from one file. */
static void test_split(void **state)
{
    (void)state;
    need(gqa);
    liz_gguf *whole;
    liz_gguf_writer *writer;
    assert_int_equal(liz_gguf_open(&whole, gqa, NULL), LIZ_OK);
    size_t n = liz_gguf_n_tensors(whole), from = 0;
    char path[2][256];
    for (int part = 0; part < 2; part++) {
        char name[64];
        snprintf(name, sizeof name, "split-%05d-of-00002.gguf", part + 1);
        snprintf(path[part], sizeof path[part], "%s", temp_path(name));
        assert_int_equal(liz_gguf_writer_open(&writer, NULL, path[part], NULL), LIZ_OK);
        for (size_t i = 0; i < liz_gguf_n_entries(whole) && part == 0; i++)
            liz_gguf_put_entry(writer, liz_gguf_entry_at(whole, i));
        liz_gguf_put_u32(writer, "Split.no", (uint32_t)part);
        liz_gguf_put_u32(writer, "Split.count", 2);
        liz_gguf_put_i32(writer, "Split.tensors.count", (int32_t)n);
        size_t to = part == 0 ? n / 2 : n;
        for (size_t i = from; i < to; i++) {
            const liz_gguf_tensor *t = liz_gguf_tensor_at(whole, i);
            liz_gguf_declare_tensor(writer, t->name, t->dtype, t->n_dim, t->shape);
        }
        assert_int_equal(liz_gguf_writer_begin(writer, NULL), LIZ_OK);
        for (; from < to; from++) {
            const liz_gguf_tensor *t = liz_gguf_tensor_at(whole, from);
            assert_int_equal(liz_gguf_writer_data(writer, t->data, t->size_bytes, NULL), LIZ_OK);
        }
        assert_int_equal(liz_gguf_writer_finish(writer, NULL), LIZ_OK);
        liz_gguf_writer_close(writer);
        make_part(path[part]);
    }
    liz_gguf_close(whole);
    quantize(gqa, temp_path("of-one.gguf"), "Q4_0", (liz_quantize_opts){0});
    quantize(path[0], temp_path("of-two.gguf"), "Q4_0", (liz_quantize_opts){0});
    assert_same_file(temp_path("of-one.gguf"), temp_path("of-two.gguf"));
    assert_refused(path[0], path[1], "Q4_0", &(liz_quantize_opts){.overwrite = true}, LIZ_E_USAGE, "that is read");
}

static void make_imatrix(const char *model, const char *out, int n_threads)
{
    liz_error err;
    liz_imatrix_report report;
    liz_engine_opts opts = {.n_threads = n_threads};
    if (liz_imatrix_make(model, words, sizeof words - 1, out, &opts, &report, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_true(report.n_tokens > 100 && report.perplexity > 1 && report.perplexity < 500);
}

static void test_same_bytes(void **state)
{
    (void)state;
    need(gqa);
    need(dreams);
    quantize(gqa, temp_path("t1.gguf"), "Q4_K", (liz_quantize_opts){.n_threads = 1});
    quantize(gqa, temp_path("t3.gguf"), "Q4_K", (liz_quantize_opts){.n_threads = 3});
    assert_same_file(temp_path("t1.gguf"), temp_path("t3.gguf"));
    const char *best, *tier;
    assert_int_equal(liz_tier(&best, NULL), LIZ_OK);
    make_imatrix(dreams, temp_path("first.im"), 1);
    make_imatrix(dreams, temp_path("threads.im"), 3);
    assert_same_file(temp_path("first.im"), temp_path("threads.im"));
    assert_int_equal(setenv("LIZZIE_ISA", "c", 1), 0);
    assert_int_equal(liz_tier(&tier, NULL), LIZ_OK);
    assert_string_equal(tier, "c");
    make_imatrix(dreams, temp_path("c.im"), 2);
    quantize(gqa, temp_path("c.gguf"), "Q4_K", (liz_quantize_opts){.n_threads = 2});
    assert_int_equal(unsetenv("LIZZIE_ISA"), 0);
    assert_same_file(temp_path("first.im"), temp_path("c.im"));
    assert_same_file(temp_path("t1.gguf"), temp_path("c.gguf"));
    if (strcmp(best, "c") == 0)
        fprintf(stderr, "# SKIPPED: no tier but C to compare with\n");
}

static bool cancel_at_once(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return done == 0 || total == 0;
}

static void test_refused(void **state)
{
    (void)state;
    need(gqa);
    const char *out = temp_path("refused.gguf"), *bad = temp_path("bad.gguf");
    assert_refused(gqa, out, "Q4_X", NULL, LIZ_E_USAGE, "Q4_X");
    assert_refused(gqa, out, "Q8_K", NULL, LIZ_E_USAGE, "Q8_K");
    assert_refused(gqa, out, "Q4_K", &(liz_quantize_opts){.output_type = "Q4_K_M"}, LIZ_E_USAGE, "Q4_K_M");
    assert_refused(gqa, out, "Q4_K", &(liz_quantize_opts){.n_threads = -1}, LIZ_E_USAGE, "threads");
    assert_refused(gqa, out, "Q4_K", &(liz_quantize_opts){.on_progress = cancel_at_once}, LIZ_E_CANCELLED, "");
    assert_refused(gqa, out, "Q4_K", &(liz_quantize_opts){.imatrix_path = gqa}, LIZ_E_FORMAT, "no importance matrix");
    assert_refused("/nonexistent", out, "Q4_K", NULL, LIZ_E_IO, "/nonexistent");
    assert_refused(gqa, "/nonexistent/out.gguf", "Q4_K", NULL, LIZ_E_IO, "/nonexistent/out.gguf");
    assert_refused(gqa, "/dev/full", "Q4_K", NULL, LIZ_E_STATE, "is there already");
    assert_refused(gqa, gqa, "Q4_K", &(liz_quantize_opts){.overwrite = true}, LIZ_E_USAGE, "that is read");
    gguf_copy(gqa, bad, (gguf_edit){.poison = "blk.1.ffn_up.weight"});
    assert_refused(bad, out, "Q4_K", NULL, LIZ_E_NUMERIC, "blk.1.ffn_up.weight");
    assert_int_not_equal(access(out, F_OK), 0);
    quantize(gqa, out, "Q4_K", (liz_quantize_opts){0});
    assert_refused(gqa, out, "Q8_0", NULL, LIZ_E_STATE, "is there already");
}

/* An importance matrix of `n` zeros or other numbers for one tensor. */
static const char *imatrix_of(const char *tensor, size_t n, float value)
{
    const char *path = temp_path("odd.im");
    liz_gguf_writer *writer;
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, path, NULL), LIZ_OK);
    liz_gguf_put_str(writer, "general.type", liz_str_of("imatrix"));
    liz_gguf_declare_tensor(writer, liz_str_of(tensor), LIZ_DTYPE_F32, 2, (uint64_t[]){1, n});
    assert_int_equal(liz_gguf_writer_begin(writer, NULL), LIZ_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(liz_gguf_writer_data(writer, &value, sizeof value, NULL), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(writer, NULL), LIZ_OK);
    liz_gguf_writer_close(writer);
    return path;
}

static void test_odd_importance(void **state)
{
    (void)state;
    need(gqa);
    const char *out = temp_path("odd.gguf"), *name = "blk.0.attn_q.weight.in_sum2";
    liz_quantize_opts opts = {.imatrix_path = imatrix_of(name, 256, -1)};
    assert_refused(gqa, out, "Q4_K", &opts, LIZ_E_FORMAT, name);
    imatrix_of(name, 256, NAN);
    assert_refused(gqa, out, "Q4_K", &opts, LIZ_E_FORMAT, name);
    imatrix_of(name, 128, 1);
    assert_refused(gqa, out, "Q4_K", &opts, LIZ_E_FORMAT, name);
    imatrix_of("blk.77.attn_q.weight.in_sum2", 256, 1);
    assert_refused(gqa, out, "Q4_K", &opts, LIZ_E_FORMAT, "no tensor of this model");
    imatrix_of(name, 256, 0); /* inputs that were never met are all alike */
    quantize(gqa, out, "Q4_K", opts);
    quantize(gqa, temp_path("plain.gguf"), "Q4_K", (liz_quantize_opts){0});
    assert_same_file(out, temp_path("plain.gguf"));
}

/* ---- Importance on a model whose inputs differ in size ---- */

static bool is_large(size_t channel) { return channel % 8 == 3; }

static bool reads_norm(liz_str name)
{
    static const char *const names[] = {"attn_q.", "attn_k.", "attn_v.", "ffn_gate.", "ffn_up."};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        found |= memmem(name.p, name.n, names[i], strlen(names[i])) != NULL;
    return found;
}

static void make_uneven(const char *from, const char *to)
{
    liz_gguf *gguf;
    liz_gguf_writer *writer;
    assert_int_equal(liz_gguf_open(&gguf, from, NULL), LIZ_OK);
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, to, NULL), LIZ_OK);
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++)
        liz_gguf_put_entry(writer, liz_gguf_entry_at(gguf, i));
    for (size_t i = 0; i < liz_gguf_n_tensors(gguf); i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(gguf, i);
        liz_gguf_declare_tensor(writer, t->name, LIZ_DTYPE_F32, t->n_dim, t->shape);
    }
    assert_int_equal(liz_gguf_writer_begin(writer, NULL), LIZ_OK);
    for (size_t i = 0; i < liz_gguf_n_tensors(gguf); i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(gguf, i);
        assert_int_equal(t->dtype, LIZ_DTYPE_F32);
        bool is_norm = liz_str_starts(t->name, "blk.") && t->n_dim == 1;
        size_t n_in = (size_t)t->shape[t->n_dim - 1], n = (size_t)t->size_bytes / sizeof(float);
        for (size_t k = 0; k < n; k++) {
            float x;
            memcpy(&x, t->data + k * sizeof x, sizeof x);
            if (is_large(k % n_in))
                x *= is_norm ? 8 : reads_norm(t->name) ? 0.125f : 1;
            assert_int_equal(liz_gguf_writer_data(writer, &x, sizeof x, NULL), LIZ_OK);
        }
    }
    assert_int_equal(liz_gguf_writer_finish(writer, NULL), LIZ_OK);
    liz_gguf_writer_close(writer);
    liz_gguf_close(gguf);
}

/* Divergence of what a model says from what another does, in nats a token, over the words. */
typedef struct kl {
    float *logits; /* [n_tok, n_vocab] of the first */
    size_t n_vocab, n;
    double sum;
    bool first;
} kl;

static bool on_logits(void *user, size_t pos0, size_t n_pos, const float *logits)
{
    kl *k = user;
    for (size_t i = 0; i < n_pos; i++, logits += k->n_vocab) {
        float *p = k->logits + (pos0 + i) * k->n_vocab;
        if (k->first) {
            memcpy(p, logits, k->n_vocab * sizeof *p);
            continue;
        }
        double zp = 0, zq = 0, sum = 0;
        for (size_t t = 0; t < k->n_vocab; t++)
            zp += exp((double)p[t]), zq += exp((double)logits[t]);
        for (size_t t = 0; t < k->n_vocab; t++)
            sum += exp((double)p[t]) / zp * ((double)p[t] - log(zp) - (double)logits[t] + log(zq));
        k->sum += sum;
        k->n++;
    }
    return true;
}

static void run_words(const char *path, kl *k)
{
    liz_engine *engine;
    liz_engine_info info;
    int32_t *tokens;
    size_t n;
    assert_int_equal(liz_engine_open(&engine, path, &(liz_engine_opts){.n_parallel = 1}, NULL), LIZ_OK);
    assert_int_equal(
        liz_tokenize(liz_engine_vocab(engine), words, sizeof words - 1, LIZ_TOKENIZE_AFFIXES, &tokens, &n, NULL),
        LIZ_OK);
    liz_engine_info_get(engine, &info);
    n = n < (size_t)info.n_ctx ? n : (size_t)info.n_ctx;
    k->n_vocab = (size_t)info.n_vocab;
    if (k->logits == NULL)
        k->logits = malloc(n * k->n_vocab * sizeof(float));
    assert_int_equal(liz_score(engine, tokens, n, NULL, on_logits, k, NULL), LIZ_OK);
    liz_free(tokens);
    liz_engine_close(engine);
}

static double divergence(const char *path, const char *of)
{
    kl k = {.first = true};
    run_words(path, &k);
    k.first = false;
    run_words(of, &k);
    free(k.logits);
    return k.sum / (double)k.n;
}

static void test_importance_helps(void **state)
{
    (void)state;
    need(dreams);
    static const char *const types[] = {"Q4_0", "Q4_1", "IQ4_NL"};
    char uneven[256], im[256];
    snprintf(uneven, sizeof uneven, "%s", temp_path("uneven.gguf"));
    snprintf(im, sizeof im, "%s", temp_path("uneven.im"));
    make_uneven(dreams, uneven);
    assert_true(divergence(dreams, uneven) < 1e-3);
    make_imatrix(uneven, im, 2);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *plain = temp_path("plain.gguf"), *weighted = temp_path("weighted.gguf");
        quantize(uneven, plain, types[i], (liz_quantize_opts){0});
        liz_quantize_report r = quantize(uneven, weighted, types[i], (liz_quantize_opts){.imatrix_path = im});
        double before = divergence(uneven, plain), after = divergence(uneven, weighted);
        fprintf(stderr, "# %s: %.5f nats a token, by importance %.5f (weight error %.4g, weighted %.4g)\n", types[i],
                before, after, r.error, r.error_weighted);
        assert_true(after < 0.95 * before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_what_changes),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_odd_importance),
        cmocka_unit_test(test_importance_helps),
    };
    return cmocka_run_group_tests_name("whole quantize", tests, NULL, NULL);
}
