/* shop.h - a store in a folder of its own, and events that can be told apart. */
#ifndef TEST_SHOP_H
#define TEST_SHOP_H

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "store/store.h"
#include "test.h"

enum { SHOP_DATA = 64 };

struct shop {
    struct store *s;
    struct err err;
    char folder[64], path[96];
};

static inline void shop_init(struct shop *h)
{
    *h = (struct shop){0};
    snprintf(h->folder, sizeof h->folder, "/tmp/carillon-store-XXXXXX");
    ENSURE(mkdtemp(h->folder));
    snprintf(h->path, sizeof h->path, "%s/events.db", h->folder);
}

static inline bool shop_open(struct shop *h)
{
    h->s = store_open(h->path, &h->err);
    if (!h->s)
        printf("# %s\n", h->err.text);
    return h->s != NULL;
}

static inline void shop_reopen(struct shop *h, bool is_clean)
{
    store_close(h->s, is_clean);
    ENSURE(shop_open(h));
}

static inline void shop_fini(struct shop *h)
{
    char command[128];
    store_close(h->s, true);
    snprintf(command, sizeof command, "rm -rf '%s'", h->folder);
    ENSURE(system(command) == 0);
}

static inline struct store_key shop_key(const char *channel)
{
    return (struct store_key){span_str("app"), span_str(channel)};
}

static inline struct store_rule shop_rule(enum store_durability durability)
{
    return (struct store_rule){.durability = durability};
}

static inline bool shop_reset(
    struct shop *h, const char *channel, const char *epoch, struct store_rule rule)
{
    struct store_key key = shop_key(channel);
    return store_reset(h->s, &key,
        &(struct store_birth){.epoch = span_str(epoch), .rule = rule, .now_ms = 1000}, &h->err);
}

static inline bool shop_append(struct shop *h, const char *channel, uint64_t offset)
{
    char data[SHOP_DATA];
    struct store_key key = shop_key(channel);
    snprintf(
        data, sizeof data, "{\"n\":%llu,\"of\":\"%.20s\"}", (unsigned long long)offset, channel);
    return store_append(h->s, &key,
        &(struct store_event){.offset = offset,
            .time_ms = 1000 + (int64_t)offset * 10,
            .name = span_str("news"),
            .data = span_str(data)},
        &h->err);
}

/* from to to of one channel in one group. */
static inline bool shop_fill(struct shop *h, const char *channel, uint64_t from, uint64_t to)
{
    if (!store_begin(h->s, STORE_ACK, &h->err))
        return false;
    for (uint64_t i = from; i <= to; i++)
        if (!shop_append(h, channel, i)) {
            store_rollback(h->s);
            return false;
        }
    return store_commit(h->s, &h->err);
}

static inline struct store_stream shop_find(struct shop *h, const char *channel)
{
    struct store_stream out = {.state = STORE_STATES};
    struct store_key key = shop_key(channel);
    if (!store_find(h->s, &key, &out, &h->err))
        printf("# %s\n", h->err.text);
    return out;
}

/* The event is what shop_append has written. */
static inline bool shop_is_same(const struct store_event *e, const char *channel, uint64_t offset)
{
    char data[SHOP_DATA];
    snprintf(
        data, sizeof data, "{\"n\":%llu,\"of\":\"%.20s\"}", (unsigned long long)offset, channel);
    return e->offset == offset && e->time_ms == 1000 + (int64_t)offset * 10 &&
           span_is(e->name, "news") && span_is(e->data, data);
}

/* Reads a range and checks that it is first, first + 1 ... (or downwards), each as written.
 * Returns how many came, and in *end how it ended. */
static inline uint64_t shop_read(struct shop *h, const char *channel, struct store_range range,
    uint64_t first, enum store_step *end)
{
    struct store_key key = shop_key(channel);
    struct store_stream at;
    struct store_event event;
    uint64_t n = 0;
    *end = STORE_FAILED;
    if (!store_read(h->s, &key, &range, &at, &h->err))
        return 0;
    while ((*end = store_next(h->s, &event)) == STORE_EVENT) {
        if (!shop_is_same(&event, channel, range.is_backwards ? first - n : first + n)) {
            printf("# offset %llu is not as written\n", (unsigned long long)event.offset);
            test_is_good = false;
        }
        n++;
    }
    return n;
}

/* All that is kept is whole and as written. */
static inline bool shop_holds(struct shop *h, const char *channel, uint64_t from, uint64_t to)
{
    enum store_step end;
    struct store_stream found = shop_find(h, channel);
    return found.state == STORE_WHOLE && found.oldest == from && found.top == to &&
           shop_read(h, channel, (struct store_range){0}, from, &end) == to + 1 - from &&
           end == STORE_END;
}

/* Fills the first page of the tree of events with nonsense. */
static inline void shop_ruin(const char *path)
{
    static const char nonsense[4096] = {'w', 'r', 'o', 'n', 'g'};
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    ENSURE(sqlite3_open(path, &db) == SQLITE_OK);
    ENSURE(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'events'", -1,
               &st, NULL) == SQLITE_OK &&
           sqlite3_step(st) == SQLITE_ROW);
    int page = sqlite3_column_int(st, 0);
    ENSURE(sqlite3_finalize(st) == SQLITE_OK && sqlite3_close(db) == SQLITE_OK);
    int fd = open(path, O_WRONLY);
    ENSURE(page > 1 && pwrite(fd, nonsense, sizeof nonsense, (off_t)(page - 1) * 4096) == 4096);
    close(fd);
}

#endif
