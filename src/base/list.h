/* list.h - a doubly linked list of things that carry their own node, with its length. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list_node {
    struct list_node *prev, *next;
};

struct list {
    struct list_node *first, *last;
    uint32_t n;
};

static inline void list_append(struct list *l, struct list_node *node)
{
    node->prev = l->last;
    node->next = NULL;
    if (l->last)
        l->last->next = node;
    else
        l->first = node;
    l->last = node;
    l->n++;
}

static inline void list_remove(struct list *l, struct list_node *node)
{
    if (node->prev)
        node->prev->next = node->next;
    else
        l->first = node->next;
    if (node->next)
        node->next->prev = node->prev;
    else
        l->last = node->prev;
    l->n--;
}

#endif
