/* sim_disk.c - see the header. Objects are files whatever their name; names are a map of its own, and so each has a
 * durable state and a list of what happened to it since. */
#include "sim_disk.h"

#include "base/philox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OBJECTS_MAX = 512, OPS_MAX = 4096, NAMES_MAX = 16, FD_MAX = 256, FOLDER = -2, NOBODY = -1 };

/* What happened to a file since it was synced: bytes at an offset, or with no bytes its new size. */
typedef struct file_op {
    int object;
    size_t at;
    liz_buf data;
} file_op;

typedef struct name {
    char text[64];
    int object; /* NOBODY: free */
} name;

/* What happened to the folder since it was synced: `to` names the object (NOBODY: nothing does), `from` no more. */
typedef struct folder_op {
    char from[64], to[64];
    int object;
} folder_op;

static struct {
    pthread_mutex_t lock;
    sim_manner how;
    long at, n;
    bool hit, dead;
    liz_buf synced[OBJECTS_MAX];
    int n_objects;
    name now[NAMES_MAX], durable[NAMES_MAX];
    file_op file_ops[OPS_MAX];
    folder_op folder_ops[OPS_MAX];
    int n_file_ops, n_folder_ops;
    int fd_object[FD_MAX];
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void need(bool holds)
{
    if (!holds) {
        perror("sim_disk: is not made for this");
        abort();
    }
}

const char *sim_manner_name(sim_manner how)
{
    static const char *const names[SIM_MANNERS] = {"none",  "enospc",   "eio",   "full disk",  "torn",
                                                   "short", "read eio", "death", "torn death", "power cut"};
    return names[how];
}

/* ---- Names and objects -------------------------------------------------------------------------- */

static name *name_find(name *names, const char *text)
{
    for (int i = 0; i < NAMES_MAX; i++)
        if (names[i].object != NOBODY && strcmp(names[i].text, text) == 0)
            return &names[i];
    return NULL;
}

static void name_set(name *names, const char *text, int object)
{
    name *at = name_find(names, text);
    for (int i = 0; at == NULL && i < NAMES_MAX; i++)
        at = names[i].object == NOBODY ? &names[i] : NULL;
    need(at != NULL && strlen(text) < sizeof at->text);
    strcpy(at->text, text);
    at->object = object;
}

static int object_new(void)
{
    need(disk.n_objects < OBJECTS_MAX);
    liz_buf_init(&disk.synced[disk.n_objects], 1 << 26);
    return disk.n_objects++;
}

static void file_note(int object, size_t at, const void *data, size_t n)
{
    need(disk.n_file_ops < OPS_MAX && object >= 0);
    file_op *op = &disk.file_ops[disk.n_file_ops++];
    *op = (file_op){.object = object, .at = at};
    liz_buf_init(&op->data, 1 << 26);
    liz_buf_append(&op->data, data, n);
}

static void folder_apply(name *names, const folder_op *op)
{
    name *from = op->from[0] ? name_find(names, op->from) : NULL;
    if (from != NULL && (op->object == NOBODY || from->object == op->object))
        from->object = NOBODY;
    if (op->to[0])
        name_set(names, op->to, op->object);
}

static void folder_note(const char *from, const char *to, int object)
{
    need(disk.n_folder_ops < OPS_MAX);
    folder_op *op = &disk.folder_ops[disk.n_folder_ops++];
    snprintf(op->from, sizeof op->from, "%s", from);
    snprintf(op->to, sizeof op->to, "%s", to);
    op->object = object;
    folder_apply(disk.now, op);
}

static void bytes_apply(liz_buf *bytes, const file_op *op, size_t n)
{
    size_t end = op->data.len == 0 ? op->at : op->at + n;
    while (bytes->len < end)
        liz_buf_putc(bytes, '\0');
    if (op->data.len == 0)
        bytes->len = end;
    else
        memcpy(bytes->data + op->at, op->data.data, n);
}

/* All that was done to the object is durable from now on. */
static void object_sync(int object)
{
    int n_kept = 0;
    for (int i = 0; i < disk.n_file_ops; i++) {
        file_op *op = &disk.file_ops[i];
        if (op->object == object) {
            bytes_apply(&disk.synced[object], op, op->data.len);
            liz_buf_free(&op->data);
        } else {
            disk.file_ops[n_kept++] = *op;
        }
    }
    disk.n_file_ops = n_kept;
}

static void folder_sync(void)
{
    memcpy(disk.durable, disk.now, sizeof disk.now);
    disk.n_folder_ops = 0;
}

/* ---- The table ---------------------------------------------------------------------------------- */

typedef enum call { CALL_WRITE, CALL_OTHER, CALL_READ } call;

/* 0 to let a call pass, else a negative errno. */
static int strike(call which)
{
    if (disk.dead)
        return -EIO;
    bool counts = (which == CALL_READ) == (disk.how == SIM_READ_EIO);
    if (!counts || disk.how == SIM_NONE || disk.how == SIM_SHORT)
        return 0;
    disk.n++;
    if (disk.how == SIM_FULL ? disk.n < disk.at || which != CALL_WRITE : disk.n != disk.at)
        return 0;
    disk.hit = true;
    disk.dead = disk.how >= SIM_DEATH;
    return disk.how == SIM_ENOSPC || disk.how == SIM_FULL ? -ENOSPC : -EIO;
}

static int d_open(void *user, const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&disk.lock);
    bool is_new = (flags & O_CREAT) && access(path, F_OK) != 0, cuts = (flags & O_TRUNC) != 0;
    int fd = is_new || cuts ? strike(is_new ? CALL_WRITE : CALL_OTHER) : disk.dead ? -EIO : 0;
    if (fd == 0)
        fd = liz_files_system()->open(user, path, flags, mode);
    if (fd >= 0) {
        need(fd < FD_MAX);
        if (is_new)
            folder_note("", path, object_new());
        const name *named = name_find(disk.now, path);
        disk.fd_object[fd] = flags & O_DIRECTORY ? FOLDER : named ? named->object : NOBODY;
        if (cuts && !is_new)
            file_note(disk.fd_object[fd], 0, NULL, 0);
    }
    pthread_mutex_unlock(&disk.lock);
    return fd;
}

