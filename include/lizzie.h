/* lizzie.h - generate text with open-weight models on the CPU, many sequences at a time.
 *
 * A `liz_vocab` turns text into token ids and back. A `liz_engine` holds one model, a pool of
 * attention-cache pages and a team of threads; it advances all submitted sequences together, one
 * batched forward pass a step. `liz_submit` hands it a prompt; a callback receives what is generated.
 *
 * What a sequence generates depends on the model, its prompt, its sampling settings and its seed, and
 * on nothing else: not on the sequences beside it, on threads, on cache hits or on the instruction set.
 *
 * Threads: an engine runs one thread of its own that drives the team. Every function here may be
 * called from any thread unless it says otherwise, except that an object must not be closed while
 * another call on it is running. Callbacks run on the engine's thread: they must be short and must not
 * call back into the engine, except for `liz_seq_cancel`.
 *
 * Errors are values: see lizzie_status.h. Strings are UTF-8 with explicit lengths, or NUL-terminated
 * where no length is given. Memory handed to the caller ("gives") is released with `liz_free`. */
#ifndef LIZZIE_H
#define LIZZIE_H

#include "lizzie_status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Releases what a function here gave. NULL is allowed. */
LIZ_API void liz_free(void *p);

/* The version of the program and library, "MAJOR.MINOR.PATCH". */
LIZ_API const char *liz_version(void);

/* The version of the numeric contract (docs/kernels.md): outputs of equal versions are equal bytes. */
LIZ_API int liz_numeric_version(void);

/* The kernel tier in use: "c", "avx2", "avx512" or "amx" (the machine's best, capped by LIZZIE_ISA).
 * LIZ_E_USAGE when LIZZIE_ISA names no tier. `*name` is static. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tier(const char **name, liz_error *err);

/* ---- Vocabulary -------------------------------------------------------------------------------- */

/* The vocabulary of a model file: immutable once open. Needs no weights and no known architecture. */
typedef struct liz_vocab liz_vocab;

/* LIZ_E_UNSUPPORTED names an unknown tokenizer or pre-tokenizer, or says that the file has none. */
LIZ_API LIZ_MUST_CHECK liz_status liz_vocab_open(liz_vocab **out, const char *path, liz_error *err);
LIZ_API void liz_vocab_close(liz_vocab *vocab);

LIZ_API int32_t liz_vocab_size(const liz_vocab *vocab);

/* True when generating this token ends the text (EOS, EOT and their like). */
LIZ_API bool liz_vocab_is_end(const liz_vocab *vocab, int32_t token);

enum {
    LIZ_TOKENIZE_AFFIXES = 1, /* add BOS and EOS where the model file asks for them */
    LIZ_TOKENIZE_SPECIAL = 2  /* control tokens written in the text are those tokens */
};

/* Gives `*tokens` [n_tokens] for `text` [n_text] (valid UTF-8 or not: bytes that are not UTF-8 take the
 * model's byte fallback or its unknown token). LIZ_E_MEMORY. */
LIZ_API LIZ_MUST_CHECK liz_status liz_tokenize(const liz_vocab *vocab, const char *text, size_t n_text, unsigned flags,
                                               int32_t **tokens, size_t *n_tokens, liz_error *err);

/* Gives `*text` [n_text], NUL-terminated beyond its length, for tokens [n_tokens]. Control tokens are
 * left out unless LIZ_TOKENIZE_SPECIAL is given. The bytes need not be whole UTF-8 characters.
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
    /* `messages` are as chat APIs write them: content in parts of text, and arguments of tool calls as JSON in a
     * string, are given to the template in the form that it can take. */
    LIZ_RENDER_CHAT = 1
};

/* `variables` [n_variables] is a JSON object: messages, tools, add_generation_prompt and whatever the template reads;
 * a model's own bos_token and eos_token need not be among them. `now` is the clock of strftime_now as
 * "YYYY-MM-DD[THH:MM[:SS]]", a zone after it being passed over; NULL: the present local time.
 * Gives `*out`, to be released with `liz_rendered_free`. LIZ_E_CANCELLED: the template refuses the messages, and the
 * text is its own; LIZ_E_FORMAT: the variables are no JSON object, or the template cannot work with them;
 * LIZ_E_UNSUPPORTED, LIZ_E_LIMIT, LIZ_E_MEMORY; LIZ_E_USAGE: `now` is no time. */
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

