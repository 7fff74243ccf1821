/* log.h - one structured line per notable event, to standard error.
 *
 * logfmt (key=value) by default, JSON by option.  Secrets and tokens never go in:
 * callers log ids, keys' owners and reasons, not what a peer sent to prove itself.
 * Thread: any; a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_FORMATS };

void log_setup(enum log_level level, enum log_format format);
bool log_is_on(enum log_level level);

/* fields: "key=%s other=%d" printf style.  A value with blanks or quotes is written as
 * key="%s" in the format; it is then escaped by the writer.  In JSON every value is a
 * string or, when it is a whole number, a number. */
void log_event(enum log_level level, const char *event, const char *fields, ...) PRINTF_LIKE(3, 4);

#endif
