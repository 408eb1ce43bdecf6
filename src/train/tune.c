/* tune.c - examples, a tape with adapters, the loop, and the adapter's file. */
#include "train/tune.h"

#include "format/gguf_write.h"
#include "sys/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANK = 16, RANK_MAX = 1024, PART_TOKENS = 1024, EPOCHS = 3, BATCH = 16, PATIENCE = 5 };

typedef struct tuner {
    const liz_tune_opts *opts;
    liz_course course;
    liz_template *chat;
    liz_examples *examples, *valid;
    liz_graph_opts graph_opts;
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
    } names[] = {{"q", LIZ_LORA_Q},       {"k", LIZ_LORA_K},
                 {"v", LIZ_LORA_V},       {"o", LIZ_LORA_O},
                 {"gate", LIZ_LORA_GATE}, {"up", LIZ_LORA_UP},
                 {"down", LIZ_LORA_DOWN}, {"experts", LIZ_LORA_EXPERTS},
                 {"all", LIZ_LORA_ALL},   {"attention", LIZ_LORA_Q | LIZ_LORA_K | LIZ_LORA_V | LIZ_LORA_O}};
    *targets = text == NULL ? LIZ_LORA_DENSE : 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ","), i = 0, n_names = sizeof names / sizeof *names;
        while (i < n_names && (strlen(names[i].name) != n || memcmp(at, names[i].name, n) != 0))
            i++;
        if (i == n_names)
            return liz_fail(err, LIZ_E_USAGE,
                            "--targets %s: are q, k, v, o, gate, up, down, experts with commas, attention or all",
                            text);
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
    uint64_t n_ctx;
    LIZ_TRY(liz_course_open_model(&t->course, t->opts->model, &n_ctx, err));
    if (!t->opts->raw)
        LIZ_TRY(liz_template_open(&t->chat, t->opts->model, err));
    n_ctx = n_ctx > 0 && n_ctx < INT32_MAX ? n_ctx : INT32_MAX;
    if ((uint64_t)t->opts->n_ctx > n_ctx)
        return liz_fail(err, LIZ_E_USAGE, "--ctx-size %d: the model was made for %llu tokens", t->opts->n_ctx,
                        (unsigned long long)n_ctx);
    size_t n_tok_max = t->opts->n_ctx > 0 ? (size_t)t->opts->n_ctx : (size_t)n_ctx;
    LIZ_TRY(liz_examples_open(&t->examples, t->course.vocab, t->chat, n_tok_max, err));
    return liz_examples_open(&t->valid, t->course.vocab, t->chat, n_tok_max, err);
}

static size_t mean_tokens(const tuner *t) { return liz_examples_n_tokens(t->examples) / liz_examples_n(t->examples); }

static liz_status read_examples(tuner *t, liz_tune_read_fn *read, void *user, liz_error *err)
{
    double share = t->opts->valid_share;
    LIZ_TRY(read(user, t->examples, false, t->chat != NULL, err));
    LIZ_TRY(read(user, t->valid, true, t->chat != NULL, err));
    if (liz_examples_n(t->examples) == 0)
        return liz_fail(err, LIZ_E_FORMAT, "the data hold no rows: nothing can be learnt");
    if (liz_examples_n(t->valid) == 0 && share > 0)
        LIZ_TRY(liz_examples_split(t->examples, share, t->valid, err));
    if (liz_examples_n(t->examples) == 0)
        return liz_fail(err, LIZ_E_USAGE,
                        "no rows are left to learn from beside those that validate: are they all alike? Add some, or "
                        "give --valid-share 0");
    size_t longest = liz_examples_longest(t->examples), valid = liz_examples_longest(t->valid);
    longest = longest > valid ? longest : valid;
    t->graph_opts.n_ctx = (int32_t)longest;
    t->course.feed = liz_examples_feed(t->examples, longest);
    t->course.valid = liz_examples_feed(t->valid, longest);
    size_t n_part = t->opts->n_part > 0 ? (size_t)t->opts->n_part : PART_TOKENS;
    size_t n_step = (size_t)t->opts->common->batch * longest;
    n_part = n_part < n_step ? n_part : n_step;
    t->course.n_part = n_part > longest ? n_part : longest;
    liz_train_progress *p = &t->course.progress;
    p->n_documents = liz_examples_n(t->examples);
    p->n_data_tokens = liz_examples_n_tokens(t->examples);
    p->n_valid_tokens = liz_examples_n_tokens(t->valid);
    p->model_bytes = liz_gguf_file_bytes(t->course.gguf);
    return LIZ_OK;
}

static liz_status add_settings(tuner *t, liz_error *err)
{
    liz_model_identity identity = {0};
    liz_job *job = &t->course.job;
    LIZ_TRY(liz_model_identify(t->opts->model, &identity, err));
    liz_job_setting(job, "model", "%s", identity.hash);
    liz_job_setting(job, "adapter", "rank %d, alpha %.9g, targets %u", t->graph_opts.lora_rank,
                    (double)t->graph_opts.lora_alpha, t->graph_opts.lora_targets);
    liz_job_setting(job, "part", "%zu", t->course.n_part);
    liz_job_setting_hash(job, "data", liz_examples_hash(t->examples));
    liz_job_setting_hash(job, "valid", liz_examples_hash(t->valid));
    return liz_job_check(job, err);
}

/* ---- The tape ---- */

/* Keeps frozen weights decoded where half of the memory is enough for that, and what layers computed where the whole
 * is: the same adapter either way. */
