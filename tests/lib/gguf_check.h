/* gguf_check.h - what the tests of `format` ask of every file that opens and of every error. */
#ifndef TESTS_LIB_GGUF_CHECK_H
#define TESTS_LIB_GGUF_CHECK_H

#include "format/gguf.h"

/* Reads every value and every tensor byte once, so that a sanitizer or the kernel sees a wrong pointer. Returns a sum
 * over what was read. */
uint64_t gguf_touch(const liz_gguf *gguf);

/* True when the error of opening `path` is filled, shows only text, and names the file. */
bool gguf_error_is_clear(const liz_error *err, liz_status status, const char *path);

#endif
