/// The node attribute that Pacemaker keeps a resource's promotion score in (crm_attribute(8), --promotion).
public func promotionScoreAttribute(of resource: String) -> String { "master-\(resource)" }

/// The cluster's attributes. Outside a cluster every call fails, which an agent logs and survives.
public protocol Cluster: AnyObject {
  /// Sets this resource's promotion score on this node; nil deletes it (lifetime: until the node leaves the cluster).
  ///
  /// Equivalent to: `attrd_updater -n master-RESOURCE -U SCORE`, or `-D`.
  func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError)
  /// Has the cluster take up again every attribute that its attribute daemon has: it forgets them when a node's controller starts again.
  ///
  /// Equivalent to: `attrd_updater --refresh`.
  func takeUpAttributes() throws(SystemError)
  /// Sets an attribute of this node that lasts until the node leaves the cluster; nil deletes it.
  ///
  /// - Parameter dampening: how long the cluster waits before it acts on it, so that what other nodes say of theirs within
  ///   that time is weighed together with this. In whole seconds, rounded up.
  ///
  /// Equivalent to: `attrd_updater -n NAME -B VALUE -d SECONDS`, or `-D`.
  func setNodeAttribute(_ name: String, to value: String?, dampening: Duration) throws(SystemError)
  /// The values of such an attribute by the names of the nodes that have it.
  ///
  /// Equivalent to: `attrd_updater -n NAME -Q -A`.
  func nodeAttribute(_ name: String) throws(SystemError) -> [String: String]
  /// Sets such an attribute of one node (nil: of this one) for the memory of the attribute daemons alone: it never reaches the
  /// CIB, so that Pacemaker does not plan anew because of it. Like every other it is forgotten when its node leaves the cluster.
  ///
  /// Equivalent to: `attrd_updater -n NAME -p -U VALUE -N NODE`.
  func share(_ value: String, as name: String, on node: String?) throws(SystemError)
  /// The process id of the node's attribute daemon, which forgets everything when it ends. Asks nothing of it.
  ///
  /// Equivalent to: `pidof pacemaker-attrd`.
  func attributeDaemon() throws(SystemError) -> Int32
  /// Names of the nodes that are up.
  ///
  /// Equivalent to: `crm_node -l`.
  func members() throws(SystemError) -> [String]
}
