/* Polls: questions to the homes of channels, and the answer made of what they say. */
#include "base/base.h"

#include "serve/poll.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/json.h"
#include "wire/pusher.h"

/* Events of one answer: the rest comes with the next poll, which does not wait. */
enum { POLL_EVENTS = 250, POLL_EVENTS_EACH = 5, POLL_BYTES = 512 * 1024 };

void poll_free(struct poll *p)
{
    if (!p)
        return;
    poll_list_fini(&p->list);
    free(p);
}

/* --- asking ------------------------------------------------------------------------------------------ */

static struct history_query query_for(const struct poll *p, const struct poll_channel *channel)
{
    struct history_query q = {.is_poll = true, .waits = p->is_waiting};
    size_t each = POLL_EVENTS / p->list.n;
    if (!channel->at.epoch[0])
        return q; // an opening: where is it?
    q.has_since = true;
    q.since = channel->at;
    q.limit = (uint32_t)(each < POLL_EVENTS_EACH ? POLL_EVENTS_EACH : each);
    return q;
}

static struct letter letter_for(const struct act *a, const struct poll_channel *channel)
{
    return (struct letter){.mail.kind = LETTER_ASK_HISTORY,
        .app = a->app->slot,
        .traits = channel->traits,
        .channel = span_str(channel->name)};
}

static void ask(struct serve *s, struct act *a, struct call *call)
{
    for (uint32_t i = 0; i < a->poll->list.n; i++) {
        const struct poll_channel *channel = &a->poll->list.channels[i];
        struct history_query q = query_for(a->poll, channel);
        struct letter letter = letter_for(a, channel);
        letter.info_json = span_of((const char *)&q, sizeof q);
        call_ask(s, conn_at(s, a->conn), call, i, &letter);
    }
}

/* May the caller hear this channel?  As who joins it. */
static bool check_channel(
    struct act *a, struct poll_channel *channel, const char *where, const char *field)
{
    unsigned traits;
    struct span name = span_str(channel->name);
    if (!act_channel(a, name, where, field, &traits))
        return false;
    channel->traits = (uint8_t)traits;
    if (traits & CHANNEL_USER)
        return act_fail(a, 403, "Nobody joins a user's own channel: sign in instead");
    if (act_may(a, name, POLICY_JOIN))
        return true;
    if (a->status == 403)
        return act_fail(a, 403, "Insufficient permissions for the channel %s", channel->name);
    return false;
}

static bool check_and_ask(struct serve *s, struct act *a, const char *where, const char *field)
{
    for (size_t i = 0; i < a->poll->list.n; i++)
        if (!check_channel(a, &a->poll->list.channels[i], where, field))
            return false;
    call_resize(a->call, (uint32_t)a->poll->list.n);
    ask(s, a, a->call);
    return true;
}

static bool refuse_many(struct act *a, const char *where, const char *field)
{
    return act_fail_value(a, where, field,
        "Input should name at most 50 channels, their names together at most 2048 characters");
}

/* --- opening ----------------------------------------------------------------------------------------- */

static bool read_channels(struct act *a, struct buf *scratch)
{
    static const struct position nowhere = {0};
    struct json_field field = {"channels", {0}};
    struct json item;
    size_t at = 0;
    if (a->scene.body.kind == JSON_OBJECT)
        json_fields(&a->scene.body, &field, 1);
    if (field.value.kind != JSON_ARRAY)
        return act_fail_value(a, "body", "channels", "Input should be a list of channels");
    while (json_next(&field.value, &at, &item)) {
        struct span name;
        scratch->len = 0;
        if (item.kind != JSON_STRING || !json_decode(&item, scratch, &name) || !name.len ||
            memchr(name.p, '\0', name.len))
            return act_fail_value(a, "body", "channels", "Input should be a list of channels");
        if (poll_list_add(&a->poll->list, name, &nowhere) == POLL_FULL)
            return refuse_many(a, "body", "channels");
    }
    return a->poll->list.n ||
           act_fail_value(a, "body", "channels", "Input should name at least one channel");
}

bool poll_run_open(struct serve *s, struct act *a)
{
    struct buf scratch = {0};
    a->poll = mem_zero(sizeof *a->poll);
    bool ok = read_channels(a, &scratch) && check_and_ask(s, a, "body", "channels");
    buf_fini(&scratch);
    return ok;
}

/* --- a poll ------------------------------------------------------------------------------------------ */

static bool read_since(struct act *a, struct span text)
{
    struct span name;
    struct position at;
    if (memchr(text.p, '\0', text.len) || !poll_since_read(text, &name, &at))
        return act_fail_value(a, "query", "since", "Input should be CHANNEL:EPOCH:OFFSET");
    enum poll_add result = poll_list_add(&a->poll->list, name, &at);
    if (result == POLL_TWICE)
        return act_fail_value(a, "query", "since", "Input should name each channel once");
    return result == POLL_ADDED || refuse_many(a, "query", "since");
}

