/* group.h - the control groups that this process is in, and the small files in which Linux tells things.
 *
 * Both hierarchies count, v1 (of a controller) and v2. In a container the path in /proc/self/cgroup may lie outside
 * what is mounted, so the mount's own root is taken off it, and the mount point itself is always asked. */
#ifndef LIZ_SYS_GROUP_H
#define LIZ_SYS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void liz_group_fn(void *user, const char *dir, bool v2);

/* Calls `see` for the folder of our group in each hierarchy that has `controller`, and for those above it up to the
 * mount, as told by the files under `root` ("" is the system). */
void liz_groups_each(const char *root, const char *controller, liz_group_fn *see, void *user);

/* Reads a file's beginning, NUL-terminated; false when there is none, or nothing in it. */
bool liz_small_file_read(const char *path, char *text, size_t size);

/* The number that the file `dir`/`name` begins with; false when it is missing or says "max". */
bool liz_small_file_number(const char *dir, const char *name, uint64_t *out);

#endif
