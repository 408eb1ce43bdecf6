/* group.c - see group.h. */
#include "sys/group.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool liz_small_file_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fd, text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    close(fd);
    text[n] = '\0';
    return n > 0;
}

bool liz_small_file_number(const char *dir, const char *name, uint64_t *out)
{
    char path[PATH_MAX], text[64], *end;
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path ||
        !liz_small_file_read(path, text, sizeof text))
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (end != text)
        *out = value;
    return end != text;
}

/* Whether `name` is in a list with commas. */
static bool lists(const char *list, int n, const char *name)
{
    char all[512], one[64];
    snprintf(all, sizeof all, ",%.*s,", n, list);
    snprintf(one, sizeof one, ",%s,", name);
    return strstr(all, one) != NULL;
}

/* The path of our group in a hierarchy: the line "0::PATH" for v2, "N:...,CONTROLLER,...:PATH" for v1. */
static bool group_path(const char *groups, const char *controller, bool v2, char *path, size_t size)
{
    for (const char *line = groups; line != NULL && *line != '\0';) {
        const char *names = strchr(line, ':'), *end = strchrnul(line, '\n');
        const char *at = names == NULL ? NULL : strchr(names + 1, ':');
        if (at == NULL || at >= end)
            return false;
        int n = (int)(at - names - 1);
        if (v2 ? n == 0 : lists(names + 1, n, controller)) {
            snprintf(path, size, "%.*s", (int)(end - at - 1), at + 1);
            return true;
        }
        line = *end == '\n' ? end + 1 : NULL;
    }
    return false;
}

static void see_up(const char *mount, const char *group, bool v2, liz_group_fn *see, void *user)
{
    char dir[PATH_MAX];
    int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof dir)
        return;
    for (size_t mount_len = strlen(mount);;) {
        see(user, dir, v2);
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= mount_len || slash == NULL || (size_t)(slash - dir) < mount_len)
            return;
        *slash = '\0';
    }
}

/* One line of mountinfo: ID PARENT DEV ROOT MOUNT OPTIONS [FIELDS] - TYPE SOURCE SUPER. */
static void see_mount(const char *root, const char *line, const char *groups, const char *controller, liz_group_fn *see,
                      void *user)
{
    char inside[PATH_MAX], mount[PATH_MAX], type[32], super[256], group[PATH_MAX], dir[PATH_MAX];
    const char *tail = strstr(line, " - ");
    if (tail == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", inside, mount) != 2 ||
        sscanf(tail, " - %31s %*s %255s", type, super) != 2)
        return;
    bool v2 = strcmp(type, "cgroup2") == 0;
    bool v1 = strcmp(type, "cgroup") == 0 && lists(super, (int)strlen(super), controller);
    if ((!v1 && !v2) || !group_path(groups, controller, v2, group, sizeof group))
        return;
    size_t n_inside = strcmp(inside, "/") == 0 ? 0 : strlen(inside);
    bool below = strncmp(group, inside, n_inside) == 0 && (group[n_inside] == '/' || group[n_inside] == '\0');
    if (snprintf(dir, sizeof dir, "%s%s", root, mount) < (int)sizeof dir)
        see_up(dir, below ? group + n_inside : "", v2, see, user);
}

void liz_groups_each(const char *root, const char *controller, liz_group_fn *see, void *user)
{
    char path[PATH_MAX], groups[4096], *line = NULL;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!liz_small_file_read(path, groups, sizeof groups))
        return;
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *mounts = fopen(path, "re");
    if (mounts == NULL)
        return;
    for (size_t size = 0; getline(&line, &size, mounts) > 0;)
        see_mount(root, line, groups, controller, see, user);
    free(line);
    fclose(mounts);
}
