/* fuzz_tokenizer_wordpiece.c - WordPiece vocabularies and texts. */
#include "lib/fuzz_vocab.h"

static const char own[] = "3 0 [PAD]\n"
                          "3 0 [UNK]\n"
                          "3 0 [CLS]\n"
                          "3 0 [SEP]\n"
                          "1 0 \u2581un\n"
                          "1 0 able\n"
                          "1 0 \u2581a\n"
                          "1 0 \u2581,\n"
                          "1 0 \u2581\u4E00\n"
                          "1 0 a\n"
                          "1 0 b\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_vocab("bert", own, false, data, size); }
