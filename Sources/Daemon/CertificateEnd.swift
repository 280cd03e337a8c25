import Host
import OCF

extension Risk {
  /// Days before its end that a certificate is one.
  private static let notice: Int64 = 14

  /// A certificate of the connection that ends soon, or has ended, so that no client takes this node for the gateway; nil: neither.
  public static func end(ofCertificateOf connection: String, at end: Timestamp, _ now: Timestamp) -> Risk? {
    let left = end.seconds - now.seconds
    if left <= 0 { return Risk("connections: the certificate of \(connection) ended at \(end)", unfit: true) }
    return left <= notice * 86_400 ? Risk("connections: the certificate of \(connection) ends at \(end)") : nil
  }
}
