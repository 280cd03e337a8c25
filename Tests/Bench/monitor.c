/* The yardstick: a monitor of an IPv4 address in C, with the system calls that `vip monitor` makes and nothing else.
 *
 *   monitor ADDRESS PREFIX-LENGTH INTERFACE
 */
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void broken(int signal) { _exit(1); }

/* Whether the link is up and has carrier; -1 when the kernel cannot be asked. */
static int link_is_usable(const char *name) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr mask_header;
    uint32_t mask;
    struct rtattr name_header;
    char name[IFNAMSIZ];
  } question = {.header.nlmsg_type = RTM_GETLINK, .header.nlmsg_flags = NLM_F_REQUEST, .header.nlmsg_seq = 1,
                .mask_header = {8, IFLA_EXT_MASK}, .mask = RTEXT_FILTER_SKIP_STATS};
  static char answer[65536];
  int on = 1;
  struct timeval patience = {5, 0};
  int channel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (channel < 0) return -1;
  setsockopt(channel, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(channel, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(channel, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  strncpy(question.name, name, IFNAMSIZ - 1);
  question.name_header.rta_type = IFLA_IFNAME;
  question.name_header.rta_len = RTA_LENGTH(strlen(question.name) + 1);
  question.header.nlmsg_len = (char *)&question.name_header - (char *)&question + RTA_ALIGN(question.name_header.rta_len);
  if (send(channel, &question, question.header.nlmsg_len, 0) < 0) return -1;
  setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ssize_t size = recv(channel, answer, sizeof answer, MSG_TRUNC);
  struct nlmsghdr *header = (struct nlmsghdr *)answer;
  if (size < (ssize_t)NLMSG_LENGTH(sizeof(struct ifinfomsg)) || header->nlmsg_type != RTM_NEWLINK) return -1;
  struct ifinfomsg *link = NLMSG_DATA(header);
  return (link->ifi_flags & (IFF_UP | IFF_LOWER_UP)) == (IFF_UP | IFF_LOWER_UP);
}

static int has_address(const char *name, struct in_addr address, int prefix) {
  struct ifreq request = {0};
  int channel = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (channel < 0) return -1;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_addr.sa_family = AF_INET;
  ((struct sockaddr_in *)&request.ifr_addr)->sin_addr = address;
  if (ioctl(channel, SIOCGIFADDR, &request) < 0 || ((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr != address.s_addr)
    return 0;
  if (ioctl(channel, SIOCGIFNETMASK, &request) < 0) return 0;
  return ntohl(((struct sockaddr_in *)&request.ifr_netmask)->sin_addr.s_addr) == (prefix ? ~0u << (32 - prefix) : 0);
}

int main(int count, char **words) {
  static const int traps[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
  struct in_addr address;
  char self[4096];
  for (unsigned i = 0; i < sizeof traps / sizeof *traps; i++) signal(traps[i], broken);
  signal(SIGPIPE, SIG_IGN);
  if (readlink("/proc/self/exe", self, sizeof self) < 0) return 1;
  if (count < 4 || inet_pton(AF_INET, words[1], &address) != 1) return 6;
  int usable = link_is_usable(words[3]);
  if (usable < 0) return 1;
  int held = has_address(words[3], address, atoi(words[2]));
  if (held < 0) return 1;
  return held && usable ? 0 : held ? 1 : 7;
}
