/* floor.c - the ruler: what delivering costs this kernel, whoever asks.
 *
 * An epoll server that knows just enough of the protocol for the load generator (upgrade,
 * subscribe, POST events, client events) and does one send() per subscriber and event of a
 * frame that is built once.  It checks nothing, limits nothing, times nothing: it is no
 * server, it is what a server's figures are divided by.  It believes its input, so it
 * listens on loopback only.
 *
 *     floor PORT        PORT 0 takes any; the line "port=N" tells which
 *     FLOOR_FAULT=drop|repeat|swap|damage   misdelivers every 997th time, to check the checker
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, BUCKETS = 1 << 16, READ_MAX = 1 << 20, FRAME_MAX = 1 << 17 };

struct bytes {
    char *at;
    size_t len;
};

struct channel {
    struct channel *next; // in its bucket
    int *fds;             // dense, in the order of arrival
    uint32_t n, cap;
    size_t name_len;
    char name[];
};

struct conn {
    struct channel *first; // what to leave without a search; others are searched for
    struct bytes out, in;  // what the socket did not take; an unfinished frame or request
    uint32_t n_channels;
    bool open, is_ws;
};

static struct conn conns[MAX_FD];
static struct channel *buckets[BUCKETS];
static char scratch[READ_MAX];
static int epoll;
static uint32_t n_sockets;
static char fault; // first letter of FLOOR_FAULT

static void append(struct bytes *b, const char *data, size_t len)
{
    char *grown = realloc(b->at, b->len + len);
    if (!grown)
        abort();
    memcpy(grown + b->len, data, len);
    b->at = grown;
    b->len += len;
}

static void forget(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){0};
}

static void send_bytes(int fd, const char *data, size_t len)
{
    struct conn *c = &conns[fd];
    ssize_t n = 0;
    if (!c->out.at) {
        n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == (ssize_t)len)
            return;
        if (n < 0)
            n = 0;
    }
    append(&c->out, data + n, len - (size_t)n);
}

static void send_rest(int fd)
{
    struct bytes rest = conns[fd].out;
    if (!rest.at)
        return;
    conns[fd].out = (struct bytes){0};
    send_bytes(fd, rest.at, rest.len);
    free(rest.at);
}

static struct channel *find_channel(const char *name, size_t len)
{
    uint32_t hash = 5381;
    for (size_t i = 0; i < len; i++)
        hash = hash * 33 + (unsigned char)name[i];
    struct channel **bucket = &buckets[hash % BUCKETS];
    for (struct channel *ch = *bucket; ch; ch = ch->next)
        if (ch->name_len == len && memcmp(ch->name, name, len) == 0)
            return ch;
    struct channel *ch = calloc(1, sizeof *ch + len);
    if (!ch)
        abort();
    memcpy(ch->name, name, len);
    ch->name_len = len;
    ch->next = *bucket;
    *bucket = ch;
    return ch;
}

static void leave(struct channel *ch, int fd)
{
    for (uint32_t i = 0; i < ch->n; i++)
        if (ch->fds[i] == fd) {
            memmove(ch->fds + i, ch->fds + i + 1, (ch->n - i - 1) * sizeof *ch->fds);
            ch->n--;
            return;
        }
}

static void drop(int fd)
{
    struct conn *c = &conns[fd];
    if (c->first)
        leave(c->first, fd);
    for (uint32_t i = 0; c->n_channels > 1 && i < BUCKETS; i++)
        for (struct channel *ch = buckets[i]; ch; ch = ch->next)
            leave(ch, fd);
    forget(&c->out);
    forget(&c->in);
    *c = (struct conn){0};
    (void)close(fd);
}

/* Builds a text frame's head in front of body, which has room for it there. */
static char *put_head(char *body, size_t len)
{
    char *head = body - (len < 126 ? 2 : len < 65536 ? 4 : 10);
    head[0] = (char)0x81;
    head[1] = (char)(len < 126 ? len : len < 65536 ? 126 : 127);
    for (char *p = body - 1; p > head + 1; p--, len >>= 8)
        *p = (char)len;
    return head;
}