static int d_close(void *user, int fd) { return liz_files_system()->close(user, fd); }

static ssize_t d_read(void *user, int fd, void *data, size_t n)
{
    pthread_mutex_lock(&disk.lock);
    int code = disk.how == SIM_READ_EIO ? strike(CALL_READ) : 0;
    pthread_mutex_unlock(&disk.lock);
    return code ? code : liz_files_system()->read(user, fd, data, disk.how == SIM_SHORT && n > 7 ? 7 : n);
}

static ssize_t d_write(void *user, int fd, const void *data, size_t n)
{
    pthread_mutex_lock(&disk.lock);
    bool was_dead = disk.dead, was_hit = disk.hit;
    ssize_t got = strike(CALL_WRITE);
    bool torn = got != 0 && !was_dead && n > 1 && (disk.how == SIM_TORN || disk.how == SIM_TORN_DEATH);
    if (disk.how == SIM_TORN && was_hit && disk.n == disk.at + 1)
        got = -EIO; /* the rest of the torn write */
    struct stat st;
    need(fstat(fd, &st) == 0);
    if (got == 0 || torn) {
        ssize_t written = liz_files_system()->write(user, fd, data,
                                                    torn                             ? n / 2
                                                    : disk.how == SIM_SHORT && n > 7 ? 7
                                                                                     : n);
        if (written > 0) /* files are written at their ends only */
            file_note(disk.fd_object[fd], (size_t)st.st_size, data, (size_t)written);
        got = torn && disk.how == SIM_TORN_DEATH ? got : written;
    }
    pthread_mutex_unlock(&disk.lock);
    return got;
}

static int d_fsync(void *user, int fd)
{
    (void)user;
    pthread_mutex_lock(&disk.lock);
    int code = strike(CALL_OTHER);
    if (code == 0 && disk.fd_object[fd] == FOLDER)
        folder_sync();
    else if (code == 0)
        object_sync(disk.fd_object[fd]);
    pthread_mutex_unlock(&disk.lock);
    return code;
}

static int d_ftruncate(void *user, int fd, off_t size)
{
    pthread_mutex_lock(&disk.lock);
    int code = strike(CALL_OTHER);
    if (code == 0)
        code = liz_files_system()->ftruncate(user, fd, size);
    if (code == 0)
        file_note(disk.fd_object[fd], (size_t)size, NULL, 0);
    pthread_mutex_unlock(&disk.lock);
    return code;
}

static int d_rename(void *user, const char *from, const char *to)
{
    pthread_mutex_lock(&disk.lock);
    int code = strike(CALL_OTHER);
    if (code == 0)
        code = liz_files_system()->rename(user, from, to);
    if (code == 0) {
        const name *named = name_find(disk.now, from);
        need(named != NULL);
        folder_note(from, to, named->object);
    }
    pthread_mutex_unlock(&disk.lock);
    return code;
}

