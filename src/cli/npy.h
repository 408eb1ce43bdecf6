/* npy.h - a two-dimensional float32 array as a NumPy file (format 1.0), written row by row. */
#ifndef LIZ_CLI_NPY_H
#define LIZ_CLI_NPY_H

#include "sys/files.h"

typedef struct cli_npy {
    const char *path;
    int fd;
} cli_npy;

/* Creates `path` with the header of an array [n_rows, n_columns]. LIZ_E_IO. Close it in any case. */
LIZ_MUST_CHECK liz_status cli_npy_open(cli_npy *npy, const char *path, size_t n_rows, size_t n_columns, liz_error *err);
/* Appends `n` values. */
LIZ_MUST_CHECK liz_status cli_npy_write(cli_npy *npy, const float *values, size_t n, liz_error *err);
LIZ_MUST_CHECK liz_status cli_npy_close(cli_npy *npy, liz_error *err);

#endif
