/* line_journal.h - the side file OUT.lizzie: the lock, what the job is, and how much of the input OUT may hold.
 *
 * It is one JSON object (docs/line.md), always replaced whole. Before rows are written to OUT it vouches for the input
 * up to them: how many records were consumed and the hash over them, so that a resume can tell that they are still the
 * same. Rows in OUT beyond what it vouches for (a power failure may leave some) are cut off and made again.
 *
 * Events and what a crash between them leaves: (1) the file is created empty to take the lock: no job yet; (2) it is
 * replaced by the new job's; (3) OUT is created; then (4) vouch and (5) append to OUT in turn; (6) `finished` is set
 * when all is synced. A new job vouches for nothing, so rows of an old OUT never count as its own. */
#ifndef LIZ_LINE_LINE_JOURNAL_H
#define LIZ_LINE_LINE_JOURNAL_H

#include "base/json.h"
#include "line/line.h"
#include "line/line_input.h"

/* A fingerprint is a JSON object of strings: named settings in a fixed order, what must be equal for rows to be the
 * same. Long values stand as their hash. */
#define LIZ_LINE_FINGERPRINT_MAX (1u << 20)

/* Describes a job on a model of this content and adapters [engine.n_loras] described so; `template_hash` and `now` are
 * NULL where no chat template is used. */
void liz_line_fingerprint_make(liz_buf *fp, const liz_line_opts *opts, const char *model_hash, const char *const *loras,
                               const char *template_hash, const char *now);
/* Copies the setting `name` of a fingerprint; false when it has none. */
bool liz_line_fingerprint_get(liz_str fingerprint, const char *name, char *out, size_t size);
/* Appends "name (was X, is Y)" for what differs, of all settings or the one named `only`; nothing when equal. */
void liz_line_fingerprint_diff(liz_str was, liz_str is, const char *only, liz_buf *out);

typedef struct liz_line_journal {
    const liz_files *files;
    char *path;  /* OUT.lizzie */
    int fd;      /* holds the lock; -1: not open */
    bool exists; /* it describes a job */
    int64_t began_s;
    bool finished;
    liz_line_mark mark; /* the input that it vouches for */
    liz_model_identity model;
    liz_buf fingerprints; /* JSON texts, one a line: of attempt 0, 1, ... */
    uint32_t n_attempts;
    liz_buf retry; /* the fingerprint of a retry under way; empty: none */
} liz_line_journal;

/* Takes the lock and reads what is there. LIZ_E_BUSY, LIZ_E_IO, LIZ_E_FORMAT. Close it in any case. */
LIZ_MUST_CHECK liz_status liz_line_journal_open(liz_line_journal *journal, const liz_files *files, const char *out_path,
                                                liz_error *err);
/* Drops the lock; removes the file where no job was ever saved. */
void liz_line_journal_close(liz_line_journal *journal);

/* Replaces the file by what the struct says, durably. LIZ_E_IO: the old one stands. */
LIZ_MUST_CHECK liz_status liz_line_journal_save(liz_line_journal *journal, liz_error *err);

/* Begins a new job: forgets all, keeps the lock. */
void liz_line_journal_begin(liz_line_journal *journal, liz_str fingerprint, const liz_model_identity *model,
                            int64_t now_s);
/* The fingerprint of an attempt. */
liz_str liz_line_journal_fingerprint(const liz_line_journal *journal, uint32_t attempt);

#endif
