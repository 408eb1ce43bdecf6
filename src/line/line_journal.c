/* line_journal.c - reading and replacing the side file. */
#include "line/line_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FORMAT_VERSION = 1, SIZE_MAX_BYTES = 16 << 20 };

/* ---- Reading ------------------------------------------------------------------------------------ */

static liz_status fail_damaged(const liz_line_journal *journal, const char *what, liz_error *err)
{
    return liz_fail(err, LIZ_E_FORMAT, "%s: %s: move it and OUT away, or begin anew with --restart", journal->path,
                    what);
}

static bool get_text(const liz_json *object, const char *name, char *out, size_t size)
{
    const liz_json *member = liz_json_member(object, name);
    if (member == NULL || member->type != LIZ_JSON_STRING || member->string.n >= size)
        return false;
    memcpy(out, member->string.p, member->string.n);
    out[member->string.n] = '\0';
    return true;
}

static bool read_attempts(liz_line_journal *journal, const liz_json *list)
{
    if (list == NULL || list->type != LIZ_JSON_ARRAY || list->n_children == 0)
        return false;
    for (const liz_json *item = list->first_child; item != NULL; item = item->next) {
        liz_buf_append_str(&journal->fingerprints, item->source);
        liz_buf_putc(&journal->fingerprints, '\n');
        journal->n_attempts++;
    }
    return true;
}

static liz_status fail_memory(const liz_line_journal *journal, liz_error *err)
{
    return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for it", journal->path);
}

static liz_status check_memory(const liz_line_journal *journal, liz_error *err)
{
    bool failed = liz_buf_failed(&journal->fingerprints) || liz_buf_failed(&journal->retry);
    return failed ? fail_memory(journal, err) : LIZ_OK;
}

static liz_status read_job(liz_line_journal *journal, const liz_json *root, liz_error *err)
{
    char hash[33];
    int64_t version, n_records;
    const liz_json *finished = liz_json_member(root, "finished"), *retry = liz_json_member(root, "retry");
    if (!liz_json_int64(liz_json_member(root, "lizzie_job"), &version))
        return fail_damaged(journal, "is not a side file of lizzie", err);
    if (version != FORMAT_VERSION)
        return fail_damaged(journal, "was written by another version of lizzie", err);
    bool ok = liz_json_int64(liz_json_member(root, "began"), &journal->began_s) &&
              liz_json_int64(liz_json_member(root, "records"), &n_records) && n_records >= 0 &&
              get_text(root, "input_hash", hash, sizeof hash) && liz_hash_from_hex(&journal->mark.hash, hash) &&
              get_text(root, "model_stamp", journal->model.stamp, sizeof journal->model.stamp) &&
              get_text(root, "model_hash", journal->model.hash, sizeof journal->model.hash) && finished != NULL &&
              read_attempts(journal, liz_json_member(root, "attempts"));
    if (!ok)
        return fail_damaged(journal, "is damaged", err);
    journal->mark.n = (uint64_t)n_records;
    journal->finished = finished->type == LIZ_JSON_TRUE;
    if (retry != NULL)
        liz_buf_append_str(&journal->retry, retry->source);
    journal->exists = true;
    return check_memory(journal, err);
}

static liz_status read_file(liz_line_journal *journal, liz_error *err)
{
    liz_buf text = {.len_max = SIZE_MAX_BYTES};
    liz_arena arena = {.size_max = 64u << 20};
    liz_json *root;
    liz_status status = liz_file_read_whole(journal->files, journal->path, &text, err);
    if (status == LIZ_E_LIMIT)
        status = fail_damaged(journal, "is damaged", err);
    if (status == LIZ_OK && text.len > 0) {
        status = liz_json_read(&root, liz_buf_str(&text), &arena, err);
        status = status == LIZ_OK         ? read_job(journal, root, err)
                 : status == LIZ_E_MEMORY ? fail_memory(journal, err)
                                          : fail_damaged(journal, "is damaged", err);
    }
    liz_arena_free(&arena);
    liz_buf_free(&text);
    return status;
}

