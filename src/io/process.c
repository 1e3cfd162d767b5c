/* What the daemon owes the system around it: systemd's notifications, one process per data_dir. */
#include "sluice/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void sl_systemd_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') /* The abstract name space begins with a zero byte (unix(7)). */
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    /* systemd hears it or it doesn't; the daemon runs on either way. */
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, length) < 0) {
    }
    (void)close(fd);
}

uint32_t sl_systemd_watchdog_ms(void) {
    const char *text = getenv("WATCHDOG_USEC");
    return text != NULL ? (uint32_t)(strtoull(text, NULL, 10) / 2000) : 0;
}

sl_status sl_lock_file(const char *path, sl_error *error) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return sl_error_set(error, errno == EACCES ? SL_EDENIED : SL_EIO, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return sl_error_set(error, SL_EEXIST, "%s is locked: another sluice uses this data_dir", path);
    }
    return SL_OK; /* The descriptor stays open on purpose: the lock lives as long as the process. */
}
