import CSystemd
import DynamicLibrary
import Host

/// The functions of libsystemd that this package uses.
public struct SystemdLibrary {
  let openSystem: csystemd_bus_open_system
  let new: csystemd_bus_new
  let setAddress: csystemd_bus_set_address
  let start: csystemd_bus_start
  let isReady: csystemd_bus_is_ready
  let closeUnref: csystemd_bus_close_unref
  let setMethodCallTimeout: csystemd_bus_set_method_call_timeout
  let matchSignal: csystemd_bus_match_signal
  let call: csystemd_bus_call
  let process: csystemd_bus_process
  let wait: csystemd_bus_wait
  let getPropertyString: csystemd_bus_get_property_string
  let getPropertyTrivial: csystemd_bus_get_property_trivial
  let newMethodCall: csystemd_bus_message_new_method_call
  let appendBasic: csystemd_bus_message_append_basic
  let readBasic: csystemd_bus_message_read_basic
  let unrefMessage: csystemd_bus_message_unref
  let unrefSlot: csystemd_bus_slot_unref
  let freeError: csystemd_bus_error_free
  let journalSend: csystemd_journal_sendv

  /// Opens the library and finds every function, so that what is missing shows at once and not half-way.
  public init() throws(SystemError) {
    let library = try DynamicLibrary("libsystemd.so.0", package: "libsystemd0")
    openSystem = try library.function("sd_bus_open_system")
    new = try library.function("sd_bus_new")
    setAddress = try library.function("sd_bus_set_address")
    start = try library.function("sd_bus_start")
    isReady = try library.function("sd_bus_is_ready")
    closeUnref = try library.function("sd_bus_close_unref")
    setMethodCallTimeout = try library.function("sd_bus_set_method_call_timeout")
    matchSignal = try library.function("sd_bus_match_signal")
    call = try library.function("sd_bus_call")
    process = try library.function("sd_bus_process")
    wait = try library.function("sd_bus_wait")
    getPropertyString = try library.function("sd_bus_get_property_string")
    getPropertyTrivial = try library.function("sd_bus_get_property_trivial")
    newMethodCall = try library.function("sd_bus_message_new_method_call")
    appendBasic = try library.function("sd_bus_message_append_basic")
    readBasic = try library.function("sd_bus_message_read_basic")
    unrefMessage = try library.function("sd_bus_message_unref")
    unrefSlot = try library.function("sd_bus_slot_unref")
    freeError = try library.function("sd_bus_error_free")
    journalSend = try library.function("sd_journal_sendv")
  }
}
