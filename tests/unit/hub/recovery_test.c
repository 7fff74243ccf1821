/* Clients that count, against a model: whatever happens, in whatever order letters arrive, each
 * one hears every event of a stream once and in order, or is told that it cannot.
 *
 * A seed makes a world: 1 to 4 hubs, people who come and go, slow sockets, events that leave
 * somebody out, names that are not counted, purges, evictions, time, and reloads that take the
 * rule away.  A person counts as docs/history.md says, or reads the ids of an event stream.  What
 * everybody got is written down and judged at the end, when the answers to the publishers have
 * said which event has which offset. */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "hub/hub.h"
#include "wire/json.h"

#include "recovery_model.h"
#include "world.h"

enum {
    STEPS = 1500,
    SEEDS = 200,
    MAX_EVENTS = 40,
    TTL_S = 100,
    BIG = 30000 // bytes of some events: what was missed needs more than one piece
};

static struct history_rule rule = {.pattern = (char[]){"*keep*"},
    .max_events = MAX_EVENTS,
    .max_bytes = 1 << 20,
    .ttl_s = TTL_S,
    .recover_events = RECOVER,
    .recover_bytes = 1 << 20,
    .rewind = REWIND,
    .meta_ttl_s = 150};

static struct app with_rule, without_rule;

/* --- what a client makes of it --------------------------------------------------------------------- */

static uint64_t number(const struct json *value)
{
    uint64_t n = 0;
    if (value->kind == JSON_NUMBER)
        ENSURE(text_to_u64(value->raw, &n));
    return n;
}

static void read_position(const struct json *epoch, const struct json *offset, struct position *to)
{
    *to = (struct position){.offset = number(offset)};
    if (epoch->kind == JSON_STRING) {
        struct span text = json_inner(epoch);
        ENSURE(text.len <= EPOCH_CHARS);
        memcpy(to->epoch, text.p, text.len);
    }
}

static void on_success(unsigned person, unsigned channel, struct span data)
{
    struct seat *seat = &m.people[person].seats[channel];
    struct entry *e = note(SUCCEEDED, person, channel);
    struct json root;
    struct json_field field = {"recovery", {0}};
    struct json_field told[] = {{"epoch", {0}}, {"offset", {0}}, {"recovered", {0}},
        {"reason", {0}}, {"oldest", {0}}, {"replay", {0}}};
    ENSURE(json_parse_fields(data, &root, &field, 1));
    seat->is_counting = false;
    seat->is_fresh = channel == CACHE;
    if (field.value.kind != JSON_OBJECT)
        return;
    json_fields(&field.value, told, COUNT_OF(told));
    read_position(&told[0].value, &told[1].value, &e->at);
    e->is_recovered = told[2].value.kind == JSON_TRUE;
    e->is_refused = told[2].value.kind == JSON_FALSE;
    e->oldest = number(&told[4].value);
    e->replay = number(&told[5].value);
    if (told[3].value.kind == JSON_STRING)
        snprintf(e->reason, sizeof e->reason, "%.*s", SPAN(json_inner(&told[3].value)));
    seat->is_counting = e->at.epoch[0];
    seat->is_fresh &= !e->is_recovered;
    seat->at = e->at;
}

static void hear(unsigned person, unsigned channel, unsigned n)
{
    struct seat *seat = &m.people[person].seats[channel];
    struct entry *e = note(HEARD, person, channel);
    e->n = n;
    e->is_counted = seat->is_counting && !m.events[n].is_hidden;
    seat->at.offset += e->is_counted;
    e->at = seat->at;
}

/* The event that came first was one of the stream. */
static void release_held(unsigned person, unsigned channel)
{
    struct seat *seat = &m.people[person].seats[channel];
    int held = seat->held;
    seat->held = -1;
    if (held >= 0)
        hear(person, channel, (unsigned)held);
}

