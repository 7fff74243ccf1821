/* store_bench - what group commit gains, and what trimming a long stream costs its publisher.
 *
 *     store_bench [FOLDER]      (build/bench; the figures are those of its disk)
 *
 * Prints tables and judges nothing.  The first column of the first table is SQLite by itself:
 * one row of the same size per transaction, the same log, the same promise.
 */
#include "base/base.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "store/store.h"

enum {
    LOG_PAGES = 1000, // as the server has it
    STREAMS = 100,
    DATA = 200,
    LONG = 1000000
};
static const uint64_t SPAN_US = 2000000; // measured for each figure

static char path[4096];
static char data[DATA];
static const uint32_t budgets[] = {25, 100, 300}; // all steps together leave something to do
static const char *const modes[STORE_DURABILITIES] = {"async", "ack"};

static void remove_files(void)
{
    char file[sizeof path + 8];
    unlink(path);
    snprintf(file, sizeof file, "%s-wal", path);
    unlink(file);
}

static void need(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "store_bench: %s\n", err->text);
    exit(1);
}

static struct store *open_store(void)
{
    struct err err;
    remove_files();
    struct store *s = store_open(path, &err);
    need(s != NULL, &err);
    return s;
}

static struct store_key key_of(char *name, size_t size, unsigned stream)
{
    snprintf(name, size, "private-room-%u", stream);
    return (struct store_key){span_str("app"), span_str(name)};
}

static void reset(struct store *s, unsigned stream, const struct store_rule *rule)
{
    char name[32];
    struct err err;
    struct store_key key = key_of(name, sizeof name, stream);
    struct store_birth birth = {.epoch = span_str("k3Jd9aQz"), .rule = *rule, .now_ms = 1};
    need(store_reset(s, &key, &birth, &err), &err);
}

static void append(struct store *s, unsigned stream, uint64_t offset)
{
    char name[32];
    struct err err;
    struct store_key key = key_of(name, sizeof name, stream);
    struct store_event event = {.offset = offset,
        .time_ms = (int64_t)offset,
        .name = span_str("message"),
        .data = span_of(data, sizeof data)};
    need(store_append(s, &key, &event, &err), &err);
}

/* Events per second in groups of so many. */
static double measure_groups(enum store_durability mode, uint64_t group, bool is_full)
{
    struct err err;
    uint64_t tops[STREAMS] = {0};
    uint64_t n = 0;
    struct store *s = open_store();
    struct store_rule rule = {.durability = mode, .max_events = is_full ? 100 : 0};
    for (unsigned i = 0; i < STREAMS; i++)
        reset(s, i, &rule);
    uint64_t start_us = clock_us();
    uint64_t now_us = start_us;
    for (; now_us - start_us < SPAN_US; now_us = clock_us()) {
        need(store_begin(s, mode, &err), &err);
        for (uint64_t i = 0; i < group; i++, n++)
            append(s, n % STREAMS, ++tops[n % STREAMS]);
        need(store_commit(s, &err), &err);
        store_checkpoint(s, LOG_PAGES);
    }
    store_close(s, true);
    return (double)n * 1e6 / (double)(now_us - start_us);
}

static void run(sqlite3 *db, const char *text)
{
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) == SQLITE_OK)
        return;
    fprintf(stderr, "store_bench: %s: %s\n", text, why);
    exit(1);
}

