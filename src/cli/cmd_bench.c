/* cmd_bench.c - lizzie bench: what was timed (cli_bench.c) beside what the machine can do at most.
 *
 * A figure is a speed and the work that one of its units costs: bytes of weights read, operations in int8 and in float.
 * Speed times work is what the machine was made to do; the machine's own rates, measured right after, say how fast it
 * could have been: the slower of reading and computing is the limit. Keys and values, norms and sampling are not in
 * it, so a share of 100 % is out of reach. */
#include "cli/cli_bench.h"

#include <math.h>

typedef struct figure {
    char name[32];
    const char *unit;
    const double *values;              /* [n_rounds], a second or seconds */
    bool in_seconds;                   /* less is better */
    double bytes, int8_ops, float_ops; /* of one unit */
} figure;

/* What a figure comes to. */
typedef struct verdict {
    double median, lowest, highest;
    double read_bytes_s, ops_s, ops_s_max; /* ops_s_max: for its mixture of int8 and float */
    double limit, share;                   /* limit 0: unknown */
    bool by_reading;                       /* or by computing */
} verdict;

typedef struct report {
    const cli_args *args;
    const cli_bench_times *times;
    liz_machine machine;
    figure figures[CLI_BENCH_COUNTS_MAX + 4];
    int n_figures;
} report;

/* ---- Figures ------------------------------------------------------------------------------------ */

/* The work of `n_layers` tokens in the layers and of `n_output` in the output matrix, in `n_steps` steps. */
static void figure_add(report *r, const char *name, const char *unit, const double *values, double n_layers,
                       double n_output, double n_steps, double n_steps_output)
{
    const liz_work *l = &r->times->info.work_layers, *o = &r->times->info.work_output;
    figure *f = &r->figures[r->n_figures++];
    *f = (figure){.unit = unit,
                  .values = values,
                  .in_seconds = strcmp(unit, "s") == 0,
                  .bytes = n_steps * (double)l->weight_bytes + n_steps_output * (double)o->weight_bytes,
                  .int8_ops = n_layers * (double)l->int8_ops + n_output * (double)o->int8_ops,
                  .float_ops = n_layers * (double)l->float_ops + n_output * (double)o->float_ops};
    snprintf(f->name, sizeof f->name, "%s", name);
}

static void figures_fill(report *r)
{
    const cli_bench_times *t = r->times;
    const cli_bench_args *set = &r->args->bench;
    char name[32];
    figure_add(r, "open", "s", t->open_s, 0, 0, 1, 1); /* the weights once */
    figure_add(r, "first token", "s", t->first_token_s, 1, 1, 2, 2);
    double n = set->n_prefill;
    figure_add(r, "prefill", "tok/s", t->prefill_tok_s, 1, 1 / n, ceil(n / t->n_prefill_chunk) / n, 1 / n);
    for (int c = 0; c < set->n_counts; c++) {
        double one = 1.0 / set->counts[c];
        snprintf(name, sizeof name, "decode %d", set->counts[c]);
        figure_add(r, name, "tok/s", t->decode_tok_s[c], 1, 1, one, one);
    }
    if (t->has_line) { /* as many rows together as there may be */
        double together = set->n_rows < t->info.n_parallel ? set->n_rows : t->info.n_parallel;
        double steps = t->line_completion / together;
        figure_add(r, "line", "rows/s", t->line_rows_s, t->line_computed + t->line_completion, t->line_completion,
                   steps + t->line_computed / t->n_prefill_chunk, steps);
    }
}

static verdict judge(const report *r, const figure *f)
{
    const int n = r->args->bench.n_rounds;
    const liz_machine *m = &r->machine;
    verdict v = {.median = cli_bench_median(f->values, n), .lowest = f->values[0], .highest = f->values[0]};
    for (int i = 1; i < n; i++) {
        v.lowest = fmin(v.lowest, f->values[i]);
        v.highest = fmax(v.highest, f->values[i]);
    }
    double rate = f->in_seconds ? 1 / v.median : v.median, ops = f->int8_ops + f->float_ops;
    double compute_s = f->int8_ops / m->int8_ops_s + f->float_ops / m->bf16_ops_s;
    double read_s = m->read_bytes_s > 0 ? f->bytes / m->read_bytes_s : 0;
    double least_s = fmax(compute_s, read_s);
    v.read_bytes_s = rate * f->bytes;
    v.ops_s = rate * ops;
    v.ops_s_max = ops > 0 ? ops / compute_s : m->int8_ops_s;
    v.by_reading = read_s >= compute_s;
    v.limit = least_s > 0 ? (f->in_seconds ? least_s : 1 / least_s) : 0;
    v.share = rate * least_s;
    return v;
}

