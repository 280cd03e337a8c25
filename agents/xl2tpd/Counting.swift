import Daemon
import Host
import OCF

extension XL2TPD {
  /// `sessions`: the pppds of this daemon's.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    let processes = try sessions(call).processes
    return ["sessions": UInt64(try attempt("counting sessions", try processes.all(on: call.host)).count)]
  }
}
