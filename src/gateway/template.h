/* template.h - JSON and names with places to be filled, compiled once.
 *
 * A template is JSON whose strings hold variables in braces.  A string that is nothing but one
 * variable becomes that variable's JSON value, whatever its kind; elsewhere a value is written
 * escaped into the string around it.  So what a client sent never becomes JSON of another
 * shape.  "{{" is a brace.
 */
#ifndef GATEWAY_TEMPLATE_H
#define GATEWAY_TEMPLATE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "gateway/scene.h"

enum template_op_kind {
    TEMPLATE_TEXT,  // JSON as it stands
    TEMPLATE_VALUE, // a variable as a JSON value; null when there is none
    TEMPLATE_INSIDE // a variable inside a string; nothing when there is none
};

struct template_op {
    enum template_op_kind kind;
    char *text; // TEXT
    size_t len;
    struct variable variable; // the others
};

struct template
{
    struct template_op *ops;
    size_t n_ops;
};

/* json must be valid JSON.  False with a sentence when a variable is unknown or a brace stands
 * alone. */
bool template_compile(struct template *t, struct span json, struct err *err) MUST_CHECK;
void template_fini(struct template *t);

/* Appends JSON. */
void template_write(const struct template *t, const struct scene *scene, struct buf *out);

/* A name: plain text with variables. */
struct name_template {
    struct template_op *ops; // TEXT and INSIDE
    size_t n_ops;
    char *text; // as written
};

bool name_compile(struct name_template *t, struct span text, struct err *err) MUST_CHECK;
void name_fini(struct name_template *t);

/* Appends the name.  False when a variable has no value fit for a name; *culprit is it. */
bool name_write(const struct name_template *t, const struct scene *scene, struct buf *out,
    const struct variable **culprit) MUST_CHECK;

/* The same, and each value must consist of characters that a channel's name may have
 * (pusher-protocol 2.4). */
bool name_write_channel(const struct name_template *t, const struct scene *scene, struct buf *out,
    const struct variable **culprit) MUST_CHECK;

/* False when the caller can choose what it becomes. */
bool name_is_trusted(const struct name_template *t);
bool name_is_fixed(const struct name_template *t); // holds no variable

#endif
