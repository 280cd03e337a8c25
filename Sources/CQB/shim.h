// The types of the functions this package opens with dlsym, taken from the library's own headers. Nothing here is linked.
#ifndef VPNHA_CQB_H
#define VPNHA_CQB_H
#include <syslog.h>
#include <qb/qblog.h>

typedef __typeof__(&qb_log_init) cqb_log_init;
typedef __typeof__(&qb_log_fini) cqb_log_fini;
typedef __typeof__(&qb_log_ctl) cqb_log_ctl;
typedef __typeof__(&qb_log_filter_ctl) cqb_log_filter_ctl;
typedef __typeof__(&qb_log_format_set) cqb_log_format_set;
typedef __typeof__(&qb_log_file_open) cqb_log_file_open;
typedef __typeof__(&qb_log_blackbox_write_to_file) cqb_log_blackbox_write_to_file;
typedef __typeof__(&qb_log_blackbox_print_from_file) cqb_log_blackbox_print_from_file;

// Variadic, which Swift does not import: `function` is what dlsym found for qb_log_from_external_source.
static inline void cqb_log(
    void *function, const char *caller, const char *file, uint8_t priority, uint32_t line, uint32_t tags,
    const char *message) {
  ((__typeof__(&qb_log_from_external_source))function)(caller, file, "%s", priority, line, tags, message);
}
#endif
