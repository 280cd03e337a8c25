import Host
import OCF

/// Runs `body`; a kernel's refusal becomes a status and a reason that says what was being done.
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
