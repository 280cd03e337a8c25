import Host

/// Brings one alert to one recipient.
struct Delivery {
  var host: Host
  /// Writes an entry of the journal; what cannot be written is lost.
  var journal: ([(String, String)]) -> Void

  /// Without a recipient, or with `journal`, to the journal; to an address by a webhook, and to the journal only if that
  /// fails.
  func deliver(_ environment: [String: String]) {
    var alert = Alert(environment: environment)
    // Called by hand, or by something that is no cluster.
    guard !alert["kind"].isEmpty, !alert.isNoise else { return }
    alert.exitReason = ExitReason.find(for: alert, on: host)
    let recipient = environment["CRM_alert_recipient"] ?? ""
    guard !recipient.isEmpty, recipient != "journal" else { return journal(alert.journalFields) }
    do throws(Webhook.Problem) { try Webhook(recipient).post(alert, on: host) } catch {
      let why = switch error { case .unusable(let why): "recipient: \(why)"; case .failed(let why): why }
      journal(alert.journalFields)
      journal([
        ("MESSAGE", "an alert was not delivered: \(why)"), ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "vpnha-alert"), ("SYSLOG_FACILITY", "3"),
      ])
    }
  }
}
