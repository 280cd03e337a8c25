// Two things that Swift's runtime does before main, in the least there is to do; a sixth of a monitor's time above a C
// program's. Linked first, these take the place of CommandLine.cpp and Backtrace.cpp of libswiftCore.a, whose other
// users need no more of them. Should another Swift's runtime keep something else in one of the two, that file is linked as
// well, and these definitions count (-z muldefs in Package.swift). Empty in debug builds, whose runtime is a library of its own.
#include "startup.h"
#ifdef VPNHA_STATIC_RUNTIME
#include <stdbool.h>
#include <stddef.h>

// The arguments: the runtime looks for them on the stack, which it finds in /proc/self/maps. The C library hands them to
// each constructor.
static int count;
static char **arguments;

__attribute__((constructor)) static void keep(int argc, char **argv) {
  count = argc;
  arguments = argv;
}
char **_swift_stdlib_getUnsafeArgvArgc(int *argc) {
  *argc = count;
  return arguments;
}
void _swift_stdlib_overrideUnsafeArgvArgc(char **argv, int argc) {
  count = argc;
  arguments = argv;
}

// The printer of backtraces: the runtime looks for it in seven folders. An agent says by itself that it has crashed
// (explainTraps), so it is off: zeros, and more of them than the settings have.
char _swift_backtraceSettings[1024];
char *_swift_backtrace_demangle(const char *name, size_t length, char *into, size_t *size) { return NULL; }
bool _swift_backtrace_isThunkFunction(const char *name) { return false; }
void _swift_displayCrashMessage(int signal, const void *at) {}
bool _swift_spawnBacktracer(const void *crash) { return false; }
#endif
