/* tune.c - examples, a tape with adapters, the loop, and the adapter's file. */
#include "train/tune.h"

#include "format/gguf_write.h"
#include "sys/memory.h"
#include "train/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANK = 16, RANK_MAX = 1024, PART_TOKENS = 1024, EPOCHS = 3, BATCH = 16, PATIENCE = 5 };

typedef struct tuner {
    const liz_tune_opts *opts;
    liz_course course;
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_template *chat;
    liz_examples *examples, *valid;
    liz_feed feed, valid_feed;
    liz_tape *tape;
    liz_graph *graph;
    liz_graph_opts graph_opts;
    size_t n_part;
    char *best; /* OUT.best: the adapter of the best validation so far */
} tuner;

void liz_tune_opts_init(liz_tune_opts *opts, liz_course_opts *common)
{
    *opts = (liz_tune_opts){.valid_share = 0.05};
    common->rate = 5e-4;
}

void liz_tune_defaults(liz_course_opts *c)
{
    if (c->tokens <= 0 && c->epochs <= 0 && c->hours <= 0)
        c->epochs = EPOCHS;
    c->batch = c->batch > 0 ? c->batch : BATCH;
    c->optimizer = c->optimizer != NULL ? c->optimizer : "adamw";
    c->schedule = c->schedule != NULL ? c->schedule : c->hours > 0 ? "wsd" : "cosine";
    c->weight_decay = c->weight_decay >= 0 ? c->weight_decay : 0;
    c->patience = c->patience > 0 ? c->patience : PATIENCE;
}

/* ---- Options ---- */

static liz_status targets_read(const char *text, unsigned *targets, liz_error *err)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {{"q", LIZ_LORA_Q},
                 {"k", LIZ_LORA_K},
                 {"v", LIZ_LORA_V},
                 {"o", LIZ_LORA_O},
                 {"gate", LIZ_LORA_GATE},
                 {"up", LIZ_LORA_UP},
                 {"down", LIZ_LORA_DOWN},
                 {"all", LIZ_LORA_ALL},
                 {"attention", LIZ_LORA_Q | LIZ_LORA_K | LIZ_LORA_V | LIZ_LORA_O}};
    *targets = text == NULL ? LIZ_LORA_ALL : 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ","), i = 0, n_names = sizeof names / sizeof *names;
        while (i < n_names && (strlen(names[i].name) != n || memcmp(at, names[i].name, n) != 0))
            i++;
        if (i == n_names)
            return liz_fail(err, LIZ_E_USAGE,
                            "--targets %s: are q, k, v, o, gate, up, down with commas, attention or all", text);
        *targets |= names[i].bits;
        at += n + (at[n] == ',');
    }
    return *targets != 0 ? LIZ_OK : liz_fail(err, LIZ_E_USAGE, "--targets: names no matrices");
}

