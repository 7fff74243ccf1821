/* jws_verify.h - `carillon jws-verify`: the verifier by itself, for public test vectors. */
#ifndef JWS_VERIFY_H
#define JWS_VERIFY_H

/* Reads lines {"jwk":{...},"jws":"..."} from standard input and answers each with a line
 * "accept" or "reject".  Returns the exit status. */
int jws_verify_lines(void);

#endif
