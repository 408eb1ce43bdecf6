/* cli_options.c - one table of options: it drives the reading, the checks of range, the help, and the refusal by name
 * of what a later version brings. Names match those of other programs where they mean the same. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

typedef enum option_kind {
    KIND_FLAG,  /* bool */
    KIND_TEXT,  /* const char * */
    KIND_PATH,  /* const char *, of any bytes */
    KIND_FILE,  /* const char *, the file's content */
    KIND_INT,   /* int32_t */
    KIND_U64,   /* uint64_t */
    KIND_FLOAT, /* float */
    KIND_DOUBLE,
    KIND_PATHS, /* liz_paths: all arguments up to the next option */
    KIND_OTHER  /* `read` does it */
} option_kind;

typedef struct option option;
typedef liz_status option_fn(cli_args *args, const option *o, const char *value, liz_error *err);

struct option {
    const char *name, *value; /* value: how the help writes it; NULL for a flag */
    unsigned commands;
    option_kind kind;
    size_t offset;
    double min, max;
    option_fn *read;
    const char *help;
};

#define GENERATES (CLI_RUN | CLI_BATCH)
#define TRAINS (CLI_TRAIN | CLI_TUNE)
#define OPENS (CLI_RUN | CLI_BATCH | CLI_SCORE)

/* ---- Options that are not one value ------------------------------------------------------------- */

static liz_status bad(const option *o, const char *value, const char *wants, liz_error *err)
{
    return liz_fail(err, LIZ_E_USAGE, "--%s %s: is not valid: it wants %s", o->name, value, wants);
}

static char *own_copy(cli_args *args, const char *text)
{
    liz_buf *buf = &args->owned[args->n_owned++];
    liz_buf_init(buf, 1u << 30);
    liz_buf_puts(buf, text);
    return buf->data;
}

static liz_status read_keep(cli_args *args, const option *o, const char *value, liz_error *err)
{
    if (args->line.n_keep > 0)
        return liz_fail(err, LIZ_E_USAGE, "--keep: is given twice: name all fields at once, with commas");
    char *rest = own_copy(args, value), *name;
    while (rest != NULL && (name = strsep(&rest, ",")) != NULL) {
        if (*name == '\0')
            return bad(o, value, "names with commas between them", err);
        if (args->line.n_keep == LIZ_LINE_KEEP_MAX)
            return bad(o, value, "at most 64 names", err);
        for (size_t i = 0; i < args->line.n_keep; i++)
            if (strcmp(args->line.keep[i], name) == 0)
                return bad(o, value, "each name once", err);
        args->line.keep[args->line.n_keep++] = name;
    }
    return LIZ_OK;
}

