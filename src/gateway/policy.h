/* policy.h - who may do what on which channel.
 *
 * Rules stand in order; the first whose pattern fits the channel decides.  A pattern knows the
 * caller: "private-user-{user.id}" fits the caller's own channel only.  Where no rule says
 * anything, anyone may join a public channel, and nobody may do anything else.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include "base/base.h"
#include "base/err.h"
#include "gateway/scene.h"
#include "gateway/template.h"

enum { ROLES_MAX = 31 };

struct role {
    char *name;
    uint32_t level;
};

struct roles {
    struct role list[ROLES_MAX];
    size_t n;
};

/* Of whom something is true. */
struct who {
    bool is_anyone; // without a token too
    bool is_user;   // with any valid token
    uint32_t roles; // bits: index in struct roles
};

/* One word: anyone, user, nobody, a role ("teacher"), or a role and all above it ("teacher+").
 * Added to what who holds. */
bool who_add(
    struct who *who, const struct roles *roles, struct span word, struct err *err) MUST_CHECK;
bool who_holds(const struct who *who, const struct roles *roles, const struct caller *caller);

/* Text with variables of the caller and '*' for any characters; a claim that is a list stands
 * for each of its items. */
struct pattern_part;
struct pattern {
    struct pattern_part *parts;
    size_t n_parts;
    char *text; // as written
};

bool pattern_compile(struct pattern *p, struct span text, struct err *err) MUST_CHECK;
void pattern_fini(struct pattern *p);
bool pattern_fits(const struct pattern *p, struct span text, const struct caller *caller);

enum policy_action {
    POLICY_JOIN,
    POLICY_PUBLISH,       // through the application's endpoints
    POLICY_CLIENT_EVENTS, // as a rule of its own; where it says nothing, who may join
    POLICY_HISTORY,       // likewise
    POLICY_ACTIONS
};
const char *policy_word(enum policy_action action);

struct channel_rule {
    struct pattern pattern;
    unsigned line; // of the file, where it stands
    struct who may[POLICY_ACTIONS];
    bool is_given[POLICY_ACTIONS];
    bool has_user_info;
    struct template user_info; // instead of the policy's own
};

/* Which events a caller may name: where there are such rules, the first that fits decides. */
struct event_rule {
    struct pattern channel; // no parts = any
    struct pattern *names;
    size_t n_names; // 0 = any
    struct who may;
};

struct policy {
    struct roles roles;
    struct channel_rule *rules;
    size_t n_rules;
    struct event_rule *events;
    size_t n_events;
    struct template user_info; // of presence members
};

void policy_fini(struct policy *p);

struct decision {
    bool is_allowed;
    const struct channel_rule *rule; // NULL = none fits
};

/* channel is a valid channel name. */
struct decision policy_decide(const struct policy *p, const struct caller *caller,
    struct span channel, enum policy_action action);

bool policy_allows_event(
    const struct policy *p, const struct caller *caller, struct span channel, struct span event);

#endif
