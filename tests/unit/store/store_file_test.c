/* Which files are taken, and what is done to them. */
#include "base/base.h"

#include <sqlite3.h>

#include "shop.h"

static struct shop h;

/* Says something to the file from outside. */
static void tell(const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    ENSURE(sqlite3_open(h.path, &db) == SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        printf("# %s: %s\n", sql, why);
    ENSURE(!why);
    ENSURE(sqlite3_close(db) == SQLITE_OK);
}

static void put_file(const char *text, size_t len)
{
    FILE *file = fopen(h.path, "w");
    ENSURE(file && fwrite(text, 1, len, file) == len && fclose(file) == 0);
}

static bool is_refused(const char *why)
{
    struct store *s = store_open(h.path, &h.err);
    if (s || !strstr(h.err.text, why) || !strstr(h.err.text, h.path))
        printf("# %s\n", s ? "was opened" : h.err.text);
    bool is_right = !s && strstr(h.err.text, why) && strstr(h.err.text, h.path);
    store_close(s, true);
    return is_right;
}

/* A store with one stream, closed. */
static void make_store(void)
{
    shop_init(&h);
    ENSURE(shop_open(&h) && shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    ENSURE(shop_fill(&h, "a", 1, 300));
    store_close(h.s, true);
    h.s = NULL;
}

TEST(the_file_is_only_for_its_owner)
{
    struct stat st;
    make_store();
    ENSURE(stat(h.path, &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    shop_fini(&h);
}

TEST(files_of_other_programs_are_refused_and_left_alone)
{
    shop_init(&h);
    tell("CREATE TABLE theirs(x); PRAGMA application_id = 0x1234abcd");
    CHECK(is_refused("belongs to another program (application id 0x1234abcd)"));
    tell("PRAGMA application_id = 0");
    CHECK(is_refused("belongs to another program"));
    tell("INSERT INTO theirs VALUES(1)"); // it is still theirs
    tell("DROP TABLE theirs; PRAGMA user_version = 7");
    CHECK(is_refused("belongs to another program"));
    put_file("this is a text and no database at all\n", 38);
    CHECK(is_refused("file is not a database"));
    shop_fini(&h);
}

TEST(a_newer_version_is_refused_and_an_older_one_migrated)
{
    make_store();
    tell("PRAGMA user_version = 3");
    CHECK(is_refused("was written by a newer Carillon (version 3, this one knows 2)"));
    tell("PRAGMA user_version = 1");
    CHECK(is_refused("was written by a Carillon that was never released"));
    tell("PRAGMA user_version = 0");
    CHECK(is_refused("damaged: its version is 0"));
    tell("PRAGMA user_version = -1");
    CHECK(is_refused("damaged: its version is -1"));
    tell("PRAGMA user_version = 2");
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "a", 1, 300));
    shop_fini(&h);
    // Version 0 has no tables: what is left when making the file was interrupted.
    shop_init(&h);
    tell("PRAGMA application_id = 0x4361726C");
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    shop_reopen(&h, true);
    CHECK_EQ(shop_find(&h, "a").state, STORE_WHOLE);
    shop_fini(&h);
}

TEST(tables_that_are_not_ours_are_refused)
{
    make_store();
    tell("CREATE TRIGGER extra AFTER INSERT ON events BEGIN DELETE FROM events; END");
    CHECK(is_refused("its tables are not Carillon's"));
    tell("DROP TRIGGER extra; DROP TABLE graves");
    CHECK(is_refused("its tables are not Carillon's"));
    shop_fini(&h);
}

TEST(a_marker_that_was_changed_is_refused)
{
    make_store();
    tell("UPDATE marker SET is_clean = 0");
    CHECK(is_refused("damaged: its marker"));
    tell("UPDATE marker SET is_clean = 1, run = run + 1");
    CHECK(is_refused("damaged: its marker"));
    shop_fini(&h);
}

TEST(a_file_that_was_cut_short_is_refused_or_its_streams_are_lost)
{
    struct stat st;
    make_store();
    ENSURE(stat(h.path, &st) == 0);
    CHECK(st.st_size > 5 * 4096);
    for (off_t size = st.st_size - 4096; size > 0; size -= 4096) {
        ENSURE(truncate(h.path, size) == 0);
        h.s = store_open(h.path, &h.err);
        if (h.s) {
            enum store_step end;
            struct store_stream found = shop_find(&h, "a");
            bool is_lost =
                found.state != STORE_WHOLE ||
                (shop_read(&h, "a", (struct store_range){0}, 1, &end) <= 300 && end == STORE_LOST);
            CHECK(is_lost);
            store_close(h.s, false);
            h.s = NULL;
        } else {
            CHECK(strstr(h.err.text, h.path) != NULL);
        }
    }
    shop_fini(&h);
}

/* Holds the file until the pipe closes. */
static pid_t hold_elsewhere(int *end)
{
    int ready[2];
    int stay[2];
    char byte;
    ENSURE(pipe(ready) == 0 && pipe(stay) == 0);
    fflush(stdout);
    pid_t child = fork();
    ENSURE(child >= 0);
    if (child == 0) {
        close(stay[1]);
        ENSURE(shop_open(&h) && write(ready[1], "r", 1) == 1);
        _exit(read(stay[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(stay[0]);
    close(ready[1]);
    ENSURE(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    *end = stay[1];
    return child;
}

TEST(a_file_that_another_process_has_open_is_refused)
{
    int end;
    int status = 1;
    make_store();
    pid_t child = hold_elsewhere(&end);
    CHECK(is_refused("another process has it open"));
    close(end);
    ENSURE(waitpid(child, &status, 0) == child && status == 0);
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "a", 1, 300));
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(the_file_is_only_for_its_owner);
    RUN(files_of_other_programs_are_refused_and_left_alone);
    RUN(a_newer_version_is_refused_and_an_older_one_migrated);
    RUN(tables_that_are_not_ours_are_refused);
    RUN(a_marker_that_was_changed_is_refused);
    RUN(a_file_that_was_cut_short_is_refused_or_its_streams_are_lost);
    RUN(a_file_that_another_process_has_open_is_refused);
    return test_end();
}