/* Adds to a list for which the option may be repeated. */
static liz_status list_add(const option *o, const char *value, const char **list, size_t *n, liz_error *err)
{
    if (*n == LIZ_LINE_STOP_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--%s: is given more than %d times", o->name, LIZ_LINE_STOP_MAX);
    list[(*n)++] = value;
    return LIZ_OK;
}

static liz_status read_stop(cli_args *args, const option *o, const char *value, liz_error *err)
{
    if (*value == '\0' || strlen(value) > 256)
        return bad(o, value, "1 to 256 bytes", err);
    return list_add(o, value, args->line.stop_strings, &args->line.n_stop_strings, err);
}

static liz_status read_stop_token(cli_args *args, const option *o, const char *value, liz_error *err)
{
    if (*value == '\0')
        return bad(o, value, "a token's id or its text", err);
    return list_add(o, value, args->line.stop_tokens, &args->line.n_stop_tokens, err);
}

/* The first one takes the place of the standard breakers. */
static liz_status read_breaker(cli_args *args, const option *o, const char *value, liz_error *err)
{
    liz_sampling *s = &args->line.sampling;
    if (*value == '\0' || strlen(value) > 256)
        return bad(o, value, "1 to 256 bytes, or none", err);
    s->dry_breakers = args->breakers;
    if (strcmp(value, "none") != 0)
        return list_add(o, value, args->breakers, &s->n_dry_breakers, err);
    s->n_dry_breakers = 0;
    return LIZ_OK;
}

static liz_status read_bias(cli_args *args, const option *o, const char *value, liz_error *err)
{
    char *end;
    errno = 0;
    long token = strtol(value, &end, 10);
    bool ok = end != value && *end == ':' && token >= 0 && token <= INT32_MAX;
    const char *number = end + ok;
    float bias = ok ? strtof(number, &end) : 0;
    if (!ok || end == number || *end != '\0' || isnan(bias) || bias > 1e30f)
        return bad(o, value, "TOKEN:BIAS, for example 13:-5 or 13:-inf", err);
    if (args->line.sampling.n_bias == CLI_BIAS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--logit-bias: is given more than %d times", CLI_BIAS_MAX);
    args->bias[args->line.sampling.n_bias++] = (liz_logit_bias){(int32_t)token, bias};
    args->line.sampling.bias = args->bias;
    return LIZ_OK;
}

static liz_status read_counts(cli_args *args, const option *o, const char *value, liz_error *err)
{
    cli_bench_args *set = &args->bench;
    const char *at = value;
    set->n_counts = 0;
    do {
        char *end;
        long n = strtol(at, &end, 10);
        if (end == at || n < 1 || n > 256 || set->n_counts == CLI_BENCH_COUNTS_MAX || (*end != ',' && *end != '\0'))
            return bad(o, value, "up to 16 numbers from 1 to 256 with commas, for example 1,8,32", err);
        set->counts[set->n_counts++] = (int)n;
        at = *end == ',' ? end + 1 : NULL;
    } while (at != NULL);
    return LIZ_OK;
}

/* A name that a path could not be: rows write it, and a list of them has commas. */
static bool is_lora_name(const char *text, size_t n) { return n > 0 && strcspn(text, "/, \t\"") >= n; }

/* FILE[=SCALE], where only a number is a scale; `path` is cut. */
static liz_status add_lora(cli_args *args, const option *o, const char *value, char *path, liz_error *err)
{
    liz_engine_opts *engine = &args->line.engine;
    liz_lora *lora = &args->loras[engine->n_loras];
    char *equals = path != NULL ? strrchr(path, '=') : NULL, *end = equals;
    lora->scale = 1;
    float scale = equals != NULL ? strtof(equals + 1, &end) : 1;
    if (equals != NULL && end > equals + 1 && *end == '\0') {
        if (!isfinite(scale) || scale == 0)
            return bad(o, value, "a finite scale other than 0", err);
        lora->scale = scale;
        *equals = '\0';
    }
    if (path == NULL || *path == '\0')
        return bad(o, value, "a file", err);
    lora->path = path;
    engine->loras = args->loras;
    engine->n_loras++;
    return LIZ_OK;
}

static bool is_number(const char *text)
{
    char *end;
    (void)strtof(text, &end);
    return end > text && *end == '\0';
}

/* For batch [NAME=]FILE[=SCALE]: a file whose path looks like NAME=... is written ./NAME=... */
static liz_status read_lora(cli_args *args, const option *o, const char *value, liz_error *err)
{
    size_t i = args->line.engine.n_loras, n_name = strcspn(value, "=");
    if (i == LIZ_LORAS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--lora: is given more than %d times", LIZ_LORAS_MAX);
    char *path = own_copy(args, value);
    bool has_name = path != NULL && o->commands == CLI_BATCH && value[n_name] != '\0' && is_lora_name(value, n_name) &&
                    !is_number(value + n_name + 1);
    if (has_name) {
        path[n_name] = '\0';
        args->line.lora_names[i] = path;
        args->loras[i].on_request = true;
        path += n_name + 1;
    }
    return add_lora(args, o, value, path, err);
}

static liz_status read_shard(cli_args *args, const option *o, const char *value, liz_error *err)
{
    unsigned shard, n;
    int used = 0;
    if (sscanf(value, "%9u/%9u%n", &shard, &n, &used) != 2 || value[used] != '\0' || n == 0 || shard >= n)
        return bad(o, value, "I/N with I from 0 to N-1, for example 0/4", err);
    args->line.shard = shard;
    args->line.n_shards = n > 1 ? n : 0;
    return LIZ_OK;
}

/* "7G", "500M", "65536k" or bytes. */
static liz_status read_memory(cli_args *args, const option *o, const char *value, liz_error *err)
{
    static const char units[] = "kMG";
    char *end;
    double n = strtod(value, &end);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    for (const char *u = units; unit != NULL && u <= unit; u++)
        n *= 1024;
    if (end == value || (*end != '\0' && (unit == NULL || end[1] != '\0')) || !(n >= 1 && n < 1e18))
        return bad(o, value, "a size as 7G, 500M or a number of bytes", err);
    args->tune.memory_max_bytes = (uint64_t)n;
    return LIZ_OK;
}

/* Which of `words` [n] the value is. */
static liz_status read_word(const option *o, const char *value, const char *const *words, int n, const char *wants,
                            int *which, liz_error *err)
{
    for (*which = 0; *which < n; ++*which)
        if (strcmp(value, words[*which]) == 0)
            return LIZ_OK;
    return bad(o, value, wants, err);
}

static liz_status read_cache_type(cli_args *args, const option *o, const char *value, liz_error *err)
{
    static const char *const words[] = {[LIZ_CACHE_BF16] = "bf16", [LIZ_CACHE_F32] = "f32", [LIZ_CACHE_INT8] = "int8"};
    int which;
    LIZ_TRY(read_word(o, value, words, 3, "f32, bf16 or int8", &which, err));
    args->line.engine.cache_type = (liz_cache_type)which;
    return LIZ_OK;
}

static liz_status read_speculate(cli_args *args, const option *o, const char *value, liz_error *err)
{
    static const char *const words[] = {
        [LIZ_SPECULATE_AUTO] = "auto", [LIZ_SPECULATE_OFF] = "off", [LIZ_SPECULATE_NGRAM] = "ngram"};
    int which;
    LIZ_TRY(read_word(o, value, words, 3, "off, ngram or auto", &which, err));
    args->line.engine.speculate = (liz_speculate)which;
    return LIZ_OK;
}

static liz_status read_prefix_cache(cli_args *args, const option *o, const char *value, liz_error *err)
{
    static const char *const words[] = {"on", "off"};
    int which;
    LIZ_TRY(read_word(o, value, words, 2, "on or off", &which, err));
    args->line.engine.prefix_cache_off = which == 1;
    return LIZ_OK;
}

/* Switches of a later version, of which the one value is accepted that is true now. */
static liz_status read_off(cli_args *args, const option *o, const char *value, liz_error *err)
{
    (void)args;
    if (strcmp(value, "off") == 0)
        return LIZ_OK;
    return liz_fail(err, LIZ_E_USAGE, "--%s %s: is not in this version: leave it out, or say off", o->name, value);
}

/* ---- The table ---------------------------------------------------------------------------------- */

#define FLAG(field) KIND_FLAG, offsetof(cli_args, field), 0, 0, NULL
#define TEXT(field) KIND_TEXT, offsetof(cli_args, field), 0, 0, NULL
#define PATH(field) KIND_PATH, offsetof(cli_args, field), 0, 0, NULL
#define FILE_TEXT(field) KIND_FILE, offsetof(cli_args, field), 0, 0, NULL
#define PATHS(field) KIND_PATHS, offsetof(cli_args, field), 0, 0, NULL
#define INT(field, least, most) KIND_INT, offsetof(cli_args, field), least, most, NULL
#define U64(field, least, most) KIND_U64, offsetof(cli_args, field), least, most, NULL
#define FLOAT(field, least, most) KIND_FLOAT, offsetof(cli_args, field), least, most, NULL
#define DOUBLE(field, least, most) KIND_DOUBLE, offsetof(cli_args, field), least, most, NULL
#define OTHER(read) KIND_OTHER, 0, 0, 0, read

static const option options[] = {
    {"prompt", "TEXT", CLI_BATCH | CLI_TUNE, TEXT(line.prompt), "the prompt of each row; {{field}} stands for a field"},
    {"prompt-file", "FILE", CLI_BATCH | CLI_TUNE, FILE_TEXT(line.prompt), "the same, read from a file"},
    {"system", "TEXT", GENERATES | CLI_TEMPLATE | CLI_TUNE, TEXT(line.system), "instructions before the prompt"},
    {"system-file", "FILE", GENERATES | CLI_TEMPLATE | CLI_TUNE, FILE_TEXT(line.system), "the same, read from a file"},
    {"now", "TIME", GENERATES | CLI_TEMPLATE, TEXT(line.now),
     "what chat templates take for the present, as 2026-01-31T12:00:00"},
    {"messages", "FILE", CLI_TEMPLATE, FILE_TEXT(messages), "a JSON array of messages, or an object of all variables"},
    {"raw", NULL, GENERATES | CLI_TUNE, FLAG(line.raw),
     "give the texts to the model as they are, without its chat template"},
    {"output", "OUT", CLI_BATCH, PATH(line.out_path), "where the rows go; - is standard output"},
    {"output", "OUT", CLI_MERGE | CLI_TUNE, PATH(line.out_path), "the file to write"},
    {"type", "TYPE", CLI_MERGE, TEXT(type), "number type of the matrices that change (default: their own)"},
    {"force", NULL, CLI_MERGE | CLI_QUANTIZE, FLAG(force), "replace files that are there"},
    {"id", "FIELD", CLI_BATCH, TEXT(line.id_field), "the field that names a row (default: id or custom_id)"},
    {"keep", "A,B", CLI_BATCH, OTHER(read_keep), "fields to repeat in the output, under \"row\""},
    {"truncate", "FIELD", CLI_BATCH, TEXT(line.truncate_field), "shorten this field where the prompt would not fit"},
    {"limit", "N", CLI_BATCH, U64(line.limit, 1, 1e18), "stop when OUT holds N rows"},
    {"shard", "I/N", CLI_BATCH, OTHER(read_shard), "only the rows whose index modulo N is I"},
    {"strict", NULL, CLI_BATCH, FLAG(line.strict), "stop at the first row that fails"},
    {"retry-failed", NULL, CLI_BATCH, FLAG(line.retry_failed), "make the error rows of a finished OUT again"},
    {"restart", NULL, CLI_BATCH | TRAINS, FLAG(line.restart), "begin anew and overwrite OUT"},
    {"dry-run", NULL, CLI_BATCH, FLAG(line.dry_run), "show the first prompt, token counts and memory; make nothing"},
    {"stats", "FILE", CLI_BATCH, PATH(line.stats_path), "times, cache hits and joules of each row, as JSON lines"},
    {"watts", "W", CLI_BATCH, DOUBLE(line.watts, 0.001, 1e9), "the machine's power, in place of what its meter says"},
    {"price-kwh", "P", CLI_BATCH, DOUBLE(price_kwh, 0, 1e6),
     "what a kilowatt-hour costs, for the summary (default 0.30)"},
    {"choices", "A,B,C", GENERATES, TEXT(choices_list),
     "answer with the likeliest of these and say how likely each is; quotes around one with a comma"},
    {"choices-file", "FILE", GENERATES, FILE_TEXT(choices_text), "the same, one a line of a file"},
    {"max-tokens", "N", GENERATES, INT(line.max_tokens, 1, INT32_MAX),
     "tokens to generate at most (batch: 512; run: to the end of the context)"},
    {"stop", "TEXT", GENERATES, OTHER(read_stop), "end where this text appears; may be repeated"},
    {"stop-token", "ID|TEXT", GENERATES, OTHER(read_stop_token), "end where this token is chosen; may be repeated"},
    {"ignore-eos", NULL, GENERATES, FLAG(line.ignore_end), "forbid the tokens by which the model ends a text"},
    {"n", "N", GENERATES, INT(line.n_completions, 1, LIZ_LINE_COMPLETIONS_MAX),
     "completions of each prompt, each with a seed of its own (default 1)"},
    {"logprobs", "N", GENERATES, INT(line.logprobs, 0, LIZ_LOGPROBS_TOP_MAX),
     "report log-probabilities, with N alternatives for each token (run: with --json)"},
    {"prompt-logprobs", "N", GENERATES, INT(line.prompt_logprobs, 0, LIZ_LOGPROBS_TOP_MAX),
     "report those of the prompt's tokens too"},
    {"seed", "S", GENERATES | TRAINS, U64(line.seed, 0, 1.8446744073709552e19),
     "seed of the sampling, or of a training (default 0)"},
    {"temperature", "T", GENERATES, FLOAT(line.sampling.temperature, 0, 1e6), "0 takes the likeliest token"},
    {"top-k", "K", GENERATES, INT(line.sampling.top_k, 0, INT32_MAX), "sample from the K likeliest; 0 is all"},
    {"top-p", "P", GENERATES, FLOAT(line.sampling.top_p, 0, 1), "sample from the likeliest that sum to P"},
    {"min-p", "P", GENERATES, FLOAT(line.sampling.min_p, 0, 1), "drop tokens below P times the likeliest"},
    {"typical", "P", GENERATES, FLOAT(line.sampling.typical_p, 0, 1),
     "sample from the most typical that sum to P (locally typical sampling)"},
    {"xtc-probability", "P", GENERATES, FLOAT(line.sampling.xtc_probability, 0, 1),
     "how often XTC drops the likely tokens but for the least likely of them; 0 is off"},
    {"xtc-threshold", "P", GENERATES, FLOAT(line.sampling.xtc_threshold, 0, 0.5),
     "what XTC calls likely (default 0.1)"},
    {"repeat-penalty", "X", GENERATES, FLOAT(line.sampling.repeat_penalty, 0, 100),
     "divide the logits of recent tokens; 1 is off"},
    {"frequency-penalty", "X", GENERATES, FLOAT(line.sampling.frequency_penalty, -1000, 1000),
     "subtract for each recent occurrence"},
    {"presence-penalty", "X", GENERATES, FLOAT(line.sampling.presence_penalty, -1000, 1000),
     "subtract once for a recent token"},
    {"dry-multiplier", "X", GENERATES, FLOAT(line.sampling.dry_multiplier, 0, 1000),
     "DRY: subtract X * base^(length - allowed) from what would lengthen a repetition; 0 is off"},
    {"dry-base", "X", GENERATES, FLOAT(line.sampling.dry_base, 1, 16), "its base (default 1.75)"},
    {"dry-allowed-length", "N", GENERATES, INT(line.sampling.dry_allowed_length, 1, 32768),
     "tokens that may repeat for nothing (default 2)"},
    {"dry-penalty-last-n", "N", GENERATES, INT(line.sampling.dry_range, 1, 32768),
     "the last tokens it looks at, prompt included (default 4096)"},
    {"dry-sequence-breaker", "TEXT", GENERATES, OTHER(read_breaker),
     "no repetition goes across it (default: line end : \" *); may be repeated; none"},
    {"logit-bias", "TOKEN:X", GENERATES, OTHER(read_bias),
     "add X to a token's logit; -inf forbids it; may be repeated"},
    {"tokens", "1,2,3", CLI_SCORE, TEXT(tokens), "score these token ids, in place of IN"},
    {"logits", "F.npy", CLI_SCORE, PATH(logits_path), "write all logits as a NumPy array, float32 [n_tok, n_vocab]"},
    {"pairs", NULL, CLI_SCORE, FLAG(pairs), "IN is TSV with columns good and bad: which is likelier?"},
    {"group", "COLUMN", CLI_SCORE, TEXT(group),
     "count pairs by what this column of IN says, in place of a line for each"},
    {"stride", "N", CLI_SCORE, INT(stride, 1, INT32_MAX),
     "of a text longer than the context, each window scores only its last N tokens (default: all but its first)"},
    {"ids", "1,2,3", CLI_TOKENIZE, TEXT(ids), "turn ids back into text"},
    {"jsonl", NULL, CLI_TOKENIZE, FLAG(jsonl),
     "from standard input, {\"text\":...,\"special\":bool} a line in, {\"ids\":[...]} out"},
    {"jsonl", NULL, CLI_TEMPLATE, FLAG(jsonl),
     "from standard input, an object of variables a line in, {\"text\":...} or {\"error\":...} out"},
    {"special", NULL, CLI_TOKENIZE, FLAG(special), "control tokens written in the text are tokens"},
    {"prefill", "N", CLI_BENCH, INT(bench.n_prefill, 1, 1 << 20),
     "tokens of the prompt that is timed (default 512, or what the context holds)"},
    {"sequences", "N,N", CLI_BENCH, OTHER(read_counts),
     "how many generate together when that is timed (default 1,8,32)"},
    {"depth", "N", CLI_BENCH, INT(bench.n_depth, 1, 1 << 20),
     "tokens that each holds when its generating is timed (default 64)"},
    {"shared", "N", CLI_BENCH, INT(bench.n_shared, 0, 1 << 20),
     "of these, how many are the same in all sequences, computed and read once (default 0)"},
    {"steps", "N", CLI_BENCH, INT(bench.n_steps, 2, 1 << 20), "steps that are timed (default 24)"},
    {"rows", "N", CLI_BENCH, INT(bench.n_rows, 0, 1 << 20), "rows of the line that is timed; 0 is none (default 64)"},
    {"plot", "F.svg", CLI_BENCH, PATH(bench.plot), "tokens a second over sequences together, as a curve"},
    {"beside", "FILE", CLI_BENCH, PATH(bench.beside),
     "draw a second curve, of what bench --json wrote, or llamacpp.mjs"},
    {"profile", NULL, CLI_BENCH, FLAG(bench.has_profile), "where the time of a step goes, and what it reads"},
    {"repeat", "N", CLI_BENCH, INT(bench.n_rounds, 1, CLI_BENCH_ROUNDS_MAX), "rounds of each (default 3)"},
    {"lora", "[NAME=]FILE[=SCALE]", CLI_BATCH, OTHER(read_lora),
     "apply this adapter, with a NAME to rows that name it alone; may be repeated"},
    {"lora", "FILE[=SCALE]", CLI_RUN | CLI_SCORE | CLI_MERGE, OTHER(read_lora), "apply this adapter; may be repeated"},
    {"lora-field", "FIELD", CLI_BATCH, TEXT(line.lora_field),
     "the field in which a row names its adapters, with commas"},
    {"data", "FILE...", CLI_TUNE, PATHS(train.data),
     "rows: JSONL of prompt and completion, of messages or of text; or any JSONL, CSV or TSV with --prompt"},
    {"data", "FILE...", CLI_TRAIN, PATHS(train.data),
     "the text: paragraphs, <|endoftext|> on a line between documents; or .jsonl"},
    {"valid", "FILE...", CLI_TUNE, PATHS(train.valid),
     "rows to measure by; the adapter that does best on them is kept"},
    {"valid-share", "X", CLI_TUNE, DOUBLE(tune.valid_share, 0, 0.9),
     "without --valid: share of the rows that is held back for it (default 0.05)"},
    {"completion", "TEXT", CLI_TUNE, TEXT(completion),
     "with --prompt: what is to be learnt; {{field}} stands for a field"},
    {"skip-long", NULL, CLI_TUNE, FLAG(skip_long), "leave out rows that are too long, rather than end"},
    {"rank", "N", CLI_TUNE, INT(tune.rank, 1, 1024), "rank of the adapter (default 16)"},
    {"alpha", "X", CLI_TUNE, FLOAT(tune.alpha, 1e-6, 1e6), "its scale is alpha / rank (default: twice the rank)"},
    {"targets", "q,k,...", CLI_TUNE, TEXT(tune.targets),
     "matrices that get one: q, k, v, o, gate, up, down, experts, attention, all (default: all but experts)"},
    {"memory", "SIZE", CLI_TUNE, OTHER(read_memory),
     "what all may take, as 7G or 500M (default: what the machine has)"},
    {"valid", "FILE...", CLI_TRAIN, PATHS(train.valid), "text that is not trained on, to measure by"},
    {"init", "MODEL", CLI_TRAIN, PATH(train.init), "go on from this model file's weights, shape and tokenizer"},
    {"shape", "NAME", CLI_TRAIN, TEXT(train.shape_name),
     "1m, 3m, 10m, 25m or 124m; the numbers below change it (default: 6 layers, 256 wide)"},
    {"layers", "N", CLI_TRAIN, INT(train.shape.n_layer, 1, 1024), "layers"},
    {"width", "N", CLI_TRAIN, INT(train.shape.n_embd, 16, 65536), "elements of the stream"},
    {"ffn", "N", CLI_TRAIN, INT(train.shape.n_ff, 16, 1 << 20),
     "elements inside the feed-forward (default: 8/3 of the width)"},
    {"heads", "N", CLI_TRAIN, INT(train.shape.n_head, 1, 1024), "attention heads (default: of 64 elements)"},
    {"kv-heads", "N", CLI_TRAIN, INT(train.shape.n_head_kv, 1, 1024),
     "heads of keys and values (default: as many, or the named shape's)"},
    {"head-size", "N", CLI_TRAIN, INT(train.shape.n_embd_head, 16, 1024), "elements of a head, a multiple of 16"},
    {"vocab", "N", CLI_TRAIN, INT(train.shape.n_vocab, 257, 1 << 20),
     "tokens of the tokenizer (default 8192, or the named shape's)"},
    {"context", "N", CLI_TRAIN, INT(train.shape.n_ctx, 8, 1 << 17),
     "tokens of a row (default 512; with --init the model's, at most 4096)"},
    {"qk-norm", NULL, CLI_TRAIN, FLAG(train.shape.qk_norm),
     "norms of queries and keys; the file's architecture is qwen3 then, else llama"},
    {"rope-base", "X", CLI_TRAIN, FLOAT(train.shape.rope_base, 1, 1e9), "base of the rotary positions (default 10000)"},
    {"tokenizer", "MODEL", CLI_TRAIN, PATH(train.tokenizer),
     "take this model file's tokenizer in place of training one"},
    {"pre-tokenizer", "NAME", CLI_TRAIN, TEXT(train.pre),
     "how the trained tokenizer cuts text into words: qwen2 (default), gpt-2, llama-bpe, smollm, ..."},
    {"special", "TOKEN...", CLI_TRAIN, PATHS(train.specials),
     "control tokens that the trained tokenizer has beside <|endoftext|>"},
    {"dtype", "bf16|f32|f16", CLI_TRAIN, TEXT(train.dtype), "number type of the matrices in OUT (default bf16)"},
    {"tokens", "N", TRAINS, DOUBLE(train.common.tokens, 1, 1e15), "train on so many tokens, as 20e6"},
    {"epochs", "X", TRAINS, DOUBLE(train.common.epochs, 1e-6, 1e6),
     "or go so often through the data (default: train 1, tune 3)"},
    {"hours", "X", TRAINS, DOUBLE(train.common.hours, 1e-6, 1e5),
     "or train so long: the model then depends on the machine's speed"},
    {"batch", "N", TRAINS, U64(train.common.batch, 1, 1e9),
     "rows of a step (default: train 16384 tokens, tune 16 rows)"},
    {"part", "N", CLI_TUNE, INT(tune.n_part, 8, 1 << 24),
     "tokens computed together, gradients of a step's parts adding up: less takes less memory (default 1024)"},
    {"part", "N", CLI_TRAIN, INT(train.n_part, 8, 1 << 24),
     "tokens computed together, gradients of a step's parts adding up: less takes less memory (default 4096)"},
    {"recompute", NULL, CLI_TRAIN, FLAG(train.recompute),
     "compute layers twice rather than keep them: far less memory, a quarter slower, the same model"},
    {"optimizer", "muon|adamw", TRAINS, TEXT(train.common.optimizer),
     "muon (train's default): for matrices, AdamW for the rest; adamw (tune's): for all"},
    {"rate", "X", TRAINS, DOUBLE(train.common.rate, 1e-9, 10), "learning rate (default: train 0.002, tune 0.0005)"},
    {"schedule", "wsd|cosine", TRAINS, TEXT(train.common.schedule),
     "wsd (default): rising, steady, falling to zero; cosine (tune's, but with --hours): falling to a tenth"},
    {"warmup", "N", TRAINS, DOUBLE(train.common.warmup, 0, 1e9),
     "steps of rising rate (default: a fiftieth, at most 200; with --hours 50)"},
    {"decay", "X", TRAINS, DOUBLE(train.common.decay, 0, 1), "share of the steps in which wsd falls (default 0.3)"},
    {"weight-decay", "X", TRAINS, DOUBLE(train.common.weight_decay, 0, 10),
     "decay of matrices and tables (default: train 0.1, tune 0)"},
    {"clip", "X", TRAINS, DOUBLE(train.common.clip, 0, 1e9), "largest norm of the gradient; 0 is none (default 1)"},
    {"valid-every", "N", TRAINS, U64(train.common.valid_every, 1, 1e9),
     "steps between validations (default: a twentieth; with --hours 100)"},
    {"patience", "N", TRAINS, U64(train.common.patience, 1, 1e9),
     "end after so many validations without a better one (default: tune 5, train never)"},
    {"sample", "TEXT", CLI_TRAIN, TEXT(train.sample), "show at each validation how the model continues this"},
    {"checkpoint-minutes", "X", TRAINS, DOUBLE(train.common.checkpoint_minutes, 1e-6, 1e6),
     "minutes between checkpoints (default 5)"},
    {"log", "F.jsonl", TRAINS, PATH(train.common.log_path), "a JSON line for each step"},
    {"plot", "F.svg", TRAINS, PATH(train.common.plot_path), "the curves of the loss"},
    {"imatrix", "FILE", CLI_QUANTIZE, PATH(quantize.opts.imatrix_path),
     "which inputs matter, as --imatrix-from or llama-imatrix writes it"},
    {"imatrix-from", "FILE", CLI_QUANTIZE, FILE_TEXT(quantize.calibration),
     "measure it first by running IN over this text; kept in the file that --imatrix names, or OUT.imatrix"},
    {"output-tensor-type", "TYPE", CLI_QUANTIZE, TEXT(quantize.opts.output_type), "another type for the output matrix"},
    {"token-embedding-type", "TYPE", CLI_QUANTIZE, TEXT(quantize.opts.embedding_type),
     "another type for the embeddings"},
    {"json", NULL, CLI_RUN | CLI_SCORE | CLI_TOKENIZE | CLI_INSPECT | CLI_TEMPLATE | CLI_BENCH | CLI_QUANTIZE,
     FLAG(json), "print JSON"},
    {"ctx-size", "N", OPENS | CLI_INSPECT | CLI_TUNE, INT(line.engine.n_ctx, 1, INT32_MAX),
     "tokens that a row may hold, prompt included (default: the model's)"},
    {"cache-type", "f32|bf16|int8", OPENS | CLI_INSPECT | CLI_BENCH, OTHER(read_cache_type),
     "number type of the attention cache: bf16 (default), f32, or int8, half of bf16"},
    {"parallel", "N", OPENS | CLI_INSPECT, INT(line.engine.n_parallel, 1, 1024),
     "rows worked on together (default 32)"},
    {"threads", "N", OPENS | CLI_INSPECT | CLI_BENCH | CLI_MERGE | CLI_QUANTIZE | TRAINS,
     INT(line.engine.n_threads, 1, 1024), "threads (default: the CPUs that this process may use)"},
    {"keep-packed", NULL, OPENS, FLAG(line.engine.keep_packed),
     "keep the weights as the kernels want them in MODEL.packed, which later opens then map at once"},
    {"prefix-cache", "on|off", OPENS, OTHER(read_prefix_cache),
     "compute the shared beginning of prompts once (default on)"},
    {"prefill-chunk", "N", OPENS | CLI_BENCH, INT(line.engine.n_prefill_chunk, 1, 65536),
     "prompt tokens computed in one step (default 512)"},
    {"speculate", "off|ngram|auto", GENERATES, OTHER(read_speculate),
     "guess tokens that stood there before: where it pays (auto, default) or always; the text stays the same"},
    {"forced-tokens", "off", GENERATES, OTHER(read_off), "only off in this version"},
    {"verbose", NULL, CLI_ALL, FLAG(verbose), "show decisions"},
    {"help", NULL, CLI_ALL, FLAG(help), "show this help"},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static const char *const later_options[] = {"schema",        "checks",   "template", "grammar",
                                            "prove-private", "messages", "draft"};
enum { N_LATER = sizeof later_options / sizeof *later_options };

/* ---- Reading ------------------------------------------------------------------------------------ */

static liz_status read_number(const option *o, const char *value, double *out, liz_error *err)
{
    char *end, wants[96];
    errno = 0;
    *out = strtod(value, &end);
    snprintf(wants, sizeof wants, o->max < 1e9 ? "a number from %g to %g" : "a number from %g", o->min, o->max);
    if (end == value || *end != '\0' || isnan(*out) || *out < o->min || *out > o->max)
        return bad(o, value, wants, err);
    return LIZ_OK;
}

/* Whole numbers are read as such: a double would lose a seed's last digits. */
static liz_status read_whole(const option *o, const char *value, uint64_t *out, liz_error *err)
{
    char *end, wants[96];
    errno = 0;
    *out = strtoull(value, &end, 10);
    bool ok = end != value && *end == '\0' && errno == 0 && strchr(value, '-') == NULL;
    snprintf(wants, sizeof wants, o->max < 1e9 ? "a whole number from %.0f to %.0f" : "a whole number from %.0f",
             o->min, o->max);
    return ok && (double)*out >= o->min && (double)*out <= o->max ? LIZ_OK : bad(o, value, wants, err);
}

liz_status cli_text_check(const char *what, liz_str text, liz_error *err)
{
    if (liz_utf8_valid_prefix(text.n ? text.p : "", text.n) != text.n)
        return liz_fail(err, LIZ_E_USAGE, "%s: is not UTF-8 text: convert it", what);
    return LIZ_OK;
}

static liz_status read_content(cli_args *args, const char *path, const char **out, liz_error *err)
{
    liz_buf *buf = &args->owned[args->n_owned++];
    liz_buf_init(buf, 1u << 30);
    liz_status status = liz_file_read_whole(liz_files_system(), path, buf, err);
    liz_str text = liz_buf_str(buf);
    if (status == LIZ_OK && (liz_str_starts(text, "\xFF\xFE") || liz_str_starts(text, "\xFE\xFF")))
        return liz_fail(err, LIZ_E_USAGE, "%s: is UTF-16: convert it to UTF-8, for example with iconv -t utf-8", path);
    status = status ?: cli_text_check(path, text, err);
    if (status == LIZ_OK && buf->len > 0 && memchr(buf->data, '\0', buf->len) != NULL)
        status = liz_fail(err, LIZ_E_USAGE, "%s: has a NUL byte, which no text has: convert it", path);
    *out = buf->len > 0 ? liz_utf8_unmarked(text).p : "";
    return status;
}

static liz_status option_set(cli_args *args, const option *o, const char *value, liz_error *err)
{
    void *at = (char *)args + o->offset;
    liz_status status = LIZ_OK;
    uint64_t whole = 0;
    double number = 0;
    bool is_text = o->kind == KIND_TEXT || o->kind == KIND_PATH || o->kind == KIND_FILE;
    if (is_text && *(const char **)at != NULL)
        return liz_fail(err, LIZ_E_USAGE, "--%s: what it gives is given already: give it once", o->name);
    switch (o->kind) {
    case KIND_FLAG: *(bool *)at = true; break;
    case KIND_TEXT:
    case KIND_PATH: *(const char **)at = value; break;
    case KIND_FILE: status = read_content(args, value, at, err); break;
    case KIND_INT:
    case KIND_U64: status = read_whole(o, value, &whole, err); break;
    case KIND_FLOAT:
    case KIND_DOUBLE: status = read_number(o, value, &number, err); break;
    case KIND_OTHER: status = o->read(args, o, value, err); break;
    case KIND_PATHS: break;
    }
    if (status != LIZ_OK)
        return status;
    if (o->kind == KIND_INT)
        *(int32_t *)at = (int32_t)whole;
    else if (o->kind == KIND_U64)
        *(uint64_t *)at = whole;
    else if (o->kind == KIND_FLOAT)
        *(float *)at = (float)number;
    else if (o->kind == KIND_DOUBLE)
        *(double *)at = number;
    return LIZ_OK;
}

const char *cli_nearest(const char *name, const char *const *names)
{
    const char *best = NULL;
    size_t n = strlen(name), best_distance = n / 3 + 1;
    for (; *names != NULL; names++) {
        size_t row[64], n_other = strlen(*names);
        if (n_other >= 64 || n >= 64)
            continue;
        for (size_t k = 0; k <= n_other; k++)
            row[k] = k;
        for (size_t i = 1; i <= n; i++) {
            size_t diagonal = row[0];
            row[0] = i;
            for (size_t k = 1; k <= n_other; k++) {
                size_t change = diagonal + (name[i - 1] != (*names)[k - 1]);
                diagonal = row[k];
                size_t other = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
                row[k] = change < other ? change : other;
            }
        }
        if (row[n_other] <= best_distance && (best == NULL || row[n_other] < best_distance)) {
            best = *names;
            best_distance = row[n_other];
        }
    }
    return best;
}

static liz_status fail_unknown(const cli_command *command, const char *name, liz_error *err)
{
    const char *names[N_OPTIONS + 1];
    size_t n = 0;
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strcmp(options[i].name, name) == 0)
            return liz_fail(err, LIZ_E_USAGE, "--%s: is not an option of %s: see lizzie %s --help", name, command->name,
                            command->name);
        if (options[i].commands & command->id)
            names[n++] = options[i].name;
    }
    names[n] = NULL;
    const char *nearest = cli_nearest(name, names);
    if (nearest != NULL)
        return liz_fail(err, LIZ_E_USAGE, "--%s: is not an option: did you mean --%s?", name, nearest);
    return liz_fail(err, LIZ_E_USAGE, "--%s: is not an option: see lizzie %s --help", name, command->name);
}

/* The option written as `name` [n]; LIZ_E_USAGE says that it is unknown, or of a later version. */
static liz_status option_find(const cli_command *command, liz_str name, const option **out, liz_error *err)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%.*s", LIZ_STR_ARG(name));
    for (int i = 0; i < N_OPTIONS; i++)
        if (liz_str_is(name, options[i].name) && (options[i].commands & command->id)) {
            *out = &options[i];
            return LIZ_OK;
        }
    for (int i = 0; i < N_LATER; i++)
        if (liz_str_is(name, later_options[i]))
            return liz_fail(err, LIZ_E_USAGE, "--%s: is not in this version: leave it out", copy);
    return fail_unknown(command, copy, err);
}

/* Options that have their first letter for a name too. */
static const char *const lettered[] = {"output", "verbose", "help"};
enum { N_LETTERED = sizeof lettered / sizeof *lettered };

const char *cli_option_long(char letter)
{
    for (int i = 0; i < N_LETTERED; i++)
        if (*lettered[i] == letter)
            return lettered[i];
    return NULL;
}

/* argv[*i] and what follows up to the next option. */
static liz_status take_paths(cli_args *args, const option *o, int argc, char **argv, int *i, liz_error *err)
{
    liz_paths *paths = (void *)((char *)args + o->offset);
    if (paths->n > 0)
        return liz_fail(err, LIZ_E_USAGE, "--%s: is given twice: name all after one --%s", o->name, o->name);
    paths->v = &argv[*i];
    for (paths->n = 1; *i + 1 < argc && argv[*i + 1][0] != '-'; paths->n++)
        ++*i;
    return LIZ_OK;
}

/* Reads the option at argv[*i] and its value, which may be the next argument. */
static liz_status option_read(cli_args *args, const cli_command *command, int argc, char **argv, int *i, liz_error *err)
{
    const char *arg = argv[*i], *value = NULL;
    liz_str name;
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        name = equals ? (liz_str){arg + 2, (size_t)(equals - arg - 2)} : liz_str_of(arg + 2);
        value = equals ? equals + 1 : NULL;
    } else {
        const char *full = cli_option_long(arg[1]);
        if (full == NULL)
            return liz_fail(err, LIZ_E_USAGE, "%s: is not an option: see lizzie %s --help", arg, command->name);
        name = liz_str_of(full);
        value = arg[2] != '\0' ? arg + 2 : NULL;
    }
    const option *o = NULL;
    LIZ_TRY(option_find(command, name, &o, err));
    if (o->value == NULL && value != NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: takes no value", arg);
    if (o->value != NULL && value == NULL) {
        if (*i + 1 >= argc)
            return liz_fail(err, LIZ_E_USAGE, "--%s: wants a value: --%s %s", o->name, o->name, o->value);
        value = argv[++*i];
    }
    char label[64];
    snprintf(label, sizeof label, "--%s", o->name);
    if (value != NULL && o->kind != KIND_PATH && o->kind != KIND_FILE && o->kind != KIND_PATHS)
        LIZ_TRY(cli_text_check(label, liz_str_of(value), err));
    if (o->kind == KIND_PATHS) {
        argv[*i] = (char *)value; /* which may have stood behind a = */
        return take_paths(args, o, argc, argv, i, err);
    }
    if (args->n_owned == sizeof args->owned / sizeof *args->owned)
        return liz_fail(err, LIZ_E_USAGE, "--%s: options that read files are given too often", o->name);
    return option_set(args, o, value, err);
}

/* ---- Changing them in a chat --------------------------------------------------------------------- */

/* Options that may be repeated, each of which adds to a list. */
typedef struct list {
    option_fn *read;
    size_t n_at, texts_at; /* in cli_args: size_t, and the texts as they were given, except of biases */
} list;

static const list lists[] = {
    {read_stop, offsetof(cli_args, line.n_stop_strings), offsetof(cli_args, line.stop_strings)},
    {read_stop_token, offsetof(cli_args, line.n_stop_tokens), offsetof(cli_args, line.stop_tokens)},
    {read_breaker, offsetof(cli_args, line.sampling.n_dry_breakers), offsetof(cli_args, breakers)},
    {read_bias, offsetof(cli_args, line.sampling.n_bias), 0},
};

static const list *list_of(const option *o)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (o->kind == KIND_OTHER && o->read == lists[i].read)
            return &lists[i];
    return NULL;
}

