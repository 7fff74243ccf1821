/* main.c - options and set-up of the load generator.  See ../README.md. */
#include "load.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

static const char *const mode_names[LOAD_MODES] = {
    [LOAD_FANOUT] = "fanout",
    [LOAD_SATURATE] = "saturate",
    [LOAD_MANYCHAN] = "manychan",
    [LOAD_CLIENTEVENTS] = "clientevents",
    [LOAD_PRESENCE] = "presence",
    [LOAD_PUBLISH] = "publish",
    [LOAD_IDLE] = "idle",
};

static const char usage_text[] =
    "load MODE [options]    modes: fanout saturate manychan clientevents presence publish idle\n"
    "  --port N --host A    the server, a loopback address (127.0.0.1:6001)\n"
    "  --app ID:KEY:SECRET  (app-id:app-key:app-secret)\n"
    "  --conns N            WebSocket connections (1000)\n"
    "  --size B             bytes of an event's data, 64 to 60000 (128)\n"
    "  --secs T --warm T    measured time, and time before it (5, 0.5)\n"
    "  --rate M             events per second in all, open loop (50)\n"
    "  --window W           closed loop: events in flight (saturate and publish: 16)\n"
    "  --publishers K       HTTP connections (4; closed loop: the window, at most 16)\n"
    "  --channels C --subs S  manychan: C channels with S subscribers each (1000, 10)\n"
    "  --group G            clientevents: members of one private channel (10)\n"
    "  --churners K         presence: connections that join and leave (40)\n"
    "  --own-channel        idle: each connection subscribes to a private channel of its own\n"
    "  --transport T        ws, streaming or polling (ws)\n"
    "  --pid P              the server's process, whose costs are read\n"
    "  --connecting K       connects in flight (128)\n"
    "  --label TEXT         repeated in the report\n";

static void give_up(void)
{
    (void)fputs(usage_text, stderr);
    exit(2);
}

static void set_app(struct options *o, char *text)
{
    o->app_id = strsep(&text, ":");
    o->key = strsep(&text, ":");
    o->secret = text;
    if (!o->key || !o->secret)
        die("--app wants ID:KEY:SECRET");
}

static uint32_t number(const char *text, uint32_t min, uint32_t max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || end == text || n < min || n > max)
        die("%s is not a number from %u to %u", text, min, max);
    return (uint32_t)n;
}

static double positive(const char *text)
{
    char *end;
    double d = strtod(text, &end);
    if (*end || end == text || !(d >= 0) || d > 1e9)
        die("%s is not a number", text);
    return d;
}

/* Where an option's number goes, and its bounds.  The others have code in set_option. */
static const struct {
    const char *name;
    size_t at;
    uint32_t min, max;
} numbers[] = {
    {"port", offsetof(struct options, port), 1, 65535},
    {"conns", offsetof(struct options, conns), 0, 1000000},
    {"size", offsetof(struct options, size), PAYLOAD_MIN, 60000},
    {"window", offsetof(struct options, window), 1, 4096},
    {"publishers", offsetof(struct options, publishers), 1, 4096},
    {"channels", offsetof(struct options, channels), 1, 1000000},
    {"subs", offsetof(struct options, subs), 1, 1000000},
    {"group", offsetof(struct options, group), 2, 100000},
    {"churners", offsetof(struct options, churners), 1, 10000},
    {"connecting", offsetof(struct options, connecting), 1, 100000},
    {"pid", offsetof(struct options, pid), 1, 1U << 30},
};

static bool set_number(struct options *o, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) != 0)
            continue;
        uint32_t n = number(value, numbers[i].min, numbers[i].max);
        memcpy((char *)o + numbers[i].at, &n, sizeof n);
        return true;
    }
    return false;
}

static void set_transport(struct options *o, const char *word)
{
    static const char *const words[] = {"ws", "streaming", "polling"};
    for (int i = 0; i < 3; i++)
        if (strcmp(word, words[i]) == 0) {
            o->transport = (enum transport)i;
            return;
        }
    die("--transport wants ws, streaming or polling");
}

static bool set_other(struct options *o, const char *name, char *value)
{
    if (strcmp(name, "host") == 0)
        o->host = value;
    else if (strcmp(name, "app") == 0)
        set_app(o, value);
    else if (strcmp(name, "transport") == 0)
        set_transport(o, value);
    else if (strcmp(name, "label") == 0)
        o->label = value;
    else if (strcmp(name, "secs") == 0)
        o->secs = positive(value);
    else if (strcmp(name, "warm") == 0)
        o->warm_s = positive(value);
    else if (strcmp(name, "rate") == 0)
        o->rate = positive(value);
    else
        return false;
    return true;
}

static void read_options(struct options *o, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i] + 2;
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--own-channel") == 0)
            o->own_channel = true;
        else if (strncmp(argv[i], "--", 2) == 0 && has_value &&
                 (set_number(o, name, argv[i + 1]) || set_other(o, name, argv[i + 1])))
            i++;
        else
            give_up();
    }
}

