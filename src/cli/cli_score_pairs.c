/* cli_score_pairs.c - minimal pairs: of two texts, which does the model hold likelier?
 *
 * The file is TSV whose header names the columns `good` and `bad`; another column may tell groups apart, as in BLiMP. A
 * text's weight is the sum of its tokens' log-probabilities after BOS (where the model asks for one); the good one is
 * likelier only where its sum is greater. */
#include "cli/cli.h"
#include "cli/cli_score.h"

#include "line/line_record.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BLOCK = 256, GROUPS_MAX = 10000, GOOD = 0, BAD = 1, GROUP = 2, N_WANTED = 3 };

typedef struct tally {
    liz_str name;
    uint64_t n, n_right;
} tally;

typedef struct pairs {
    const cli_scorer *s;
    const char *path;
    const char *wanted[N_WANTED]; /* names of columns; GROUP may be NULL */
    liz_line_header header;
    bool json;
    uint64_t index, *n_bad;
    tally all;
    tally groups[GROUPS_MAX]; /* [n_groups] in the order of their first pair */
    size_t n_groups;
    liz_arena names;
    /* The block that is scored together. */
    liz_arena arena;
    cli_scored scores[2 * BLOCK];
    liz_str group[BLOCK];
    size_t n;
    liz_buf *out;
} pairs;

static liz_status read_header(pairs *p, const liz_line_input *in, liz_error *err)
{
    liz_status status = liz_line_header_read(&p->header, in, p->path, err);
    for (int k = 0; status == LIZ_OK && k < N_WANTED && p->wanted[k] != NULL; k++) {
        size_t i = 0;
        while (i < p->header.n_names && !liz_str_is(p->header.names[i], p->wanted[k]))
            i++;
        if (i == p->header.n_names)
            status = liz_fail(err, LIZ_E_USAGE,
                              "%s: --pairs wants a first line that names columns, with tabs: \"%s\" is not among them",
                              p->path, p->wanted[k]);
    }
    return status;
}

/* The tally of a group, made with its first pair; NULL where there is no memory for one more. */
static tally *tally_of(pairs *p, liz_str name)
{
    for (size_t i = 0; i < p->n_groups; i++)
        if (liz_str_eq(p->groups[i].name, name))
            return &p->groups[i];
    const char *copy = p->n_groups < GROUPS_MAX ? liz_arena_strdup(&p->names, name.p, name.n) : NULL;
    if (copy == NULL)
        return NULL;
    p->groups[p->n_groups] = (tally){.name = {copy, name.n}};
    return &p->groups[p->n_groups++];
}

static void write_pair(pairs *p, uint64_t index, double good, double bad)
{
    liz_buf_printf(p->out, p->json ? "{\"index\":%" PRIu64 ",\"good\":" : "%" PRIu64 "\t", index);
    liz_json_write_double(p->out, good);
    liz_buf_puts(p->out, p->json ? ",\"bad\":" : "\t");
    liz_json_write_double(p->out, bad);
    liz_buf_printf(p->out, p->json ? ",\"likelier\":\"%s\"}\n" : "\t%s\n", good > bad ? "good" : "bad");
}

static liz_status count_pair(pairs *p, size_t i, liz_error *err)
{
    double good = p->scores[2 * i + GOOD].logprob, bad = p->scores[2 * i + BAD].logprob;
    p->all.n++;
    p->all.n_right += good > bad;
    if (p->wanted[GROUP] == NULL) {
        write_pair(p, p->scores[2 * i].index, good, bad);
        return LIZ_OK;
    }
    tally *t = tally_of(p, p->group[i]);
    if (t == NULL)
        return liz_fail(err, LIZ_E_LIMIT, "%s: column \"%s\" tells more than %d groups apart", p->path,
                        p->wanted[GROUP], GROUPS_MAX);
    t->n++;
    t->n_right += good > bad;
    return LIZ_OK;
}

static liz_status score_block(pairs *p, liz_error *err)
{
    liz_status status = cli_score_texts(p->s, p->scores, 2 * p->n, err);
    for (size_t i = 0; status == LIZ_OK && i < p->n; i++)
        status = count_pair(p, i, err);
    p->n = 0;
    liz_arena_reset(&p->arena);
    return status ?: cli_flush(p->out, err);
}