static bool is_changeable(const option *o)
{
    static const char *const others[] = {"seed", "max-tokens", "ignore-eos"};
    size_t at = offsetof(cli_args, line.sampling);
    bool of_sampling = o->offset >= at && o->offset < at + sizeof(liz_sampling);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(o->name, others[i]) == 0)
            return true;
    return (of_sampling && (o->kind == KIND_FLOAT || o->kind == KIND_INT)) || list_of(o) != NULL;
}

static liz_status list_change(cli_args *args, const option *o, const list *l, const char *value, liz_error *err)
{
    if (*value == '\0') { /* all of it is taken back */
        *(size_t *)(void *)((char *)args + l->n_at) = 0;
        if (l->read == read_breaker)
            args->line.sampling.dry_breakers = NULL;
        return LIZ_OK;
    }
    args->changes.size_max = 1u << 24; /* the value is a line of the user's, which goes */
    const char *kept = liz_arena_strdup(&args->changes, value, strlen(value));
    return kept != NULL ? option_set(args, o, kept, err) : liz_fail(err, LIZ_E_MEMORY, "--%s: no memory", o->name);
}

static liz_status option_change(cli_args *args, const option *o, const char *value, liz_error *err)
{
    const list *l = list_of(o);
    LIZ_TRY(cli_text_check(o->name, liz_str_of(value), err));
    if (l != NULL)
        return list_change(args, o, l, value, err);
    if (o->kind != KIND_FLAG)
        return option_set(args, o, value, err);
    bool off = strcmp(value, "off") == 0;
    if (!off && strcmp(value, "on") != 0)
        return bad(o, value, "on or off", err);
    *(bool *)((char *)args + o->offset) = !off;
    return LIZ_OK;
}

