/* assets.h - files that live in the binary: the demo page and its pusher-js.
 *
 * The table is made at build time by cmake/embed.cmake; a build with NO_DEMO has an empty one.
 */
#ifndef SERVE_ASSETS_H
#define SERVE_ASSETS_H

#include "base/base.h"

struct asset {
    const char *path; // as in a request, behind the path prefix: "/", "/demo.js"
    const char *type; // the value of Content-Type
    const unsigned char *bytes;
    size_t len;
};

extern const struct asset assets_table[]; // ends with a row whose path is NULL

/* The asset with exactly that path, or NULL. */
const struct asset *asset_find(struct span path);

#endif
