/* load.h - what the parts of the load generator share.
 *
 * One thread, one edge-triggered epoll, one shared read buffer.  A run is: open the
 * connections, warm up, measure, wait for what is still on its way, report.  Every event
 * carries (id, stream, sequence, time) and a filler that depends on the sequence, so that
 * loss, repetition, disorder and damage are counted and not assumed.
 *
 * A *stream* is whoever numbers events: a publisher connection, a channel (manychan) or a
 * member of a group (clientevents).  Within a stream every subscriber must see 1, 2, 3...
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_mode {
    LOAD_FANOUT,       // one channel, open loop
    LOAD_SATURATE,     // one channel, closed loop
    LOAD_MANYCHAN,     // many channels with a few subscribers each
    LOAD_CLIENTEVENTS, // groups on private channels talk among themselves
    LOAD_PRESENCE,     // members come and go before observers
    LOAD_PUBLISH,      // POST /events to a channel without subscribers
    LOAD_IDLE,         // connections that do nothing
    LOAD_MODES
};

enum transport { TRANSPORT_WS, TRANSPORT_STREAMING, TRANSPORT_POLLING };

struct options {
    enum load_mode mode;
    const char *mode_name, *host, *app_id, *key, *secret, *label;
    uint32_t port;
    uint32_t conns, channels, subs, group, churners, publishers;
    uint32_t size;   // bytes of an event's data
    uint32_t window; // events in flight; 0 = open loop at `rate`
    uint32_t connecting;
    double rate, secs, warm_s;
    uint32_t pid; // the server; 0 = its costs are not read
    bool own_channel;
    enum transport transport;
};

enum conn_kind { CONN_CLIENT, CONN_CHURNER, CONN_PUBLISHER };
enum conn_state {
    CONN_NEW,
    CONN_CONNECTING,
    CONN_UPGRADING, // request sent, 101 awaited
    CONN_GREETING,  // 101 seen, connection_established awaited
    CONN_JOINING,   // subscriptions sent
    CONN_READY,
    CONN_DEAD
};

struct conn {
    int fd;
    enum conn_kind kind;
    enum conn_state state;
    bool busy;   // a request or a join is not yet answered
    bool joined; // churner: member at this moment
    uint32_t index;
    uint32_t base, n_streams; // hears streams base .. base + n_streams - 1, round the end
    uint32_t to_join;         // subscriptions not yet confirmed
    uint32_t own_seq;         // events that this connection itself has numbered
    uint32_t *next_seq;       // one per stream; presence: is that churner in?
    uint64_t order;           // running digest of the ids heard, in order
    char *tail;               // a part of a frame or of a response, kept for the next read
    uint32_t tail_len, tail_cap;
    char socket_id[48];
    bool is_asking;    // over HTTP: it connects once more for the same session
    bool in_head;      // over HTTP: the head of an answer is awaited
    uint32_t body_len; // of a poll's answer
    uint32_t chars;    // of a stream
};

struct tally {
    uint64_t published, expected, delivered;
    uint64_t gaps;     // sequence numbers skipped
    uint64_t repeated; // seen before, or came after a later one
    uint64_t corrupt;
    uint64_t refused; // requests answered with anything but 200, and pusher:error
    uint64_t closed;  // connections lost
    uint64_t late;    // due events that could not be sent at once
    uint64_t answered, bytes;
};

enum { HIST_SLOTS = 64 * 16, IN_FLIGHT_MAX = 1 << 18 };

struct histogram {
    uint64_t slot[HIST_SLOTS];
    uint64_t n, max;
};

struct usage {
    double cpu_s; // of all threads
    double user_s, sys_s;
    long rss_kb;
};

struct load {
    struct options opt;
    struct sockaddr_in target;
    int epoll;
    struct conn *conns;
    uint32_t n_conns, n_ready, n_dead, n_pending; // pending: busy publishers
    uint32_t first_publisher, first_churner;
    uint32_t next_publisher, next_sender;
    uint32_t n_streams;
    uint32_t *next_seq;  // per stream: what its next event will carry
    uint32_t *n_hearers; // per channel
    uint32_t *remaining; // per event in flight: deliveries still to come
    uint32_t next_id, in_flight;
    uint64_t opened; // sockets ever made; spreads source addresses
    struct tally tally;
    struct histogram latency;
    char *scratch; // read buffer, LOAD_SCRATCH bytes
    char *text;    // one unescaped message
    int send_fd;   // over HTTP: what carries the sends
    uint32_t salt; // makes session names of this run
    char *out;     // frame or request under construction, as large
    char error[200];
};

enum { LOAD_SCRATCH = 4 << 20, PAYLOAD_MIN = 64 };

/* util.c */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void *must_calloc(size_t n, size_t size);
uint64_t now_ns(void);
void note_error(struct load *l, const char *text, size_t len); // the first one is kept
void hmac_hex(const struct options *o, const char *text, size_t len, char out[65]);
void to_hex(const unsigned char *bytes, size_t n, char *out); // writes the final NUL

/* conn.c */
void conn_open(struct load *l, struct conn *c);
void conn_kill(struct load *l, struct conn *c, const char *why);
bool conn_send(struct load *l, struct conn *c, const char *bytes, size_t len);
void conn_ready(struct load *l, struct conn *c);
int conns_pump(struct load *l, int timeout_ms);
double conns_open(struct load *l, uint32_t from, uint32_t to); // seconds that it took

/* client.c: the WebSocket side */
void client_upgrade(struct load *l, struct conn *c);
size_t client_read(struct load *l, struct conn *c, char *bytes, size_t len); // bytes used
bool client_send_text(struct load *l, struct conn *c, const char *text, size_t len);
void client_text(struct load *l, struct conn *c, const char *text, size_t len, uint64_t now);
void client_event(struct load *l, struct conn *c, uint64_t due);
bool churner_toggle(struct load *l); // false when each is waiting for an answer

/* http.c: the same over HTTP requests */
void http_ask(struct load *l, struct conn *c);
size_t http_read(struct load *l, struct conn *c, char *bytes, size_t len);
bool http_send_text(struct load *l, struct conn *c, const char *text, size_t len);

/* publish.c: the HTTP side */
bool publish_next(struct load *l, uint64_t due); // false when every publisher is busy
size_t publish_read(struct load *l, struct conn *c, char *bytes, size_t len);

/* check.c: what an event carries, and whether it arrived so */
struct stamp {
    uint32_t id, stream, seq;
    uint64_t time;
};
uint32_t check_register(struct load *l, uint32_t n_hearers); // the id of a new event
void payload_write(char *out, uint32_t size, const struct stamp *s);
bool check_delivery(struct load *l, struct conn *c, const char *text, size_t len, uint64_t now);
uint32_t check_disordered(const struct load *l); // clients that heard another order
void check_forget(struct load *l);

/* stats.c */
void histogram_add(struct histogram *h, uint64_t value);
double histogram_us(const struct histogram *h, double quantile);
struct usage usage_read(uint32_t pid);

/* run.c */
int run_idle(struct load *l);
int run_events(struct load *l);

#endif
