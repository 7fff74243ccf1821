/* config_priv.h - how a configuration is put together.  Private to config*.c.
 *
 * Values come in layers, weakest first, each overwriting what the one before stored:
 * defaults, file, environment, flags.  Apps come the other way round, strongest first,
 * because of two apps with one id the first is kept.
 */
#ifndef CONFIG_PRIV_H
#define CONFIG_PRIV_H

#include "base/base.h"
#include "base/err.h"
#include "config.h"

enum { OPTION_NAME = 96 }; // room for a path or an environment name with its NUL

enum option_type {
    OPTION_U32,
    OPTION_BYTES,
    OPTION_MS,
    OPTION_S,
    OPTION_STRING,
    OPTION_FILE,
    OPTION_PATH, // of a URL, stored with a slash in front
    OPTION_BOOL,
    OPTION_ENUM,
    OPTION_TYPES
};

struct option {
    const char *path;
    enum option_type type;
    const char *unit; // of an ENUM: its words
    uint32_t min, max;
    const char *initial;
    const char *sentence;
    size_t offset; // in struct config
};

extern const struct option option_table[];
extern const size_t n_options;

const struct option *option_find(struct span path); // or NULL
bool option_is_number(const struct option *o);
const char *option_type_name(enum option_type type);
void option_env_name(const struct option *o, char *out); // OPTION_NAME characters

/* Where o is in c, or, for an app_defaults option, in app. */
void *option_at(const struct option *o, struct config *c);
void *option_in_app(const struct option *o, struct app *app);
bool option_is_of_apps(const struct option *o);

/* Reads text into the member at.  The error does not name the option. */
bool option_store(const struct option *o, struct span text, void *at, struct err *err) MUST_CHECK;

/* The n-th word of an ENUM. */
struct span option_word(const struct option *o, unsigned n);

/* The candidate that is nearest to a word that nobody knows. */
struct nearest {
    const char *word;
    char best[OPTION_NAME];
    unsigned distance;
};

void nearest_init(struct nearest *n, const char *word);
void nearest_try(struct nearest *n, const char *candidate);

enum app_source { APP_FROM_FLAGS, APP_FROM_ENV, APP_FROM_FILE };

struct loader {
    struct config *config;    // in the making
    bool *is_set;             // per option: some source says it
    enum app_source *sources; // per app of config
};

/* Stores text in the configuration in the making.  The error does not name the option. */
bool loader_set(
    struct loader *l, const struct option *o, struct span text, struct err *err) MUST_CHECK;

/* Apps. */
void config_app_init(struct app *app, const struct config *c); // from app_defaults
bool config_app_check_name(const char *what, struct span name, struct err *err) MUST_CHECK;
void config_app_add_key(struct app *app, struct span key, struct span secret);

/* Takes what app owns in any case.  An app whose id a stronger source defined is dropped. */
bool loader_take_app(
    struct loader *l, struct app *app, enum app_source source, struct err *err) MUST_CHECK;
bool loader_add_flag_app(struct loader *l, const char *text, struct err *err) MUST_CHECK;
bool loader_finish_apps(struct loader *l, struct err *err) MUST_CHECK;
bool config_is_local(const struct config *c); // listens on loopback only

/* The environment and the --env-file. */
struct env;
struct env *env_new(const char *file, struct err *err) MUST_CHECK; // file may be NULL
void env_free(struct env *env);
bool env_options(const struct env *env, struct loader *l, struct err *err) MUST_CHECK;
bool env_apps(const struct env *env, struct loader *l, struct err *err) MUST_CHECK;
const char *env_text(const struct env *env, const char *name); // NULL = not set

/* The configuration file. */
struct file;
struct file *file_open(const char *path, struct err *err) MUST_CHECK;
void file_close(struct file *f);
bool file_options(struct file *f, struct loader *l, struct err *err) MUST_CHECK;
bool file_apps(struct file *f, struct loader *l, struct err *err) MUST_CHECK;
bool file_gateway(struct file *f, struct loader *l, const struct env *env,
    struct err *err) MUST_CHECK; // behind file_apps

/* Parts of `carillon check`. */
void config_print_quoted(const char *text);
void config_print_gateway(const struct gateway *g);

/* The whole of a file as text with a NUL behind, at most 1 MiB; NULL when err is filled. */
char *read_text(const char *path, size_t *len, struct err *err) MUST_CHECK;

#endif
