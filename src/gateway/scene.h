/* scene.h - what a request's templates and patterns may speak of.
 *
 * A variable is written {user.id}: its first word says where it is looked up, the words behind
 * it name members of JSON objects.  Values are looked at where they stand; nothing is copied.
 */
#ifndef GATEWAY_SCENE_H
#define GATEWAY_SCENE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "gateway/jwt.h"
#include "wire/json.h"

enum scene_root {
    SCENE_USER_ID,
    SCENE_USER_NAME,
    SCENE_USER_ROLE,
    SCENE_REQUEST_ID,
    SCENE_NOW,      // ISO 8601, UTC
    SCENE_NOW_MS,   // since 1970
    SCENE_CHANNEL,  // of the route's first event
    SCENE_ERROR,    // why an upstream failed
    SCENE_PROGRESS, // of a demonstration, in percent
    SCENE_CLAIM,    // from here on with members: of the token
    SCENE_BODY,     // of the request
    SCENE_UPSTREAM, // its reply
    SCENE_METRICS,  // this server's
    SCENE_QUERY,    // one name behind it
    SCENE_PATH,     // likewise: a part of the path that the route names {NAME}
    SCENE_ROOTS
};

struct scene {
    const struct caller *caller;
    struct json body, upstream, metrics;
    struct span query;            // undecoded
    struct span path, route_path; // as requested, and as the route has it
    struct span request_id, channel, error;
    int64_t now_ms;
    uint32_t progress;
};

struct variable {
    enum scene_root root;
    bool is_safe; // |safe: what a channel's name must not hold is encoded
    char *path;   // member names, each with a NUL behind it, and one NUL more
    char *text;   // as written, without braces
};

/* text is what stands between the braces.  False with a sentence. */
bool variable_read(struct variable *v, struct span text, struct err *err) MUST_CHECK;
void variable_fini(struct variable *v);

/* True when the caller has no part in choosing the value: a token says it, or the server. */
bool variable_is_trusted(const struct variable *v);

/* A variable's value: text, or a slice of JSON; kind ABSENT when there is none. */
struct scene_value {
    bool is_text;
    struct span text; // is_text: as it is, unescaped
    struct json json; // otherwise
};

/* What is decoded goes into scratch, which must not be moved while the value is used. */
struct scene_value scene_find(
    const struct scene *scene, const struct variable *v, struct buf *scratch);

/* The value as a part of a name: a string's characters, a number's or a truth's letters; |safe
 * applies.  Appended to out; false when there is no such value, or it is empty. */
bool scene_add_name(const struct scene *scene, const struct variable *v, struct buf *out);

/* What |safe makes of a text: itself while every character may stand in a channel's name and
 * the first is not '=', else '=' and base64url, so that two texts never become one. */
void scene_add_safe(struct buf *out, struct span text);

#endif