static liz_status open_tape(tuner *t, liz_error *err)
{
    static const liz_tape_opts ways[] = {{.keep_decoded = true}, {.recompute = false}, {.recompute = true}};
    uint64_t file_bytes = t->course.progress.model_bytes, most = t->opts->memory_max_bytes;
    most = most != 0 ? most : liz_memory_available() / 16 * 15;
    liz_status status = LIZ_E_MEMORY;
    for (size_t i = 0; i < sizeof ways / sizeof *ways && status == LIZ_E_MEMORY; i++) {
        liz_course_close_tape(&t->course);
        status = liz_course_open_tape(&t->course, &t->graph_opts, ways[i], err);
        uint64_t tape_bytes = t->course.progress.memory_bytes, room = ways[i].keep_decoded ? most / 2 : most;
        if (status == LIZ_OK && tape_bytes + file_bytes > room)
            status = liz_fail(err, LIZ_E_MEMORY,
                              "the model's file takes %.2f GiB, tuning it %.2f, and there are to be %.2f: give more "
                              "(--memory), or take shorter rows (--ctx-size), fewer --targets, a lower --rank",
                              (double)file_bytes / (1 << 30), (double)tape_bytes / (1 << 30), (double)most / (1 << 30));
    }
    if (status == LIZ_OK && t->course.progress.n_params == 0)
        return liz_fail(err, LIZ_E_USAGE, "--targets: name no matrix that this model has");
    if (status == LIZ_OK)
        t->course.progress.token_ops = liz_tape_token_ops(t->course.tape, mean_tokens(t),
                                                          (double)liz_examples_n_targets(t->examples) /
                                                              (double)liz_examples_n_tokens(t->examples));
    return status;
}

/* ---- The adapter's file ---- */

/* Halves of one name, one after the other, are one tensor: the rows of one below those of the other, or a matrix of
 * each expert (graph.c). */
static void declare(const tuner *t, liz_gguf_writer *writer)
{
    size_t i = 0;
    for (const liz_param *p = liz_tape_trained(t->course.tape, &i), *next; p != NULL; p = next) {
        uint64_t rows = p->n_out;
        while ((next = liz_tape_trained(t->course.tape, &i)) != NULL && strcmp(next->name, p->name) == 0)
            rows += next->n_out;
        uint64_t whole[2] = {rows, p->n_in}, each[3] = {rows / p->n_out, p->n_out, p->n_in};
        liz_gguf_declare_tensor(writer, liz_str_of(p->name), LIZ_DTYPE_F32, p->of_expert ? 3 : 2,
                                p->of_expert ? each : whole);
    }
}

static liz_status write_adapter(tuner *t, const char *path, liz_error *err)
{
    liz_gguf_writer *writer;
    liz_str arch = {"", 0};
    size_t i = 0;
    LIZ_TRY(liz_gguf_writer_open(&writer, t->course.files, path, err));
    liz_gguf_str(t->course.gguf, "general.architecture", &arch);
    liz_gguf_put_str(writer, "general.type", liz_str_of("adapter"));
    liz_gguf_put_str(writer, "general.architecture", arch);
    liz_gguf_put_str(writer, "adapter.type", liz_str_of("lora"));
    liz_gguf_put_f32(writer, "adapter.lora.alpha", t->graph_opts.lora_alpha);
    declare(t, writer);
    liz_status status = liz_gguf_writer_begin(writer, err);
    for (const liz_param *p; status == LIZ_OK && (p = liz_tape_trained(t->course.tape, &i)) != NULL;)
        status = liz_gguf_writer_data(writer, p->w, p->n_out * p->n_in * sizeof *p->w, err);
    status = status ?: liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}

/* A better validation: its adapter is kept beside OUT. A run that was killed and goes on from before it writes the same
 * bytes again. */
static liz_status on_valid(void *user, liz_error *err)
{
    tuner *t = user;
    return t->course.now.state.n_worse == 0 ? write_adapter(t, t->best, err) : LIZ_OK;
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
    liz_job_setting(&t->course.job, "command", "tune");
    LIZ_TRY(liz_course_settle_first(&t->course, err));
    if (asprintf(&t->best, "%s.best", t->opts->out) < 0) {
        t->best = NULL;
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", t->opts->out);
    }
    LIZ_TRY(open_model(t, err));
    LIZ_TRY(read_examples(t, read, user, err));
    LIZ_TRY(add_settings(t, err));
    LIZ_TRY(liz_course_settle(&t->course, mean_tokens(t), err));
    if (t->course.job.is_done) { /* of the same model, data and settings */
        liz_course_was_finished(&t->course);
        return LIZ_OK;
    }
    LIZ_TRY(open_tape(t, err));
    t->course.on_valid = on_valid;
    t->course.valid_user = t;
    LIZ_TRY(liz_course_run(&t->course, err));
    LIZ_TRY(write_out(t, err));
    return liz_course_finish(&t->course, err);
}

liz_status liz_tune(const liz_tune_opts *opts, const liz_files *files, liz_tune_read_fn *read, liz_train_fn *on_event,
                    void *user, liz_error *err)
{
    tuner t = {.opts = opts};
    LIZ_TRY(check_options(&t, err));
    liz_status status = liz_course_open(&t.course, opts->common, files, opts->out, on_event, user, err);
    status = status ?: tune(&t, read, user, err);
    liz_course_close(&t.course);
    liz_examples_close(t.examples);
    liz_examples_close(t.valid);
    liz_template_close(t.chat);
    free(t.best);
    return status;
}
