/* line_plan.c - --dry-run: the first prompt as the model will see it, how many tokens there are, what memory it takes.
 *
 * It opens the vocabulary and no weights. Rows beyond a sample are counted and estimated by their bytes. */
#include "line/line_job.h"

#include <inttypes.h>
#include <stdio.h>

enum { SAMPLE_ROWS = 1000 };

typedef struct plan {
    uint64_t n_rows, n_sampled, n_failed;
    uint64_t bytes_sampled, bytes_all; /* of records */
    uint64_t n_tokens, n_tokens_max;
    bool shown; /* the first prompt */
    liz_line_choices choices;
    char name[256]; /* of the model */
} plan;

/* The prompt of the first record that can be read, as the model will see it. */
static liz_status show_prompt(const liz_line_job *job, const liz_line_cut *cut, liz_arena *arena, plan *p, liz_buf *out,
                              liz_error *err)
{
    liz_line_row row;
    liz_line_record record;
    liz_line_ask ask = job->ask;
    liz_status status = LIZ_OK;
    liz_line_row_init(&row);
    p->shown = liz_line_record_read(&record, cut, job->columns, arena, &row) &&
               (job->form != LIZ_LINE_FORM_OPENAI || liz_line_openai_read(&record, arena, &row, &ask));
    if (p->shown) {
        liz_buf_puts(out, "first prompt:\n");
        if (job->form == LIZ_LINE_FORM_OPENAI && ask.chat == NULL)
            liz_buf_append_str(out, ask.prompt);
        else
            status = liz_line_prompt_text(&job->prompter, ask.chat ? &(liz_line_record){.json = ask.chat} : &record,
                                          &row, out, err);
        liz_buf_puts(out, "\n---\n");
    }
    liz_line_row_free(&row);
    return status;
}

static liz_status sample(liz_line_job *job, const liz_line_cut *cut, liz_arena *arena, plan *p, liz_buf *out,
                         liz_error *err)
{
    liz_line_row row;
    liz_line_ask ask;
    int32_t *tokens = NULL;
    liz_line_row_init(&row);
    liz_arena_reset(arena);
    liz_status status = p->shown ? LIZ_OK : show_prompt(job, cut, arena, p, out, err);
    status = status ?: liz_line_feed_read(job, cut, arena, &row, &ask, &p->choices, &tokens, err);
    liz_free(tokens);
    p->n_sampled++;
    p->bytes_sampled += cut->text.n;
    p->n_failed += row.error_code != NULL;
    p->n_tokens += row.n_prompt;
    p->n_tokens_max = row.n_prompt > p->n_tokens_max ? row.n_prompt : p->n_tokens_max;
    if (row.error_code != NULL && p->n_failed == 1)
        liz_buf_printf(out, "first error row: index %" PRIu64 ": %s: %s\n", cut->index, row.error_code,
                       row.error_message.data);
    liz_line_row_free(&row);
    return status;
}

static liz_status count_rows(liz_line_job *job, plan *p, liz_buf *out, liz_error *err)
{
    liz_arena arena = {.size_max = LIZ_LINE_RECORD_MAX * 8};
    liz_line_cut cut;
    bool got = true;
    liz_status status = LIZ_OK;
    while (status == LIZ_OK && got && (job->opts->limit == 0 || p->n_rows < job->opts->limit)) {
        status = liz_line_input_next(job->in, &cut, &got, err);
        if (status != LIZ_OK || !got || !liz_line_job_owns(job, cut.index))
            continue;
        p->n_rows++;
        p->bytes_all += cut.text.n;
        if (p->n_sampled < SAMPLE_ROWS)
            status = sample(job, &cut, &arena, p, out, err);
    }
    liz_arena_free(&arena);
    return status;
}

/* What `inspect` tells without opening weights: memory and the context. */
static liz_status read_model(liz_line_job *job, plan *p, liz_buf *memory_text, liz_error *err)
{
    char *json = NULL;
    liz_json *root;
    int64_t n_ctx;
    liz_arena arena = {.size_max = 256u << 20};
    liz_status status = liz_inspect(job->opts->model_path, &job->opts->engine, &json, err);
    status = status ?: liz_json_read(&root, liz_str_of(json), &arena, err);
    if (status == LIZ_OK) {
        const liz_json *memory = liz_json_member(root, "memory"), *error = liz_json_member(memory, "error");
        const liz_json *name = liz_json_member(root, "name");
        if (name != NULL && name->type == LIZ_JSON_STRING)
            snprintf(p->name, sizeof p->name, "%.*s", LIZ_STR_ARG(name->string));
        for (const liz_json *m = memory ? memory->first_child : NULL; m != NULL; m = m->next)
            liz_buf_printf(memory_text, "memory %.*s: %.*s\n", LIZ_STR_ARG(m->key), LIZ_STR_ARG(m->source));
        if (liz_json_int64(liz_json_member(memory, "ctx_size"), &n_ctx) && n_ctx > 0 && n_ctx <= INT32_MAX)
            job->prompter.n_ctx = (int32_t)n_ctx;
        if (status == LIZ_OK && error != NULL && error->type == LIZ_JSON_STRING)
            status = liz_fail(err, LIZ_E_UNSUPPORTED, "%.*s", LIZ_STR_ARG(error->string));
    }
    liz_arena_free(&arena);
    liz_free(json);
    return status;
}

static void show_counts(const liz_line_job *job, const plan *p, liz_buf *out)
{
    double scale = p->bytes_sampled ? (double)p->bytes_all / (double)p->bytes_sampled : 1;
    liz_buf_printf(out, "rows: %" PRIu64 "\nerror rows among the first %" PRIu64 ": %" PRIu64 "\n", p->n_rows,
                   p->n_sampled, p->n_failed);
    liz_buf_printf(out, "prompt tokens: %.0f%s, longest %" PRIu64 "\n", (double)p->n_tokens * scale,
                   p->n_sampled < p->n_rows ? " (estimated)" : "", p->n_tokens_max);
    if (job->opts->n_choices > 0) {
        liz_buf_printf(out, "choices: %zu for each row\n", job->opts->n_choices);
        return;
    }
    liz_buf_printf(out, "generated tokens: at most %.0f (--max-tokens %d)\n",
                   (double)p->n_rows * job->opts->max_tokens *
                       (job->opts->n_completions > 1 ? job->opts->n_completions : 1),
                   job->opts->max_tokens);
}

liz_status liz_line_plan(liz_line_job *job, liz_buf *out, liz_error *err)
{
    liz_vocab *vocab = NULL;
    liz_buf memory = {.len_max = 1 << 20};
    plan p = {0};
    job->prompter.n_ctx = job->opts->engine.n_ctx;
    liz_status status = read_model(job, &p, &memory, err);
    status = status ?: liz_vocab_open(&vocab, job->opts->model_path, err);
    job->prompter.vocab = vocab;
    if (status == LIZ_OK) {
        /* What the model file recommends for sampling does not matter here. */
        job->info = (liz_engine_info){.name = p.name, .n_vocab = liz_vocab_size(vocab), .top_k = -1};
        status = liz_line_ask_settle(&job->ask, job->opts, vocab, &job->info, 0, 0, job->stop_tokens, err);
    }
    status = status ?: liz_line_prompter_open(&job->prompter, err);
    status = status ?: count_rows(job, &p, out, err);
    if (status == LIZ_OK) {
        show_counts(job, &p, out);
        liz_buf_append_str(out, liz_buf_str(&memory));
    }
    job->prompter.vocab = NULL;
    liz_line_choices_free(&p.choices);
    liz_vocab_close(vocab);
    liz_buf_free(&memory);
    return status;
}
