/* A chunked body read in two pieces is the body read in one. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 16 };

static enum http_result feed(struct http_chunked *c, struct span *in, struct buf *out)
{
    int status = 0;
    size_t before = in->len;
    enum http_result result = http_chunked(c, in, out, LIMIT, &status);
    ENSURE(in->len <= before && out->len <= LIMIT);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    struct span text = span_of((const char *)data + 1, size - 1);
    struct http_chunked one = {0};
    struct http_chunked two = {0};
    struct buf body_one = {0};
    struct buf body_two = {0};
    struct span in = text;
    enum http_result whole = feed(&one, &in, &body_one);
    struct span rest = span_of(text.p, cut);
    enum http_result part = feed(&two, &rest, &body_two);
    if (part == HTTP_MORE) {
        rest = span_from(text, cut);
        part = feed(&two, &rest, &body_two);
    }
    ENSURE(part == whole);
    if (whole == HTTP_OK)
        ENSURE(span_eq(buf_span(&body_one), buf_span(&body_two)));
    buf_fini(&body_one);
    buf_fini(&body_two);
    return 0;
}