static void deliver_wrongly(int fd, const char *frame, size_t len)
{
    static char held[FRAME_MAX];
    static size_t held_len;
    static int held_fd = -1;
    static uint32_t count;
    bool now = ++count % 997 == 0;
    if (held_fd == fd) {
        send_bytes(fd, frame, len);
        send_bytes(fd, held, held_len);
        held_fd = -1;
    } else if (now && fault == 's' && held_fd < 0) {
        memcpy(held, frame, len);
        held_len = len;
        held_fd = fd;
    } else if (now && fault == 'd' && len < FRAME_MAX) {
        return;
    } else if (now && fault == 'x') {
        memcpy(held, frame, len);
        held[len - 5] ^= 1;
        send_bytes(fd, held, len);
    } else {
        send_bytes(fd, frame, len);
        if (now && fault == 'r')
            send_bytes(fd, frame, len);
    }
}

static void publish(
    struct channel *ch, const struct bytes *event, const struct bytes *data, int except)
{
    static char buffer[FRAME_MAX];
    char *body = buffer + 10;
    if (data->len > FRAME_MAX - 1024)
        return;
    int n = sprintf(body, "{\"event\":\"%.*s\",\"channel\":\"%.*s\",\"data\":\"", (int)event->len,
        event->at, (int)ch->name_len, ch->name);
    memcpy(body + n, data->at, data->len);
    body[(size_t)n + data->len] = '"';
    body[(size_t)n + data->len + 1] = '}';
    size_t len = (size_t)n + data->len + 2;
    char *frame = put_head(body, len);
    len += (size_t)(body - frame);
    for (uint32_t i = 0; i < ch->n; i++)
        if (ch->fds[i] != except) {
            if (fault)
                deliver_wrongly(ch->fds[i], frame, len);
            else
                send_bytes(ch->fds[i], frame, len);
        }
}

/* The string after a key, skipping what may stand between.  Nothing is unescaped: the load
 * generator sends no escapes. */
static bool find_value(const struct bytes *text, const char *key, struct bytes *value)
{
    const char *end = text->at + text->len;
    char *at = memmem(text->at, text->len, key, strlen(key));
    if (!at)
        return false;
    at += strlen(key);
    while (at < end && (*at == ':' || *at == '[' || *at == ' '))
        at++;
    if (at >= end || *at != '"')
        return false;
    value->at = at + 1;
    char *close_quote = memchr(at + 1, '"', (size_t)(end - at - 1));
    value->len = close_quote ? (size_t)(close_quote - at - 1) : 0;
    return close_quote != NULL;
}

static void subscribe(int fd, const struct bytes *name)
{
    struct conn *c = &conns[fd];
    struct channel *ch = find_channel(name->at, name->len);
    char buffer[512], *body = buffer + 10;
    if (ch->n == ch->cap) {
        ch->cap = ch->cap ? ch->cap * 2 : 1;
        ch->fds = realloc(ch->fds, ch->cap * sizeof *ch->fds);
        if (!ch->fds)
            abort();
    }
    ch->fds[ch->n++] = fd;
    if (c->n_channels++ == 0)
        c->first = ch;
    int n = snprintf(body, sizeof buffer - 10,
        "{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":\"%.*s\","
        "\"data\":\"{}\"}",
        (int)name->len, name->at);
    char *frame = put_head(body, (size_t)n);
    send_bytes(fd, frame, (size_t)(body + n - frame));
}