static bool read_wait(struct act *a, struct span text)
{
    uint64_t wait_s;
    if (!text_to_u64(text, &wait_s) || wait_s > POLL_WAIT_S)
        return act_fail_value(
            a, "query", "wait", "Input should be a number of seconds from 0 to 25");
    a->poll->wait_ms = (uint32_t)wait_s * 1000;
    return true;
}

static bool read_param(struct act *a, struct span name, struct span value, struct buf *session)
{
    if (span_is(name, "since"))
        return value.len ? read_since(a, value) : read_since(a, span_of("", 0));
    if (span_is(name, "wait"))
        return read_wait(a, value);
    if (span_is(name, "session")) {
        session->len = 0;
        buf_add_span(session, value);
    }
    return true;
}

static bool read_params(struct act *a, struct buf *session)
{
    struct buf name = {0};
    struct buf value = {0};
    struct span query = buf_span(&a->query);
    struct span raw_name;
    struct span raw_value;
    bool ok = true;
    while (ok && http_next_param(&query, &raw_name, &raw_value)) {
        name.len = value.len = 0;
        ok = (http_decode(raw_name, false, &name) && http_decode(raw_value, false, &value)) ||
             act_fail_value(a, "query", "since", "The query is not well encoded");
        ok = ok && read_param(a, buf_span(&name), buf_span(&value), session);
    }
    buf_fini(&name);
    buf_fini(&value);
    return ok;
}

/* A session adds the channels that no since has named. */
static bool read_poll(struct act *a)
{
    struct buf session = {0};
    a->poll->wait_ms = a->action->wait_s * 1000;
    bool ok = read_params(a, &session);
    if (ok && session.len &&
        !poll_session_read(&a->poll->list, &a->app->keys[0].sign, a->caller.id, buf_span(&session)))
        ok = act_fail(a, 404, "There is no such session: open another");
    if (ok && !a->poll->list.n)
        ok = act_fail_value(a, "query", "session", "A session is needed, or positions in since");
    buf_fini(&session);
    return ok;
}

bool poll_run(struct serve *s, struct act *a)
{
    a->poll = mem_zero(sizeof *a->poll);
    return read_poll(a) && check_and_ask(s, a, "query", "since");
}

/* --- waiting ----------------------------------------------------------------------------------------- */

/* Every channel is where the client has been. */
static bool is_quiet(const struct poll *p, const struct call *call)
{
    bool is_quiet = true;
    for (uint32_t i = 0; i < p->list.n && is_quiet; i++)
        is_quiet = call->items[i].result == LETTER_OK &&
                   position_is(&call->items[i].position, &p->list.channels[i].at);
    return is_quiet;
}

bool poll_waits(struct serve *s, struct conn *c, struct call *call)
{
    struct act *a = call->act;
    struct poll *p = a ? a->poll : NULL;
    if (!p || p->has_waited || !p->wait_ms || a->status >= 400 || !is_quiet(p, call) ||
        s->drain.is_on || (c->flags & CONN_HANGUP))
        return false;
    p->is_waiting = p->has_waited = true;
    act_is_due(s, a, s->now_ms + p->wait_ms);
    act_list(s, a);
    ask(s, a, call);
    if (is_quiet(p, call)) // no answer was at hand
        return true;
    call->n_left = 0;
    return false;
}

bool poll_is_waiting(const struct call *call)
{
    return call->act && call->act->poll && call->act->poll->is_waiting;
}

void poll_stop(struct serve *s, struct act *a)
{
    if (!a->poll || !a->poll->is_waiting)
        return;
    a->poll->is_waiting = false;
    for (uint32_t i = 0; i < a->poll->list.n; i++) {
        struct letter letter = letter_for(a, &a->poll->list.channels[i]);
        letter.request[0] = a->conn;
        letter.request[1] = a->serial;
        letter.request[2] = i;
        hub_withdraw(s->hub, &letter);
    }
    act_unlist(s, a);
}

void poll_hurry(struct serve *s, struct act *a)
{
    if (a->poll && a->poll->is_waiting)
        act_is_due(s, a, s->now_ms);
}

/* --- the answer -------------------------------------------------------------------------------------- */

/* What one channel has to give: its events, oldest first. */
struct supply {
    struct json items;
    size_t at;
    bool has_next;
    uint64_t offset;
    int64_t time_ms;
    struct span name, data;
};

static void take_next(struct supply *x)
{
    struct json item;
    struct json_field fields[] = {{"offset", {0}}, {"time_ms", {0}}, {"name", {0}}, {"data", {0}}};
    x->has_next = x->items.kind == JSON_ARRAY && json_next(&x->items, &x->at, &item);
    if (!x->has_next)
        return;
    json_fields(&item, fields, COUNT_OF(fields));
    x->offset = strtoull(fields[0].value.raw.p, NULL, 10);
    x->time_ms = strtoll(fields[1].value.raw.p, NULL, 10);
    x->name = fields[2].value.raw;
    x->data = fields[3].value.raw;
}

