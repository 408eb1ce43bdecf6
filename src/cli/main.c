/* main.c - lizzie: finds the command and runs it. */
#include "cli/cli.h"

#include "sys/cpu.h"

#include <fcntl.h>
#include <unistd.h>

const cli_command cli_commands[] = {
    {"run", CLI_RUN, "MODEL [PROMPT]", 1, 2,
     "Generates once; chats where no prompt is given. The prompt also comes from standard input.",
     "  lizzie run model.gguf 'Once upon a time'\n"
     "  echo 'Write a haiku about rain.' | lizzie run model.gguf --raw --max-tokens 60\n"
     "  lizzie run model.gguf 'A name for a cat:' --temperature 1 --seed 7 --json\n"
     "  lizzie run model.gguf 'Is a whale a fish?' --choices yes,no --json\n",
     cli_run},
    {"batch", CLI_BATCH, "MODEL IN -o OUT", 2, 2,
     "Works through a file of rows (JSONL, CSV, OpenAI batch). Run the same command again to resume.",
     "  lizzie batch model.gguf tickets.jsonl -o routed.jsonl --prompt 'Route this message: {{text}}'\n"
     "  lizzie batch model.gguf tickets.jsonl -o teams.jsonl --prompt '{{text}}' --choices billing,delivery,returns\n"
     "  lizzie batch model.gguf people.csv -o greetings.jsonl --prompt 'Greet {{name}}.' --id email --keep name\n"
     "  lizzie batch model.gguf rows.jsonl -o part-3.jsonl --shard 3/8 --stats stats.jsonl\n",
     cli_batch},
    {"score", CLI_SCORE, "MODEL IN", 1, 2,
     "Log-probabilities and perplexity of given text: a file, or {\"text\":...} lines where IN ends in .jsonl.",
     "  lizzie score model.gguf book.txt\n"
     "  lizzie score model.gguf wiki.test.tokens --ctx-size 1024 --stride 512 --json\n"
     "  lizzie score model.gguf blimp.tsv --pairs --group phenomenon\n"
     "  lizzie score model.gguf --tokens 1,2,3 --logits logits.npy\n",
     cli_score},
    {"tokenize", CLI_TOKENIZE, "MODEL [TEXT]", 1, 2, "Text to token ids and pieces, and back.",
     "  lizzie tokenize model.gguf 'Hello there'\n"
     "  lizzie tokenize model.gguf --ids 1,15043,727\n"
     "  lizzie tokenize model.gguf --jsonl < texts.jsonl > ids.jsonl\n",
     cli_tokenize},
    {"inspect", CLI_INSPECT, "MODEL", 1, 1, "What a model file holds, the memory it needs, the kernels it would run.",
     "  lizzie inspect model.gguf\n"
     "  lizzie inspect model.gguf --ctx-size 4096 --parallel 8\n"
     "  lizzie inspect model.gguf --json\n",
     cli_inspect},
    {"template", CLI_TEMPLATE, "MODEL|FILE [PROMPT]", 1, 2,
     "Shows what a chat template makes of messages: of PROMPT, or of JSON from standard input.",
     "  lizzie template model.gguf 'Hello' --system 'Be brief.'\n"
     "  lizzie template chat.jinja --messages conversation.json --now 2026-01-31\n"
     "  lizzie template model.gguf --jsonl < variables.jsonl > texts.jsonl\n",
     cli_template},
    {"bench", CLI_BENCH, "MODEL", 1, 1, "How fast a model is here, beside what the machine can do at most.",
     "  lizzie bench model.gguf\n"
     "  lizzie bench model.gguf --sequences 1,16,64 --rows 0\n"
     "  lizzie bench model.gguf --threads 1 --repeat 5 --json\n",
     cli_bench},
    {"merge", CLI_MERGE, "MODEL [MODEL...] [--lora FILE] -o OUT", 1, CLI_POSITIONAL_MAX,
     "Makes adapters part of a model's weights, or the mean of several models one, in a new file.",
     "  lizzie merge model.gguf --lora adapter.gguf -o tuned.gguf\n"
     "  lizzie merge model.gguf --lora style.gguf --lora facts.gguf=0.5 -o both.gguf --type f16\n"
     "  lizzie merge run-1.gguf run-2.gguf run-3.gguf -o mean.gguf\n",
     cli_merge},
    {"train", CLI_TRAIN, "OUT.gguf --data FILE...", 1, 1,
     "Trains a model, tokenizer and all, on text or {\"text\":...} lines. Run the same command again to resume.",
     "  lizzie train tales.gguf --data tales.txt --valid held-out.txt --shape 3m --epochs 2\n"
     "  lizzie train books.gguf --data books/*.txt --shape 10m --vocab 8192 --context 512 --tokens 20e6 \\\n"
     "      --valid held-out.txt --sample 'Once upon a time' --log log.jsonl --plot curve.svg\n"
     "  lizzie train further.gguf --init books.gguf --data letters.jsonl --epochs 1 --rate 5e-4\n",
     cli_train},
    {"quantize", CLI_QUANTIZE, "IN OUT TYPE", 1, 3,
     "Writes a model file again in another type, or only measures which of its inputs matter.",
     "  lizzie quantize model-f16.gguf model-q4.gguf Q4_K_M\n"
     "  lizzie quantize model-f16.gguf model-q3.gguf Q3_K --imatrix-from calibration.txt\n"
     "  lizzie quantize model-f16.gguf --imatrix-from calibration.txt --imatrix importance.gguf\n",
     cli_quantize},
    {"tune", CLI_TUNE, "MODEL -o ADAPTER.gguf --data FILE...", 1, 1,
     "Tunes a model, however quantised, by an adapter (LoRA) learnt from examples. The same command again resumes.",
     "  lizzie tune model.gguf -o tone.gguf --data answers.jsonl\n"
     "  lizzie tune model.gguf -o topics.gguf --data train.tsv --prompt 'Topic of: {{text}}' --completion '{{label}}'\n"
     "  lizzie batch model.gguf in.csv -o out.jsonl --prompt 'Topic of: {{text}}' --lora topics.gguf\n",
     cli_tune},
    {.name = "serve"},
    {.name = "convert"},
    {.name = "pull"},
    {.name = "list"},
    {.name = "rm"},
    {.name = NULL},
};

