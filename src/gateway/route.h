/* route.h - an application's endpoint, as configured.
 *
 * A route has an action; a route that dispatches has one more for each value of a field.  An
 * action checks who asks and what the body holds, publishes events, and may hand its work to
 * an upstream or to something built in.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "gateway/policy.h"
#include "gateway/template.h"
#include "wire/json.h"

enum field_type {
    FIELD_ANY,
    FIELD_STRING,
    FIELD_NUMBER,
    FIELD_INTEGER,
    FIELD_BOOLEAN,
    FIELD_OBJECT,
    FIELD_ARRAY,
    FIELD_TYPES
};
const char *field_type_word(enum field_type type);

/* What the body must hold.  A name with dots is that of a member inside. */
struct field {
    char *name;
    enum field_type type;
    bool is_required;
    bool may_be_null;
    bool may_be_empty;  // of a string; true unless required
    char *instead;      // a field that makes this one unnecessary, or NULL
    char *initial;      // JSON taken when it is absent, or NULL; top-level fields only
    uint32_t max_chars; // of a string; 0 = no limit
    char **words;       // of a string: the only values there are
    size_t n_words;
};

enum moment {
    MOMENT_ACCEPT, // before the reply
    MOMENT_STEP,   // of a demonstration
    MOMENT_DONE,   // the upstream has answered well, or what is built in is done
    MOMENT_FAILED, // the upstream has not
    MOMENTS
};

struct publish {
    enum moment when;
    struct name_template *channels; // the first that all variables are there for
    size_t n_channels;
    struct name_template event;
    struct template data;
    bool excludes_caller; // the socket that X-Socket-Id or the body's socket_id names
};

enum builtin {
#define BUILTIN(name, word, sentence) BUILTIN_##name,
#include "gateway/builtins.def"
#undef BUILTIN
    BUILTINS
};
const char *builtin_word(enum builtin builtin);
const char *builtin_sentence(enum builtin builtin);

struct upstream {
    char *url; // NULL = none
    uint32_t timeout_ms, retries, max_inflight, reply_bytes;
    bool is_async;
    bool forwards_authorization;
    char *secret; // of X-Signature; NULL = unsigned
};

/* A stand-in for work that an upstream would do: labelled as such in its events. */
struct demo {
    uint32_t every_ms;
    uint32_t *steps; // percent
    size_t n_steps;
};

struct action {
    struct who who;
    struct field *fields;
    size_t n_fields;
    struct publish *publishes;
    size_t n_publishes;
    enum builtin builtin;
    struct upstream upstream;
    struct demo demo;
    uint32_t every_ms; // of server metrics; how often to poll
    uint32_t wait_s;   // of a poll that does not say
};

struct dispatch_case {
    char *value;
    struct action action;
    int route;            // whose action is taken instead, with the body below; -1 = none
    char *route_name;     // only while loading
    struct template body; // for that route
    bool has_reply;
    struct template reply; // instead of the route's
};

enum dispatch_default { DISPATCH_RELAY, DISPATCH_ECHO, DISPATCH_REJECT };

struct dispatch {
    char *field; // NULL = none
    struct dispatch_case *cases;
    size_t n_cases;
    enum dispatch_default otherwise;
    struct action fallback; // of relay and echo
};

enum route_auth { ROUTE_JWT, ROUTE_NONE, ROUTE_OPTIONAL };
enum route_method { ROUTE_GET, ROUTE_POST, ROUTE_DELETE, ROUTE_METHODS };
const char *route_method_word(enum route_method method);

struct route {
    char *name, *summary;
    enum route_method method;
    char **paths; // the path, then its aliases
    size_t n_paths;
    enum route_auth auth;
    uint32_t rate_limit, rate_window_s; // 0 = no limit
    uint32_t max_body;                  // bytes
    char *forbidden;                    // detail of a 403 for who may not call, or NULL
    struct action action;
    struct dispatch dispatch;
    int status;
    bool has_reply;
    struct template reply;
};

void route_fini(struct route *r);

/* The route of that path and method.  *is_path: some route has that path. */
const struct route *route_find(
    const struct route *routes, size_t n, struct span path, struct span method, bool *is_path);

/* Appends the methods that path has, with commas, OPTIONS last. */
void route_add_methods(const struct route *routes, size_t n, struct span path, struct buf *out);

/* The action for this body: the route's own, or the case's. */
struct chosen {
    const struct action *action;     // NULL = an unknown value, which is rejected
    const struct dispatch_case *one; // whose case it is, or NULL
};
struct chosen route_choose(const struct route *r, bool is_strict, const struct json *body);

/* The body as an object with defaults filled in, appended to out; fields that nobody knows
 * stay.  json is the parsed object. */
void fields_complete(
    const struct field *fields, size_t n, const struct json *json, struct buf *out);

/* Appends to out what is wrong, each as {"type","loc","msg","input"} with commas between, and
 * returns how many. */
size_t fields_check(const struct field *fields, size_t n, const struct json *body, struct buf *out);

/* One such object. */
void fault_add(struct buf *out, const char *type, struct span where, const char *name,
    const char *message, const struct json *input);

/* A form (application/x-www-form-urlencoded) as a JSON object of strings.  False for bad
 * escapes or bytes that are not UTF-8. */
bool form_to_json(struct span form, struct buf *out) MUST_CHECK;

#endif
