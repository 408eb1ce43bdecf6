/* lizzie.h - generate text with open-weight models on the CPU, many sequences at a time.
 *
 * Introduction
 *   A `liz_engine` holds one model, a pool of attention-cache pages and a team of threads; it advances all submitted
 *   sequences together, one batched forward pass a step. A `liz_vocab` turns text into token ids and back.
 *   `liz_submit` hands the engine a prompt; a callback receives what is generated.
 *
 *   What a sequence generates depends on the model, its prompt, its sampling settings and its seed, and on nothing
 *   else: not on the sequences beside it, on threads, on cache hits or on the instruction set.
 *
 * The usual sequence of calls (examples/embed.c is a whole program)
 *   liz_engine_open      once for a model file
 *   liz_tokenize         a text to token ids, by liz_engine_vocab
 *   liz_submit           for each prompt, as many at once as there are: that is where the speed is
 *     ... on_event       LIZ_EVENT_TOKEN for each token, then LIZ_EVENT_DONE exactly once
 *   liz_seq_wait         where the caller has nothing better to do
 *   liz_seq_free         for each sequence
 *   liz_engine_close     at the end
 *
 * Errors
 *   What can fail returns a `liz_status`: LIZ_OK (0) or a negative code, and fills the `liz_error` given last (which
 *   may be NULL) with a sentence for a person. Each function names the codes that it returns for reasons of its own;
 *   LIZ_E_MEMORY is possible wherever something is allocated. Unless it says otherwise, a function that fails has
 *   changed nothing and gives nothing, and its outputs other than the error do not count. No function prints, exits,
 * raises a signal or changes the process's locale. A pointer that is required and NULL is a mistake of the program:
 * undefined.
 *
 * Threads
 *   An engine runs a thread of its own that drives the team. Every function may be called from any thread, and several
 *   at once on one object, except that an object must not be closed or freed while another call on it is running.
 *   Callbacks run on the engine's thread and hold up every sequence: they must be short and must not call back into
 *   the engine, except for `liz_seq_cancel`. One process may hold several engines; each needs cores of its own.
 *
 * Memory
 *   "Borrowed" is read during the call only. "Copied" may be released after it. What a function "gives" belongs to the
 *   caller, who releases it with `liz_free`, or with the function named there for handles. Strings are UTF-8 with
 *   explicit lengths, or NUL-terminated where no length is given. A struct of options whose fields are all zero asks
 *   for the defaults, so write `&(liz_engine_opts){.n_threads = 8}`. What else a number may be stands beside it;
 *   anything beyond, and NaN, is LIZ_E_USAGE.
 *   The engine plans its memory when it opens, from what the machine and the control group have, and stays within it.
 *
 * Units
 *   Names end in them: `_bytes`, `_us` (microseconds), `_s` (a second). `n_x` counts x. A token is an int32_t id.
 *
 * Stability
 *   Versions are MAJOR.MINOR.PATCH. Programs compiled for one version run with the shared library of another as long
 *   as its soname is the same: liblizzie.so.MAJOR, or liblizzie.so.0.MINOR while MAJOR is 0. Within it functions and
 *   enum values are added, never changed or removed, and structs keep their size and layout. Between sonames structs
 *   may grow at their end, so a source that names fields (designated initialisers) compiles on. Symbols are versioned
 *   by the release that brought them. What a model generates changes only with `liz_numeric_version`. */
#ifndef LIZZIE_H
#define LIZZIE_H

#include "lizzie_status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The library ------------------------------------------------------------------------------- */

/* The version of this header. LIZ_VERSION compares: #if LIZ_VERSION >= LIZ_VERSION_OF(0, 2, 0) */
#define LIZ_VERSION_MAJOR 0
#define LIZ_VERSION_MINOR 1
#define LIZ_VERSION_PATCH 0
#define LIZ_VERSION_OF(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))
#define LIZ_VERSION LIZ_VERSION_OF(LIZ_VERSION_MAJOR, LIZ_VERSION_MINOR, LIZ_VERSION_PATCH)

/* Releases what a function here gave. NULL is allowed. */
LIZ_API void liz_free(void *p);

/* The version of the library that runs, "MAJOR.MINOR.PATCH"; that of the header may be older. Static. */
LIZ_API const char *liz_version(void);

/* The version of the numeric contract (docs/kernels.md): outputs of equal versions are equal bytes. */
LIZ_API int liz_numeric_version(void);