liz_status liz_line_journal_open(liz_line_journal *journal, const liz_files *files, const char *out_path,
                                 liz_error *err)
{
    *journal = (liz_line_journal){.files = files, .fd = -1};
    liz_buf_init(&journal->fingerprints, SIZE_MAX_BYTES);
    liz_buf_init(&journal->retry, SIZE_MAX_BYTES);
    if (asprintf(&journal->path, "%s.lizzie", out_path) < 0) {
        journal->path = NULL;
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", out_path);
    }
    return liz_file_open_locked(files, journal->path, &journal->fd, err) ?: read_file(journal, err);
}

void liz_line_journal_close(liz_line_journal *journal)
{
    if (journal->path == NULL)
        return;
    struct stat st;
    if (journal->fd >= 0 && !journal->exists && fstat(journal->fd, &st) == 0 && st.st_size == 0)
        journal->files->unlink(journal->files->user, journal->path);
    liz_file_close(journal->files, &journal->fd);
    liz_buf_free(&journal->fingerprints);
    liz_buf_free(&journal->retry);
    free(journal->path);
    journal->path = NULL;
}

/* ---- Writing ------------------------------------------------------------------------------------ */

static void write_attempts(const liz_line_journal *journal, liz_buf *out)
{
    liz_buf_puts(out, "[");
    for (uint32_t i = 0; i < journal->n_attempts; i++) {
        liz_buf_puts(out, i ? ",\n  " : "\n  ");
        liz_buf_append_str(out, liz_line_journal_fingerprint(journal, i));
    }
    liz_buf_puts(out, "\n ]");
}

liz_status liz_line_journal_save(liz_line_journal *journal, liz_error *err)
{
    liz_buf out = {.len_max = SIZE_MAX_BYTES};
    char hash[33];
    if (check_memory(journal, err) != LIZ_OK)
        return LIZ_E_MEMORY;
    liz_hash_hex(journal->mark.hash, hash);
    liz_buf_printf(&out,
                   "{\n \"lizzie_job\": %d,\n \"began\": %" PRId64 ",\n \"finished\": %s,\n \"records\": %" PRIu64
                   ",\n \"input_hash\": \"%s\",\n \"model_stamp\": ",
                   FORMAT_VERSION, journal->began_s, journal->finished ? "true" : "false", journal->mark.n, hash);
    liz_json_write_string(&out, liz_str_of(journal->model.stamp));
    liz_buf_puts(&out, ",\n \"model_hash\": ");
    liz_json_write_string(&out, liz_str_of(journal->model.hash));
    liz_buf_puts(&out, ",\n \"attempts\": ");
    write_attempts(journal, &out);
    if (journal->retry.len > 0) {
        liz_buf_puts(&out, ",\n \"retry\": ");
        liz_buf_append_str(&out, liz_buf_str(&journal->retry));
    }
    liz_buf_puts(&out, "\n}\n");
    liz_status status = liz_buf_failed(&out) ? fail_memory(journal, err)
                                             : liz_file_replace_locked(journal->files, journal->path, &journal->fd,
                                                                       out.data, out.len, err);
    journal->exists = journal->exists || status == LIZ_OK;
    liz_buf_free(&out);
    return status;
}

void liz_line_journal_begin(liz_line_journal *journal, liz_str fingerprint, const liz_model_identity *model,
                            int64_t now_s)
{
    journal->began_s = now_s;
    journal->finished = false;
    journal->mark = (liz_line_mark){0};
    journal->model = *model;
    liz_buf_clear(&journal->fingerprints);
    liz_buf_clear(&journal->retry);
    liz_buf_append_str(&journal->fingerprints, fingerprint);
    liz_buf_putc(&journal->fingerprints, '\n');
    journal->n_attempts = 1;
}

liz_str liz_line_journal_fingerprint(const liz_line_journal *journal, uint32_t attempt)
{
    const char *p = journal->fingerprints.data;
    for (; attempt > 0; attempt--)
        p = strchr(p, '\n') + 1;
    return (liz_str){p, (size_t)(strchr(p, '\n') - p)};
}
