/* line_job.h - what the parts of one job share.
 *
 * liz_line_run builds it in this order: checks of options and of the first record (line_check.c), what OUT and its side
 * file say (line_resume.c), the model; then the reader thread feeds (line_feed.c) while the caller writes (line_run.c).
 */
#ifndef LIZ_LINE_LINE_JOB_H
#define LIZ_LINE_LINE_JOB_H

#include "line/line.h"
#include "line/line_input.h"
#include "line/line_journal.h"
#include "line/line_request.h"
#include "line/line_window.h"

/* The tokens of the choices behind the end of a prompt: the next one often ends alike. */
typedef struct liz_line_choices {
    int32_t tail[LIZ_CHOICES_TAIL];
    size_t n_tail;
    liz_choice *choices; /* NULL: none are known */
    size_t n_longest;
} liz_line_choices;

/* The whole rows from the beginning of a file. */
typedef struct liz_line_rows {
    uint64_t n, n_failed, bytes;
} liz_line_rows;

typedef struct liz_line_job {
    const liz_line_opts *opts;
    const liz_files *files;
    liz_line_input *in;
    liz_line_header header;
    const liz_line_header *columns; /* &header, or NULL for JSONL */
    liz_line_form form;
    liz_line_template *template;
    bool first_is_chat;     /* the first record brings messages */
    liz_template *chat;     /* the model's; NULL: none, or not to be used */
    char chat_missing[512]; /* then why */
    char now[64];           /* of its clock */
    liz_line_prompter prompter;
    /* OUT */
    liz_line_journal journal;
    liz_buf fingerprint;
    bool resumable;    /* OUT is a file and has a side file */
    char *out_path;    /* OUT behind its links */
    char *target_path; /* the file rows are appended to: OUT, or OUT.retry */
    int target_fd;
    int stats_fd;
    uint64_t stats_bytes;
    liz_line_rows have;  /* whole rows in OUT, and their bytes in the target */
    uint64_t n_rows_max; /* rows that OUT is to hold; 0: all there are */
    uint32_t attempt;
    bool is_new;             /* the job begins with this run */
    bool is_over;            /* no row is left to make */
    bool check_in_flight;    /* the hash of consumed input can only be compared while reading on */
    liz_line_input *old_out; /* --retry-failed: the rows to keep or to make again */
    /* The model */
    liz_engine *engine;
    liz_engine_info info;
    liz_line_ask ask; /* what each row asks but for what it says itself */
    int32_t stop_tokens[LIZ_LINE_STOP_MAX];
    liz_line_window window;
    atomic_bool reader_stop;
} liz_line_job;

/* Whether the record of this index is one of ours. */
static inline bool liz_line_job_owns(const liz_line_job *job, uint64_t index)
{
    return job->opts->n_shards == 0 || index % job->opts->n_shards == job->opts->shard;
}

/* Contradictions between options; the prompt's template. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status liz_line_check_opts(liz_line_job *job, liz_error *err);
/* Opens IN, tells its form, and checks the fields that the options name against its header or first record. */
LIZ_MUST_CHECK liz_status liz_line_check_input(liz_line_job *job, liz_error *err);

/* Opens the model's chat template, unless --raw; settles the time that it is told. LIZ_E_USAGE where the rows need one
 * and there is none, or --now is no time; what opening returns where --prompt or the rows need it. */
LIZ_MUST_CHECK liz_status liz_line_open_template(liz_line_job *job, liz_error *err);

/* Takes OUT's lock, decides whether and where to go on, and moves the input there. Fills target_path, have, attempt,
 * is_over. */
LIZ_MUST_CHECK liz_status liz_line_resume(liz_line_job *job, liz_error *err);
/* Opens what is written to, cutting off what is torn, and records a job that is new. */
LIZ_MUST_CHECK liz_status liz_line_target_open(liz_line_job *job, liz_error *err);
/* A retry has become OUT: the side file keeps its fingerprint and the retry is no longer under way. */
LIZ_MUST_CHECK liz_status liz_line_retry_settle(liz_line_job *job, liz_error *err);
/* Compares the input's hash once as many records are consumed as the side file vouches for. LIZ_E_STATE. */
LIZ_MUST_CHECK liz_status liz_line_check_consumed(const liz_line_job *job, const liz_line_input *in, bool at_end,
                                                  liz_error *err);

/* The choices' tokens after `tokens` [n_tokens]. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_choices_after(liz_line_choices *choices, const liz_vocab *vocab,
                                                 const liz_line_opts *opts, const int32_t *tokens, size_t n_tokens,
                                                 liz_error *err);
void liz_line_choices_free(liz_line_choices *choices);
/* Makes the row an error row when its prompt leaves no room for the longest; true when it does. */
bool liz_line_choices_fit(const liz_line_choices *choices, int32_t n_ctx, liz_line_row *row);
/* Counts a row's answer. */
void liz_line_choices_count(liz_line_tally *tally, const liz_line_row *row);

/* Makes of a record what is asked for its row: `ask`, the tokens of the choices, and `*tokens` [row->n_prompt], to be
 * freed, NULL when it is an error row. `arena` holds the record. */
LIZ_MUST_CHECK liz_status liz_line_feed_read(const liz_line_job *job, const liz_line_cut *cut, liz_arena *arena,
                                             liz_line_row *row, liz_line_ask *ask, liz_line_choices *choices,
                                             int32_t **tokens, liz_error *err);
/* What an event of a sequence comes back to. */
void liz_line_feed_event(void *user, const liz_event *event);
/* The reader thread: records to submitted rows, until the input ends, --limit is reached or `reader_stop` is set. */
void *liz_line_feed(void *job);

/* --dry-run. */
LIZ_MUST_CHECK liz_status liz_line_plan(liz_line_job *job, liz_buf *plan, liz_error *err);

#endif
