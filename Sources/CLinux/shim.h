// The C library and the kernel as the agents see them. Swift's Glibc module is not imported beside it: it lacks GNU-only
// calls and uapi headers, and a program that has it binds a hundred mathematical functions each time it starts. What the
// compiler cannot import, macros and variadics, has a function here. No logic.
#ifndef VPNHA_CLINUX_H
#define VPNHA_CLINUX_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <features.h>
// Swift's Glibc module has fd_set as it is without _XOPEN_SOURCE, and one type cannot have two definitions.
#pragma push_macro("__USE_XOPEN")
#undef __USE_XOPEN
#include <sys/select.h>
#pragma pop_macro("__USE_XOPEN")
// And struct rusage's neighbours without _GNU_SOURCE.
#pragma push_macro("__USE_GNU")
#undef __USE_GNU
#include <sys/resource.h>
#pragma pop_macro("__USE_GNU")
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_addrlabel.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/xfrm.h>

static inline int clinux_errno(void) __attribute__((swift_name("getter:errno()"))) { return errno; }
static inline void clinux_set_errno(int number) __attribute__((swift_name("setter:errno(_:)"))) { errno = number; }
static inline char *_Nullable *_Nonnull clinux_environ(void) { return environ; }
static inline sighandler_t clinux_sig_ign(void) __attribute__((swift_name("getter:SIG_IGN()"))) { return SIG_IGN; }
static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
static inline int clinux_pidfd_send_signal(int fd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}
static inline int clinux_pidfd_getfd(int pidfd, int fd) { return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0); }
static inline int clinux_memfd_create(const char *name, unsigned flags) { return (int)syscall(SYS_memfd_create, name, flags); }
static inline int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int clinux_openat(int dir, const char *path, int flags, mode_t mode) { return openat(dir, path, flags, mode); }
static inline int clinux_fcntl(int fd, int command, int value) { return fcntl(fd, command, value); }
// With _GNU_SOURCE the address arguments are transparent unions, which are not imported as pointers.
static inline ssize_t clinux_recvfrom(int fd, void *buffer, size_t size, int flags, void *address, socklen_t *length) {
  return recvfrom(fd, buffer, size, flags, (struct sockaddr *)address, length);
}
static inline ssize_t clinux_sendto(
    int fd, const void *buffer, size_t size, int flags, const void *address, socklen_t length) {
  return sendto(fd, buffer, size, flags, (const struct sockaddr *)address, length);
}
static inline int clinux_bind(int fd, const void *address, socklen_t length) {
  return bind(fd, (const struct sockaddr *)address, length);
}
static inline int clinux_connect(int fd, const void *address, socklen_t length) {
  return connect(fd, (const struct sockaddr *)address, length);
}
static inline int clinux_getsockname(int fd, void *address, socklen_t *length) {
  return getsockname(fd, (struct sockaddr *)address, length);
}
static inline int clinux_getpeername(int fd, void *address, socklen_t *length) {
  return getpeername(fd, (struct sockaddr *)address, length);
}
static inline int clinux_ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
static inline int clinux_set_process_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
#endif
