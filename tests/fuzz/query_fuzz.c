/* A query's parameters lie within it, one behind the other; decoding never makes them longer. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "wire/http.h"
#include "wire/socket_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of((const char *)data, size);
    struct span query = all;
    struct span name;
    struct span value;
    struct session_ref ref;
    struct buf out = {0};
    const char *last = all.p;
    while (http_next_param(&query, &name, &value)) {
        ENSURE(name.p >= last && name.p + name.len <= value.p + value.len);
        ENSURE(value.p + value.len <= all.p + all.len);
        last = value.p + value.len;
        out.len = 0;
        if (http_decode(value, true, &out))
            ENSURE(out.len <= value.len);
        if (socket_id_read(value, &ref))
            ENSURE(memchr(value.p, '.', value.len));
    }
    buf_fini(&out);
    return 0;
}
