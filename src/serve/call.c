/* Gathering what the homes answer, and the bodies made of it (pusher-protocol 5). */
#include "base/base.h"

#include "serve/bridge.h"
#include "serve/call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "serve/once.h"
#include "serve/poll.h"
#include "wire/json.h"
#include "wire/pusher.h"

struct call *call_new(enum call_kind kind, const struct app *app, uint32_t n_items)
{
    struct call *call = mem_zero(sizeof *call);
    call->kind = kind;
    call->app = app;
    call->shows_subscriptions = app->subscription_count;
    call->n_items = n_items;
    call->items = n_items ? mem_zero(n_items * sizeof *call->items) : NULL;
    return call;
}

void call_resize(struct call *call, uint32_t n_items)
{
    ENSURE(!call->n_left && n_items);
    free(call->items);
    call->items = mem_zero(n_items * sizeof *call->items);
    call->n_items = n_items;
}

static void set_request(uint32_t request[3], const struct conn *c, uint32_t item)
{
    request[0] = c->index;
    request[1] = c->serial;
    request[2] = item;
}

/* The request has an answer: those who repeated it get the same. */
static void end_once(struct serve *s, struct call *call, int status, struct span body, bool is_kept)
{
    struct once_waiter *waiters;
    if (!call->once)
        return;
    size_t n = once_end(s->house->once, span_str(call->once), status, body, is_kept, &waiters);
    for (size_t i = 0; i < n; i++) {
        struct letter *l = mem_zero(sizeof *l);
        l->mail.kind = LETTER_ANSWER;
        memcpy(l->request, waiters[i].request, sizeof l->request);
        l->n_users = (uint32_t)status;
        l->cached = frame_new(body.len);
        if (body.len)
            memcpy(l->cached->text, body.p, body.len);
        serve_post(s->house->workers[waiters[i].worker], &l->mail);
    }
    free(waiters);
    free(call->once);
    call->once = NULL;
}

void call_free(struct serve *s, struct call *call)
{
    if (!call)
        return;
    /* Nobody waits for the answer any more, but what was asked for happens. */
    bool is_done = !call->act || (!call->act->is_asking && call->act->status < 400);
    end_once(s, call, is_done ? 200 : 503,
        span_str(is_done ? "{}" : "{\"detail\":\"The first request was given up\"}"), is_done);
    for (uint32_t i = 0; i < call->n_items; i++) {
        free(call->items[i].name);
        frame_drop(call->items[i].frame);
    }
    free(call->items);
    free(call->headers);
    if (call->act) {
        call->act->call = NULL; // nobody waits any more
        poll_stop(s, call->act);
    }
    act_drop(call->act);
    free(call);
}

/* Keeps what the reply will show; takes the letter's cached frame. */
static void take_answer(struct call *call, uint32_t item, struct letter *l)
{
    struct frame *frame = l->cached;
    l->cached = NULL;
    call->n_unstored += l->result == LETTER_UNSTORED;
    if (item >= call->n_items) {
        frame_drop(frame);
        return;
    }
    struct call_item *to = &call->items[item];
    to->n_users = l->n_users;
    to->n_subscriptions = l->n_subscriptions;
    to->ttl_s = l->ttl_s;
    to->result = l->result;
    to->position = l->position;
    frame_drop(to->frame);
    to->frame = frame;
}

void call_expect(struct conn *c, struct call *call, uint32_t item, uint32_t request[3])
{
    set_request(request, c, item);
    call->n_left++;
}

void call_ask(struct serve *s, struct conn *c, struct call *call, uint32_t item, struct letter *ask)
{
    set_request(ask->request, c, item);
    if (hub_ask(s->hub, ask) == HUB_DONE)
        take_answer(call, item, ask);
    else
        call->n_left++;
}

void call_ask_all(struct serve *s, struct conn *c, struct call *call, struct letter *ask)
{
    for (unsigned w = 0; w < s->house->n_workers; w++) {
        set_request(ask->request, c, w);
        if (hub_ask_worker(s->hub, w, ask) == HUB_DONE)
            take_answer(call, w, ask);
        else
            call->n_left++;
    }
}

/* --- replies -------------------------------------------------------------------------------- */

