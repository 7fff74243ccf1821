/* A file whose bytes were changed: what is read was written, or the stream is reported lost.
 *
 * The input is a list of changes, five bytes each: where (three bytes, taken modulo the size of
 * the file), how (set, add, exclusive or, or eight bytes of the same value) and the value.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 3, EVENTS = 120, CHANGE = 5 };

static char folder[32];
static char path[48];
static uint8_t *whole, *copy; // the file as it was written, and to be changed
static size_t file_len;

struct sample {
    char name[24], data[9000];
};

/* Event n of a stream is always the same. */
static struct store_event make_event(struct sample *text, unsigned stream, uint64_t offset)
{
    size_t len = offset % 40 ? (offset * 37 + stream) % 400 : sizeof text->data; // some overflow
    snprintf(text->name, sizeof text->name, "event-%u-%u", stream, (unsigned)offset);
    memset(text->data, (int)('a' + (offset + stream) % 26), len);
    return (struct store_event){.offset = offset,
        .time_ms = (int64_t)offset * 1000,
        .name = span_str(text->name),
        .data = span_of(text->data, len)};
}

static struct store_key make_key(unsigned stream)
{
    static const char *const names[STREAMS] = {"presence-a", "b", "private-encrypted-c"};
    return (struct store_key){span_str("app-1"), span_str(names[stream])};
}

static void make_stream(struct store *s, unsigned stream)
{
    struct err err;
    struct sample text;
    struct store_key key = make_key(stream);
    struct store_birth birth = {.epoch = span_str("epoch"), .now_ms = 500};
    birth.rule.durability = STORE_ACK;
    birth.rule.max_events = stream == 1 ? EVENTS / 2 : 0;
    bool ok = store_reset(s, &key, &birth, &err) && store_begin(s, STORE_ACK, &err);
    ENSURE(ok);
    for (uint64_t offset = 1; offset <= EVENTS; offset++) {
        struct store_event event = make_event(&text, stream, offset);
        ok = store_append(s, &key, &event, &err);
        ENSURE(ok);
    }
    ok = store_commit(s, &err);
    ENSURE(ok);
}

static void remove_log(void)
{
    char wal[64];
    snprintf(wal, sizeof wal, "%s-wal", path);
    unlink(wal);
}

static void remove_folder(void)
{
    remove_log();
    unlink(path);
    rmdir(folder);
}

/* Alone: a store that gave up has left its log for whoever opens the file again. */
static void put_file(const uint8_t *bytes, size_t len)
{
    remove_log();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ENSURE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

/* The folder is in memory where there is one, because each run commits. */
static void set_up(void)
{
    struct err err;
    hash_init();
    snprintf(folder, sizeof folder, "%s/store-fuzz-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ENSURE(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/events.db", folder);
    atexit(remove_folder);
    struct store *s = store_open(path, &err);
    ENSURE(s);
    for (unsigned i = 0; i < STREAMS; i++)
        make_stream(s, i);
    store_close(s, true);
    int fd = open(path, O_RDONLY);
    off_t len = lseek(fd, 0, SEEK_END);
    ENSURE(len > 0);
    file_len = (size_t)len;
    whole = mem_alloc(file_len);
    copy = mem_alloc(file_len);
    ENSURE(pread(fd, whole, file_len, 0) == len);
    close(fd);
}

static void change(const uint8_t *c)
{
    size_t at = ((size_t)c[0] << 16 | (size_t)c[1] << 8 | c[2]) % file_len;
    switch (c[3] % 4) {
    case 0:
        copy[at] = c[4];
        break;
    case 1:
        copy[at] = (uint8_t)(copy[at] + c[4]);
        break;
    case 2:
        copy[at] ^= c[4];
        break;
    default:
        memset(copy + at, c[4], at + 8 <= file_len ? 8 : 1);
    }
}

static bool is_same(const struct store_event *a, const struct store_event *b)
{
    return a->offset == b->offset && a->time_ms == b->time_ms && span_eq(a->name, b->name) &&
           span_eq(a->data, b->data);
}

/* Reads a range; what it gives is as written, and if it ends well nothing is missing. */
static void read_range(struct store *s, unsigned stream, const struct store_range *range)
{
    struct err err;
    struct sample text;
    struct store_event event;
    struct store_stream at;
    struct store_key key = make_key(stream);
    if (!store_read(s, &key, range, &at, &err))
        return;
    enum store_step step;
    uint64_t first = range->start_ms > 0 ? (uint64_t)(range->start_ms + 999) / 1000 : 1;
    if (at.state == STORE_WHOLE && first < at.oldest)
        first = at.oldest;
    uint64_t next = range->is_backwards ? EVENTS : first;
    uint64_t n = 0;
    while ((step = store_next(s, &event)) == STORE_EVENT) {
        struct store_event expected = make_event(&text, stream, next);
        ENSURE(at.state == STORE_WHOLE && is_same(&event, &expected));
        next = range->is_backwards ? next - 1 : next + 1;
        n++;
    }
    if (step == STORE_END && at.state == STORE_WHOLE) {
        ENSURE(n == EVENTS + 1 - first);
        ENSURE(strcmp(at.epoch, "epoch") == 0 && at.top == EVENTS);
        ENSURE(at.oldest == (stream == 1 ? EVENTS / 2 + 1 : 1));
    }
}

/* A stream can be begun anew, or the store says why not. */
static void renew(struct store *s, unsigned stream)
{
    struct err err;
    struct store_stream at;
    struct store_key key = make_key(stream);
    struct sample text;
    struct store_event event = make_event(&text, stream, 1);
    struct store_birth birth = {.epoch = span_str("next"), .now_ms = 1};
    birth.rule.durability = STORE_ACK;
    if (!store_reset(s, &key, &birth, &err) || !store_begin(s, STORE_ACK, &err))
        return;
    bool ok = store_append(s, &key, &event, &err);
    if (!store_commit(s, &err) || !ok)
        return;
    ok = store_find(s, &key, &at, &err);
    ENSURE(ok && at.state == STORE_WHOLE && at.top == 1 && strcmp(at.epoch, "next") == 0);
    if (!store_read(s, &key, &(struct store_range){0}, &at, &err) || at.state != STORE_WHOLE)
        return;
    enum store_step step = store_next(s, &event);
    struct store_event expected = make_event(&text, stream, 1);
    expected.time_ms = expected.time_ms > 1 ? expected.time_ms : 1;
    ENSURE(step != STORE_EVENT || is_same(&event, &expected));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    if (!whole)
        set_up();
    memcpy(copy, whole, file_len);
    for (size_t i = 0; i + CHANGE <= size; i += CHANGE)
        change(data + i);
    put_file(copy, file_len);
    struct store *s = store_open(path, &err);
    if (!s) {
        ENSURE(size >= CHANGE);
        return 0;
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        read_range(s, i, &(struct store_range){0});
        read_range(s, i, &(struct store_range){.is_backwards = true});
        read_range(s, i, &(struct store_range){.start_ms = 70500});
    }
    bool has_more = false;
    for (int i = 0; i < 4; i++)
        (void)!store_trim(s, 1000000, 50, &has_more, &err);
    for (unsigned i = 0; i < STREAMS; i++) {
        read_range(s, i, &(struct store_range){0});
        renew(s, i);
    }
    (void)!store_trim(s, 1000000, 200, &has_more, &err);
    store_close(s, true);
    return 0;
}
