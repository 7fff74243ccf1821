/* Statements, bindings, and what SQLite's failures mean. */
#include "base/base.h"

#include "store/store_priv.h"

#include <stdio.h>

sqlite3_stmt *sql_use(struct store *s, enum sql which)
{
    sqlite3_stmt *st = s->sql[which];
    sqlite3_reset(st);
    return st;
}

/* The bytes must outlive the statement's run, and an empty text is not NULL. */
void sql_bind_span(sqlite3_stmt *st, int at, struct span value)
{
    sqlite3_bind_blob64(st, at, value.len ? value.p : "", value.len, SQLITE_STATIC);
}

void sql_bind_int(sqlite3_stmt *st, int at, int64_t value)
{
    sqlite3_bind_int64(st, at, value);
}

void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t value)
{
    sqlite3_bind_int64(st, at, (int64_t)value);
}

struct span sql_span(sqlite3_stmt *st, int at)
{
    const char *p = sqlite3_column_blob(st, at);
    int len = sqlite3_column_bytes(st, at);
    return p && len > 0 ? span_of(p, (size_t)len) : span_of("", 0);
}

uint64_t sql_u64(sqlite3_stmt *st, int at)
{
    return (uint64_t)sqlite3_column_int64(st, at);
}

bool sql_run(struct store *s, sqlite3_stmt *st, const char *doing, struct err *err)
{
    int rc;
    do {
        rc = sqlite3_step(st);
    } while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE) {
        sql_fail(s, doing, err);
        sqlite3_reset(st);
        return false;
    }
    sqlite3_reset(st);
    return true;
}

bool sql_is_corrupt(const struct store *s)
{
    int rc = sqlite3_errcode(s->db) & 0xff;
    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_TOOBIG ||
           rc == SQLITE_CONSTRAINT;
}

bool sql_fail(struct store *s, const char *doing, struct err *err)
{
    int rc = sqlite3_errcode(s->db) & 0xff;
    int number = sqlite3_system_errno(s->db);
    char reason[256] = "";
    if (sql_is_corrupt(s))
        s->is_spent = true;
    if (rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN)
        snprintf(reason, sizeof reason, " (code %d%s%s)", sqlite3_extended_errcode(s->db),
            number ? ", " : "", number ? strerror(number) : "");
    s->figures.n_failures++;
    return err_set(err, sql_is_corrupt(s) ? STORE_DAMAGE : 503, "store %s: %s: %s%s", s->path,
        doing, rc == SQLITE_BUSY ? "another process has it open" : sqlite3_errmsg(s->db), reason);
}

uint64_t sum_span(uint64_t sum, struct span text)
{
    size_t at = 0;
    sum = sum_u64(sum, text.len);
    for (; at + 8 <= text.len; at += 8) {
        uint64_t word;
        memcpy(&word, text.p + at, sizeof word);
        sum = sum_u64(sum, word);
    }
    if (at < text.len) {
        uint64_t word = 0;
        memcpy(&word, text.p + at, text.len - at);
        sum = sum_u64(sum, word);
    }
    return sum;
}