static liz_status check_options(tuner *t, liz_error *err)
{
    const liz_tune_opts *o = t->opts;
    int rank = o->rank > 0 ? o->rank : RANK;
    if (rank > RANK_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--rank %d: is more than %d", rank, RANK_MAX);
    t->graph_opts = (liz_graph_opts){
        .lora_rank = rank, .lora_alpha = o->alpha > 0 ? o->alpha : 2 * (float)rank, .seed = o->common->seed};
    return targets_read(o->targets, &t->graph_opts.lora_targets, err);
}

/* ---- Model and examples ---- */

static liz_status open_model(tuner *t, liz_error *err)
{
    liz_status status = liz_gguf_open(&t->gguf, t->opts->model, err);
    if (status == LIZ_OK)
        status = liz_text_vocab_open(&t->vocab, t->gguf, err);
    if (status == LIZ_OK && !t->opts->raw)
        status = liz_template_open(&t->chat, t->opts->model, err);
    if (status != LIZ_OK)
        return status;
    liz_str arch;
    char key[128];
    uint64_t n_ctx = 0;
    if (liz_gguf_str(t->gguf, "general.architecture", &arch)) {
        snprintf(key, sizeof key, "%.*s.context_length", LIZ_STR_ARG(arch));
        liz_gguf_u64(t->gguf, key, &n_ctx);
    }
    n_ctx = n_ctx > 0 && n_ctx < INT32_MAX ? n_ctx : INT32_MAX;
    if ((uint64_t)t->opts->n_ctx > n_ctx)
        return liz_fail(err, LIZ_E_USAGE, "--ctx-size %d: the model was made for %llu tokens", t->opts->n_ctx,
                        (unsigned long long)n_ctx);
    size_t n_tok_max = t->opts->n_ctx > 0 ? (size_t)t->opts->n_ctx : (size_t)n_ctx;
    status = liz_examples_open(&t->examples, t->vocab, t->chat, n_tok_max, err);
    return status == LIZ_OK ? liz_examples_open(&t->valid, t->vocab, t->chat, n_tok_max, err) : status;
}

static liz_status read_examples(tuner *t, liz_tune_read_fn *read, void *user, liz_error *err)
{
    double share = t->opts->valid_share;
    liz_status status = read(user, t->examples, false, t->chat != NULL, err);
    if (status == LIZ_OK)
        status = read(user, t->valid, true, t->chat != NULL, err);
    if (status == LIZ_OK && liz_examples_n(t->examples) == 0)
        status = liz_fail(err, LIZ_E_FORMAT, "the data hold no rows: nothing can be learnt");
    if (status == LIZ_OK && liz_examples_n(t->valid) == 0 && share > 0)
        status = liz_examples_split(t->examples, share, t->valid, err);
    if (status == LIZ_OK && liz_examples_n(t->examples) == 0)
        status = liz_fail(err, LIZ_E_USAGE, "--valid-share: leaves no rows to learn from");
    if (status != LIZ_OK)
        return status;
    size_t longest = liz_examples_longest(t->examples), valid = liz_examples_longest(t->valid);
    longest = longest > valid ? longest : valid;
    t->graph_opts.n_ctx = (int32_t)longest;
    t->feed = liz_examples_feed(t->examples, longest);
    t->valid_feed = liz_examples_feed(t->valid, longest);
    size_t n_part = t->opts->n_part > 0 ? (size_t)t->opts->n_part : PART_TOKENS, n_step;
    n_step = (size_t)t->opts->common->batch * longest;
    n_part = n_part < n_step ? n_part : n_step;
    t->n_part = n_part > longest ? n_part : longest;
    liz_train_progress *p = &t->course.progress;
    p->n_documents = liz_examples_n(t->examples);
    p->n_data_tokens = liz_examples_n_tokens(t->examples);
    p->n_valid_tokens = liz_examples_n_tokens(t->valid);
    p->n_vocab = (uint64_t)liz_text_vocab_size(t->vocab);
    p->model_bytes = liz_gguf_file_bytes(t->gguf);
    return LIZ_OK;
}

/* ---- Settings ---- */

static liz_status set_hash(tuner *t, const char *name, const liz_examples *e, liz_error *err)
{
    char hex[33];
    liz_hash_hex(liz_examples_hash(e), hex);
    return liz_job_setting(&t->course.job, err, name, "%s", hex);
}

static liz_status add_settings(tuner *t, liz_error *err)
{
    liz_model_identity identity = {0};
    liz_job *job = &t->course.job;
    liz_status status = liz_model_identify(t->opts->model, &identity, err);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "model", "%s", identity.hash);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "adapter", "rank %d, alpha %.9g, targets %u", t->graph_opts.lora_rank,
                                 (double)t->graph_opts.lora_alpha, t->graph_opts.lora_targets);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "part", "%zu", t->n_part);
    if (status == LIZ_OK)
        status = set_hash(t, "data", t->examples, err);
    return status == LIZ_OK ? set_hash(t, "valid", t->valid, err) : status;
}

