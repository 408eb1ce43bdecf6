/* line.h - the line: a file of rows through a model, in order, resumable, the same bytes every time.
 *
 * A reader thread turns records into prompts and tokens and submits them to the engine; the engine's thread delivers
 * what is generated into a bounded window of rows; the calling thread takes them out of it in input order, writes them
 * and keeps the side file OUT.lizzie, by which a later run of the same command continues. docs/line.md describes the
 * forms of input and output, the side file and the rules of resuming.
 *
 * `liz_line_run` is one job from beginning to end. It prints nothing: progress comes through a callback, and what there
 * is to say at the end stands in the report. */
#ifndef LIZ_LINE_LINE_H
#define LIZ_LINE_LINE_H

#include "base/buf.h"
#include "lizzie.h"
#include "sys/files.h"

#include <stdatomic.h>

#define LIZ_LINE_MAX_TOKENS_DEFAULT 512
#define LIZ_LINE_KEEP_MAX 64
#define LIZ_LINE_STOP_MAX 16
#define LIZ_LINE_COMPLETIONS_MAX 128

/* Sampling as a person gives it: of what is NAN (and a top_k of -1) nothing is said, and it comes from the model file,
 * else from the command. */
#define LIZ_LINE_SAMPLING_NONE                                                                                         \
    {                                                                                                                  \
        .temperature = NAN, .top_p = NAN, .min_p = NAN, .repeat_penalty = NAN, .frequency_penalty = NAN,               \
        .presence_penalty = NAN, .typical_p = NAN, .xtc_probability = NAN, .xtc_threshold = NAN,                       \
        .dry_multiplier = NAN, .dry_base = NAN, .top_k = -1                                                            \
    }

/* Where a job stands. Times in microseconds. */
typedef struct liz_line_progress {
    uint64_t n_rows;        /* in OUT, those of earlier runs included */
    uint64_t n_rows_before; /* of them, from earlier runs */
    uint64_t n_rows_max;    /* that OUT is to hold; 0: not known */
    uint64_t n_failed;      /* of them, error rows */
    uint64_t n_truncated;   /* rows whose --truncate field was shortened in this run */
    uint64_t n_prompt_tokens, n_completion_tokens, n_reused_tokens; /* of this run */
    uint64_t n_made;                        /* rows of this run, without those that a retry keeps */
    uint64_t n_words_read, n_words_written; /* in the prompts and in the texts of this run */
    /* Of the input: consumed, of it by earlier runs, and in all; total 0 where unknown. */
    uint64_t in_bytes, in_bytes_before, in_bytes_total;
    uint64_t elapsed_us; /* since the model was open */
    double joules;       /* of this run; below 0 where neither the machine tells nor the options */
} liz_line_progress;

typedef enum liz_line_outcome {
    LIZ_LINE_DONE,        /* every row is in OUT */
    LIZ_LINE_NOTHING,     /* and it was before */
    LIZ_LINE_LIMITED,     /* --limit rows are in OUT */
    LIZ_LINE_STRICT,      /* --strict: stopped before an error row; `message` says which */
    LIZ_LINE_INTERRUPTED, /* *opts.stop was set */
    LIZ_LINE_PLANNED      /* --dry-run: `plan` holds the text */
} liz_line_outcome;

/* How often a choice was the answer, and the sum of its probabilities then. */
typedef struct liz_line_tally {
    uint64_t n;
    double sum;
} liz_line_tally;

typedef struct liz_line_report {
    liz_line_outcome outcome;
    liz_line_progress progress;
    bool resumable;    /* OUT has a side file */
    char message[512]; /* of LIZ_LINE_STRICT */
    /* Released with liz_line_report_free. */
    liz_buf plan;            /* of LIZ_LINE_PLANNED */
    liz_line_tally *choices; /* [opts.n_choices] in this run; NULL where there are none */
} liz_line_report;

/* Zero in any field but `sampling`, the two `logprobs` and `max_tokens` means its default; liz_line_opts_init sets
 * those. */
typedef struct liz_line_opts {
    const char *model_path, *in_path, *out_path; /* IN and OUT may be "-" */
    const char *stats_path;                      /* NULL: none */
    double watts;                                /* the machine's power, in place of its meter; 0: by the meter */
    const char *prompt, *system;                 /* texts, NULL: none */
    const char *now;                             /* for the clock of the chat template; NULL: when the line began */
    bool raw;                                    /* texts stand as they are, though the model has a chat template */
    const char *id_field, *truncate_field;       /* NULL: none */
    const char *keep[LIZ_LINE_KEEP_MAX];
    size_t n_keep;
    uint64_t limit; /* rows OUT is to hold; 0: all */
    bool dry_run, retry_failed, restart, strict;
    uint32_t shard, n_shards; /* records with index mod n_shards = shard; n_shards 0: all */
    int logprobs;             /* alternatives reported with each token; -1: no log-probabilities */
    int prompt_logprobs;      /* the same of the prompt's */
    int32_t n_completions;    /* of each row; 0 and 1: one */
    uint64_t seed;
    liz_sampling sampling; /* LIZ_LINE_SAMPLING_NONE and what is given; no seed */
    const char *stop_strings[LIZ_LINE_STOP_MAX];
    size_t n_stop_strings;
    const char *stop_tokens[LIZ_LINE_STOP_MAX]; /* ids, or texts that are one token */
    size_t n_stop_tokens;
    bool ignore_end;            /* the model's own end is forbidden */
    const char *const *choices; /* [n_choices] of which one is the answer; 0: the answer is generated */
    size_t n_choices;
    int32_t max_tokens;
    liz_engine_opts engine;
    const char *lora_names[LIZ_LORAS_MAX]; /* of engine.loras: what rows call them; NULL: all rows have it */
    const char *lora_field;                /* the field in which a row names those it has, with commas; NULL: none */
    const liz_files *files;                /* NULL: the system's */
    const atomic_int *stop;                /* set from outside (a signal, another thread) to stop; NULL: never */
    /* Set once rows are made, when `stop` begins to be looked at; before (waiting for the first record, hashing and
     * opening the model) nothing is lost by ending the process. May be NULL. */
    atomic_bool *at_work;
    void (*on_progress)(void *user, const liz_line_progress *progress); /* some times a second; may be NULL */
    void *user;
} liz_line_opts;

void liz_line_opts_init(liz_line_opts *opts);

/* What cannot go together with choices, and choices that are empty or equal. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status liz_line_choices_check(const liz_line_opts *opts, liz_error *err);

/* Runs one job. LIZ_OK with report->outcome, also when it was interrupted. LIZ_E_USAGE: options that contradict each
 * other, or a field that the input does not have; LIZ_E_STATE: OUT belongs to another job; LIZ_E_BUSY: another process
 * is at work on OUT; LIZ_E_IO, LIZ_E_MEMORY and what opening a model returns. After LIZ_E_IO report->resumable tells
 * whether the same command would continue. */
LIZ_MUST_CHECK liz_status liz_line_run(const liz_line_opts *opts, liz_line_report *report, liz_error *err);

void liz_line_report_free(liz_line_report *report);

#endif
