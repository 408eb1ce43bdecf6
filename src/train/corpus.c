/* corpus.c - cutting files into lines, lines into documents, documents into tokens. */
#include "train/corpus.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 18, PIECE_BYTES = 1 << 20 };

static const char separator[] = "<|endoftext|>";

typedef struct reader {
    const char *path;
    liz_corpus_fn *fn;
    void *user;
    liz_buf line, text; /* the line so far; the document so far */
    liz_arena arena;
    uint64_t n_lines;
    bool is_jsonl;
} reader;

static liz_status bad_line(const reader *r, liz_status status, const char *what, liz_error *err)
{
    return liz_fail(err, status, "%s: line %" PRIu64 ": %s", r->path, r->n_lines, what);
}

static liz_status flush(reader *r, bool ends, liz_error *err)
{
    liz_status status = r->text.len > 0 ? r->fn(r->user, liz_buf_str(&r->text), ends, err) : LIZ_OK;
    liz_buf_clear(&r->text);
    return status;
}

static liz_status take_json(reader *r, liz_str line, liz_error *err)
{
    liz_json *json;
    liz_error why;
    liz_arena_reset(&r->arena);
    liz_status status = liz_json_read(&json, line, &r->arena, &why);
    if (status != LIZ_OK)
        return bad_line(r, status, why.text, err);
    const liz_json *text = liz_json_member(json, "text");
    if (text == NULL || text->type != LIZ_JSON_STRING)
        return bad_line(r, LIZ_E_FORMAT, "has no \"text\" that is a string", err);
    liz_buf_append_str(&r->text, text->string);
    return flush(r, true, err);
}

/* A line with its end, which the last one may lack. */
static liz_status take_line(reader *r, liz_error *err)
{
    liz_str line = liz_buf_str(&r->line);
    liz_status status = LIZ_OK;
    if (r->n_lines++ == 0)
        line = liz_utf8_unmarked(line);
    bool ends = line.n > 0 && line.p[line.n - 1] == '\n';
    size_t n = line.n - ends;
    n -= n > 0 && line.p[n - 1] == '\r';
    if (liz_buf_failed(&r->line))
        return bad_line(r, LIZ_E_LIMIT, "is longer than 64 MiB: break it", err);
    if (liz_utf8_valid_prefix(line.p, line.n) != line.n)
        return bad_line(r, LIZ_E_FORMAT, "is not UTF-8: convert the file", err);
    if (r->is_jsonl && liz_str_words((liz_str){line.p, n}) > 0)
        status = take_json(r, (liz_str){line.p, n}, err);
    else if (!r->is_jsonl && n == sizeof separator - 1 && memcmp(line.p, separator, n) == 0)
        status = flush(r, true, err);
    else if (!r->is_jsonl) {
        liz_buf_append(&r->text, line.p, n);
        liz_buf_append(&r->text, "\n", ends);
    }
    if (liz_buf_failed(&r->text))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a document", r->path);
    liz_buf_clear(&r->line);
    return status == LIZ_OK && r->text.len >= PIECE_BYTES ? flush(r, false, err) : status;
}

static liz_status take_chunk(reader *r, const char *p, size_t n, liz_error *err)
{
    for (const char *end = p + n; p < end;) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *stop = line_end != NULL ? line_end + 1 : end;
        liz_buf_append(&r->line, p, (size_t)(stop - p));
        p = stop;
        if (line_end != NULL || liz_buf_failed(&r->line))
            LIZ_TRY(take_line(r, err));
    }
    return LIZ_OK;
}

static liz_status read_chunks(reader *r, const liz_files *files, int fd, char *chunk, liz_error *err)
{
    for (size_t n = 1; n > 0;) {
        LIZ_TRY(liz_file_read(files, fd, r->path, chunk, CHUNK_BYTES, &n, err));
        LIZ_TRY(take_chunk(r, chunk, n, err));
    }
    if (r->line.len > 0)
        LIZ_TRY(take_line(r, err));
    return flush(r, true, err);
}

