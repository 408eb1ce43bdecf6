/* cli.h - what the commands of the program share.
 *
 * main.c finds the command; cli_options.c reads its arguments into one struct by one table, from which the help is
 * printed too; each command is a function in a file of its own that returns the exit code. Only this room prints. */
#ifndef LIZ_CLI_CLI_H
#define LIZ_CLI_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "line/line.h"
#include "lizzie.h"
#include "train/train.h"
#include "train/tune.h"

#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ERROR_ROWS = 3 };

enum { CLI_BIAS_MAX = 1024, CLI_POSITIONAL_MAX = 16 };

typedef enum cli_command_id {
    CLI_RUN = 1,
    CLI_BATCH = 2,
    CLI_SCORE = 4,
    CLI_TOKENIZE = 8,
    CLI_INSPECT = 16,
    CLI_TEMPLATE = 32,
    CLI_BENCH = 64,
    CLI_MERGE = 128,
    CLI_TRAIN = 256,
    CLI_QUANTIZE = 512,
    CLI_TUNE = 1024,
    CLI_ALL = 2047
} cli_command_id;

enum { CLI_BENCH_COUNTS_MAX = 16, CLI_BENCH_ROUNDS_MAX = 64 };

/* What `bench` is to time. Of lengths and numbers together those that are not given are 0 until cli_bench_settle. */
typedef struct cli_bench_args {
    int32_t n_prefill, n_depth, n_shared, n_steps, n_rows, n_rounds;
    int counts[CLI_BENCH_COUNTS_MAX], n_counts; /* sequences together */
    bool has_profile;
    const char *plot, *beside; /* paths; NULL: not given */
} cli_bench_args;

/* What `quantize` is to do beside its three arguments. */
typedef struct cli_quantize_args {
    liz_quantize_opts opts;
    const char *calibration; /* the text, where there is one */
} cli_quantize_args;

/* Everything that options can say; what a command has no option for stays zero. */
typedef struct cli_args {
    const char *positional[CLI_POSITIONAL_MAX];
    int n_positional;
    liz_line_opts line; /* sampling, seed, stop strings and engine options of every command live here too */
    liz_logit_bias bias[CLI_BIAS_MAX];
    const char *breakers[LIZ_LINE_STOP_MAX];
    liz_lora loras[LIZ_LORAS_MAX]; /* line.engine's */
    bool json, jsonl, special, pairs, verbose, help;
    const char *messages;                    /* JSON text */
    const char *choices_list, *choices_text; /* as a row of CSV, as lines; NULL: not given */
    liz_buf choices;                         /* what line.choices points to */
    const char *tokens, *ids, *logits_path, *group;
    int32_t stride; /* 0: not given */
    double price_kwh;
    const char *type; /* of tensors to be written; NULL: as they are */
    bool force;
    cli_bench_args bench;
    cli_quantize_args quantize;
    liz_train_opts train; /* `common`, data and valid are tune's too */
    liz_tune_opts tune;
    const char *completion; /* with a prompt, what tune is to learn of a record */
    bool skip_long;
    int exit_code;
    liz_buf owned[8 + LIZ_LORAS_MAX]; /* texts that were read from files or split */
    int n_owned;
    liz_arena changes; /* texts that a chat's /set was given */
} cli_args;

/* What a command leaves in `out` is printed at the end. The exit code, where it is neither an error's nor EXIT_DONE, is
 * put into args->exit_code. */
typedef liz_status cli_command_fn(cli_args *args, liz_buf *out, liz_error *err);

typedef struct cli_command {
    const char *name;
    cli_command_id id;       /* 0: not in this version */
    const char *positionals; /* as the help shows them */
    int n_positional_min, n_positional_max;
    const char *summary, *examples;
    cli_command_fn *run;
} cli_command;

/* The commands, ended by one without a name; a later version's are among them with id 0. */
extern const cli_command cli_commands[];

cli_command_fn cli_run, cli_batch, cli_score, cli_tokenize, cli_inspect, cli_template, cli_bench, cli_merge, cli_train,
    cli_quantize, cli_tune;

/* Reads the arguments after the command's name. LIZ_E_USAGE; `err` then says what is wrong. */
LIZ_MUST_CHECK liz_status cli_args_read(cli_args *args, const cli_command *command, int argc, char **argv,
                                        liz_error *err);
void cli_args_free(cli_args *args);
void cli_help_command(const cli_command *command, FILE *to);

/* An option as the help shows it; `value` NULL for a flag. */
typedef struct cli_option_text {
    const char *name, *value, *help;
} cli_option_text;

/* The command's option at or after `*i`, which moves on; false when none is left. */
bool cli_option_next(const cli_command *command, int *i, cli_option_text *text);
/* The option that a letter stands for; NULL. */
const char *cli_option_long(char letter);

/* Prints what the last of words [n], those after the program's name, may be completed to: a candidate a line, then a
 * tab and what it does; a line ":" stands for files. What scripts/completion asks. */