/* ---- The tape ---- */

static void close_tape(tuner *t)
{
    liz_graph_close(t->graph);
    liz_tape_close(t->tape);
    t->graph = NULL;
    t->tape = NULL;
}

static liz_status build_tape(tuner *t, bool recompute, liz_error *err)
{
    liz_tape_opts opts = {.n_tok_max = t->n_part, .recompute = recompute};
    liz_status status = liz_tape_open(&t->tape, t->course.team, t->course.tier, &opts, err);
    return status == LIZ_OK ? liz_graph_open(&t->graph, t->gguf, t->tape, &t->graph_opts, err) : status;
}

/* Keeps what layers computed where there is memory for that, else computes it twice: the same adapter either way. */
static liz_status open_tape(tuner *t, liz_error *err)
{
    uint64_t file_bytes = liz_gguf_file_bytes(t->gguf), most = t->opts->memory_max_bytes, tape_bytes = 0;
    most = most != 0 ? most : liz_memory_available() / 16 * 15;
    liz_status status = LIZ_E_MEMORY;
    for (int recompute = 0; recompute < 2 && status == LIZ_E_MEMORY; recompute++) {
        close_tape(t);
        status = build_tape(t, recompute, err);
        tape_bytes = status == LIZ_OK ? liz_tape_bytes(t->tape) : 0;
        if (status == LIZ_OK && tape_bytes + file_bytes > most)
            status = liz_fail(err, LIZ_E_MEMORY,
                              "the model's file takes %.2f GiB, tuning it %.2f, and there are to be %.2f: give more "
                              "(--memory), or take shorter rows (--ctx-size), fewer --targets, a lower --rank",
                              (double)file_bytes / (1 << 30), (double)tape_bytes / (1 << 30), (double)most / (1 << 30));
    }
    if (status != LIZ_OK)
        return status;
    for (size_t i = 0; i < liz_tape_param_count(t->tape); i++) {
        const liz_param *p = liz_tape_param_at(t->tape, i);
        t->course.progress.n_params += p->is_trained ? p->n_out * p->n_in : 0;
    }
    t->course.progress.token_ops =
        liz_tape_token_ops(t->tape, liz_examples_n_tokens(t->examples) / liz_examples_n(t->examples));
    return LIZ_OK;
}

/* ---- The adapter's file ---- */

/* The next trained parameter at or after `i`; the count where there is none. */
static size_t next_trained(tuner *t, size_t i)
{
    while (i < liz_tape_param_count(t->tape) && !liz_tape_param_at(t->tape, i)->is_trained)
        i++;
    return i;
}

/* Halves of one name, one after the other, are one tensor, the rows of one below those of the other (graph.c). */
static void declare(tuner *t, liz_gguf_writer *writer)
{
    size_t n = liz_tape_param_count(t->tape), next;
    for (size_t i = next_trained(t, 0); i < n; i = next) {
        const liz_param *p = liz_tape_param_at(t->tape, i), *other;
        uint64_t shape[2] = {p->n_out, p->n_in};
        for (next = next_trained(t, i + 1); next < n; next = next_trained(t, next + 1)) {
            other = liz_tape_param_at(t->tape, next);
            if (strcmp(other->name, p->name) != 0)
                break;
            shape[0] += other->n_out;
        }
        liz_gguf_declare_tensor(writer, liz_str_of(p->name), LIZ_DTYPE_F32, 2, shape);
    }
}