static void on_position(unsigned person, unsigned channel, struct span data)
{
    struct seat *seat = &m.people[person].seats[channel];
    struct json root;
    struct json_field fields[] = {{"epoch", {0}}, {"offset", {0}}};
    struct position at;
    ENSURE(json_parse_fields(data, &root, fields, COUNT_OF(fields)));
    read_position(&fields[0].value, &fields[1].value, &at);
    if (seat->held >= 0 && is_same(&at, &seat->at)) {
        seat->held = -1; // it was the cached one
        seen.cached++;
        return;
    }
    release_held(person, channel);
    struct entry *e = note(TOLD, person, channel);
    e->at = at;
    if (seat->is_counting)
        seat->at = at;
}

static void on_event(unsigned person, unsigned channel, struct span data)
{
    struct seat *seat = &m.people[person].seats[channel];
    bool is_first = seat->is_fresh;
    uint64_t n;
    size_t digits = 0;
    if (!data.len || data.p[0] != 'n')
        return; // another client's
    while (digits + 1 < data.len && data.p[digits + 1] != ' ')
        digits++;
    ENSURE(text_to_u64(span_of(data.p + 1, digits), &n) && n < m.n_events);
    release_held(person, channel);
    seat->is_fresh = false;
    if (is_first && seat->is_counting)
        seat->held = (int)n;
    else if (!is_first)
        hear(person, channel, (unsigned)n); // without a position the first may be the cached one
}

static void check_id(unsigned person, unsigned channel, struct span id)
{
    struct person *p = &m.people[person];
    struct position at[CHANNELS] = {0};
    if (!id.len)
        return;
    seen.ids++;
    CHECK(positions_read(id, at, p->kind == STREAM_OF_ONE ? 1 : CHANNELS));
    for (unsigned i = 0; i < CHANNELS; i++) {
        bool is_still = i != channel && p->kind == STREAM_OF_ALL;
        CHECK(!is_still || is_same(&at[i], &p->seats[i].id)); // another channel's place
        p->seats[i].id = at[i];
    }
}

static unsigned channel_index(struct span name)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        if (span_is(name, names[i]))
            return i;
    ENSURE(false);
    return 0;
}

static void on_message(unsigned person, struct span text, struct span id)
{
    struct buf scratch = {0};
    struct pusher_message message;
    struct span data;
    (void)buf_room(&scratch, 4 * text.len + 64);
    ENSURE(pusher_read(text, &scratch, &message));
    ENSURE(message.channel.kind == JSON_STRING);
    unsigned channel = channel_index(json_inner(&message.channel));
    data = message.data.raw;
    if (message.data.kind == JSON_STRING)
        ENSURE(json_decode(&message.data, &scratch, &data));
    struct seat *seat = &m.people[person].seats[channel];
    bool is_success = span_is(message.event, "pusher_internal:subscription_succeeded");
    seat->n_owed -= is_success;
    if (!seat->is_in || seat->n_owed)
        ; // of a subscription that it has left
    else if (is_success)
        on_success(person, channel, data);
    else if (span_is(message.event, "pusher_internal:position"))
        on_position(person, channel, data);
    else if (span_is(message.event, "pusher:cache_miss"))
        m.people[person].seats[channel].is_fresh = false;
    else if (!span_starts(message.event, "pusher"))
        on_event(person, channel, data);
    check_id(person, channel, id);
    buf_fini(&scratch);
}

/* --- its socket ------------------------------------------------------------------------------------- */

/* The whole frames that are there; false when the next is not. */
static bool next_frame(struct span rest, size_t *used, struct span *text)
{
    if (rest.len < 4)
        return false;
    size_t len = (unsigned char)rest.p[1];
    size_t head = len < 126 ? 2 : 4;
    ENSURE((unsigned char)rest.p[0] == 0x81 && len < 127);
    if (len == 126)
        len = (size_t)(unsigned char)rest.p[2] << 8 | (unsigned char)rest.p[3];
    *used = head + len;
    *text = span_of(rest.p + head, len);
    return rest.len >= *used;
}

