import CLinux
import Host

/// TERM and INT as something to wait for (`signalfd(2)`): from its making on they end nothing by themselves.
package final class TerminationSignals: Readable {
  package let descriptor: Int32

  package init() throws(SystemError) {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT] { sigaddset(&signals, signal) }
    guard pthread_sigmask(SIG_BLOCK, &signals, nil) == 0 else { throw SystemError("blocking signals", .invalidArgument) }
    descriptor = signalfd(-1, &signals, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    guard descriptor >= 0 else { throw SystemError("watching signals", Errno(rawValue: errno)) }
  }

  deinit { _ = close(descriptor) }
}
