/* What a program looks up and reaches, seen from beneath it: loaded by LD_PRELOAD into a browser and all its helpers, it
 * notes names and addresses in the file that WHARF_TEST_RECORD names.
 *
 * In: the program's calls of the C library. Out: lines `lookup NAME`, `dns NAME`, `tcp ADDRESS:PORT`, `udp ADDRESS:PORT`.
 * Must not let anything leave the machine: names are not found, and what is not loopback cannot be reached. A datagram
 * socket that is connected sends nothing (Chromium asks the kernel so for a route), therefore only its sends are noted. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char path[4096];

__attribute__((constructor)) static void start(void)
{
    const char *named = getenv("WHARF_TEST_RECORD");
    if (named && strlen(named) < sizeof path)
        strcpy(path, named);
}

static void note(const char *what, const char *value)
{
    char line[512];
    int before = errno, length = snprintf(line, sizeof line, "%s %s\n", what, value), file;
    if (length > 0 && length < (int)sizeof line && (file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) >= 0) {
        /* One write, so that lines of several processes do not mix. */
        if (write(file, line, length) != length)
            abort();
        close(file);
    }
    errno = before;
}

static int port_of(const struct sockaddr *to)
{
    return ntohs(to->sa_family == AF_INET ? ((const struct sockaddr_in *)to)->sin_port
                                          : ((const struct sockaddr_in6 *)to)->sin6_port);
}

static int is_loopback(const struct sockaddr *to)
{
    if (to->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)to)->sin_addr.s_addr) >> 24) == 127;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)to)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static void note_address(const char *what, const struct sockaddr *to)
{
    char host[INET6_ADDRSTRLEN] = "?", text[INET6_ADDRSTRLEN + 16];
    const void *raw = to->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)to)->sin_addr
                                               : (const void *)&((const struct sockaddr_in6 *)to)->sin6_addr;
    inet_ntop(to->sa_family, raw, host, sizeof host);
    snprintf(text, sizeof text, to->sa_family == AF_INET ? "%s:%d" : "[%s]:%d", host, port_of(to));
    note(what, text);
}

/* The name that a DNS packet asks for. */
static void note_question(const unsigned char *packet, size_t length)
{
    char name[256] = "?";
    size_t at = 12, end = 0;
    while (at < length && packet[at] && packet[at] < 64 && at + packet[at] < length && end + packet[at] + 2 < sizeof name) {
        if (end)
            name[end++] = '.';
        memcpy(name + end, packet + at + 1, packet[at]);
        end += packet[at];
        name[end] = 0;
        at += packet[at] + 1;
    }
    note("dns", name);
}

/* Whether it may go: notes where to, and refuses what would leave the machine. */
static int may_go(int fd, const struct sockaddr *to, const void *data, size_t length)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer, type_size = sizeof(int);
    int type = 0, before = errno;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || (type != SOCK_DGRAM && !to)) {
        errno = before;
        return 1;
    }
    if (!to) {
        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0) {
            errno = before;
            return 1;
        }
        to = (const struct sockaddr *)&peer;
    }
    errno = before;
    if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
        return 1;
    if (type == SOCK_DGRAM && port_of(to) == 53) {
        note_question(data, length);
    } else {
        note_address(type == SOCK_DGRAM ? "udp" : "tcp", to);
        if (is_loopback(to))
            return 1;
    }
    errno = ENETUNREACH;
    return 0;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    unsigned char literal[sizeof(struct in6_addr)];
    REAL(getaddrinfo);
    if (!node || inet_pton(AF_INET, node, literal) == 1 || inet_pton(AF_INET6, node, literal) == 1)
        return real(node, service, hints, result);
    note("lookup", node);
    return EAI_NONAME;
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
    REAL(connect);
    int type = 0;
    socklen_t type_size = sizeof type;
    if (to && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type != SOCK_DGRAM && !may_go(fd, to, NULL, 0))
        return -1;
    return real(fd, to, size);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    REAL(send);
    return may_go(fd, NULL, data, length) ? real(fd, data, length, flags) : -1;
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    REAL(sendto);
    return may_go(fd, to, data, length) ? real(fd, data, length, flags, to, size) : -1;
}

static int message_may_go(int fd, const struct msghdr *message)
{
    const struct iovec *first = message->msg_iovlen ? message->msg_iov : NULL;
    return may_go(fd, message->msg_name, first ? first->iov_base : NULL, first ? first->iov_len : 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    return message_may_go(fd, message) ? real(fd, message, flags) : -1;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int many, int flags)
{
    REAL(sendmmsg);
    for (unsigned int at = 0; at < many; at++)
        if (!message_may_go(fd, &messages[at].msg_hdr))
            return -1;
    return real(fd, messages, many, flags);
}
