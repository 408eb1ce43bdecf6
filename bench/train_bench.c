/* train_bench.c - how fast training is: steps of a shape on random tokens, beside the machine's measured float rate.
 *
 *     train_bench [SHAPE [ROWS [CONTEXT [STEPS [THREADS]]]]]      (10m 32 512 3, the CPUs there are)
 *
 * Both rates are told by the clock and by processor time; on a machine that does other things as well only the second
 * says something. */
#include "train/graph.h"
#include "train/optimizer.h"
#include "train/shape.h"

#include "base/philox.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PART_TOKENS = 4096, PEAK_ROUNDS = 1 << 22, PEAK_TRIES = 8 };

static liz_error err;

static void must(liz_status status)
{
    if (status == LIZ_OK)
        return;
    fprintf(stderr, "train_bench: %s\n", err.text);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct peak_run {
    const liz_kernel *kernel;
    uint64_t ops; /* of a member */
} peak_run;

static void peak_share(void *arg, int member, int n_members)
{
    peak_run *p = arg;
    (void)n_members;
    p->kernel->tiles_begin();
    uint64_t ops = p->kernel->peak_bf16(PEAK_ROUNDS);
    p->kernel->tiles_end();
    if (member == 0)
        p->ops = ops;
}

/* Operations a second of processor time that all members do together, the best of some tries: processors that share
 * a core's units are slower together than alone. */
static double peak(liz_team *team, const liz_kernel *kernel)
{
    double best = 0;
    peak_run run = {kernel, 0};
    for (int i = 0; i < PEAK_TRIES; i++) {
        double begin = cpu_s();
        liz_team_run(team, peak_share, &run);
        double rate = (double)run.ops * liz_team_size(team) / (cpu_s() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

static void write_start(const char *path, const liz_model_shape *shape)
{
    liz_gguf_writer *writer;
    must(liz_gguf_writer_open(&writer, NULL, path, &err));
    must(liz_model_shape_write(shape, writer, 1, &err));
    must(liz_gguf_writer_finish(writer, &err));
    liz_gguf_writer_close(writer);
}

static long number(int argc, char **argv, int i, long other) { return argc > i ? atol(argv[i]) : other; }

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "10m";
    size_t n_rows = (size_t)number(argc, argv, 2, 32), n_ctx = (size_t)number(argc, argv, 3, 512);
    long n_steps = number(argc, argv, 4, 3), n_threads = number(argc, argv, 5, liz_cpu_count());
    size_t n_part = PART_TOKENS / n_ctx > 0 ? PART_TOKENS / n_ctx : 1;
    n_part = n_part < n_rows ? n_part : n_rows; /* rows of a part */
    liz_model_shape shape = {.n_ctx = (int32_t)n_ctx};
    char path[] = "/tmp/lizzie-train-bench-XXXXXX";
    liz_tier_id tier;
    liz_team *team;
    liz_gguf *gguf;
    liz_tape *tape;
    liz_graph *graph;
    liz_optimizer *optimizer;
    must(liz_model_shape_complete(&shape, name, &err));
    close(mkstemp(path));
    write_start(path, &shape);
    must(liz_cpu_tier(&tier, &err));
    must(liz_team_open(&team, (int)n_threads, &err));
    must(liz_gguf_open(&gguf, path, &err));
    unlink(path);
    must(liz_tape_open(&tape, team, tier, &(liz_tape_opts){.n_tok_max = n_part * n_ctx}, &err));
    must(liz_graph_open(&graph, gguf, tape, &(liz_graph_opts){.n_ctx = (int32_t)n_ctx}, &err));
    liz_optimizer_opts opts = {.rate = 1e-3f, .muon = getenv("ADAMW") == NULL, .clip = 1};
    must(liz_optimizer_open(&optimizer, tape, team, &opts, &err));

    size_t n = n_part * n_ctx;
    int32_t *tokens = malloc(n * sizeof *tokens), *targets = malloc(n * sizeof *targets);
    liz_segment *segments = malloc(n_part * sizeof *segments);
    for (size_t t = 0; t < n; t++) {
        tokens[t] = (int32_t)(liz_draw(1, t, 0) * shape.n_vocab);
        targets[t] = (int32_t)(liz_draw(1, t, 1) * shape.n_vocab);
    }
    for (size_t r = 0; r < n_part; r++)
        segments[r] = (liz_segment){r * n_ctx, n_ctx};
    liz_train_batch batch = {n, n_part, tokens, targets, segments, 1.0f / (float)(n_rows * n_ctx)};
    liz_tape_backward(tape, &batch); /* touches the memory, */
    liz_optimizer_step(optimizer, 1, 0); /* as does a step of no length */
    uint64_t begin_us = liz_clock_us();
    double begin_cpu = cpu_s(), step_cpu = 0;
    for (long step = 1; step <= n_steps; step++) {
        for (size_t r = 0; r < n_rows; r += n_part)
            liz_tape_backward(tape, &batch);
        double before = cpu_s();
        liz_optimizer_step(optimizer, (uint64_t)step, 1);
        step_cpu += cpu_s() - before;
    }
    double cpu = cpu_s() - begin_cpu, wall = (double)(liz_clock_us() - begin_us) * 1e-6;
    size_t n_parts = (n_rows + n_part - 1) / n_part;
    double n_tok = (double)n_steps * (double)(n_parts * n), ops = n_tok * liz_tape_token_ops(tape, n_ctx, 1);
    double most = peak(team, liz_tape_gemm(tape)->kernel);
    printf("%s, %zu x %zu, %ld threads, %s: %.0f tokens/s by the clock; %.0f a CPU second; %.1f of %.1f Gop/s a CPU "
           "second: %.1f %%; optimizer %.1f %% of the time\n",
           name, n_rows, n_ctx, n_threads, liz_cpu_tier_name(tier), n_tok / wall, n_tok / cpu, ops / cpu * 1e-9,
           most * 1e-9, 100 * ops / cpu / most, 100 * step_cpu / cpu);
    liz_optimizer_close(optimizer);
    liz_graph_close(graph);
    liz_tape_close(tape);
    liz_gguf_close(gguf);
    liz_team_close(team);
    return 0;
}
