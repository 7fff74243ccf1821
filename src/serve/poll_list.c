/* Names, positions, and the text that carries them from one poll to the next. */
#include "base/base.h"

#include "serve/poll_list.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"

/* What is signed begins with it: no other signature by an app's secret does. */
static const char purpose[] = "poll-session-1\n";

void poll_list_fini(struct poll_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->channels[i].name);
    free(list->channels);
    *list = (struct poll_list){0};
}

enum poll_add poll_list_add(struct poll_list *list, struct span name, const struct position *at)
{
    for (size_t i = 0; i < list->n; i++)
        if (span_is(name, list->channels[i].name))
            return POLL_TWICE;
    if (list->n == POLL_CHANNELS || list->names_bytes + name.len > POLL_NAMES_BYTES)
        return POLL_FULL;
    list->channels = mem_array(list->channels, list->n + 1, sizeof *list->channels);
    list->channels[list->n++] = (struct poll_channel){.name = mem_dup(name.p, name.len), .at = *at};
    list->names_bytes += name.len;
    return POLL_ADDED;
}

bool poll_since_read(struct span text, struct span *name, struct position *at)
{
    const char *colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    if (!colon || colon == text.p)
        return false;
    *name = span_of(text.p, (size_t)(colon - text.p));
    return position_read(span_from(text, name->len + 1), at);
}

/* One line for each channel, as poll_since_read takes it. */
static void add_lines(const struct poll_list *list, struct buf *out)
{
    for (size_t i = 0; i < list->n; i++)
        buf_addf(out, "%s:%s:%llu\n", list->channels[i].name, list->channels[i].at.epoch,
            (unsigned long long)list->channels[i].at.offset);
}

static bool read_lines(struct poll_list *list, struct span lines)
{
    const char *end;
    while (lines.len && (end = memchr(lines.p, '\n', lines.len))) {
        struct span name;
        struct position at;
        struct span line = span_of(lines.p, (size_t)(end - lines.p));
        if (!poll_since_read(line, &name, &at) || poll_list_add(list, name, &at) == POLL_FULL)
            return false;
        lines = span_from(lines, line.len + 1);
    }
    return lines.len == 0;
}

void poll_session_write(
    const struct poll_list *list, const struct sign_key *key, struct span user, struct buf *out)
{
    struct buf lines = {0};
    char hex[SIGN_HEX];
    add_lines(list, &lines);
    struct span parts[] = {span_str(purpose), user, span_str("\n"), buf_span(&lines)};
    sign_hex(key, parts, COUNT_OF(parts), hex);
    base64url_encode(buf_span(&lines), out);
    buf_add_char(out, '.');
    buf_add(out, hex, sizeof hex);
    buf_fini(&lines);
}

bool poll_session_read(
    struct poll_list *list, const struct sign_key *key, struct span user, struct span session)
{
    struct buf lines = {0};
    bool ok = session.len > SIGN_HEX + 1 && session.p[session.len - SIGN_HEX - 1] == '.' &&
              base64url_decode(span_of(session.p, session.len - SIGN_HEX - 1), &lines);
    if (ok) {
        struct span given = span_from(session, session.len - SIGN_HEX);
        struct span parts[] = {span_str(purpose), user, span_str("\n"), buf_span(&lines)};
        ok = sign_check(key, parts, COUNT_OF(parts), given) && read_lines(list, buf_span(&lines));
    }
    buf_fini(&lines);
    return ok;
}
