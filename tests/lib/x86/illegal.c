/* illegal.c - reads the instruction at a SIGILL, has it done, and goes on after it. */
#include "illegal.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

uint64_t insn_gpr(const ucontext_t *context, int number)
{
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)context->uc_mcontext.gregs[order[number]];
}

/* Reads prefix, opcode and ModRM. */
static bool insn_read(insn *i, const uint8_t *at)
{
    if (at[0] != 0xC4 || (at[1] & 31) != 2 || (at[2] & 0x80) != 0)
        return false;
    *i = (insn){.at = at + 5,
                .rex_x = at[1] & 0x40 ? 0 : 8,
                .rex_b = at[1] & 0x20 ? 0 : 8,
                .prefix = at[2] & 3,
                .is_256 = (at[2] & 4) != 0,
                .vvvv = ~at[2] >> 3 & 15,
                .opcode = at[3],
                .mod = at[4] >> 6,
                .reg = (at[4] >> 3 & 7) | (at[1] & 0x80 ? 0 : 8),
                .rm = at[4] & 7};
    return true;
}

uint64_t insn_memory(insn *i, const ucontext_t *context)
{
    bool has_sib = i->rm == 4;
    i->index = 4, i->base = i->rm | i->rex_b;
    if (has_sib) {
        uint8_t sib = *i->at++;
        i->scale = sib >> 6, i->index = (sib >> 3 & 7) | i->rex_x, i->base = (sib & 7) | i->rex_b;
    }
    int32_t displacement = 0;
    bool no_base = i->mod == 0 && (i->base & 7) == 5; /* displacement alone, or from the next instruction */
    if (i->mod == 1)
        displacement = (int8_t)*i->at++;
    else if (i->mod == 2 || no_base) {
        memcpy(&displacement, i->at, sizeof displacement);
        i->at += sizeof displacement;
    }
    uint64_t base = no_base ? has_sib ? 0 : (uint64_t)(uintptr_t)i->at : insn_gpr(context, i->base);
    return base + (uint64_t)(int64_t)displacement;
}

static void handle(int number, struct sigaction action) { sigaction(number, &action, NULL); }

static void illegal(int number, siginfo_t *info, void *arg)
{
    (void)info;
    ucontext_t *context = arg;
    insn i;
    if (insn_read(&i, (const uint8_t *)context->uc_mcontext.gregs[REG_RIP]) && insn_do(&i, context)) // NOLINT
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)i.at;
    else
        handle(number, (struct sigaction){.sa_handler = SIG_DFL});
}

__attribute__((constructor)) static void begin(void)
{
    handle(SIGILL, (struct sigaction){.sa_sigaction = illegal, .sa_flags = SA_SIGINFO | SA_NODEFER});
}

/* In the place of the C library's: test programs and cmocka would take SIGILL away. */
__attribute__((visibility("default"))) __sighandler_t signal(int number, __sighandler_t handler)
{
    if (number != SIGILL)
        handle(number, (struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART});
    return SIG_DFL;
}