static liz_status write_adapter(tuner *t, const char *path, liz_error *err)
{
    liz_gguf_writer *writer = NULL;
    liz_str arch = {"", 0};
    liz_status status = liz_gguf_writer_open(&writer, path, err);
    if (status != LIZ_OK)
        return status;
    liz_gguf_str(t->gguf, "general.architecture", &arch);
    liz_gguf_put_str(writer, "general.type", liz_str_of("adapter"));
    liz_gguf_put_str(writer, "general.architecture", arch);
    liz_gguf_put_str(writer, "adapter.type", liz_str_of("lora"));
    liz_gguf_put_f32(writer, "adapter.lora.alpha", t->graph_opts.lora_alpha);
    declare(t, writer);
    status = liz_gguf_writer_begin(writer, err);
    for (size_t i = next_trained(t, 0); status == LIZ_OK && i < liz_tape_param_count(t->tape);
         i = next_trained(t, i + 1)) {
        const liz_param *p = liz_tape_param_at(t->tape, i);
        status = liz_gguf_writer_data(writer, p->w, p->n_out * p->n_in * sizeof *p->w, err);
    }
    if (status == LIZ_OK)
        status = liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}

/* A better validation: its adapter is kept beside OUT. A run that was killed and goes on from before it writes the same
 * bytes again. */
static liz_status on_valid(void *user, liz_course *course, liz_error *err)
{
    tuner *t = user;
    return course->loop.now.state.n_worse == 0 ? write_adapter(t, t->best, err) : LIZ_OK;
}

/* The best adapter takes its name; a run that was killed right after finds it there. */
static liz_status write_out(tuner *t, liz_error *err)
{
    if (liz_examples_n(t->valid) == 0) {
        t->course.files->unlink(t->course.files->user, t->best); /* a job that was begun anew may have left one */
        return write_adapter(t, t->opts->out, err);
    }
    if (access(t->best, F_OK) != 0 && access(t->opts->out, F_OK) == 0)
        return LIZ_OK;
    return liz_file_rename(t->course.files, t->best, t->opts->out, err);
}

/* ---- The whole ---- */

static liz_status tune(tuner *t, liz_tune_read_fn *read, void *user, liz_error *err)
{
    liz_status status = liz_job_setting(&t->course.job, err, "command", "tune");
    if (status == LIZ_OK && asprintf(&t->best, "%s.best", t->opts->out) < 0) {
        t->best = NULL;
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", t->opts->out);
    }
    if (status == LIZ_OK)
        status = open_model(t, err);
    if (status == LIZ_OK)
        status = read_examples(t, read, user, err);
    if (status == LIZ_OK)
        status = add_settings(t, err);
    const liz_feed *valid = status == LIZ_OK && liz_examples_n(t->valid) > 0 ? &t->valid_feed : NULL;
    if (status == LIZ_OK) {
        size_t mean = liz_examples_n_tokens(t->examples) / liz_examples_n(t->examples);
        status = liz_course_settle(&t->course, &t->feed, valid, mean, err);
    }
    if (status == LIZ_OK && t->course.job.is_done) { /* of the same model, data and settings */
        t->course.progress.was_finished = true;
        liz_course_tell(&t->course, LIZ_TRAIN_FINISHED);
        return LIZ_OK;
    }
    if (status == LIZ_OK)
        status = open_tape(t, err);
    t->course.on_valid = on_valid;
    t->course.valid_user = t;
    if (status == LIZ_OK)
        status = liz_course_run(&t->course, t->tape, t->n_part, &t->feed, valid, err);
    if (status == LIZ_OK)
        status = write_out(t, err);
    return status == LIZ_OK ? liz_course_finish(&t->course, err) : status;
}

liz_status liz_tune(const liz_tune_opts *opts, const liz_files *files, liz_tune_read_fn *read, liz_train_fn *on_event,
                    void *user, liz_error *err)
{
    tuner t = {.opts = opts};
    liz_status status = check_options(&t, err);
    if (status == LIZ_OK)
        status = liz_course_open(&t.course, opts->common, files, opts->out, on_event, user, err);
    if (status == LIZ_OK)
        status = tune(&t, read, user, err);
    close_tape(&t);
    liz_examples_close(t.examples);
    liz_examples_close(t.valid);
    liz_template_close(t.chat);
    liz_text_vocab_close(t.vocab);
    liz_gguf_close(t.gguf);
    free(t.best);
    liz_course_close(&t.course);
    return status;
}
