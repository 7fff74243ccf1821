/* store.h - what outlives the process: the events of durable streams, in one SQLite file.
 *
 * A stream is the history of one channel of one app.  Its events have offsets without holes; an
 * epoch names the time during which that is provable.  The store never mends anything: what it
 * cannot prove it reports (enum store_state), and the caller begins a new epoch.
 *
 *     store_begin(s, STORE_ACK, &err);
 *     store_append(s, &key, &event, &err);    ... many events of many streams
 *     store_commit(s, &err);                  all of them or none
 *
 * Every call blocks on the disk.  A failure leaves the store usable and everything that was
 * committed in place: the caller may try again later, unless store_is_spent says that the file
 * must be closed and opened anew.
 *
 * Thread: one, from open to close.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/base.h"
#include "base/err.h"

struct store;

/* The status in err where it is the file that is damaged; 503 where the disk fails. */
enum { STORE_DAMAGE = 500 };

/* Makes the file where there is none (its folder must exist), and refuses one of another
 * program, of a newer Carillon, or that another process has open. */
struct store *store_open(const char *path, struct err *err) MUST_CHECK;

/* is_clean: everything that was accepted has been committed, so that the next run may go on
 * where this one ends.  Rolls back what is open.  NULL is fine. */
void store_close(struct store *s, bool is_clean);

/* The last failure will not pass by itself, as a failed flush or damage: close, open anew; and if
 * that does not help, put the file aside. */
bool store_is_spent(const struct store *s);

/* Renames a file that is not open, and what belongs to it, to PATH.damaged, unless there is one. */
bool store_put_aside(const char *path, struct err *err) MUST_CHECK;

/* Writes something small and durable: whether the disk takes anything. */
bool store_probe(struct store *s, struct err *err) MUST_CHECK;

/* How much of what was accepted survives.
 *
 * ASYNC: a commit survives the process, but a power failure may take the last ones; and what
 * was accepted but not yet committed is lost in a crash.  ACK: a commit survives both. */
enum store_durability { STORE_ASYNC, STORE_ACK, STORE_DURABILITIES };

struct store_rule {
    enum store_durability durability;
    uint64_t max_events, max_bytes; // 0 = without a limit
    uint64_t ttl_ms;                // of an event; 0 = for ever
    uint64_t forget_ms;             // of a stream without events; 0 = never forgotten
};

enum { STORE_EPOCH = 16 };                              // characters at most
#define STORE_OFFSETS (1ULL << 40)                      // offsets are below
enum { STORE_NAME = 8192, STORE_DATA = 256 * 1048576 }; // bytes at most: names and ids, data

struct store_key {
    struct span app, channel;
};

enum store_state {
    STORE_ABSENT,  // there is no such stream
    STORE_WHOLE,   // every offset that was committed, up to the top
    STORE_CUT,     // async, and a run ended without store_close: the last events may be missing
    STORE_DAMAGED, // rows are not what was written
    STORE_STATES
};

/* Only a stream that is whole can be appended to and read; the others need store_reset. */
struct store_stream {
    enum store_state state; // when ABSENT or DAMAGED, nothing else is filled
    char epoch[STORE_EPOCH + 1];
    struct store_rule rule;
    uint64_t top, oldest; // oldest == top + 1: no event is kept
    uint64_t bytes;       // of the events' texts
    int64_t created_ms, last_ms;
};

/* In a group: with what the group has changed. */
bool store_find(struct store *s, const struct store_key *key, struct store_stream *out,
    struct err *err) MUST_CHECK;

/* A new epoch, without events: purges what was there.  In a group, a part of it; else
 * committed at once and for good. */
struct store_birth {
    struct span epoch; // 1 to STORE_EPOCH bytes
    struct store_rule rule;
    uint64_t top; // the next event has top + 1
    int64_t now_ms;
};
bool store_reset(struct store *s, const struct store_key *key, const struct store_birth *birth,
    struct err *err) MUST_CHECK;

/* The stream is no more, as if it had never been.  In a group, a part of it; else committed at once
 * and for good. */
