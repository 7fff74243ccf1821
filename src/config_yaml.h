/* config_yaml.h - a YAML file as nodes, and errors that say where.  Private to config*.c.
 *
 * Read by libyaml, whose marks say where something is wrong: each function below that fails
 * has put FILE:LINE:COLUMN in front of its sentence.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "base/buf.h"
#include "config_priv.h"
#include "gateway/gateway.h"

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

/* The key is none of words: an error that names the nearest. */
bool pairs_refuse_unknown(
    const struct pairs *p, const char *const *words, size_t n_words, struct err *err);

/* Puts "path: " and the place in front of an error that stands already; always false. */
bool pairs_fail(const struct pairs *p, struct err *err);

/* The value is not what it should be; always false. */
bool pairs_refuse(const struct pairs *p, struct err *err, const char *why);

/* A value as JSON, appended: plain scalars that JSON knows stay what they are, the others are
 * strings. */
bool node_json(struct file *f, const yaml_node_t *node, const char *path, struct buf *out,
    struct err *err) MUST_CHECK;

/* One scalar.  What *to held is freed. */
bool pairs_text(const struct pairs *p, char **to, struct err *err) MUST_CHECK;
bool pairs_bool(const struct pairs *p, bool *to, struct err *err) MUST_CHECK;
bool pairs_u32(
    const struct pairs *p, uint32_t min, uint32_t max, uint32_t *to, struct err *err) MUST_CHECK;

/* The items of a list of scalars, or one scalar: at starts at 0.  Sets *is_end at the end. */
bool pairs_next_text(
    const struct pairs *p, size_t *at, struct span *text, bool *is_end, struct err *err) MUST_CHECK;

/* All of them, as copies behind what *list holds. */
bool pairs_texts(const struct pairs *p, char ***list, size_t *n, struct err *err) MUST_CHECK;

/* A group read by a table: each known key has a function. */
struct group_part {
    const char *word;
    bool (*read)(void *ctx, const struct pairs *p, struct err *err);
};
struct group {
    const char *shown; // as in struct pairs
    const struct group_part *parts;
    size_t n_parts;
};
bool group_read(const struct group *g, struct file *f, const yaml_node_t *node, void *ctx,
    struct err *err) MUST_CHECK;

/* The same for each item of a list of groups; begin makes room for the item. */
bool group_read_list(const struct group *g, const struct pairs *p, void *ctx,
    bool (*item)(
        void *ctx, const struct group *g, struct file *f, const yaml_node_t *node, struct err *err),
    struct err *err) MUST_CHECK;

/* http:// or https:// with a host and neither credentials nor '#', at most 2,048 bytes. */
bool text_is_url(struct span url);

/* "scheme://host" or "scheme://host:port", as a browser sends it, or "*". */
bool text_is_origin(struct span text);

/* apps.webhooks, config_webhooks.c. */
bool file_webhooks(
    struct file *f, struct app *app, const struct pairs *p, struct err *err) MUST_CHECK;

/* apps.history, config_history.c. */
bool file_history(struct app *app, const struct pairs *p, struct err *err) MUST_CHECK;

/* gateway, config_gateway.c; its routes, config_routes.c. */
struct gateway_reader {
    struct file *file;
    const struct env *env;
    struct gateway *gateway;
};
bool file_routes(struct gateway_reader *r, const struct pairs *p, struct err *err) MUST_CHECK;

/* gateway.legacy, behind the routes; config_bridge.c. */
bool file_legacy(struct gateway_reader *r, const struct pairs *p, struct err *err) MUST_CHECK;

/* Words of who may do something, added to *who. */
bool gateway_who(
    const struct gateway *g, const struct pairs *p, struct who *who, struct err *err) MUST_CHECK;
bool gateway_template(
    struct file *f, const struct pairs *p, struct template *t, struct err *err) MUST_CHECK;

/* A secret that stands in the file, in the environment or in a file of its own: key is the
 * option's last word. */
bool gateway_secret(struct gateway_reader *r, const struct pairs *p, const char *word, char **to,
    size_t *len, struct err *err) MUST_CHECK;

#endif
