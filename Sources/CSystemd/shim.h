// The types of the functions this package opens with dlsym, taken from the library's own headers. Nothing here is linked.
#ifndef VPNHA_CSYSTEMD_H
#define VPNHA_CSYSTEMD_H
#include <stdlib.h>
#include <sys/uio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

typedef __typeof__(&sd_bus_open_system) csystemd_bus_open_system;
typedef __typeof__(&sd_bus_new) csystemd_bus_new;
typedef __typeof__(&sd_bus_set_address) csystemd_bus_set_address;
typedef __typeof__(&sd_bus_start) csystemd_bus_start;
typedef __typeof__(&sd_bus_is_ready) csystemd_bus_is_ready;
typedef __typeof__(&sd_bus_close_unref) csystemd_bus_close_unref;
typedef __typeof__(&sd_bus_set_method_call_timeout) csystemd_bus_set_method_call_timeout;
typedef __typeof__(&sd_bus_match_signal) csystemd_bus_match_signal;
typedef __typeof__(&sd_bus_call) csystemd_bus_call;
typedef __typeof__(&sd_bus_process) csystemd_bus_process;
typedef __typeof__(&sd_bus_wait) csystemd_bus_wait;
typedef __typeof__(&sd_bus_get_property_string) csystemd_bus_get_property_string;
typedef __typeof__(&sd_bus_get_property_trivial) csystemd_bus_get_property_trivial;
typedef __typeof__(&sd_bus_message_new_method_call) csystemd_bus_message_new_method_call;
typedef __typeof__(&sd_bus_message_append_basic) csystemd_bus_message_append_basic;
typedef __typeof__(&sd_bus_message_read_basic) csystemd_bus_message_read_basic;
typedef __typeof__(&sd_bus_message_unref) csystemd_bus_message_unref;
typedef __typeof__(&sd_bus_slot_unref) csystemd_bus_slot_unref;
typedef __typeof__(&sd_bus_error_free) csystemd_bus_error_free;
typedef __typeof__(&sd_journal_sendv) csystemd_journal_sendv;
#endif
