/* courier.h - the one thread that speaks to the outside on our own account.
 *
 * It is told facts by the workers' hubs and makes webhooks of them, and asks the upstreams of
 * the gateway.  It never touches a
 * client's socket, nor the disk.
 */
#ifndef COURIER_H
#define COURIER_H

#include "base/mail.h"
#include "hub/facts.h"
#include "serve/config.h"

#include <pthread.h>

struct courier;
struct house;

/* Holds the config.  house: whose workers get answers. */
struct courier *courier_start(struct config *config, struct house *house);

/* A letter: a struct fact, fact_ask or exchange.  Takes it.  Thread: any. */
void courier_post(void *courier, struct mail *letter);

/* A reload.  Thread: any. */
void courier_use(struct courier *c, struct config *config);

/* The workers are about to be freed: nothing is posted to them behind this.  Thread: any. */
void courier_leave_workers(struct courier *c);

/* No worker runs any more: what waits is delivered for at most window_ms, the rest is logged
 * and dropped. */
void courier_stop(struct courier *c, uint32_t window_ms);

const struct fact_counts *courier_counts(const struct courier *c);

#endif
