/* Bytes in and out of one socket, in the clear and through TLS. */
#include "base/base.h"

#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "certificate.h"
#include "pair.h"

enum { MUCH = 1 << 20, TURNS = 1000000 }; // more than the kernel holds; more than are needed

static struct tls_context *context;
static SSL_CTX *client_context;
static struct stream stream;
static int peer;    // the other end
static SSL *client; // the peer's side of TLS, or NULL
static char text[MUCH];
static struct buf got; // what the peer has read

/* small: the kernel holds little that is unsent, so that a write is taken in parts. */
static void start(bool is_small)
{
    int fd[2];
    int bytes = 8192;
    open_pair(fd);
    peer = fd[1];
    if (is_small)
        ENSURE(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    stream_open(&stream, fd[0], NULL);
    got.len = 0;
}

static void end(void)
{
    stream_close(&stream);
    CHECK_EQ(stream.fd, -1);
    if (client)
        SSL_free(client);
    client = NULL;
    if (peer >= 0)
        close(peer);
}

/* One read of the peer: its bytes go to got.  As recv: 0 at the end, -1 with nothing there. */
static int64_t peer_read(void)
{
    char part[5000];
    if (!client) {
        ssize_t n = recv(peer, part, sizeof part, 0);
        buf_add(&got, part, n > 0 ? (size_t)n : 0);
        return n;
    }
    int n = SSL_read(client, part, sizeof part);
    buf_add(&got, part, n > 0 ? (size_t)n : 0);
    bool is_end = n <= 0 && SSL_get_error(client, n) == SSL_ERROR_ZERO_RETURN;
    ERR_clear_error();
    return n > 0 || is_end ? n : -1;
}

/* The same, when there is something. */
static int64_t peer_read_soon(void)
{
    int64_t n;
    while ((n = peer_read()) < 0)
        if (!wait_for(peer, POLLIN))
            return n;
    return n;
}

static int64_t read_soon(char *out, size_t room)
{
    int64_t n;
    while ((n = stream_read(&stream, out, room)) == STREAM_AGAIN)
        if (!wait_for(stream.fd, POLLIN))
            return STREAM_AGAIN;
    return n;
}

TEST(what_the_peer_sends_is_read_until_there_is_no_more)
{
    char in[8] = {0};
    start(false);
    CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_AGAIN);
    CHECK_EQ(send(peer, "abcdefghij", 10, 0), 10);
    CHECK_EQ(read_soon(in, 4), 4);
    CHECK(memcmp(in, "abcd", 4) == 0);
    CHECK_EQ(stream_read(&stream, in, sizeof in), 6);
    CHECK(memcmp(in, "efghij", 6) == 0);
    CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_AGAIN);
    end();
}

TEST(the_peers_end_stands_behind_its_last_bytes)
{
    char in[8];
    start(false);
    CHECK_EQ(send(peer, "ab", 2, 0), 2);
    ENSURE(shutdown(peer, SHUT_WR) == 0);
    CHECK_EQ(read_soon(in, sizeof in), 2);
    CHECK_EQ(read_soon(in, sizeof in), STREAM_END);
    CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_END);
    CHECK_EQ(stream_write(&stream, "cd", 2), 2); // it may still listen
    CHECK_EQ(peer_read_soon(), 2);
    end();
}

TEST(a_write_is_taken_in_part_and_goes_on_when_there_is_room)
{
    start(true);
    int64_t first = stream_write(&stream, text, MUCH);
    CHECK(first > 0);
    CHECK(first < MUCH);
    size_t done = (size_t)first;
    int64_t n;
    while ((n = stream_write(&stream, text + done, MUCH - done)) > 0)
        done += (size_t)n;
    CHECK_EQ(n, STREAM_AGAIN);
    CHECK_EQ(stream_committed(&stream), 0); // in the clear nothing is promised
    for (int i = 0; i < TURNS && got.len < MUCH; i++) {
        if (done < MUCH && (n = stream_write(&stream, text + done, MUCH - done)) > 0)
            done += (size_t)n;
        CHECK(n >= 0);
        CHECK(got.len == done ? wait_for(stream.fd, POLLOUT) : peer_read_soon() > 0);
    }
    CHECK_EQ(got.len, MUCH);
    CHECK(memcmp(got.p, text, MUCH) == 0);
    end();
}

TEST(nothing_to_write_is_no_end)
{
    start(false);
    CHECK_EQ(stream_write(&stream, text, 0), 0);
    end();
}

