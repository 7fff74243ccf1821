/* Failures in words, and what a bug in us looks like. */
#include "base/base.h"

#include "base/err.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

TEST(setting_an_error_returns_false_and_fills_it)
{
    struct err err = {0};
    CHECK(!err_set(&err, 413, "limit %d is above %s", 7, "five"));
    CHECK_EQ(err.status, 413);
    CHECK_STR(err.text, "limit 7 is above five");
}

TEST(wrapping_puts_the_context_in_front_and_keeps_the_status)
{
    struct err err = {0};
    err_set(&err, 400, "unknown option '%s'", "prot");
    CHECK(!err_wrap(&err, "line %d", 12));
    CHECK(!err_wrap(&err, "reading %s", "/etc/x"));
    CHECK_EQ(err.status, 400);
    CHECK_STR(err.text, "reading /etc/x: line 12: unknown option 'prot'");
}

/* Whatever the lengths, the text ends inside of its array. */
TEST(texts_that_are_too_long_are_cut_at_the_end)
{
    static char text[3000];
    memset(text, 't', sizeof text - 1);
    for (int inner = 900; inner < 1100; inner++) {
        struct err err = {0};
        err_set(&err, 0, "%.*s", inner, text);
        size_t kept = strlen(err.text);
        CHECK_EQ(kept, inner < (int)sizeof err.text ? inner : (int)sizeof err.text - 1);
        err_wrap(&err, "context");
        CHECK(strncmp(err.text, "context: ttt", 12) == 0);
        CHECK(strlen(err.text) < sizeof err.text);
        CHECK(strlen(err.text) >= kept - 10);
    }
    for (int outer = 1000; outer < 1040; outer++) {
        struct err err = {0};
        err_set(&err, 0, "inner");
        err_wrap(&err, "%.*s", outer, text);
        CHECK(strlen(err.text) < sizeof err.text);
        CHECK(strncmp(err.text, text, 1000) == 0);
    }
}

TEST(a_broken_promise_ends_the_program_and_says_where)
{
    int out[2];
    char text[512];
    ENSURE(pipe(out) == 0);
    fflush(stdout);
    pid_t child = fork();
    ENSURE(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(out[1], STDERR_FILENO);
        int two = 2;
        ENSURE(two == 3);
        _exit(0);
    }
    close(out[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    int status = 0;
    ENSURE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "err_test.c:") != NULL);
    CHECK(strstr(text, "two == 3") != NULL);
    CHECK(strstr(text, "a_broken_promise_ends_the_program_and_says_where") != NULL);
    close(out[0]);
}

int main(void)
{
    RUN(setting_an_error_returns_false_and_fills_it);
    RUN(wrapping_puts_the_context_in_front_and_keeps_the_status);
    RUN(texts_that_are_too_long_are_cut_at_the_end);
    RUN(a_broken_promise_ends_the_program_and_says_where);
    return test_end();
}
