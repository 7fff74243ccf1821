/* err.h - a failure that a person must read.
 *
 * A function that can fail this way returns bool, false exactly when err is filled.
 * err_set and err_wrap return false, so a failing path is one line.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

struct err {
    int status;      // an HTTP status where the failure is answered over HTTP, else 0
    char text[1024]; // one sentence, without a newline at the end
};

bool err_set(struct err *err, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text that is there. */
bool err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
