/* What a client says over HTTP: posts, in the order in which it sent them. */
#include "base/base.h"

#include "serve/fallback.h"

#include <stdlib.h>

#include "base/mem.h"
#include "serve/conn.h"
#include "wire/json.h"

enum {
    EARLY_MS = 50,     // how long a post waits for those with lower numbers
    INBOX_MESSAGES = 4 // bodies of the greatest size that may wait
};

/* One message.  Afterwards the session may be waiting or gone, and then f is too. */
static void take_message(struct serve *s, struct fallback *f, struct span text)
{
    serve_count(s, COUNTER_MESSAGES_IN, 1);
    if (f->state == FALLBACK_NEW)
        sockjs_open(s, f, text);
    else if (text.len > s->config->limits.message_bytes)
        session_close(s, session_at(s, f->session), CLOSE_TOO_BIG, 0);
    else
        session_message(s, session_at(s, f->session), text);
}

static bool must_wait(const struct serve *s, const struct fallback *f)
{
    return f->session != SLAB_NONE && session_is_waiting(s, session_at(s, f->session));
}

static bool is_alive(const struct fallback *f)
{
    return f->state == FALLBACK_NEW || f->state == FALLBACK_OPEN;
}

/* The messages of body from *at on.  False when some must wait; they begin at *at then. */
static bool take_body(struct serve *s, struct fallback *f, struct span body, size_t *at)
{
    struct json array;
    struct json item;
    struct span text;
    bool ok = json_parse(body, &array);
    ENSURE(ok); // it was checked when it came
    while (is_alive(f)) {
        size_t before = *at;
        if (!json_next(&array, at, &item))
            return true;
        if (must_wait(s, f)) {
            *at = before;
            return false;
        }
        s->line.len = 0;
        ok = json_decode(&item, &s->line, &text);
        ENSURE(ok);
        take_message(s, f, text);
    }
    return true;
}

static struct post *keep(struct fallback *f, struct span body, uint64_t n, size_t at)
{
    struct post *p = mem_alloc(sizeof *p + body.len);
    *p = (struct post){.n = n, .len = (uint32_t)body.len, .at = at};
    memcpy(p->text, body.p, body.len);
    f->inbox_bytes += p->len;
    return p;
}

static void append(struct post **list, struct post *p)
{
    while (*list)
        list = &(*list)->next;
    *list = p;
}

static void accept(struct serve *s, struct fallback *f, struct span body)
{
    size_t at = 0;
    if (f->inbox || !take_body(s, f, body, &at))
        append(&f->inbox, keep(f, body, 0, at));
}

void fallback_resume(struct serve *s, struct fallback *f)
{
    struct conn *c = f->conn == SLAB_NONE ? NULL : conn_at(s, f->conn);
    while (is_alive(f) && f->inbox) {
        struct post *p = f->inbox;
        if (!take_body(s, f, span_of(p->text, p->len), &p->at))
            return;
        if (!is_alive(f))
            return; // and with it its posts
        f->inbox = p->next;
        f->inbox_bytes -= p->len;
        free(p);
    }
    if (c && c->state == CONN_STREAM)
        conn_resume(s, c);
}

bool fallback_may_read(const struct serve *s, const struct fallback *f)
{
    return !f->inbox && !must_wait(s, f);
}

/* The first of the early ones is accepted. */
static void take_early(struct serve *s, struct fallback *f)
{
    struct post *p = f->early;
    f->early = p->next;
    f->inbox_bytes -= p->len;
    if (p->n > f->last_n)
        f->last_n = p->n;
    accept(s, f, span_of(p->text, p->len));
    free(p);
}

static void take_due(struct serve *s, struct fallback *f)
{
    while (is_alive(f)) {
        if (f->seen_n == f->last_n + 1)
            f->last_n = f->seen_n;
        if (!f->early || f->early->n > f->last_n + 1)
            return;
        take_early(s, f);
    }
}

static void list_early(struct serve *s, const struct fallback *f)
{
    if (s->n_early == s->cap_early) {
        s->cap_early = s->cap_early ? s->cap_early * 2 : 16;
        s->early = mem_array(s->early, s->cap_early, sizeof *s->early);
    }
    s->early[s->n_early++] = f->index;
}

static void wait_for_others(struct serve *s, struct fallback *f, struct span body, uint64_t n)
{
    struct post *p = keep(f, body, n, 0);
    struct post **at = &f->early;
    p->due_ms = s->client_ms + EARLY_MS;
    serve_count(s, COUNTER_HELD_SENDS, 1);
    if (!f->early)
        list_early(s, f);
    while (*at && (*at)->n < n)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

/* Two posts of a page may overtake each other on their connections: its counter says so.  A
 * gap may as well be a request that went elsewhere, so the wait is short. */
void fallback_post(struct serve *s, struct fallback *f, struct span body, uint64_t n)
{
    if (n && f->last_n && n > f->last_n + 1) {
        wait_for_others(s, f, body, n);
        return;
    }
    if (n > f->last_n)
        f->last_n = n;
    accept(s, f, body);
    take_due(s, f);
}

void fallback_saw(struct serve *s, struct fallback *f, uint64_t n)
{
    if (!f->last_n)
        f->last_n = n;
    if (n > f->seen_n)
        f->seen_n = n;
    take_due(s, f);
}

static void sweep_one(struct serve *s, struct fallback *f)
{
    while (is_alive(f) && f->early && (int32_t)(s->client_ms - f->early->due_ms) >= 0) {
        take_early(s, f);
        take_due(s, f);
    }
}

void fallback_sweep_early(struct serve *s)
{
    for (uint32_t i = 0; i < s->n_early;) {
        struct fallback *f = fallback_at(s, s->early[i]);
        sweep_one(s, f);
        if (is_alive(f) && f->early)
            i++;
        else
            s->early[i] = s->early[--s->n_early];
    }
}

bool fallback_has_room(const struct serve *s, const struct fallback *f, size_t bytes)
{
    return f->inbox_bytes + bytes <= INBOX_MESSAGES * fallback_body_limit(s);
}

size_t fallback_body_limit(const struct serve *s)
{
    /* A message grows when it is quoted: every quote of its JSON gets a backslash. */
    size_t bytes = 2 * (size_t)s->config->limits.message_bytes + 1024;
    return bytes > s->config->limits.body_bytes ? bytes : s->config->limits.body_bytes;
}