static int d_unlink(void *user, const char *path)
{
    pthread_mutex_lock(&disk.lock);
    int code = strike(CALL_OTHER);
    if (code == 0)
        code = liz_files_system()->unlink(user, path);
    if (code == 0)
        folder_note(path, "", NOBODY);
    pthread_mutex_unlock(&disk.lock);
    return code;
}

static int d_lock(void *user, int fd) { return liz_files_system()->lock(user, fd); }

/* ---- Beginning, and what a power cut leaves ------------------------------------------------------ */

void sim_disk_end(void)
{
    for (int i = 0; i < disk.n_objects; i++)
        liz_buf_free(&disk.synced[i]);
    for (int i = 0; i < disk.n_file_ops; i++)
        liz_buf_free(&disk.file_ops[i].data);
    disk.n_objects = disk.n_file_ops = disk.n_folder_ops = 0;
    for (int i = 0; i < NAMES_MAX; i++)
        disk.now[i].object = disk.durable[i].object = NOBODY;
}

/* Calls `visit` for each file of the folder. */
static void each_file(void (*visit)(const char *path))
{
    DIR *folder = opendir(".");
    need(folder != NULL);
    for (struct dirent *item; (item = readdir(folder)) != NULL;)
        if (item->d_name[0] != '.')
            visit(item->d_name);
    closedir(folder);
}

static void take(const char *path)
{
    int object = object_new();
    need(liz_file_read_whole(liz_files_system(), path, &disk.synced[object], NULL) == LIZ_OK);
    name_set(disk.now, path, object);
}

const liz_files *sim_disk_begin(sim_manner how, long at)
{
    static const liz_files table = {NULL,    d_open,      d_close,  d_read,   d_write,
                                    d_fsync, d_ftruncate, d_rename, d_unlink, d_lock};
    sim_disk_end();
    disk.how = how;
    disk.at = at;
    disk.n = 0;
    disk.hit = disk.dead = false;
    each_file(take);
    folder_sync();
    return &table;
}

bool sim_disk_hit(void) { return disk.hit; }

typedef struct chance {
    uint64_t seed;
    uint32_t n;
} chance;

static uint32_t below(chance *c, uint32_t n)
{
    return liz_philox4x32(c->seed, (liz_philox){{c->n++, 0, 0, 0}}).v[0] % n;
}

/* How much of what was not synced came to the disk. */
typedef enum fate { FATE_NOTHING, FATE_ALL, FATE_BEGINNING, FATE_ANY, FATES } fate;

/* Bytes [0, n) of one operation that come through; -1: it does not happen. */
static ssize_t share_of(chance *c, fate how_much, size_t n, bool *over)
{
    if (how_much == FATE_NOTHING || *over)
        return -1;
    if (how_much == FATE_ALL || (how_much == FATE_ANY && below(c, 2)))
        return (ssize_t)n;
    if (how_much == FATE_ANY)
        return -1;
    *over = below(c, 3) == 0; /* the beginning ends in this one */
    return *over && n > 0 ? (ssize_t)below(c, (uint32_t)n) : (ssize_t)n;
}

static void object_put(chance *c, const char *path, int object)
{
    liz_buf bytes;
    bool over = false;
    fate how_much = below(c, FATES);
    liz_buf_init(&bytes, 1 << 26);
    liz_buf_append_str(&bytes, liz_buf_str(&disk.synced[object]));
    for (int i = 0; i < disk.n_file_ops; i++) {
        const file_op *op = &disk.file_ops[i];
        ssize_t n = op->object == object ? share_of(c, how_much, op->data.len, &over) : -1;
        if (n > 0 || (n == 0 && op->data.len == 0))
            bytes_apply(&bytes, op, (size_t)n);
    }
    FILE *file = fopen(path, "we");
    need(file != NULL && fwrite(bytes.data ? bytes.data : "", 1, bytes.len, file) == bytes.len && fclose(file) == 0);
    liz_buf_free(&bytes);
}

static void remove_one(const char *path) { need(unlink(path) == 0); }

void sim_disk_lose(uint64_t seed)
{
    chance c = {.seed = seed};
    bool over = false;
    fate how_much = below(&c, FATES);
    name after[NAMES_MAX];
    memcpy(after, disk.durable, sizeof after);
    for (int i = 0; i < disk.n_folder_ops; i++)
        if (share_of(&c, how_much, 0, &over) == 0)
            folder_apply(after, &disk.folder_ops[i]);
    each_file(remove_one);
    for (int i = 0; i < NAMES_MAX; i++)
        if (after[i].object != NOBODY)
            object_put(&c, after[i].text, after[i].object);
}
