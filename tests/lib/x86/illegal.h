/* illegal.h - instructions that a machine lacks, done in software where they stand.
 *
 * Where illegal.c is linked in with a file that says what its instructions do, SIGILL is an instruction of that file's
 * or the end of the program, as before. */
#ifndef LIZ_TESTS_ILLEGAL_H
#define LIZ_TESTS_ILLEGAL_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

enum { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

/* An instruction in the three-byte VEX form of map 2, W0, as far as it was read. */
typedef struct insn {
    const uint8_t *at; /* the next byte */
    int prefix, opcode, mod, reg, rm, vvvv;
    bool is_256;
    int rex_x, rex_b; /* 0 or 8; `reg` has its own in it */
    int scale, index, base;
} insn;

uint64_t insn_gpr(const ucontext_t *context, int number);

/* The address of a memory operand but for its index times its scale, and where the instruction ends. */
uint64_t insn_memory(insn *i, const ucontext_t *context);

/* Of the file linked in: does it, and leaves `at` where it ends; false for what it does not know. */
bool insn_do(insn *i, ucontext_t *context);

#endif
