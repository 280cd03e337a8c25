import Host

/// What a fake host was asked, in order, and the one call that is to fail. One of these is shared by all fakes of a machine.
public final class Calls {
  public struct Call: Hashable, CustomStringConvertible {
    /// `network.add(192.0.2.1/24 on 2)`
    public var description: String
    /// Whether it would change the machine.
    public var isChange: Bool
    /// Whether its protocol member can throw.
    public var canFail: Bool
  }

  public private(set) var all: [Call] = []
  /// Only what would change the machine: what a table test compares.
  public var changes: [String] { all.filter(\.isChange).map(\.description) }
  /// How many calls that can fail were made.
  public private(set) var failable = 0
  /// The forced failure, once it has happened.
  public private(set) var forced: Call?

  private var target: (position: Int, error: Errno)?
  private var byPrefix: [(prefix: String, after: Int, error: Errno)] = []

  public init() {}

  /// Makes the `position`-th (from 0) call that can fail throw `error`, whatever it is.
  public func fail(at position: Int, with error: Errno = .io) { target = (position, error) }
  /// Makes every call whose description begins with `prefix` throw, after letting `after` of them pass.
  public func fail(_ prefix: String, after: Int = 0, with error: Errno) { byPrefix.append((prefix, after, error)) }
  /// Forgets what was recorded and forces nothing any more.
  public func reset() {
    all = []
    failable = 0
    forced = nil
    target = nil
    byPrefix = []
  }

  func sees(_ description: String) throws(SystemError) { try record(description, isChange: false) }
  func changes(_ description: String) throws(SystemError) { try record(description, isChange: true) }
  func note(_ description: String, isChange: Bool = false) {
    all.append(Call(description: description, isChange: isChange, canFail: false))
  }

  private func record(_ description: String, isChange: Bool) throws(SystemError) {
    let call = Call(description: description, isChange: isChange, canFail: true)
    all.append(call)
    defer { failable += 1 }
    if let target, target.position == failable {
      forced = call
      throw SystemError(description, target.error, detail: "forced by the test")
    }
    for index in byPrefix.indices where description.hasPrefix(byPrefix[index].prefix) {
      guard byPrefix[index].after == 0 else {
        byPrefix[index].after -= 1
        continue
      }
      forced = call
      throw SystemError(description, byPrefix[index].error, detail: "forced by the test")
    }
  }
}