/* A chunk: "HEX\r\n", perhaps "id: ID\n", "data: TEXT\n\n\r\n". */
static bool next_chunk(struct span rest, size_t *used, struct span *text, struct span *id)
{
    const char *end = rest.len ? memmem(rest.p, rest.len, "\n\n\r\n", 4) : NULL;
    const char *line = rest.len ? memchr(rest.p, '\n', rest.len) : NULL;
    if (!end)
        return false;
    *used = (size_t)(end - rest.p) + 4;
    struct span body = span_of(line + 1, (size_t)(end - line) - 1);
    if (span_starts(body, "id: ")) {
        line = memchr(body.p, '\n', body.len);
        *id = span_of(body.p + 4, (size_t)(line - body.p) - 4);
        body = span_from(body, (size_t)(line - body.p) + 1);
    }
    ENSURE(span_starts(body, "data: "));
    *text = span_from(body, 6);
    return true;
}

static void read_socket(unsigned person)
{
    struct person *p = &m.people[person];
    for (;;) {
        struct span rest = span_from(buf_span(&w.clients[person].got), p->read);
        struct span id = {0};
        struct span text;
        size_t used;
        bool is_there = p->kind >= STREAM_OF_ONE ? next_chunk(rest, &used, &text, &id)
                                                 : next_frame(rest, &used, &text);
        if (!is_there)
            return;
        p->read += used;
        on_message(person, text, id);
    }
}

static void drop(unsigned person)
{
    struct person *p = &m.people[person];
    read_socket(person);
    close_session(person);
    p->is_waiting = false;
    for (unsigned i = 0; i < CHANNELS; i++) {
        /* On a cache channel the first event does not count before the position behind it. */
        p->seats[i].held = -1;
        p->seats[i].is_in = p->seats[i].is_fresh = false;
        p->seats[i].n_owed = 0;
    }
}

static void come(unsigned person)
{
    struct person *p = &m.people[person];
    struct client *c = &w.clients[person];
    struct span list[CHANNELS];
    struct position at[CHANNELS];
    ENSURE(!c->is_open);
    c->hub = draw(HUBS);
    c->is_open = true;
    c->is_slow = draw(3) == 0;
    c->room = 0;
    c->got.len = p->read = 0;
    c->nonce = ++w.last_nonce;
    c->index = hub_open(
        w.hubs[c->hub], person, p->kind >= STREAM_OF_ONE ? AUDIENCE_STREAM : AUDIENCE_WS, c->nonce);
    for (unsigned i = 0; i < CHANNELS; i++) {
        list[i] = span_str(names[i]);
        at[i] = p->seats[i].id;
    }
    if (p->kind == STREAM_OF_ALL)
        hub_use_bookmark(w.hubs[c->hub], c->index, list, at, CHANNELS);
}

/* --- what people do --------------------------------------------------------------------------------- */

/* A position that is not its own: older, of the future, or of another stream. */
static struct position forge(const struct seat *seat, unsigned channel)
{
    struct position at = seat->at;
    unsigned other = (channel + 1 + draw(CHANNELS - 2)) % (CHANNELS - 1);
    if (draw(3) == 0)
        at.offset += 1 + draw(100);
    else if (draw(2))
        at.offset -= at.offset ? draw((unsigned)at.offset) : 0;
    else
        for (unsigned i = 0; i < PEOPLE; i++)
            if (m.people[i].seats[other].at.epoch[0])
                at = m.people[i].seats[other].at;
    return at;
}

