/* poll_list.h - the channels of a client that polls, and how far it has come in each.
 *
 * The server keeps nothing between two polls.  The client says where it is: by names and
 * positions, or by the session that the last answer gave it, which is the same list with a
 * signature that only its own user can show.  Private to serve.
 */
#ifndef SERVE_POLL_LIST_H
#define SERVE_POLL_LIST_H

#include "base/buf.h"
#include "hub/history.h"
#include "wire/sign.h"

/* Together they bound a session: some 5,000 characters, which stand in a request's head. */
enum { POLL_CHANNELS = 50, POLL_NAMES_BYTES = 2048 };

struct poll_channel {
    char *name;
    uint8_t traits;
    bool is_gap; // there is no going on from at
    struct position at;
};

struct poll_list {
    struct poll_channel *channels;
    size_t n, names_bytes;
};

void poll_list_fini(struct poll_list *list);

enum poll_add { POLL_ADDED, POLL_TWICE, POLL_FULL };

/* A channel and a position; where the channel stands already, that counts. */
enum poll_add poll_list_add(
    struct poll_list *list, struct span name, const struct position *at) MUST_CHECK;

/* "CHANNEL:EPOCH:OFFSET", in parts; false when the text is none. */
bool poll_since_read(struct span text, struct span *name, struct position *at) MUST_CHECK;

/* Appends the session, for that user alone. */
void poll_session_write(
    const struct poll_list *list, const struct sign_key *key, struct span user, struct buf *out);

/* Adds what the session holds.  False when it is not one of that user, signed with that key. */
bool poll_session_read(struct poll_list *list, const struct sign_key *key, struct span user,
    struct span session) MUST_CHECK;

#endif