static void settle_options(struct options *o)
{
    bool many = o->mode == LOAD_MANYCHAN;
    if (!o->window && (o->mode == LOAD_SATURATE || o->mode == LOAD_PUBLISH))
        o->window = 16;
    if (!o->publishers)
        o->publishers = o->window ? (o->window < 16 ? o->window : 16) : 4;
    if (o->mode == LOAD_CLIENTEVENTS || o->mode == LOAD_PRESENCE || o->mode == LOAD_IDLE)
        o->publishers = 0;
    if (o->mode != LOAD_PRESENCE)
        o->churners = o->mode == LOAD_IDLE; // the connection that comes before the counted ones
    if (o->mode == LOAD_PUBLISH)
        o->conns = 0;
    else if (!o->conns)
        die("--conns 0 is for publish only");
    o->channels = many ? o->channels : 1;
    if (o->publishers > o->channels && many)
        o->publishers = o->channels;
    if (o->mode == LOAD_CLIENTEVENTS && o->conns % o->group)
        die("--conns must be a multiple of --group");
    if (!(o->rate > 0))
        die("--rate must be more than 0");
    if (o->mode == LOAD_PRESENCE)
        o->window = 0;
}

static uint32_t streams_of(const struct options *o)
{
    if (o->mode == LOAD_MANYCHAN)
        return o->channels;
    if (o->mode == LOAD_CLIENTEVENTS)
        return o->group;
    return o->mode == LOAD_PRESENCE ? o->churners : o->publishers;
}

static void lay_out(struct load *l)
{
    const struct options *o = &l->opt;
    uint64_t per_conn = 0;
    if (o->mode == LOAD_MANYCHAN)
        per_conn = ((uint64_t)o->channels * o->subs + o->conns - 1) / o->conns;
    if (per_conn > o->channels)
        die("%u connections cannot be %u subscribers of each channel", o->conns, o->subs);
    l->first_publisher = o->conns;
    l->first_churner = o->conns + o->publishers;
    l->n_conns = l->first_churner + o->churners;
    l->conns = must_calloc(l->n_conns, sizeof *l->conns);
    l->n_streams = streams_of(o);
    l->next_seq = must_calloc(l->n_streams, sizeof *l->next_seq);
    l->n_hearers = must_calloc((size_t)o->channels + o->conns, sizeof *l->n_hearers);
    l->remaining = must_calloc(IN_FLIGHT_MAX, sizeof *l->remaining);
    l->scratch = must_calloc(1, LOAD_SCRATCH);
    l->out = must_calloc(1, LOAD_SCRATCH);
    l->text = must_calloc(1, LOAD_SCRATCH);
    l->send_fd = -1;
    l->salt = (uint32_t)now_ns() & 0xfffffffU;
    for (uint32_t i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        c->fd = -1;
        c->kind = i < l->first_publisher ? CONN_CLIENT
                  : i < l->first_churner ? CONN_PUBLISHER
                                         : CONN_CHURNER;
        if (o->mode == LOAD_IDLE)
            c->kind = CONN_CLIENT;
        c->index = c->kind == CONN_PUBLISHER ? i - l->first_publisher : i;
        if (c->kind != CONN_CLIENT)
            continue;
        c->base = per_conn ? (uint32_t)(i * per_conn % o->channels) : 0;
        c->n_streams = per_conn ? (uint32_t)per_conn : l->n_streams;
        c->next_seq = must_calloc(c->n_streams, sizeof *c->next_seq);
    }
}

static void set_target(struct load *l)
{
    l->target.sin_family = AF_INET;
    l->target.sin_port = htons((uint16_t)l->opt.port);
    if (inet_pton(AF_INET, l->opt.host, &l->target.sin_addr) != 1 ||
        ntohl(l->target.sin_addr.s_addr) >> 24 != 127)
        die("only loopback addresses (127.x.y.z) are loaded");
}

int main(int argc, char **argv)
{
    static struct load l = {.opt = {.mode = LOAD_MODES,
                                .host = "127.0.0.1",
                                .app_id = "app-id",
                                .key = "app-key",
                                .secret = "app-secret",
                                .label = "-",
                                .port = 6001,
                                .conns = 1000,
                                .channels = 1000,
                                .subs = 10,
                                .group = 10,
                                .churners = 40,
                                .size = 128,
                                .connecting = 128,
                                .rate = 50,
                                .secs = 5,
                                .warm_s = 0.5}};
    for (int i = 0; argc > 1 && i < LOAD_MODES; i++)
        if (strcmp(argv[1], mode_names[i]) == 0)
            l.opt.mode = (enum load_mode)i;
    l.opt.mode_name = argv[1];
    if (l.opt.mode == LOAD_MODES)
        give_up();
    read_options(&l.opt, argc, argv);
    settle_options(&l.opt);
    set_target(&l);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.epoll < 0)
        die("no epoll");
    lay_out(&l);
    if (l.opt.mode == LOAD_IDLE)
        return run_idle(&l);
    return run_events(&l);
}
