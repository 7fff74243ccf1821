/* Signed-in users: who is online, who watches whom, terminate (pusher-protocol 2.9).
 *
 * The home of a user is the home of #server-to-user-ID.  It knows every session that is
 * signed in as the user and every session that has the id on its watchlist; online is at
 * least one of the former.  A session's own side of this is its struct identity.
 */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

struct refs {
    struct session_ref *v;
    uint32_t n, cap;
};

struct user {
    struct map_node node;
    uint32_t app;
    struct refs sessions, watchers;
    uint32_t id_len;
    char id[];
};

struct watched {
    char *id;
    bool is_online;
    bool is_told; // the home has answered
};

struct identity {
    uint32_t app;
    char *user, *info, *data; // info and data are JSON; data only until signin_success
    struct watched *watched;
    uint32_t n_watched;
    uint32_t n_waiting; // answers still to come
    bool is_signed;     // the home knows of this session
    bool is_cut;
    uint32_t limit;
};

/* --- at home ------------------------------------------------------------------------------ */

static void refs_add(struct refs *r, struct session_ref ref)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 2;
        r->v = mem_array(r->v, r->cap, sizeof *r->v);
    }
    r->v[r->n++] = ref;
}

static bool refs_remove(struct refs *r, struct session_ref ref)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct session_ref *v = &r->v[i];
        if (v->slot == ref.slot && v->nonce == ref.nonce && v->worker == ref.worker) {
            r->v[i] = r->v[--r->n];
            return true;
        }
    }
    return false;
}

static struct user *find(const struct hub *h, const struct letter *l)
{
    for (struct map_node *n = map_first(&h->users, l->hash); n; n = map_next(n)) {
        struct user *u = CONTAINER_OF(n, struct user, node);
        if (u->app == l->app && span_eq(span_of(u->id, u->id_len), l->user))
            return u;
    }
    return NULL;
}

static struct user *need(struct hub *h, const struct letter *l)
{
    struct user *u = find(h, l);
    if (u)
        return u;
    u = mem_zero(sizeof *u + l->user.len);
    u->app = l->app;
    u->id_len = (uint32_t)l->user.len;
    memcpy(u->id, l->user.p, l->user.len);
    map_add(&h->users, &u->node, l->hash);
    return u;
}

static void release(struct hub *h, struct user *u)
{
    if (u->sessions.n || u->watchers.n)
        return;
    map_remove(&h->users, &u->node);
    free(u->sessions.v);
    free(u->watchers.v);
    free(u);
}

static void tell_watchers(struct hub *h, const struct user *u, bool is_online)
{
    for (uint32_t i = 0; i < u->watchers.n; i++) {
        struct letter l = {.mail.kind = LETTER_FLIP,
            .app = u->app,
            .session = u->watchers.v[i],
            .user = span_of(u->id, u->id_len),
            .flag = is_online};
        hub_tell(h, l.session.worker, &l);
    }
}

void user_signin(struct hub *h, struct letter *l, bool is_mail)
{
    struct user *u = need(h, l);
    refs_add(&u->sessions, l->session);
    if (u->sessions.n == 1) {
        counter_add(&h->counts.users, 1);
        tell_watchers(h, u, true);
    }
    hub_answer(h, l, LETTER_SIGNED_IN, is_mail);
}

void user_signout(struct hub *h, const struct letter *l)
{
    struct user *u = find(h, l);
    if (!u || !refs_remove(&u->sessions, l->session))
        return;
    if (u->sessions.n == 0) {
        counter_sub(&h->counts.users, 1);
        tell_watchers(h, u, false);
    }
    release(h, u);
}

void user_watch(struct hub *h, struct letter *l, bool is_mail)
{
    struct user *u = need(h, l);
    refs_add(&u->watchers, l->session);
    l->flag = u->sessions.n > 0;
    hub_answer(h, l, LETTER_WATCHED, is_mail);
}

void user_unwatch(struct hub *h, const struct letter *l)
{
    struct user *u = find(h, l);
    if (!u)
        return;
    (void)refs_remove(&u->watchers, l->session); // false when the session went before the letter
    release(h, u);
}

void user_terminate(struct hub *h, struct letter *l)
{
    struct user *u = find(h, l);
    for (uint32_t i = 0; u && i < u->sessions.n; i++) {
        struct letter close = {.mail.kind = LETTER_CLOSE, .session = u->sessions.v[i]};
        hub_tell(h, close.session.worker, &close);
    }
}

/* --- at the session's worker ----------------------------------------------------------------- */