TEST(after_finish_the_peer_reads_an_end_and_may_still_talk)
{
    char in[8];
    start(false);
    CHECK_EQ(stream_write(&stream, "bye", 3), 3);
    stream_finish(&stream);
    CHECK_EQ(peer_read_soon(), 3);
    CHECK_EQ(peer_read_soon(), 0);
    CHECK_EQ(send(peer, "ok", 2, 0), 2);
    CHECK_EQ(read_soon(in, sizeof in), 2);
    end();
}

TEST(a_reset_throws_away_what_is_on_its_way)
{
    start(true);
    CHECK(stream_write(&stream, text, MUCH) > 0);
    stream_reset(&stream);
    CHECK_EQ(stream.fd, -1);
    int64_t n;
    do
        n = peer_read();
    while (n > 0 || (n < 0 && errno == EAGAIN && wait_for(peer, POLLIN)));
    CHECK_EQ(n, -1); // not 0, which would be an end
    CHECK_EQ(errno, ECONNRESET);
    end();
}

TEST(a_broken_connection_is_an_end_for_reading_and_writing)
{
    char in[8];
    struct linger linger = {.l_onoff = 1};
    start(false);
    ENSURE(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    close(peer);
    peer = -1;
    CHECK(wait_for(stream.fd, POLLIN));
    CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_END);
    CHECK_EQ(stream_write(&stream, "x", 1), STREAM_END); // and no signal
    end();
}

/* --- TLS ------------------------------------------------------------------------------------- */

static void start_tls(bool is_small, size_t record_bytes)
{
    start(is_small);
    int fd = stream.fd;
    stream_open(&stream, fd, context);
    client = SSL_new(client_context);
    SSL_set_fd(client, peer);
    SSL_set_connect_state(client);
    SSL_set_max_send_fragment(client, record_bytes);
}

/* Both sides until the handshake is done: the stream's by reading. */
static bool shake(void)
{
    char in[16];
    for (int i = 0; i < TURNS; i++) {
        int rc = SSL_do_handshake(client);
        int64_t n = stream_read(&stream, in, sizeof in);
        if (n != STREAM_AGAIN)
            return false;
        if (rc == 1 && SSL_is_init_finished(stream.tls))
            return true;
        struct pollfd both[] = {
            {.fd = peer, .events = POLLIN}, {.fd = stream.fd, .events = POLLIN}};
        (void)poll(both, 2, 5);
    }
    return false;
}

TEST(a_handshake_is_made_by_reading)
{
    char in[16] = {0};
    start_tls(false, 16384);
    CHECK(shake());
    CHECK_EQ(SSL_write(client, "hello", 5), 5);
    CHECK_EQ(read_soon(in, sizeof in), 5);
    CHECK_STR(in, "hello");
    CHECK_EQ(stream_write(&stream, "there", 5), 5);
    CHECK_EQ(peer_read_soon(), 5);
    CHECK(memcmp(got.p, "there", 5) == 0);
    end();
}

