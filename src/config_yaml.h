/* config_yaml.h - a YAML file as nodes, and errors that say where.  Private to config*.c.
 *
 * Read by libyaml, whose marks say where something is wrong: each function below that fails
 * has put FILE:LINE:COLUMN in front of its sentence.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "config_priv.h"

#include <yaml.h>

struct file {
    const char *path;
    yaml_document_t doc;
};

/* Puts the place in front of an error that stands already; always false. */
bool node_fail(const struct file *f, const yaml_node_t *node, struct err *err);

const yaml_node_t *node_at(struct file *f, int index);
struct span node_text(const yaml_node_t *node); // of a scalar
bool node_is_null(const yaml_node_t *node);     // "key:" with nothing behind it, ~ or null

/* path is what the message names. */
bool node_expect(const struct file *f, const yaml_node_t *node, yaml_node_type_t type,
    const char *path, struct err *err) MUST_CHECK;

/* A walk over a mapping, that refuses a key that was there before.  A mapping with no value
 * is an empty one: all that is below it may be commented out. */
struct pairs {
    struct file *file;
    const yaml_node_t *mapping;
    const char *shown; // prefix for messages, with a dot at its end, or ""
    size_t next;
    const yaml_node_t *key_node, *value;
    struct span key;
    char path[OPTION_NAME * 2]; // shown and key
};

bool pairs_start(struct pairs *p, struct file *f, const yaml_node_t *node, const char *shown,
    struct err *err) MUST_CHECK;

/* Sets *is_end at the end; false when the key cannot be one. */
bool pairs_next(struct pairs *p, bool *is_end, struct err *err) MUST_CHECK;

/* apps.webhooks, config_webhooks.c. */
bool file_webhooks(
    struct file *f, struct app *app, const struct pairs *p, struct err *err) MUST_CHECK;

bool pairs_refuse_later(const struct pairs *p, struct err *err);

#endif