liz_status cli_option_change(cli_args *args, const char *name, const char *value, liz_error *err)
{
    const char *names[N_OPTIONS + 1];
    size_t n = 0;
    for (int i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        if (!(o->commands & CLI_RUN))
            continue;
        bool is_it = strcmp(o->name, name) == 0;
        if (is_it && !is_changeable(o))
            return liz_fail(err, LIZ_E_USAGE, "%s: cannot be set in a chat: /set shows what can", name);
        if (is_it)
            return option_change(args, o, value, err);
        if (is_changeable(o))
            names[n++] = o->name;
    }
    names[n] = NULL;
    const char *nearest = cli_nearest(name, names);
    if (nearest != NULL)
        return liz_fail(err, LIZ_E_USAGE, "%.60s: is not an option: did you mean %s?", name, nearest);
    return liz_fail(err, LIZ_E_USAGE, "%.60s: is not an option: /set shows what can be set", name);
}

/* A line for each of a list, and whether there was one. */
static bool list_show(const cli_args *args, const option *o, const list *l, liz_buf *out)
{
    size_t n = *(const size_t *)(const void *)((const char *)args + l->n_at);
    const char *const *texts = (const void *)((const char *)args + l->texts_at);
    for (size_t i = 0; i < n; i++)
        if (l->read == read_bias)
            liz_buf_printf(out, "  %s %d:%g\n", o->name, args->bias[i].token, (double)args->bias[i].bias);
        else
            liz_buf_printf(out, "  %s %s\n", o->name, texts[i]);
    bool none = n == 0 && l->read == read_breaker && args->line.sampling.dry_breakers != NULL;
    if (none)
        liz_buf_printf(out, "  %s none\n", o->name);
    return n > 0 || none;
}

