/* fuzz_tokenizer_rwkv.c - vocabularies of RWKV, whose tokens are written with escapes, and texts. */
#include "lib/fuzz_vocab.h"

static const char own[] = "3 0 <s>\n"
                          "1 0 a\n"
                          "1 0 ab\n"
                          "1 0 abcd\n"
                          "1 0 \\n\n"
                          "1 0 \\xe4\\xb8\\xad\n"
                          "1 0 \\\\\n"
                          "1 0 \\'\n"
                          "1 0 \\t\\r\n"
                          "1 0 \\x4\n"
                          "1 0 b\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_vocab("rwkv", own, false, data, size); }
