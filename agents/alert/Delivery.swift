import Host

/// Brings one alert to one recipient.
struct Delivery {
  var host: Host
  /// Writes an entry of the journal; what cannot be written is lost.
  var journal: ([(String, String)]) -> Void
  /// Has an entry ready that is written if this program ends before its time, or takes it back.
  var lastWord: ([(String, String)]?) -> Void = { _ in }

  /// To the journal first, so that there is a trace of it whatever becomes of the rest; then to the address of the recipient.
  func deliver(_ environment: [String: String]) {
    var alert = Alert(environment: environment)
    // Called by hand, or by something that is no cluster.
    guard !alert["kind"].isEmpty, !alert.isNoise else { return }
    // The reason is somebody else's program and somebody else's text.
    lastWord(alert.journalFields)
    alert.exitReason = ExitReason.find(for: alert, on: host)
    journal(alert.journalFields)
    lastWord(nil)
    let recipient = environment["CRM_alert_recipient"] ?? ""
    guard !recipient.isEmpty, recipient != "journal" else { return }
    do throws(Webhook.Problem) {
      try Receiver(recipient, environment, host).take(alert, alert.turn)
    } catch {
      journal([
        ("MESSAGE", "an alert was not delivered: \(error)"), ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "vpnha-alert"), ("SYSLOG_FACILITY", "3"),
      ])
    }
  }

  /// Sends a test. What keeps incidents gets one that begins and ends.
  func test(_ recipient: String, _ options: [String: String]) throws(Webhook.Problem) -> String {
    let receiver = try Receiver(recipient, options, host)
    let alert = Alert(testFrom: hostName)
    let answer = try receiver.take(alert, .begins)
    if receiver.format == .pagerduty || receiver.format == .alertmanager { try receiver.take(alert, .ends) }
    return answer
  }

  private var hostName: String {
    do throws(SystemError) { return try host.files.kernelParameter("kernel.hostname") ?? "" } catch { return "" }
  }
}

/// An address, and what is understood there.
struct Receiver {
  let hook: Webhook
  let format: Format
  private let key: String
  private let host: Host

  /// - Parameter options: the recipient's instance attributes, which Pacemaker puts into the environment as they are called.
  init(_ recipient: String, _ options: [String: String], _ host: Host) throws(Webhook.Problem) {
    hook = try Webhook(recipient)
    let name = options["format"].flatMap { $0.isEmpty ? nil : $0 } ?? Format.json.rawValue
    guard let format = Format(rawValue: name) else {
      throw .unusable("format: expected one of \(Format.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self.format = format
    key = format == .pagerduty ? try Self.key(options["routing_key_file"] ?? "", host) : ""
    self.host = host
  }

  /// - Returns: what the receiver answered.
  @discardableResult
  func take(_ alert: Alert, _ turn: Alert.Turn) throws(Webhook.Problem) -> String {
    let now = host.clock.timestamp
    guard var body = format.body(of: alert, turn, at: now, key: key) else { return "" }
    if !Webhook.fits(body) { body = format.body(of: alert.shortened(to: 256), turn, at: now, key: key) ?? "" }
    return try hook.post(body, on: host)
  }

  /// The first line of a file that this user can read and others cannot.
  private static func key(_ path: String, _ host: Host) throws(Webhook.Problem) -> String {
    guard path.hasPrefix("/") else { throw .unusable("routing_key_file: is required with format=pagerduty") }
    do throws(SystemError) {
      guard let status = try host.files.status(path) else { throw SystemError("reading \(path)", .noSuchFile) }
      guard status.kind == .regular, status.mode & 0o007 == 0 else {
        throw SystemError("reading \(path)", .accessDenied, detail: "it must be a file that others cannot read (root:haclient, 0640)")
      }
      let bytes = try host.files.read(path, limit: 1024) ?? []
      let key = String(decoding: bytes.prefix { $0 > 32 && $0 < 127 }, as: UTF8.self)
      guard !key.isEmpty else { throw SystemError("reading \(path)", .invalidArgument, detail: "its first line is empty") }
      return key
    } catch { throw .unusable("routing_key_file: \(error)") }
  }
}
