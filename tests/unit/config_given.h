/* config_given.h - a configuration from texts, for the tests of config*.c. */
#ifndef CONFIG_GIVEN_H
#define CONFIG_GIVEN_H

#include "base/base.h"

#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "test.h"

static char folder[] = "/tmp/carillon-config-XXXXXX";
static bool is_inside;
static struct err err;

/* Everything is written to files in one folder, which is also the working directory, so that
 * messages show short names. */
static inline void write_bytes(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(name, "w");
    ENSURE(f);
    ENSURE(fwrite(text, 1, len, f) == len);
    ENSURE(fclose(f) == 0);
}

static inline void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

/* A file, an --env-file, and up to three --set and --app; NULL = none. */
struct given {
    const char *file, *env_file;
    const char *sets[3], *apps[3];
};

static inline struct config *load(struct given g)
{
    struct config_args args = {.sets = g.sets, .apps = g.apps};
    ENSURE(is_inside); // else tests that run at the same time share their files
    if (g.file) {
        write_text("c.yaml", g.file);
        args.file = "c.yaml";
    }
    if (g.env_file) {
        write_text("c.env", g.env_file);
        args.env_file = "c.env";
    }
    while (args.n_sets < COUNT_OF(g.sets) && g.sets[args.n_sets])
        args.n_sets++;
    while (args.n_apps < COUNT_OF(g.apps) && g.apps[args.n_apps])
        args.n_apps++;
    memset(&err, 0, sizeof err);
    return config_load(&args, &err);
}

#define LOAD(...) load((struct given){__VA_ARGS__})

/* The text of the refusal, or that there was none. */
#define REFUSAL(...) refusal(LOAD(__VA_ARGS__))
static inline const char *refusal(struct config *c)
{
    if (!c)
        return err.text;
    config_drop(c);
    return "(accepted)";
}

#define FILE_REFUSAL(text) REFUSAL(.file = (text))

/* One app for tests of what is inside of it. */
#define APP "apps:\n  - id: one\n    keys: [{key: k, secret: s}]\n"

/* Each test begins with an environment that says nothing. */
#define RUN_CLEAN(name) (clearenv(), RUN(name))

static inline void enter_folder(void)
{
    ENSURE(mkdtemp(folder));
    ENSURE(chdir(folder) == 0);
    is_inside = true;
}

static inline void leave_folder(void)
{
    static const char *const names[] = {
        "c.yaml", "c.env", "out.txt", "long.yaml", "nul.env", "cert.pem", "empty.pem"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unlink(names[i]);
    ENSURE(chdir("/") == 0);
    rmdir(folder);
}

#endif