static void help_short(FILE *to)
{
    fprintf(to, "lizzie %s: language models for volume work, on the CPU\n\n", liz_version());
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        if (c->id != 0)
            fprintf(to, "  lizzie %-9s%-17s %s\n", c->name, c->positionals, c->summary);
    fputs("\nTo copy:\n"
          "  lizzie run model.gguf 'Once upon a time'\n"
          "  lizzie batch model.gguf messages.jsonl -o routed.jsonl --prompt 'Route this message: {{text}}'\n"
          "  lizzie inspect model.gguf\n\n"
          "lizzie COMMAND --help shows the options of a command.\n",
          to);
}

static int fail_command(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        if (c->id != 0)
            names[n++] = c->name;
    names[n] = NULL;
    const char *nearest = cli_nearest(name, names);
    if (nearest != NULL)
        fprintf(stderr, "lizzie: %s: is not a command: did you mean %s?\n", name, nearest);
    else
        fprintf(stderr, "lizzie: %s: is not a command: lizzie --help lists them\n", name);
    return EXIT_USAGE;
}

/* The exit code of what was printed through stdio. */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    fputs("lizzie: standard output: cannot be written: make room, or name another place\n", stderr);
    return EXIT_FAILED;
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    static cli_args args;
    liz_error err;
    liz_line_opts_init(&args.line);
    args.line.max_tokens = -1; /* not given */
    args.price_kwh = 0.30;
    args.bench = (cli_bench_args){.n_rows = 64, .n_rounds = 3};
    liz_course_opts_init(&args.train.common);
    if (command->id == CLI_TUNE)
        liz_tune_opts_init(&args.tune, &args.train.common);
    liz_tier_id tier; /* for its error alone: a name that is none is refused by commands that need no kernel too */
    liz_status status = liz_cpu_tier(&tier, &err) ?: cli_args_read(&args, command, argc, argv, &err);
    if (status == LIZ_OK && args.help) {
        cli_help_command(command, stdout);
        args.exit_code = printed();
    } else if (status == LIZ_OK) {
        liz_buf out = {.len_max = (size_t)4 << 30};
        cli_log_install(args.verbose);
        args.line.model_path = args.positional[0];
        args.line.engine.on_progress = cli_progress_open;
        status = command->run(&args, &out, &err);
        cli_progress_clear();
        status = status ?: cli_flush(&out, &err);
        liz_buf_free(&out);
    }
    cli_args_free(&args);
    if (status == LIZ_E_CANCELLED && cli_stop)
        return cli_exit_interrupted();
    return status != LIZ_OK ? cli_fail(status, &err) : args.exit_code;
}

/* Standard descriptors that were closed would be given to the next file opened. What takes their place can only do the
 * opposite of what is wanted of them, so that reading or writing fails aloud where the bytes would be lost. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    cli_signals_install();
    if (argc < 2) {
        help_short(stdout);
        return printed();
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help_short(stdout);
        return printed();
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lizzie %s\n", liz_version());
        return printed();
    }
    if (strcmp(argv[1], "--complete") == 0) {
        cli_complete(argc - 2, argv + 2);
        return EXIT_DONE;
    }
    for (const cli_command *c = cli_commands; c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) != 0)
            continue;
        if (c->id != 0)
            return run_command(c, argc - 2, argv + 2);
        fprintf(stderr, "lizzie: %s: is not in this version: lizzie --help lists what is\n", c->name);
        return EXIT_USAGE;
    }
    return fail_command(argv[1]);
}
