/* socket_id.h - the name of a connection: two decimal numbers joined by a dot.
 *
 * The first says which worker and slot the session is in, scrambled under a key of this
 * process so that ids tell a client nothing; the second is random.  So leaving out,
 * terminating and answering need no table, and an id cannot be guessed.
 */
#ifndef WIRE_SOCKET_ID_H
#define WIRE_SOCKET_ID_H

#include "base/base.h"

enum { SOCKET_ID_MAX = 21 };

/* Names a session from any worker.  nonce 0 = nobody. */
struct session_ref {
    uint32_t slot;   // below 2^24
    uint32_t nonce;  // tells apart the sessions that a slot holds one after the other
    uint16_t worker; // below 2^8
};

void socket_id_init(void); // once, before the first id
size_t socket_id_write(struct session_ref ref, char out[SOCKET_ID_MAX]);

/* True when text has the form ^\d+\.\d+$.  An id that is none of ours gives nobody. */
bool socket_id_read(struct span text, struct session_ref *ref) MUST_CHECK;

#endif
