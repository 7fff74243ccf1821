/* doctor.h - `carillon doctor`: what can be checked before, and beside, a running server. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "config.h"

extern struct own_flag doctor_flags[];

/* Prints a line for each check; returns the exit status: 1 when one has failed. */
int doctor_run(const struct config_args *args, const struct own_flag *own);

#endif