/* The kernel tier in use: "c", "avx2", "avx512" or "amx" (the machine's best, capped by the environment variable
 * LIZZIE_ISA). LIZ_E_USAGE when LIZZIE_ISA names no tier. `*name` is static. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tier(const char **name, liz_error *err);

/* What this machine can do at most, by which a speed can be judged. */
typedef struct liz_machine {
    char cpu[64];        /* the processor's name for itself, "" where unknown */
    const char *tier;    /* kernel tier in use; static */
    int n_threads;       /* that the rates below were measured with */
    double read_bytes_s; /* memory read front to back, far beyond the caches */
    double int8_ops_s;   /* int8 multiplications and additions, counted one by one, from registers */
    double bf16_ops_s;   /* the same in bfloat16; in float on tiers that have no instruction for it */
} liz_machine;

/* Measures it, which keeps `n_threads` cores (0: the default of liz_engine_opts) and up to 256 MiB busy for about a
 * second; the best of several tries, so that other work on the machine disturbs it little. Uses no engine.
 * LIZ_E_USAGE as liz_tier, or for an n_threads that is not from 0 to 1024. */
LIZ_API LIZ_MUST_CHECK liz_status liz_machine_measure(int n_threads, liz_machine *out, liz_error *err);

/* ---- Vocabulary -------------------------------------------------------------------------------- */

/* The vocabulary of a model file: immutable once open, so shared freely between threads. */
typedef struct liz_vocab liz_vocab;

/* Gives `*out`, to be released with liz_vocab_close, from the GGUF file at `path`, which is not needed any more
 * afterwards. Needs no weights and no known architecture. An engine has its vocabulary open already.
 * LIZ_E_UNSUPPORTED names an unknown tokenizer or pre-tokenizer, or says that the file has none; LIZ_E_FORMAT,
 * LIZ_E_IO. */
LIZ_API LIZ_MUST_CHECK liz_status liz_vocab_open(liz_vocab **out, const char *path, liz_error *err);

/* Releases it. NULL is allowed. Not for the vocabulary of an engine. */
LIZ_API void liz_vocab_close(liz_vocab *vocab);

/* Tokens it has; ids go from 0 to one less. */
LIZ_API int32_t liz_vocab_size(const liz_vocab *vocab);

/* True when generating this token ends the text (EOS, EOT and their like); false for ids outside the vocabulary. */
LIZ_API bool liz_vocab_is_end(const liz_vocab *vocab, int32_t token);

enum {
    LIZ_TOKENIZE_AFFIXES = 1, /* add BOS and EOS where the model file asks for them */
    LIZ_TOKENIZE_SPECIAL = 2  /* control tokens written in the text are those tokens */
};

/* Gives `*tokens` [n_tokens] for `text` [n_text], borrowed. Bytes that are not UTF-8 take the model's byte fallback or
 * its unknown token. `flags`: LIZ_TOKENIZE_*, or 0. Without affixes an empty text has no tokens. Leave out
 * LIZ_TOKENIZE_SPECIAL where the text is data: it could write control tokens. Takes time in proportion to the text.
 * LIZ_E_LIMIT for more than 2^31 - 1 bytes. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tokenize(const liz_vocab *vocab, const char *text, size_t n_text, unsigned flags,
                                               int32_t **tokens, size_t *n_tokens, liz_error *err);

/* Gives `*text` [n_text], NUL-terminated beyond its length, for tokens [n_tokens], borrowed. Control tokens are
 * left out unless LIZ_TOKENIZE_SPECIAL is given. The bytes need not be whole UTF-8 characters, and a single token's may
 * differ from what it adds within a text: a vocabulary may drop the space at a text's beginning.
 * LIZ_E_USAGE when an id is outside the vocabulary. */
LIZ_API LIZ_MUST_CHECK liz_status liz_detokenize(const liz_vocab *vocab, const int32_t *tokens, size_t n_tokens,
                                                 unsigned flags, char **text, size_t *n_text, liz_error *err);

/* ---- Chat templates ---------------------------------------------------------------------------- */

/* What turns messages into the text that a model was trained on: a Jinja2 template (docs/templates.md). Immutable once
 * open. A rendering is bounded in time, depth and memory, and a template can reach nothing but its variables. */
typedef struct liz_template liz_template;

/* Opens the template of a GGUF file, or a file that holds a template as text. `*out` is NULL where a model has none.
 * LIZ_E_UNSUPPORTED names a construct that is not known, LIZ_E_FORMAT a mistake; both with err->line. */
