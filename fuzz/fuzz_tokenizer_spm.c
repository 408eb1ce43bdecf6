/* fuzz_tokenizer_spm.c - SentencePiece vocabularies and texts. */
#include "lib/fuzz_vocab.h"

static const char own[] = "2 0 <unk>\n"
                          "3 0 <s>\n"
                          "3 0 </s>\n"
                          "1 -3 \u2581\n"
                          "1 -4 a\n"
                          "1 -5 b\n"
                          "1 -1 ab\n"
                          "1 -2 \u2581a\n"
                          "1 -2 \u2581ab\n"
                          "1 -3 aa\n"
                          "1 -4 aaaa\n"
                          "6 0 <0xC3>\n"
                          "6 0 <0x0A>\n"
                          "4 0 <t>\n"
                          "4 0 <t>x\n"
                          "1 -6 b\u2581\n"
                          "#bos_token_id 1\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_vocab("llama", own, false, data, size); }
