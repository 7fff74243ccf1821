/* ip.h - connections counted by client address, where the operator limits them.
 *
 * Off by default: behind a proxy or a school's router one address is many people.
 * Thread: any; one lock, taken twice in a connection's life and only while the limit is on.
 */
#ifndef SERVE_IP_H
#define SERVE_IP_H

#include "base/base.h"

struct ip;

/* Counts a connection of fd's peer; *ip is what ip_leave wants, NULL with limit 0.  False
 * when the address has its limit of connections already. */
bool ip_enter(int fd, uint32_t limit, struct ip **ip) MUST_CHECK;
void ip_leave(struct ip *ip);

#endif