liz_status liz_corpus_read(const liz_files *files, const char *path, liz_corpus_fn *fn, void *user, liz_error *err)
{
    size_t n_path = strlen(path);
    reader r = {.path = path, .fn = fn, .user = user};
    r.is_jsonl = n_path > 6 && strcmp(path + n_path - 6, ".jsonl") == 0;
    liz_buf_init(&r.line, LIZ_CORPUS_LINE_MAX);
    liz_buf_init(&r.text, 2 * LIZ_CORPUS_LINE_MAX);
    liz_arena_init(&r.arena, 4 * LIZ_CORPUS_LINE_MAX);
    char *chunk = malloc(CHUNK_BYTES);
    int fd = -1;
    liz_status status = chunk != NULL ? liz_file_open(files, path, O_RDONLY, &fd, err)
                                      : liz_fail(err, LIZ_E_MEMORY, "%s: no memory to read it", path);
    status = status ?: read_chunks(&r, files, fd, chunk, err);
    liz_file_close(files, &fd);
    free(chunk);
    liz_arena_free(&r.arena);
    liz_buf_free(&r.line);
    liz_buf_free(&r.text);
    return status;
}

/* ---- Tokens ---- */

typedef struct adder {
    liz_tokens *tokens;
    const liz_text_vocab *vocab;
    bool inside; /* a document whose beginning was added */
} adder;

static bool push(liz_tokens *t, const int32_t *ids, size_t n)
{
    if (!liz_array_room(&t->v, &t->cap, t->n + n, sizeof *t->v))
        return false;
    memcpy(t->v + t->n, ids, n * sizeof *ids);
    t->n += n;
    return true;
}

static liz_status add_text(void *user, liz_str text, bool ends, liz_error *err)
{
    adder *a = user;
    liz_tokens *t = a->tokens;
    int32_t *ids;
    size_t n;
    LIZ_TRY(liz_text_encode(a->vocab, text, 0, &ids, &n, err));
    bool ok = a->inside || push(t, &t->begin, 1);
    ok = ok && push(t, ids, n) && (!ends || t->end == t->begin || push(t, &t->end, 1));
    free(ids);
    t->n_documents += !a->inside;
    t->n_bytes += text.n;
    t->n_words += liz_str_words(text);
    a->inside = !ends;
    return ok ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for %zu tokens", t->n + n);
}

liz_status liz_tokens_add(liz_tokens *tokens, const liz_files *files, const char *path, const liz_text_vocab *vocab,
                          liz_error *err)
{
    adder a = {tokens, vocab, false};
    size_t n_before = tokens->n;
    LIZ_TRY(liz_corpus_read(files, path, add_text, &a, err));
    return tokens->n > n_before ? LIZ_OK : liz_fail(err, LIZ_E_FORMAT, "%s: holds no text", path);
}

void liz_tokens_free(liz_tokens *tokens)
{
    free(tokens->v);
    *tokens = (liz_tokens){0};
}

/* ---- Rows ---- */

/* What is to be predicted at token `t`: after the end of a document, nothing. */
static int32_t target_at(const liz_tokens *tokens, size_t t)
{
    int32_t next = t + 1 < tokens->n ? tokens->v[t + 1] : tokens->begin;
    return next == tokens->begin && tokens->end != tokens->begin ? -1 : next;
}

static size_t get_row(const void *user, size_t i, int32_t *tokens, int32_t *targets, liz_segment *segments,
                      size_t *n_segments)
{
    const liz_tokens *all = user;
    size_t first = i * all->n_ctx, n = all->n - first < all->n_ctx ? all->n - first : all->n_ctx;
    *n_segments = 0;
    for (size_t t = 0; t < n; t++) {
        tokens[t] = all->v[first + t];
        targets[t] = target_at(all, first + t);
        if (t == 0 || tokens[t] == all->begin)
            segments[(*n_segments)++] = (liz_segment){t, 0};
        segments[*n_segments - 1].n++;
    }
    return n;
}

liz_feed liz_tokens_feed(liz_tokens *tokens, size_t n_ctx)
{
    tokens->n_ctx = n_ctx;
    return (liz_feed){.user = tokens, .n_items = liz_div_up(tokens->n, n_ctx), .n_tok_max = n_ctx, .get = get_row};
}
