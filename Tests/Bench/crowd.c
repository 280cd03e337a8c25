/* 1,000 sessions as processes: run as xl2tpd it starts so many pppds, which are this program again and wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  size_t length = strlen(words[0]);
  if (length < 6 || strcmp(words[0] + length - 6, "xl2tpd")) { pause(); return 0; }
  for (int number = atoi(words[1]); number > 0; number--)
    if (fork() == 0)
      return execl("/usr/sbin/pppd", "pppd", "passive", "nodetach", "10.9.0.1:", "file", "/etc/ppp/options.xl2tpd", "ipparam", "198.51.100.7", (char *)0);
  puts("ready");
  fflush(stdout);
  pause();
}