LIZ_API LIZ_MUST_CHECK liz_status liz_template_open(liz_template **out, const char *path, liz_error *err);
LIZ_API void liz_template_close(liz_template *t); /* NULL is allowed */

/* Which template it is: a hash of its text, in hexadecimal, owned by the template. */
LIZ_API const char *liz_template_hash(const liz_template *t);

/* A text, and the ranges of its bytes that came from the variables rather than from the template:
 * data[2 * i] up to data[2 * i + 1], ascending. */
typedef struct liz_rendered {
    char *text; /* [n_text], NUL-terminated beyond its length */
    size_t n_text;
    size_t *data; /* [2 * n_data] */
    size_t n_data;
} liz_rendered;

enum {
    /* `messages` are as chat APIs write them: content in parts of text, null content beside tool calls, their arguments
     * as JSON in a string and the role `developer` are given to the template in the form that it can take. */
    LIZ_RENDER_CHAT = 1
};

/* `variables` [n_variables] is a JSON object: messages, tools, add_generation_prompt and whatever the template reads;
 * a model's own bos_token and eos_token need not be among them. `now` is the clock of strftime_now as
 * "YYYY-MM-DD[THH:MM[:SS]]", a zone after it being passed over; NULL: the present local time.
 * Gives `*out`, to be released with `liz_rendered_free`. LIZ_E_CANCELLED: the template refuses the messages, and the
 * text is its own; LIZ_E_FORMAT: the variables are no JSON object, or the template cannot work with them;
 * LIZ_E_UNSUPPORTED, LIZ_E_LIMIT, LIZ_E_MEMORY; LIZ_E_USAGE: `now` is no time. With LIZ_RENDER_CHAT LIZ_E_USAGE names
 * what is no message, and LIZ_E_UNSUPPORTED what the model would not see: an image, or tools that the template does not
 * show. */
LIZ_API LIZ_MUST_CHECK liz_status liz_template_render(const liz_template *t, const char *variables, size_t n_variables,
                                                      const char *now, unsigned flags, liz_rendered *out,
                                                      liz_error *err);
LIZ_API void liz_rendered_free(liz_rendered *rendered);

/* As liz_tokenize, for a rendered text: control tokens that the template wrote are those tokens; written in data they
 * are text. Neither BOS nor EOS is added, since templates write them. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tokenize_rendered(const liz_vocab *vocab, const liz_rendered *rendered,
                                                        int32_t **tokens, size_t *n_tokens, liz_error *err);

/* ---- Engine ------------------------------------------------------------------------------------ */

typedef struct liz_engine liz_engine;

/* Drafts: tokens that are guessed and computed in one step together, and kept as far as they are what the model would
 * have said anyway. They change how fast a text comes, never the text. */
typedef enum liz_speculate {
    LIZ_SPECULATE_AUTO = 0,  /* drafts where they pay: few rows in a step, and guesses that have been right */
    LIZ_SPECULATE_OFF = 1,   /* one token of a sequence at a time */
    LIZ_SPECULATE_NGRAM = 2, /* wherever a sequence's last tokens stood before in it */
} liz_speculate;

typedef enum liz_cache_type { LIZ_CACHE_BF16 = 0, LIZ_CACHE_F32 = 1, LIZ_CACHE_INT8 = 2 } liz_cache_type;

#define LIZ_LORAS_MAX 64

/* A low-rank adapter (LoRA) for the model, a GGUF file of the form that llama.cpp reads. */
typedef struct liz_lora {
    const char *path;
    float scale;     /* multiplies what the file says; 0: 1 */
    bool on_request; /* only for the sequences that ask for it (liz_request); else for all, scored texts included */
} liz_lora;

/* Zero in any field means its default. */
typedef struct liz_engine_opts {
    int n_threads;           /* 1 to 1024; default: what CPU affinity and the cgroup quota leave this process */
    int n_parallel;          /* sequences advanced together, 1 to 1024; default 32, fewer where memory is short */
    int32_t n_ctx;           /* tokens a sequence may hold, prompt included: 2 to the model's, which is the default */
    int32_t n_prefill_chunk; /* prompt tokens a step may compute, 1 to 65536; default 512 */
    liz_cache_type cache_type;
    bool prefix_cache_off;
    uint64_t memory_max_bytes; /* default: what the machine and the cgroup have available */
    /* Called on the opening thread while a model is read; `done` of `total` bytes. May be NULL. */
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *on_progress_user;
    const liz_lora *loras; /* [n_loras], at most LIZ_LORAS_MAX */
    size_t n_loras;
    /* Writes the packed weights to a file beside the model, PATH.packed, unless they are there. Whatever this says, a
     * file that is there and of the model file as it is now is mapped: nothing is packed then. */
    bool keep_packed;
    liz_speculate speculate;
    bool profile; /* keep what liz_engine_profile_get tells */
} liz_engine_opts;

