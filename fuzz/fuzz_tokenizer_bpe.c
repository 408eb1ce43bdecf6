/* fuzz_tokenizer_bpe.c - byte-level BPE vocabularies and texts. */
#include "lib/fuzz_vocab.h"

static const char own[] = "1 0 a\n"
                          "1 0 b\n"
                          "1 0 ab\n"
                          "1 0 aa\n"
                          "1 0 aaaa\n"
                          "1 0 \u0120\n"
                          "1 0 \u0120a\n"
                          "1 0 1\n"
                          "1 0 12\n"
                          "1 0 \u00C3\n"
                          "1 0 \u010A\n"
                          "3 0 <|endoftext|>\n"
                          "4 0 <t>\n"
                          "+a b\n"
                          "+a a\n"
                          "+aa aa\n"
                          "+\u0120 a\n"
                          "+1 2\n"
                          "$pre llama-bpe\n"
                          "#bos_token_id 11\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_vocab("gpt2", own, false, data, size); }
