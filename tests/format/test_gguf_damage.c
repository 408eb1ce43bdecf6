/* test_gguf_damage.c - damaged files: cut off at every byte, and with bytes changed at random.
 *
 * Whatever is done to a file, opening it either works, and then all of it can be read, or fails with a clear error.
 * A read beyond the end of a mapped file goes unseen while it stays within the last page, so the cuts are also made
 * where the end of the file is the end of a page: the first byte too many is then a SIGBUS.
 * LIZZIE_TEST_SEED repeats a run; LIZZIE_TEST_LONG makes it a hundred times longer. */
#include "../lib/gguf_asm.h"
#include "../lib/gguf_check.h"
#include "../lib/temp_dir.h"
#include "base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 4096, FILE_MAX = 64 * 1024, FILLER_AT = 24 + 8 + 6 + 4 + 8, MUTATIONS = 20000 };

/* The filler comes first: its length moves all that follows. */
static const char source[] = "head 4 8\n"
                             "key filler string\nstr \"\"\n"
                             "key general.architecture string\nstr llama\n"
                             "key general.alignment u32\nu32 32\n"
                             "key tokens array\narray string 4\nstr <s>\nstr a\nstr \"\"\nstr abc\n"
                             "key scores array\narray f32 3\nf32 0\nf32 -1\nf32 2\n"
                             "key flags array\narray bool 3\nu8 0\nu8 1\nu8 1\n"
                             "key split.count u16\nu16 1\n"
                             "key rope f32\nf32 10000\n"
                             "tensor norm F32 0 16\ntensor q4 Q4_K 64 2 256\ntensor q8 Q8_0 352 4 32\n"
                             "tensor cube F16 512 2 2 4\n"
                             "pad 32\nzeros 543\nu8 1\n";

typedef struct bytes {
    size_t n;
    unsigned char p[FILE_MAX];
} bytes;

static void assemble(bytes *out)
{
    gguf_asm assembled;
    gguf_assemble(&assembled, source);
    out->n = assembled.files[0].bytes.len;
    assert_true(out->n <= FILE_MAX);
    memcpy(out->p, assembled.files[0].bytes.data, out->n);
    gguf_asm_free(&assembled);
}

/* True when the file opened; fails the test when the outcome is not a clear one. */
static bool open_bytes(const unsigned char *p, size_t n)
{
    const char *path = temp_write("damaged.gguf", p, n);
    liz_gguf *gguf = NULL;
    liz_error err = {0};
    liz_status status = liz_gguf_open(&gguf, path, &err);
    if (status != LIZ_OK) {
        if (!gguf_error_is_clear(&err, status, path))
            fail_msg("unclear error %d: %s", status, err.text);
        return false;
    }
    gguf_touch(gguf);
    liz_gguf_close(gguf);
    return true;
}

static void test_cut_off_anywhere(void **state)
{
    (void)state;
    static bytes file;
    assemble(&file);
    assert_true(open_bytes(file.p, file.n));
    for (size_t n = 0; n < file.n; n++)
        if (open_bytes(file.p, n))
            fail_msg("a file cut off at byte %zu of %zu opened", n, file.n);
}

static void test_cut_off_at_page_end(void **state)
{
    (void)state;
    static bytes file, moved;
    assemble(&file);
    size_t head = file.n - 544; /* the tensors' bytes are not needed to see a head end too early */
    for (size_t cut = FILLER_AT; cut < head; cut++) {
        uint64_t filler = PAGE - cut % PAGE;
        memcpy(moved.p, file.p, FILLER_AT);
        memcpy(moved.p + FILLER_AT - 8, &filler, sizeof filler);
        memset(moved.p + FILLER_AT, 'x', filler);
        memcpy(moved.p + FILLER_AT + filler, file.p + FILLER_AT, cut - FILLER_AT);
        assert_int_equal((cut + filler) % PAGE, 0);
        if (open_bytes(moved.p, cut + filler))
            fail_msg("a head cut off at byte %zu opened", cut);
    }
}

static uint64_t seed_pick(void)
{
    const char *text = getenv("LIZZIE_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) << 16 ^ (uint64_t)getpid();
}

/* Values that arithmetic on sizes trips over. */
static uint64_t nasty_value(uint32_t r)
{
    static const uint64_t values[] = {0,          1,          0x7F,       0xFF,      0x7FFFFFFF,      0x80000000,
                                      0xFFFFFFFF, UINT64_MAX, 1ULL << 63, INT64_MAX, UINT64_MAX - 31, 1ULL << 61};
    return values[r % (sizeof values / sizeof *values)];
}

static void mutate(bytes *file, liz_philox r)
{
    size_t at = r.v[1] % file->n;
    uint64_t value = nasty_value(r.v[2]);
    size_t size = (size_t)1 << (r.v[3] & 3);
    if ((r.v[0] & 1) != 0)
        file->p[at] = (unsigned char)(r.v[0] >> 8);
    else if (at + size <= file->n)
        memcpy(file->p + at, &value, size);
}

static void test_mutated(void **state)
{
    (void)state;
    static bytes file, changed;
    assemble(&file);
    uint64_t seed = seed_pick();
    uint32_t n_rounds = getenv("LIZZIE_TEST_LONG") != NULL ? 100 * MUTATIONS : MUTATIONS, n_opened = 0;
    printf("# LIZZIE_TEST_SEED=%llu, %u rounds\n", (unsigned long long)seed, n_rounds);
    for (uint32_t round = 0; round < n_rounds; round++) {
        memcpy(&changed, &file, offsetof(bytes, p) + file.n);
        liz_philox r = liz_philox4x32(seed, (liz_philox){{round, 0, 0, 0}});
        for (uint32_t i = 0; i <= r.v[0] % 3; i++)
            mutate(&changed, liz_philox4x32(seed, (liz_philox){{round, i + 1, 0, 0}}));
        n_opened += open_bytes(changed.p, changed.n);
    }
    printf("# %u of the damaged files opened\n", n_opened);
    assert_in_range(n_opened, n_rounds / 100, n_rounds - n_rounds / 100); /* both ends were seen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut_off_anywhere),
                                       cmocka_unit_test(test_cut_off_at_page_end), cmocka_unit_test(test_mutated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
