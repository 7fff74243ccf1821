/* Who is in a presence channel, by user and not by connection (pusher-protocol 2.7). */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

static struct span id_of(const struct member *m)
{
    return span_of(m->id, m->id_len);
}

static struct member *find(const struct presence *p, struct span id)
{
    uint32_t hash = hash_bytes(0, id);
    for (struct map_node *n = map_first(&p->members, hash); n; n = map_next(n)) {
        struct member *m = CONTAINER_OF(n, struct member, node);
        if (span_eq(id_of(m), id))
            return m;
    }
    return NULL;
}

static struct member *add(struct presence *p, struct span id, struct span info)
{
    struct member *m = mem_zero(sizeof *m + id.len);
    if (!info.len)
        info = span_str("{}");
    m->id_len = (uint32_t)id.len;
    memcpy(m->id, id.p, id.len);
    m->info = mem_dup(info.p, info.len);
    m->info_len = (uint32_t)info.len;
    m->is_new = true;
    map_add(&p->members, &m->node, hash_bytes(0, id));
    list_append(&p->order, &m->order);
    return m;
}

static void discard(struct presence *p, struct member *m)
{
    map_remove(&p->members, &m->node);
    list_remove(&p->order, &m->order);
    free(m->info);
    free(m);
}

uint32_t presence_users(const struct channel *c)
{
    return c->presence->members.n;
}

static void append_joiner(struct presence *p, struct letter *l)
{
    l->mail.next = NULL;
    if (p->last_joiner)
        p->last_joiner->mail.next = &l->mail;
    else
        p->joiners = l;
    p->last_joiner = l;
}

static void list_joiner(struct hub *h, struct channel *c, struct letter *l)
{
    append_joiner(c->presence, l);
    if (!c->is_settling) {
        c->is_settling = true;
        pile_push(&h->settling, c);
    }
}

bool presence_join(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    if (!c->presence)
        c->presence = mem_zero(sizeof *c->presence);
    struct member *m = find(c->presence, l->user);
    /* Another connection of one who is there passes even when the channel is full. */
    if (!m && presence_users(c) >= hub_app(h, c->app)->limits.presence_members)
        return false;
    if (!m)
        m = add(c->presence, l->user, l->info_json);
    m->n_connections++;
    channel_admit(h, c, l);
    if (m->n_connections == 1)
        hub_tell_fact(h, FACT_MEMBER_ADDED, c, &(struct fact){.user = id_of(m)});
    list_joiner(h, c, is_mail ? l : letter_copy(l));
    return true;
}

static void tell(
    struct hub *h, struct channel *c, const char *event, const struct member *m, bool with_info)
{
    struct buf inner = {0};
    buf_add_str(&inner, "{\"user_id\":");
    json_quote(&inner, id_of(m));
    if (with_info) {
        buf_add_str(&inner, ",\"user_info\":");
        buf_add(&inner, m->info, m->info_len);
    }
    buf_add_char(&inner, '}');
    struct frame *frame = pusher_internal(event, channel_name(c), buf_span(&inner));
    channel_deliver(h, c, frame, (struct session_ref){0});
    frame_drop(frame);
    buf_fini(&inner);
}

void presence_leave(struct hub *h, struct channel *c, struct span user)
{
    struct member *m = find(c->presence, user);
    ENSURE(m != NULL && m->n_connections > 0);
    if (--m->n_connections)
        return;
    hub_tell_fact(h, FACT_MEMBER_REMOVED, c, &(struct fact){.user = id_of(m)});
    if (!m->is_new)
        tell(h, c, "pusher_internal:member_removed", m, false);
    discard(c->presence, m);
}

static struct member *next_member(const struct presence *p, const struct member *m)
{
    struct list_node *node = m ? m->order.next : p->order.first;
    return node ? CONTAINER_OF(node, struct member, order) : NULL;
}

static struct frame *encode_snapshot(const struct channel *c)
{
    const struct presence *p = c->presence;
    struct buf inner = {0};
    buf_add_str(&inner, "{\"presence\":{\"ids\":[");
    for (struct member *m = next_member(p, NULL); m; m = next_member(p, m)) {
        if (m->order.prev)
            buf_add_char(&inner, ',');
        json_quote(&inner, id_of(m));
    }
    buf_add_str(&inner, "],\"hash\":{");
    for (struct member *m = next_member(p, NULL); m; m = next_member(p, m)) {
        if (m->order.prev)
            buf_add_char(&inner, ',');
        json_quote(&inner, id_of(m));
        buf_add_char(&inner, ':');
        buf_add(&inner, m->info, m->info_len);
    }
    buf_addf(&inner, "},\"count\":%u}}", presence_users(c));
    struct frame *frame = pusher_internal(
        "pusher_internal:subscription_succeeded", channel_name(c), buf_span(&inner));
    buf_fini(&inner);
    return frame;
}

/* Joiners of this worker that have gone since they asked: they leave before the snapshot is
 * made.  Answered, they would leave between two answers, and those who are answered later would
 * find them in the snapshot and never hear of their going. */
static void drop_gone(struct hub *h, struct channel *c)
{
    struct presence *p = c->presence;
    struct mail *mail = p->joiners ? &p->joiners->mail : NULL;
    p->joiners = p->last_joiner = NULL;
    while (mail) {
        struct letter *l = CONTAINER_OF(mail, struct letter, mail);
        mail = mail->next;
        if (l->from == h->setup.worker && hub_live(h, l->session) == SLAB_NONE) {
            channel_unsubscribe(h, l);
            letter_free(l);
        } else {
            append_joiner(p, l);
        }
    }
}

/* The joiners of a beat are in each other's snapshot; those who were there before are told of
 * each new user.  None of the joiners is in a crowd yet, so none is told twice. */
void presence_settle(struct hub *h, struct channel *c)
{
    struct presence *p = c->presence;
    drop_gone(h, c);
    for (struct member *m = next_member(p, NULL); m; m = next_member(p, m)) {
        if (m->is_new)
            tell(h, c, "pusher_internal:member_added", m, true);
        m->is_new = false;
    }
    struct frame *snapshot = encode_snapshot(c);
    struct mail *mail = p->joiners ? &p->joiners->mail : NULL;
    p->joiners = p->last_joiner = NULL;
    while (mail) {
        struct letter *l = CONTAINER_OF(mail, struct letter, mail);
        mail = mail->next;
        frame_hold(snapshot);
        l->frame = snapshot;
        channel_answer_subscribe(h, c, l, true);
    }
    frame_drop(snapshot);
    c->is_settling = false;
    channel_release(h, c); // a joiner that has gone meanwhile may have been the last
}

void presence_list(const struct channel *c, struct buf *out)
{
    for (struct member *m = next_member(c->presence, NULL); m; m = next_member(c->presence, m)) {
        buf_add_str(out, m->order.prev ? ",{\"id\":" : "{\"id\":");
        json_quote(out, id_of(m));
        buf_add_char(out, '}');
    }
}