typedef enum liz_cache_type { LIZ_CACHE_BF16 = 0, LIZ_CACHE_F32 = 1 } liz_cache_type;

/* Zero in any field means its default. */
typedef struct liz_engine_opts {
    int n_threads;           /* default: what CPU affinity and the cgroup quota leave this process */
    int n_parallel;          /* sequences advanced together; default 32, fewer where memory is short */
    int32_t n_ctx;           /* tokens a sequence may hold, prompt included; default: the model's */
    int32_t n_prefill_chunk; /* prompt tokens a step may compute; default 512 */
    liz_cache_type cache_type;
    bool prefix_cache_off;
    uint64_t memory_max_bytes; /* default: what the machine and the cgroup have available */
    /* Called on the opening thread while a model is read; `done` of `total` bytes. May be NULL. */
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *on_progress_user;
} liz_engine_opts;

/* Opens a GGUF file (the first of several where it is split). The file stays mapped while open.
 * LIZ_E_MEMORY before anything is read when the weights and one sequence cannot fit;
 * LIZ_E_UNSUPPORTED names an unknown architecture or tensor type; LIZ_E_FORMAT, LIZ_E_IO, LIZ_E_USAGE. */
LIZ_API LIZ_MUST_CHECK liz_status liz_engine_open(liz_engine **out, const char *path, const liz_engine_opts *opts,
                                                  liz_error *err);

/* Cancels what still runs, waits for the engine's thread and releases everything. NULL is allowed. */
LIZ_API void liz_engine_close(liz_engine *engine);

/* The model's vocabulary, owned by the engine; NULL where the file has none. */
LIZ_API const liz_vocab *liz_engine_vocab(const liz_engine *engine);

/* ---- Sampling ---------------------------------------------------------------------------------- */

typedef struct liz_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids the token */
} liz_logit_bias;

/* Zero in any field turns that step off; all zero is greedy. The order of the steps and the draw are
 * defined in docs/sampling.md. Ties go to the lowest id. */
typedef struct liz_sampling {
    float temperature; /* 0: greedy, the likeliest token after the steps that apply */
    int32_t top_k;
    float top_p;             /* in (0, 1); 0 or 1 is off */
    float min_p;             /* in (0, 1]: keeps p >= min_p * p_max */
    float repeat_penalty;    /* > 0; 0 or 1 is off; over the last 64 tokens, prompt included */
    float frequency_penalty; /* subtracted once for each occurrence among them */
    float presence_penalty;  /* subtracted once for a token that occurs among them */
    const liz_logit_bias *bias;
    size_t n_bias;
    uint64_t seed; /* of this sequence; the draw at a position is Philox keyed by it */
} liz_sampling;

/* What the model file states about itself. Strings are owned by the engine. */
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
    float temperature, top_p, min_p, repeat_penalty;
    int32_t top_k;
} liz_engine_info;

LIZ_API void liz_engine_info_get(const liz_engine *engine, liz_engine_info *info);

/* Counters since open, for summaries and for tests that must see that something happened. */
typedef struct liz_engine_stats {
    uint64_t n_steps;            /* batched forward passes */
    uint64_t n_tokens_prefilled; /* prompt tokens computed */
    uint64_t n_tokens_reused;    /* prompt tokens taken from the prefix cache */
    uint64_t n_tokens_decoded;   /* tokens generated */
    uint64_t n_pages_evicted;    /* cached pages given up for new ones */
    int n_seqs_step_max;         /* most sequences that shared one step */
    int n_pages_used_max;        /* most cache pages in use at once */
    int n_pages;                 /* cache pages there are */
} liz_engine_stats;

LIZ_API void liz_engine_stats_get(liz_engine *engine, liz_engine_stats *stats);

/* ---- Sequences --------------------------------------------------------------------------------- */

typedef struct liz_seq liz_seq;

typedef enum liz_finish {
    LIZ_FINISH_STOP = 0,      /* the model ended the text, or a stop string appeared */
    LIZ_FINISH_LENGTH = 1,    /* n_predict_max or the context was reached */
    LIZ_FINISH_CANCELLED = 2, /* liz_seq_cancel or liz_engine_close */
    LIZ_FINISH_FAILED = 3     /* see `status` and `message` */
} liz_finish;

typedef enum liz_event_type {
    LIZ_EVENT_TOKEN = 0, /* one token was generated */
    LIZ_EVENT_DONE = 1   /* the last event of a sequence, exactly one */
} liz_event_type;

