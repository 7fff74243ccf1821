/* The file: whose it is, its tables, and whether the last run ended well. */
#include "base/base.h"

#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    APPLICATION = 0x4361726C, // "Carl" in the file's header
    BUSY_MS = 1000,           // a process that is just ending may still have it
    CACHE_KIB = 16384,
    WAL_LIMIT = 16 * 1048576 // bytes that the log keeps after a burst
};

/* steps[n] turns the tables of version UNRELEASED + n into the next, the first one those of an empty
 * file.  Never change one that was released; add the next. */
static const char *const steps[] = {
    "CREATE TABLE marker(id INTEGER PRIMARY KEY, run, unclean_run, is_clean, sum);"
    "CREATE TABLE streams(id INTEGER PRIMARY KEY, app, channel, epoch, durability, max_events,"
    " max_bytes, ttl_ms, forget_ms, run, top, oldest, bytes, created_ms, last_ms, oldest_ms, "
    "due_ms,"
    " sum, UNIQUE(app, channel));"
    "CREATE INDEX streams_due ON streams(due_ms);"
    "CREATE TABLE graves(id INTEGER PRIMARY KEY);"
    "CREATE TABLE events(key INTEGER PRIMARY KEY, time_ms, name, data, sum);",
};
enum {
    UNRELEASED = 1, // had columns that nothing used
    VERSION = UNRELEASED + COUNT_OF(steps)
};

#define STATEMENT(name, text) [SQL_##name] = (text),
static const char *const statements[] = {
#include "store/statements.def"
};
#undef STATEMENT

static bool run_text(struct store *s, const char *text, const char *doing, struct err *err)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK || sql_fail(s, doing, err);
}

static int take_number(void *ctx, int n, char **values, char **names)
{
    (void)names;
    if (n > 0 && values[0])
        *(int64_t *)ctx = strtoll(values[0], NULL, 10);
    return 0;
}

static bool ask_number(struct store *s, const char *text, int64_t *out, struct err *err)
{
    *out = 0;
    return sqlite3_exec(s->db, text, take_number, out, NULL) == SQLITE_OK ||
           sql_fail(s, "reading the header", err);
}

static int take_row(void *ctx, int n, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < n; i++) {
        buf_add_str(ctx, values[i] ? values[i] : "-");
        buf_add_char(ctx, '\n');
    }
    return 0;
}

static bool read_schema(sqlite3 *db, struct buf *out)
{
    return sqlite3_exec(db,
               "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name", take_row,
               out, NULL) == SQLITE_OK;
}

/* The tables are exactly those that the steps make: nothing was added that would run by itself,
 * and nothing is missing. */
static bool check_schema(struct store *s, struct err *err)
{
    sqlite3 *model = NULL;
    struct buf expected = {0};
    struct buf found = {0};
    bool ok = sqlite3_open(":memory:", &model) == SQLITE_OK;
    for (size_t i = 0; ok && i < COUNT_OF(steps); i++)
        ok = sqlite3_exec(model, steps[i], NULL, NULL, NULL) == SQLITE_OK;
    ENSURE(ok && read_schema(model, &expected));
    ok = read_schema(s->db, &found);
    if (!ok)
        sql_fail(s, "reading the tables", err);
    else if (!span_eq(buf_span(&expected), buf_span(&found)))
        ok =
            err_set(err, STORE_DAMAGE, "store %s: damaged: its tables are not Carillon's", s->path);
    sqlite3_close(model);
    buf_fini(&expected);
    buf_fini(&found);
    return ok;
}

/* Fills version: 0 is an empty file. */
static bool recognise(struct store *s, int64_t *version, struct err *err)
{
    int64_t application;
    int64_t n_objects;
    if (!ask_number(s, "PRAGMA application_id", &application, err) ||
        !ask_number(s, "PRAGMA user_version", version, err) ||
        !ask_number(s, "SELECT count(*) FROM sqlite_schema", &n_objects, err))
        return false;
    if (application == 0 && *version == 0 && n_objects == 0)
        return true;
    if (application != APPLICATION)
        return err_set(err, 503, "store %s: belongs to another program (application id 0x%08llx)",
            s->path, (unsigned long long)(uint32_t)application);
    if (*version > VERSION)
        return err_set(err, 503,
            "store %s: was written by a newer Carillon (version %lld, this one knows %d)", s->path,
            (long long)*version, (int)VERSION);
    if (*version == UNRELEASED)
        return err_set(
            err, 503, "store %s: was written by a Carillon that was never released", s->path);
    if (*version < 0 || (*version == 0 && n_objects != 0))
        return err_set(err, STORE_DAMAGE, "store %s: damaged: its version is %lld", s->path,
            (long long)*version);
    return true;
}

static bool migrate(struct store *s, int64_t version, struct err *err)
{
    char header[96];
    if (version == VERSION)
        return true;
    if (!run_text(s, "BEGIN EXCLUSIVE", "migrating", err))
        return false;
    snprintf(header, sizeof header, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
        APPLICATION, (int)VERSION);
    for (int64_t i = version ? version - UNRELEASED : 0; i < (int64_t)COUNT_OF(steps); i++)
        if (!run_text(s, steps[i], "migrating", err))
            return false; // closing rolls back
    return run_text(s, header, "migrating", err);
}

