/* What the kernel charges at least for taking records out of /dev/kmsg and for handing them to a socket: no parsing,
 * no encoding, no recovery. Reads from the oldest record on and then whatever comes.
 *
 *   floor read                      reads and drops
 *   floor single HOST PORT          a write for each record
 *   floor batched HOST PORT [MORE]  writes of 32 KiB; MORE bytes are added to each record, as JSON adds them
 *   floor datagrams HOST PORT       a datagram for each record
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_BYTES_MAX = 8192, MORE_BYTES_MAX = 1024, BATCH_BYTES = 32 * 1024 };

static char batch[BATCH_BYTES + RECORD_BYTES_MAX + MORE_BYTES_MAX];
static char more[MORE_BYTES_MAX];

static int fail(const char *step) {
    perror(step);
    return 1;
}

static int reach(int kind, const char *host, const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1) return -1;
    return connect(fd, (struct sockaddr *)&to, sizeof to) ? -1 : fd;
}

static int put(int out, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(out, bytes, length, MSG_NOSIGNAL);
        if (sent < 0) return -1;
        bytes += sent;
        length -= sent;
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int is_read = !strcmp(how, "read"), is_batched = !strcmp(how, "batched"), is_udp = !strcmp(how, "datagrams");
    if (!(is_read || is_batched || is_udp || !strcmp(how, "single")) || (!is_read && argc < 4)) {
        fprintf(stderr, "usage: floor read | single HOST PORT | batched HOST PORT [MORE] | datagrams HOST PORT\n");
        return 64;
    }
    size_t adds = argc > 4 ? strtoul(argv[4], NULL, 10) : 0, used = 0;
    if (adds > sizeof more) return 64;
    memset(more, 'x', sizeof more);
    int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (log < 0) return fail("/dev/kmsg");
    int out = is_read ? -1 : reach(is_udp ? SOCK_DGRAM : SOCK_STREAM, argv[2], argv[3]);
    if (out < 0 && !is_read) return fail(argv[2]);
    for (;;) {
        ssize_t length = read(log, batch + used, RECORD_BYTES_MAX);
        if (length < 0 && errno == EPIPE) continue;
        if (length < 0 && errno != EAGAIN) return fail("read");
        int is_empty = length < 0;
        if (is_batched) {
            if (!is_empty) {
                memcpy(batch + used + length, more, adds);
                used += length + adds;
            }
            if (used >= BATCH_BYTES || (is_empty && used > 0)) {
                if (put(out, batch, used)) return fail("send");
                used = 0;
            }
        } else if (!is_read && !is_empty && put(out, batch, length)) {
            return fail("send");
        }
        if (is_empty && poll(&(struct pollfd){.fd = log, .events = POLLIN}, 1, -1) < 0) return fail("poll");
    }
}
