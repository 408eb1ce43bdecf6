/* tokenize_bench.c - how fast text becomes tokens, on one core.
 *
 *   build/bench/tokenize_bench TEXT_FILE VOCABULARY.gguf...
 *
 * For each vocabulary: the time to open it, MiB/s over TEXT_FILE (best of several), then over texts of 64 MB
 * that are made to be slow: single words of one letter, of random letters, of two letters in turn, spaces, digits,
 * combining marks, bytes that are not UTF-8, special tokens and near misses of them. TSV; the last column is the
 * peak memory of the process so far. */
#include "text/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HOSTILE_BYTES = 64 << 20, N_RUNS = 5 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_mib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return (double)kib / 1024;
}

static void measure(const char *path, const liz_text_vocab *vocab, const char *what, liz_str text, int n_runs)
{
    double best = 1e30;
    size_t n = 0;
    for (int i = 0; i < n_runs; i++) {
        int32_t *ids;
        liz_error err;
        double start = now_s();
        if (liz_text_encode(vocab, text, LIZ_TEXT_SPECIAL, &ids, &n, &err) != LIZ_OK) {
            printf("%s\t%s\t%s\n", path, what, err.text);
            return;
        }
        double took = now_s() - start;
        best = took < best ? took : best;
        free(ids);
    }
    printf("%s\t%s\t%zu\t%zu\t%.1f\t%.0f\n", path, what, text.n, n, (double)text.n / best / (1 << 20), peak_mib());
    fflush(stdout);
}

/* Fills `text` [HOSTILE_BYTES] by repeating `unit`. */
static void repeat(char *text, const char *unit)
{
    size_t n = strlen(unit);
    for (size_t i = 0; i < HOSTILE_BYTES; i++)
        text[i] = unit[i % n];
}

static void measure_hostile(const char *path, const liz_text_vocab *vocab, char *text)
{
    static const char *const units[][2] = {
        {"a", "a"},
        {"ab", "ab"},
        {"spaces", " "},
        {"digits", "1234567890"},
        {"marks", "\xCC\x81"},
        {"invalid", "\xFF\x80\xC3"},
        {"lines", "\n"},
        {"near misses", "<|eot_i<|im_en<s</"},
        {"special tokens", "<|eot_id|><|im_end|></s>[SEP]"},
        {"ideographs", "\xE4\xB8\x80\xE9\xBE\xA5\xE6\x96\x87"},
    };
    liz_str whole = {text, HOSTILE_BYTES};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        repeat(text, units[i][1]);
        measure(path, vocab, units[i][0], whole, 1);
    }
    uint64_t seed = 1;
    for (size_t i = 0; i < HOSTILE_BYTES; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        text[i] = (char)('a' + (seed >> 33) % 26);
    }
    measure(path, vocab, "random letters", whole, 1);
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        return NULL;
    long size = ftell(f);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    *n = text != NULL ? fread(text, 1, (size_t)size, f) : 0;
    fclose(f);
    return text;
}

static int bench_vocabulary(const char *path, liz_str prose, char *hostile)
{
    liz_gguf *gguf;
    liz_text_vocab *vocab = NULL;
    liz_error err;
    if (liz_gguf_open(&gguf, path, &err) != LIZ_OK) {
        fprintf(stderr, "tokenize_bench: %s\n", err.text);
        return 1;
    }
    double best = 1e30;
    for (int i = 0; i < N_RUNS; i++) {
        liz_text_vocab_close(vocab);
        double start = now_s();
        if (liz_text_vocab_open(&vocab, gguf, &err) != LIZ_OK) {
            fprintf(stderr, "tokenize_bench: %s\n", err.text);
            liz_gguf_close(gguf);
            return 1;
        }
        double took = now_s() - start;
        best = took < best ? took : best;
    }
    liz_gguf_close(gguf);
    printf("%s\topen\t%d tokens\t%.1f ms\n", path, liz_text_vocab_size(vocab), best * 1e3);
    measure(path, vocab, "prose", prose, N_RUNS);
    measure_hostile(path, vocab, hostile);
    liz_text_vocab_close(vocab);
    return 0;
}

int main(int argc, char **argv)
{
    size_t n = 0;
    char *prose = argc >= 3 ? read_file(argv[1], &n) : NULL, *hostile = malloc(HOSTILE_BYTES);
    if (prose == NULL || hostile == NULL) {
        fprintf(stderr, "usage: tokenize_bench TEXT_FILE VOCABULARY.gguf...\n");
        return 2;
    }
    printf("vocabulary\ttext\tbytes\ttokens\tMiB/s\tpeak MiB\n");
    int failed = 0;
    for (int i = 2; i < argc; i++)
        failed |= bench_vocabulary(argv[i], (liz_str){prose, n}, hostile);
    free(prose);
    free(hostile);
    return failed;
}