static struct recovery choose(const struct person *p, unsigned channel, bool *is_own)
{
    const struct seat *seat = &p->seats[channel];
    struct recovery r = {.is_asked = p->kind != ORDINARY};
    *is_own = false;
    if (p->kind >= STREAM_OF_ONE) {
        r.from = seat->id;
        *is_own = seat->id.epoch[0];
    } else if (p->kind == COUNTER && draw(8) == 0) {
        r.rewind = 1 + draw(2 * REWIND);
    } else if (p->kind == COUNTER && seat->at.epoch[0] && draw(8) == 0) {
        r.from = forge(seat, channel);
    } else if (p->kind == COUNTER && draw(10)) {
        r.from = seat->at;
        *is_own = seat->at.epoch[0];
    }
    return r;
}

static void enter_channel(unsigned person, unsigned channel)
{
    struct person *p = &m.people[person];
    struct client *c = &w.clients[person];
    char user[16];
    bool is_own;
    if (p->is_waiting || p->seats[channel].is_in || (p->kind == STREAM_OF_ONE && channel != KEEP_A))
        return;
    read_socket(person);
    struct recovery r = choose(p, channel, &is_own);
    snprintf(user, sizeof user, "u%u", person);
    struct letter question = {.traits = (uint8_t)traits_of(names[channel]),
        .channel = span_str(names[channel]),
        .user = span_str(user),
        .recovery = r};
    struct entry *e = note(ASKED, person, channel);
    e->asked = r;
    e->at = r.from;
    e->is_own = is_own;
    p->seats[channel].is_in = true;
    p->seats[channel].n_owed++;
    w.posting = c->hub;
    p->is_waiting = hub_subscribe(w.hubs[c->hub], c->index, &question) == HUB_WAIT;
}

static void leave_channel(unsigned person, unsigned channel)
{
    struct person *p = &m.people[person];
    if (p->is_waiting || !p->seats[channel].is_in || p->kind >= STREAM_OF_ONE)
        return;
    unsubscribe(person, names[channel]);
    p->seats[channel].is_in = p->seats[channel].is_counting = false;
    p->seats[channel].at = (struct position){0}; // what is still coming would be missed or doubled
    p->seats[channel].held = -1;
}

static void say_to_others(unsigned person, unsigned channel)
{
    struct span member;
    struct client *c = &w.clients[person];
    struct hub_client_event e = {.channel = span_str(names[channel])};
    if (!hub_is_subscribed(w.hubs[c->hub], c->index, 0, e.channel, &member))
        return;
    e.frame =
        pusher_event(span_str("\"client-e\""), e.channel, span_str("\"c\""), span_of(NULL, 0));
    w.posting = c->hub;
    hub_client_event(w.hubs[c->hub], c->index, &e);
    frame_drop(e.frame);
}

static void take_answer(const struct letter *l)
{
    if (!l->request[0])
        return; // a purge
    struct event *e = &m.events[l->request[0] - 1];
    ENSURE(!e->is_answered && l->result == LETTER_OK);
    e->is_answered = true;
    e->at = l->position;
}

static void publish_one(unsigned channel)
{
    if (m.n_events == EVENTS)
        return;
    struct event *e = &m.events[m.n_events];
    unsigned whom = draw(PEOPLE);
    char *data = malloc(BIG + 64);
    ENSURE(data);
    *e = (struct event){.channel = channel, .is_hidden = draw(12) == 0};
    int n = snprintf(data, BIG, "\"n%u ", m.n_events);
    size_t len = (size_t)n + (draw(6) ? 10 : BIG);
    memset(data + n, 'x', len - (size_t)n);
    data[len++] = '"';
    struct letter l = {.mail.kind = LETTER_PUBLISH,
        .traits = (uint8_t)traits_of(names[channel]),
        .info = INFO_POSITION,
        .request = {++m.n_events},
        .channel = span_str(names[channel])};
    l.frame = pusher_event(span_str(e->is_hidden ? "\"client-api\"" : "\"e\""), l.channel,
        span_of(data, len), span_of(NULL, 0));
    if (draw(4) == 0 && w.clients[whom].is_open) {
        e->except = w.clients[whom].nonce;
        l.session =
            (struct session_ref){w.clients[whom].index, e->except, (uint16_t)w.clients[whom].hub};
    }
    struct frame *frame = l.frame;
    w.posting = draw(HUBS);
    if (hub_ask(w.hubs[w.posting], &l) == HUB_DONE)
        take_answer(&l);
    frame_drop(frame);
    free(data);
}

