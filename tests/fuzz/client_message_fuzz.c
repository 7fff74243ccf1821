/* What a client may send: read, and relayed as JSON that parses again. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "wire/pusher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void relay(const struct pusher_message *m)
{
    struct buf data = {0};
    struct json value;
    struct json_field fields[] = {{"event", {0}}, {"data", {0}}};
    if (m->data.kind != JSON_ABSENT)
        pusher_add_string_form(&data, &m->data);
    struct frame *f =
        pusher_event(m->event_json, span_str("private-x"), buf_span(&data), span_of(NULL, 0));
    ENSURE(json_parse_fields(frame_text(f), &value, fields, COUNT_OF(fields)));
    ENSURE(span_eq(fields[0].value.raw, m->event_json));
    ENSURE(!data.len || fields[1].value.kind == JSON_STRING);
    frame_drop(f);
    buf_fini(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pusher_message m;
    struct buf scratch = {0};
    unsigned traits;
    struct json_field fields[] = {{"channel", {0}}, {"auth", {0}}, {"channel_data", {0}}};
    (void)buf_room(&scratch, size * 4 + 64);
    if (pusher_read(span_of((const char *)data, size), &scratch, &m)) {
        relay(&m);
        if (pusher_read_data(&m.data, &scratch, fields, COUNT_OF(fields)) &&
            fields[0].value.kind == JSON_STRING &&
            pusher_channel(json_inner(&fields[0].value), 200, &traits))
            ENSURE(fields[0].value.raw.len <= 200 + 18);
    }
    buf_fini(&scratch);
    return 0;
}