/* The page of one channel; or its place is lost, and it goes on from the newest. */
static void open_supply(
    struct poll_channel *channel, const struct call_item *item, struct supply *x)
{
    struct json page;
    struct json_field fields[] = {{"complete", {0}}, {"items", {0}}};
    if (position_is(&item->position, &channel->at))
        return;
    bool ok = json_parse_fields(frame_text(item->frame), &page, fields, COUNT_OF(fields));
    ENSURE(ok);
    channel->is_gap = item->result == LETTER_GONE || fields[0].value.kind != JSON_TRUE ||
                      item->position.offset < channel->at.offset;
    if (channel->is_gap) {
        channel->at = item->position;
        return;
    }
    x->items = fields[1].value;
    take_next(x);
}

/* The channel whose next event is the oldest of all; SIZE_MAX when there is none. */
static size_t find_oldest(const struct supply *all, size_t n)
{
    size_t oldest = SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        if (all[i].has_next && (oldest == SIZE_MAX || all[i].time_ms < all[oldest].time_ms))
            oldest = i;
    return oldest;
}

static void add_event(
    struct buf *out, const struct poll_channel *channel, const struct supply *x, bool is_first)
{
    buf_add_str(out, is_first ? "{\"channel\":" : ",{\"channel\":");
    json_quote(out, span_str(channel->name));
    buf_addf(out, ",\"event\":%.*s,\"data\":%.*s,\"offset\":%llu,\"epoch\":\"%s\"}", SPAN(x->name),
        SPAN(x->data), (unsigned long long)x->offset, channel->at.epoch);
}

/* The events of all channels in the order of their time; within one, of their offsets. */
static size_t add_events(struct poll_list *list, const struct call *call, struct buf *out)
{
    struct supply *all = mem_zero(list->n * sizeof *all);
    size_t n = 0;
    size_t i;
    for (i = 0; i < list->n; i++)
        open_supply(&list->channels[i], &call->items[i], &all[i]);
    while (out->len < POLL_BYTES && (i = find_oldest(all, list->n)) != SIZE_MAX) {
        add_event(out, &list->channels[i], &all[i], n++ == 0);
        list->channels[i].at.offset = all[i].offset;
        take_next(&all[i]);
    }
    free(all);
    return n;
}

static void add_positions(const struct poll_list *list, struct buf *out)
{
    buf_add_str(out, "\"positions\":{");
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            buf_add_char(out, ',');
        json_quote(out, span_str(list->channels[i].name));
        buf_addf(out, ":{\"epoch\":\"%s\",\"offset\":%llu}", list->channels[i].at.epoch,
            (unsigned long long)list->channels[i].at.offset);
    }
    buf_add_char(out, '}');
}

static size_t add_gaps(const struct poll_list *list, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (!list->channels[i].is_gap)
            continue;
        buf_add_str(out, n++ ? "," : ",\"gap\":[");
        json_quote(out, span_str(list->channels[i].name));
    }
    buf_add_str(out, n ? "]" : "");
    return n;
}

static void add_session(struct act *a)
{
    buf_add_str(&a->reply, ",\"session_id\":\"");
    poll_session_write(&a->poll->list, &a->app->keys[0].sign, a->caller.id, &a->reply);
    buf_addf(&a->reply, "\",\"poll_ms\":%u}", a->action->every_ms);
}

/* The first channel without history, or NULL. */
static const char *find_unkept(const struct poll *p, const struct call *call)
{
    for (size_t i = 0; i < p->list.n; i++)
        if (call->items[i].result == LETTER_DISABLED)
            return p->list.channels[i].name;
    return NULL;
}

void poll_gather_open(struct act *a, const struct call *call)
{
    const char *unkept = find_unkept(a->poll, call);
    char text[256 + 80];
    if (unkept) {
        snprintf(text, sizeof text,
            "The history of %s is not kept, so it cannot be polled: a history rule is needed",
            unkept);
        (void)act_fail_value(a, "body", "channels", text);
        return;
    }
    for (size_t i = 0; i < a->poll->list.n; i++)
        a->poll->list.channels[i].at = call->items[i].position;
    buf_add_char(&a->reply, '{');
    add_positions(&a->poll->list, &a->reply);
    add_session(a);
}

/* A token that has run out during the wait opens nothing. */
static bool is_late(const struct act *a)
{
    return clock_wall_ms() / 1000 >= a->caller.expires_s + a->gateway->jwt.leeway_s;
}

void poll_gather(struct serve *s, struct act *a, const struct call *call)
{
    struct poll_list *list = &a->poll->list;
    if (a->poll->has_waited && a->caller.is_known && is_late(a)) {
        (void)act_fail(a, 401, "%s", jwt_detail(JWT_EXPIRED));
        return;
    }
    if (find_unkept(a->poll, call)) {
        (void)act_fail(
            a, 404, "The history of %s is not kept any more", find_unkept(a->poll, call));
        return;
    }
    buf_add_str(&a->reply, "{\"events\":[");
    serve_count(s, COUNTER_POLLED, add_events(list, call, &a->reply));
    buf_add_str(&a->reply, "],");
    add_positions(list, &a->reply);
    serve_count(s, COUNTER_POLL_GAPS, add_gaps(list, &a->reply));
    serve_count(s, COUNTER_POLLS, 1);
    add_session(a);
}