/* Opens a GGUF file (the first of several where it is split), packs its weights, plans all memory and starts the
 * engine's thread. Gives `*out`, to be released with liz_engine_close. `path` and `opts` (NULL: all defaults) are
 * copied. The file stays mapped while open and must not change. A file whose vocabulary is not known still opens, for
 * token ids in and out. Blocks while it reads: a second for each gigabyte or two.
 * LIZ_E_MEMORY before anything is read when the weights and one sequence cannot fit, with the numbers;
 * LIZ_E_UNSUPPORTED names an unknown architecture or tensor type, or what an adapter is for and the model does not
 * have; LIZ_E_FORMAT what is wrong in the file; LIZ_E_IO; LIZ_E_USAGE for an option out of range. */
LIZ_API LIZ_MUST_CHECK liz_status liz_engine_open(liz_engine **out, const char *path, const liz_engine_opts *opts,
                                                  liz_error *err);

/* Cancels what still runs (their last events come before it returns), waits for the engine's thread and releases
 * everything but the sequences, which are freed by liz_seq_free, before or after. Not from a callback. NULL is
 * allowed. */
LIZ_API void liz_engine_close(liz_engine *engine);

/* The model's vocabulary, owned by the engine and valid until it is closed; NULL where the file has none that is
 * known. */
LIZ_API const liz_vocab *liz_engine_vocab(const liz_engine *engine);

/* ---- Sampling ---------------------------------------------------------------------------------- */

typedef struct liz_logit_bias {
    int32_t token;
    float bias; /* [-1e6, 1e6], added to the logit; -INFINITY forbids the token */
} liz_logit_bias;

/* Zero in any field turns that step off, or stands for the value given beside it; all zero is greedy. The order of the
 * steps and the draws are defined in docs/sampling.md. Ties go to the lowest id. In brackets stands what else a field
 * may be, both ends included. */
typedef struct liz_sampling {
    float temperature;       /* [1e-6, 1e6]; 0: greedy, the likeliest token after the steps that apply */
    int32_t top_k;           /* [1, 2^31 - 1] */
    float top_p;             /* [1e-6, 1]; 0 or 1 is off */
    float min_p;             /* [1e-9, 1]: keeps p >= min_p * p_max */
    float repeat_penalty;    /* [0.01, 100]; 0 or 1 is off; over the last 64 tokens, prompt included */
    float frequency_penalty; /* [-1000, 1000]: subtracted once for each occurrence among them */
    float presence_penalty;  /* [-1000, 1000]: subtracted once for a token that occurs among them */
    float typical_p;         /* [1e-6, 1]; 0 or 1 is off: locally typical sampling */
    float xtc_probability;   /* [1e-6, 1]: how often XTC drops all likely tokens but the least likely of them, ... */
    float xtc_threshold;     /* [1e-6, 0.5]: ... where two or more have at least this probability; 0 is 0.1 */
    /* [1e-6, 1000]: DRY subtracts dry_multiplier * dry_base^(n - dry_allowed_length) from a token that would lengthen a
     * repetition of n tokens. */
    float dry_multiplier;
    float dry_base;             /* [1, 16]; 0 is 1.75 */
    int32_t dry_allowed_length; /* [1, 32768]; 0 is 2 */
    int32_t dry_range;          /* [1, 32768]: the last tokens it looks at, prompt included; 0 is 4096 */
    /* Texts that no repetition goes across; NULL: a line end, colon, double quote and asterisk. */
    const char *const *dry_breakers; /* [n_dry_breakers] */
    size_t n_dry_breakers;
    const liz_logit_bias *bias;
    size_t n_bias;
    uint64_t seed; /* of this sequence; the draw at a position is Philox keyed by it */
} liz_sampling;

/* Whether a request to a model of `n_vocab` logits may have it. LIZ_E_USAGE names the setting that is out of range, a
 * biased token outside the vocabulary, or more biases than tokens. */
