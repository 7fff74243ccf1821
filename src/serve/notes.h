/* notes.h - what the gateway has said about sessions: whose they are, where they are silent.
 *
 * Only sessions of which something was said have notes, so the others cost nothing.  Notes
 * belong to the worker that has the session; letters bring them and ask about them.  Private
 * to serve.
 */
#ifndef SERVE_NOTES_H
#define SERVE_NOTES_H

#include "serve/serve.h"
#include "wire/socket_id.h"

struct session;

/* The gateway has authorised that socket for a user. */
void notes_own(struct serve *s, struct session_ref ref, uint32_t app, struct span user);

/* Whether the session may not send client events there. */
void notes_set_silent(struct serve *s, uint32_t session, struct span channel, bool is_silent);
bool notes_is_silent(const struct serve *s, uint32_t session, struct span channel);

void notes_forget(struct serve *s, uint32_t session); // it ends

/* --- questions about a user's sessions, asked of one worker --- */

enum scan_kind {
    SCAN_CHANNELS, // "a","b": what they are subscribed to
    SCAN_USERS,    // "1","2": of all users
    SCAN_IS_IN,    // counts those that are in the channel
    SCAN_LEAVE,    // takes them out of it, and counts them
    SCAN_CLOSE     // closes and counts them
};

struct scan {
    enum scan_kind kind;
    uint32_t app;
    struct span user, channel;
};

/* Appends to out; returns the count. */
uint32_t notes_scan(struct serve *s, const struct scan *scan, struct buf *out);

/* Letters SERVE_LETTER_OWNER and SERVE_LETTER_SCAN; takes them. */
void notes_receive_owner(struct serve *s, struct mail *mail);
void notes_receive_scan(struct serve *s, struct mail *mail);

/* Asks that worker; the answer is a LETTER_ANSWER for request. */
void notes_ask(
    struct serve *s, unsigned worker, const struct scan *scan, const uint32_t request[3]);

#endif
