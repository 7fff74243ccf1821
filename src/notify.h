/* notify.h - telling systemd (sd_notify(3)) how the service is. */
#ifndef NOTIFY_H
#define NOTIFY_H

/* Sends state ("READY=1") to NOTIFY_SOCKET; does nothing when that is not set. */
void notify_send(const char *state);

#endif