/* ---- Saying it ---------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void write_row(const report *r, const figure *f, liz_buf *out)
{
    verdict v = judge(r, f);
    char speed[32], spread[32], read[32], computed[32];
    int digits = v.median < 10 ? 3 : 1;
    snprintf(speed, sizeof speed, "%.*f %s", digits, v.median, f->unit);
    snprintf(spread, sizeof spread, "%.*f-%.*f", digits, v.lowest, digits, v.highest);
    snprintf(read, sizeof read, "%.1f of %.1f", v.read_bytes_s * 1e-9, r->machine.read_bytes_s * 1e-9);
    snprintf(computed, sizeof computed, "%.2f of %.2f", v.ops_s * 1e-12, v.ops_s_max * 1e-12);
    liz_buf_printf(out, "%-13s%-16s%-18s%-16s%-16s", f->name, speed, spread, read, computed);
    if (v.limit > 0)
        liz_buf_printf(out, "%.0f %% of %.*f (%s)", 100 * v.share, digits, v.limit,
                       v.by_reading ? "reading" : "computing");
    liz_buf_putc(out, '\n');
}

/* The figure that profile `i` is of. */
static const char *profile_name(const report *r, int i) { return r->figures[2 + i].name; }

/* Whether any of n profiles knows part k. */
static bool has_part(const cli_bench_profile *all, int n, size_t k)
{
    for (int i = 0; i < n; i++)
        if (all[i].parts[k].us > 0)
            return true;
    return false;
}

static void write_profile(const report *r, liz_buf *out)
{
    const cli_bench_profile *all = r->times->profiles;
    const int n = 1 + r->args->bench.n_counts;
    liz_buf_printf(out, "\n%-24s", "ms a step (GB/s)");
    for (int i = 0; i < n; i++)
        liz_buf_printf(out, "%-20s", profile_name(r, i));
    for (size_t k = 0; k < all->n_parts; k++) {
        if (!has_part(all, n, k)) /* nothing this model does */
            continue;
        liz_buf_printf(out, "\n%-24s", all->parts[k].name);
        for (int i = 0; i < n; i++) {
            const liz_profile_part *part = &all[i].parts[k];
            char rate[32] = "", cell[64];
            if (part->bytes > 0 && part->us > 0)
                snprintf(rate, sizeof rate, " (%.1f)", (double)part->bytes / (double)part->us * 1e-3);
            snprintf(cell, sizeof cell, "%.3f%s", (double)part->us * 1e-3 / fmax(1, (double)all[i].n_steps), rate);
            liz_buf_printf(out, "%-20s", cell);
        }
    }
    liz_buf_putc(out, '\n');
}

static void write_table(const report *r, liz_buf *out)
{
    const liz_machine *m = &r->machine;
    const cli_bench_args *set = &r->args->bench;
    liz_buf_printf(out, "%s: %d threads, %s, %s\n", base_name(r->args->line.model_path), r->times->info.n_threads,
                   m->tier, m->cpu);
    liz_buf_printf(out, "this machine: reads %.1f GB/s, computes %.3g TOPS in int8, %.3g in bf16\n",
                   m->read_bytes_s * 1e-9, m->int8_ops_s * 1e-12, m->bf16_ops_s * 1e-12);
    liz_buf_printf(out, "prompt of %d tokens; %d steps from %d tokens on", set->n_prefill, set->n_steps, set->n_depth);
    if (set->n_shared > 0)
        liz_buf_printf(out, ", %d of them shared", set->n_shared);
    liz_buf_printf(out, "; medians of %d\n\n", set->n_rounds);
    liz_buf_printf(out, "%-13s%-16s%-18s%-16s%-16s%s\n", "", "speed", "lowest-highest", "reads GB/s", "computes TOPS",
                   "of the limit");
    for (int i = 0; i < r->n_figures; i++)
        write_row(r, &r->figures[i], out);
    if (r->times->has_line)
        liz_buf_printf(out, "\nline: a row computes %.1f tokens of its prompt, is saved %.1f, and generates %.1f\n",
                       r->times->line_computed, r->times->line_saved, r->times->line_completion);
    liz_buf_printf(out, "%smemory: %.0f MiB at most while opening, %.0f MiB before the line\n",
                   r->times->has_line ? "" : "\n", (double)r->times->open_peak_bytes / (1 << 20),
                   (double)r->times->peak_bytes / (1 << 20));
    if (set->has_profile)
        write_profile(r, out);
}