void cli_complete(int n, char **words);

/* Fills `args->line.choices` with what was given, and checks what goes together with that. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_choices_read(cli_args *args, liz_error *err);

/* "1,2,3" to numbers; gives `*ids` [n]. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_ids_read(const char *text, const char *option, int32_t **ids, size_t *n, liz_error *err);

/* Refuses what is no UTF-8, which no model was made for; `what` is the text's name. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_text_check(const char *what, liz_str text, liz_error *err);

/* The likest of `names` (NULL-terminated) to a misspelt one; NULL when none is like it. */
const char *cli_nearest(const char *name, const char *const *names);

/* ---- Saying things ------------------------------------------------------------------------------ */

/* Prints "lizzie: TEXT" and returns the exit code that the status stands for. */
int cli_fail(liz_status status, const liz_error *err);
/* Prints progress and the log of the rooms below; `level` as in base/log.h. */
void cli_log_install(bool verbose);
/* Writes what `out` holds to standard output, and empties it. */
LIZ_MUST_CHECK liz_status cli_flush(liz_buf *out, liz_error *err);
/* LIZ_E_USAGE where `path` (NULL: none) is a file that the command reads: the model, adapters, data and the like. */
LIZ_MUST_CHECK liz_status cli_check_written(const cli_args *args, const char *path, liz_error *err);
/* Appends what standard input still has. */
LIZ_MUST_CHECK liz_status cli_read_stdin(liz_buf *text, liz_error *err);
/* Appends a text of the command line. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status cli_text_given(const char *given, liz_buf *text, liz_error *err);

/* The first SIGINT or SIGTERM sets `cli_stop` where a command has set `cli_at_work`, having something to bring to an
 * end; the second, and any before, ends the program at once, whatever it waits for. */
extern atomic_int cli_stop;
extern atomic_bool cli_at_work;
/* Set by commands that are to be run again after an interruption: then one before their work says so. */
extern atomic_bool cli_resumes;
void cli_signals_install(void);
/* 130 or 143, by the signal that came; EXIT_DONE where none did. */
int cli_exit_interrupted(void);

/* ---- Progress ----------------------------------------------------------------------------------- */

/* One line on a terminal, rewritten; nothing where standard error is none. */
void cli_progress_show(void *user, const liz_line_progress *progress);
/* The same while a model is read, as liz_engine_opts wants it; `user` may be what is done instead, as text. */
void cli_progress_open(void *user, uint64_t done, uint64_t total);
/* Takes the line away again. */
void cli_progress_clear(void);
/* The same for any text. */
void cli_progress_line(const char *text);
/* "1 h 02 min", "3 min 04 s", "5.0 s". */
const char *cli_duration(double seconds, char *out, size_t size);
/* The summary after a line. */
void cli_summary_print(const liz_line_report *report, const cli_args *args);

/* ---- Training ------------------------------------------------------------------------------------ */

typedef struct cli_teller {
    const cli_args *args;
    const char *out;
    double ops_s_max;                   /* of the machine, in bfloat16 products; 0: not measured yet */
    uint64_t first_tokens, first_steps; /* where this run began */
    double first_seconds;
} cli_teller;

/* Settles what a training takes from options that other commands have too. */
void cli_training_begin(cli_teller *t, cli_args *args, const char *out);
/* A liz_train_fn for a cli_teller. */
void cli_training_tell(void *teller, liz_train_event event, const liz_train_progress *progress);
/* Says that an interrupted training can go on. Gives `status`. */
liz_status cli_training_end(liz_status status, const liz_error *err);
/* OUT, the log and the curve must be three files, none of which is read. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_training_check(const cli_args *args, const char *out, liz_error *err);

/* ---- Chat --------------------------------------------------------------------------------------- */

/* Appends a message as JSON, a comma before it where `messages` holds one. */
void cli_message_add(liz_buf *messages, const char *role, liz_str content);
/* Renders messages (JSON objects with commas between them) for an answer to come. */
LIZ_MUST_CHECK liz_status cli_messages_render(const cli_args *args, const liz_template *t, const liz_buf *messages,
                                              liz_rendered *out, liz_error *err);

/* Generates as the options say and prints the text as it comes; `answer` (may be NULL) gets it too. */
LIZ_MUST_CHECK liz_status cli_generate(const cli_args *args, liz_engine *engine, const int32_t *tokens, size_t n_tokens,
                                       liz_buf *answer, liz_error *err);

/* Talks on a terminal until the end of the input. */
LIZ_MUST_CHECK liz_status cli_chat(cli_args *args, liz_engine *engine, const liz_template *t, liz_error *err);

/* Sets an option of generating by its name, or adds to one that may be repeated, which no value takes back. `value` is
 * borrowed for the call. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_option_change(cli_args *args, const char *name, const char *value, liz_error *err);
/* Appends those options that are set, a line each. */
void cli_options_show(const cli_args *args, liz_buf *out);

#endif
