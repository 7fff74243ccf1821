/* Frames read in two pieces give the messages of frames read in one. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The reader unmasks in place: each reading gets a copy of its own. */
static enum ws_result read_all(
    struct ws_reader *r, char *bytes, size_t len, struct buf *log, uint16_t *code)
{
    struct span in = span_of(bytes, len);
    struct ws_message m;
    enum ws_result result;
    while ((result = ws_next(r, &in, 1 << 16, &m, code)) == WS_OK) {
        ENSURE(m.kind != WS_TEXT || utf8_is_valid(m.data));
        buf_addf(log, "%d:", (int)m.kind);
        buf_add_span(log, m.data);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t len = size - 1;
    size_t cut = data[0] < len ? data[0] : len;
    char *one = mem_dup((const char *)data + 1, len);
    char *two = mem_dup((const char *)data + 1, len);
    struct ws_reader whole = {0};
    struct ws_reader parts = {0};
    struct buf log_whole = {0};
    struct buf log_parts = {0};
    uint16_t code = 0;
    uint16_t code_parts = 0;
    enum ws_result a = read_all(&whole, one, len, &log_whole, &code);
    enum ws_result b = read_all(&parts, two, cut, &log_parts, &code_parts);
    if (b == WS_MORE)
        b = read_all(&parts, two + cut, len - cut, &log_parts, &code_parts);
    ENSURE(a == b && code == code_parts);
    ENSURE(span_eq(buf_span(&log_whole), buf_span(&log_parts)));
    ws_reader_fini(&whole);
    ws_reader_fini(&parts);
    buf_fini(&log_whole);
    buf_fini(&log_parts);
    free(one);
    free(two);
    return 0;
}
