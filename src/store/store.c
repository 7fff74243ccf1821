/* The life of a store, its groups and its figures. */
#include "base/base.h"

#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"

struct store *store_open(const char *path, struct err *err)
{
    struct store *s = mem_zero(sizeof *s);
    s->path = mem_dup_str(path);
    s->synced = STORE_ACK;
    if (database_open(s, err))
        return s;
    store_close(s, false);
    return NULL;
}

void store_close(struct store *s, bool is_clean)
{
    struct err err;
    if (!s)
        return;
    if (s->in_group)
        store_rollback(s);
    if (is_clean && !s->is_spent && store_begin(s, STORE_ACK, &err)) {
        if (!database_mark(s, true, &err))
            (void)group_fail(s, &err);
        group_commit(s, &err); // else the next run finds this one unclean, which is honest
    }
    if (s->is_spent) // what it would copy from the log has not been checked
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    while (s->recent.first)
        stored_forget(s, CONTAINER_OF(s->recent.first, struct stored, recent));
    map_fini(&s->streams);
    for (size_t i = 0; i < SQLS; i++)
        sqlite3_finalize(s->sql[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

bool store_is_spent(const struct store *s)
{
    return s->is_spent;
}

bool store_probe(struct store *s, struct err *err)
{
    if (!store_begin(s, STORE_ACK, err))
        return false;
    if (!database_mark(s, false, err))
        (void)group_fail(s, err);
    return group_commit(s, err);
}

const struct err *store_failure(const struct store *s)
{
    return &s->failure;
}

bool store_put_aside(const char *path, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char from[4096];
        char to[4096];
        int n = snprintf(from, sizeof from, "%s%s", path, suffixes[i]);
        int m = snprintf(to, sizeof to, "%s.damaged%s", path, suffixes[i]);
        if (n < 0 || m < 0 || (size_t)n >= sizeof from || (size_t)m >= sizeof to)
            return err_set(err, 503, "store %s: the path is too long", path);
        if (i == 0 && stat(to, &st) == 0)
            return err_set(err, 503, "store %s: putting aside: %s is there already", path, to);
        if (rename(from, to) != 0 && (i == 0 || errno != ENOENT))
            return err_set(err, 503, "store %s: putting aside: %s", path, strerror(errno));
    }
    return true;
}

bool group_fail(struct store *s, const struct err *err)
{
    if (s->in_group && !s->has_failed) {
        s->has_failed = true;
        s->failure = *err;
    }
    return false;
}

/* What a group's commit waits for.  With FULL the log is on the disk before it returns; with
 * NORMAL it is in the kernel, which a crash of the process survives. */
static bool use_mode(struct store *s, enum store_durability mode, struct err *err)
{
    if (s->synced == (int)mode)
        return true;
    s->synced = -1;
    if (sqlite3_exec(s->db,
            mode == STORE_ACK ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL,
            NULL, NULL) != SQLITE_OK)
        return sql_fail(s, "choosing how to commit", err);
    s->synced = (int)mode;
    return true;
}

bool store_begin(struct store *s, enum store_durability mode, struct err *err)
{
    ENSURE(!s->in_group);
    reading_end(s, STORE_END);
    if (s->is_spent)
        return err_set(err, 503, "store %s: must be opened anew", s->path);
    if (!use_mode(s, mode, err) || !sql_run(s, sql_use(s, SQL_BEGIN), "beginning", err))
        return false;
    s->in_group = true;
    s->has_failed = false;
    s->mode = mode;
    return true;
}

/* Ends the group without it, and what is in memory about its streams. */
void store_rollback(struct store *s)
{
    struct err err;
    ENSURE(s->in_group);
    s->in_group = false;
    s->more_events = s->more_streams = 0;
    s->more_trimmed = 0;
    while (s->touched) {
        struct stored *st = s->touched;
        s->touched = st->next_touched;
        stored_forget(s, st);
    }
    if (sqlite3_get_autocommit(s->db))
        return; // SQLite did it when something failed
    if (!sql_run(s, sql_use(s, SQL_ROLLBACK), "rolling back", &err))
        s->is_spent = true;
}

/* A stream at its limit loses an event for each that it gains, and a few more while it is
 * above; the rest is store_trim's. */
static bool write_touched(struct store *s, struct err *err)
{
    for (struct stored *st = s->touched; st; st = st->next_touched) {
        uint64_t cut;
        if (st->gained && !stored_cut(s, st, 0, 2 * st->gained + 8, &cut, err))
            return false;
        if (st->now.state == STORE_WHOLE || st->now.state == STORE_CUT)
            stored_set_due(st);
        if (!stored_write(s, st, err))
            return false;
    }
    return true;
}

static void add_figures(struct store *s)
{
    struct store_figures *f = &s->figures;
    int64_t n = (int64_t)f->n_events + s->more_events; // damaged rows were counted as they are
    f->n_events = n > 0 ? (uint64_t)n : 0;
    n = (int64_t)f->n_streams + s->more_streams;
    f->n_streams = n > 0 ? (uint64_t)n : 0;
    f->n_trimmed += s->more_trimmed;
    s->more_events = s->more_streams = 0;
    s->more_trimmed = 0;
}

/* The group that could not be committed may lie in the log, whole: what failed was the flush behind
 * it.  After a crash it would be taken for committed, so it is cut off. */
static void cut_log(struct store *s)
{
    enum { HEAD = 32, FRAME_HEAD = 24 }; // https://sqlite.org/fileformat2.html#walformat
    sqlite3_file *log = NULL;
    sqlite3_int64 end = s->log_end ? HEAD + s->log_end * (FRAME_HEAD + s->page_bytes) : 0;
    if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        !log || !log->pMethods)
        return;
    if (log->pMethods->xTruncate(log, end) == SQLITE_OK)
        (void)log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

/* After a failed flush the kernel may have dropped what it could not write, and says so once: the
 * next flush succeeds without it.  So the log is not trusted any more before it is read anew. */
static bool end_group(struct store *s, struct err *err)
{
    if (sql_run(s, sql_use(s, SQL_COMMIT), "committing", err))
        return true;
    if ((sqlite3_errcode(s->db) & 0xff) == SQLITE_IOERR)
        s->is_spent = true;
    store_rollback(s);
    cut_log(s);
    return false;
}

bool group_commit(struct store *s, struct err *err)
{
    ENSURE(s->in_group);
    if (s->has_failed)
        *err = s->failure;
    if (s->has_failed || !write_touched(s, err)) {
        store_rollback(s);
        return false;
    }
    if (!end_group(s, err))
        return false;
    s->in_group = false;
    add_figures(s);
    while (s->touched) {
        struct stored *st = s->touched;
        s->touched = st->next_touched;
        st->is_touched = false;
        st->gained = 0;
    }
    return true;
}

bool store_commit(struct store *s, struct err *err)
{
    uint64_t before_us = clock_us();
    if (!group_commit(s, err))
        return false;
    s->figures.n_commits++;
    s->figures.last_commit_us = clock_us() - before_us;
    return true;
}

void store_checkpoint(struct store *s, uint32_t pages)
{
    ENSURE(!s->in_group);
    if (s->is_spent || s->log_pages < pages)
        return;
    reading_end(s, STORE_END);
    s->log_pages = 0;
    int n_log;
    int n_copied;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_log, &n_copied);
    if (rc == SQLITE_OK && n_log == n_copied)
        s->log_end = 0; // the next commit begins the log anew
    else if ((rc & 0xff) == SQLITE_IOERR)
        s->is_spent = true;
}

static uint64_t ask_pages(struct store *s, enum sql which)
{
    sqlite3_stmt *st = sql_use(s, which);
    uint64_t n = sqlite3_step(st) == SQLITE_ROW ? sql_u64(st, 0) : 0;
    sqlite3_reset(st);
    return n;
}

void store_read_figures(struct store *s, struct store_figures *out)
{
    uint64_t page_bytes = ask_pages(s, SQL_PAGE_SIZE);
    s->figures.file_bytes = ask_pages(s, SQL_PAGES) * page_bytes;
    s->figures.free_bytes = ask_pages(s, SQL_FREE_PAGES) * page_bytes;
    *out = s->figures;
}
