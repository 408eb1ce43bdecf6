/* job.h - the file beside an output that says what it is made of, and whose lock says who works on it.
 *
 * OUT.lizzie holds a line for every setting that decides the bytes of OUT. A job whose side file is there goes on if
 * its settings are the same ones, and is refused with the name of the first that is not. OUT that is there without a
 * running job is never touched unasked. */
#ifndef LIZ_TRAIN_JOB_H
#define LIZ_TRAIN_JOB_H

#include "base/hash.h"
#include "sys/files.h"

typedef struct liz_job {
    const liz_files *files;
    char *out, *side, *checkpoint, *start; /* paths: OUT, OUT.lizzie, OUT.checkpoint, OUT.start, */
    char *start_new;                       /* and what becomes the start when a job begins */
    int fd;                                /* of the side file, locked */
    liz_buf before, now;                   /* settings: of the job that is there, and as they are added */
    bool resumes, has_begun;               /* settings are those of the job that is there; are written down */
    bool is_new;                           /* nothing is there */
    bool is_done;                          /* OUT was finished; nothing is left to do if settings agree */
    liz_status status;                     /* of the settings so far */
    liz_error why;
} liz_job;

/* Takes the lock and reads what is there. `restart`: whatever is there is begun anew, once the job begins. LIZ_E_BUSY:
 * another process is at it; LIZ_E_STATE: OUT or a checkpoint is there and not ours to replace; LIZ_E_FORMAT, LIZ_E_IO,
 * LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_job_open(liz_job *job, const liz_files *files, const char *out, bool restart,
                                       liz_error *err);
/* A new job that has not begun leaves nothing behind, and takes nothing away. */
void liz_job_close(liz_job *job);

/* Adds a setting, in the same order every time. The first that the job that is there has another value of is kept. */
void liz_job_setting(liz_job *job, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void liz_job_setting_hash(liz_job *job, const char *name, liz_hash hash);
/* LIZ_E_STATE names that one. */
LIZ_MUST_CHECK liz_status liz_job_check(const liz_job *job, liz_error *err);
/* All settings are added: a new job writes them down. Gives their hash. */
LIZ_MUST_CHECK liz_status liz_job_begin(liz_job *job, liz_hash *hash, liz_error *err);
/* OUT is there: says so in the side file, and removes checkpoint and start. */
LIZ_MUST_CHECK liz_status liz_job_finish(liz_job *job, liz_error *err);

#endif
