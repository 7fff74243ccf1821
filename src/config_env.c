/* The environment as a source, and a dotenv file that adds to it.
 *
 * Of the file's syntax: blank lines, # comments, an export in front, values bare, in single
 * quotes (literal) or in double quotes (with \n \r \t \" \\ \$), both of which may go over
 * several lines.  Variables are not expanded.  The last of two lines with one name counts. */
#include "base/base.h"

#include "config_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { TEXT_MAX = 1024 * 1024 };

static const char ours[] = "CARILLON_";

struct env_var {
    char *name, *value;
    unsigned line; // of the file; 0 = the process's environment
};

struct env {
    const char *file;
    struct env_var *vars; // the process's first
    size_t n_vars;
};

char *read_text(const char *path, size_t *len, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        (void)err_set(err, 0, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = mem_alloc(TEXT_MAX + 2);
    *len = fread(text, 1, TEXT_MAX + 1, f);
    int error = ferror(f) ? errno : 0;
    fclose(f);
    text[*len] = '\0';
    if (!error && *len <= TEXT_MAX)
        return text;
    if (error)
        (void)err_set(err, 0, "%s: %s", path, strerror(error));
    else
        (void)err_set(err, 0, "%s: longer than %d bytes", path, TEXT_MAX);
    explicit_bzero(text, *len);
    free(text);
    return NULL;
}

static struct env_var *find_var(const struct env *env, const char *name, bool in_file)
{
    for (size_t i = 0; i < env->n_vars; i++)
        if ((env->vars[i].line > 0) == in_file && strcmp(env->vars[i].name, name) == 0)
            return &env->vars[i];
    return NULL;
}

const char *env_text(const struct env *env, const char *name)
{
    const struct env_var *var = find_var(env, name, false);
    if (!var)
        var = find_var(env, name, true);
    return var ? var->value : NULL;
}

static void wipe(char *value)
{
    explicit_bzero(value, strlen(value));
    free(value);
}

static void add_var(struct env *env, struct span name, struct span value, unsigned line)
{
    char *own_name = mem_dup(name.p, name.len);
    struct env_var *same = find_var(env, own_name, line > 0);
    if (same) {
        free(own_name);
        wipe(same->value);
        same->value = mem_dup(value.p, value.len);
        same->line = line;
        return;
    }
    env->vars = mem_array(env->vars, env->n_vars + 1, sizeof *env->vars);
    env->vars[env->n_vars++] = (struct env_var){own_name, mem_dup(value.p, value.len), line};
}

struct reader {
    const char *p; // NUL-terminated
    unsigned line;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
    while (is_blank(*r->p))
        r->p++;
}

static struct span read_name(struct reader *r)
{
    const char *from = r->p;
    if (isalpha((unsigned char)*r->p) || *r->p == '_')
        while (isalnum((unsigned char)*r->p) || *r->p == '_' || *r->p == '.')
            r->p++;
    return span_of(from, (size_t)(r->p - from));
}

static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* From behind the quote to behind its partner.  False when there is none. */
static bool read_quoted(struct reader *r, char quote, struct buf *out)
{
    for (; *r->p && *r->p != quote; r->p++) {
        if (*r->p == '\n')
            r->line++;
        if (quote == '"' && *r->p == '\\' && r->p[1] && strchr("nrt\"\\$", r->p[1]))
            buf_add_char(out, unescape(*++r->p));
        else
            buf_add_char(out, *r->p);
    }
    return *r->p && *r->p++ == quote;
}

/* Up to the line's end or a # with a blank before it. */
static void read_bare(struct reader *r, struct buf *out)
{
    const char *from = r->p;
    while (*r->p && *r->p != '\n' && !(*r->p == '#' && (r->p == from || is_blank(r->p[-1]))))
        r->p++;
    size_t len = (size_t)(r->p - from);
    while (len && is_blank(from[len - 1]))
        len--;
    buf_add(out, from, len);
}

static bool end_line(struct reader *r)
{
    skip_blanks(r);
    if (*r->p == '#')
        r->p += strcspn(r->p, "\n");
    if (*r->p == '\n') {
        r->p++;
        r->line++;
        return true;
    }
    return *r->p == '\0';
}

/* One line with something on it.  What is wrong is told without the line's text: it may be
 * half a secret. */
static bool read_line(struct env *env, struct reader *r, struct buf *value, struct err *err)
{
    unsigned line = r->line;
    struct span name = read_name(r);
    if (span_is(name, "export") && is_blank(*r->p)) {
        skip_blanks(r);
        name = read_name(r);
    }
    skip_blanks(r);
    if (name.len == 0 || *r->p++ != '=')
        return err_set(err, 0, "%s:%u: expected NAME=value", env->file, line);
    skip_blanks(r);
    if (*r->p == '"' || *r->p == '\'') {
        char quote = *r->p++;
        if (!read_quoted(r, quote, value))
            return err_set(err, 0, "%s:%u: the quote is never closed", env->file, line);
    } else {
        read_bare(r, value);
    }
    if (!end_line(r))
        return err_set(err, 0, "%s:%u: more behind the closing quote", env->file, line);
    add_var(env, name, buf_span(value), line);
    return true;
}

static bool read_env_file(struct env *env, struct err *err)
{
    size_t len;
    char *text = read_text(env->file, &len, err);
    if (!text)
        return false;
    struct reader r = {.p = text, .line = 1};
    bool is_good = strlen(text) == len || err_set(err, 0, "%s: holds a NUL byte", env->file);
    while (is_good && *r.p) {
        struct buf value = {0};
        if (!end_line(&r))
            is_good = read_line(env, &r, &value, err);
        if (value.p)
            explicit_bzero(value.p, value.len);
        buf_fini(&value);
    }
    explicit_bzero(text, len);
    free(text);
    return is_good;
}

struct env *env_new(const char *file, struct err *err)
{
    struct env *env = mem_zero(sizeof *env);
    env->file = file;
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals)
            add_var(env, span_of(*entry, (size_t)(equals - *entry)), span_str(equals + 1), 0);
    }
    if (!file || read_env_file(env, err))
        return env;
    env_free(env);
    return NULL;
}

