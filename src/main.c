/* carillon: subcommands and flags. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config.h"
#include "doctor.h"
#include "jws_verify.h"
#include "server.h"
#include "token.h"

static const char usage[] =
    "carillon - a realtime server that speaks the Pusher Channels protocol\n"
    "\n"
    "  carillon serve [flags]    run the server\n"
    "  carillon check [flags]    validate and print the effective configuration\n"
    "  carillon options          list every option\n"
    "  carillon token [flags]    mint a token of the gateway's: --sub S --role R [--name N]\n"
    "                            [--ttl 15m] [--kid K]\n"
    "  carillon doctor [flags]   check what can be checked: configuration, ports, TLS files,\n"
    "                            descriptors; with --token T and --channel C, who may what there\n"
    "  carillon routes [flags]   the gateway's endpoints as a table\n"
    "  carillon jws-verify       read lines {\"jwk\":...,\"jws\":...}, answer accept or reject\n"
    "  carillon version          print the version\n"
    "\n"
    "flags:\n"
    "  --config FILE        read FILE (YAML)\n"
    "  --env-file FILE      read FILE (KEY=VALUE lines) as if it were the environment\n"
    "  --host ADDR          listen on ADDR                  (default 127.0.0.1)\n"
    "  --port N             listen on port N, 0 = any free  (default 6001)\n"
    "  --app ID:KEY:SECRET  serve this app; may be repeated\n"
    "  --workers N          threads, 0 = one per usable CPU (default 0)\n"
    "  --log-level L        error, warn, info or debug      (default info)\n"
    "  --set option=value   any option of `carillon options`; may be repeated\n"
    "  --help               this text\n"
    "\n"
    "Flags win over the environment, which wins over the file.\n";

/* A flag that is short for --set option=. */
static const struct {
    const char *flag, *option;
} shorthands[] = {
    {"--host", "host"},
    {"--port", "port"},
    {"--workers", "workers"},
    {"--log-level", "log.level"},
};

static char *join(const char *option, const char *value)
{
    size_t n = strlen(option) + strlen(value) + 2;
    char *text = mem_alloc(n);
    snprintf(text, n, "%s=%s", option, value);
    return text;
}

static bool take_flag(struct config_args *args, const char *flag, const char *value)
{
    if (strcmp(flag, "--config") == 0)
        args->file = value;
    else if (strcmp(flag, "--env-file") == 0)
        args->env_file = value;
    else if (strcmp(flag, "--app") == 0)
        args->apps[args->n_apps++] = value;
    else if (strcmp(flag, "--set") == 0)
        args->sets[args->n_sets++] = mem_dup_str(value);
    else {
        for (size_t i = 0; i < COUNT_OF(shorthands); i++) {
            if (strcmp(flag, shorthands[i].flag) != 0)
                continue;
            args->sets[args->n_sets++] = join(shorthands[i].option, value);
            return true;
        }
        return false;
    }
    return true;
}

/* A flag that only one subcommand has. */
static bool take_own_flag(struct own_flag *own, const char *flag, const char *value)
{
    for (; own && own->flag; own++) {
        if (strcmp(own->flag, flag) != 0)
            continue;
        own->value = value;
        return true;
    }
    return false;
}

/* "--flag value" or "--flag=value".  0, or the exit status. */
static int read_flags(struct config_args *args, struct own_flag *own, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        char *flag = mem_dup(argv[i], n);
        const char *value = equals ? equals + 1 : argv[i + 1];
        bool ok = strncmp(flag, "--", 2) == 0 && value &&
                  (take_own_flag(own, flag, value) || take_flag(args, flag, value));
        if (!ok)
            fprintf(stderr, "carillon: %s '%s'; see carillon --help\n",
                value ? "unknown flag" : "unknown flag, or no value for", argv[i]);
        free(flag);
        if (!ok)
            return 2;
        i += !equals;
    }
    return 0;
}

static int check(const struct config_args *args, const struct own_flag *own)
{
    (void)own;
    struct err err;
    struct config *config = config_load(args, &err);
    if (!config) {
        fprintf(stderr, "carillon: %s\n", err.text);
        return 1;
    }
    config_print(config);
    config_drop(config);
    return 0;
}

static int serve(const struct config_args *args, const struct own_flag *own)
{
    (void)own;
    return server_run(args);
}

static int routes(const struct config_args *args, const struct own_flag *own)
{
    struct err err;
    struct buf table = {0};
    (void)own;
    struct config *config = config_load(args, &err);
    if (!config) {
        fprintf(stderr, "carillon: %s\n", err.text);
        return 1;
    }
    if (config->gateway)
        gateway_add_table(config->gateway, &table);
    fwrite(table.p ? table.p : "", 1, table.len, stdout);
    buf_fini(&table);
    config_drop(config);
    return 0;
}

typedef int (*run_fn)(const struct config_args *args, const struct own_flag *own);

static int with_flags(run_fn run, struct own_flag *own, int argc, char **argv)
{
    struct config_args args = {0};
    args.sets = mem_zero(((size_t)argc + 1) * sizeof *args.sets);
    args.apps = mem_zero(((size_t)argc + 1) * sizeof *args.apps);
    int status = read_flags(&args, own, argc, argv);
    if (!status)
        status = run(&args, own);
    for (size_t i = 0; i < args.n_sets; i++)
        free((void *)(uintptr_t)args.sets[i]);
    free(args.sets);
    free(args.apps);
    return status;
}

static const struct {
    const char *name;
    run_fn run;
    struct own_flag *own;
} commands[] = {
    {"serve", serve, NULL},
    {"check", check, NULL},
    {"routes", routes, NULL},
    {"token", token_print, token_flags},
    {"doctor", doctor_run, doctor_flags},
};

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "--help";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            command = "--help";
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(command, commands[i].name) == 0)
            return with_flags(commands[i].run, commands[i].own, argc - 2, argv + 2);
    if (strcmp(command, "jws-verify") == 0)
        return jws_verify_lines();
    if (strcmp(command, "options") == 0) {
        config_print_options();
        return 0;
    }
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("carillon %s\n", CARILLON_VERSION);
        return 0;
    }
    bool is_help = strcmp(command, "--help") == 0 || strcmp(command, "help") == 0;
    fputs(usage, is_help ? stdout : stderr);
    if (!is_help)
        fprintf(stderr, "\ncarillon: unknown command '%s'\n", command);
    return is_help ? 0 : 2;
}
