/* What an old client says, and an event as it is told: whatever comes, what goes out is JSON that
 * fits into its room, and a name that was mapped maps back. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/legacy.h"
#include "wire/pusher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct buf *names, size_t n)
{
    struct buf channel = {0};
    struct buf name = {0};
    struct buf again = {0};
    size_t at = 0;
    for (size_t i = 0; i < n; i++, at += strlen(names->p + at) + 1) {
        unsigned traits;
        channel.len = name.len = again.len = 0;
        legacy_add_channel(span_str(names->p + at), false, &channel);
        if (!pusher_channel(buf_span(&channel), 200, &traits))
            continue;
        legacy_add_name(buf_span(&channel), &name);
        legacy_add_channel(buf_span(&name), false, &again);
        ENSURE(name.len > 0);
        /* A public channel that is called like one of another kind has no name of its own. */
        struct span bare = buf_span(&name);
        if (!span_starts(bare, "private-") && !span_starts(bare, "presence-"))
            ENSURE(span_eq(buf_span(&again), buf_span(&channel)) || span_starts(bare, "public-") ||
                   span_starts(bare, "teacher_") || span_starts(bare, "admin_") ||
                   span_starts(bare, "user_") || span_is(bare, "content_updates") ||
                   span_is(bare, "roblox_events"));
    }
    ENSURE(at == names->len);
    buf_fini(&channel);
    buf_fini(&name);
    buf_fini(&again);
}

static void check_message(struct span text)
{
    struct buf scratch = {0};
    struct buf names = {0};
    struct legacy_message m;
    size_t n;
    (void)buf_room(&scratch, 4 * text.len + 256);
    if (legacy_read(text, &scratch, &m) == LEGACY_OK) {
        ENSURE(m.type.len > 0);
        if (legacy_read_names(&m, &scratch, &names, &n) == LIST_OK)
            check_names(&names, n);
    }
    buf_fini(&scratch);
    buf_fini(&names);
}

/* The text as an event's data, as the server would publish it. */
static void check_event(struct span text, bool is_message)
{
    struct buf string = {0};
    struct json root;
    json_quote(&string, text);
    struct frame *frame = pusher_event(span_str(is_message ? "\"message\"" : "\"e\""),
        span_str("private-user-7"), buf_span(&string), span_of(NULL, 0));
    for (int form = 0; form < LEGACY_FORMS; form++) {
        size_t room = legacy_room(frame_text(frame));
        char *out = mem_alloc(room);
        size_t n = legacy_encode((enum legacy_form)form, out, frame_text(frame), 0);
        ENSURE(n <= room);
        ENSURE(n > 0 || form == LEGACY_ENVIRONMENT);
        ENSURE(!n || (json_parse(span_of(out, n), &root) && root.kind == JSON_OBJECT));
        n = legacy_encode((enum legacy_form)form, out, text, 0); // and as a frame of no sense
        ENSURE(n <= legacy_room(text));
        ENSURE(!n || json_parse(span_of(out, n), &root));
        free(out);
    }
    frame_drop(frame);
    buf_fini(&string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size);
    if (!utf8_is_valid(text))
        return 0;
    check_message(text);
    check_event(text, size % 2);
    return 0;
}
