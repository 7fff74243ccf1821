/* scribe_rules.h - streams that a reload leaves without a durable rule.  Private to the scribe.
 *
 * Their channels' events are not stored, so their positions must not be good again when a rule
 * comes back: each configuration is gone by in its turn, and what it does not keep is forgotten, in
 * steps.  A turn begins when every worker goes by the configuration, because events of a rule that
 * is no more must not come behind it: they would make the stream anew.
 */
#ifndef SCRIBE_RULES_H
#define SCRIBE_RULES_H

#include "serve/config.h"
#include "store/store.h"

struct coming; // a configuration whose turn has not come

struct rules {
    struct config *config; // held; whose turn it is, or was
    struct coming *first, **last;
    bool is_reached; // the first of these was everywhere when rules_look looked
    struct store_walk walk;
};

/* Its turn begins. */
void rules_init(struct rules *r, struct config *config);
void rules_fini(struct rules *r);

/* A reload. */
void rules_expect(struct rules *r, struct config *config);

/* Before the mail is taken: what follows, up to rules_turn behind it, is what the workers posted
 * before. */
void rules_look(struct rules *r);
void rules_turn(struct rules *r);

static inline bool rules_are_waiting(const struct rules *r)
{
    return r->first != NULL;
}

static inline bool rules_are_at_work(const struct rules *r)
{
    return !r->walk.is_over;
}

/* Forgets some of what is to be forgotten. */
bool rules_step(struct rules *r, struct store *store, struct err *err) MUST_CHECK;

/* All of it, where every worker goes by it: nothing must be posted meanwhile. */
bool rules_finish(struct rules *r, struct store *store, struct err *err) MUST_CHECK;

/* A channel's home opens this stream: whatever a configuration does not keep whose turn is not over
 * is forgotten first. */
bool rules_open(
    struct rules *r, struct store *store, const struct store_key *key, struct err *err) MUST_CHECK;

#endif
