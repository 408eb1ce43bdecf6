/* checkpoint.c - one walk over everything that is kept, which writes or reads. */
#include "train/checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[16] = "lizzie training";
enum { POINTS_MAX = 1 << 28 };

typedef struct walk {
    const liz_files *files;
    const char *path;
    int fd;
    bool writes;
    liz_hasher *hasher;
    liz_status status;
    liz_error *err;
} walk;

static void fail_damaged(walk *w, const char *what)
{
    if (w->status == LIZ_OK)
        w->status = liz_fail(w->err, LIZ_E_FORMAT, "%s: %s: begin anew with --restart", w->path, what);
}

static void read_all(walk *w, char *p, size_t n)
{
    for (size_t got; n > 0 && w->status == LIZ_OK; p += got, n -= got) {
        got = 0;
        w->status = liz_file_read(w->files, w->fd, w->path, p, n, &got, w->err);
        if (w->status == LIZ_OK && got == 0)
            fail_damaged(w, "the checkpoint ends too early");
    }
}

static void pass(walk *w, void *data, size_t n)
{
    if (w->status != LIZ_OK)
        return;
    if (w->writes)
        w->status = liz_file_write(w->files, w->fd, w->path, data, n, w->err);
    else
        read_all(w, data, n);
    if (w->status == LIZ_OK)
        liz_hasher_update(w->hasher, data, n);
}

/* A number that both sides know. */
static void pass_known(walk *w, uint64_t value, const char *what)
{
    uint64_t read = value;
    pass(w, &read, sizeof read);
    if (w->status == LIZ_OK && read != value)
        fail_damaged(w, what);
}

static void pass_history(walk *w, liz_history_list *history)
{
    uint64_t n = history->n;
    pass(w, &n, sizeof n);
    if (w->status == LIZ_OK && n > POINTS_MAX)
        fail_damaged(w, "the checkpoint is damaged");
    if (w->status != LIZ_OK)
        return;
    if (!w->writes) {
        liz_history_free(history);
        history->v = malloc((size_t)n * sizeof *history->v + 1);
        if (history->v == NULL)
            w->status = liz_fail(w->err, LIZ_E_MEMORY, "%s: no memory for its history", w->path);
        else
            history->n = history->cap = (size_t)n;
    }
    if (w->status == LIZ_OK)
        pass(w, history->v, (size_t)n * sizeof *history->v);
}

static void pass_floats(walk *w, const liz_param *p, float *x)
{
    size_t n = p->n_out * p->n_in;
    pass(w, x, n * sizeof *x);
    for (size_t i = 0; i < n && w->status == LIZ_OK && !w->writes; i++)
        if (!isfinite(x[i]))
            w->status = liz_fail(w->err, LIZ_E_FORMAT, "%s: %s holds what is not a number: begin anew with --restart",
                                 w->path, p->name);
}

static void pass_everything(walk *w, liz_checkpoint *c, liz_tape *tape)
{
    char head[sizeof magic];
    liz_hash job = c->job;
    memcpy(head, magic, sizeof head);
    pass(w, head, sizeof head);
    if (w->status == LIZ_OK && memcmp(head, magic, sizeof head) != 0)
        fail_damaged(w, "is not a checkpoint");
    pass(w, &job, sizeof job);
    if (w->status == LIZ_OK && !liz_hash_eq(job, c->job))
        fail_damaged(w, "is the checkpoint of another training");
    pass(w, &c->state, sizeof c->state);
    pass_history(w, &c->history);
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;) {
        pass_known(w, p->n_out, "is the checkpoint of another model");
        pass_known(w, p->n_in, "is the checkpoint of another model");
        pass_floats(w, p, p->w);
        pass_floats(w, p, p->m);
        if (p->v != NULL)
            pass_floats(w, p, p->v);
    }
    liz_hash digest = liz_hasher_digest(w->hasher), read = digest;
    pass(w, &read, sizeof read);
    if (w->status == LIZ_OK && !liz_hash_eq(read, digest))
        fail_damaged(w, "the checkpoint is damaged");
}

static liz_status go(walk *w, liz_checkpoint *c, liz_tape *tape)
{
    w->hasher = liz_hasher_new();
    if (w->hasher == NULL)
        return liz_fail(w->err, LIZ_E_MEMORY, "%s: no memory for a checkpoint", w->path);
    w->status = liz_file_open(w->files, w->path, w->writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, &w->fd, w->err);
    if (w->status == LIZ_OK)
        pass_everything(w, c, tape);
    if (w->status == LIZ_OK && w->writes)
        w->status = liz_file_sync(w->files, w->fd, w->path, w->err);
    liz_file_close(w->files, &w->fd);
    liz_hasher_free(w->hasher);
    return w->status;
}

liz_status liz_checkpoint_write(const liz_checkpoint *checkpoint, liz_tape *tape, const liz_files *files,
                                const char *path, liz_error *err)
{
    char *fresh = NULL;
    if (asprintf(&fresh, "%s.tmp", path) < 0)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", path);
    liz_checkpoint c = *checkpoint;
    walk w = {.files = files, .path = fresh, .fd = -1, .writes = true, .err = err};
    liz_status status = go(&w, &c, tape);
    if (status == LIZ_OK)
        status = liz_file_rename(files, fresh, path, err);
    else
        files->unlink(files->user, fresh);
    free(fresh);
    return status;
}

liz_status liz_checkpoint_read(liz_checkpoint *checkpoint, liz_tape *tape, const liz_files *files, const char *path,
                               liz_error *err)
{
    walk w = {.files = files, .path = path, .fd = -1, .err = err};
    return go(&w, checkpoint, tape);
}