LIZ_API LIZ_MUST_CHECK liz_status liz_sampling_check(const liz_sampling *sampling, int32_t n_vocab, liz_error *err);

/* What a token asks of the machine in a part of the model: arithmetic (a multiplication and an addition are two), and
 * weights in memory, which a step reads once for all its tokens. Of a mixture of experts those a token is given. */
typedef struct liz_work {
    uint64_t int8_ops, float_ops;
    uint64_t weight_bytes;
} liz_work;

/* What the model file states about itself, and what the engine made of it. Strings are owned by the engine. */
typedef struct liz_engine_info {
    const char *arch;
    const char *name;          /* "" where the file has none */
    const char *chat_template; /* NULL where the file has none */
    const char *tier;          /* kernel tier in use */
    int32_t n_vocab;           /* logits a position has */
    int32_t n_ctx_train;
    int32_t n_ctx; /* tokens a sequence may hold */
    int n_parallel;
    int n_threads;
    uint64_t weights_bytes; /* resident for weights */
    uint64_t cache_bytes;   /* resident for the attention cache, bounded */
    uint64_t n_params;
    /* Sampling defaults of the model file (general.sampling.*); a field the file does not state is NAN,
     * and -1 for top_k. */
    float temperature, top_p, min_p, repeat_penalty, xtc_probability, xtc_threshold;
    int32_t top_k;
    liz_work work_layers; /* of every token */
    liz_work work_output; /* of a token that another one is drawn after, besides */
} liz_engine_info;

/* Fills `*info`. It does not change while the engine is open. */
LIZ_API void liz_engine_info_get(const liz_engine *engine, liz_engine_info *info);

/* Counters since open, for summaries and for tests that must see that something happened. */
typedef struct liz_engine_stats {
    uint64_t n_steps;            /* batched forward passes */
    uint64_t n_tokens_prefilled; /* prompt tokens computed */
    uint64_t n_tokens_reused;    /* prompt tokens taken from the prefix cache */
    uint64_t n_tokens_decoded;   /* tokens generated */
    uint64_t n_tokens_drafted;   /* tokens guessed, */
    uint64_t n_drafts_kept;      /* and of them those that were right */
    uint64_t n_pages_evicted;    /* cached pages given up for new ones */
    int n_seqs_step_max;         /* most sequences that shared one step */
    int n_pages_used_max;        /* most cache pages in use at once */
    int n_pages;                 /* cache pages there are */
} liz_engine_stats;

/* A part of what steps do. */
typedef struct liz_profile_part {
    const char *name; /* static */
    uint64_t us;      /* the team's time */
    uint64_t bytes;   /* of weights, keys and values that it read; 0 for parts that read none */
} liz_profile_part;

enum { LIZ_PROFILE_PARTS_MAX = 32 };

/* Where the time of steps went since the engine was opened with opts.profile; fills `parts` [LIZ_PROFILE_PARTS_MAX] and
 * returns how many they are, 0 without a profile. As of the last step, like the stats. */
LIZ_API size_t liz_engine_profile_get(liz_engine *engine, liz_profile_part *parts);

/* Fills `*stats` as of the last step. Cheap; holds the engine's lock for a moment. */
LIZ_API void liz_engine_stats_get(liz_engine *engine, liz_engine_stats *stats);

/* ---- Sequences --------------------------------------------------------------------------------- */

/* One prompt on its way through the engine: queued, computed, generating, ended. */
typedef struct liz_seq liz_seq;

typedef enum liz_finish {
    LIZ_FINISH_STOP = 0,      /* the model ended the text, or a stop string or stop token appeared */
    LIZ_FINISH_LENGTH = 1,    /* n_predict_max or the context was reached */
    LIZ_FINISH_CANCELLED = 2, /* liz_seq_cancel or liz_engine_close */
    LIZ_FINISH_FAILED = 3     /* see `status` and `message` */
} liz_finish;

typedef enum liz_event_type {
    LIZ_EVENT_TOKEN = 0, /* one token was generated */
    LIZ_EVENT_DONE = 1,  /* the last event of a sequence, exactly one */
    LIZ_EVENT_PROMPT = 2 /* request.prompt_logprobs: one token of the prompt, in order, before what is generated */
} liz_event_type;

typedef struct liz_token_logprob {
    int32_t token;
    float logprob; /* natural logarithm of the model's probability, before any sampling step */
} liz_token_logprob;