static void purge(unsigned channel)
{
    struct letter l = {.mail.kind = LETTER_PURGE,
        .traits = (uint8_t)traits_of(names[channel]),
        .channel = span_str(names[channel])};
    w.posting = draw(HUBS);
    if (hub_ask(w.hubs[w.posting], &l) == HUB_DONE)
        frame_drop(l.cached);
}

/* --- the world's steps ------------------------------------------------------------------------------- */

static unsigned person_of(unsigned hub, uint32_t index)
{
    for (unsigned i = 0; i < PEOPLE; i++)
        if (w.clients[i].is_open && w.clients[i].hub == hub && w.clients[i].index == index)
            return i;
    return PEOPLE;
}

/* One beat; who is to be closed is closed, as by serve. */
static void run_beat(unsigned hub)
{
    struct hub *h = w.hubs[hub];
    uint32_t index;
    enum hub_closing why;
    w.posting = hub;
    hub_settle(h);
    while (hub_next_ready(h, &index))
        if (person_of(hub, index) < PEOPLE)
            m.people[person_of(hub, index)].is_waiting = false;
    hub_flush(h, w.now_us, world_write, NULL);
    seen.pieces += counter_get(&hub_counts(h)->cursors) > 0;
    while (hub_next_drained(h, &index))
        ;
    while (hub_next_closing(h, &index, &why)) {
        seen.overtaken += why == HUB_OVERTAKEN;
        if (person_of(hub, index) < PEOPLE)
            drop(person_of(hub, index));
        w.posting = hub;
    }
}

static void run_all(void)
{
    bool is_busy = true;
    while (is_busy) {
        for (unsigned to = 0; to < HUBS; to++)
            while (w.n_box[to])
                deliver_one(to);
        for (unsigned hub = 0; hub < HUBS; hub++)
            run_beat(hub);
        is_busy = has_mail();
        for (unsigned hub = 0; hub < HUBS; hub++)
            is_busy |= hub_has_output(w.hubs[hub]);
    }
}

static void let_time_pass(void)
{
    static const unsigned steps_s[] = {1, 1, 5, 31, TTL_S / 2, 2 * TTL_S};
    w.now_us += (uint64_t)steps_s[draw(COUNT_OF(steps_s))] * 1000000;
    for (unsigned hub = 0; hub < HUBS; hub++) {
        w.posting = hub;
        hub_now(w.hubs[hub], w.now_us, 0);
        hub_tick(w.hubs[hub]);
    }
}

static void act(unsigned person)
{
    struct client *c = &w.clients[person];
    unsigned channel = draw(CHANNELS);
    if (!c->is_open)
        come(person);
    else if (draw(12) == 0)
        drop(person);
    else if (draw(12) == 0)
        leave_channel(person, channel);
    else if (draw(12) == 0)
        say_to_others(person, channel);
    else if (c->is_slow && draw(2))
        take_bytes(person, 500 + draw(2 * BIG));
    else
        enter_channel(person, channel);
}

static void reload(unsigned hub)
{
    w.posting = hub;
    hub_use_apps(w.hubs[hub], draw(3) ? &with_rule : &without_rule, 1);
}

static void step(void)
{
    unsigned what = draw(100);
    unsigned hub = draw(HUBS);
    if (what < 30 && w.n_box[hub])
        deliver_one(hub);
    else if (what < 55)
        run_beat(hub);
    else if (what < 75)
        publish_one(draw(CHANNELS));
    else if (what < 97)
        act(draw(PEOPLE));
    else if (what == 97)
        let_time_pass();
    else if (draw(3) == 0)
        purge(draw(CHANNELS));
    else if (draw(3) == 0)
        reload(hub);
}

