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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
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
#include <linux/if_pppox.h>
#include <linux/if_addrlabel.h>
#include <linux/genetlink.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/ip.h>
#include <linux/ip_vs.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/ppp-ioctl.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tc_act/tc_skbedit.h>
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

// Sessions of L2TP, as pppd has the kernel make them (net/l2tp/l2tp_ppp.c, drivers/net/ppp/ppp_generic.c). Requests of ioctl are macros,
// and the address is packed. What is asserted is what the kernels that it was tried on took.
_Static_assert(sizeof(struct sockaddr_pppol2tp) == 38, "the address of a PPPoL2TP socket");
_Static_assert(offsetof(struct sockaddr_pppol2tp, pppol2tp.fd) == 10, "its UDP socket");
_Static_assert(offsetof(struct sockaddr_pppol2tp, pppol2tp.addr) == 14, "the peer's address");
_Static_assert(offsetof(struct sockaddr_pppol2tp, pppol2tp.s_tunnel) == 30, "our numbers");
_Static_assert(offsetof(struct sockaddr_pppol2tp, pppol2tp.d_tunnel) == 34, "the peer's numbers");
_Static_assert(sizeof(struct npioctl) == 8 && NPMODE_PASS == 0 && NPMODE_DROP == 1, "what becomes of a link's packets");
_Static_assert(PPPIOCGCHAN == 0x80047437 && PPPIOCATTCHAN == 0x40047438 && PPPIOCCONNECT == 0x4004743a, "requests of channels");
_Static_assert(PPPIOCNEWUNIT == 0xc004743e && PPPIOCSNPMODE == 0x4008744b && PPPIOCSMRU == 0x40047452, "requests of units");
static inline int clinux_pppol2tp_socket(void) { return socket(AF_PPPOX, SOCK_DGRAM | SOCK_CLOEXEC, PX_PROTO_OL2TP); }
// Over the connected UDP socket `udp` to `peer`: a tunnel (both sessions 0) or one of its sessions. Numbers in host order.
static inline int clinux_pppol2tp_connect(
    int fd, int udp, const struct sockaddr_in *peer, unsigned short tunnel, unsigned short session, unsigned short peer_tunnel,
    unsigned short peer_session) {
  struct sockaddr_pppol2tp address = {
      .sa_family = AF_PPPOX,
      .sa_protocol = PX_PROTO_OL2TP,
      .pppol2tp = {.fd = udp, .addr = *peer, .s_tunnel = tunnel, .s_session = session, .d_tunnel = peer_tunnel, .d_session = peer_session}};
  return connect(fd, (const struct sockaddr *)&address, sizeof address);
}
static inline int clinux_pppol2tp_serve(int fd) {
  int on = 1;
  return setsockopt(fd, 273 /* SOL_PPPOL2TP */, PPPOL2TP_SO_LNSMODE, &on, sizeof on);
}
static inline int clinux_ppp_channel(int fd, int *channel) { return ioctl(fd, PPPIOCGCHAN, channel); }
static inline int clinux_ppp_attach_channel(int fd, int channel) { return ioctl(fd, PPPIOCATTCHAN, &channel); }
static inline int clinux_ppp_new_unit(int fd, int *unit) { return ioctl(fd, PPPIOCNEWUNIT, unit); }
static inline int clinux_ppp_connect(int fd, int unit) { return ioctl(fd, PPPIOCCONNECT, &unit); }
static inline int clinux_ppp_set_mru(int fd, int size) { return ioctl(fd, PPPIOCSMRU, &size); }
static inline int clinux_ppp_set_mode(int fd, int protocol, int passes) {
  struct npioctl mode = {.protocol = protocol, .mode = passes ? NPMODE_PASS : NPMODE_DROP};
  return ioctl(fd, PPPIOCSNPMODE, &mode);
}
static inline int clinux_set_process_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
#endif