static uint32_t user_hash(uint32_t app, struct span user)
{
    struct buf name = {0};
    buf_add_str(&name, PUSHER_USER_PREFIX);
    buf_add_span(&name, user);
    uint32_t hash = hash_bytes(app, buf_span(&name));
    buf_fini(&name);
    return hash;
}

static struct letter user_letter(
    struct hub *h, enum letter_kind kind, uint32_t app, struct span user, uint32_t index)
{
    return (struct letter){.mail.kind = kind,
        .from = (uint16_t)h->setup.worker,
        .app = app,
        .hash = user_hash(app, user),
        .session = hub_ref(h, index),
        .user = user};
}

static struct identity *identity_of(const struct hub *h, uint32_t index)
{
    const struct subscriber *s = fanout_at(&h->fanout, index);
    return s->subs ? s->subs->who : NULL;
}

static void add_status(struct buf *out, const struct identity *who, bool is_online)
{
    bool is_first = true;
    for (uint32_t i = 0; i < who->n_watched; i++) {
        if (who->watched[i].is_online != is_online)
            continue;
        if (is_first)
            buf_addf(out, "%s{\"name\":\"%s\",\"user_ids\":[",
                out->p[out->len - 1] == '[' ? "" : ",", is_online ? "online" : "offline");
        else
            buf_add_char(out, ',');
        json_quote(out, span_str(who->watched[i].id));
        is_first = false;
    }
    if (!is_first)
        buf_add_str(out, "]}");
}

static void send_internal(struct hub *h, uint32_t index, const char *event, struct span inner)
{
    struct frame *frame = pusher_internal(event, span_of(NULL, 0), inner);
    hub_send(h, index, frame_text(frame));
    frame_drop(frame);
}

static void send_watchlist(struct hub *h, uint32_t index, const struct identity *who)
{
    struct buf inner = {0};
    buf_add_str(&inner, "{\"events\":[");
    add_status(&inner, who, true);
    add_status(&inner, who, false);
    buf_add_str(&inner, "]}");
    send_internal(h, index, "pusher_internal:watchlist_events", buf_span(&inner));
    buf_fini(&inner);
}

static void send_cut(struct hub *h, uint32_t index, const struct identity *who)
{
    struct buf message = {0};
    struct buf out = {0};
    buf_addf(
        &message, "The watchlist may hold %u user ids; the first ones are watched:", who->limit);
    for (uint32_t i = 0; i < who->n_watched; i++)
        buf_addf(&message, "%s%s", i ? ", " : " ", who->watched[i].id);
    pusher_add_error(&out, PUSHER_WATCHLIST_LIMIT, buf_span(&message));
    hub_send(h, index, buf_span(&out));
    buf_fini(&message);
    buf_fini(&out);
}

/* Every home has answered: the client is told, in one go. */
static void finish(struct hub *h, uint32_t index, struct identity *who)
{
    struct buf inner = {0};
    fanout_at(&h->fanout, index)->flags |= SUBSCRIBER_AUTHORISED;
    buf_add_str(&inner, "{\"user_data\":");
    json_quote(&inner, span_str(who->data));
    buf_add_char(&inner, '}');
    send_internal(h, index, "pusher:signin_success", buf_span(&inner));
    buf_fini(&inner);
    free(who->data);
    who->data = NULL;
    if (who->n_watched)
        send_watchlist(h, index, who);
    if (who->is_cut)
        send_cut(h, index, who);
}

static void settle_one(struct hub *h, uint32_t index, bool was_waiting)
{
    struct identity *who = identity_of(h, index);
    ENSURE(who != NULL && who->n_waiting > 0);
    if (--who->n_waiting)
        return;
    finish(h, index, who);
    if (was_waiting)
        hub_push_ready(h, index);
}

static bool is_remote(const struct hub *h, const struct letter *l)
{
    return letter_home(h, l) != h->setup.worker;
}

void user_signed_in(struct hub *h, struct letter *l)
{
    uint32_t index = hub_live(h, l->session);
    if (index != SLAB_NONE) {
        struct identity *who = identity_of(h, index);
        ENSURE(who != NULL);
        who->is_signed = true;
        settle_one(h, index, true);
        return;
    }
    l->mail.kind = LETTER_SIGNOUT; // it went while the letter was on its way
    hub_tell(h, letter_home(h, l), l);
}

static void set_status(struct identity *who, struct span user, bool is_online)
{
    for (uint32_t i = 0; i < who->n_watched; i++) {
        if (!span_is(user, who->watched[i].id))
            continue;
        who->watched[i].is_online = is_online;
        who->watched[i].is_told = true;
    }
}

