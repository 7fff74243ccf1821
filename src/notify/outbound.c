/* Requests over libcurl. */
#include "base/base.h"

#include "notify/outbound.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

struct outbound {
    CURLM *multi;
    struct list exchanges; // under way
};

struct exchange {
    struct list_node node;
    struct outbound *o;
    CURL *easy;
    struct curl_slist *headers;
    struct outbound_request request;
    struct buf answer;
    bool was_refused;
    bool is_too_long;
    char error[CURL_ERROR_SIZE];
};

struct outbound *outbound_new(void)
{
    static bool is_ready;
    if (!is_ready)
        curl_global_init(CURL_GLOBAL_DEFAULT);
    is_ready = true;
    struct outbound *o = mem_zero(sizeof *o);
    o->multi = curl_multi_init();
    ENSURE(o->multi != NULL);
    return o;
}

static void end_exchange(struct exchange *x)
{
    list_remove(&x->o->exchanges, &x->node);
    curl_multi_remove_handle(x->o->multi, x->easy);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    buf_fini(&x->answer);
    free(x);
}

void outbound_free(struct outbound *o)
{
    if (!o)
        return;
    struct list_node *next;
    for (struct list_node *node = o->exchanges.first; node; node = next) {
        next = node->next;
        end_exchange(CONTAINER_OF(node, struct exchange, node));
    }
    curl_multi_cleanup(o->multi);
    free(o);
}

/* --- addresses --------------------------------------------------------------------------------- */

static bool is_private_v4(const unsigned char *a)
{
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xc0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168) || (a[0] == 192 && a[1] == 0 && a[2] == 0) ||
           (a[0] == 198 && (a[1] & 0xfe) == 18) || a[0] >= 224;
}

bool outbound_is_private(const unsigned char *a, size_t len)
{
    static const unsigned char v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const unsigned char zeros[12] = {0};
    if (len == 4)
        return is_private_v4(a);
    /* ::, ::1 and the old compatible form; addresses that stand for one of IPv4. */
    if (memcmp(a, zeros, 12) == 0)
        return true;
    if (memcmp(a, v4_mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return is_private_v4(a + 12);
    if (a[0] == 0x20 && a[1] == 0x02) // 6to4
        return is_private_v4(a + 2);
    /* Unique local, link local, site local, multicast. */
    return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && a[1] >= 0x80) || a[0] == 0xff;
}

/* Called with the address that a name was resolved to, so no second look-up can differ. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct exchange *x = ctx;
    const void *address = &to->addr;
    bool is_private = true;
    (void)purpose;
    if (to->family == AF_INET)
        is_private = outbound_is_private(
            (const unsigned char *)&((const struct sockaddr_in *)address)->sin_addr, 4);
    else if (to->family == AF_INET6)
        is_private = outbound_is_private(
            (const unsigned char *)&((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    if (is_private && x->request.refuses_private) {
        x->was_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Called before the request goes out on a connection, which may be one that a request with
 * other rules has opened. */
static int check_connection(void *ctx, char *to, char *from, int to_port, int from_port)
{
    struct exchange *x = ctx;
    unsigned char address[16];
    bool is_private = true;
    (void)from;
    (void)to_port;
    (void)from_port;
    if (inet_pton(AF_INET, to, address) == 1)
        is_private = outbound_is_private(address, 4);
    else if (inet_pton(AF_INET6, to, address) == 1)
        is_private = outbound_is_private(address, 16);
    x->was_refused = is_private && x->request.refuses_private;
    return x->was_refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* --- requests --------------------------------------------------------------------------------------- */

static size_t take_answer(char *bytes, size_t one, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    (void)one;
    if (!x->request.answer_bytes)
        return n;
    if (x->answer.len + n > x->request.answer_bytes) {
        x->is_too_long = true;
        return 0;
    }
    buf_add(&x->answer, bytes, n);
    return n;
}

static void set_options(struct exchange *x)
{
    const struct outbound_request *r = &x->request;
    CURL *easy = x->easy;
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); // a look-up that hangs is left to itself
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.p);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "Carillon");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, check_connection);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
}

void outbound_post(struct outbound *o, const struct outbound_request *request)
{
    struct exchange *x = mem_zero(sizeof *x);
    x->o = o;
    x->request = *request;
    list_append(&o->exchanges, &x->node);
    x->easy = curl_easy_init();
    ENSURE(x->easy != NULL);
    for (size_t i = 0; i < request->n_headers; i++)
        x->headers = curl_slist_append(x->headers, request->headers[i]);
    x->headers = curl_slist_append(x->headers, "Expect:"); // the body goes along at once
    set_options(x);
    CURLMcode code = curl_multi_add_handle(o->multi, x->easy);
    ENSURE(code == CURLM_OK);
}

static void tell(struct exchange *x, CURLcode code)
{
    long status = 0;
    curl_off_t took_us = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_TOTAL_TIME_T, &took_us);
    struct outbound_result result = {.outcome = OUTBOUND_FAILED,
        .status = (int)status,
        .error = x->error,
        .body = buf_span(&x->answer),
        .took_ms = (uint32_t)(took_us / 1000),
        .now_ms = clock_us() / 1000,
        .wall_ms = clock_wall_ms()};
    if (code == CURLE_OK)
        result.outcome = OUTBOUND_ANSWERED;
    else if (x->was_refused)
        result.outcome = OUTBOUND_REFUSED;
    else if (x->is_too_long)
        result.outcome = OUTBOUND_TOO_LONG;
    else if (code == CURLE_OPERATION_TIMEDOUT)
        result.outcome = OUTBOUND_TIMED_OUT;
    if (code == CURLE_OK)
        x->error[0] = '\0';
    else if (!x->error[0])
        result.error = curl_easy_strerror(code);
    x->request.done(x->request.ctx, &result);
}

/* True when one has ended: its owner may have something new to ask. */
static bool take_ended(struct outbound *o)
{
    CURLMsg *message;
    int left;
    bool has_ended = false;
    while ((message = curl_multi_info_read(o->multi, &left))) {
        struct exchange *x = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        tell(x, code);
        end_exchange(x);
        has_ended = true;
    }
    return has_ended;
}

void outbound_wait(struct outbound *o, int fd, int timeout_ms)
{
    struct curl_waitfd extra = {.fd = fd, .events = CURL_WAIT_POLLIN};
    int running;
    curl_multi_perform(o->multi, &running);
    if (take_ended(o))
        timeout_ms = 0;
    curl_multi_poll(o->multi, &extra, 1, timeout_ms, NULL);
    curl_multi_perform(o->multi, &running);
    (void)take_ended(o);
}