void cli_options_show(const cli_args *args, liz_buf *out)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        const void *at = (const char *)args + o->offset;
        if (!is_changeable(o))
            continue;
        if (list_of(o) != NULL && list_show(args, o, list_of(o), out))
            continue;
        if (o->kind == KIND_FLOAT && !isnan(*(const float *)at))
            liz_buf_printf(out, "  %s %g\n", o->name, (double)*(const float *)at);
        else if (o->kind == KIND_INT && *(const int32_t *)at >= o->min)
            liz_buf_printf(out, "  %s %d\n", o->name, *(const int32_t *)at);
        else if (o->kind == KIND_U64)
            liz_buf_printf(out, "  %s %llu\n", o->name, (unsigned long long)*(const uint64_t *)at);
        else if (o->kind == KIND_FLAG && *(const bool *)at)
            liz_buf_printf(out, "  %s on\n", o->name);
        else
            liz_buf_printf(out, "  %s (not set)\n", o->name);
    }
}

/* ---- The arguments ------------------------------------------------------------------------------- */

liz_status cli_args_read(cli_args *args, const cli_command *command, int argc, char **argv, liz_error *err)
{
    bool options_over = false;
    for (int i = 0; i < argc; i++) {
        bool is_option = !options_over && argv[i][0] == '-' && argv[i][1] != '\0';
        if (is_option && strcmp(argv[i], "--") == 0)
            options_over = true;
        else if (is_option)
            LIZ_TRY(option_read(args, command, argc, argv, &i, err));
        else if (args->n_positional == command->n_positional_max)
            return liz_fail(err, LIZ_E_USAGE, "%s: is one argument too many: lizzie %s %s", argv[i], command->name,
                            command->positionals);
        else
            args->positional[args->n_positional++] = argv[i];
    }
    if (!args->help && args->n_positional < command->n_positional_min)
        return liz_fail(err, LIZ_E_USAGE, "%s: something is missing: lizzie %s %s", command->name, command->name,
                        command->positionals);
    return LIZ_OK;
}