static void add_counts(struct buf *out, const struct call *call, const struct call_item *item)
{
    size_t from = out->len;
    if ((item->info & INFO_USERS) && (item->traits & CHANNEL_PRESENCE))
        buf_addf(out, "\"user_count\":%u", item->n_users);
    if ((item->info & INFO_SUBSCRIPTIONS) && call->shows_subscriptions &&
        !(item->traits & CHANNEL_PRESENCE))
        buf_addf(
            out, "%s\"subscription_count\":%u", out->len > from ? "," : "", item->n_subscriptions);
    if ((item->info & INFO_POSITION) && item->position.epoch[0])
        buf_addf(out, "%s\"epoch\":\"%s\",\"offset\":%llu", out->len > from ? "," : "",
            item->position.epoch, (unsigned long long)item->position.offset);
}

static void add_events(struct buf *out, const struct call *call)
{
    buf_add_str(out, call->n_items ? "{\"channels\":{" : "{}");
    for (uint32_t i = 0; i < call->n_items; i++) {
        if (i)
            buf_add_char(out, ',');
        json_quote(out, span_str(call->items[i].name));
        buf_add_str(out, ":{");
        add_counts(out, call, &call->items[i]);
        buf_add_char(out, '}');
    }
    buf_add_str(out, call->n_items ? "}}" : "");
}

static void add_batch(struct buf *out, const struct call *call)
{
    buf_add_str(out, call->n_items ? "{\"batch\":[" : "{}");
    for (uint32_t i = 0; i < call->n_items; i++) {
        buf_add_str(out, i ? ",{" : "{");
        add_counts(out, call, &call->items[i]);
        buf_add_char(out, '}');
    }
    buf_add_str(out, call->n_items ? "]}" : "");
}

/* The fragments of the workers, joined. */
static void add_fragments(struct buf *out, const struct call *call)
{
    bool is_first = true;
    for (uint32_t i = 0; i < call->n_items; i++) {
        const struct frame *f = call->items[i].frame;
        if (!f || !f->len)
            continue;
        if (!is_first)
            buf_add_char(out, ',');
        buf_add_span(out, frame_text(f));
        is_first = false;
    }
}

static void add_cache(struct buf *out, const struct call_item *item)
{
    buf_add_str(out, ",\"cache\":");
    if (!item->frame) {
        buf_add_str(out, "null");
        return;
    }
    buf_add_str(out, "{\"data\":");
    buf_add_span(out, frame_data(item->frame));
    buf_addf(out, ",\"ttl\":%u}", item->ttl_s);
}

static void add_channel(struct buf *out, const struct call *call)
{
    const struct call_item *item = &call->items[0];
    buf_addf(out, "{\"occupied\":%s", item->n_subscriptions ? "true" : "false");
    if (item->info & INFO_USERS)
        buf_addf(out, ",\"user_count\":%u", item->n_users);
    if (item->info & INFO_SUBSCRIPTIONS)
        buf_addf(out, ",\"subscription_count\":%u", item->n_subscriptions);
    if (item->info & INFO_HISTORY) {
        buf_add_str(out, ",\"history\":");
        buf_add_span(out, frame_text(item->frame));
    } else if (item->info & INFO_CACHE)
        add_cache(out, item);
    buf_add_char(out, '}');
}

static void add_stats(struct buf *out, const struct call_item *item)
{
    buf_addf(out, "{\"occupied\":%s,\"user_count\":%u,\"connection_count\":%u}",
        item->n_subscriptions ? "true" : "false", item->n_users, item->n_subscriptions);
}

static void add_body(struct buf *out, const struct call *call)
{
    switch (call->kind) {
    case CALL_EVENTS:
        add_events(out, call);
        break;
    case CALL_BATCH:
        add_batch(out, call);
        break;
    case CALL_CHANNELS:
        buf_add_str(out, "{\"channels\":{");
        add_fragments(out, call);
        buf_add_str(out, "}}");
        break;
    case CALL_CHANNEL:
        add_channel(out, call);
        break;
    case CALL_USERS:
        buf_add_str(out, "{\"users\":[");
        add_fragments(out, call);
        buf_add_str(out, "]}");
        break;
    case CALL_STATS:
        add_stats(out, &call->items[0]);
        break;
    case CALL_WEBHOOKS:
        add_fragments(out, call);
        break;
    case CALL_ACT: // replies for itself
        break;
    case CALL_HISTORY:
    case CALL_AGAIN:
        add_fragments(out, call);
        break;
    case CALL_TERMINATE:
    case CALL_OLD_EVENT:
    case CALL_DEMO:
        buf_add_str(out, "{}");
        break;
    }
}

