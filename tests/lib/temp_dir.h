/* temp_dir.h - a folder for one test program, removed with all in it at the end. */
#ifndef TESTS_LIB_TEMP_DIR_H
#define TESTS_LIB_TEMP_DIR_H

#include <stddef.h>

/* The folder, made on first use under $TMPDIR or /tmp and removed at exit. Aborts when it cannot be made. */
const char *temp_dir(void);

/* `name` in the folder; a static text that lives until eight further calls. */
const char *temp_path(const char *name);

/* Writes `data` [n] to `name` in the folder, replacing what was there, and returns its path. Aborts on failure. */
const char *temp_write(const char *name, const void *data, size_t n);

/* The whole of a file, NUL-terminated beyond its size; NULL when it cannot be read. Released with free(). */
char *file_read(const char *path, size_t *n);

#endif
