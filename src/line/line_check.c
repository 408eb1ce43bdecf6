/* line_check.c - what can be told before anything is opened or locked: options that contradict each other, fields that
 * the input does not have. All of it is LIZ_E_USAGE. */
#include "line/line_job.h"

#include "sys/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* ---- Options ------------------------------------------------------------------------------------ */

void liz_line_opts_init(liz_line_opts *opts)
{
    *opts = (liz_line_opts){.sampling = LIZ_LINE_SAMPLING_NONE,
                            .logprobs = -1,
                            .prompt_logprobs = -1,
                            .max_tokens = LIZ_LINE_MAX_TOKENS_DEFAULT};
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A file that is read and would be overwritten: OUT, the files beside it and --stats are written. */
static liz_status check_overwrites(const liz_line_opts *o, const char *written, liz_error *err)
{
    bool is_in = liz_file_is_same(written, o->in_path), is_out = strcmp(written, o->out_path) == 0;
    bool is_model = liz_file_is_same(written, o->model_path), is_lora = false;
    for (size_t i = 0; i < o->engine.n_loras; i++)
        is_lora = is_lora || liz_file_is_same(written, o->engine.loras[i].path);
    if (!is_in && !is_model && !is_lora)
        return LIZ_OK;
    const char *what = is_in ? "IN" : is_model ? "the model" : "an adapter";
    if (o->stats_path != NULL && strcmp(written, o->stats_path) == 0)
        return liz_fail(err, LIZ_E_USAGE, "%s: is %s and also the file of --stats: name another", written, what);
    return liz_fail(err, LIZ_E_USAGE, "%s: is %s and also %s: name another file after -o", written,
                    is_out ? "OUT" : what, is_out ? what : "a file that stands beside OUT");
}

/* The files that stand beside `out`, and itself. */
static liz_status check_beside(const liz_line_opts *o, const char *out, liz_error *err)
{
    static const char *const beside[] = {"", ".lizzie", ".lizzie.tmp", ".retry"};
    liz_status status = LIZ_OK;
    for (size_t i = 0; status == LIZ_OK && i < sizeof beside / sizeof *beside; i++) {
        char *written;
        if (asprintf(&written, "%s%s", out, beside[i]) < 0)
            return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", out);
        status = check_overwrites(o, written, err);
        free(written);
    }
    return status;
}

static liz_status check_paths(const liz_line_opts *o, liz_error *err)
{
    const char *out = o->out_path;
    if (*out == '\0')
        return liz_fail(err, LIZ_E_USAGE, "-o: its name is empty: name a file after -o");
    if (o->stats_path != NULL && strcmp(o->stats_path, "-") == 0)
        return liz_fail(err, LIZ_E_USAGE, "--stats -: standard output is for rows: name a file");
    if (is_folder(out))
        return liz_fail(err, LIZ_E_USAGE, "%s: is a folder: name a file after -o", out);
    if (o->stats_path != NULL && liz_file_is_same(out, o->stats_path))
        return liz_fail(err, LIZ_E_USAGE, "%s: is OUT and also the file of --stats: name another file after -o", out);
    liz_status status = o->stats_path != NULL ? check_overwrites(o, o->stats_path, err) : LIZ_OK;
    status = status ?: check_beside(o, out, err);
    char *real = realpath(out, NULL); /* beside which a retry is written; NULL: not there yet */
    if (status == LIZ_OK && real != NULL)
        status = check_beside(o, real, err);
    free(real);
    return status;
}

static liz_status check_modes(const liz_line_opts *o, liz_error *err)
{
    bool to_stdout = strcmp(o->out_path, "-") == 0;
    if (o->n_shards > 0 && o->shard >= o->n_shards)
        return liz_fail(err, LIZ_E_USAGE, "--shard %u/%u: the first number counts from 0 and stays below the second",
                        o->shard, o->n_shards);
    if (o->system != NULL && o->prompt == NULL)
        return liz_fail(err, LIZ_E_USAGE,
                        "--system: rows with a prompt of their own stand as they are: put both into "
                        "--prompt, for example --prompt '{{prompt}}'");
    if (o->retry_failed && (o->restart || o->limit > 0 || to_stdout || strcmp(o->in_path, "-") == 0))
        return liz_fail(err, LIZ_E_USAGE,
                        "--retry-failed: works on a finished OUT and its IN, both files, and without "
                        "--restart or --limit");
    return LIZ_OK;
}

liz_status liz_line_check_opts(liz_line_job *job, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    LIZ_TRY(check_modes(o, err));
    LIZ_TRY(liz_line_choices_check(o, err));
    LIZ_TRY(check_paths(o, err));
    if (o->prompt != NULL)
        LIZ_TRY(liz_line_template_compile(&job->template, o->system, o->prompt, err));
    job->prompter = (liz_line_prompter){
        .template = job->template, .truncate_field = o->truncate_field, .max_tokens = o->max_tokens};
    return LIZ_OK;
}

/* The clock of templates, where nobody set it: the local time, to the second. */
static void take_now(char *out, size_t size)
{
    time_t present = (time_t)liz_clock_unix_s();
    struct tm now;
    strftime(out, size, "%Y-%m-%dT%H:%M:%S", localtime_r(&present, &now));
}

/* LIZ_E_USAGE when --now is no time. */
static liz_status check_now(const liz_line_job *job, liz_error *err)
{
    liz_rendered none = {0};
    liz_error own;
    liz_status status = liz_template_render(job->chat, "{}", 2, job->now, 0, &none, &own);
    liz_rendered_free(&none);
    return status == LIZ_E_USAGE ? liz_fail(err, LIZ_E_USAGE, "--now %s", own.text) : LIZ_OK;
}

liz_status liz_line_open_template(liz_line_job *job, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    liz_error own;
    liz_status status = LIZ_OK;
    const char *missing = "the model has no chat template to put them into";
    if (o->raw)
        missing = "--raw leaves the chat template out that they need";
    else if ((status = liz_template_open(&job->chat, o->model_path, &own)) != LIZ_OK)
        missing = own.text;
    bool does_without = status == LIZ_E_FORMAT || status == LIZ_E_UNSUPPORTED || status == LIZ_E_LIMIT;
    if (status != LIZ_OK && !does_without)
        return liz_fail(err, status, "%.400s", own.text);
    if (status != LIZ_OK && job->template != NULL)
        return liz_fail(err, status, "%.400s: --raw does without it", own.text);
    if (job->chat == NULL && job->first_is_chat)
        return liz_fail(err, status != LIZ_OK ? status : LIZ_E_USAGE, "%s: its rows have \"messages\": %.400s",
                        o->in_path, missing);
    snprintf(job->chat_missing, sizeof job->chat_missing, "%s", missing);
    if (o->now != NULL)
        snprintf(job->now, sizeof job->now, "%s", o->now);
    else
        take_now(job->now, sizeof job->now);
    job->prompter.chat = job->chat;
    job->prompter.chat_missing = job->chat_missing;
    job->prompter.now = job->now;
    return job->chat != NULL ? check_now(job, err) : LIZ_OK;
}

/* ---- The first record --------------------------------------------------------------------------- */

/* LIZ_E_USAGE where there is no `field` (NULL: none is wanted), which an option names. */
static liz_status want_field(const liz_line_job *job, const liz_line_record *record, const char *field,
                             const char *option, liz_error *err)
{
    if (field == NULL || liz_line_record_has(record, field))
        return LIZ_OK;
    liz_buf names = {.len_max = 200};
    liz_line_record_names(record, &names);
    liz_fail(err, LIZ_E_USAGE, "%s: has no field \"%s\", which %s names: its fields are %s", job->opts->in_path, field,
             option, names.len ? names.data : "none");
    liz_buf_free(&names);
    return LIZ_E_USAGE;
}

static liz_status check_fields(const liz_line_job *job, const liz_line_record *record, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    const char *field, *cut = o->truncate_field;
    bool named = job->template == NULL && cut != NULL && strcmp(cut, "prompt") == 0;
    for (size_t i = 0; (field = liz_line_template_field(job->template, i)) != NULL; i++) {
        named = named || (cut != NULL && strcmp(field, cut) == 0);
        LIZ_TRY(want_field(job, record, field, "--prompt", err));
    }
    LIZ_TRY(want_field(job, record, o->id_field, "--id", err));
    for (size_t i = 0; i < o->n_keep; i++)
        LIZ_TRY(want_field(job, record, o->keep[i], "--keep", err));
    LIZ_TRY(want_field(job, record, o->lora_field, "--lora-field", err));
    if (cut != NULL && !named)
        return liz_fail(err, LIZ_E_USAGE, "--truncate %s: is no field of the prompt: name one that stands in it", cut);
    return LIZ_OK;
}

/* Rows bring their own prompts: the first one must have one. */
static liz_status check_own_prompt(liz_line_job *job, const liz_line_record *record, liz_error *err)
{
    const char *in = job->opts->in_path;
    if (job->template != NULL || liz_line_record_has(record, "prompt"))
        return LIZ_OK;
    job->first_is_chat = liz_json_member(record->json, "messages") != NULL;
    if (job->first_is_chat)
        return LIZ_OK;
    if (liz_json_member(record->json, "custom_id") != NULL && liz_json_member(record->json, "params") != NULL)
        return liz_fail(err, LIZ_E_USAGE,
                        "%s: is an Anthropic batch file, which this version does not read: give --prompt, or rows with "
                        "\"messages\"",
                        in);
    return liz_fail(err, LIZ_E_USAGE,
                    "%s: its rows have no \"prompt\" and no \"messages\": give --prompt with the {{fields}} to use",
                    in);
}

static liz_status check_openai(liz_line_job *job, const liz_line_record *record, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    if (o->prompt != NULL || o->id_field != NULL || o->n_keep > 0 || o->truncate_field != NULL || o->lora_field != NULL)
        return liz_fail(err, LIZ_E_USAGE,
                        "%s: is an OpenAI batch file, whose rows bring their own prompts, ids and models: "
                        "leave out --prompt, --id, --keep, --truncate and --lora-field",
                        o->in_path);
    liz_line_row row;
    liz_line_row_init(&row);
    bool ok = liz_line_openai_check(record, &row);
    job->first_is_chat = row.is_chat;
    if (!ok)
        liz_fail(err, LIZ_E_USAGE, "%s: first row: %s", o->in_path, row.error_message.data);
    liz_line_row_free(&row);
    return ok ? LIZ_OK : LIZ_E_USAGE;
}

/* A first record that cannot be read is an error row like any other, and tells nothing: `*told` is then false. */
static liz_status check_record(liz_line_job *job, const liz_line_cut *cut, bool *told, liz_error *err)
{
    liz_line_record record;
    liz_line_row row;
    liz_arena arena = {.size_max = LIZ_LINE_RECORD_MAX * 8};
    liz_line_row_init(&row);
    liz_status status = LIZ_OK;
    *told = liz_line_record_read(&record, cut, NULL, &arena, &row);
    if (*told) {
        bool openai = liz_line_openai_is(&record) && job->template == NULL;
        job->form = openai ? LIZ_LINE_FORM_OPENAI : LIZ_LINE_FORM_PLAIN;
        status = openai ? check_openai(job, &record, err) : check_own_prompt(job, &record, err);
        if (status == LIZ_OK && !openai)
            status = check_fields(job, &record, err);
    }
    if (arena.refused)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its first record", job->opts->in_path);
    liz_line_row_free(&row);
    liz_arena_free(&arena);
    return status;
}

static liz_status check_header(liz_line_job *job, liz_error *err)
{
    LIZ_TRY(liz_line_header_read(&job->header, job->in, job->opts->in_path, err));
    job->columns = &job->header;
    liz_line_record record = {.header = job->columns};
    record.values = liz_arena_array(&job->header.arena, job->header.n_names, sizeof *record.values);
    if (record.values == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its header", job->opts->in_path);
    return check_own_prompt(job, &record, err) ?: check_fields(job, &record, err);
}

/* Where the first record cannot be read, the form is told by the first that can. A stream cannot be read twice: there
 * it is plain. */
static liz_status find_form(liz_line_job *job, liz_error *err)
{
    liz_line_input *in = NULL;
    liz_line_cut cut;
    liz_line_record record;
    liz_line_row row;
    liz_arena arena = {.size_max = LIZ_LINE_RECORD_MAX * 8};
    bool got = true, told = false;
    uint64_t consumed, total;
    liz_line_input_bytes(job->in, &consumed, &total);
    if (total == 0 || job->template != NULL)
        return LIZ_OK;
    liz_status status = liz_line_input_open(&in, job->files, job->opts->in_path, LIZ_LINE_INPUT_GUESS, NULL, err);
    liz_line_row_init(&row);
    while (status == LIZ_OK && !told) {
        status = liz_line_input_next(in, &cut, &got, err);
        if (status != LIZ_OK || !got)
            break;
        liz_arena_reset(&arena);
        liz_line_row_reset(&row);
        told = liz_line_record_read(&record, &cut, NULL, &arena, &row);
    }
    if (told && liz_line_openai_is(&record))
        job->form = LIZ_LINE_FORM_OPENAI;
    liz_line_row_free(&row);
    liz_arena_free(&arena);
    liz_line_input_close(in);
    return status;
}

liz_status liz_line_check_input(liz_line_job *job, liz_error *err)
{
    liz_line_cut cut;
    bool got, told;
    LIZ_TRY(
        liz_line_input_open(&job->in, job->files, job->opts->in_path, LIZ_LINE_INPUT_GUESS, &job->reader_stop, err));
    if (liz_line_input_separator(job->in) != 0)
        return check_header(job, err);
    LIZ_TRY(liz_line_input_next(job->in, &cut, &got, err));
    if (!got)
        return LIZ_OK;
    LIZ_TRY(check_record(job, &cut, &told, err));
    liz_line_input_unget(job->in);
    return told ? LIZ_OK : find_form(job, err);
}
