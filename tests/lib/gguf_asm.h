/* gguf_asm.h - GGUF files from text, so that a test case can be read, and can be wrong in any way it likes.
 *
 * One directive a line; a text is bare or in double quotes with \xNN, \n, \" and \\ inside; # begins a comment:
 *
 *   file NAME               what follows goes into this file; the first one named is the one to open
 *   head N_TENSORS N_KEYS   magic, version 3, both counts
 *   raw TEXT                its bytes
 *   u8|u16|u32|u64|i32|f32 NUMBER
 *   str TEXT                its length as u64, then its bytes
 *   key NAME TYPE           a metadata key and its type, by name or number; its value follows
 *   array TYPE N            what an array's value begins with
 *   tensor NAME TYPE OFFSET DIM...   a tensor info; dimensions outermost first
 *   pad N                   zeros up to a multiple of N
 *   zeros N                 */
#ifndef TESTS_LIB_GGUF_ASM_H
#define TESTS_LIB_GGUF_ASM_H

#include "base/buf.h"

enum { GGUF_ASM_FILES_MAX = 8 };

typedef struct gguf_asm {
    struct {
        char name[512];
        liz_buf bytes;
    } files[GGUF_ASM_FILES_MAX];
    int n_files;
} gguf_asm;

/* Assembles `text`. Prints the line to stderr and aborts when it makes no sense: the case itself is wrong. */
void gguf_assemble(gguf_asm *out, const char *text);
/* Writes the files into the test's folder (temp_dir.h); returns the path of the first. */
const char *gguf_asm_write(const gguf_asm *assembled);
void gguf_asm_free(gguf_asm *assembled);

#endif
