/* The applications of a configuration: from several sources into one list with slots. */
#include "base/base.h"

#include "config_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NAME_MAX_CHARS = 128 };

static const char well_known_secret[] = "app-secret";

/* Slot numbers by id, for the life of the process.  Only the main thread loads
 * configurations, so nothing protects them. */
static char *slot_ids[APP_SLOTS];
static uint32_t n_slots;

void config_app_init(struct app *app, const struct config *c)
{
    *app = c->app_defaults;
    app->enabled = true;
}

bool config_app_check_name(const char *what, struct span name, struct err *err)
{
    if (name.len == 0)
        return err_set(err, 0, "the %s is empty", what);
    if (name.len > NAME_MAX_CHARS)
        return err_set(err, 0, "the %s is longer than %d characters", what, NAME_MAX_CHARS);
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("/?#:", name.p[i]))
            return err_set(err, 0,
                "the %s '%.*s' may hold neither blanks nor / ? # : nor anything but ASCII", what,
                SPAN(name));
    return true;
}

void config_app_add_key(struct app *app, struct span key, struct span secret)
{
    app->keys = mem_array(app->keys, app->n_keys + 1, sizeof *app->keys);
    struct app_key *k = &app->keys[app->n_keys++];
    memset(k, 0, sizeof *k);
    k->key = mem_dup(key.p, key.len);
    k->secret = mem_dup(secret.p, secret.len);
    sign_key_init(&k->sign, secret);
}

static struct app *find_app(const struct config *c, const char *id)
{
    for (size_t i = 0; i < c->n_apps; i++)
        if (strcmp(c->apps[i].id, id) == 0)
            return &c->apps[i];
    return NULL;
}

static const struct app *find_owner(const struct config *c, const char *key)
{
    for (size_t i = 0; i < c->n_apps; i++)
        if (app_key_find(&c->apps[i], span_str(key)))
            return &c->apps[i];
    return NULL;
}

static bool check_keys(const struct config *c, const struct app *app, struct err *err)
{
    for (size_t i = 0; i < app->n_keys; i++) {
        const char *key = app->keys[i].key;
        const struct app *owner = find_owner(c, key);
        if (app_key_find(app, span_str(key)) != &app->keys[i])
            owner = app;
        if (owner)
            return err_set(err, 0, "the key '%s' of app '%s' is already one of app '%s'", key,
                app->id, owner->id);
    }
    return true;
}

bool loader_take_app(struct loader *l, struct app *app, enum app_source source, struct err *err)
{
    struct config *c = l->config;
    const struct app *same = find_app(c, app->id);
    bool is_good = true;
    if (same && l->sources[same - c->apps] == source)
        is_good = err_set(err, 0, "app '%s' is defined twice", app->id);
    else if (!same && c->n_apps == APP_SLOTS)
        is_good = err_set(err, 0, "there are more than %d apps", APP_SLOTS);
    else if (!same)
        is_good = check_keys(c, app, err);
    if (same || !is_good) {
        config_app_fini(app);
        return is_good;
    }
    c->apps = mem_array(c->apps, c->n_apps + 1, sizeof *c->apps);
    l->sources = mem_array(l->sources, c->n_apps + 1, sizeof *l->sources);
    l->sources[c->n_apps] = source;
    c->apps[c->n_apps++] = *app;
    return true;
}

bool loader_add_flag_app(struct loader *l, const char *text, struct err *err)
{
    const char *first = strchr(text, ':');
    const char *second = first ? strchr(first + 1, ':') : NULL;
    if (!second)
        return err_set(err, 0, "--app: expected ID:KEY:SECRET");
    struct span id = span_of(text, (size_t)(first - text));
    struct span key = span_of(first + 1, (size_t)(second - first - 1));
    struct span secret = span_str(second + 1);
    if (secret.len == 0)
        return err_set(err, 0, "--app: the secret is empty");
    if (!config_app_check_name("id", id, err) || !config_app_check_name("key", key, err))
        return err_wrap(err, "--app");
    struct app app;
    config_app_init(&app, l->config);
    app.id = mem_dup(id.p, id.len);
    config_app_add_key(&app, key, secret);
    return loader_take_app(l, &app, APP_FROM_FLAGS, err) || err_wrap(err, "--app");
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

bool config_is_local(const struct config *c)
{
    return is_loopback(c->host);
}

static void add_default_app(struct loader *l)
{
    const struct option *count = option_find(span_str("app_defaults.subscription_count"));
    struct config *c = l->config;
    struct app *app = mem_zero(sizeof *app);
    config_app_init(app, c);
    app->id = mem_dup_str("app-id");
    config_app_add_key(app, span_str("app-key"), span_str(well_known_secret));
    if (!l->is_set[count - option_table])
        app->subscription_count = true;
    c->apps = app;
    c->n_apps = 1;
    c->has_default_app = true;
}

static bool check_secrets(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->n_apps; i++)
        for (size_t k = 0; k < c->apps[i].n_keys; k++)
            if (strcmp(c->apps[i].keys[k].secret, well_known_secret) == 0)
                return err_set(err, 0,
                    "app '%s' has the well-known secret '%s', which is refused on host '%s': set a "
                    "secret of your own",
                    c->apps[i].id, well_known_secret, c->host);
    return true;
}

static bool find_slot(const char *id, uint32_t *slot)
{
    for (*slot = 0; *slot < n_slots; (*slot)++)
        if (strcmp(slot_ids[*slot], id) == 0)
            return true;
    return false;
}

/* Counts before it takes: a configuration that is refused leaves no trace. */
static bool give_slots(struct config *c, struct err *err)
{
    size_t n_new = 0;
    for (size_t i = 0; i < c->n_apps; i++)
        n_new += !find_slot(c->apps[i].id, &c->apps[i].slot);
    if (n_new > APP_SLOTS - n_slots)
        return err_set(
            err, 0, "more than %d different apps since the start: restart the server", APP_SLOTS);
    for (size_t i = 0; i < c->n_apps; i++)
        if (!find_slot(c->apps[i].id, &c->apps[i].slot))
            slot_ids[n_slots++] = mem_dup_str(c->apps[i].id);
    return true;
}

bool loader_finish_apps(struct loader *l, struct err *err)
{
    struct config *c = l->config;
    if (!is_loopback(c->host)) {
        if (c->n_apps == 0)
            return err_set(err, 0,
                "host '%s' is not a loopback address and no app is defined: define one under "
                "'apps' in the file, by --app ID:KEY:SECRET, or by PUSHER_APP_ID, PUSHER_APP_KEY "
                "and PUSHER_APP_SECRET in the environment",
                c->host);
        if (!check_secrets(c, err))
            return false;
    }
    if (c->n_apps == 0)
        add_default_app(l);
    if (!give_slots(c, err))
        return false;
    config_index_apps(c);
    return true;
}