void cli_args_free(cli_args *args)
{
    for (int i = 0; i < args->n_owned; i++)
        liz_buf_free(&args->owned[i]);
    liz_buf_free(&args->choices);
    liz_arena_free(&args->changes);
    free((void *)(uintptr_t)args->line.choices);
}

bool cli_option_next(const cli_command *command, int *i, cli_option_text *text)
{
    while (*i < N_OPTIONS && !(options[*i].commands & command->id))
        ++*i;
    if (*i == N_OPTIONS)
        return false;
    const option *o = &options[(*i)++];
    *text = (cli_option_text){o->name, o->value, o->help};
    return true;
}

void cli_help_command(const cli_command *command, FILE *to)
{
    cli_option_text o;
    fprintf(to, "lizzie %s %s [options]\n%s\n\n", command->name, command->positionals, command->summary);
    for (int i = 0; cli_option_next(command, &i, &o);) {
        char head[64], letter[8] = "";
        const char *lettered_name = cli_option_long(*o.name);
        if (lettered_name != NULL && strcmp(lettered_name, o.name) == 0)
            snprintf(letter, sizeof letter, "-%c, ", *o.name);
        snprintf(head, sizeof head, "%s--%s%s%s", letter, o.name, o.value ? " " : "", o.value ? o.value : "");
        fprintf(to, "  %-26s %s\n", head, o.help);
    }
    fprintf(to, "\nExamples:\n%s", command->examples);
}

liz_status cli_ids_read(const char *text, const char *option_name, int32_t **ids, size_t *n, liz_error *err)
{
    size_t n_max = 1;
    for (const char *p = text; *p != '\0'; p++)
        n_max += *p == ',';
    *ids = malloc(n_max * sizeof **ids);
    if (*ids == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "--%s: no memory for %zu ids", option_name, n_max);
    const char *p = text;
    for (*n = 0;; p++) {
        char *end;
        errno = 0;
        long id = strtol(p, &end, 10);
        if (end == p || errno != 0 || id < 0 || id > INT32_MAX || (*end != ',' && *end != '\0')) {
            free(*ids);
            *ids = NULL;
            return liz_fail(err, LIZ_E_USAGE, "--%s: \"%.20s\": is not a token id: write ids with commas, as in 1,2,3",
                            option_name, p);
        }
        (*ids)[(*n)++] = (int32_t)id;
        p = end;
        if (*p == '\0')
            return LIZ_OK;
    }
}
