/* synth_vocab.h - a byte-level BPE vocabulary of any size, made up but consistent.
 *
 * The 256 bytes come first, then one token for each merge, then control tokens: BOS, EOS and reserved ones. Merges
 * build pairs of letters in the order of their frequency in English, with and without a space before them, then fours
 * likewise, so that text falls into pieces of two to four letters. */
#ifndef BENCH_LIB_SYNTH_VOCAB_H
#define BENCH_LIB_SYNTH_VOCAB_H

#include "format/gguf_write.h"

/* Puts tokenizer.ggml.*. False when memory is short, or when n_vocab - n_control is not from 256 to 900,000. */
bool bench_vocab_put(liz_gguf_writer *writer, const char *pre, uint32_t n_vocab, uint32_t n_control, bool add_bos);

#endif
