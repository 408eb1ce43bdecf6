/* fuzz_tokenizer_unigram.c - Unigram vocabularies and texts. */
#include "lib/fuzz_vocab.h"

static const char own[] = "3 0 <pad>\n"
                          "3 0 </s>\n"
                          "2 0 <unk>\n"
                          "1 -3 \u2581\n"
                          "1 -4 a\n"
                          "1 -4 b\n"
                          "1 -5 ab\n"
                          "1 -5 \u2581ab\n"
                          "1 -6 \u00E9\n"
                          "4 0 [X]\n"
                          "\?add_space_prefix 1\n"
                          "\?remove_extra_whitespaces 1\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_vocab("t5", own, true, data, size); }
