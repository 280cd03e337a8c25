/// The cluster's attributes. Outside a cluster every call fails, which an agent logs and survives.
public protocol Cluster: AnyObject {
  /// Sets this resource's promotion score on this node; nil deletes it (lifetime: until the node leaves the cluster).
  ///
  /// Equivalent to: `attrd_updater -n master-RESOURCE -U SCORE`, or `-D`.
  func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError)
  /// A permanent, cluster-wide value in the CIB (`crm_attribute --type crm_config`), nil when it is not set.
  func property(_ name: String) throws(SystemError) -> String?
  func setProperty(_ name: String, to value: String) throws(SystemError)
}
