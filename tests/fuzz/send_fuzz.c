/* The body of a send, and the path of its request: taken apart and put together again they say
 * the same. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "serve/fallback.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The strings of a list, each decoded and quoted anew; false when it is none. */
static bool rewrite(struct span body, struct buf *out)
{
    struct json array;
    struct json item;
    struct buf scratch = {0};
    struct span text;
    size_t at = 0;
    bool is_good = json_parse(body, &array) && array.kind == JSON_ARRAY;
    buf_add_char(out, '[');
    while (is_good && json_next(&array, &at, &item)) {
        scratch.len = 0;
        is_good = item.kind == JSON_STRING && json_decode(&item, &scratch, &text);
        if (!is_good)
            break;
        if (out->len > 1)
            buf_add_char(out, ',');
        json_quote(out, text);
    }
    buf_add_char(out, ']');
    buf_fini(&scratch);
    return is_good;
}

static void check_path(struct span path)
{
    struct fallback_path out;
    if (!fallback_path(path, &out) || !out.name.len)
        return;
    const char *end = out.name.p + out.name.len;
    ENSURE(out.name.p > path.p && end < path.p + path.len && *end == '/');
    size_t slashes = 0;
    for (size_t i = 0; i < out.name.len; i++)
        slashes += out.name.p[i] == '/';
    ENSURE(slashes == (out.key.p ? 2 : 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    struct buf once = {0};
    struct buf twice = {0};
    check_path(input);
    if (rewrite(input, &once)) {
        ENSURE(rewrite(buf_span(&once), &twice));
        ENSURE(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
