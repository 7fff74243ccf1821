/* token.h - `carillon token`: one bearer token, minted with the gateway's own key.
 *
 * For development and for scripts of an operator; an application mints its own.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "config.h"

extern struct own_flag token_flags[];

/* Prints the token; returns the exit status. */
int token_print(const struct config_args *args, const struct own_flag *own);

#endif