bool store_forget(struct store *s, const struct store_key *key, struct err *err) MUST_CHECK;

/* A walk through the streams that there are when it begins: those that are not kept are forgotten.
 *
 *     struct store_walk walk = {.is_kept = is_kept, .ctx = ctx};
 *     while (!walk.is_over && store_sift(s, &walk, 256, &err)) ...
 */
struct store_walk {
    bool (*is_kept)(void *ctx, const struct store_key *key);
    void *ctx;
    int64_t at, to; // store_sift's own
    bool is_over;
};

/* A step of at most so many streams, which are forgotten in one group, for good.  Outside of groups.
 * After a failure the walk goes on where it was. */
bool store_sift(
    struct store *s, struct store_walk *walk, uint32_t streams, struct err *err) MUST_CHECK;

/* Other limits, from now on.  Nothing is written where they are the same. */
bool store_use_rule(struct store *s, const struct store_key *key, const struct store_rule *rule,
    struct err *err) MUST_CHECK;

struct store_event {
    uint64_t offset;
    int64_t time_ms; // wall; one before its predecessor's is taken as equal to it
    struct span name, data;
};

/* A group becomes durable as its mode says; streams of rule ACK need the mode ACK.  False from
 * store_commit: none of it is stored and the group is closed, and a crash of the process does not
 * bring it back.  Where the disk did not even take that, it may be found after a power failure, so
 * a stream whose commit failed must begin a new epoch. */
bool store_begin(struct store *s, enum store_durability mode, struct err *err) MUST_CHECK;
bool store_commit(struct store *s, struct err *err) MUST_CHECK;
void store_rollback(struct store *s);

/* Refuses a stream that is not whole and any offset but top + 1.  After such a refusal the
 * group goes on without the event; after any other failure store_commit fails too. */
bool store_append(struct store *s, const struct store_key *key, const struct store_event *event,
    struct err *err) MUST_CHECK;

struct store_range {
    uint64_t from, to;        // offsets, both included; 0 = unbounded
    int64_t start_ms, end_ms; // times, both included; 0 = unbounded
    bool is_backwards;        // begins with the newest
    uint64_t max_events;      // 0 = without a limit
    uint64_t max_bytes;       // of texts; likewise; the first event is given in any case
};

/* Reads one range of one stream, outside of groups and one range at a time.  at becomes the
 * stream as it is; unless it is whole, there is nothing to read.
 *
 *     if (store_read(s, &key, &range, &at, &err))
 *         while ((step = store_next(s, &event)) == STORE_EVENT) ...
 */
bool store_read(struct store *s, const struct store_key *key, const struct store_range *range,
    struct store_stream *at, struct err *err) MUST_CHECK;

enum store_step {
    STORE_EVENT, // its spans are good until the next call
    STORE_END,   // the range is complete
    STORE_LIMIT, // max_events or max_bytes ended it, and there is more
    STORE_LOST,  // rows are damaged: the stream is too from now on, forget what was read
    STORE_FAILED // the disk failed: forget what was read, try again later
};
enum store_step store_next(struct store *s, struct store_event *out) MUST_CHECK;

/* Why store_next said FAILED. */
const struct err *store_failure(const struct store *s);

/* One step of retention: deletes at most budget events and gives back a few pages of the file.
 * has_more: there is more to do at once.  Outside of groups. */
bool store_trim(
    struct store *s, int64_t now_ms, uint32_t budget, bool *has_more, struct err *err) MUST_CHECK;

/* Copies what was committed from the log into the file, if the log has grown by so many pages.
 * A commit never does: its caller answers first.  Outside of groups.  A disk that refuses will
 * refuse a commit too; until then the log goes on growing, or the store is spent. */
void store_checkpoint(struct store *s, uint32_t pages);

struct store_figures {
    uint64_t file_bytes, free_bytes; // of the database; of those, unused
    uint64_t n_streams, n_events;
    uint64_t n_commits, n_failures;
    uint64_t n_trimmed; // events
    uint64_t last_commit_us;
};
void store_read_figures(struct store *s, struct store_figures *out);

#endif
