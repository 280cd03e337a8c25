import Daemon
import Host
import L2TP
import OCF

/// Who may come in. The daemon takes every tunnel it is asked for; whether it is asked is up to us.
///
/// In a promotable clone the gate is shut from the daemon's first moment until promote opens it, and demote and stop shut it
/// before they say goodbye: nobody gets in between the farewell and the address's leaving.
extension XL2TPD {
  /// Whether requests for new tunnels are dropped in front of `process`; nil when the kernel does not permit inspection, and then
  /// no filter can have been installed either (a container without CAP_SYS_PTRACE, a kernel before 5.6).
  ///
  /// Throws when the socket on the address is another program's.
  func isShut(_ process: Process, _ listener: UDPListener, _ call: Call) throws(OCFError) -> Bool? {
    do throws(SystemError) {
      return try call.host.sockets.filter(of: listener, in: process) != nil
    } catch  where error.errno == .noSuchFile {
      throw .failed("\(listener.address) is bound by another program than xl2tpd (pid \(process.pid))\(try otherInstances(call))")
    } catch {
      call.log.debug("looking whether new tunnels are refused: \(error)")
      return nil
    }
  }

  /// Shuts the gate. Where the kernel does not allow it the work goes on: it is no reason to keep a node from leaving.
  func shutGate(of process: Process, on address: IPAddress, _ port: UInt16, _ call: Call) {
    do throws(OCFError) { try setGate(TunnelGate.filter, of: process, on: address, port, call) } catch {
      call.log.warning("new tunnels cannot be refused: \(error.reason)")
    }
  }

  /// Opens it. Its proof is a request for a tunnel that is answered, not that this went well.
  func openGate(of process: Process, on address: IPAddress, _ port: UInt16, _ call: Call) {
    do throws(OCFError) { try setGate(nil, of: process, on: address, port, call) } catch {
      call.log.debug("letting new tunnels in: \(error.reason)")
    }
  }

  private func setGate(
    _ filter: SocketFilter?, of process: Process, on address: IPAddress, _ port: UInt16, _ call: Call
  ) throws(OCFError) {
    for listener in try listeners(on: address, port, call) {
      do throws(SystemError) { try call.host.sockets.setFilter(filter, of: listener, in: process) } catch {
        // Another program's socket beside ours is not ours to touch.
        if error.errno != .noSuchFile { throw explain(error, while: "port \(port)") }
      }
    }
  }
}
