extension String {
  /// The text on one line, without what would steer a terminal or turn its text around: blanks that are no space become one, other
  /// controls, format and bidirectional marks and what is no character become `?`. Foreign text is shown so, wherever it is shown.
  public var plain: String {
    if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return self }
    var result = ""
    result.unicodeScalars.append(
      contentsOf: unicodeScalars.map { scalar in
        switch scalar.properties.generalCategory {
        case .lineSeparator, .paragraphSeparator: " "
        case .control: scalar.properties.isWhitespace ? " " : "?"
        case .format, .surrogate, .privateUse, .unassigned: "?"
        default: scalar
        }
      })
    return result
  }
}
