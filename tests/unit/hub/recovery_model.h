/* recovery_model.h - what people in a world did and got, and the judgement of it: each one who
 * counts hears every event of a stream once and in order, or is told that it cannot.
 *
 * What happens is written down as entries, in order.  judge() walks them when every publisher has
 * its answer, which says what offset each event has, and believes nothing but that. */
#ifndef RECOVERY_MODEL_H
#define RECOVERY_MODEL_H

#include "base/base.h"

#include "hub/hub.h"
#include "test.h"
#include "world.h"

enum {
    CHANNELS = 5,
    PEOPLE = 12,
    EVENTS = 400, // of one world
    ENTRIES = 200000,
    RECOVER = 25, // events that a client that comes back is given at most
    REWIND = 5
};

enum { KEEP_A, KEEP_B, CACHE, PRESENCE, PLAIN };
static const char *const names[CHANNELS] = {
    "keep-a", "keep-b", "cache-keep", "presence-keep", "plain"};

/* --- what happened --------------------------------------------------------------------------------- */

struct event {
    unsigned channel;
    bool is_hidden;     // by its name: clients do not count it
    uint32_t except;    // the nonce of the session that it leaves out
    bool is_answered;   // and then:
    struct position at; // none: there was no rule
};

enum entry_kind { ASKED, SUCCEEDED, HEARD, TOLD, CAME };

/* What somebody did or got. */
struct entry {
    enum entry_kind kind;
    unsigned person, channel;
    uint32_t nonce;
    unsigned n;            // HEARD: which event
    struct recovery asked; // ASKED
    bool is_own;           // ASKED: from is its own count
    bool is_counted;       // HEARD, by the client
    bool is_recovered, is_refused;
    char reason[16];
    struct position at; // SUCCEEDED, TOLD
    uint64_t oldest, replay;
};

enum kind { ORDINARY, COUNTER, STREAM_OF_ONE, STREAM_OF_ALL, KINDS };

/* One person in one channel. */
struct seat {
    bool is_in;
    unsigned n_owed; // subscriptions that have not succeeded
    bool is_counting;
    bool is_fresh;      // the next event may be the cached one
    int held;           // that event, until it is known; -1 = none
    struct position at; // by counting
    struct position id; // by the last id
};

struct person {
    enum kind kind;
    bool is_waiting;
    size_t read; // of what its socket got
    struct seat seats[CHANNELS];
};

static struct {
    struct event events[EVENTS];
    unsigned n_events;
    struct entry *entries;
    unsigned n_entries;
    struct person people[PEOPLE];
    unsigned n_failed;
} m;

/* What all worlds together have seen, so that the test is known to have tried it. */
static struct {
    unsigned recovered, replayed, rewound, epoch_changed, expired, too_many, ahead, disabled;
    unsigned left_out, hidden, cached, restarted, unkept, pieces, overtaken, ids;
} seen;

static void complain(unsigned entry, const char *what)
{
    const struct entry *e = &m.entries[entry];
    if (m.n_failed++ < 3)
        printf("entry %u: person %u (kind %d) in %s, event %u, at %s:%llu: %s\n", entry, e->person,
            m.people[e->person].kind, names[e->channel], e->n, e->at.epoch,
            (unsigned long long)e->at.offset, what);
}

static struct entry *note(enum entry_kind kind, unsigned person, unsigned channel)
{
    ENSURE(m.n_entries < ENTRIES);
    struct entry *e = &m.entries[m.n_entries++];
    *e = (struct entry){
        .kind = kind, .person = person, .channel = channel, .nonce = w.clients[person].nonce};
    return e;
}

static bool is_same(const struct position *a, const struct position *b)
{
    return a->offset == b->offset && strcmp(a->epoch, b->epoch) == 0;
}

/* --- the judgement ------------------------------------------------------------------------------------- */

/* Where the model believes a seat to be. */
struct belief {
    bool is_counting;
    bool is_lost; // it counted events that have no offset: its count is worth nothing
    bool was_lost;
    struct position at;
    bool is_given; // what it missed: that comes when its socket takes it
    const struct entry *asked;
    unsigned hidden[EVENTS], n_hidden; // heard and not counted, until a position says so
    int last;                          // the event that was heard last, of who does not count
};

