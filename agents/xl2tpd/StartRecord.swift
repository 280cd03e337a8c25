import Daemon
import Host
import L2TP
import OCF
import Sessions

/// The configuration that a daemon was started with.
///
/// xl2tpd reads its file once. What stood in it then holds for as long as the daemon runs, whatever becomes of the file. The
/// record is the file itself behind a comment that names the process, so that a fresh daemon can be started from it.
struct StartRecord {
  var pid: Int32
  var startTime: UInt64
  var bytes: [UInt8]
  var configuration: XL2TPDConfiguration

  func isAbout(_ process: Process) -> Bool { pid == process.pid && startTime == process.startTime }

  private static let kind = "conf"
  static func path(_ call: Call) -> String { call.request.recordPath(kind) }

  /// The record, nil when there is none that can be read: it is a hint, and nothing fails for it.
  static func read(_ call: Call) -> StartRecord? {
    do throws(SystemError) {
      return try call.host.files.read(path(call), limit: XL2TPD.longestFile + 100).flatMap(StartRecord.init)
    } catch {
      call.log.debug("what xl2tpd was started with is not known: \(error)")
      return nil
    }
  }

  /// Those of the other resources of this node, by their names.
  static func others(_ call: Call) -> [(resource: String, record: StartRecord)] {
    do throws(SystemError) {
      return try call.host.files.records(of: call.request.type, as: kind, limit: XL2TPD.longestFile + 100).compactMap { found in
        guard found.instance != call.request.resource, let record = StartRecord(found.bytes) else { return nil }
        return (found.instance, record)
      }
    } catch {
      call.log.debug("looking for other xl2tpds' configurations: \(error)")
      return []
    }
  }

  private init?(_ record: [UInt8]) {
    guard let end = record.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let words = String(decoding: record[..<end], as: UTF8.self).split(separator: " ")
    guard words.count == 3, words[0] == ";", let pid = Int32(words[1]), let startTime = UInt64(words[2]) else { return nil }
    self.init(pid: pid, startTime: startTime, bytes: Array(record[(end + 1)...]))
  }

  private init?(pid: Int32, startTime: UInt64, bytes: [UInt8]) {
    (self.pid, self.startTime, self.bytes) = (pid, startTime, bytes)
    do { configuration = try XL2TPDConfiguration(bytes) } catch { return nil }
  }

  static func write(_ bytes: [UInt8], of process: Process, _ call: Call) {
    do throws(SystemError) {
      try call.keep(Array("; \(process.pid) \(process.startTime)\n".utf8) + bytes, as: kind)
    } catch {
      call.log.warning("recording what xl2tpd was started with: \(error)")
    }
  }

  static func remove(_ call: Call) {
    do throws(SystemError) { try call.host.files.remove(path(call)) } catch {
      call.log.warning("cleaning up after xl2tpd: \(error)")
    }
  }
}

/// Where a daemon serves, as far as it is known.
struct Terms {
  var configuration: XL2TPDConfiguration?
  var address: IPAddress?
  var port: UInt16?
}

extension XL2TPD {
  /// Where `process` serves: as its file said when it was started; where that is not known, as the file says now or an earlier
  /// start did, if it is true, or as its sockets tell. A file that cannot be read is no fault of a daemon that runs.
  func terms(of process: Process, _ call: Call) -> Terms {
    let record = StartRecord.read(call)
    if let record, record.isAbout(process) { return terms(record.configuration) }
    var candidates: [Terms] = []
    do throws(OCFError) { candidates.append(terms(try readConfiguration(call))) } catch {
      call.log.debug("going on without the configuration: \(error.reason)")
    }
    if let record { candidates.append(terms(record.configuration)) }
    candidates.removeAll { $0.port == nil || $0.address?.isUnspecified ?? true }
    do throws(SystemError) {
      for terms in candidates {
        guard let address = terms.address, let port = terms.port else { continue }
        if try call.host.sockets.udpListener(on: address, port: port, in: process) != nil { return terms }
      }
      for listener in try call.host.sockets.udpListeners(on: 1701) {
        let own = try call.host.sockets.udpListener(on: listener.address, port: 1701, in: process)
        if own?.inode == listener.inode, let address = address ?? (listener.address.isUnspecified ? nil : listener.address) {
          return Terms(address: address, port: 1701)
        }
      }
    } catch { call.log.debug("looking for xl2tpd's sockets: \(error)") }
    return candidates.first ?? Terms(address: address)
  }

  private func terms(_ configuration: XL2TPDConfiguration) -> Terms {
    Terms(configuration: configuration, address: served(configuration), port: configuration.port)
  }

  /// What tells the sessions of a daemon that is gone: by what it was started with and by what the file says now.
  func marks(_ call: Call) -> SessionMarks {
    var marks = StartRecord.read(call).map { SessionMarks($0.configuration) } ?? SessionMarks()
    do throws(OCFError) { marks.formUnion(SessionMarks(try readConfiguration(call))) } catch {
      call.log.debug("looking for pppd without the configuration: \(error.reason)")
    }
    marks.foreign = StartRecord.others(call).flatMap(\.record.configuration.servers)
    return marks
  }
}
