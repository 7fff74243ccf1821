/* Time. */
#include "base/base.h"

#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* The kernel counts from the machine's start, but things are older than that: events that a
 * store has kept.  Ten years. */
static const uint64_t before_us = UINT64_C(3652) * 86400 * 1000000;

uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return before_us + (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

int64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_format_s(int64_t wall_s, char out[21])
{
    struct tm tm;
    time_t t = (time_t)wall_s;
    if (!gmtime_r(&t, &tm) || !strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm))
        memcpy(out, "?", 2);
}

void clock_format(int64_t wall_ms, char out[25])
{
    char seconds[21];
    clock_format_s(wall_ms / 1000, seconds);
    char text[40];
    snprintf(text, sizeof text, "%.19s.%03dZ", seconds, (int)(wall_ms % 1000));
    memcpy(out, text, 24);
    out[24] = '\0';
}

void clock_format_http(int64_t wall_s, char out[32])
{
    struct tm tm;
    time_t t = (time_t)wall_s;
    if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        out[0] = '\0';
}