/* Times of one sequence, and what it took from the prefix cache. */
typedef struct liz_seq_stats {
    uint64_t queue_us;      /* from liz_submit until it was admitted */
    uint64_t prefill_us;    /* until its first token */
    uint64_t decode_us;     /* from there to its end */
    size_t n_prompt;        /* prompt tokens */
    size_t n_prompt_reused; /* of them, taken from the prefix cache */
    size_t n_completion;    /* tokens generated; a token that only ended the text is not counted */
} liz_seq_stats;

/* All pointers are valid during the callback only. */
typedef struct liz_event {
    liz_event_type type;
    /* Text that is now certain: whole UTF-8 characters, nothing that may belong to a stop string yet.
     * May be empty for a token and may be non-empty at the end. */
    const char *text;
    size_t n_text;
    /* LIZ_EVENT_TOKEN and LIZ_EVENT_PROMPT */
    int32_t token;
    float logprob; /* of `token`, where asked for; NAN for the prompt's first, since nothing comes before it */
    const liz_token_logprob *top; /* [n_top], likeliest first */
    int n_top;
    /* LIZ_EVENT_DONE */
    liz_finish finish;
    liz_status status;
    const char *message;
    liz_seq_stats stats;
    /* LIZ_EVENT_DONE of a request with choices that did not fail: the likeliest, and the probability of each, which sum
     * to 1. */
    int32_t choice;
    const double *probs; /* [n_probs]; NULL otherwise */
    int32_t n_probs;
} liz_event;

/* Receives a sequence's events in order, on the engine's thread (see Threads above). */
typedef void liz_on_event(void *user, const liz_event *event);

#define LIZ_LOGPROBS_TOP_MAX 20
#define LIZ_STOP_TOKENS_MAX 64
#define LIZ_CHOICES_MAX 65536
#define LIZ_CHOICES_TAIL 16 /* tokens of a prompt's end that liz_tokenize_choices looks at */

/* A text that may be the answer, as tokens (liz_tokenize_choices). */
typedef struct liz_choice {
    const int32_t *tokens; /* [n_tokens], n_tokens >= 1 */
    size_t n_tokens;
} liz_choice;

/* Several completions of one prompt are several requests that differ in `sampling.seed` (liz_seed): whatever whole
 * pages of 32 tokens their prompts share is computed once, and each says what it would say alone. */
typedef struct liz_request {
    const int32_t *tokens; /* [n_tokens], n_tokens >= 1, copied */
    size_t n_tokens;
    liz_sampling sampling;   /* copied, bias included */
    int32_t n_predict_max;   /* tokens to generate at most; 0: to the end of the context */
    const char *const *stop; /* [n_stop] strings that end the text and are not part of it; copied */
    size_t n_stop;
    const int32_t *stop_tokens; /* [n_stop_tokens] tokens that end the text as the model's own do; copied */
    size_t n_stop_tokens;       /* at most LIZ_STOP_TOKENS_MAX */
    bool ignore_end;            /* forbid the tokens by which the model ends a text */
    bool logprobs;              /* report log-probabilities */
    int n_logprobs_top;         /* alternatives to report with each, at most LIZ_LOGPROBS_TOP_MAX */
    bool prompt_logprobs;       /* report those of the prompt, as liz_score would: all of it is then computed */
    int n_prompt_logprobs_top;  /* alternatives to report with each of these */
    uint64_t loras;             /* bit i: with loras[i] of the engine's options, beside those that all have */
    liz_on_event *on_event;     /* may be NULL */
    void *user;
    /* Where there are any the answer is one of them: not what sampling would make, but the likeliest, the probability
     * of each being the product of the model's probabilities of its tokens and of an end after them, in proportion to
     * the others'. An end is any token that ends the text: the model's own unless `ignore_end`, and `stop_tokens`;
     * where there is none, the tokens alone count. Only LIZ_EVENT_DONE comes, and says the choice. What choices begin
     * with together is computed once. Sampling and n_predict_max do not matter; no two may be the same tokens, and stop
     * strings, logit bias and log-probabilities cannot go with them. */
    const liz_choice *choices; /* [n_choices], copied */
    size_t n_choices;
} liz_request;

