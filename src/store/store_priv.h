/* store_priv.h - the store from inside: statements, cached streams, checksums.
 *
 * An event's key is one integer, stream id and offset, so that a stream's events lie side by
 * side in one B-tree and need no index.  A stream that is reset gets a new id; the old one's
 * events wait in the table of graves until store_trim has deleted them.
 *
 * Every row has a sum over all that it says.  SQLite has none for what lies in the database.
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include <sqlite3.h>

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"

enum { OFFSET_BITS = 40, MAX_ID = (1 << 23) - 1 };

#define NEVER_MS INT64_MAX

#define STATEMENT(name, text) SQL_##name,
enum sql {
#include "store/statements.def"
    SQLS
};
#undef STATEMENT

/* One stream in memory. */
struct stored {
    struct map_node node;
    struct list_node recent;
    struct stored *next_touched; // of the group
    bool is_touched;
    int64_t id;              // 0 = it has no row
    struct store_stream now; // with what the group has changed
    uint64_t run;            // in which its epoch began
    int64_t oldest_ms;       // time of the oldest event
    int64_t due_ms;          // when store_trim must look at it
    int64_t written_due_ms;  // as the file has it
    uint64_t gained;         // events of the group
    size_t app_len, channel_len;
    char key[]; // app, then channel
};

struct reading {
    struct stored *stream; // NULL = none
    sqlite3_stmt *rows;
    uint64_t next, last; // offsets, in the direction of reading
    bool is_backwards;
    uint64_t left_events, left_bytes;
    bool is_first;
    int64_t time_ms;     // of the event before
    enum store_step end; // once rows is NULL
};

struct store {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *sql[SQLS];
    uint64_t run, unclean_run; // this run; the last that ended without store_close
    struct map streams;
    struct list recent;     // the least recently used first
    struct stored *touched; // by the group
    bool in_group, is_spent;
    bool has_failed;            // the group cannot be committed
    struct err failure;         // why; or why a reading failed
    enum store_durability mode; // of the group
    int synced;                 // the mode that SQLite is set to, or -1
    int64_t last_id;            // the last that was given out
    int64_t grave;              // the last that store_trim could not empty
    uint32_t log_pages;         // that no checkpoint has tried to take yet
    uint32_t log_end;           // pages of the log up to the last commit; 0 = none counts
    int64_t page_bytes;
    int64_t more_streams, more_events; // by the group, may be negative
    uint64_t more_trimmed;
    struct reading reading;
    struct store_figures figures;
};

/* store_sql.c */

/* Clears a statement for use. */
sqlite3_stmt *sql_use(struct store *s, enum sql which);

void sql_bind_span(sqlite3_stmt *st, int at, struct span value);
void sql_bind_int(sqlite3_stmt *st, int at, int64_t value);
void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t value);
struct span sql_span(sqlite3_stmt *st, int at);
uint64_t sql_u64(sqlite3_stmt *st, int at);

/* Runs a statement that gives no rows, to its end. */
bool sql_run(struct store *s, sqlite3_stmt *st, const char *doing, struct err *err) MUST_CHECK;

/* Fills err with what SQLite says, and notes what it means for the store.  Returns false. */
bool sql_fail(struct store *s, const char *doing, struct err *err);

/* The failure just seen is about what the file says, not about the disk. */
bool sql_is_corrupt(const struct store *s);

/* Sums.  Changing any one word of what was added changes the sum. */
static inline uint64_t sum_u64(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9E3779B97F4A7C15ULL;
    return sum ^ (sum >> 29);
}
uint64_t sum_span(uint64_t sum, struct span text);

/* store_file.c */

/* Opens the file, makes or migrates its tables, prepares the statements, marks the run. */
bool database_open(struct store *s, struct err *err) MUST_CHECK;
bool database_mark(struct store *s, bool is_clean, struct err *err) MUST_CHECK;

/* store.c */

/* The group cannot be committed any more, for this reason.  Returns false. */
bool group_fail(struct store *s, const struct err *err);
bool group_commit(struct store *s, struct err *err); // or rolls back

/* store_stream.c */

/* The stream in memory, read from the file if need be.  False when that failed; *out is NULL
 * when there is none.  A damaged one is there with its state and, if at all, its id. */
bool stored_find(
    struct store *s, const struct store_key *key, struct stored **out, struct err *err) MUST_CHECK;
bool stored_load(struct store *s, int64_t id, struct stored **out, struct err *err) MUST_CHECK;
void stored_touch(struct store *s, struct stored *st); // it changes with the group
bool stored_write(struct store *s, struct stored *st, struct err *err) MUST_CHECK;
void stored_forget(struct store *s, struct stored *st); // frees it
void stored_damage(struct stored *st);
bool stored_remove(struct store *s, struct stored *st, struct err *err) MUST_CHECK; // of the file
/* And what is in memory says so. */
bool stored_drop(
    struct store *s, struct stored *st, enum store_state state, struct err *err) MUST_CHECK;
void stored_set_due(struct stored *st);
struct store_key stored_key(const struct stored *st);

static inline uint64_t stored_events(const struct stored *st)
{
    return st->now.top + 1 - st->now.oldest;
}

static inline int64_t event_key(int64_t id, uint64_t offset)
{
    return (int64_t)((uint64_t)id << OFFSET_BITS | offset);
}

static inline uint64_t event_offset(int64_t key)
{
    return (uint64_t)key & (STORE_OFFSETS - 1);
}

/* store_event.c */
uint64_t event_sum(const struct stored *st, const struct store_event *event);

static inline uint64_t event_bytes(const struct store_event *e)
{
    return e->name.len + e->data.len;
}

/* The event of a row of the columns key, time_ms, name, data, sum.  False when it is not what was written. */
bool event_of_row(const struct stored *st, sqlite3_stmt *row, struct store_event *out) MUST_CHECK;

/* store_read.c */
void reading_end(struct store *s, enum store_step end);

/* store_trim.c */

/* Deletes from the old end what the rule does not keep, at most budget events; ages count only
 * where now_ms is not 0.  *cut: how many.  Damage makes the stream DAMAGED and is no failure. */
bool stored_cut(struct store *s, struct stored *st, int64_t now_ms, uint64_t budget, uint64_t *cut,
    struct err *err) MUST_CHECK;

#endif
