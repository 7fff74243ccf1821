/* A head read in two pieces is the head read in one. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_limits limits = {4096, 20};
    struct http_head one;
    struct http_head two;
    size_t scanned = 0;
    size_t used = 0;
    size_t used_two = 0;
    int status = 0;
    int status_two = 0;
    if (size < 1)
        return 0;
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    struct span text = span_of((const char *)data + 1, size - 1);
    enum http_result whole = http_head(text, &limits, &scanned, &one, &used, &status);
    ENSURE(whole != HTTP_OK || used <= text.len);
    scanned = 0;
    enum http_result part =
        http_head(span_of(text.p, cut), &limits, &scanned, &two, &used_two, &status_two);
    if (part == HTTP_MORE)
        part = http_head(text, &limits, &scanned, &two, &used_two, &status_two);
    ENSURE(part == whole);
    if (whole == HTTP_OK)
        ENSURE(used == used_two && span_eq(one.path, two.path) && one.length == two.length);
    return 0;
}
