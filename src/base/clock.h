/* clock.h - time.  Timers use the monotonic clock; wall time is for signatures and people. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

uint64_t clock_us(void);                              // monotonic; begins at ten years
int64_t clock_wall_ms(void);                          // since 1970
void clock_format(int64_t wall_ms, char out[25]);     // 2026-01-02T03:04:05.678Z and a NUL
void clock_format_s(int64_t wall_s, char out[21]);    // 2026-01-02T03:04:05Z and a NUL
void clock_format_http(int64_t wall_s, char out[32]); // as a Date header has it

#endif