/* Gives `*choices` [n_texts], one block, released with liz_free: the tokens by which each of `texts` (NUL-terminated,
 * not empty, data: no control tokens) continues a prompt of these tokens [n_prompt], borrowed. They are those that it
 * has behind the prompt's end, and where the two would merge into other tokens, those it has alone. Behind a letter, a
 * digit or one of .,:;?!)]} a space is put before a text that does not begin with white space. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tokenize_choices(const liz_vocab *vocab, const int32_t *prompt, size_t n_prompt,
                                                       const char *const *texts, size_t n_texts, liz_choice **choices,
                                                       liz_error *err);

/* Queues a sequence and returns at once. On success gives `*out`, to be released with `liz_seq_free`; its first event
 * may come before this returns. `request` and all it points to are copied. First come, first served, but for prompts
 * whose beginning is being computed for another one. What it generates does not depend on when it is submitted.
 * LIZ_E_LIMIT when the prompt leaves no room for one token, or for the longest choice (the text names the numbers),
 * LIZ_E_USAGE for a token outside the vocabulary or a setting outside its range, LIZ_E_BUSY when the
 * queue is full (4 * n_parallel sequences): wait for one to end. No event comes on failure. */
LIZ_API LIZ_MUST_CHECK liz_status liz_submit(liz_engine *engine, const liz_request *request, liz_seq **out,
                                             liz_error *err);

/* The seed of completion `sample` of row `index` in a job of this seed, made for the `attempt`-th time, each counted
 * from 0: the low 64 bits of Philox4x32-10 keyed by `seed` at (index, sample, attempt, 0). */
LIZ_API uint64_t liz_seed(uint64_t seed, uint32_t index, uint32_t sample, uint32_t attempt);

/* Asks the sequence to end soon and returns at once; its last event still comes, with LIZ_FINISH_CANCELLED unless it
 * had ended by itself. From any thread, callbacks included, and more than once. */
LIZ_API void liz_seq_cancel(liz_seq *seq);

/* Waits for the last event to have been delivered; what the callback wrote is visible afterwards. Not from a callback.
 */
LIZ_API void liz_seq_wait(liz_seq *seq);

/* Cancels and waits if needed, then releases. Not from a callback. NULL is allowed. */
LIZ_API void liz_seq_free(liz_seq *seq);

/* ---- Scoring ----------------------------------------------------------------------------------- */

/* Receives logits [n_pos, n_vocab] float32, borrowed, of positions pos0, pos0 + 1, ... in order, on the engine's
 * thread. Returning false cancels. */
typedef bool liz_on_logits(void *user, size_t pos0, size_t n_pos, const float *logits);

/* The model's log-probability of each of tokens [n_tokens] given those before it: `logprobs` [n_tokens],
 * where logprobs[0] is 0 since nothing comes before it; natural logarithms. `tokens` is borrowed. `on_logits` may be
 * NULL; so may `logprobs`. Blocks until done, beside the sequences that run. LIZ_E_LIMIT when n_tokens exceeds the
 * context; LIZ_E_USAGE for no token or one outside the vocabulary; LIZ_E_CANCELLED when on_logits or liz_engine_close
 * ended it; LIZ_E_NUMERIC. After these two `logprobs` holds what was known. */
LIZ_API LIZ_MUST_CHECK liz_status liz_score(liz_engine *engine, const int32_t *tokens, size_t n_tokens, float *logprobs,
                                            liz_on_logits *on_logits, void *user, liz_error *err);

/* ---- Files ------------------------------------------------------------------------------------- */

/* Gives a JSON object, NUL-terminated, that says what a model file holds (architecture, sizes, quantisation,
 * vocabulary, template), what it needs in memory under `opts` (may be NULL), and which kernel variant would run each
 * operation on this machine. Reads no weights; needs no known architecture and no tensors. Members may be added in any
 * version. LIZ_E_FORMAT, LIZ_E_IO, LIZ_E_USAGE. */
LIZ_API LIZ_MUST_CHECK liz_status liz_inspect(const char *path, const liz_engine_opts *opts, char **json,
                                              liz_error *err);

/* Which bytes a model is. `stamp` tells cheaply whether the files may have changed (device, inode, size
 * and modification time of each part); `hash` is of their whole content, in hexadecimal. */
typedef struct liz_model_identity {
    char stamp[256];
    char hash[64];
} liz_model_identity;

/* Fills `*io`, NUL-terminated texts. A caller that kept an identity passes it in: where the stamp still holds the hash
 * is kept, and the files are not read. An empty stamp asks for all, which reads the whole files. LIZ_E_FORMAT,
 * LIZ_E_IO. */
LIZ_API LIZ_MUST_CHECK liz_status liz_model_identify(const char *path, liz_model_identity *io, liz_error *err);