static struct belief beliefs[PEOPLE][CHANNELS];

static const struct event *event_at(unsigned channel, const char *epoch, uint64_t offset)
{
    for (unsigned i = 0; i < m.n_events; i++) {
        const struct event *e = &m.events[i];
        if (e->channel == channel && e->at.offset == offset && strcmp(e->at.epoch, epoch) == 0)
            return e;
    }
    return NULL;
}

static uint64_t top_of(unsigned channel, const char *epoch)
{
    uint64_t top = 0;
    while (event_at(channel, epoch, top + 1))
        top++;
    return top;
}

/* Offsets have no holes, and none is given twice. */
static void check_offsets(void)
{
    for (unsigned i = 0; i < m.n_events; i++) {
        const struct event *e = &m.events[i];
        CHECK(e->is_answered);
        seen.unkept += e->channel != PLAIN && !e->at.epoch[0];
        if (!e->at.epoch[0])
            continue;
        CHECK(e->channel != PLAIN);
        CHECK(event_at(e->channel, e->at.epoch, e->at.offset) == e);
        CHECK(e->at.offset == 1 || event_at(e->channel, e->at.epoch, e->at.offset - 1));
    }
}

/* What the answer must be, from what it says itself. */
static const char *verdict(const struct entry *e, const struct position *from)
{
    uint64_t newest = e->is_refused ? e->at.offset : e->at.offset + e->replay;
    if (strcmp(from->epoch, e->at.epoch) != 0)
        return "epoch_changed";
    if (from->offset > newest)
        return "ahead";
    if (e->is_refused && from->offset + 1 < e->oldest)
        return "expired";
    return newest - from->offset > RECOVER ? "too_many" : "";
}

static void count_refusal(const char *reason)
{
    seen.epoch_changed += strcmp(reason, "epoch_changed") == 0;
    seen.expired += strcmp(reason, "expired") == 0;
    seen.too_many += strcmp(reason, "too_many") == 0;
    seen.ahead += strcmp(reason, "ahead") == 0;
    seen.disabled += strcmp(reason, "disabled") == 0;
}

static void judge_success(unsigned i, struct belief *b)
{
    const struct entry *e = &m.entries[i];
    const struct entry *asked = b->asked;
    b->is_counting = e->at.epoch[0];
    b->n_hidden = 0;
    b->last = -1;
    if (!asked->asked.is_asked && (e->at.epoch[0] || e->is_refused))
        complain(i, "who did not ask for recovery is told of it");
    if (e->is_recovered && !is_same(&e->at, &asked->asked.from))
        complain(i, "recovered from another position");
    if (e->is_recovered && asked->is_own && b->is_lost)
        complain(i, "its count was wrong, and it was recovered from there");
    if (asked->asked.from.epoch[0] && !e->is_recovered && !e->is_refused)
        complain(i, "it asked to resume and was not answered");
    if (asked->asked.from.epoch[0] && strcmp(e->reason, "disabled") != 0 &&
        strcmp(verdict(e, &asked->asked.from), e->reason) != 0)
        complain(i, "the reason is not the reason");
    if (asked->asked.rewind && (e->replay > REWIND || e->replay > asked->asked.rewind))
        complain(i, "more than it wanted or may have");
    seen.recovered += e->is_recovered;
    seen.replayed += e->is_recovered && e->replay;
    seen.rewound += asked->asked.rewind && e->replay;
    count_refusal(e->reason);
    b->at = e->at;
    b->is_given = e->replay;
    b->is_lost = false;
}

/* An event reached one who does not count: none before it may be missing. */
static void judge_ordinary(unsigned i, struct belief *b)
{
    const struct entry *e = &m.entries[i];
    const struct event *now = &m.events[e->n];
    const struct event *before = b->last >= 0 ? &m.events[b->last] : NULL;
    if (now->except == e->nonce)
        complain(i, "an event that left it out");
    if (before && before->at.epoch[0] && strcmp(before->at.epoch, now->at.epoch) == 0) {
        if (now->at.offset <= before->at.offset)
            complain(i, "out of order, or twice");
        for (uint64_t o = before->at.offset + 1; o < now->at.offset; o++) {
            const struct event *between = event_at(e->channel, now->at.epoch, o);
            if (!between || between->except != e->nonce)
                complain(i, "an event before this one is missing");
        }
    }
    b->last = (int)e->n;
}

