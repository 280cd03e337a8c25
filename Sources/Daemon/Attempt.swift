import Host
import OCF

/// Evaluates `value`; a kernel's refusal becomes a status and a reason that says what was being done.
public func attempt<Result>(
  _ operation: String, _ value: @autoclosure () throws(SystemError) -> Result
) throws(OCFError) -> Result {
  do throws(SystemError) { return try value() } catch { throw explain(error, while: operation) }
}

/// The same for more than an expression.
public func attempt<Result>(
  _ operation: String, _ body: () throws(SystemError) -> Result
) throws(OCFError) -> Result {
  do throws(SystemError) { return try body() } catch { throw explain(error, while: operation) }
}

/// What a kernel's refusal means for the cluster.
public func explain(_ error: SystemError, while operation: String) -> OCFError {
  switch error.errno {
  case .notPermitted, .accessDenied: .denied("\(operation): \(error)")
  default: .failed("\(operation): \(error)")
  }
}

extension Call {
  /// Waits until no launch is under way on this node; answers what shows that one still is.
  ///
  /// The lock that tells is a hint: where it cannot be looked at (a planted file, a read-only `/run`) nobody is waited for.
  public func launchesUnderWay(_ patience: Duration) -> SystemError? {
    do throws(SystemError) { try host.processes.awaitLaunches(before: within(patience).deadline) } catch {
      if error.errno == .timedOut { return error }
      log.warning("\(error)")
    }
    return nil
  }

  /// The interface of that name. At boot one that is made, a VLAN or a bond, comes a moment later than the cluster: a start
  /// waits five seconds for it.
  public func link(named name: String) throws(OCFError) -> Link? {
    var link: Link?
    _ = try within(request.action == .start ? min(.seconds(5), request.timeout / 3) : .zero).until { () throws(OCFError) in
      link = try attempt("looking for \(name)", try host.network.link(named: name))
      return link != nil
    }
    return link
  }
}