/* Everyone goes, time passes: nothing may be left. */
static void check_nothing_is_left(void)
{
    for (unsigned person = 0; person < PEOPLE; person++)
        if (w.clients[person].is_open)
            close_session(person);
    run_all();
    for (int i = 0; i < 3; i++) {
        w.now_us += 1000000000ULL;
        for (unsigned hub = 0; hub < HUBS; hub++) {
            w.posting = hub;
            hub_now(w.hubs[hub], w.now_us, 0);
            hub_tick(w.hubs[hub]);
        }
        run_all();
    }
    CHECK_EQ(sum_channels(), 0);
    for (unsigned hub = 0; hub < HUBS; hub++) {
        const struct hub_counts *counts = hub_counts(w.hubs[hub]);
        CHECK_EQ(counter_get(&counts->histories), 0);
        CHECK_EQ(counter_get(&counts->history_events), 0);
        CHECK_EQ(counter_get(&counts->history_bytes), 0);
        CHECK_EQ(counter_get(&counts->cursors), 0);
    }
}

static void run_world(unsigned seed)
{
    static const uint64_t history_bytes[] = {3000, 100000, 1 << 20, 100 << 20};
    world_hubs = 1 + seed % HUBS_MAX;
    start(seed);
    m.n_events = m.n_entries = m.n_failed = 0;
    for (unsigned i = 0; i < HUBS; i++) {
        w.posting = i;
        hub_use_history(w.hubs[i], history_bytes[seed / HUBS_MAX % 4]);
        hub_use_apps(w.hubs[i], &with_rule, 1);
    }
    for (unsigned i = 0; i < PEOPLE; i++) {
        m.people[i] = (struct person){.kind = (enum kind)(i < KINDS ? i : COUNTER + i % 3)};
        for (unsigned k = 0; k < CHANNELS; k++)
            m.people[i].seats[k].held = -1;
    }
    for (int i = 0; i < STEPS; i++)
        step();
    for (unsigned i = 0; i < PEOPLE; i++)
        if (w.clients[i].is_open) {
            w.clients[i].is_slow = false;
            hub_writable(w.hubs[w.clients[i].hub], w.clients[i].index);
        }
    run_all();
    for (unsigned i = 0; i < PEOPLE; i++)
        read_socket(i);
    judge();
    judge_rest();
    CHECK_EQ(m.n_failed, 0);
    check_nothing_is_left();
    end();
}

TEST(whoever_counts_hears_every_event_once_and_in_order_or_is_told)
{
    const char *only = getenv("SEED");
    m.entries = calloc(ENTRIES, sizeof *m.entries);
    ENSURE(m.entries);
    with_rule = without_rule = app;
    with_rule.limits.presence_members = without_rule.limits.presence_members = 100;
    with_rule.history = &rule;
    with_rule.n_history = 1;
    world_on_answer = take_answer;
    for (unsigned seed = 1; seed <= SEEDS && test_is_good; seed++) {
        unsigned now = only ? (unsigned)strtoul(only, NULL, 10) : seed;
        run_world(now);
        if (!test_is_good)
            printf("failed with SEED=%u\n", now);
        if (only)
            break;
    }
    free(m.entries);
}

TEST(and_the_worlds_had_all_of_it)
{
    if (getenv("SEED"))
        return;
    CHECK(seen.recovered && seen.replayed && seen.rewound && seen.cached && seen.ids);
    CHECK(seen.epoch_changed && seen.expired && seen.too_many && seen.ahead && seen.disabled);
    CHECK(seen.left_out && seen.hidden && seen.restarted && seen.unkept && seen.pieces);
    CHECK(seen.overtaken);
}

int main(void)
{
    RUN(whoever_counts_hears_every_event_once_and_in_order_or_is_told);
    RUN(and_the_worlds_had_all_of_it);
    return test_end();
}
