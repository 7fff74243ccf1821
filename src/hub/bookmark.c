/* Where an event stream is: the id of its events, from which a browser resumes.
 *
 * A browser gives back one id for the whole stream, the last that it saw, so that id must say
 * where the stream is in every channel that counts.  With one such channel it is the position of
 * the event, the same for all who hear it.  With several it is each stream's own, and so are the
 * bytes of the events: it stands in the event itself, because an id behind it could be cut off,
 * and the event would come twice.
 */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

struct bookmark {
    struct map_node node; // by session
    uint32_t index;
    uint32_t n;
    char **names;        // channels; owned
    struct position *at; // none where the stream does not count
};

static struct bookmark *find(const struct hub *h, uint32_t index)
{
    for (struct map_node *n = map_first(&h->bookmarks, index); n; n = map_next(n)) {
        struct bookmark *b = CONTAINER_OF(n, struct bookmark, node);
        if (b->index == index)
            return b;
    }
    return NULL;
}

void hub_use_bookmark(
    struct hub *h, uint32_t index, const struct span *names, const struct position *at, uint32_t n)
{
    struct bookmark *b = mem_zero(sizeof *b);
    b->index = index;
    b->n = n;
    b->names = mem_array(NULL, n, sizeof *b->names);
    b->at = mem_array(NULL, n, sizeof *b->at);
    for (uint32_t i = 0; i < n; i++) {
        b->names[i] = mem_dup(names[i].p, names[i].len);
        b->at[i] = at[i];
    }
    map_add(&h->bookmarks, &b->node, index);
}

void bookmark_drop(struct hub *h, uint32_t index)
{
    struct bookmark *b = h->bookmarks.n ? find(h, index) : NULL;
    if (!b)
        return;
    map_remove(&h->bookmarks, &b->node);
    for (uint32_t i = 0; i < b->n; i++)
        free(b->names[i]);
    free(b->names);
    free(b->at);
    free(b);
}

enum audience bookmark_audience(const struct hub *h, uint32_t index)
{
    return find(h, index) ? AUDIENCE_STREAM_PLACE : AUDIENCE_STREAM_AT;
}

static void turn_to(struct bookmark *b, struct span channel, const struct position *at)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (span_is(channel, b->names[i])) {
            b->at[i] = *at;
            return;
        }
}

void bookmark_send(
    struct hub *h, uint32_t index, struct span channel, const struct position *at, struct span text)
{
    struct buf id = {0};
    if (fanout_at(&h->fanout, index)->audience != AUDIENCE_STREAM || !at->epoch[0]) {
        hub_send(h, index, text);
        return;
    }
    struct bookmark *b = find(h, index);
    if (b) {
        turn_to(b, channel, at);
        positions_add(&id, b->at, b->n);
    } else {
        position_add(&id, at);
    }
    fanout_direct_event(&h->fanout, index, buf_span(&id), text);
    buf_fini(&id);
}

void bookmark_publish(
    struct hub *h, const struct crowd *crowd, const struct frame *frame, uint32_t except)
{
    struct position at = {.offset = frame->offset};
    uint32_t next = 0;
    uint32_t index;
    memcpy(at.epoch, frame->epoch, sizeof at.epoch);
    while (crowd_next(crowd, &next, &index))
        if (index != except)
            bookmark_send(h, index, channel_name(crowd->channel), &at, frame_text(frame));
}
