/* scribe.h - the one thread that touches the disk: it keeps the store of durable histories.
 *
 * The homes of channels mail it what they decide (hub.h, LETTER_STORE to LETTER_READ), and it
 * answers.  Everything that is in its mailbox becomes one group, so the more there is to do, the
 * less each event costs.
 *
 * When the store fails it tells every worker (LETTER_STORE_UP, not flagged) and tries again by
 * itself.  Letters carry an era, which a failure ends: what was posted before the failure was
 * heard of is worth nothing, and is dropped here.  A disk that does not answer holds its thread, so
 * another one must watch it (scribe_watch); what comes too late then is revoked.
 */
#ifndef SCRIBE_H
#define SCRIBE_H

#include "base/err.h"
#include "base/mail.h"
#include "serve/serve.h"

struct scribe;

/* Opens the file of the configuration, which it holds; the streams that no rule keeps any more
 * are forgotten.  NULL with err filled: the file cannot be used. */
struct scribe *scribe_open(struct config *config, struct house *house, struct err *err);

/* The workers stand: its thread begins. */
void scribe_start(struct scribe *s);

/* A letter.  Takes it, unless it is an event and too much waits: then false.  Thread: any. */
bool scribe_post(void *scribe, struct mail *letter);

/* When a letter has waited too long (store.stall_ms) the store has failed.  Now and then, by one
 * thread that is not its own. */
void scribe_watch(struct scribe *s);

/* A reload.  Thread: any. */
void scribe_use(struct scribe *s, struct config *config);

/* The workers are about to be freed: nothing is posted to them behind this.  Thread: any. */
void scribe_leave_workers(struct scribe *s);

/* No worker runs any more: what waits is stored, and the file closed.  NULL is fine. */
void scribe_stop(struct scribe *s);

const struct store_counts *scribe_counts(const struct scribe *s);

#endif
