import Host
import OCF

extension VirtualIP {
  /// The same call with the network of our namespace; nil when that is not on this node.
  func insideIfThere(_ call: Call) throws(OCFError) -> Call? {
    guard !networkNamespace.isEmpty else { return call }
    var host = call.host
    do throws(SystemError) { host.network = try call.host.network.inside(namespace: networkNamespace) } catch
      where
      error.errno == .noSuchFile
    {
      return nil
    } catch {
      throw explain(error)
    }
    return call.with(host: host)
  }

  func inside(_ call: Call) throws(OCFError) -> Call {
    guard let inside = try insideIfThere(call) else {
      throw .wrongHere("network_namespace: \(networkNamespace) is not on this node")
    }
    return inside
  }
}
