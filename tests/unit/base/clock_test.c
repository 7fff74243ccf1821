/* Time, and how it is written. */
#include "base/base.h"

#include "base/clock.h"

#include <time.h>

#include "test.h"

static const char *written(int64_t ms)
{
    static char out[25];
    clock_format(ms, out);
    return out;
}

static const char *written_s(int64_t s)
{
    static char out[21];
    clock_format_s(s, out);
    return out;
}

static const char *written_http(int64_t s)
{
    static char out[32];
    clock_format_http(s, out);
    return out;
}

TEST(a_moment_is_written_in_utc)
{
    CHECK_STR(written(0), "1970-01-01T00:00:00.000Z");
    CHECK_STR(written(1353088179007), "2012-11-16T17:49:39.007Z");
    CHECK_STR(written(951782400999), "2000-02-29T00:00:00.999Z");
    CHECK_STR(written_s(1353088179), "2012-11-16T17:49:39Z");
    CHECK_STR(written_s(4102444799), "2099-12-31T23:59:59Z");
}

TEST(a_date_header_is_written_as_http_wants_it)
{
    CHECK_STR(written_http(784111777), "Sun, 06 Nov 1994 08:49:37 GMT"); // RFC 9110 5.6.7
    CHECK_STR(written_http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(a_time_that_no_calendar_has_is_written_as_a_question_mark)
{
    CHECK_STR(written_s(INT64_MAX), "?");
    CHECK_STR(written_s((int64_t)400000000000), "?"); // the year has five digits
}

TEST(the_monotonic_clock_never_goes_back)
{
    uint64_t before = clock_us();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_us();
        CHECK(now >= before);
        before = now;
    }
}

TEST(wall_time_is_that_of_the_system)
{
    time_t before = time(NULL);
    int64_t now = clock_wall_ms();
    time_t after = time(NULL);
    CHECK(now / 1000 >= before - 1 && now / 1000 <= after + 1);
}

int main(void)
{
    RUN(a_moment_is_written_in_utc);
    RUN(a_date_header_is_written_as_http_wants_it);
    RUN(a_time_that_no_calendar_has_is_written_as_a_question_mark);
    RUN(the_monotonic_clock_never_goes_back);
    RUN(wall_time_is_that_of_the_system);
    return test_end();
}
