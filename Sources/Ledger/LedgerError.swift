import Host

/// Why the ledger did not take, read or write something.
public enum LedgerFailure: Hashable, Sendable {
  /// What came is no record or message of this version.
  case malformed
  /// More sessions than the ledger is meant for.
  case full
  /// The key's file is missing, open to others, or too short.
  case key
}

public typealias LedgerError = OperationError<LedgerFailure>