/* Rows per second, each in a transaction of its own. */
static double measure_sqlite(enum store_durability mode)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    uint64_t n = 0;
    remove_files();
    if (sqlite3_open(path, &db) != SQLITE_OK)
        exit(1);
    run(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL");
    run(db, mode == STORE_ACK ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    run(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, data)");
    if (sqlite3_prepare_v2(db, "INSERT INTO t(data) VALUES(?)", -1, &row, NULL) != SQLITE_OK)
        exit(1);
    uint64_t start_us = clock_us();
    uint64_t now_us = start_us;
    for (; now_us - start_us < SPAN_US; now_us = clock_us(), n++) {
        sqlite3_bind_blob(row, 1, data, sizeof data, SQLITE_STATIC);
        if (sqlite3_step(row) != SQLITE_DONE)
            exit(1);
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    sqlite3_close(db);
    return (double)n * 1e6 / (double)(now_us - start_us);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

enum { BLOCKS = 40, BLOCK = 50, COMMITS = BLOCKS * BLOCK / 2 };

/* The commits of every other block have a step of trimming behind each, so that both kinds see
 * the same disk. */
struct samples {
    uint64_t commits_us[2][COMMITS], steps_us[COMMITS];
    size_t n[2];
};

static uint64_t commit_ten(struct store *s, uint64_t *top)
{
    struct err err;
    uint64_t start_us = clock_us();
    need(store_begin(s, STORE_ACK, &err), &err);
    for (int k = 0; k < 10; k++)
        append(s, 1, ++*top);
    need(store_commit(s, &err), &err);
    uint64_t took_us = clock_us() - start_us;
    store_checkpoint(s, LOG_PAGES);
    return took_us;
}

static uint64_t at(const uint64_t *sorted, unsigned percent)
{
    return sorted[COMMITS * percent / 100];
}

static void print_commits(struct store *s, const char *what, uint64_t *top, uint32_t budget)
{
    static struct samples samples;
    struct err err;
    samples = (struct samples){0};
    for (unsigned i = 0; i < BLOCKS * BLOCK; i++) {
        bool has_more = true;
        bool is_trimming = i / BLOCK % 2;
        size_t n = samples.n[is_trimming]++;
        samples.commits_us[is_trimming][n] = commit_ten(s, top);
        if (!is_trimming)
            continue;
        uint64_t start_us = clock_us();
        need(store_trim(s, 5, budget, &has_more, &err), &err);
        samples.steps_us[n] = clock_us() - start_us;
        if (!has_more)
            printf("| (nothing left) ");
    }
    qsort(samples.commits_us[0], COMMITS, sizeof(uint64_t), compare);
    qsort(samples.commits_us[1], COMMITS, sizeof(uint64_t), compare);
    qsort(samples.steps_us, COMMITS, sizeof(uint64_t), compare);
    const uint64_t *const columns[] = {
        samples.commits_us[0], samples.commits_us[1], samples.steps_us};
    printf("| %s, %u rows a step ", what, (unsigned)budget);
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        printf("| %llu | %llu ", (unsigned long long)at(columns[i], 50),
            (unsigned long long)at(columns[i], 99));
    printf("|\n");
}

static void measure_trim(void)
{
    struct err err;
    struct store_rule rule = {.durability = STORE_ACK};
    uint64_t top = 0;
    char name[32];
    struct store *s = open_store();
    reset(s, 0, &rule);
    reset(s, 1, &rule);
    for (uint64_t offset = 0; offset < LONG;) {
        need(store_begin(s, STORE_ACK, &err), &err);
        for (int i = 0; i < 1000; i++)
            append(s, 0, ++offset);
        need(store_commit(s, &err), &err);
        store_checkpoint(s, LOG_PAGES);
    }
    printf("\nMicroseconds; commits of 10 events (ack) beside a stream of 10^6 events\n\n");
    printf("| that stream | commit alone p50 | p99 | between steps p50 | p99 | step p50 | p99 |\n");
    printf("|---|---|---|---|---|---|---|\n");
    struct store_key key = key_of(name, sizeof name, 0);
    rule.max_events = 1000;
    need(store_use_rule(s, &key, &rule, &err), &err);
    for (size_t i = 0; i < COUNT_OF(budgets); i++)
        print_commits(s, "is trimmed to 10^3", &top, budgets[i]);
    struct store_birth birth = {.epoch = span_str("k3Jd9aQy"), .rule = rule, .now_ms = 1};
    need(store_reset(s, &key, &birth, &err), &err);
    for (size_t i = 0; i < COUNT_OF(budgets); i++)
        print_commits(s, "is purged", &top, budgets[i]);
    store_close(s, true);
}

int main(int argc, char **argv)
{
    static const uint64_t groups[] = {1, 10, 100, 1000};
    snprintf(path, sizeof path, "%s/store_bench.db", argc > 1 ? argv[1] : "build/bench");
    hash_init();
    memset(data, 'd', sizeof data);
    printf("Events per second; %d bytes of data, %d streams\n\n", DATA, STREAMS);
    printf("| mode | SQLite, one row a commit | groups of 1 | 10 | 100 | 1000 |\n");
    printf("|---|---|---|---|---|---|\n");
    for (int full = 0; full < 2; full++)
        for (int mode = 0; mode < STORE_DURABILITIES; mode++) {
            printf("| %s%s | %.0f ", modes[mode], full ? ", at 100 events each" : "",
                measure_sqlite((enum store_durability)mode));
            for (size_t i = 0; i < COUNT_OF(groups); i++) {
                printf("| %.0f ", measure_groups((enum store_durability)mode, groups[i], full));
                fflush(stdout);
            }
            printf("|\n");
        }
    measure_trim();
    remove_files();
    return 0;
}