typedef struct liz_token_logprob {
    int32_t token;
    float logprob; /* natural logarithm of the model's probability, before any sampling step */
} liz_token_logprob;

/* Times of one sequence in microseconds, and what it took from the prefix cache. */
typedef struct liz_seq_stats {
    uint64_t queue_us, prefill_us, decode_us;
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
    /* LIZ_EVENT_TOKEN */
    int32_t token;
    float logprob;                /* of `token`, where request.logprobs */
    const liz_token_logprob *top; /* [n_top], likeliest first */
    int n_top;
    /* LIZ_EVENT_DONE */
    liz_finish finish;
    liz_status status;
    const char *message;
    liz_seq_stats stats;
} liz_event;

typedef void liz_on_event(void *user, const liz_event *event);

#define LIZ_LOGPROBS_TOP_MAX 20

typedef struct liz_request {
    const int32_t *tokens; /* [n_tokens], n_tokens >= 1, copied */
    size_t n_tokens;
    liz_sampling sampling;   /* copied, bias included */
    int32_t n_predict_max;   /* tokens to generate at most; 0: to the end of the context */
    const char *const *stop; /* [n_stop] strings that end the text and are not part of it; copied */
    size_t n_stop;
    bool logprobs;          /* report log-probabilities */
    int n_logprobs_top;     /* alternatives to report with each, at most LIZ_LOGPROBS_TOP_MAX */
    liz_on_event *on_event; /* may be NULL */
    void *user;
} liz_request;

/* Queues a sequence and returns at once. On success gives `*out`, to be released with `liz_seq_free`.
 * LIZ_E_LIMIT when the prompt leaves no room for one token (the text names both numbers),
 * LIZ_E_USAGE for a token outside the vocabulary or a setting outside its range, LIZ_E_BUSY when the
 * queue is full (4 * n_parallel sequences): wait for one to end. No event comes on failure. */
LIZ_API LIZ_MUST_CHECK liz_status liz_submit(liz_engine *engine, const liz_request *request, liz_seq **out,
                                             liz_error *err);

/* Asks the sequence to end soon; its last event still comes. */
LIZ_API void liz_seq_cancel(liz_seq *seq);

/* Waits for the last event to have been delivered. Not from a callback. */
LIZ_API void liz_seq_wait(liz_seq *seq);

/* Cancels and waits if needed, then releases. Not from a callback. NULL is allowed. */
LIZ_API void liz_seq_free(liz_seq *seq);

/* ---- Scoring ----------------------------------------------------------------------------------- */

/* Receives logits [n_pos, n_vocab] float32 of positions pos0, pos0 + 1, ... in order, on the engine's
 * thread. Returning false cancels. */
typedef bool liz_on_logits(void *user, size_t pos0, size_t n_pos, const float *logits);

/* The model's log-probability of each of tokens [n_tokens] given those before it: `logprobs` [n_tokens],
 * where logprobs[0] is 0 since nothing comes before it. `on_logits` may be NULL; so may `logprobs`.
 * Blocks until done. LIZ_E_LIMIT when n_tokens exceeds the context, LIZ_E_USAGE, LIZ_E_CANCELLED. */
LIZ_API LIZ_MUST_CHECK liz_status liz_score(liz_engine *engine, const int32_t *tokens, size_t n_tokens, float *logprobs,
                                            liz_on_logits *on_logits, void *user, liz_error *err);

/* ---- Files ------------------------------------------------------------------------------------- */

/* Gives a JSON object that says what a model file holds (architecture, sizes, quantisation, vocabulary,
 * template), what it needs in memory under `opts` (may be NULL), and which kernel variant would run each
 * operation on this machine. Needs no known architecture and no tensors. */
LIZ_API LIZ_MUST_CHECK liz_status liz_inspect(const char *path, const liz_engine_opts *opts, char **json,
                                              liz_error *err);

/* Which bytes a model is. `stamp` tells cheaply whether the files may have changed (device, inode, size
 * and modification time of each part); `hash` is of their whole content, in hexadecimal. */
typedef struct liz_model_identity {
    char stamp[256];
    char hash[64];
} liz_model_identity;

/* Fills `*io`. A caller that kept an identity passes it in: where the stamp still holds the hash is
 * kept, and the files are not read. An empty stamp asks for all. */
LIZ_API LIZ_MUST_CHECK liz_status liz_model_identify(const char *path, liz_model_identity *io, liz_error *err);

#ifdef __cplusplus
}
#endif
#endif
