/* Failures in words, and the end of the program when it finds a bug in itself. */
#include "base/base.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void ensure_failed(const char *file, int line, const char *func, const char *expr)
{
    fprintf(stderr, "%s:%d: %s: ensured '%s', found otherwise: this is a bug\n", file, line, func,
        expr);
    abort();
}

bool err_set(struct err *err, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->status = status;
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 3 < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s",
            (int)(sizeof err->text - (size_t)n - 3), inner);
    return false;
}
