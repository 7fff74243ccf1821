/* Log lines: what a machine that reads them finds, whatever a peer put into a value. */
#include "base/base.h"

#include "base/log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

static int sink; // stands in for standard error
static int saved;

static void begin(enum log_level level, enum log_format format)
{
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    sink = memfd_create("log", MFD_CLOEXEC);
    ENSURE(saved >= 0 && sink >= 0 && dup2(sink, STDERR_FILENO) >= 0);
    log_setup(level, format);
}

/* What was logged since begin, NUL-terminated, until the next call. */
static const char *end(void)
{
    static char text[8192];
    ssize_t n = pread(sink, text, sizeof text - 1, 0);
    ENSURE(n >= 0 && dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(sink);
    text[n] = '\0';
    return text;
}

/* The line without its time, which must look like one. */
static const char *behind_time(const char *line, const char *before, const char *after)
{
    size_t n = strlen(before);
    CHECK(strncmp(line, before, n) == 0);
    CHECK(strlen(line) > n + 24 && line[n + 10] == 'T' && line[n + 23] == 'Z');
    CHECK(strncmp(line + n + 24, after, strlen(after)) == 0);
    return line + n + 24 + strlen(after);
}

#define LOGFMT(...)                                                                                \
    (begin(LOG_INFO, LOG_LOGFMT), log_event(LOG_INFO, "e", __VA_ARGS__),                           \
        behind_time(end(), "time=", " level=info "))
#define JSON(...)                                                                                  \
    (begin(LOG_INFO, LOG_JSON), log_event(LOG_INFO, "e", __VA_ARGS__),                             \
        behind_time(end(), "{\"time\":\"", "\",\"level\":\"info\","))

TEST(a_line_has_time_level_event_and_fields)
{
    CHECK_STR(LOGFMT("port=%d tls=%s", 6001, "no"), "event=e port=6001 tls=no\n");
    CHECK_STR(
        JSON("port=%d tls=%s", 6001, "no"), "\"event\":\"e\",\"port\":6001,\"tls\":\"no\"}\n");
    CHECK_STR(LOGFMT("%s", ""), "event=e\n");
    CHECK_STR(JSON("%s", ""), "\"event\":\"e\"}\n");
}

TEST(a_value_with_blanks_or_quotes_is_quoted)
{
    CHECK_STR(LOGFMT("why=\"%s\" n=%d", "two words", 1), "event=e why=\"two words\" n=1\n");
    CHECK_STR(LOGFMT("why=\"%s\"", "a\"b\\c"), "event=e why=\"a\\\"b\\\\c\"\n");
    CHECK_STR(LOGFMT("why=\"%s\" n=%d", "", 1), "event=e why=\"\" n=1\n");
    CHECK_STR(LOGFMT("why=\"%s\"", "a=b"), "event=e why=\"a=b\"\n");
    CHECK_STR(LOGFMT("why=\"%s\"", "plain"), "event=e why=plain\n");
    CHECK_STR(JSON("why=\"%s\" n=%d", "a\"b\\c d", 1),
        "\"event\":\"e\",\"why\":\"a\\\"b\\\\c d\",\"n\":1}\n");
}

TEST(a_control_character_cannot_begin_a_line)
{
    CHECK_STR(LOGFMT("who=\"%s\"", "a\nlevel=error"), "event=e who=\"a\\u000alevel=error\"\n");
    CHECK_STR(
        LOGFMT("who=\"%s\"", "a\r\x7f\x1b[0m"), "event=e who=\"a\\u000d\\u007f\\u001b[0m\"\n");
    CHECK_STR(JSON("who=\"%s\"", "a\nb"), "\"event\":\"e\",\"who\":\"a\\u000ab\"}\n");
}

/* The writer marks a quoted value's ends by a byte of its own: a peer who sends that byte
 * must not be able to end the value and go on with fields that we never wrote. */
TEST(a_value_cannot_go_on_as_another_field)
{
    const char *line = LOGFMT("who=\"%s\" n=%d", "a\x01 level=error user=\x01root\x01", 1);
    CHECK(strstr(line, "event=e who=\"") == line);
    CHECK(strstr(line, "\" n=1\n") != NULL);
    const char *json = JSON("who=\"%s\" n=%d", "a\x01 level=error", 1);
    CHECK(strstr(json, "\"event\":\"e\",\"who\":\"a") == json);
    CHECK(strstr(json, "\"level\":") == NULL);
}

TEST(only_whole_numbers_are_numbers_in_json)
{
    CHECK_STR(JSON("a=%d b=%d c=%s", 0, -12, "007"),
        "\"event\":\"e\",\"a\":0,\"b\":-12,\"c\":\"007\"}\n");
    CHECK_STR(JSON("a=%s b=%s c=%s", "1.5", "-", "1e3"),
        "\"event\":\"e\",\"a\":\"1.5\",\"b\":\"-\",\"c\":\"1e3\"}\n");
    CHECK_STR(
        JSON("a=%s", "12345678901234567890"), "\"event\":\"e\",\"a\":\"12345678901234567890\"}\n");
}

TEST(a_level_that_is_off_writes_nothing)
{
    begin(LOG_WARN, LOG_LOGFMT);
    CHECK(log_is_on(LOG_ERROR));
    CHECK(log_is_on(LOG_WARN));
    CHECK(!log_is_on(LOG_INFO));
    log_event(LOG_INFO, "quiet", "n=%d", 1);
    log_event(LOG_DEBUG, "quiet", "n=%d", 2);
    log_event(LOG_ERROR, "loud", "n=%d", 3);
    const char *text = end();
    CHECK(strstr(text, "quiet") == NULL);
    CHECK(strstr(text, " level=error event=loud n=3\n") != NULL);
}

TEST(a_value_that_is_too_long_is_cut_and_the_line_still_ends)
{
    static char text[5000];
    memset(text, 't', sizeof text - 1);
    const char *line = LOGFMT("who=\"%s\" n=%d", text, 1);
    CHECK(strlen(line) > 1000 && strlen(line) < sizeof text);
    CHECK(strchr(line, '\n') == line + strlen(line) - 1);
    const char *json = JSON("who=\"%s\" n=%d", text, 1);
    CHECK(strcmp(json + strlen(json) - 4, "t\"}\n") == 0);
}

int main(void)
{
    RUN(a_line_has_time_level_event_and_fields);
    RUN(a_value_with_blanks_or_quotes_is_quoted);
    RUN(a_control_character_cannot_begin_a_line);
    RUN(a_value_cannot_go_on_as_another_field);
    RUN(only_whole_numbers_are_numbers_in_json);
    RUN(a_level_that_is_off_writes_nothing);
    RUN(a_value_that_is_too_long_is_cut_and_the_line_still_ends);
    return test_end();
}
