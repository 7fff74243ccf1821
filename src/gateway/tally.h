/* tally.h - how many different names there are among things that come and go.
 *
 * One for all workers, behind a mutex that is held for a look-up and never together with
 * another lock.  Thread: any.
 */
#ifndef GATEWAY_TALLY_H
#define GATEWAY_TALLY_H

#include "base/base.h"

struct tally;

struct tally *tally_new(void);
void tally_free(struct tally *t); // NULL is fine

void tally_add(struct tally *t, uint32_t group, struct span name);
void tally_remove(struct tally *t, uint32_t group, struct span name); // was added
uint32_t tally_n(struct tally *t);

#endif
