/* Structured log lines, each written by one write(2). */
#include "base/base.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static atomic_int level_now = LOG_INFO;
static atomic_int format_now = LOG_LOGFMT;

static const char *const level_names[LOG_LEVELS] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&level_now, level);
    atomic_store(&format_now, format);
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

static void add_quoted(struct buf *out, struct span value)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        char c = value.p[i];
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if ((unsigned char)c < 0x20 || c == 0x7f)
            buf_addf(out, "\\u%04x", (unsigned)(unsigned char)c);
        else
            buf_add_char(out, c);
    }
    buf_add_char(out, '"');
}

static bool is_number(struct span value)
{
    size_t from = value.len && value.p[0] == '-';
    for (size_t i = from; i < value.len; i++)
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
    return value.len > from && value.len < 16 && (value.p[from] != '0' || value.len == from + 1);
}

static bool is_plain(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] <= ' ' || value.p[i] == '"' || value.p[i] == '=' || value.p[i] == 0x7f)
            return false;
    return value.len > 0;
}

static void add_field(struct buf *out, enum log_format format, struct span key, struct span value)
{
    if (format == LOG_JSON) {
        buf_addf(out, ",\"%.*s\":", SPAN(key));
        if (is_number(value))
            buf_add_span(out, value);
        else
            add_quoted(out, value);
        return;
    }
    buf_addf(out, " %.*s=", SPAN(key));
    if (is_plain(value))
        buf_add_span(out, value);
    else
        add_quoted(out, value);
}

/* Splits "key=value other=\x01any bytes\x01".  A value in \x01 may hold anything but \x01;
 * the front end turns the format's quotes into \x01 so that a peer's quote cannot end it. */
static void add_fields(struct buf *out, enum log_format format, struct span text)
{
    size_t i = 0;
    while (i < text.len) {
        size_t key = i;
        while (i < text.len && text.p[i] != '=')
            i++;
        struct span name = span_of(text.p + key, i - key);
        if (i < text.len)
            i++;
        char stop = ' ';
        if (i < text.len && text.p[i] == '\x01') {
            stop = '\x01';
            i++;
        }
        size_t value = i;
        while (i < text.len && text.p[i] != stop)
            i++;
        add_field(out, format, name, span_of(text.p + value, i - value));
        i += stop == '\x01' ? 2 : 1;
    }
}

static void format_fields(struct buf *text, const char *fields, va_list args)
{
    char pattern[512];
    size_t n = strlen(fields);
    ENSURE(n < sizeof pattern);
    for (size_t i = 0; i <= n; i++)
        pattern[i] = fields[i] == '"' ? '\x01' : fields[i];
    char line[1500];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // derived from a checked literal just above
    int len = vsnprintf(line, sizeof line, pattern, args);
#pragma GCC diagnostic pop
    if (len > 0)
        buf_add(text, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    if (!log_is_on(level))
        return;
    enum log_format format = (enum log_format)atomic_load(&format_now);
    struct buf out = {0};
    struct buf text = {0};
    char when[25];
    clock_format(clock_wall_ms(), when);
    if (format == LOG_JSON)
        buf_addf(&out, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", when,
            level_names[level], event);
    else
        buf_addf(&out, "time=%s level=%s event=%s", when, level_names[level], event);
    va_list args;
    va_start(args, fields);
    format_fields(&text, fields, args);
    va_end(args);
    add_fields(&out, format, buf_span(&text));
    buf_add_str(&out, format == LOG_JSON ? "}\n" : "\n");
    /* A log that cannot be written has nobody to be told. */
    ssize_t written = write(STDERR_FILENO, out.p, out.len);
    (void)written;
    buf_fini(&text);
    buf_fini(&out);
}
