/* What a webhook's event looks like, and who wants it. */
#include "base/base.h"

#include "notify/webhook_priv.h"

#include "wire/json.h"

static void add_member(struct buf *out, const char *name, struct span value)
{
    buf_addf(out, ",\"%s\":", name);
    json_quote(out, value);
}

void event_write(const struct fact *f, struct buf *out)
{
    enum fact_kind kind = (enum fact_kind)f->mail.kind;
    buf_addf(out, "{\"name\":\"%s\"", fact_event(kind));
    add_member(out, "channel", f->channel);
    if (kind == FACT_COUNT)
        buf_addf(out, ",\"subscription_count\":%u", f->count);
    if (kind == FACT_CLIENT_EVENT) {
        const struct frame *frame = f->frame;
        buf_addf(out, ",\"event\":%.*s", (int)frame->name_len, frame->text + frame->name_at);
        /* data is a string there already, which typed clients need. */
        if (frame->data_len)
            buf_addf(out, ",\"data\":%.*s", SPAN(frame_data(frame)));
        add_member(out, "socket_id", f->socket_id);
    }
    if (f->user.len)
        add_member(out, "user_id", f->user);
    buf_add_char(out, '}');
}

static bool ends_with(struct span s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && memcmp(s.p + s.len - n, suffix, n) == 0;
}

bool webhook_wants(const struct webhook *hook, const struct fact *f)
{
    return (hook->facts & 1U << f->mail.kind) && span_starts(f->channel, hook->channel_prefix) &&
           ends_with(f->channel, hook->channel_suffix);
}