TEST(who_does_not_speak_tls_is_at_an_end)
{
    char in[16];
    start_tls(false, 16384);
    CHECK_EQ(send(peer, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    CHECK_EQ(read_soon(in, sizeof in), STREAM_END);
    CHECK_EQ(ERR_peek_error(), 0);
    end();
}

TEST(a_record_that_comes_byte_by_byte_is_read_when_it_is_whole)
{
    char in[16] = {0};
    char wire[200];
    start_tls(false, 16384);
    CHECK(shake());
    BIO *out = BIO_new(BIO_s_mem()); // where the client writes now
    SSL_set0_wbio(client, out);
    CHECK_EQ(SSL_write(client, "split", 5), 5);
    int len = BIO_read(out, wire, sizeof wire);
    CHECK(len > 5);
    for (int i = 0; i < len; i++) {
        CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_AGAIN);
        CHECK_EQ(send(peer, wire + i, 1, 0), 1);
        CHECK(wait_for(stream.fd, POLLIN));
    }
    CHECK_EQ(read_soon(in, sizeof in), 5);
    CHECK_STR(in, "split");
    end();
}

TEST(a_record_longer_than_the_room_is_read_in_parts)
{
    static char in[5000];
    start_tls(false, 16384);
    CHECK(shake());
    CHECK_EQ(SSL_write(client, text, 16000), 16000);
    size_t n = 0;
    while (n < 16000) {
        int64_t part = read_soon(in, sizeof in);
        CHECK(part > 0);
        if (part <= 0)
            break;
        CHECK(memcmp(in, text + n, (size_t)part) == 0);
        n += (size_t)part;
    }
    CHECK_EQ(stream_read(&stream, in, sizeof in), STREAM_AGAIN);
    end();
}

TEST(one_write_may_be_longer_than_a_record)
{
    start_tls(false, 16384);
    CHECK(shake());
    CHECK_EQ(stream_write(&stream, text, 50000), 50000);
    while (got.len < 50000 && peer_read_soon() > 0)
        ;
    CHECK_EQ(got.len, 50000);
    CHECK(memcmp(got.p, text, 50000) == 0);
    end();
}

TEST(after_a_refused_tls_write_no_less_than_what_was_promised_is_to_be_offered)
{
    start_tls(true, 16384);
    CHECK(shake());
    size_t done = 0;
    int64_t n;
    while ((n = stream_write(&stream, text + done, MUCH - done)) > 0)
        done += (size_t)n;
    CHECK_EQ(n, STREAM_AGAIN);
    CHECK_EQ(stream_committed(&stream), 16384);
    bool was_committed = false;
    for (int i = 0; i < TURNS && got.len < MUCH; i++) {
        /* Exactly what is promised, at an address of its own. */
        size_t offer = stream_committed(&stream) ? stream_committed(&stream) : 1000;
        if (offer > MUCH - done)
            offer = MUCH - done;
        char *moved = mem_dup(text + done, offer);
        if ((n = stream_write(&stream, moved, offer)) > 0)
            done += (size_t)n;
        free(moved);
        CHECK(n >= 0);
        was_committed |= n == STREAM_AGAIN && stream_committed(&stream) == offer;
        /* The last record may lie in OpenSSL's own buffer, promised and not yet counted. */
        if (got.len < done)
            CHECK(peer_read_soon() > 0);
        else if (done < MUCH)
            CHECK(wait_for(stream.fd, POLLOUT));
    }
    CHECK(was_committed);
    CHECK_EQ(stream_committed(&stream), 0);
    CHECK_EQ(got.len, MUCH);
    CHECK(memcmp(got.p, text, MUCH) == 0);
    end();
}

TEST(a_finished_tls_stream_ends_with_a_notice_and_is_still_read)
{
    char in[16];
    start_tls(false, 16384);
    CHECK(shake());
    stream_finish(&stream);
    CHECK_EQ(peer_read_soon(), 0); // close_notify: not a cut
    CHECK_EQ(SSL_write(client, "late", 4), 4);
    CHECK_EQ(read_soon(in, sizeof in), 4);
    SSL_shutdown(client);
    CHECK_EQ(read_soon(in, sizeof in), STREAM_END);
    CHECK_EQ(ERR_peek_error(), 0);
    end();
}

TEST(a_stream_may_be_finished_before_its_handshake)
{
    start_tls(false, 16384);
    stream_finish(&stream);
    CHECK(wait_for(peer, POLLIN));
    char byte;
    CHECK_EQ(recv(peer, &byte, 1, 0), 0);
    end();
}

int main(void)
{
    struct err err;
    cert_begin();
    cert_make("cert.pem", "key.pem");
    context = tls_context_new("cert.pem", "key.pem", &err);
    client_context = SSL_CTX_new(TLS_client_method());
    ENSURE(context && client_context);
    for (size_t i = 0; i < MUCH; i++)
        text[i] = (char)('a' + (i * 7 + i / 1000) % 26);
    RUN(what_the_peer_sends_is_read_until_there_is_no_more);
    RUN(the_peers_end_stands_behind_its_last_bytes);
    RUN(a_write_is_taken_in_part_and_goes_on_when_there_is_room);
    RUN(nothing_to_write_is_no_end);
    RUN(after_finish_the_peer_reads_an_end_and_may_still_talk);
    RUN(a_reset_throws_away_what_is_on_its_way);
    RUN(a_broken_connection_is_an_end_for_reading_and_writing);
    RUN(a_handshake_is_made_by_reading);
    RUN(who_does_not_speak_tls_is_at_an_end);
    RUN(a_record_that_comes_byte_by_byte_is_read_when_it_is_whole);
    RUN(a_record_longer_than_the_room_is_read_in_parts);
    RUN(one_write_may_be_longer_than_a_record);
    RUN(after_a_refused_tls_write_no_less_than_what_was_promised_is_to_be_offered);
    RUN(a_finished_tls_stream_ends_with_a_notice_and_is_still_read);
    RUN(a_stream_may_be_finished_before_its_handshake);
    tls_context_drop(context);
    SSL_CTX_free(client_context);
    buf_fini(&got);
    cert_end();
    return test_end();
}