static void judge_heard(unsigned i, struct belief *b)
{
    const struct entry *e = &m.entries[i];
    const struct event *event = &m.events[e->n];
    if (event->channel != e->channel)
        complain(i, "an event of another channel");
    if (!b->is_counting) {
        judge_ordinary(i, b);
    } else if (!event->at.epoch[0]) {
        b->is_lost = true;
    } else if (b->is_lost && b->is_given && event->at.offset == b->at.offset + 1 &&
               strcmp(event->at.epoch, b->at.epoch) == 0) {
        b->at.offset++; // older than those that have no offset
    } else if (b->is_lost) {
        complain(i, "events have offsets again, and it was not told");
    } else if (event->is_hidden) {
        b->hidden[b->n_hidden++] = e->n;
    } else {
        b->at.offset++;
        if (!is_same(&b->at, &event->at))
            complain(i, "not the next event by its count");
    }
}

/* The events that a position skips: heard without being counted, or withheld. */
static void judge_skipped(unsigned i, struct belief *b)
{
    const struct entry *e = &m.entries[i];
    unsigned at = 0;
    for (uint64_t o = b->at.offset + 1; o <= e->at.offset; o++) {
        const struct event *event = event_at(e->channel, e->at.epoch, o);
        if (!event) {
            complain(i, "a position that the stream never had");
        } else if (at < b->n_hidden && event == &m.events[b->hidden[at]]) {
            at++;
            seen.hidden++;
        } else if (event->except == e->nonce) {
            seen.left_out++;
        } else {
            complain(i, "a position skips an event that it never heard");
        }
    }
    if (at != b->n_hidden)
        complain(i, "an event that it heard is not in its position");
    b->n_hidden = 0;
}

static void judge_told(unsigned i, struct belief *b)
{
    const struct entry *e = &m.entries[i];
    bool is_other = strcmp(e->at.epoch, b->at.epoch) != 0;
    if (!b->is_counting) {
        if (b->asked->asked.is_asked == false)
            complain(i, "who does not count is told a position");
        return;
    }
    if (is_other && !b->is_lost && b->at.offset != top_of(e->channel, b->at.epoch))
        complain(i, "an epoch ended before it had all events of it");
    if (is_other && e->at.offset)
        complain(i, "an epoch that does not begin at its beginning");
    if (!is_other && !b->is_lost && e->at.offset < b->at.offset)
        complain(i, "a position behind its own");
    else if (!is_other && !b->is_lost)
        judge_skipped(i, b);
    seen.restarted += is_other;
    b->at = e->at;
    b->is_lost = false;
    b->n_hidden = 0;
}

static void judge(void)
{
    memset(beliefs, 0, sizeof beliefs);
    check_offsets();
    for (unsigned i = 0; i < m.n_entries; i++) {
        const struct entry *e = &m.entries[i];
        struct belief *b = &beliefs[e->person][e->channel];
        if (e->kind == ASKED)
            b->asked = e;
        else if (e->kind == SUCCEEDED)
            judge_success(i, b);
        else if (e->kind == HEARD)
            judge_heard(i, b);
        else
            judge_told(i, b);
    }
}

/* Everything has arrived: who counts is where the stream is, and so are its ids. */
static void judge_rest(void)
{
    for (unsigned person = 0; person < PEOPLE; person++)
        for (unsigned channel = 0; channel < CHANNELS; channel++) {
            const struct seat *seat = &m.people[person].seats[channel];
            const struct belief *b = &beliefs[person][channel];
            if (!w.clients[person].is_open || !seat->is_in || !seat->is_counting || b->is_lost)
                continue;
            CHECK(is_same(&seat->at, &b->at));
            CHECK_EQ(seat->at.offset, top_of(channel, seat->at.epoch));
            if (m.people[person].kind >= STREAM_OF_ONE)
                CHECK(is_same(&seat->at, &seat->id));
        }
}

#endif
