/* gateway.h - the application side: who calls, what they may do, and what each endpoint does,
 * all from configuration.
 *
 * A struct gateway is part of a configuration: immutable once that is in use, read by every
 * worker.  It decides and it writes texts; serve does what it says.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/base.h"
#include "base/buf.h"
#include "gateway/bridge.h"
#include "gateway/jwt.h"
#include "gateway/policy.h"
#include "gateway/route.h"

enum { GATEWAY_KEY_BYTES = 32 };

struct cors {
    char **origins; // as "https://example.com", or "*"
    size_t n_origins;
    bool is_local; // none are named: any page of this machine
    bool has_credentials;
    char *headers; // that a page may send, with commas between them
};

struct gateway {
    char *app; // id; whose channels these are
    struct jwt_rules jwt;
    bool has_inline_secret; // a secret stands in the file itself: for loopback only
    struct policy policy;
    struct cors cors;
    bool is_strict; // an unknown message type is refused
    bool has_channel_key;
    unsigned char channel_key[GATEWAY_KEY_BYTES]; // the keys of encrypted channels come from it
    struct route *routes;
    size_t n_routes;
    struct bridge *bridge; // NULL = there are no legacy endpoints
    struct buf openapi;    // the routes, as a document
};

struct gateway *gateway_new(void);
void gateway_free(struct gateway *g); // NULL is fine; wipes secrets

/* Once all is read: what is derived.  version is the server's. */
void gateway_finish(struct gateway *g, const char *version);

/* True when a page of that origin may call. */
bool gateway_allows_origin(const struct gateway *g, struct span origin);

/* The token of an Authorization header; false when there is none of the Bearer kind. */
bool gateway_bearer(struct span authorization, struct span *token) MUST_CHECK;

/* --- what pusher-js is given ------------------------------------------------------------- */

/* channel_data for a member: {"user_id":..,"user_info":..}, and whether client events are
 * denied (pusher-protocol 4.2).  Appends JSON. */
void gateway_add_member(const struct gateway *g, const struct channel_rule *rule,
    const struct scene *scene, bool is_silent, struct buf *out);

/* user_data for a sign-in: {"id":..,"user_info":..}. */
void gateway_add_user(const struct gateway *g, const struct scene *scene, struct buf *out);

/* The base64 of SHA-256(channel . channel_key): the shared_secret of an encrypted channel. */
void gateway_add_shared_secret(const struct gateway *g, struct span channel, struct buf *out);

/* --- the routes, described ---------------------------------------------------------------- */

void gateway_add_openapi(const struct gateway *g, const char *version, struct buf *out);
void gateway_add_table(const struct gateway *g, struct buf *out); // Markdown

#endif