static int status_of(const struct call *call)
{
    if (call->kind == CALL_HISTORY && call->items[0].result == LETTER_GONE)
        return 410;
    if (call->kind == CALL_AGAIN)
        return (int)call->items[0].n_users;
    return call->kind == CALL_OLD_EVENT ? 202 : 200;
}

/* The store has failed: what was refused has been heard by nobody, so trying again is right. */
static void reply_unstored(struct serve *s, struct conn *c, struct call *call)
{
    static const char text[] = "The store of event histories is not available: try again\n";
    end_once(s, call, 503, span_str(text), false);
    conn_reply(s, c,
        &(struct reply){.status = 503,
            .type = "text/plain",
            .body = span_str(text),
            .headers = "Retry-After: 1\r\n"});
}

static void reply(struct serve *s, struct conn *c, struct call *call)
{
    struct buf body = {0};
    if (call->kind == CALL_ACT) {
        act_answer(s, c, call);
        end_once(s, call, call->act->status, buf_span(&call->act->reply), call->act->status < 400);
        return;
    }
    if (call->kind == CALL_HISTORY && call->items[0].result == LETTER_DISABLED) {
        conn_reply_text(s, c, 404, "The history of this channel is not kept");
        return;
    }
    if (call->n_unstored) {
        reply_unstored(s, c, call);
        return;
    }
    add_body(&body, call);
    end_once(s, call, status_of(call), buf_span(&body), true);
    conn_reply(s, c,
        &(struct reply){.status = status_of(call),
            .type = "application/json",
            .body = buf_span(&body),
            .headers = call->headers});
    buf_fini(&body);
}

bool call_once(struct serve *s, struct conn *c, struct call *call, struct span name)
{
    struct once_waiter waiter = {.worker = s->worker};
    struct once_answer answer = {0};
    set_request(waiter.request, c, 0);
    enum once_result result = once_begin(s->house->once, name, s->now_us / 1000, &waiter, &answer);
    if (result == ONCE_FIRST) {
        call->once = mem_dup(name.p, name.len);
        return true;
    }
    struct call *again = call_new(CALL_AGAIN, call->app, 1);
    again->headers = call->headers;
    call->headers = NULL;
    call_free(s, call);
    if (result == ONCE_WAIT) {
        again->n_left++;
        call_finish(s, c, again);
        return false;
    }
    conn_reply(s, c,
        &(struct reply){.status = answer.status,
            .type = "application/json",
            .body = buf_span(&answer.body),
            .headers = again->headers});
    call_free(s, again);
    buf_fini(&answer.body);
    return false;
}

void call_finish(struct serve *s, struct conn *c, struct call *call)
{
    if (call->n_left || poll_waits(s, c, call)) {
        c->call = call;
        call->app = NULL;
        conn_become(s, c, CONN_ANSWER);
        return;
    }
    reply(s, c, call);
    call_free(s, call);
}

void call_give(struct call *call, uint32_t item, uint32_t count, struct span text)
{
    struct letter answer = {.n_subscriptions = count, .cached = frame_new(text.len)};
    if (text.len)
        memcpy(answer.cached->text, text.p, text.len);
    take_answer(call, item, &answer);
}

void call_settle(struct serve *s, struct conn *c)
{
    struct call *call = c->call;
    if (--call->n_left && !poll_is_waiting(call))
        return;
    if (!call->n_left && poll_waits(s, c, call))
        return;
    c->call = NULL;
    conn_become(s, c, CONN_HEAD);
    reply(s, c, call);
    call_free(s, call);
    conn_resume(s, c);
}

void call_receive(struct serve *s, struct letter *letter)
{
    if (letter->request[2] == BRIDGE_ITEM) {
        bridge_receive(s, letter);
        return;
    }
    /* The conn may have gone, and its slot may carry another request. */
    uint32_t index = letter->request[0];
    struct conn *c = slab_has(&s->conns, index) ? conn_at(s, index) : NULL;
    if (c && c->state == CONN_ANSWER && c->serial == letter->request[1]) {
        take_answer(c->call, letter->request[2], letter);
        call_settle(s, c);
    }
    letter_free(letter);
}
