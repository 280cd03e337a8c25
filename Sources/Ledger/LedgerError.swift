/// Why the ledger did not take, read or write something, sorted by what the caller can do about it.
public struct LedgerError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// What came is no record or message of this version.
    case malformed
    /// More sessions than the ledger is meant for.
    case full
    /// The key's file is missing, open to others, or too short.
    case key
  }
  public var kind: Kind
  /// A verb in its -ing form, and what it acts on.
  public var operation: String
  public var detail: String

  public init(_ kind: Kind, _ operation: String, _ detail: String) {
    self.kind = kind
    self.operation = operation
    self.detail = detail
  }

  public var description: String { "\(operation): \(detail)" }
}
