/* Rules: read, and asked. */
#include "base/base.h"

#include "gateway/policy.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/pusher.h"

enum { PARTS_MAX = 16, TEXT_MAX = 1024, CLAIM_ITEMS_MAX = 1000 };

enum part_kind { PART_TEXT, PART_ANY, PART_VARIABLE };

struct pattern_part {
    enum part_kind kind;
    char *text;
    struct variable variable;
};

/* --- who ---------------------------------------------------------------------------------------- */

bool who_add(struct who *who, const struct roles *roles, struct span word, struct err *err)
{
    bool is_from = word.len > 1 && word.p[word.len - 1] == '+';
    struct span name = span_of(word.p, word.len - is_from);
    uint32_t mask = 0;
    bool is_anyone = span_is(word, "anyone");
    bool is_user = is_anyone || span_is(word, "user");
    who->is_anyone |= is_anyone;
    who->is_user |= is_user;
    if (is_user || span_is(word, "nobody"))
        return true;
    for (size_t i = 0; i < roles->n; i++) {
        if (!span_is(name, roles->list[i].name))
            continue;
        for (size_t j = 0; j < roles->n; j++)
            if (i == j || (is_from && roles->list[j].level >= roles->list[i].level))
                mask |= 1U << j;
    }
    who->roles |= mask;
    return mask ||
           err_set(err, 0,
               "'%.*s' is nobody: expected anyone, user, nobody, or one of gateway.auth.roles, "
               "with a '+' behind it for all above it too",
               (int)(word.len > 64 ? 64 : word.len), word.len ? word.p : "");
}

bool who_holds(const struct who *who, const struct roles *roles, const struct caller *caller)
{
    if (who->is_anyone)
        return true;
    if (!caller || !caller->is_known)
        return false;
    if (who->is_user)
        return true;
    for (size_t i = 0; i < roles->n; i++)
        if ((who->roles & 1U << i) && span_is(caller->role, roles->list[i].name))
            return true;
    return false;
}

/* --- patterns -------------------------------------------------------------------------------------- */

static struct pattern_part *add_part(struct pattern *p, enum part_kind kind)
{
    p->parts = mem_array(p->parts, p->n_parts + 1, sizeof *p->parts);
    p->parts[p->n_parts] = (struct pattern_part){.kind = kind};
    return &p->parts[p->n_parts++];
}

static bool add_variable(struct pattern *p, struct span name, struct err *err)
{
    struct variable v;
    if (!variable_read(&v, name, err))
        return false;
    if (v.root <= SCENE_USER_ROLE || v.root == SCENE_CLAIM) {
        add_part(p, PART_VARIABLE)->variable = v;
        return true;
    }
    (void)err_set(err, 0,
        "a pattern may hold user.id, user.name, user.role and claim.NAME, not '{%s}'", v.text);
    variable_fini(&v);
    return false;
}

static bool add_parts(struct pattern *p, struct span in, struct err *err)
{
    while (in.len) {
        size_t n = 0;
        if (p->n_parts == PARTS_MAX)
            return err_set(err, 0, "the pattern has more than %d parts", PARTS_MAX);
        if (in.p[0] == '*') {
            add_part(p, PART_ANY);
            in = span_from(in, 1);
            continue;
        }
        if (in.p[0] == '{') {
            const char *end = memchr(in.p, '}', in.len);
            n = end ? (size_t)(end - in.p) + 1 : 0;
            if (!end)
                return err_set(err, 0, "a '{' has no '}'");
            if (!add_variable(p, span_of(in.p + 1, n - 2), err))
                return false;
            in = span_from(in, n);
            continue;
        }
        while (n < in.len && in.p[n] != '*' && in.p[n] != '{')
            n++;
        add_part(p, PART_TEXT)->text = mem_dup(in.p, n);
        in = span_from(in, n);
    }
    return true;
}

bool pattern_compile(struct pattern *p, struct span text, struct err *err)
{
    *p = (struct pattern){.text = mem_dup(text.p ? text.p : "", text.len)};
    bool ok = text.p && text.len && text.len < TEXT_MAX && !memchr(text.p, '\0', text.len);
    if (!ok)
        (void)err_set(err, 0, "a pattern is 1 to %d characters", TEXT_MAX - 1);
    ok = ok && add_parts(p, text, err);
    if (!ok)
        pattern_fini(p);
    return ok;
}

void pattern_fini(struct pattern *p)
{
    for (size_t i = 0; i < p->n_parts; i++) {
        free(p->parts[i].text);
        variable_fini(&p->parts[i].variable);
    }
    free(p->parts);
    free(p->text);
    *p = (struct pattern){0};
}

/* Where in the text the parts so far may end: that makes any number of '*' and of a list's
 * items cost no more than parts x length. */
struct reach {
    struct span text;
    bool from[TEXT_MAX + 1], to[TEXT_MAX + 1];
};

static void reach_text(struct reach *r, struct span part)
{
    if (!part.len || part.len > r->text.len)
        return;
    for (size_t i = 0; i + part.len <= r->text.len; i++)
        if (r->from[i] && memcmp(r->text.p + i, part.p, part.len) == 0)
            r->to[i + part.len] = true;
}

