/* npy.c - magic, version 1.0, a Python dictionary padded to 64 bytes, then the values in little endian. */
#include "cli/npy.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_SIZE = 128, PREFIX_SIZE = 10 };

liz_status cli_npy_open(cli_npy *npy, const char *path, size_t n_rows, size_t n_columns, liz_error *err)
{
    unsigned char header[HEADER_SIZE] = "\x93NUMPY\x01\x00";
    char *dict = (char *)header + PREFIX_SIZE;
    *npy = (cli_npy){path, -1};
    size_t room = HEADER_SIZE - PREFIX_SIZE;
    int n = snprintf(dict, room, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_rows, n_columns);
    memset(dict + n, ' ', room - (size_t)n);
    header[8] = (unsigned char)room;
    header[HEADER_SIZE - 1] = '\n';
    return liz_file_open(liz_files_system(), path, O_WRONLY | O_CREAT | O_TRUNC, &npy->fd, err)
               ?: liz_file_write(liz_files_system(), npy->fd, path, header, sizeof header, err);
}

liz_status cli_npy_write(cli_npy *npy, const float *values, size_t n, liz_error *err)
{
    return liz_file_write(liz_files_system(), npy->fd, npy->path, values, n * sizeof *values, err);
}

liz_status cli_npy_close(cli_npy *npy, liz_error *err)
{
    liz_status status = npy->fd >= 0 ? liz_file_sync(liz_files_system(), npy->fd, npy->path, err) : LIZ_OK;
    liz_file_close(liz_files_system(), &npy->fd);
    return status;
}
