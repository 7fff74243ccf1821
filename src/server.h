/* server.h - the running server: listeners, workers, signals, stop. */
#ifndef SERVER_H
#define SERVER_H

#include "config.h"

/* Serves until a signal ends it.  The exit status. */
int server_run(const struct config_args *args);

#endif
