/* scribe_read.h - what the scribe reads for others.  Private to the scribe. */
#ifndef SCRIBE_READ_H
#define SCRIBE_READ_H

#include "hub/hub.h"
#include "store/store.h"

/* READ: a page, or what is kept, becomes l->cached.  False: it cannot be read. */
bool scribe_read_page(
    struct store *store, const struct store_key *key, struct letter *l, struct err *err) MUST_CHECK;

/* OPEN: what is there, as l->found, with the newest events that a client may be given back.  A
 * stream of another durability is none. */
bool scribe_find(struct store *store, const struct store_key *key, const struct store_rule *rule,
    struct letter *l, struct err *err) MUST_CHECK;

#endif