/* A journal mode is refused in words, not by a failure. */
static bool use_wal(struct store *s, struct err *err)
{
    struct buf mode = {0};
    bool ok = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", take_row, &mode, NULL) == SQLITE_OK;
    if (!ok)
        sql_fail(s, "starting its log", err);
    else if (!span_is(buf_span(&mode), "wal\n"))
        ok = err_set(err, 503, "store %s: this file system takes no write-ahead log", s->path);
    buf_fini(&mode);
    return ok;
}

/* In the place of SQLite's own hook, which makes a commit wait for a checkpoint. */
static int see_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct store *s = ctx;
    (void)db;
    (void)name;
    s->log_pages = s->log_end = (uint32_t)pages;
    return SQLITE_OK;
}

/* A run begins with an empty log.  SQLite has just read the one of before and checked each frame
 * of it; a flush of it that once failed is not relied on. */
static bool empty_log(struct store *s, struct err *err)
{
    return sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
               SQLITE_OK ||
           sql_fail(s, "emptying its log", err);
}

static bool set_up(struct store *s, struct err *err)
{
    char text[128];
    int64_t version;
    sqlite3_wal_hook(s->db, see_log, s);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, STORE_DATA + 65536);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    snprintf(text, sizeof text,
        "PRAGMA cache_size = -%d; PRAGMA journal_size_limit = %d; PRAGMA secure_delete = FAST",
        CACHE_KIB, WAL_LIMIT);
    // Exclusive before the log is first used: one process, and no shared memory file.
    return run_text(s, "PRAGMA locking_mode = EXCLUSIVE", "locking", err) &&
           recognise(s, &version, err) &&
           run_text(s, "PRAGMA auto_vacuum = INCREMENTAL", "setting up", err) && use_wal(s, err) &&
           run_text(
               s, "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON", "setting up", err) &&
           run_text(s, text, "setting up", err) && empty_log(s, err) && migrate(s, version, err) &&
           check_schema(s, err) && ask_number(s, "PRAGMA page_size", &s->page_bytes, err);
}

static bool prepare(struct store *s, struct err *err)
{
    _Static_assert(COUNT_OF(statements) == SQLS, "each statement has its text");
    for (size_t i = 0; i < SQLS; i++)
        if (sqlite3_prepare_v3(
                s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i], NULL) != SQLITE_OK)
            return sql_fail(s, "preparing", err);
    return true;
}

static uint64_t sum_marker(uint64_t run, uint64_t unclean_run, bool is_clean)
{
    return sum_u64(sum_u64(sum_u64(1, run), unclean_run), is_clean);
}

static int take_marker(void *ctx, int n, char **values, char **names)
{
    uint64_t *out = ctx;
    (void)names;
    for (int i = 0; i < n; i++)
        out[i] = values[i] ? (uint64_t)strtoll(values[i], NULL, 10) : 0;
    out[n]++; // rows
    return 0;
}

bool database_mark(struct store *s, bool is_clean, struct err *err)
{
    sqlite3_stmt *st = sql_use(s, SQL_MARK);
    sql_bind_u64(st, 1, s->run);
    sql_bind_u64(st, 2, s->unclean_run);
    sql_bind_int(st, 3, is_clean);
    sql_bind_u64(st, 4, sum_marker(s->run, s->unclean_run, is_clean));
    return sql_run(s, st, "marking the run", err);
}

/* Reads how the last run ended, and marks that this one has begun. */
static bool begin_run(struct store *s, struct err *err)
{
    enum { RUN, UNCLEAN_RUN, IS_CLEAN, SUM, ROWS };
    uint64_t last[ROWS + 1] = {0};
    if (sqlite3_exec(s->db, "SELECT run, unclean_run, is_clean, sum FROM marker", take_marker, last,
            NULL) != SQLITE_OK)
        return sql_fail(s, "reading the marker", err);
    if (last[ROWS] > 0) {
        bool is_clean = last[IS_CLEAN] != 0;
        if (last[ROWS] != 1 || last[SUM] != sum_marker(last[RUN], last[UNCLEAN_RUN], is_clean))
            return err_set(err, STORE_DAMAGE, "store %s: damaged: its marker of runs", s->path);
        s->unclean_run = is_clean ? last[UNCLEAN_RUN] : last[RUN];
    }
    s->run = last[RUN] + 1;
    return database_mark(s, false, err);
}

/* Only for whoever runs the server: it holds what users wrote. */
static bool touch_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, 503, "store %s: %s", path, strerror(errno));
    close(fd);
    return true;
}

static bool count(struct store *s, struct err *err)
{
    sqlite3_stmt *st = sql_use(s, SQL_COUNT);
    bool ok = sqlite3_step(st) == SQLITE_ROW;
    if (ok) {
        double events = sqlite3_column_double(st, 1);
        s->figures.n_streams = sql_u64(st, 0);
        s->figures.n_events = events >= 0 && events < 1e18 ? (uint64_t)events : 0;
    } else {
        sql_fail(s, "counting", err);
    }
    sqlite3_reset(st);
    if (!ok)
        return false;
    st = sql_use(s, SQL_LAST_ID);
    ok = sqlite3_step(st) == SQLITE_ROW;
    if (ok)
        s->last_id = sqlite3_column_int64(st, 0);
    else
        sql_fail(s, "counting", err);
    sqlite3_reset(st);
    return ok;
}

bool database_open(struct store *s, struct err *err)
{
    if (!touch_file(s->path, err))
        return false;
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return s->db ? sql_fail(s, "opening", err)
                     : err_set(err, 503, "store %s: out of memory", s->path);
    return set_up(s, err) && prepare(s, err) && begin_run(s, err) && count(s, err);
}
