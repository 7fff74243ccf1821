/* What json_parse accepts is whole: its parts parse again, and quoting is undone by decoding. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct json *value)
{
    size_t at = 0;
    struct json name;
    struct json item;
    struct json again;
    while (value->kind == JSON_ARRAY && json_next(value, &at, &item))
        ENSURE(json_parse(item.raw, &again) && span_eq(again.raw, item.raw));
    while (value->kind == JSON_OBJECT && json_next_member(value, &at, &name, &item))
        ENSURE(json_parse(item.raw, &again) && span_eq(again.raw, item.raw));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size);
    struct json value;
    struct buf quoted = {0};
    struct buf scratch = {0};
    struct span decoded;
    if (json_parse(text, &value)) {
        ENSURE(utf8_is_valid(text));
        check_parts(&value);
        if (value.kind == JSON_STRING && json_decode(&value, &scratch, &decoded))
            ENSURE(decoded.len == json_string_bytes(&value));
    }
    if (utf8_is_valid(text)) {
        json_quote(&quoted, text);
        scratch.len = 0;
        ENSURE(json_parse(buf_span(&quoted), &value) && json_decode(&value, &scratch, &decoded));
        ENSURE(span_eq(decoded, text));
    }
    buf_fini(&quoted);
    buf_fini(&scratch);
    return 0;
}
