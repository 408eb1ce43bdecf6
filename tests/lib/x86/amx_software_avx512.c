/* amx_software_avx512.c - AMX for machines that lack it, so that the tier's own machine code is tested on them.
 *
 * Where this is linked in, the machine is said to have tiles. Their instructions are then illegal ones: the handler of
 * SIGILL decodes what stands there, does on eight tiles of the thread what Intel's manual says (Software Developer's
 * Manual, volume 2: the pages of TILELOADD, TDPBSSD, TDPBF16PS and so on), and goes on after it. Only what compilers
 * make of kernel/x86/ is known; anything else, tiles that were not configured too, is an illegal instruction as
 * before. */
#include "illegal.h"
#include "sys/cpu.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { N_TILES = 8, MAX_ROWS = 16, MAX_ROW_BYTES = 64 };

typedef struct tile {
    uint16_t row_bytes;
    uint8_t n_rows;
    _Alignas(64) uint8_t row[MAX_ROWS][MAX_ROW_BYTES];
} tile;

static __thread tile tiles[N_TILES];
static __thread bool configured;

bool liz_cpu_has_amx(void) { return __builtin_cpu_supports("avx512vnni"); }

/* ---- Instructions ---- */

static bool config_load(const uint8_t *config)
{
    if (config[0] != 1)
        return false;
    for (int t = 0; t < N_TILES; t++) {
        memset(&tiles[t], 0, sizeof tiles[t]);
        memcpy(&tiles[t].row_bytes, config + 16 + 2 * t, 2);
        tiles[t].n_rows = config[48 + t];
        if (tiles[t].row_bytes > MAX_ROW_BYTES || tiles[t].n_rows > MAX_ROWS)
            return false;
    }
    return configured = true;
}

static bool is_set(const tile *t) { return configured && t->n_rows > 0 && t->row_bytes > 0; }

static void tile_move(tile *t, uint8_t *at, uint64_t stride, bool store)
{
    for (int row = 0; row < MAX_ROWS; row++) {
        uint8_t *there = at + (uint64_t)row * stride;
        if (row >= t->n_rows)
            memset(t->row[row], 0, MAX_ROW_BYTES);
        else if (store)
            memcpy(there, t->row[row], t->row_bytes);
        else
            memcpy(t->row[row], there, t->row_bytes);
    }
}

/* Bytes of a row of `a` in fours against those of b: into sums of 32 bits. */
static void dot_bytes(tile *c, const tile *a, const tile *b, bool a_signed)
{
    for (int m = 0; m < c->n_rows; m++) {
        __m512i sum = _mm512_load_si512(c->row[m]);
        for (int k = 0; k < a->row_bytes / 4; k++)
            for (int i = 0; i < 4; i++) {
                int x = a_signed ? (int8_t)a->row[m][4 * k + i] : a->row[m][4 * k + i];
                __m512i w = _mm512_load_si512(b->row[k]);
                w = _mm512_srai_epi32(_mm512_sll_epi32(w, _mm_cvtsi32_si128(24 - 8 * i)), 24);
                sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(w, _mm512_set1_epi32(x)));
            }
        _mm512_store_si512(c->row[m], sum);
    }
}

/* Pairs of bfloat16: a chain of fused multiply-adds over the first of each, one over the second, both from zero, and
 * their sum is added. Denormals are zeros, whatever the thread says. */
static void dot_bf16(tile *c, const tile *a, const tile *b)
{
    _mm_setcsr(0x1F80 | 0x8040); /* round to nearest, FTZ, DAZ; the thread's own comes back with its registers */
    for (int m = 0; m < c->n_rows; m++) {
        __m512 first = _mm512_setzero_ps(), second = _mm512_setzero_ps();
        for (int k = 0; k < a->row_bytes / 4; k++) {
            uint32_t x;
            memcpy(&x, a->row[m] + 4 * k, sizeof x);
            __m512i high = _mm512_set1_epi32((int)0xFFFF0000), pair = _mm512_set1_epi32((int)x);
            __m512i w = _mm512_load_si512(b->row[k]);
            first = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)),
                                    _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), first);
            second = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(pair, high)),
                                     _mm512_castsi512_ps(_mm512_and_si512(w, high)), second);
        }
        _mm512_store_ps(c->row[m], _mm512_add_ps(_mm512_load_ps(c->row[m]), _mm512_add_ps(first, second)));
    }
}

/* Products: opcode 5E of bytes, 5C of bfloat16. */
static bool multiply(const insn *i)
{
    tile *c = &tiles[i->reg], *a = &tiles[i->rm], *b = &tiles[i->vvvv & 7];
    if (i->mod != 3 || !is_set(a) || !is_set(b) || !is_set(c) || a->n_rows != c->n_rows ||
        a->row_bytes / 4 != b->n_rows || b->row_bytes != c->row_bytes)
        return false;
    if (i->opcode == 0x5E && (i->prefix == PREFIX_F2 || i->prefix == PREFIX_66))
        dot_bytes(c, a, b, i->prefix == PREFIX_F2);
    else if (i->opcode == 0x5C && i->prefix == PREFIX_F3)
        dot_bf16(c, a, b);
    else
        return false;
    return true;
}

/* Opcode 49: configure, release or clear. */
static bool arrange(insn *i, const ucontext_t *context)
{
    if (i->mod == 3 && i->prefix == PREFIX_F2 && is_set(&tiles[i->reg])) {
        memset(tiles[i->reg].row, 0, sizeof tiles[i->reg].row);
        return true;
    }
    if (i->mod == 3) {
        configured = false;
        return i->prefix == PREFIX_NONE;
    }
    return i->prefix == PREFIX_NONE && config_load((const uint8_t *)insn_memory(i, context)); // NOLINT
}

/* Opcode 4B: a tile from or to memory, whose index register is the distance of rows. */
static bool move(insn *i, const ucontext_t *context)
{
    if (i->mod == 3 || i->rm != 4 || i->prefix == PREFIX_NONE || !is_set(&tiles[i->reg]))
        return false;
    uint8_t *at = (uint8_t *)insn_memory(i, context); // NOLINT
    tile_move(&tiles[i->reg], at, i->index == 4 ? 0 : insn_gpr(context, i->index) << i->scale, i->prefix == PREFIX_F3);
    return true;
}

bool insn_do(insn *i, ucontext_t *context)
{
    if (i->is_256 || i->reg >= N_TILES)
        return false;
    switch (i->opcode) {
    case 0x49: return arrange(i, context);
    case 0x4B: return move(i, context);
    default: return multiply(i);
    }
}
