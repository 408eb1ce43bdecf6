/* test_shapes.c - the shapes of bench/write_model have as many parameters as the models they are named after, to the
 * last one, as published. The files themselves have gigabytes: test_write_model.sh writes the tiny shapes. */
#include "../../bench/lib/shapes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t n_params(const bench_shape *s)
{
    uint64_t queries = (uint64_t)s->n_head * s->head_len, keys = (uint64_t)s->n_head_kv * s->head_len, embd = s->n_embd;
    uint64_t attention = 2 * embd * queries + 2 * embd * keys + (s->has_qk_norm ? 2 * s->head_len : 0);
    uint64_t ffn = 3 * embd * s->n_ff * (s->n_expert ? s->n_expert : 1) + embd * s->n_expert;
    return embd * s->n_vocab * (s->has_head ? 2 : 1) + s->n_layer * (attention + ffn + 2 * embd) + embd;
}

static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t n_params;
    } published[] = {{"llama-3.2-1b", 1235814400},
                     {"llama-3.1-8b", 8030261248},
                     {"qwen3-0.6b", 596049920},
                     {"qwen3-4b", 4022468096},
                     {"qwen3-30b-a3b", 30532122624}};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const bench_shape *shape = bench_shape_find(published[i].name);
        assert_non_null(shape);
        assert_int_equal(n_params(shape), published[i].n_params);
    }
    assert_null(bench_shape_find("qwen3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parameters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