/* Zero in any field means its default, but there is an adapter or another model. */
typedef struct liz_merge_opts {
    const liz_lora *loras; /* [n_loras] */
    size_t n_loras;
    /* [n_others], at most 15: paths of models with the tensors, architecture and vocabulary of the first. The mean of
     * all their weights is taken before adapters are added (Wortsman et al. 2022, "Model soups"). */
    const char *const *others;
    size_t n_others;
    const char *type; /* of the matrices that change, "F16" and the like; NULL: their own */
    bool overwrite;   /* what stands at `out_path` */
    int n_threads;    /* as of liz_engine_opts */
    /* Bytes of the model, on the calling thread; false ends it with LIZ_E_CANCELLED. May be NULL. */
    bool (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *on_progress_user;
} liz_merge_opts;

/* Writes a model file at `out_path` in which the adapters are part of the weights. The rest, metadata too, is the first
 * model's. The file appears whole, by renaming, or not at all; its bytes depend on the files, the scales and the type.
 * `opts` may be NULL, which asks for nothing to be merged. LIZ_E_USAGE where that is neither an adapter nor a second
 * model; LIZ_E_STATE when there is a file already; otherwise as liz_engine_open. */
LIZ_API LIZ_MUST_CHECK liz_status liz_merge(const char *model_path, const char *out_path, const liz_merge_opts *opts,
                                            liz_error *err);

/* ---- Quantising -------------------------------------------------------------------------------- */

/* The names that liz_quantize takes, i from 0, finest first, plain types before mixes; NULL beyond the last. Static. */
LIZ_API const char *liz_quantize_type(int i);

/* Zero in any field means its default. */
typedef struct liz_quantize_opts {
    int n_threads;              /* as of liz_engine_opts */
    const char *output_type;    /* of output.weight; NULL: as the type says */
    const char *embedding_type; /* of token_embd.weight */
    const char *imatrix_path;   /* a file of liz_imatrix_make or llama-imatrix (GGUF); NULL: all inputs count alike */
    bool overwrite;             /* replace a file that is there */
    /* Called on the calling thread; `done` of about `total` bytes read. False ends it with LIZ_E_CANCELLED. May be
     * NULL. */
    bool (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *on_progress_user;
} liz_quantize_opts;

typedef struct liz_quantize_report {
    uint64_t bytes_in, bytes_out; /* of the files */
    int n_tensors;                /* that changed their type */
    int n_other_type;             /* of them, those whose rows made it another one than was asked for */
    double error;                 /* of what was written: sum of (w - v)^2 over that of w^2 */
    double error_weighted;        /* the same with each weight counted by its importance */
} liz_quantize_report;

/* Writes the model file `in` (the first of several where it is split) as the single file `out`, its matrices in `type`:
 * a name of liz_quantize_type in any case (docs/quantize.md). Metadata is kept. The bytes depend on the files and the
 * settings alone. `out` appears when it is whole and durable; until then there is OUT.part. Memory does not grow with
 * the model. `opts` and `report` may be NULL. Blocks: 10 to 30 million weights a second and core.
 * LIZ_E_USAGE for a type that is none; LIZ_E_STATE when `out` is there; LIZ_E_NUMERIC names a tensor with a weight that
 * is not finite; LIZ_E_UNSUPPORTED one whose type cannot be read; LIZ_E_FORMAT; LIZ_E_IO; LIZ_E_CANCELLED. */
LIZ_API LIZ_MUST_CHECK liz_status liz_quantize(const char *in, const char *out, const char *type,
                                               const liz_quantize_opts *opts, liz_quantize_report *report,
                                               liz_error *err);

typedef struct liz_imatrix_report {
    size_t n_tokens;
    double perplexity; /* of the text, in pieces of up to 512 tokens */
} liz_imatrix_report;

/* Runs the model at `path` over `text` [n_text] and writes to `out` how much each input of each matrix matters: its
 * mean square (docs/quantize.md). Of `opts` n_threads, memory_max_bytes and on_progress count; it and `report`
 * may be NULL. The bytes depend on the model and the text alone. Replaces `out` if it is there. LIZ_E_USAGE for a text
 * of less than two tokens; else as liz_engine_open and liz_score. */
LIZ_API LIZ_MUST_CHECK liz_status liz_imatrix_make(const char *path, const char *text, size_t n_text, const char *out,
                                                   const liz_engine_opts *opts, liz_imatrix_report *report,
                                                   liz_error *err);

#ifdef __cplusplus
}
#endif
#endif