void user_watched(struct hub *h, struct letter *l)
{
    uint32_t index = hub_live(h, l->session);
    if (index == SLAB_NONE) {
        l->mail.kind = LETTER_UNWATCH;
        hub_tell(h, letter_home(h, l), l);
        return;
    }
    struct identity *who = identity_of(h, index);
    ENSURE(who != NULL);
    set_status(who, l->user, l->flag);
    settle_one(h, index, true);
}

void user_flip(struct hub *h, const struct letter *l)
{
    uint32_t index = hub_live(h, l->session);
    struct identity *who = index == SLAB_NONE ? NULL : identity_of(h, index);
    if (!who)
        return;
    if (who->n_waiting) {
        set_status(who, l->user, l->flag); // the first list will tell it
        return;
    }
    struct buf inner = {0};
    buf_addf(
        &inner, "{\"events\":[{\"name\":\"%s\",\"user_ids\":[", l->flag ? "online" : "offline");
    json_quote(&inner, l->user);
    buf_add_str(&inner, "]}]}");
    send_internal(h, index, "pusher_internal:watchlist_events", buf_span(&inner));
    buf_fini(&inner);
}

/* Asks the home for one thing; an answer from this very worker comes as a call, counted like
 * the mailed ones. */
static void ask(struct hub *h, struct letter *l)
{
    unsigned home = letter_home(h, l);
    if (is_remote(h, l))
        hub_tell(h, home, l);
    else if (l->mail.kind == LETTER_SIGNIN)
        user_signin(h, l, false);
    else
        user_watch(h, l, false);
}

static struct identity *new_identity(const struct hub_signin *signin)
{
    struct identity *who = mem_zero(sizeof *who);
    who->app = signin->app;
    who->user = mem_dup(signin->user.p, signin->user.len);
    who->info = signin->user_info.len ? mem_dup(signin->user_info.p, signin->user_info.len) : NULL;
    who->data = mem_dup(signin->user_data.p, signin->user_data.len);
    who->is_cut = signin->is_cut;
    who->limit = signin->limit;
    who->n_watched = (uint32_t)signin->n_watchlist;
    who->watched = mem_zero(who->n_watched * sizeof *who->watched);
    for (uint32_t i = 0; i < who->n_watched; i++)
        who->watched[i].id = mem_dup(signin->watchlist[i].p, signin->watchlist[i].len);
    return who;
}

enum hub_result hub_signin(struct hub *h, uint32_t index, const struct hub_signin *signin)
{
    struct identity *who = new_identity(signin);
    fanout_need_subs(fanout_at(&h->fanout, index))->who = who;
    /* One more than the answers, so that the last one here cannot finish too early. */
    who->n_waiting = who->n_watched + 2;
    struct letter l = user_letter(h, LETTER_SIGNIN, who->app, signin->user, index);
    ask(h, &l);
    for (uint32_t i = 0; i < who->n_watched; i++) {
        l = user_letter(h, LETTER_WATCH, who->app, span_str(who->watched[i].id), index);
        ask(h, &l);
    }
    settle_one(h, index, false);
    return who->n_waiting ? HUB_WAIT : HUB_DONE;
}

struct span hub_user(const struct hub *h, uint32_t index)
{
    const struct identity *who = identity_of(h, index);
    return who ? span_str(who->user) : span_of(NULL, 0);
}

struct span hub_user_info(const struct hub *h, uint32_t index)
{
    const struct identity *who = identity_of(h, index);
    return who ? span_str(who->info) : span_of(NULL, 0);
}

void identity_close(struct hub *h, uint32_t index)
{
    struct identity *who = identity_of(h, index);
    if (!who)
        return;
    /* What has not been answered is undone when the answer finds the session gone. */
    for (uint32_t i = 0; i < who->n_watched; i++) {
        struct letter l =
            user_letter(h, LETTER_UNWATCH, who->app, span_str(who->watched[i].id), index);
        if (who->watched[i].is_told)
            hub_tell(h, letter_home(h, &l), &l);
        free(who->watched[i].id);
    }
    struct letter l = user_letter(h, LETTER_SIGNOUT, who->app, span_str(who->user), index);
    if (who->is_signed)
        hub_tell(h, letter_home(h, &l), &l);
    fanout_at(&h->fanout, index)->subs->who = NULL;
    free(who->watched);
    free(who->user);
    free(who->info);
    free(who->data);
    free(who);
}
