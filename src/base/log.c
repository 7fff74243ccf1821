/* Structured log lines, each written by one write(2). */
#include "base/base.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"

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

/* What stands for the format's quotes: a mark drawn for each line, so that no value can hold
 * it and end before its time. */
enum { MARK = 9 };

static void draw_mark(char mark[MARK + 1])
{
    snprintf(mark, MARK + 1, "\x01%08x", rand_u32());
}

/* Splits "key=value other=MARKany bytesMARK". */
static void add_fields(struct buf *out, enum log_format format, struct span text, const char *mark)
{
    while (text.len) {
        const char *equals = memchr(text.p, '=', text.len);
        struct span name = span_of(text.p, equals ? (size_t)(equals - text.p) : text.len);
        text = span_from(text, name.len + (equals != NULL));
        bool is_quoted = span_starts(text, mark);
        if (is_quoted)
            text = span_from(text, MARK);
        const char *end =
            is_quoted ? memmem(text.p, text.len, mark, MARK) : memchr(text.p, ' ', text.len);
        struct span value = span_of(text.p, end ? (size_t)(end - text.p) : text.len);
        add_field(out, format, name, value);
        text = span_from(text, value.len + (end && is_quoted ? MARK : 0));
        text = span_from(text, 1); // the blank between two fields
    }
}

static void format_fields(struct buf *text, const char *fields, const char *mark, va_list args)
{
    struct buf pattern = {0};
    for (; *fields; fields++) {
        if (*fields == '"')
            buf_add(&pattern, mark, MARK);
        else
            buf_add_char(&pattern, *fields);
    }
    buf_add_char(&pattern, '\0');
    char line[1500];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // derived from a checked literal just above
    int len = vsnprintf(line, sizeof line, pattern.p, args);
#pragma GCC diagnostic pop
    if (len > 0)
        buf_add(text, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    buf_fini(&pattern);
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    if (!log_is_on(level))
        return;
    enum log_format format = (enum log_format)atomic_load(&format_now);
    struct buf out = {0};
    struct buf text = {0};
    char when[25];
    char mark[MARK + 1];
    draw_mark(mark);
    clock_format(clock_wall_ms(), when);
    if (format == LOG_JSON)
        buf_addf(&out, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", when,
            level_names[level], event);
    else
        buf_addf(&out, "time=%s level=%s event=%s", when, level_names[level], event);
    va_list args;
    va_start(args, fields);
    format_fields(&text, fields, mark, args);
    va_end(args);
    add_fields(&out, format, buf_span(&text), mark);
    buf_add_str(&out, format == LOG_JSON ? "}\n" : "\n");
    /* A log that cannot be written has nobody to be told. */
    ssize_t written = write(STDERR_FILENO, out.p, out.len);
    (void)written;
    buf_fini(&text);
    buf_fini(&out);
}