void env_free(struct env *env)
{
    if (!env)
        return;
    for (size_t i = 0; i < env->n_vars; i++) {
        free(env->vars[i].name);
        wipe(env->vars[i].value);
    }
    free(env->vars);
    free(env);
}

static bool wrap_var(const struct env *env, const struct env_var *var, struct err *err)
{
    return var->line ? err_wrap(err, "%s:%u", env->file, var->line) : err_wrap(err, "environment");
}

static const struct option *find_by_env_name(const char *name, struct nearest *nearest)
{
    nearest_init(nearest, name);
    for (size_t i = 0; i < n_options; i++) {
        char own[OPTION_NAME];
        option_env_name(&option_table[i], own);
        if (strcmp(own, name) == 0)
            return &option_table[i];
        nearest_try(nearest, own);
    }
    return NULL;
}

static bool is_for_tests(const char *name)
{
    struct span s = span_str(name);
    return span_is(s, "CARILLON_BIN") || span_starts(s, "CARILLON_TEST_");
}

/* What Kubernetes puts into every pod beside a service that is called carillon: nobody wrote
 * it, so it is no mistake. */
static bool is_service_link(const struct env_var *var)
{
    struct span name = span_from(span_str(var->name), sizeof ours - 1);
    struct span value = span_str(var->value);
    if (span_is(name, "PORT"))
        return span_starts(value, "tcp://") || span_starts(value, "udp://");
    if (span_is(name, "SERVICE_HOST") || span_starts(name, "SERVICE_PORT"))
        return true;
    return span_starts(name, "PORT_") && name.len > 5 && name.p[5] >= '0' && name.p[5] <= '9';
}

bool env_options(const struct env *env, struct loader *l, struct err *err)
{
    for (size_t i = 0; i < env->n_vars; i++) {
        const struct env_var *var = &env->vars[i];
        struct nearest nearest;
        if (!span_starts(span_str(var->name), ours) || is_for_tests(var->name) ||
            is_service_link(var))
            continue;
        const struct option *o = find_by_env_name(var->name, &nearest);
        if (!o) {
            (void)err_set(
                err, 0, "unknown variable '%s', did you mean '%s'?", var->name, nearest.best);
            return wrap_var(env, var, err);
        }
        if (var->line && find_var(env, var->name, false))
            continue; // the process's environment wins
        if (!loader_set(l, o, span_str(var->value), err)) {
            (void)err_wrap(err, "%s", var->name);
            return wrap_var(env, var, err);
        }
    }
    return true;
}

enum { PART_ID, PART_KEY, PART_SECRET, PARTS };

static const struct part {
    const char *names[2]; // the first wins
    const char *what, *shown;
} parts[PARTS] = {
    {{"PUSHER_APP_ID", NULL}, "id", "PUSHER_APP_ID"},
    {{"PUSHER_APP_KEY", "PUSHER_KEY"}, "key", "PUSHER_APP_KEY (or PUSHER_KEY)"},
    {{"PUSHER_APP_SECRET", "PUSHER_SECRET"}, "secret", "PUSHER_APP_SECRET (or PUSHER_SECRET)"},
};

/* An empty variable is none: templates of .env files list them so. */
static const struct env_var *find_part(const struct env *env, const struct part *part)
{
    for (int in_file = 0; in_file < 2; in_file++)
        for (size_t i = 0; i < COUNT_OF(part->names) && part->names[i]; i++) {
            const struct env_var *var = find_var(env, part->names[i], in_file);
            if (var && var->value[0])
                return var;
        }
    return NULL;
}

static bool refuse_incomplete(const struct env_var *const *vars, struct err *err)
{
    char missing[160] = "";
    size_t n = 0;
    size_t len = 0;
    for (size_t i = 0; i < PARTS; i++)
        if (!vars[i])
            len += (size_t)snprintf(
                missing + len, sizeof missing - len, "%s%s", n++ ? " and " : "", parts[i].shown);
    return err_set(err, 0, "environment: %s %s not set, and an app needs its id, key and secret",
        missing, n == 1 ? "is" : "are");
}

bool env_apps(const struct env *env, struct loader *l, struct err *err)
{
    const struct env_var *vars[PARTS];
    size_t n = 0;
    for (size_t i = 0; i < PARTS; i++) {
        vars[i] = find_part(env, &parts[i]);
        n += vars[i] != NULL;
    }
    if (n == 0)
        return true;
    if (n < PARTS)
        return refuse_incomplete(vars, err);
    for (size_t i = 0; i < PART_SECRET; i++)
        if (!config_app_check_name(parts[i].what, span_str(vars[i]->value), err)) {
            (void)err_wrap(err, "%s", vars[i]->name);
            return wrap_var(env, vars[i], err);
        }
    struct app app;
    config_app_init(&app, l->config);
    app.id = mem_dup_str(vars[PART_ID]->value);
    config_app_add_key(&app, span_str(vars[PART_KEY]->value), span_str(vars[PART_SECRET]->value));
    return loader_take_app(l, &app, APP_FROM_ENV, err) || wrap_var(env, vars[PART_ID], err);
}
