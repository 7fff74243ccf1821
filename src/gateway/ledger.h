/* ledger.h - who is on the legacy endpoints now, and when somebody last came.
 *
 * Connections of one user are on any worker, so this is one book for all of them, behind a
 * mutex that is held for a look-up and never together with another lock.
 *
 * Thread: any.
 */
#ifndef GATEWAY_LEDGER_H
#define GATEWAY_LEDGER_H

#include "base/base.h"
#include "base/buf.h"
#include "gateway/bridge.h"

struct ledger;

struct ledger *ledger_new(void);
void ledger_free(struct ledger *l); // NULL is fine

struct ledger_visit {
    enum bridge_endpoint endpoint;
    struct span user, role, client; // user empty = without a token
    int64_t since_ms;               // wall time
};

/* False when there are limit already.  key is the visit's until ledger_leave. */
bool ledger_enter(
    struct ledger *l, uint64_t key, const struct ledger_visit *visit, uint32_t limit) MUST_CHECK;
void ledger_leave(struct ledger *l, uint64_t key);

/* What the visitors have asked to hear. */
void ledger_join(struct ledger *l, struct span channel);
void ledger_part(struct ledger *l, struct span channel);

struct ledger_figures {
    uint32_t n[BRIDGE_ENDPOINTS];
    uint64_t n_ever[BRIDGE_ENDPOINTS];
    uint32_t n_users, n_channels;
    int64_t last_ms; // wall time of the last arrival; 0 = none since the start
};
void ledger_read(struct ledger *l, struct ledger_figures *out);

/* Appends JSON: {"student":2,..}, [{"channel","client_count"[,"clients"]}], [{"user_id",..}]. */
void ledger_add_roles(struct ledger *l, struct buf *out);
void ledger_add_channels(struct ledger *l, struct buf *out);
void ledger_add_users(struct ledger *l, struct buf *out);

#endif
