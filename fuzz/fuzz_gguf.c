/* fuzz_gguf.c - the reader of GGUF: what it accepts can be read to the last byte, what it refuses it refuses clearly.
 */
#include "../tests/lib/gguf_check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size, 0);
    liz_gguf *gguf = NULL;
    liz_error err = {0};
    liz_status status = liz_gguf_open(&gguf, path, &err);
    if (status == LIZ_OK)
        gguf_touch(gguf);
    else
        FUZZ_CHECK(gguf_error_is_clear(&err, status, path));
    liz_gguf_close(gguf);
    return 0;
}
