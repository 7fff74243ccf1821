/* Counted names in a map. */
#include "base/base.h"

#include "base/names.h"

#include <stdlib.h>

#include "base/mem.h"

static struct name *find(const struct names *names, uint32_t group, struct span text, uint32_t hash)
{
    struct map_node *node = map_first(&names->map, hash);
    for (; node; node = map_next(node)) {
        struct name *name = CONTAINER_OF(node, struct name, node);
        if (name->group == group && span_eq(name_text(name), text))
            return name;
    }
    return NULL;
}

uint32_t names_add(struct names *names, uint32_t group, struct span text)
{
    uint32_t hash = hash_bytes(group, text);
    struct name *name = find(names, group, text, hash);
    if (!name) {
        name = mem_alloc(sizeof *name + text.len);
        *name = (struct name){.group = group, .len = text.len};
        if (text.len)
            memcpy(name->text, text.p, text.len);
        map_add(&names->map, &name->node, hash);
    }
    return ++name->n;
}

uint32_t names_remove(struct names *names, uint32_t group, struct span text)
{
    struct name *name = find(names, group, text, hash_bytes(group, text));
    ENSURE(name != NULL);
    uint32_t n = --name->n;
    if (!n) {
        map_remove(&names->map, &name->node);
        free(name);
    }
    return n;
}

const struct name *names_next(const struct names *names, struct map_walk *walk)
{
    struct map_node *node = map_walk(&names->map, walk);
    return node ? CONTAINER_OF(node, struct name, node) : NULL;
}

void names_fini(struct names *names)
{
    struct map_walk walk = {0};
    struct map_node *behind = NULL;
    struct map_node *node;
    while ((node = map_walk(&names->map, &walk))) {
        free(behind ? CONTAINER_OF(behind, struct name, node) : NULL);
        behind = node; // the walk still looks at it
    }
    free(behind ? CONTAINER_OF(behind, struct name, node) : NULL);
    map_fini(&names->map);
    *names = (struct names){0};
}