static void write_profile_json(const report *r, liz_buf *out)
{
    liz_json_open(out, "profile", '{');
    for (int i = 0; i <= r->args->bench.n_counts; i++) {
        const cli_bench_profile *p = &r->times->profiles[i];
        liz_json_open(out, profile_name(r, i), '{');
        liz_json_put_u64(out, "steps", p->n_steps);
        for (size_t k = 0; k < p->n_parts; k++) {
            liz_json_open(out, p->parts[k].name, '{');
            liz_json_put_u64(out, "us", p->parts[k].us);
            liz_json_put_u64(out, "bytes", p->parts[k].bytes);
            liz_buf_putc(out, '}');
        }
        liz_buf_putc(out, '}');
    }
    liz_buf_putc(out, '}');
}

static void write_figure(const report *r, const figure *f, liz_buf *out)
{
    verdict v = judge(r, f);
    liz_json_key(out, f->name);
    liz_buf_printf(out, "{\"unit\":\"%s\",\"values\":[", f->unit);
    for (int i = 0; i < r->args->bench.n_rounds; i++)
        liz_json_put_double(out, NULL, f->values[i]);
    liz_buf_putc(out, ']');
    liz_json_put_double(out, "median", v.median);
    liz_json_put_double(out, "read_bytes_s", v.read_bytes_s);
    liz_json_put_double(out, "ops_s", v.ops_s);
    liz_json_put_double(out, "ops_s_max", v.ops_s_max);
    if (v.limit > 0) {
        liz_json_put_double(out, "limit", v.limit);
        liz_buf_printf(out, ",\"limit_by\":\"%s\"", v.by_reading ? "reading" : "computing");
        liz_json_put_double(out, "share", v.share);
    }
    liz_buf_putc(out, '}');
}

static void write_json(const report *r, liz_buf *out)
{
    const cli_bench_times *t = r->times;
    const cli_bench_args *set = &r->args->bench;
    liz_buf_printf(out, "{\"engine\":\"lizzie\",\"version\":\"%s\",\"model\":", liz_version());
    liz_json_write_string(out, liz_str_of(base_name(r->args->line.model_path)));
    liz_buf_printf(out, ",\"threads\":%d,\"variant\":\"%s\",\"machine\":{\"cpu\":", t->info.n_threads, r->machine.tier);
    liz_json_write_string(out, liz_str_of(r->machine.cpu));
    liz_json_put_double(out, "read_bytes_s", r->machine.read_bytes_s);
    liz_json_put_double(out, "int8_ops_s", r->machine.int8_ops_s);
    liz_json_put_double(out, "bf16_ops_s", r->machine.bf16_ops_s);
    liz_buf_printf(out, "},\"prefill\":%d,\"depth\":%d,\"shared\":%d,\"steps\":%d,\"figures\":{", set->n_prefill,
                   set->n_depth, set->n_shared, set->n_steps);
    for (int i = 0; i < r->n_figures; i++)
        write_figure(r, &r->figures[i], out);
    liz_buf_putc(out, '}');
    if (t->has_line) {
        liz_json_put_double(out, "line_computed_tokens", t->line_computed);
        liz_json_put_double(out, "line_saved_tokens", t->line_saved);
        liz_json_put_double(out, "line_completion_tokens", t->line_completion);
    }
    if (set->has_profile)
        write_profile_json(r, out);
    liz_buf_printf(out, ",\"open_peak_bytes\":%llu,\"peak_bytes\":%llu}\n", (unsigned long long)t->open_peak_bytes,
                   (unsigned long long)t->peak_bytes);
}

liz_status cli_bench(cli_args *args, liz_buf *out, liz_error *err)
{
    static cli_bench_times times;
    report r = {.args = args, .times = &times};
    if (args->bench.beside != NULL && args->bench.plot == NULL)
        return liz_fail(err, LIZ_E_USAGE, "--beside: is drawn into --plot F.svg: give that too");
    LIZ_TRY(cli_check_written(args, args->bench.plot, err));
    LIZ_TRY(cli_bench_settle(args, err));
    if (args->bench.beside != NULL)
        LIZ_TRY(cli_bench_curve_read(&times.beside, args->bench.beside, err));
    liz_status status = cli_bench_run(args, &times, err);
    cli_progress_clear();
    status = status ?: liz_machine_measure(times.info.n_threads, &r.machine, err); /* its memory is not the model's */
    if (status == LIZ_OK && args->bench.plot != NULL)
        status = cli_bench_plot(args, &times, err);
    if (status != LIZ_OK)
        return status;
    figures_fill(&r);
    (args->json ? write_json : write_table)(&r, out);
    return LIZ_OK;
}
