/* Files that live in the binary. */
#include "base/base.h"

#include "serve/assets.h"

const struct asset *asset_find(struct span path)
{
    for (const struct asset *a = assets_table; a->path; a++)
        if (span_is(path, a->path))
            return a;
    return NULL;
}
