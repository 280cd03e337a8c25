import Host
import OCF

extension Call {
  /// Who is bound to a UDP port in a way that `matters`, and the process, where one can be found; nil when nobody is.
  ///
  /// A socket that no process has is given a second to go: what was killed loses its name first and its sockets a moment later.
  public func holder(
    ofUDP port: UInt16, where matters: (UDPListener) -> Bool = { _ in true }
  ) throws(OCFError) -> (listener: UDPListener, owner: Process?)? {
    var holder: (listener: UDPListener, owner: Process?)?
    _ = try attempt("looking for who has UDP port \(port)") { () throws(SystemError) in
      try within(.seconds(1)).until { () throws(SystemError) in
        holder = nil
        guard let listener = try host.sockets.udpListeners(on: port).first(where: matters) else { return true }
        let owner = try host.processes.owner(ofSocket: listener.inode)
        holder = (listener, owner)
        return owner != nil
      }
    }
    return holder
  }
}
