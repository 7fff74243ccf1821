/* config.h - where a configuration comes from.
 *
 * One table (options.def) feeds flags, file, environment, `carillon options`, the sample
 * file and the documentation.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "base/base.h"
#include "base/err.h"
#include "serve/config.h"

/* What the command line said. */
struct config_args {
    const char *file;     // NULL = none
    const char *env_file; // NULL = none
    const char **sets;    // "option=value", in order; --host, --port, --workers, --log-level too
    size_t n_sets;
    const char **apps; // "ID:KEY:SECRET"
    size_t n_apps;
};

/* A flag of one subcommand; a list of them ends with flag NULL. */
struct own_flag {
    const char *flag, *value; // value NULL = not given
};

/* Reads every source (flags > environment > file > default) and checks the whole.  NULL
 * exactly when err is filled; its text names file, line and column where there is one.  The
 * process's environment is read, and never changed. */
struct config *config_load(const struct config_args *args, struct err *err) MUST_CHECK;

/* `carillon options`, and `carillon check`'s effective configuration (secrets redacted). */
void config_print_options(void);
void config_print(const struct config *c);

#endif