static void take_fields(pairs *p, const liz_line_record *record)
{
    liz_str *into[N_WANTED] = {&p->scores[2 * p->n + GOOD].text, &p->scores[2 * p->n + BAD].text, &p->group[p->n]};
    bool named = true; /* by the header */
    for (int k = 0; k < N_WANTED && p->wanted[k] != NULL; k++)
        named = liz_line_record_text(record, p->wanted[k], into[k]) && named;
    LIZ_ASSERT(named);
    p->scores[2 * p->n++].index = p->index;
}

static liz_status take_line(pairs *p, const liz_line_cut *cut, liz_error *err)
{
    liz_line_record record;
    liz_line_row row;
    liz_line_row_init(&row);
    if (p->n == 0)
        liz_arena_reset(&p->arena); /* lines that were no good are in it too */
    bool reads = liz_line_record_read(&record, cut, &p->header, &p->arena, &row);
    liz_status status = LIZ_OK;
    if (reads)
        take_fields(p, &record);
    else if (p->arena.refused)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its lines", p->path);
    else
        cli_score_skip(p->path, cut->line, row.error_message.data);
    *p->n_bad += !reads;
    p->index++;
    liz_line_row_free(&row);
    return status == LIZ_OK && p->n == BLOCK ? score_block(p, err) : status;
}

static void write_tally(pairs *p, const tally *t, bool is_all)
{
    double percent = 100.0 * (double)t->n_right / (double)t->n;
    if (p->json) {
        liz_buf_puts(p->out, "{\"group\":");
        if (is_all)
            liz_buf_puts(p->out, "null");
        else
            liz_json_write_string(p->out, t->name);
        liz_buf_printf(p->out, ",\"pairs\":%" PRIu64 ",\"good_likelier\":%" PRIu64 ",\"percent\":%.2f}\n", t->n,
                       t->n_right, percent);
    } else {
        liz_buf_printf(p->out, "%.*s\t%" PRIu64 "\t%" PRIu64 "\t%.2f\n", LIZ_STR_ARG(t->name), t->n, t->n_right,
                       percent);
    }
}

/* The groups, and all pairs last. */
static void write_groups(pairs *p)
{
    for (size_t i = 0; i < p->n_groups; i++)
        write_tally(p, &p->groups[i], false);
    p->all.name = liz_str_of("all");
    if (p->all.n > 0)
        write_tally(p, &p->all, true);
}

static liz_status score_lines(pairs *p, liz_line_input *in, liz_error *err)
{
    liz_line_cut cut;
    bool got = true, groups = p->wanted[GROUP] != NULL;
    liz_status status = read_header(p, in, err);
    if (status == LIZ_OK && !p->json)
        liz_buf_puts(p->out, groups ? "group\tpairs\tgood_likelier\tpercent\n" : "index\tgood\tbad\tlikelier\n");
    status = status ?: cli_flush(p->out, err);
    while (status == LIZ_OK && got) {
        status = liz_line_input_next(in, &cut, &got, err);
        if (status == LIZ_OK && got)
            status = take_line(p, &cut, err);
    }
    status = status ?: score_block(p, err);
    if (status == LIZ_OK && groups)
        write_groups(p);
    else if (status == LIZ_OK && p->all.n > 0)
        fprintf(stderr, "pairs: %" PRIu64 ", good likelier in %.2f %%\n", p->all.n,
                100.0 * (double)p->all.n_right / (double)p->all.n);
    return status;
}

liz_status cli_score_pairs(const cli_scorer *s, const char *path, const char *group, bool json, uint64_t *n_bad,
                           liz_buf *out, liz_error *err)
{
    static pairs p; /* large */
    liz_line_input *in = NULL;
    p = (pairs){.s = s, .path = path, .wanted = {"good", "bad", group}, .json = json, .n_bad = n_bad, .out = out};
    liz_arena_init(&p.names, 64u << 20);
    liz_arena_init(&p.arena, (size_t)1 << 31);
    liz_status status = liz_line_input_open(&in, liz_files_system(), path, LIZ_LINE_INPUT_TSV, NULL, err);
    status = status ?: score_lines(&p, in, err);
    liz_line_input_close(in);
    liz_arena_free(&p.arena);
    liz_arena_free(&p.names);
    liz_line_header_free(&p.header);
    return status;
}
