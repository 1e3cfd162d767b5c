/* The least that a server can do on this machine: read a request, write a reply as long as sluice's; no parsing beyond the
 * length, no journal, one thread. What it costs is the floor below W2's figures.
 *
 * responder      prints "port N" and serves until it is killed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 4096, BUFFER = 65536 };

static const char REPLY[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
                            "{\"accepted\":1,\"rejected\":0,\"errors\":[]}\n";

/* Bytes of the requests that are complete in `text`; `count` of them. */
static size_t complete(const char *text, size_t length, unsigned *count) {
    size_t used = 0;
    for (;;) {
        const char *head = text + used, *end = memmem(head, length - used, "\r\n\r\n", 4);
        if (end == NULL)
            return used;
        const char *field = memmem(head, (size_t)(end - head), "Content-Length: ", 16);
        size_t size = (size_t)(end + 4 - head) + (field == NULL ? 0 : strtoul(field + 16, NULL, 10));
        if (length - used < size)
            return used;
        used += size;
        (*count)++;
    }
}

static void serve(int client, char *buffer, size_t *held) {
    ssize_t got = read(client, buffer + *held, BUFFER - 1 - *held);
    if (got <= 0) {
        close(client);
        *held = 0;
        return;
    }
    *held += (size_t)got;
    buffer[*held] = 0;
    unsigned count = 0;
    size_t used = complete(buffer, *held, &count);
    memmove(buffer, buffer + used, *held - used);
    *held -= used;
    while (count-- != 0)
        if (write(client, REPLY, sizeof REPLY - 1) < 0)
            perror("write");
}

int main(void) {
    static char *buffers[CONNECTIONS];
    static size_t held[CONNECTIONS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), on = 1;
    if (listener < 0 || epoll < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, CONNECTIONS) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("responder");
        return 1;
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd, buffers[fd], &held[fd]);
                continue;
            }
            int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (client < 0 || client >= CONNECTIONS)
                continue;
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            if (buffers[client] == NULL && (buffers[client] = malloc(BUFFER)) == NULL)
                return 1;
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = client};
            epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        }
    }
}
