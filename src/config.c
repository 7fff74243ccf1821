/* Loading: the layers of a configuration, one over the other, and the checks of the whole. */
#include "base/base.h"

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config_priv.h"

bool loader_set(struct loader *l, const struct option *o, struct span text, struct err *err)
{
    if (!option_store(o, text, option_at(o, l->config), err))
        return false;
    l->is_set[o - option_table] = true;
    return true;
}

static void set_defaults(struct config *c)
{
    struct err err;
    for (size_t i = 0; i < n_options; i++) {
        const struct option *o = &option_table[i];
        ENSURE(option_store(o, span_str(o->initial), option_at(o, c), &err));
    }
}

static bool refuse_unknown(const char *name, struct err *err)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < n_options; i++)
        nearest_try(&nearest, option_table[i].path);
    return err_set(err, 0, "--set: unknown option '%s', did you mean '%s'?", name, nearest.best);
}

static bool set_flag(struct loader *l, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals)
        return err_set(err, 0, "--set: '%s' is not option=value", text);
    struct span path = span_of(text, (size_t)(equals - text));
    const struct option *o = option_find(path);
    if (o)
        return loader_set(l, o, span_str(equals + 1), err) || err_wrap(err, "%s", o->path);
    char *name = mem_dup(path.p, path.len);
    (void)refuse_unknown(name, err);
    free(name);
    return false;
}

static bool set_flags(struct loader *l, const struct config_args *args, struct err *err)
{
    for (size_t i = 0; i < args->n_sets; i++)
        if (!set_flag(l, args->sets[i], err))
            return false;
    return true;
}

static bool add_flag_apps(struct loader *l, const struct config_args *args, struct err *err)
{
    for (size_t i = 0; i < args->n_apps; i++)
        if (!loader_add_flag_app(l, args->apps[i], err))
            return false;
    return true;
}

/* Reads one byte: only that tells a directory and a missing permission apart from a file. */
static bool check_readable(const char *option, const char *path, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (f) {
        bool is_readable = getc(f) != EOF;
        int error = is_readable ? 0 : errno;
        bool is_empty = !is_readable && !ferror(f);
        fclose(f);
        if (is_empty)
            return err_set(err, 0, "%s: '%s' is empty", option, path);
        if (is_readable)
            return true;
        errno = error;
    }
    return err_set(err, 0, "%s: cannot read '%s': %s", option, path, strerror(errno));
}

static bool check_tls(const struct config *c, struct err *err)
{
    if (c->tls.port == 0)
        return true;
    if (!c->tls.cert[0] || !c->tls.key[0])
        return err_set(
            err, 0, "tls.port is set, but tls.%s is not", c->tls.cert[0] ? "key" : "cert");
    if (c->tls.port == c->port)
        return err_set(err, 0, "tls.port and port are both %u", c->port);
    return check_readable("tls.cert", c->tls.cert, err) &&
           check_readable("tls.key", c->tls.key, err);
}

static bool check_whole(const struct config *c, struct err *err)
{
    if (!c->host[0])
        return err_set(err, 0, "host: the address is empty");
    return check_tls(c, err);
}

static bool check_store(const struct config *c, struct err *err)
{
    return c->store.path[0] || !config_needs_store(c) ||
           err_set(err, 0, "apps.history: a durable rule needs a file: set store.path");
}

static bool load(struct loader *l, const struct config_args *args, struct err *err)
{
    struct file *file = args->file ? file_open(args->file, err) : NULL;
    struct env *env = NULL;
    if (args->file && !file)
        return false;
    set_defaults(l->config);
    bool is_good = (!file || file_options(file, l, err)) &&
                   (env = env_new(args->env_file, err)) != NULL && env_options(env, l, err) &&
                   set_flags(l, args, err) && add_flag_apps(l, args, err) &&
                   env_apps(env, l, err) && (!file || file_apps(file, l, err)) &&
                   check_whole(l->config, err) && loader_finish_apps(l, err) &&
                   check_store(l->config, err) && (!file || file_gateway(file, l, env, err));
    env_free(env);
    file_close(file);
    return is_good;
}

struct config *config_load(const struct config_args *args, struct err *err)
{
    struct loader l = {
        .config = config_new(),
        .is_set = mem_zero(n_options * sizeof *l.is_set),
    };
    bool is_good = load(&l, args, err);
    free(l.is_set);
    free(l.sources);
    if (is_good)
        return l.config;
    config_drop(l.config);
    return NULL;
}
