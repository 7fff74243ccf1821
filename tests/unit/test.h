/* test.h - the harness of the unit tests.
 *
 * A test is a function whose name is a sentence; main runs each by name:
 *
 *     TEST(an_empty_box_has_no_bytes) { CHECK_EQ(box.bytes, 0); }
 *     int main(void) { RUN(an_empty_box_has_no_bytes); return test_end(); }
 *
 * A check that fails is printed with its place, and the test goes on, so that one run shows
 * all that is wrong.
 */
#ifndef TEST_H
#define TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned test_n_passed, test_n_failed;
static bool test_is_good; // no check of the running test has failed
static const char *test_name = "outside of a test";

#define TEST(name) static void name(void)

#define RUN(name) test_run(#name, name)

#define CHECK(expr)                                                                                \
    ((expr) ? (void)0                                                                              \
            : (void)(printf("%s:%d: %s: not true: %s\n", __FILE__, __LINE__, test_name, #expr),    \
                  test_is_good = false))
#define CHECK_EQ(a, b)  test_eq((intmax_t)(a), (intmax_t)(b), #a, __FILE__, __LINE__)
#define CHECK_STR(a, b) test_str((a), (b), #a, __FILE__, __LINE__)

static inline void test_eq(intmax_t a, intmax_t b, const char *expr, const char *file, int line)
{
    if (a == b)
        return;
    test_is_good = false;
    printf("%s:%d: %s: %s is %" PRIdMAX ", expected %" PRIdMAX "\n", file, line, test_name, expr, a,
        b);
}

static inline void test_str(
    const char *a, const char *b, const char *expr, const char *file, int line)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    test_is_good = false;
    printf("%s:%d: %s: %s is\n    '%s', expected\n    '%s'\n", file, line, test_name, expr,
        a ? a : "(null)", b ? b : "(null)");
}

static inline void test_run(const char *name, void (*run)(void))
{
    test_is_good = true;
    test_name = name;
    run();
    *(test_is_good ? &test_n_passed : &test_n_failed) += 1;
}

/* The closing line and main's result. */
static inline int test_end(void)
{
    printf("%u passed, %u failed\n", test_n_passed, test_n_failed);
    return test_n_failed > 0 || test_n_passed == 0;
}

#endif
