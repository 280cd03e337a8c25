/// What did not come about, and why, sorted by what the caller can do about it. Printed as *operation: detail*.
public struct OperationError<Kind: Hashable & Sendable>: Error, Hashable, Sendable, CustomStringConvertible {
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