static void reach_any(struct reach *r)
{
    bool is_behind = false;
    for (size_t i = 0; i <= r->text.len; i++)
        r->to[i] = is_behind |= r->from[i];
}

static void reach_item(struct reach *r, const struct json *item, bool is_safe)
{
    struct buf scratch = {0};
    struct buf safe = {0};
    struct span text = item->raw;
    bool is_name = item->kind == JSON_NUMBER;
    if (item->kind == JSON_STRING)
        is_name = json_decode(item, &scratch, &text);
    if (is_name && is_safe && text.len) {
        scene_add_safe(&safe, text);
        text = buf_span(&safe);
    }
    if (is_name)
        reach_text(r, text);
    buf_fini(&scratch);
    buf_fini(&safe);
}

static void reach_variable(struct reach *r, const struct variable *v, const struct caller *caller)
{
    struct scene scene = {.caller = caller};
    struct buf scratch = {0};
    struct scene_value value = scene_find(&scene, v, &scratch);
    struct json item;
    size_t at = 0;
    if (!value.is_text && value.json.kind == JSON_ARRAY) {
        for (int n = 0; n < CLAIM_ITEMS_MAX && json_next(&value.json, &at, &item); n++)
            reach_item(r, &item, v->is_safe);
    } else {
        scratch.len = 0;
        if (scene_add_name(&scene, v, &scratch))
            reach_text(r, buf_span(&scratch));
    }
    buf_fini(&scratch);
}

bool pattern_fits(const struct pattern *p, struct span text, const struct caller *caller)
{
    struct reach r = {.text = text};
    if (text.len > TEXT_MAX)
        return false;
    r.from[0] = true;
    for (size_t i = 0; i < p->n_parts; i++) {
        const struct pattern_part *part = &p->parts[i];
        memset(r.to, 0, text.len + 1);
        if (part->kind == PART_TEXT)
            reach_text(&r, span_str(part->text));
        else if (part->kind == PART_ANY)
            reach_any(&r);
        else
            reach_variable(&r, &part->variable, caller);
        memcpy(r.from, r.to, text.len + 1);
    }
    return r.from[text.len];
}

/* --- decisions -------------------------------------------------------------------------------------- */

const char *policy_word(enum policy_action action)
{
    static const char *const words[POLICY_ACTIONS] = {[POLICY_JOIN] = "join",
        [POLICY_PUBLISH] = "publish",
        [POLICY_CLIENT_EVENTS] = "client_events",
        [POLICY_HISTORY] = "history"};
    return words[action];
}

static bool is_public(struct span channel)
{
    unsigned traits;
    return pusher_channel(channel, TEXT_MAX, &traits) &&
           !(traits & (CHANNEL_PRIVATE | CHANNEL_USER));
}

struct decision policy_decide(const struct policy *p, const struct caller *caller,
    struct span channel, enum policy_action action)
{
    struct decision d = {false, NULL};
    for (size_t i = 0; i < p->n_rules && !d.rule; i++)
        if (pattern_fits(&p->rules[i].pattern, channel, caller))
            d.rule = &p->rules[i];
    if (action > POLICY_PUBLISH && !(d.rule && d.rule->is_given[action]))
        action = POLICY_JOIN;
    if (d.rule && d.rule->is_given[action])
        d.is_allowed = who_holds(&d.rule->may[action], &p->roles, caller);
    else
        d.is_allowed = action == POLICY_JOIN && is_public(channel);
    return d;
}

static bool fits_a_name(
    const struct event_rule *rule, struct span event, const struct caller *caller)
{
    for (size_t i = 0; i < rule->n_names; i++)
        if (pattern_fits(&rule->names[i], event, caller))
            return true;
    return rule->n_names == 0;
}

bool policy_allows_event(
    const struct policy *p, const struct caller *caller, struct span channel, struct span event)
{
    for (size_t i = 0; i < p->n_events; i++) {
        const struct event_rule *rule = &p->events[i];
        bool is_here = !rule->channel.n_parts || pattern_fits(&rule->channel, channel, caller);
        if (is_here && fits_a_name(rule, event, caller))
            return who_holds(&rule->may, &p->roles, caller);
    }
    return p->n_events == 0;
}

void policy_fini(struct policy *p)
{
    for (size_t i = 0; i < p->roles.n; i++)
        free(p->roles.list[i].name);
    for (size_t i = 0; i < p->n_rules; i++) {
        pattern_fini(&p->rules[i].pattern);
        template_fini(&p->rules[i].user_info);
    }
    for (size_t i = 0; i < p->n_events; i++) {
        pattern_fini(&p->events[i].channel);
        for (size_t k = 0; k < p->events[i].n_names; k++)
            pattern_fini(&p->events[i].names[k]);
        free(p->events[i].names);
    }
    free(p->rules);
    free(p->events);
    template_fini(&p->user_info);
    *p = (struct policy){0};
}