static void on_message(int fd, char *text, size_t len)
{
    struct bytes all = {text, len}, event, channel, data;
    if (!find_value(&all, "\"event\"", &event) || !find_value(&all, "\"channel\"", &channel))
        return;
    if (event.len == 16 && memcmp(event.at, "pusher:subscribe", 16) == 0)
        subscribe(fd, &channel);
    else if (event.len > 7 && memcmp(event.at, "client-", 7) == 0 &&
             find_value(&all, "\"data\"", &data))
        publish(find_channel(channel.at, channel.len), &event, &data, fd);
}

static size_t read_frame(int fd, char *bytes, size_t len)
{
    unsigned char *f = (unsigned char *)bytes;
    if (len < 2)
        return 0;
    size_t n = f[1] & 0x7fU, head = n < 126 ? 2 : 4;
    if (len < head + 4)
        return 0;
    if (n == 126)
        n = (size_t)f[2] << 8 | f[3];
    if (len < head + 4 + n)
        return 0;
    unsigned char *mask = f + head, *body = mask + 4;
    for (size_t i = 0; i < n; i++)
        body[i] ^= mask[i & 3];
    if ((f[0] & 15) == 1)
        on_message(fd, (char *)body, n);
    return head + 4 + n;
}

/* Answers as to the one key that the load generator sends, RFC 6455's example. */
static void upgrade(int fd)
{
    static const char head[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    char buffer[512], *body = buffer + sizeof head - 1 + 2;
    int n = snprintf(body, sizeof buffer - sizeof head - 2,
        "{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":\\\"%u.%u\\\","
        "\\\"activity_timeout\\\":120}\"}",
        n_sockets, n_sockets);
    n_sockets++;
    memcpy(buffer, head, sizeof head - 1);
    if (put_head(body, (size_t)n) != buffer + sizeof head - 1)
        abort();
    conns[fd].is_ws = true;
    send_bytes(fd, buffer, (size_t)(body + n - buffer));
}

static size_t read_request(int fd, char *bytes, size_t len)
{
    static const char ok[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - bytes);
    if (bytes[0] == 'G') {
        upgrade(fd);
        return head;
    }
    char *field = memmem(bytes, head, "Content-Length: ", 16);
    struct bytes body = {bytes + head, field ? strtoul(field + 16, NULL, 10) : 0};
    struct bytes name, channel, data;
    if (len < head + body.len)
        return 0;
    if (find_value(&body, "\"name\"", &name) && find_value(&body, "\"channels\"", &channel) &&
        find_value(&body, "\"data\"", &data))
        publish(find_channel(channel.at, channel.len), &name, &data, -1);
    send_bytes(fd, ok, sizeof ok - 1);
    return head + body.len;
}

static void on_readable(int fd)
{
    struct conn *c = &conns[fd];
    size_t len = c->in.len, used = 0, n;
    if (len)
        memcpy(scratch, c->in.at, len);
    ssize_t got = recv(fd, scratch + len, sizeof scratch - len, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(fd);
        return;
    }
    forget(&c->in);
    len += (size_t)got;
    do {
        n = c->is_ws ? read_frame(fd, scratch + used, len - used)
                     : read_request(fd, scratch + used, len - used);
        used += n;
    } while (n && used < len);
    if (used < len)
        append(&c->in, scratch + used, len - used);
}

static void accept_all(int listener)
{
    int one = 1;
    for (int i = 0; i < 256; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (fd >= MAX_FD)
            abort();
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
        conns[fd].open = true;
        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_on(uint16_t port)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&at, len) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&at, &len)) {
        perror("floor");
        exit(1);
    }
    printf("port=%u\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[1024];
    struct rlimit files;
    const char *word = getenv("FLOOR_FAULT");
    if (word)
        fault = strcmp(word, "damage") == 0 ? 'x' : word[0];
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int listener = listen_on((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(fd);
                continue;
            }
            if (conns[fd].open && events[i].events & EPOLLOUT)
                send_rest(fd);
            if (conns[fd].open && events[i].events & (EPOLLIN | EPOLLHUP))
                on_readable(fd);
        }
    }
}
